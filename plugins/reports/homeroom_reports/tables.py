"""Answers as CSV: the same figures, one row each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from quart import Response, request

from homeroom_reports.answers import Days

_RISKY = ("=", "+", "-", "@", "\t", "\r")


def wants_csv(query: Days) -> bool:
    """Whether the answer is to be CSV: `format` says so, else the header Accept."""
    if query.format is not None:
        return query.format == "csv"
    return request.accept_mimetypes.best_match(["application/json", "text/csv"]) == "text/csv"


def as_csv(name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response:
    """A CSV file (RFC 4180, UTF-8) with a heading. A text that a spreadsheet would run is kept from it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    response = Response(out.getvalue(), 200, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_RISKY):
        return f"'{value}"  # https://owasp.org/www-community/attacks/CSV_Injection
    return value
