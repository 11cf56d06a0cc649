"""The API's own description: /openapi.json, and Swagger UI and ReDoc from files of ours, no CDN."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import orjson
from quart import Blueprint, Response, current_app, send_from_directory
from quart_schema import hide

from homeroom.api.openapi import describe

docs = Blueprint("docs", __name__)

_STATIC = Path(__file__).parent / "static"
_REDOC_CSP = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

_SWAGGER_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Homeroom API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/files/swagger-ui/swagger-ui.css"></head>
<body><main id="swagger-ui"></main>
<noscript>This page draws <a href="/openapi.json">openapi.json</a> with JavaScript.</noscript>
<script src="/docs/files/swagger-ui/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script></body></html>"""

_SWAGGER_START = (
    'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: false});'
)

_REDOC_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Homeroom API</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><redoc spec-url="/openapi.json"></redoc>
<noscript>This page draws <a href="/openapi.json">openapi.json</a> with JavaScript.</noscript>
<script src="/docs/files/redoc/redoc.standalone.js"></script></body></html>"""


@docs.get("/openapi.json")
@hide
async def openapi() -> Response:
    """The OpenAPI 3.1 description of every route, plugins' included."""
    app = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - werkzeug's documented way
    return Response(orjson.dumps(describe(app, version("homeroom-core"))), content_type="application/json")


@docs.get("/docs")
@hide
async def swagger() -> Response:
    """Swagger UI."""
    return Response(_SWAGGER_PAGE, content_type="text/html; charset=utf-8")


@docs.get("/docs/start.js")
@hide
async def swagger_start() -> Response:
    """The line that starts Swagger UI: a file, because the CSP allows no inline script."""
    return Response(_SWAGGER_START, content_type="text/javascript; charset=utf-8")


@docs.get("/redoc")
@hide
async def redoc() -> Response:
    """ReDoc; its own styles are inline, so this one page's CSP allows them."""
    response = Response(_REDOC_PAGE, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _REDOC_CSP
    return response


@docs.get("/docs/files/<path:name>")
@hide
async def files(name: str) -> Response:
    """A vendored file."""
    return await send_from_directory(_STATIC, name)
