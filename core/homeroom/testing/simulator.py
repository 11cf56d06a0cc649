"""What every vendor's simulator shares: tokens, pages, a log of requests, and the ways in which real servers misbehave.

A simulator is a class named in the entry-point group `homeroom.simulators`. It serves a `SampleDistrict` as the vendor
would, from a small Quart app, on loopback (`homeroom simulate NAME`), in the demo, and in tests:

    simulator = PowerSchoolSimulator(sample_district(students=500), misbehave={"429"})
    given = services("powerschool", http=simulator.app)
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar, TypeVar

from quart import Quart, Response, request
from quart.typing import ResponseReturnValue

from homeroom.testing.sample import SampleDistrict

T = TypeVar("T")

MISBEHAVIOURS: Mapping[str, str] = {
    "429": "every third request is refused with 429 and Retry-After: 0",
    "429-bare": "every third request is refused with 429 and no Retry-After",
    "500": "every fourth request fails with 500",
    "token-expiry": "a token is good for five requests only, then 401",
    "repeat-page": "the second page is the first one again",
    "moving-rows": "rows move between pages while they are read",
    "truncated": "every fourth answer is cut off in the middle",
    "outage": "every request is sent to an HTML page that says the system is down for maintenance",
    "clock-skew": "the server's clock is ten minutes ahead",
    "empty": "every list is empty",
    "half": "every list ends in the middle, without a word",
    "unknown-field": "every record has a field that nobody documented",
    "removed-field": "every record lacks its last optional field",
    "slow-drip": "answers arrive a few bytes at a time",
}
"""What `homeroom simulate NAME --misbehave KIND` takes."""

INSPECTION = "/_simulator/attendance"
"""Where a SIS's simulator, and no vendor, tells without a sign-in what attendance was written to it."""

_OUTAGE = """<!doctype html><title>Unavailable</title><h1>This page is currently unavailable</h1>
<p>The system is down for planned maintenance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that was answered: for tests to count and look at (`json` of a write only)."""

    method: str
    path: str
    status: int
    json: Any = field(default=None, repr=False)


