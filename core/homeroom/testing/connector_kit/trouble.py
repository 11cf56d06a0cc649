"""Rules on servers that misbehave: the roster that comes in is the same, only later."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar

import httpx2
import pytest

from homeroom.records import Noun, SourceError
from homeroom.sync import RunResult, resume
from homeroom.testing.connector_kit.subject import Rules, difference, district_store, read_all, sync_into, there
from homeroom.testing.haste import HurriedLoop

_NAMED = 40.0  # seconds that a Retry-After names
_TRIES = 4  # how often a run that failed is resumed, as the schedule would


class TroubleRules(Rules):
    """Each kind of trouble while the whole roster is read for the first time."""

    good: ClassVar[Mapping[Noun, frozenset[str]] | None] = None

    def test_throttling_loses_nobody(self) -> None:
        """429 with and without Retry-After."""
        self._loses_nobody("429", "wait as long as Retry-After says and ask again")
        self._loses_nobody("429-bare", "wait a little longer each time and ask again")

    def test_a_named_wait_is_kept(self) -> None:
        """Asking again before the time that the vendor named is how a plugin gets locked out."""
        waited = self.run(self._waited())
        if waited is None:
            pytest.skip("it asked only once")
        if waited < _NAMED:
            pytest.fail(
                f"it asked again after {waited:.0f} s although Retry-After named {_NAMED:.0f} s; wait as long, or "
                "raise SourceError(retry_after=...) and let the engine wait"
            )

    def test_failures_lose_nobody(self) -> None:
        """Every fourth request fails with 500."""
        self._loses_nobody("500", "ask again, or raise SourceError(retry=True) so that the engine does")

    def test_the_end_of_a_token_loses_nobody(self) -> None:
        """Tokens end in the middle of a page, whatever was said of their life."""
        self._loses_nobody("token-expiry", "on 401 ask for one new token and repeat the request")

    def test_an_answer_that_was_cut_off_loses_nobody(self) -> None:
        """A body that ends in the middle is no JSON."""
        self._loses_nobody("truncated", "ask again for an answer that cannot be parsed")

    def test_a_slow_answer_loses_nobody(self) -> None:
        """Answers that drip."""
        self._loses_nobody("slow-drip", "read an answer to its end")

    def test_another_clock_loses_nobody(self) -> None:
        """The server's clock is ten minutes ahead."""
        self._loses_nobody("clock-skew", "compare the vendor's times with the vendor's own clock")

    def test_an_unknown_field_does_no_harm(self) -> None:
        """Vendors add fields without a word."""
        self._loses_nobody("unknown-field", "read the fields you know and pass over the others")

    def test_a_missing_optional_field_does_no_harm(self) -> None:
        """Vendors leave empty fields out."""
        self._loses_nobody("removed-field", "expect every optional field to be absent")

    def _loses_nobody(self, kind: str, mend: str) -> None:
        result, lost = self.run(self._under(kind))
        if result.status != "done":
            pytest.fail(f"the run under {kind!r} did not end: {result.reason}; {mend}")
        if lost:
            pytest.fail(f"{lost} are missing after a run under {kind!r}; {mend}")

    async def _under(self, kind: str) -> tuple[RunResult, str]:
        """What a first run came to, resumed where it failed, and what it lacks beside one on a good server."""
        good, server = await self._whole(), self.server(kind)
        with district_store() as store:
            result = await sync_into(store, self.subject, server)
            for _ in range(_TRIES):
                if result.status != "failed":
                    break
                async with self.subject.open(server) as opened:
                    result = await resume(store, result.run_id, opened.connector)
            return result, difference(good, await there(store))

    async def _whole(self) -> Mapping[Noun, frozenset[str]]:
        """What a good server gives, read once for all rules."""
        tests = type(self)
        if tests.good is None:
            with district_store() as store:
                await sync_into(store, self.subject, self.server())
                tests.good = await there(store)
        return tests.good

    async def _waited(self) -> float | None:
        """The seconds between a refusal and the next request; infinite when that was left to the engine."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, HurriedLoop)  # noqa: S101 - Rules.run made it
        requests, refused_at, asked_again = 0, 0, 0

        async def busy(request: httpx2.Request) -> httpx2.Response | None:
            nonlocal requests, refused_at, asked_again
            requests += 1
            if requests == 2:  # noqa: PLR2004 - the first one after the token
                refused_at = len(loop.slept)
                return httpx2.Response(429, headers={"Retry-After": f"{_NAMED:.0f}"}, json={}, request=request)
            if requests == 3:  # noqa: PLR2004
                asked_again = len(loop.slept)
            return None

        async with self.subject.open(self.server(), before=busy) as opened:
            try:
                await read_all(opened.connector)
            except SourceError as exc:
                if exc.retry_after is not None and exc.retry_after >= _NAMED and requests == 2:  # noqa: PLR2004
                    return float("inf")
        if requests < 3:  # noqa: PLR2004
            return None
        return sum(loop.slept[refused_at:asked_again])
