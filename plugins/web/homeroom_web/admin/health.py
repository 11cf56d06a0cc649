"""How the system is: every part, and this process in the last hour, drawn as small charts on the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quart import Blueprint, Response

from homeroom_web.admin.shown import helpers
from homeroom_web.pages import Pages, language
from homeroom_web.visitors import Visitor
from homeroom_web.words import to_say

_WIDE, _HIGH = 300, 60
_MEGABYTE = 1024 * 1024
_CHARTS = (
    (to_say("Memory, MB"), "memory_bytes", _MEGABYTE),
    (to_say("CPU, % of one core"), "cpu_percent", 1),
    (to_say("Requests in each half minute"), "requests", 1),
    (to_say("Failed requests"), "failed_requests", 1),
    (to_say("Live sockets"), "sockets", 1),
    (to_say("Writes that wait"), "writes_waiting", 1),
    (to_say("Delay of the event loop, ms"), "loop_delay_ms", 1),
)


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/health`."""

    @blueprint.get("/admin/health")
    @pages.for_visitors
    async def system_health(visitor: Visitor) -> Response:
        now = await visitor.get("/health/detailed")
        past = await visitor.get("/health/history")
        return pages.render(
            "admin/health.html",
            visitor=visitor,
            now=now,
            memory=round(now["process"]["memory_bytes"] / _MEGABYTE),
            charts=charts_of(past["items"]),
            wide=_WIDE,
            high=_HIGH,
            pid=past["pid"],
            minutes=round(len(past["items"]) * past["every_seconds"] / 60),
            **helpers(pages),
        )


def charts_of(samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A chart for each figure: its name, the newest and the largest value, and the picture."""
    found = []
    for name, key, unit in _CHARTS:
        values = [sample[key] / unit for sample in samples]
        if values:
            said = language().say(name)
            now, most = _short(values[-1]), _short(max(values))
            label = language().say("{name}: now {now}, at most {most}", name=said, now=now, most=most)
            found.append({"name": said, "now": now, "most": most, "label": label, "points": line(values)})
    return found


def line(values: Sequence[float]) -> str:
    """The points of a line through values, the oldest first, for an SVG's `polyline`; its foot is nought."""
    top = max(*values, 1)
    step = _WIDE / max(len(values) - 1, 1)
    points = [(number * step, _HIGH - value / top * (_HIGH - 4) - 2) for number, value in enumerate(values)]
    if len(points) == 1:
        points.append((_WIDE, points[0][1]))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
