"""An extract as a file: CSV for a spreadsheet, JSON for a program; each says under which agreement and carries §99.33.

Neither holds an id of ours: of the study, of the extract, or of anybody.
"""

from __future__ import annotations

import csv
import io
from typing import Any

from homeroom_ferpa.research.extracts import PURPOSES, Given

WORDS = (
    "One row for each student. `code` is drawn by lot, the same in every extract of this study and in no other; do not "
    "try to find out whose it is. `missed` and `late` are shares of a student's marks. A blank is not told: to keep "
    "students from being told apart, some are blanked, or left out, though they are not rare."
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def about(given: Given, notice: str) -> dict[str, Any]:
    """What stands before the rows: the notice, the agreement, and how the extract was made."""
    study, extract = given.study, given.extract
    return {
        "notice": notice,
        "agreement": study.agreement,
        "organisation": study.organisation,
        "purpose": PURPOSES[study.purpose],
        "scope": study.scope,
        "last_day": study.last_day.isoformat(),
        "destroy_by": study.destroy_by.isoformat(),
        "destroy_how": study.destroy_how,
        "number": extract.number,
        "since": extract.since.isoformat(),
        "until": extract.until.isoformat(),
        "small_cell": extract.small_cell,
        "review": extract.review,
        "about": WORDS,
    }


def as_json(given: Given, notice: str) -> dict[str, Any]:
    """The extract for a program; what is null is not told."""
    names = ("code", *given.study.data)
    rows = [dict(zip(names, (code, *row), strict=True)) for code, row in given.rows]
    return {**about(given, notice), "rows": rows}


def as_csv(given: Given, notice: str) -> str:
    """The extract for a spreadsheet, after lines that begin with `#` and say what it is."""
    out = io.StringIO(newline="")
    for name, value in about(given, notice).items():
        out.write(f"# {name.replace('_', ' ')}: {' '.join(str(value).split())}\r\n")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("code", *given.study.data))
    for code, row in given.rows:
        writer.writerow((code, *(_cell(value) for value in row)))
    return out.getvalue()


def _cell(value: str | None) -> str:
    """The value, or with a mark before it what a spreadsheet would take for a formula."""
    if value is None:
        return ""
    return f"'{value}" if value.startswith(_FORMULA) else value
