"""How the system is: every part, and this process in the last hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quart import Blueprint, Response

from homeroom_web import times
from homeroom_web.admin.common import page
from homeroom_web.charts import Chart, curve
from homeroom_web.pages import Pages, language
from homeroom_web.visitors import Visitor
from homeroom_web.words import to_say

_MEGABYTE = 1024 * 1024
_FIGURES = (
    ("memory_bytes", to_say("Memory, MB"), _MEGABYTE),
    ("cpu_percent", to_say("CPU, % of one core"), 1),
    ("requests", to_say("Requests in each half minute"), 1),
    ("failed_requests", to_say("Failed requests"), 1),
    ("sockets", to_say("Live sockets"), 1),
    ("writes_waiting", to_say("Writes that wait"), 1),
    ("loop_delay_ms", to_say("Delay of the event loop, ms"), 1),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the last hour: its newest and its largest value, and the chart."""

    name: str
    now: str
    most: str
    chart: Chart


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/health`."""

    @blueprint.get("/admin/health")
    @pages.for_visitors
    async def system_health(visitor: Visitor) -> Response:
        now = await visitor.get("/health/detailed")
        past = await visitor.get("/health/history")
        return page(
            pages,
            "admin/health.html",
            visitor,
            now=now,
            memory=round(now["process"]["memory_bytes"] / _MEGABYTE),
            figures=_figures(past["items"], pages.services.time_zone),
            pid=past["pid"],
            minutes=round(len(past["items"]) * past["every_seconds"] / 60),
        )


def _figures(samples: Sequence[dict[str, Any]], zone: str) -> list[Figure]:
    """Every figure; none before the first look."""
    if not samples:
        return []
    words = language()
    moments = [times.clock(sample["at"], zone, words.language) for sample in samples]
    about = words.say("One point for each half minute; the table below says the newest and the largest value.")
    found = []
    for key, name, unit in _FIGURES:
        values = [round(sample[key] / unit, 1) for sample in samples]
        points = list(zip(moments, values, strict=True))
        chart = curve(key, words.say(name), about, points, rtl=words.dir == "rtl")
        found.append(Figure(words.say(name), f"{values[-1]:g}", f"{max(values):g}", chart))
    return found
