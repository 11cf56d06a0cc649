"""The plugin: pages below `/`, which do what whoever is signed in may do by the REST routes, and no more."""

from __future__ import annotations

from quart import Blueprint, Response, request

from homeroom import HOOK_API, Routes, Services, hookimpl
from homeroom_web import admin, family, office, rooms, sign_in, student, teacher
from homeroom_web.pages import Pages
from homeroom_web.scans import Scans
from homeroom_web.settings import WebSettings
from homeroom_web.visitors import Failed, Visitors

_HOUR = 3600
_A_DAY = "public, max-age=86400"


class Web:
    """Pages for people."""

    hook_api = HOOK_API
    scopes = frozenset[str]()
    Settings = WebSettings

    def __init__(self, settings: WebSettings, services: Services) -> None:
        self.settings = settings
        self.services = services

    @hookimpl
    def routes(self) -> Routes:
        """All pages and their files."""
        visitors = Visitors(self.services, seconds=self.settings.signed_in_hours * _HOUR)
        secure = (self.services.public_url or "").startswith("https:")
        pages = Pages(self.settings, self.services, visitors, secure=secure)
        blueprint = Blueprint("web", __name__, static_folder="static", static_url_path="/static")
        blueprint.before_request(pages.check_origin)
        blueprint.after_request(_cached)
        blueprint.register_error_handler(Failed, pages.problem)
        blueprint.app_errorhandler(404)(pages.nowhere)
        scans = Scans(self.services, route=self.settings.scans, secure=secure)
        sign_in.add_routes(blueprint, pages, scans)
        student.add_routes(blueprint, pages, scans)
        for room in (teacher, family, office, admin, rooms):
            room.add_routes(blueprint, pages)
        return Routes(prefix="/", blueprint=blueprint, uploads=family.UPLOADS)


async def _cached(response: Response) -> Response:
    """Files may be kept for a day; whatever else is answered, not at all (the core's own header)."""
    if request.endpoint == "web.static" and response.status_code < 400:  # noqa: PLR2004
        response.headers["Cache-Control"] = _A_DAY
    return response
