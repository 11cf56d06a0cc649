"""The routes of the compliance report and of published figures."""

from __future__ import annotations

from datetime import date
from typing import Any

from quart import Blueprint, Response

from homeroom import Answer, Call, Query, Services, operation
from homeroom_ferpa.reports import figures, matrix
from homeroom_ferpa.reports.settings import ReportsSettings


class Days(Query):
    """The first and the last day, both included."""

    since: date
    until: date


class Report(Answer):
    """Every sentence of the law with how it is met, the tests that prove it, and how they went."""

    sentences: list[dict[str, Any]]
    notice: str = "This is engineering guidance, not legal advice."


class Figures(Answer):
    """A table as it was published; what is null is hidden."""

    table: dict[str, Any]


def add_routes(pages: Blueprint, services: Services, settings: ReportsSettings) -> None:
    """Hang them below the plugin's prefix."""

    @pages.get("/report")
    @operation("compliance.manage", answers=Report)
    async def read_report(call: Call) -> Report:
        """The sentences of the law, how each is met, the test that proves it, and its last result."""
        del call
        return Report(sentences=matrix.report(matrix.outcomes(settings.results)))

    @pages.get("/report/page")
    @operation("compliance.manage", answers={200: "text/html"})
    async def read_report_page(call: Call) -> Response:
        """The same, as a page to read."""
        del call
        rows = matrix.report(matrix.outcomes(settings.results))
        return Response(matrix.as_page(rows), 200, content_type="text/html; charset=utf-8")

    @pages.get("/figures")
    @operation("compliance.manage", query=Days, answers=Figures, problems=(409,))
    async def read_figures(call: Call, query: Days) -> Figures:
        """Chronic absence by school and grade without small cells; the first answer publishes the table for good."""
        del call
        return Figures(table=(await figures.publish(services, settings, query.since, query.until)).as_json())
