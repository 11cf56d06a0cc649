"""Rules on a vendor that misbehaves: a message is never two, never lost, and what is not known is not guessed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from homeroom.hookspecs import POLICIES
from homeroom.testing.channel_kit.subject import URL, Handed, Rules, lost_answer, one_letter_wrong
from homeroom.testing.channel_kit.verdicts import must_be_named, must_not_mislead, said
from homeroom.testing.connector_kit.wire import Before, unreachable
from homeroom.testing.haste import HurriedLoop

_SEVERAL = 12  # every third and every fourth one meets something
_NAMED = 40.0  # seconds that a Retry-After names
_MAINTENANCE = "/maintenance"
_LOST: tuple[type[httpx2.RequestError], ...] = (httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.ReadTimeout)


class TroubleRules(Rules):
    """Each kind of trouble, and what `deliver` may say of it: `simulator.taken` is the truth."""

    def test_throttling_is_tried_again_later(self) -> None:
        """429 with and without Retry-After says that nothing was taken."""
        for kind in ("429", "429-bare"):
            for handed in self._under(kind):
                if not handed.taken and handed.state != "retry":
                    pytest.fail(
                        f"deliver() {said(handed)} after 429, which says that nothing was taken; answer 'retry'"
                    )

    def test_a_named_wait_is_handed_on(self) -> None:
        """The outbox keeps to it for every message; a plugin that sleeps is timed out."""
        handed, slept = self.run(self._told_to_wait())
        deadline = POLICIES["deliver"].deadline
        if slept > deadline:
            pytest.fail(f"it slept {slept:.0f} s in deliver(), which may take {deadline:.0f}; answer 'retry' at once")
        named = handed.receipt.retry_after if handed.receipt is not None else None
        if handed.state != "retry" or named is None or named < _NAMED:
            pytest.fail(f"Retry-After named {_NAMED:.0f} s and the receipt says {named}; hand it on as retry_after")

    def test_a_refusal_is_final(self) -> None:
        """A number that does not exist is never tried again; another channel is."""
        for handed in self._under("refuse", final=True):
            if not handed.taken and handed.state != "refused":
                pytest.fail(f"deliver() {said(handed)} for a message that was refused for good; answer 'refused'")

    def test_a_failure_of_the_vendor_loses_no_message(self) -> None:
        """500, with nothing taken."""
        self._under("500")

    def test_a_page_in_place_of_an_answer_is_unknown(self) -> None:
        """Status 200 and HTML: a proxy's, or a sign-in page; whether the vendor has the message is anybody's guess."""
        for handed in self._under("html"):
            if handed.requests > 1:
                pytest.fail("it sent a message again after an answer that it could not read; raise, and send nothing")
            if not handed.taken and handed.state != "unknown":
                pytest.fail(f"deliver() answered {handed.state!r} by a page of HTML; raise, for it is not known")

    def test_an_outage_is_never_taken_for_an_answer(self) -> None:
        """A redirect to a page that says "down for maintenance" is not followed, and is no word about the message."""
        followed = False

        async def down(request: httpx2.Request) -> httpx2.Response | None:
            nonlocal followed
            if request.url.path == _MAINTENANCE:
                followed = True
                return httpx2.Response(200, html="<h1>Down for maintenance</h1>", request=request)
            return httpx2.Response(302, headers={"Location": f"{URL}{_MAINTENANCE}"}, request=request)

        must_not_mislead(self._one(before=down), "an outage")
        if followed:
            pytest.fail("it followed a redirect with a family's message in hand; take a redirect for a failure")

    def test_a_message_that_was_taken_without_an_answer_is_unknown(self) -> None:
        """The vendor has it, and is silent until the time is over."""
        self._under("take-and-hang")

    def test_a_message_whose_answer_was_lost_is_unknown(self) -> None:
        """The vendor has it, and the line breaks; or a proxy in between answers in its place."""
        for error in _LOST:
            handed = self._one(lose=error)
            what = f"{error.__name__} after it was sent"
            must_not_mislead(handed, what)
            if handed.state != "unknown":
                pytest.fail(f"deliver() answered {handed.state!r} although {what} says nothing; raise")
        self._under("take-and-break")

    def test_an_answer_that_was_cut_off_is_no_refusal(self) -> None:
        """Half an answer: the message was taken."""
        self._under("truncated", named=False)

    def test_a_slow_answer_is_waited_for(self) -> None:
        """A few bytes at a time, within the time that deliver() has."""
        for handed in self._under("slow-drip"):
            if handed.state == "unknown":
                pytest.fail(f"deliver() raised {type(handed.error).__name__} for an answer that was only slow")

    def test_a_vendor_that_cannot_be_reached_is_tried_again(self) -> None:
        """No connection was made, so that nothing was taken for sure."""

        async def too_far(request: httpx2.Request) -> httpx2.Response | None:
            raise httpx2.ConnectTimeout("nobody answers", request=request)

        for before in (unreachable, too_far):
            handed = self._one(before=before)
            must_not_mislead(handed, "a vendor that cannot be reached")
            if handed.state != "retry":
                pytest.fail(f"deliver() {said(handed)} although no connection was made; answer 'retry'")

    def test_a_wrong_secret_loses_no_message(self) -> None:
        """A key that was changed over there is no fault of a family's address: the messages wait until it is mended."""
        secrets = self.subject.secrets(self.vendor())
        if not secrets:
            pytest.skip("no setting is a secret")
        must_not_mislead(self._one(change=one_letter_wrong(secrets)), "a wrong secret")

    def _under(self, kind: str, *, final: bool = False, named: bool = True) -> list[Handed]:
        """What came of several messages under `kind`, none of which was misleading."""
        vendor = self.vendor(kind)

        async def several() -> list[Handed]:
            async with self.subject.open(vendor) as opened:
                return [await opened.deliver(self.subject.message(number)) for number in range(1, _SEVERAL + 1)]

        given = self.run(several())
        if kind != "slow-drip" and kind not in vendor.simulator.misbehaved:
            pytest.fail(
                f"its simulator says that it misbehaves by {kind!r} and never did: ask refuses() and shows_a_page() "
                "before it takes a message, and spoil() after; or leave the kind out of `kinds`"
            )
        for handed in given:
            must_not_mislead(handed, repr(kind), final=final)
            if named and handed.receipt is not None and handed.taken:
                must_be_named(handed, kind)
        return given

    def _one(self, *, lose: Callable[..., Exception] | None = None, **how: Any) -> Handed:
        vendor = self.vendor()
        after = lost_answer(vendor, lose) if lose is not None else None

        async def one() -> Handed:
            async with self.subject.open(vendor, after=after, **how) as opened:
                return await opened.deliver(self.subject.message())

        return self.run(one())

    async def _told_to_wait(self) -> tuple[Handed, float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, HurriedLoop)  # noqa: S101 - Rules.run made it

        async def busy(request: httpx2.Request) -> httpx2.Response | None:
            headers = {"Retry-After": f"{_NAMED:.0f}"}
            return httpx2.Response(429, headers=headers, json={"error": "slow down"}, request=request)

        before: Before = busy
        async with self.subject.open(self.vendor(), before=before) as opened:
            slept = len(loop.slept)
            handed = await opened.deliver(self.subject.message())
            return handed, sum(loop.slept[slept:])
