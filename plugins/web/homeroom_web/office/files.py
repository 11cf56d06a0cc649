"""Files for spreadsheets: attendance of some days, and rosters."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.asking import UNPROCESSABLE, whole
from homeroom_web.forms import asked
from homeroom_web.office.schools import At, day_or, school_of
from homeroom_web.office.sheets import MOST_BYTES, written
from homeroom_web.office.today import classes_of
from homeroom_web.pages import Pages, language
from homeroom_web.visitors import Failed, Visitor

ATTENDANCE = (
    *("school_day", "class_title", "period", "number", "student", "grades", "status", "code", "minutes_late"),
    *("note", "recorded_at", "class_id", "student_id"),
)
ROSTER = (
    *("class_title", "number", "family_name", "given_name", "student", "grades", "begins_on", "ends_on"),
    *("class_id", "student_id"),
)
_MOST = 100_000


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/office/files` and the files."""

    @blueprint.get("/office/files")
    @pages.for_visitors
    async def office_files(visitor: Visitor) -> Response:
        return await files_page(pages, visitor, await school_of(visitor, asked("school")))

    @blueprint.get("/office/files/attendance.csv")
    @pages.for_visitors
    async def office_attendance(visitor: Visitor) -> Response:
        at = await school_of(visitor, asked("school"))
        since = day_or(at.today, asked("from"))
        until = day_or(since, asked("to"))
        wanted = {"from": str(since), "to": str(until), "class_id": asked("class")}
        found, more = await whole(visitor, f"/schools/{at.id}/attendance", _MOST, **wanted)
        _check(more=more)
        rows = [[_cell(one, column) for column in ATTENDANCE] for one in found]
        return _file(f"attendance-{since}-{until}.csv", written(ATTENDANCE, rows))

    @blueprint.get("/office/files/roster.csv")
    @pages.for_visitors
    async def office_roster(visitor: Visitor) -> Response:
        at = await school_of(visitor, asked("school"))
        found, more = await whole(visitor, f"/schools/{at.id}/roster", _MOST, class_id=asked("class"))
        _check(more=more)
        rows = [[_cell(one, column) for column in ROSTER] for one in found]
        return _file(f"roster-{at.today}.csv", written(ROSTER, rows))


async def files_page(
    pages: Pages, visitor: Visitor, at: At, *, day: str = "", class_id: str = "", refusal: Failed | None = None
) -> Response:
    """The page with its forms, and why a file was not taken."""
    return pages.render(
        "office/files.html",
        visitor=visitor,
        at=at,
        classes=await classes_of(visitor, at.id, str(at.today)),
        day=day or str(at.today),
        class_id=class_id,
        most=MOST_BYTES // 1024,
        refusal=refusal,
    )


def _check(*, more: bool) -> None:
    if more:
        raise Failed(
            UNPROCESSABLE, language().say("That is too much for one file. Please choose fewer days, or one class.")
        )


def _cell(one: dict[str, Any], column: str) -> object:
    match column:
        case "student":
            return one["name"]
        case "number":
            return one["identifier"]
        case "grades":
            return " ".join(one["grades"])
        case _:
            return one[column]


def _file(name: str, content: bytes) -> Response:
    response = Response(content, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
