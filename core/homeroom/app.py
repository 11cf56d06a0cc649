"""The ASGI application of one district; `create_app` does everything, importing this does nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from quart import Quart, Response, g, request

from homeroom.api import openapi, problem
from homeroom.api.absences import UPLOADS, absences
from homeroom.api.accounts import accounts
from homeroom.api.attendance import attendance
from homeroom.api.auth import auth, tickets
from homeroom.api.classes import classes
from homeroom.api.docs import docs
from homeroom.api.emergencies import emergencies
from homeroom.api.guardians import guardians
from homeroom.api.inside import InProcess
from homeroom.api.jobs import jobs
from homeroom.api.messages import messages
from homeroom.api.notifications import notifications
from homeroom.api.plugin_settings import plugin_settings
from homeroom.api.plugins import plugins
from homeroom.api.providers import providers
from homeroom.api.schools import schools
from homeroom.api.sessions import sessions
from homeroom.api.students import students
from homeroom.api.substitutes import substitutes
from homeroom.api.sync import sync
from homeroom.api.sync_queues import queues
from homeroom.api.system import system
from homeroom.api.uploads import request_class
from homeroom.district import District
from homeroom.live.routes import live
from homeroom.mounts import Mounts
from homeroom.settings import Settings, load_settings
from homeroom.store import new_id
from homeroom.telemetry import bind_request, configure_logging

_BLUEPRINTS = (
    auth,
    tickets,
    providers,
    accounts,
    classes,
    students,
    substitutes,
    guardians,
    sessions,
    attendance,
    absences,
    schools,
    emergencies,
    notifications,
    messages,
    plugins,
    plugin_settings,
    sync,
    queues,
    system,
    jobs,
    docs,
    live,
)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def create_app(
    settings: Settings | None = None, *, district: District | None = None, safe: bool = False, upgrade: bool = False
) -> Quart:
    """The application for `settings` (default: from the environment); `safe` starts it without any plugin.

    `upgrade` brings the database up to date at the start. Its lifespan opens the database and starts the plugins; an
    ASGI server that supports lifespan is required.
    """
    district = district or District(settings or load_settings(), safe=safe)
    configure_logging(district.settings)
    app = _app("homeroom", district, uploads=UPLOADS)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    mounts = Mounts(lambda name, uploads: _app(name, district, uploads=uploads), district.is_on)
    mounts.core_words = frozenset(
        rule.rule.removeprefix("/api/v1/").partition("/")[0]
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/")
    )
    district.mounts = mounts
    app.asgi_app = mounts.before(app.asgi_app)  # type: ignore[method-assign,assignment] # Quart's way of adding middleware
    district.api = InProcess(app.asgi_app)

    @app.before_serving
    async def start() -> None:
        await district.start(upgrade=upgrade)

    @app.after_serving
    async def stop() -> None:
        await district.stop()

    return app


def _app(name: str, district: District, *, uploads: Iterable[str] = ()) -> Quart:
    """A bare app with what the core's and every plugin's share: errors, limits, headers, measures."""
    app = Quart(name, static_folder=None)
    app.request_class = request_class(district.settings.server, uploads)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = district.settings.server.max_body_bytes
    app.config["BODY_TIMEOUT"] = 30
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.extensions["homeroom"] = district
    safety = dict(_HEADERS)
    if (district.settings.server.public_base_url or "").startswith("https:"):
        safety["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    openapi.install(app)
    problem.install(app)

    @app.before_request
    async def begin() -> None:
        g.started = time.perf_counter()
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else new_id()
        bind_request(g.request_id)

    @app.after_request
    async def finish(response: Response) -> Response:
        headers = response.headers
        for header, value in safety.items():
            if header not in headers:
                headers.add(header, value)
        request_id = g.get("request_id")
        if request_id:
            headers["X-Request-Id"] = request_id
            rule = request.url_rule.rule if request.url_rule else "unknown"
            seconds = time.perf_counter() - g.started
            district.metrics.request(request.method, rule, response.status_code, seconds)
        return response

    return app
