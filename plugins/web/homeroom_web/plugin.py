"""The plugin: pages below `/`, which do what whoever is signed in may do by the REST routes, and no more."""

from __future__ import annotations

from quart import Blueprint

from homeroom import HOOK_API, Routes, Services, hookimpl
from homeroom_web import admin, app_on_device, family, kiosk, office, rooms, sign_in, student, teacher
from homeroom_web.pages import Pages
from homeroom_web.scans import Scans
from homeroom_web.settings import WebSettings
from homeroom_web.visitors import Failed, Visitors

_HOUR = 3600


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
        blueprint = Blueprint("web", __name__)
        blueprint.before_request(pages.check_origin)
        blueprint.register_error_handler(Failed, pages.problem)
        blueprint.app_errorhandler(404)(pages.nowhere)
        pages.files.add_routes(blueprint)
        app_on_device.add_routes(blueprint, pages)
        scans = Scans(self.services, route=self.settings.scans, secure=secure)
        sign_in.add_routes(blueprint, pages, scans)
        student.add_routes(blueprint, pages, scans)
        for room in (teacher, family, office, admin, rooms, kiosk):
            room.add_routes(blueprint, pages)
        return Routes(prefix="/", blueprint=blueprint, uploads=family.UPLOADS)
