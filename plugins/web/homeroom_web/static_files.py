"""The pages' files, compressed once at the start; pages name each with its version, so an update reaches browsers."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from quart import Blueprint, Response, abort, request

FOLDER = Path(__file__).parent / "static"

_NAMED = re.compile(r'"(/static/[\w./-]+)"')
_TEXTS = ("text/", "application/json", "application/manifest+json", "image/svg+xml")
_KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}
_FOR_GOOD = "public, max-age=31536000, immutable"
_ASK_AGAIN = "public, no-cache"


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is sent. `zipped` is None where compressing gains nothing."""

    kind: str
    plain: bytes
    zipped: bytes | None
    version: str

    @classmethod
    def of(cls, kind: str, content: bytes) -> File:
        """A file of `content`, compressed when it is text."""
        zipped = gzip.compress(content, 9, mtime=0) if kind.startswith(_TEXTS) else None
        version = hashlib.sha256(content).hexdigest()[:12]
        return cls(kind, content, zipped if zipped and len(zipped) < len(content) else None, version)

    def answer(self) -> Response:
        """This file for the browser that asks: kept for good under its version, else asked for again each time."""
        gzipped = self.zipped is not None and request.accept_encodings["gzip"] > 0
        tag = f"{self.version}-gzip" if gzipped else self.version
        fresh = request.if_none_match.contains(tag)
        content = b"" if fresh else self.zipped if gzipped else self.plain
        response = Response(content, 304 if fresh else 200, content_type=self.kind)
        response.set_etag(tag)
        response.headers["Cache-Control"] = _FOR_GOOD if request.args.get("v") == self.version else _ASK_AGAIN
        if self.zipped is not None:
            response.headers["Vary"] = "Accept-Encoding"
        if gzipped:
            response.headers["Content-Encoding"] = "gzip"
        return response


class StaticFiles:
    """Every file below `/static`."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files: Mapping[str, File] = {
            path.relative_to(folder).as_posix(): File.of(_kind(path), path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def address(self, name: str) -> str:
        """The path of a file with its version. Raises KeyError where there is none."""
        return f"/static/{name}?v={self._files[name].version}"

    def versioned(self, text: str) -> str:
        """`text` in which every quoted path of a file here carries its version."""

        def named(found: re.Match[str]) -> str:
            name = found[1].removeprefix("/static/")
            return f'"{self.address(name)}"' if name in self._files else found[0]

        return _NAMED.sub(named, text)

    def add_routes(self, blueprint: Blueprint) -> None:
        """`/static/NAME`."""

        @blueprint.get("/static/<path:name>")
        async def static(name: str) -> Response:
            file = self._files.get(name)
            return file.answer() if file else abort(404)


class VersionedTemplates(FileSystemLoader):
    """Templates that name files with their versions; it costs nothing when a page is made."""

    def __init__(self, folder: Path, files: StaticFiles) -> None:
        super().__init__(folder)
        self._static = files

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """The template's text, its file, and whether that is still the same."""
        text, path, is_same = super().get_source(environment, template)
        return self._static.versioned(text), path, is_same


def _kind(path: Path) -> str:
    return _KINDS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
