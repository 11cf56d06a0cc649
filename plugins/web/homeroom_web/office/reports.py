"""The office's reports: a figure, how it was counted, and the same numbers as a table and as a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from babel.numbers import format_decimal, format_percent
from quart import Blueprint, Response

from homeroom_web.asking import beside_form, link, part
from homeroom_web.forms import chosen
from homeroom_web.office import figures
from homeroom_web.pages import NOT_FOUND, Pages, language
from homeroom_web.times import NOTHING
from homeroom_web.visitors import Failed, Visitor
from homeroom_web.words import to_say

NAMES: Mapping[str, tuple[str, str]] = {
    "daily": (to_say("Daily attendance"), to_say("Who came, day by day")),
    "chronic-absence": (to_say("Chronic absence"), to_say("Students who missed a tenth of their days or more")),
    "ada-adm": (to_say("Average attendance and membership"), to_say("ADA and ADM, school by school")),
    "rolls-not-taken": (to_say("Rolls not taken"), to_say("Classes without a session, or with one left open")),
    "check-in-patterns": (to_say("Check-ins by hour"), to_say("When, where and how students check in")),
}
"""Each report's name, and what it is for."""

_CHOSEN = ("school_id", "from", "to", "cursor")


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/office/reports`, each report below it, and each as a file."""

    @blueprint.get("/office/reports")
    @pages.for_visitors
    async def list_reports(visitor: Visitor) -> Response:
        overview = await _overview(visitor)
        return _list(visitor, overview, status=NOT_FOUND if overview is None else 200)

    @blueprint.get("/office/reports/<name>")
    @pages.for_visitors
    async def show_report(visitor: Visitor, name: str) -> Response:
        overview = await _overview(visitor)
        if overview is None or name not in NAMES or name not in overview["reports"]:
            return _list(visitor, overview, status=NOT_FOUND)
        return await _shown(pages, visitor, name, overview)

    @blueprint.get("/office/reports/<name>.csv")
    @pages.for_visitors
    async def save_report(visitor: Visitor, name: str) -> Response:
        try:
            answer = await visitor.file(link(f"/reports/{part(name)}", {**chosen(*_CHOSEN), "format": "csv"}))
        except Failed as refusal:
            raise _every_reason(refusal) from None
        response = Response(answer.body, 200, content_type="text/csv; charset=utf-8")
        response.headers["Content-Disposition"] = f'attachment; filename="{name if name in NAMES else "report"}.csv"'
        return response

    def _list(visitor: Visitor, overview: dict[str, Any] | None, *, status: int) -> Response:
        return pages.render("office/reports.html", visitor=visitor, status=status, names=NAMES, overview=overview)


async def _shown(pages: Pages, visitor: Visitor, name: str, overview: Mapping[str, Any]) -> Response:
    """A report with the form to choose by; what was filled in wrongly is told with all of it kept."""
    wanted, found, refusal = chosen(*_CHOSEN), None, None
    try:
        found = await visitor.get(link(f"/reports/{name}", wanted))
    except Failed as failed:
        refusal = _every_reason(beside_form(failed))
    path, cursor = f"/office/reports/{name}", found and found.get("next")
    return pages.render(
        "office/report.html",
        visitor=visitor,
        refusal=refusal,
        name=name,
        names=NAMES,
        overview=overview,
        wanted=wanted,
        found=found,
        charts=figures.charts(name, found, language()) if found else [],
        as_file=link(f"{path}.csv", {**wanted, "cursor": ""}),
        more=cursor and link(path, {**wanted, "cursor": cursor}),
        **_numbers(),
    )


async def _overview(visitor: Visitor) -> dict[str, Any] | None:
    """Which reports and schools the visitor is given; None while the plugin that counts is not on."""
    try:
        found: dict[str, Any] = await visitor.get("/reports/")
    except Failed as refusal:
        if refusal.status != NOT_FOUND:
            raise
        return None
    return found


def _every_reason(refusal: Failed) -> Failed:
    """The same refusal; of what was filled in wrongly it says every reason."""
    reasons = [f"{name}: {message}." for name, message in refusal.errors.items()]
    return Failed(refusal.status, " ".join(reasons) or refusal.detail)


def _numbers() -> dict[str, Any]:
    """How a page writes numbers in its language; a dash stands for what there is not."""
    local = language().language
    return {
        "share": lambda value: NOTHING if value is None else format_percent(value, "#,##0.0 %", locale=local),
        "number": lambda value: NOTHING if value is None else format_decimal(value, locale=local),
    }
