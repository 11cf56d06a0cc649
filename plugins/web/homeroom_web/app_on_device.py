"""What makes the pages an app on a phone: its manifest, its service worker, and the page for offline."""

from __future__ import annotations

import orjson
from quart import Blueprint, Response

from homeroom_web.pages import Pages, language
from homeroom_web.static_files import FOLDER, File

_COLOUR = "#1d5f8a"
_KEPT = (
    "web.css",
    "icon.svg",
    "student/queue.js",
    "student/check_in.js",
    "student/send.js",
    "student/scan.js",
)
"""The files that a device keeps, so that checking in works without a network; none says anything of a person."""
_ICONS = (("192", "any"), ("512", "any"), ("192", "maskable"), ("512", "maskable"))


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/manifest.webmanifest`, `/service-worker.js` and `/offline`."""
    worker = _worker(pages)

    @blueprint.get("/manifest.webmanifest")
    async def manifest() -> Response:
        return File.of("application/manifest+json", orjson.dumps(_manifest(pages))).answer()

    @blueprint.get("/service-worker.js")
    async def service_worker() -> Response:
        return worker.answer()

    @blueprint.get("/offline")
    async def offline() -> Response:
        """Checking in when there is no network: the same for everybody, for it stays on the device."""
        return pages.render("student/offline.html")


def _manifest(pages: Pages) -> dict[str, object]:
    words = language()
    icons = [
        {
            "src": pages.files.address(f"icons/{purpose}-{size}.png"),
            "sizes": f"{size}x{size}",
            "type": "image/png",
            "purpose": purpose,
        }
        for size, purpose in _ICONS
    ]
    return {
        "id": "/",
        "name": pages.settings.title,
        "short_name": pages.settings.title,
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "theme_color": _COLOUR,
        "background_color": "#ffffff",
        "lang": words.language,
        "dir": words.dir,
        "icons": icons,
    }


def _worker(pages: Pages) -> File:
    """The service worker's script. It names its files with their versions, so it changes whenever one of them does."""
    files = [pages.files.address(name) for name in _KEPT]
    script = (FOLDER / "service_worker.js").read_text(encoding="utf-8")
    given = f"const FILES = {orjson.dumps(files).decode()};\nimportScripts(FILES[{_KEPT.index('student/queue.js')}]);\n"
    return File.of("text/javascript; charset=utf-8", (given + script).encode())
