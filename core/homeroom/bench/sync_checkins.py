"""Check-ins while a sync goes on in the same server, beside check-ins in peace, for `homeroom bench sync`.

Rounds in peace come before and after the sync, so that a drift of the machine hits both. The sync is begun over the
API, as an administrator begins it, and runs in the server's own process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx2

from homeroom.bench import load
from homeroom.bench.checkin import Shot, count, shots_of
from homeroom.bench.codes import Teacher
from homeroom.bench.exchange import HOST
from homeroom.bench.outcome import median
from homeroom.bench.processes import BenchFailed, Running, product, run_client, serving
from homeroom.bench.synthetic import Group, Installation, administrator, populate

Progress = Callable[[str, int, int | None], None]

_CLASSES = 10
_CONNECTIONS = 64
_WARM = 200
_ROUNDS = ("in peace", "while pulling", "while applying", "in peace")
_LOOK = 0.05
_PATIENCE = 1800.0  # seconds that a sync may take
_UNDER_WAY = ("pulling", "applying")


@dataclass(slots=True, kw_only=True)
class Rates:
    """Check-ins a second, in peace and while a sync went on; `cut_short` when it ended before its rounds did."""

    in_peace: list[float] = field(default_factory=list)
    meanwhile: list[float] = field(default_factory=list)
    cut_short: bool = False
    errors: int = 0
    lost: int = 0
    doubled: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How much of the rate is left during a sync."""
        return median(self.meanwhile) / median(self.in_peace)


def measure(here: Installation, connector: str, *, checkins: int, progress: Progress) -> Rates:
    """The rates of so many check-ins in all, over 64 kept-alive connections."""
    with here.store() as store:
        groups = populate(store, classes=_CLASSES, students=checkins)
        administrator(store, "admin")
    (token,) = here.tokens("admin")
    shots = shots_of(here, groups)
    warm = min(_WARM, len(shots) // (len(_ROUNDS) + 1))
    size = (len(shots) - warm) // len(_ROUNDS)
    rates = Rates()
    with serving(partial(product, "hypercorn"), here.folder, here.environment) as server:
        runs = _Runs(server, connector, token)
        crowd = _Crowd(rates=rates, port=server.port, teachers=_teachers(here, groups))
        crowd.rush(shots[:warm])
        for number, name in enumerate(_ROUNDS):
            progress(f"check-ins {name}", number, len(_ROUNDS))
            part = shots[warm + size * number : warm + size * (number + 1)]
            if name == "in peace":
                rates.in_peace.append(crowd.rush(part))
                continue
            runs.begin() if name == "while pulling" else runs.wait_for("applying")
            was_on = runs.is_on()
            rates.meanwhile.append(crowd.rush(part))
            rates.cut_short |= not (was_on and runs.is_on())
            if name == "while applying":
                runs.wait_for("done")
    with here.store() as store:
        rates.lost, rates.doubled = store.read_now(lambda c: count(c, crowd.answered))
    return rates


def _teachers(here: Installation, groups: Sequence[Group]) -> list[Teacher]:
    tokens = here.tokens(*(group.teachers[0] for group in groups))
    return [Teacher(session_id=g.session_id, token=t) for g, t in zip(groups, tokens, strict=True)]


@dataclass(slots=True, kw_only=True)
class _Crowd:
    """Students who check in at a server, and which of them were answered: (session, student)."""

    rates: Rates
    port: int
    teachers: list[Teacher]
    answered: set[tuple[str, str]] = field(default_factory=set)

    def rush(self, shots: Sequence[Shot]) -> float:
        """Check these in; gives how many a second."""
        one = load.Round(
            name="check-ins",
            port=self.port,
            connections=_CONNECTIONS,
            requests=[shot.real for shot in shots],
            expected=201,
            code_of=[shot.session_id for shot in shots],
        )
        plan = load.Plan(rounds=[one], codes_from=self.port, teachers=self.teachers)
        (taken,) = [load.Taken(**told) for told in run_client(load.__name__, plan)]
        self.answered |= {(shots[number].session_id, shots[number].student_id) for number in taken.good}
        self.rates.errors += taken.errors
        self.rates.examples += taken.examples
        return len(taken.good) / taken.seconds


class _Runs:
    """The sync runs of a server, over its API."""

    def __init__(self, server: Running, connector: str, token: str) -> None:
        self._base = f"http://{HOST}:{server.port}/api/v1/sync"
        self._connector = connector
        self._headers = {"Authorization": f"Bearer {token}"}
        self._run_id = ""

    def begin(self) -> None:
        """Begin a full run. Raises BenchFailed when the server does not."""
        answer = httpx2.post(f"{self._base}/{self._connector}/runs", json={"full": True}, headers=self._headers)
        if answer.status_code != 202:  # noqa: PLR2004 - the only good one
            raise BenchFailed(f"The server did not begin a sync: {answer.status_code}.")
        self._run_id = answer.json()["run_id"]

    def is_on(self) -> bool:
        """Whether the run goes on."""
        return self._state() in _UNDER_WAY

    def wait_for(self, state: str) -> None:
        """Come back when it is there, or past it."""
        deadline = time.monotonic() + _PATIENCE
        while self._state() not in (state, "done"):
            if time.monotonic() > deadline:
                raise BenchFailed("The sync does not come to its end.")
            time.sleep(_LOOK)  # another process does it: there is nothing to wait on but its word

    def _state(self) -> str:
        told: dict[str, Any] = httpx2.get(f"{self._base}/runs/{self._run_id}", headers=self._headers, timeout=60).json()
        if told["status"] in ("failed", "held"):
            raise BenchFailed(f"The sync did not come to its end: {told['reason']}.")
        return str(told["status"])
