"""What every bench gives back, and the arithmetic that they share."""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One measurement: `measured` and `baseline` in `unit`, and their `ratio`.

    `setup` says how it was measured and holds the figures taken beside it. `aim` is what the project asks of the ratio
    or the figure, in words. `errors` counts answers that were not the expected ones; `lost` what was answered and is
    not there; `doubled` what is there more than once.
    """

    bench: str
    measured: float
    baseline: float
    ratio: float
    unit: str
    aim: str
    errors: int
    setup: Mapping[str, Any]
    p50_ms: float | None = None
    p95_ms: float | None = None
    lost: int | None = None
    doubled: int | None = None

    @property
    def sound(self) -> bool:
        """Whether everything was answered as it should be, and is there once."""
        return not (self.errors or self.lost or self.doubled)

    def as_json(self) -> dict[str, Any]:
        """The contract's object; what does not apply to this bench is left out."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        values["setup"] = {**self.setup, "aim": values.pop("aim")}
        return values


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` (0 to 1) of them do not exceed: the nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle one, which one disturbed round does not move."""
    return statistics.median(values)


def neat(value: float) -> float:
    """`value` with three digits that mean something; short runs give no more."""
    return (
        value
        if value == 0 or not math.isfinite(value)
        else round(value, max(0, 2 - math.floor(math.log10(abs(value)))))
    )


def machine(server: str | None = None) -> dict[str, Any]:
    """What the figures depend on: the server and its version, Python and the processors."""
    facts: dict[str, Any] = {"python": platform.python_version(), "cpus": psutil.cpu_count()}
    return {"server": f"{server} {version(server)}", **facts} if server else facts
