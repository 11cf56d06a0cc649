"""Figures drawn on the server: where each bar, point and label of an SVG lies. `templates/chart.html` writes it.

Everything is laid out in the direction of writing: with `rtl` the first value stands at the right. Colours are classes
of the style sheet, and a page says the same numbers in a table below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

_WIDTH, _HEIGHT, _GUTTER, _TOP, _FOOT = 640.0, 240.0, 48.0, 12.0, 28.0
_ROW, _NAMES, _LONGEST = 30.0, 220.0, 30
_LABELS = 8  # along the bottom, at most
_STEPS = 4


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of value: the class that colours it, and its name in the legend."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a figure: its label, and a value for each series, stacked in their order."""

    label: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Text:
    """A label at a place; `anchor` is SVG's, by the direction of writing."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "middle"] = "middle"


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a bar; `told` is said when somebody points at it."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    told: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a line."""

    x: float
    y: float
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure, ready to be written. `name` is unlike that of every other figure of the page."""

    name: str
    title: str
    about: str
    width: float = _WIDTH
    height: float = _HEIGHT
    legend: Sequence[Series] = ()
    rules: Sequence[float] = ()
    texts: Sequence[Text] = ()
    boxes: Sequence[Box] = ()
    dots: Sequence[Dot] = ()
    paths: Sequence[str] = ()
    is_upright: bool = True

    @property
    def left(self) -> float:
        """Where the lines behind the bars begin."""
        return _GUTTER if self.is_upright else 0.0


def columns(
    name: str,
    title: str,
    about: str,
    bars: Sequence[Bar],
    series: Sequence[Series],
    *,
    rtl: bool = False,
) -> Chart:
    """Upright bars side by side, for days or hours."""
    top = _round_up(max((sum(bar.values) for bar in bars), default=0))
    slot = (_WIDTH - _GUTTER) / max(1, len(bars))
    high = _HEIGHT - _TOP - _FOOT
    boxes: list[Box] = []
    for number, bar in enumerate(bars):
        foot = _TOP + high
        for value, one in zip(bar.values, series, strict=True):
            size = high * value / top
            foot -= size
            told = f"{bar.label}: {value:g} {one.name}"
            boxes.append(Box(_GUTTER + slot * (number + 0.15), foot, slot * 0.7, size, one.kind, told))
    marks = [(_TOP + high - high * step / _STEPS, f"{top * step / _STEPS:g}") for step in range(_STEPS + 1)]
    chart = Chart(
        name=name,
        title=title,
        about=about,
        legend=series if len(series) > 1 else (),
        rules=[y for y, _ in marks],
        texts=[*_scale(marks), *_below([bar.label for bar in bars])],
        boxes=boxes,
    )
    return _mirrored(chart) if rtl else chart


def rows(
    name: str,
    title: str,
    about: str,
    bars: Sequence[Bar],
    series: Sequence[Series],
    *,
    top: float | None = None,
    values: Sequence[str] = (),
    rtl: bool = False,
) -> Chart:
    """Lying bars below each other, each with its whole name; `values` are the texts behind them."""
    most = top or _round_up(max((sum(bar.values) for bar in bars), default=0))
    room = _WIDTH - _NAMES - _GUTTER
    boxes, texts = list[Box](), list[Text]()
    for number, bar in enumerate(bars):
        x, y = _NAMES, number * _ROW
        label = bar.label if len(bar.label) <= _LONGEST else f"{bar.label[: _LONGEST - 1]}…"
        texts.append(Text(0, y + _ROW * 0.65, label, "start"))
        for value, one in zip(bar.values, series, strict=True):
            size = room * min(value, most) / most
            boxes.append(Box(x, y + _ROW * 0.2, size, _ROW * 0.6, one.kind, f"{bar.label}: {value:g} {one.name}"))
            x += size
        if number < len(values):
            texts.append(Text(_WIDTH - _GUTTER / 2, y + _ROW * 0.65, values[number]))
    chart = Chart(
        name=name,
        title=title,
        about=about,
        height=max(_ROW, len(bars) * _ROW),
        legend=series if len(series) > 1 else (),
        texts=texts,
        boxes=boxes,
        is_upright=False,
    )
    return _mirrored(chart) if rtl else chart


def line(
    name: str,
    title: str,
    about: str,
    points: Sequence[tuple[str, float | None]],
    *,
    rtl: bool = False,
) -> Chart:
    """Shares over time, in per cent; where there is None the line is broken. The scale begins below the lowest."""
    known = [value for _, value in points if value is not None]
    low = min(0.9, math.floor(min(known, default=0.0) * 10) / 10)
    steps = [low + (1 - low) * step / _STEPS for step in range(_STEPS + 1)]
    told = [None if value is None else f"{label}: {value:.1%}" for label, value in points]
    scale = [(value, f"{value * 100:g} %") for value in steps]
    return _drawn(name, title, about, points, told=told, scale=scale, rtl=rtl)


def curve(
    name: str,
    title: str,
    about: str,
    points: Sequence[tuple[str, float]],
    *,
    rtl: bool = False,
) -> Chart:
    """A figure that goes up and down over time; its scale begins at nought."""
    top = _round_up(max((value for _, value in points), default=0))
    steps = [top * step / _STEPS for step in range(_STEPS + 1)]
    told = [f"{label}: {value:g}" for label, value in points]
    scale = [(value, f"{value:g}") for value in steps]
    chart = _drawn(name, title, about, points, told=told, scale=scale, rtl=rtl)
    return replace(chart, dots=chart.dots if len(points) == 1 else ())


def _drawn(
    name: str,
    title: str,
    about: str,
    points: Sequence[tuple[str, float | None]],
    *,
    told: Sequence[str | None],
    scale: Sequence[tuple[float, str]],
    rtl: bool,
) -> Chart:
    """A line through points, on a scale whose steps are named from the lowest to the highest."""
    (low, _), (top, _) = scale[0], scale[-1]
    high = _HEIGHT - _TOP - _FOOT
    slot = (_WIDTH - _GUTTER) / max(1, len(points))
    runs: list[list[Dot]] = [[]]
    for number, ((_, value), text) in enumerate(zip(points, told, strict=True)):
        if value is None or text is None:
            runs.append([])
            continue
        y = _TOP + high * (1 - (value - low) / (top - low))
        runs[-1].append(Dot(_GUTTER + slot * (number + 0.5), y, text))
    marks = [(_TOP + high * (1 - step / _STEPS), text) for step, (_, text) in enumerate(scale)]
    chart = Chart(
        name=name,
        title=title,
        about=about,
        rules=[y for y, _ in marks],
        texts=[*_scale(marks), *_below([label for label, _ in points])],
        dots=[dot for run in runs for dot in run],
    )
    chart = _mirrored(chart) if rtl else chart
    return replace(chart, paths=_paths(chart.dots, [len(run) for run in runs]))


def _paths(dots: Sequence[Dot], lengths: Sequence[int]) -> list[str]:
    paths, start = list[str](), 0
    for length in lengths:
        if length > 1:
            paths.append("M" + " L".join(f"{dot.x:.1f} {dot.y:.1f}" for dot in dots[start : start + length]))
        start += length
    return paths


def _scale(marks: Sequence[tuple[float, str]]) -> list[Text]:
    return [Text(_GUTTER / 2, y + 4, text) for y, text in marks]


def _below(labels: Sequence[str]) -> list[Text]:
    slot = (_WIDTH - _GUTTER) / max(1, len(labels))
    every = math.ceil(len(labels) / _LABELS) or 1
    return [
        Text(_GUTTER + slot * (number + 0.5), _HEIGHT - 8, label)
        for number, label in enumerate(labels)
        if number % every == 0
    ]


def _round_up(value: float) -> float:
    """The next number above that its scale divides into four steps that are easy to read."""
    if value <= _STEPS:
        return float(_STEPS)
    unit = 10.0 ** math.floor(math.log10(value / _STEPS))
    return next(unit * step * _STEPS for step in (1, 2, 2.5, 5, 10) if unit * step * _STEPS >= value)


def _mirrored(chart: Chart) -> Chart:
    """The same figure from right to left; a text's anchor follows the direction of writing by itself."""
    wide = chart.width
    return replace(
        chart,
        texts=[replace(text, x=wide - text.x) for text in chart.texts],
        boxes=[replace(box, x=wide - box.x - box.width) for box in chart.boxes],
        dots=[replace(dot, x=wide - dot.x) for dot in chart.dots],
    )
