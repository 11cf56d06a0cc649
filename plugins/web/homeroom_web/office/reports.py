"""The office's reports: a figure, how it was counted, and the same numbers as a table and as a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from babel.numbers import format_decimal, format_percent
from quart import Blueprint, Response, request

from homeroom import ApiAnswer
from homeroom_web.office import figures
from homeroom_web.pages import Pages, language
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

_ASKED = ("school_id", "from", "to", "cursor")
_NOT_FOUND, _INVALID = 404, 422
_NOTHING = "\N{EN DASH}"


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/office/reports`, each report below it, and each as a file."""

    @blueprint.get("/office/reports")
    @pages.for_visitors
    async def list_reports(visitor: Visitor) -> Response:
        overview = await _overview(visitor)
        return pages.render("office/reports.html", visitor=visitor, names=NAMES, overview=overview)

    @blueprint.get("/office/reports/<name>")
    @pages.for_visitors
    async def show_report(visitor: Visitor, name: str) -> Response:
        overview = await _overview(visitor)
        if overview is None or name not in NAMES or name not in overview["reports"]:
            status = 200 if overview is None else _NOT_FOUND
            return pages.render("office/reports.html", visitor=visitor, status=status, names=NAMES, overview=overview)
        return await _shown(pages, visitor, name, overview)

    @blueprint.get("/office/reports/<name>.csv")
    @pages.for_visitors
    async def save_report(visitor: Visitor, name: str) -> Response:
        query = urlencode({**_asked(), "format": "csv"})
        answer = await visitor.visitors.ask(visitor, "GET", f"/reports/{quote(name, safe='')}?{query}")
        if answer.status != 200:  # noqa: PLR2004
            raise _failed(answer)
        response = Response(answer.body, 200, content_type="text/csv; charset=utf-8")
        response.headers["Content-Disposition"] = f'attachment; filename="{name if name in NAMES else "report"}.csv"'
        return response


async def _shown(pages: Pages, visitor: Visitor, name: str, overview: Mapping[str, Any]) -> Response:
    """A report with the form to choose by; what was filled in wrongly is told with all of it kept."""
    asked = _asked()
    answer = await visitor.visitors.ask(visitor, "GET", f"/reports/{name}?{urlencode(asked)}")
    if answer.status >= 400 and answer.status != _INVALID:  # noqa: PLR2004
        raise _failed(answer)
    wrong = str(_failed(answer)) if answer.status == _INVALID else None
    found = None if wrong else orjson.loads(answer.body)
    more = found and found.get("next")
    return pages.render(
        "office/report.html",
        visitor=visitor,
        status=answer.status,
        name=name,
        names=NAMES,
        overview=overview,
        asked={key: asked.get(key, "") for key in _ASKED},
        found=found,
        wrong=wrong,
        charts=figures.charts(name, found, language()) if found else [],
        as_file=_link(f"{name}.csv", {key: value for key, value in asked.items() if key != "cursor"}),
        more=_link(name, {**asked, "cursor": more}) if more else None,
        **_numbers(),
    )


async def _overview(visitor: Visitor) -> dict[str, Any] | None:
    """Which reports and schools the visitor is given; None while the plugin that counts is not on."""
    try:
        found: dict[str, Any] = await visitor.get("/reports/")
    except Failed as refusal:
        if refusal.status != _NOT_FOUND:
            raise
        return None
    return found


def _failed(answer: ApiAnswer) -> Failed:
    """Why a route refused; of what was filled in wrongly, every reason."""
    told = orjson.loads(answer.body) if answer.body else {}
    errors = [f"{one['field']}: {one['message']}." for one in told.get("errors") or ()]
    return Failed(answer.status, " ".join(errors) or told.get("detail", ""))


def _asked() -> dict[str, str]:
    """What was chosen in the form; what was left empty is not asked for."""
    return {name: value for name in _ASKED if (value := request.args.get(name, "").strip())}


def _link(name: str, asked: Mapping[str, str]) -> str:
    query = urlencode(asked)
    return f"/office/reports/{name}?{query}" if query else f"/office/reports/{name}"


def _numbers() -> dict[str, Any]:
    """How a page writes numbers in its language; a dash stands for what there is not."""
    local = language().language
    return {
        "share": lambda value: _NOTHING if value is None else format_percent(value, "#,##0.0 %", locale=local),
        "number": lambda value: _NOTHING if value is None else format_decimal(value, locale=local),
    }