class Simulator:
    """One vendor's server. Subclasses add routes to `self.app` in `__init__`, and say what they are.

    `name` is the connector's, `evidence` says in a sentence what the simulator was built from and never tried against.
    `small_pages` are settings of the connector with which some thirty students fill several pages, `kinds` the ways in
    which it can misbehave, `misbehaved` those in which it has. What it has taken is told at `inspection_path`.
    """

    kinds: ClassVar[Mapping[str, str]] = MISBEHAVIOURS
    inspection_path: ClassVar[str] = INSPECTION
    spoiled_statuses: ClassVar[frozenset[int]] = frozenset({200})  # whose bodies are cut off, or drip
    name: ClassVar[str]
    title: ClassVar[str]
    evidence: ClassVar[str]
    token_paths: ClassVar[tuple[str, ...]] = ()
    small_pages: ClassVar[Mapping[str, Any]] = {}
    outage_url: ClassVar[str] = "https://message.vendor.example/"

    def __init__(self, district: SampleDistrict, *, misbehave: Collection[str] = ()) -> None:
        unknown = set(misbehave) - set(self.kinds)
        if unknown:
            raise ValueError(f"unknown misbehaviour {min(unknown)}; there are: {', '.join(self.kinds)}")
        self.district = district
        self.misbehave = set(misbehave)
        self.misbehaved: set[str] = set()
        self.client_id = "homeroom-client"
        self.client_secret = "homeroom-secret-of-the-simulator"  # noqa: S105 - a simulator's
        self.asked: list[Asked] = []
        self.app = Quart(type(self).__module__)
        self._tokens: dict[str, int] = {}
        self._count: Counter[str] = Counter()
        self.app.before_request(self._before)
        self.app.after_request(self._after)

    def settings(self, url: str) -> dict[str, Any]:
        """The connector's settings with which it reads this simulator at `url`."""
        raise NotImplementedError

    def attendance(self) -> list[dict[str, Any]]:
        """What was written here: `student` (sourced id of the sample), `school_day`, `code`, and more by vendor."""
        return []

    def inspection(self) -> dict[str, Any]:
        """What is told at `inspection_path`."""
        return {"attendance": self.attendance()}

    def issue_token(self) -> str:
        """A new bearer token."""
        token = secrets.token_urlsafe(16)
        self._tokens[token] = 5 if "token-expiry" in self.misbehave else 10**9
        return token

    def token_is_good(self) -> bool:
        """Whether this request carries a token that is still good; each request uses it once."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        left = self._tokens.get(token, 0)
        if left:
            self._tokens[token] = left - 1
        return left > 0

    @property
    def tokens(self) -> frozenset[str]:
        """The tokens handed out so far."""
        return frozenset(self._tokens)

    def expire_tokens(self) -> None:
        """No token handed out so far is good any more."""
        self._tokens.clear()

    def page(self, rows: Sequence[T], offset: int, limit: int) -> list[T]:
        """The rows of one page, as far as the server behaves."""
        if "empty" in self.misbehave:
            return []
        if "half" in self.misbehave:
            rows = rows[: len(rows) // 2]
        if "moving-rows" in self.misbehave and offset:
            offset -= min(offset, max(1, limit // 10))
        if "repeat-page" in self.misbehave and offset and self._first("repeat-page"):
            offset = 0
        return list(rows[offset : offset + limit])

    def dress(self, row: dict[str, Any], *, optional: Sequence[str] = ()) -> dict[str, Any]:
        """A record as the server gives it: with a field too many, or without the last `optional` one it has."""
        if "unknown-field" in self.misbehave:
            row = {**row, "x_undocumented": {"since": "yesterday"}}
        if "removed-field" in self.misbehave:
            last = next((name for name in reversed(optional) if name in row), None)
            row = {name: value for name, value in row.items() if name != last}
        return row

    def now(self) -> datetime:
        """The server's clock."""
        return datetime.now(UTC) + timedelta(minutes=10 if "clock-skew" in self.misbehave else 0)

    def _first(self, kind: str) -> bool:
        self._count[kind] += 1
        return self._count[kind] == 1

    def _every(self, kind: str, nth: int) -> bool:
        if kind not in self.misbehave:
            return False
        self._count[kind] += 1
        turn = self._count[kind] % nth == 0
        if turn:
            self.misbehaved.add(kind)
        return turn

    async def _before(self) -> ResponseReturnValue | None:
        await request.get_data()  # an answer before the body has come costs the client its connection
        if request.path == self.inspection_path:
            return self.inspection()
        if "outage" in self.misbehave:
            self.misbehaved.add("outage")
            return Response(_OUTAGE, 302, {"Location": self.outage_url, "Content-Type": "text/html"})
        if self._every("429", 3):
            return Response('{"error": "slow down"}', 429, {"Retry-After": "0", "Content-Type": "application/json"})
        if self._every("429-bare", 3):
            return Response("<h1>Too many requests</h1>", 429, {"Content-Type": "text/html"})
        if self._every("500", 4):
            return Response("<h1>Internal error</h1>", 500, {"Content-Type": "text/html"})
        return None

    async def _after(self, response: Response) -> Response:
        if request.path == self.inspection_path:
            return response
        json = await request.get_json(silent=True) if request.method != "GET" and request.is_json else None
        self.asked.append(Asked(method=request.method, path=request.path, status=response.status_code, json=json))
        response.headers["Date"] = format_datetime(self.now(), usegmt=True)
        if response.status_code in self.spoiled_statuses and request.path not in self.token_paths:
            if self._every("truncated", 4):
                body = await response.get_data(as_text=False)
                response.set_data(body[: len(body) // 2])
            if "slow-drip" in self.misbehave:
                _drip(response, await response.get_data(as_text=False))
        return response


def _drip(response: Response, body: bytes) -> None:
    async def pieces() -> Any:
        step = max(1, len(body) // 20)
        for start in range(0, len(body), step):
            yield body[start : start + step]
            await asyncio.sleep(0.002)

    response.set_data(b"")
    response.response = response.iterable_body_class(pieces())
    response.headers.pop("Content-Length", None)
