"""Bodies that hold a document: they may be larger than others, and nothing of them is put on a disk in clear."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Any

from quart.formparser import FormDataParser
from quart.wrappers import Request

from homeroom.settings import ServerSettings

_PART = re.compile(r"<[^>]+>")
_AROUND = 65_536  # the other fields of the form


def most(server: ServerSettings) -> int:
    """How many bytes a request with a document may have: base64 takes a third more."""
    return max(server.max_body_bytes, server.max_document_bytes * 4 // 3 + _AROUND)


def request_class(server: ServerSettings, rules: Iterable[str]) -> type[Request]:
    """Requests of an app in which the paths of `rules`, as in "/children/<student_id>/absence", take documents."""
    paths = re.compile("|".join(_pattern(rule) for rule in rules) or r"(?!)")
    largest = most(server)

    class Upload(Request):
        """A request whose body may be as large as its path says."""

        def __init__(self, method: str, scheme: str, path: str, *more: Any, **given: Any) -> None:
            if paths.fullmatch(path):
                given["max_content_length"] = largest
            super().__init__(method, scheme, path, *more, **given)
            self.max_content_length = given.get("max_content_length")

        def make_form_data_parser(self) -> FormDataParser:
            """A parser that keeps files in memory, never in a temporary file."""
            return self.form_data_parser_class(
                max_content_length=self.max_content_length,
                max_form_memory_size=self.max_form_memory_size,
                max_form_parts=self.max_form_parts,
                cls=self.parameter_storage_class,
                stream_factory=_in_memory,
            )

    return Upload


def _pattern(rule: str) -> str:
    return "[^/]+".join(re.escape(part) for part in _PART.split(rule)) + "/?"


def _in_memory(*_given: Any, **_named: Any) -> io.BytesIO:
    return io.BytesIO()
