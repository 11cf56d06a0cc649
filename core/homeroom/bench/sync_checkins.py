"""Check-ins while a sync goes on in the same server, beside check-ins in peace, for `homeroom bench sync`.

Rounds in peace come before and after the sync, so that a drift of the machine hits both. The sync is begun over the
API, as an administrator begins it, and runs in the server's own process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx2

from homeroom.bench.checkin import count, shots_of
from homeroom.bench.crowd import CLASSES, Crowd, Rates, parts_of, teachers_of
from homeroom.bench.exchange import HOST
from homeroom.bench.processes import BenchFailed, Running, product, serving
from homeroom.bench.synthetic import Installation, administrator, populate

Progress = Callable[[str, int, int | None], None]

_ROUNDS = ("in peace", "while pulling", "while applying", "in peace")
_LOOK = 0.05
_PATIENCE = 1800.0  # seconds that a sync may take
_UNDER_WAY = ("pulling", "applying")


def measure(here: Installation, connector: str, *, checkins: int, progress: Progress) -> Rates:
    """The rates of so many check-ins in all, over 64 kept-alive connections."""
    with here.store() as store:
        groups = populate(store, classes=CLASSES, students=checkins)
        administrator(store, "admin")
    (token,) = here.tokens("admin")
    warm, parts = parts_of(shots_of(here, groups), len(_ROUNDS))
    rates = Rates()
    with serving(partial(product, "hypercorn"), here.folder, here.environment) as server:
        runs = _Runs(server, connector, token)
        crowd = Crowd(rates=rates, port=server.port, teachers=teachers_of(here, groups))
        crowd.rush(warm)
        for number, (name, part) in enumerate(zip(_ROUNDS, parts, strict=True)):
            progress(f"check-ins {name}", number, len(_ROUNDS))
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
