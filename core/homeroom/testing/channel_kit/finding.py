"""Rules on `find_delivery`: what the vendor has is found, and "not sent" is said only where nothing was taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest

from homeroom.testing.channel_kit.subject import URL, Handed, Opened, Rules, implemented, lost_answer
from homeroom.testing.channel_kit.verdicts import must_be_taken
from homeroom.testing.connector_kit.wire import Before
from homeroom.types import Message, NotSent, Receipt

_EARLIER = timedelta(hours=1)
_LATER = 600.0  # seconds


class FindingRules(Rules):
    """What is asked after a time-out or a crash: a wrong "not sent" is a second message to a family."""

    def test_what_was_taken_is_found(self) -> None:
        """The answer was lost: also where the same text went to the same family an hour before."""

        async def found() -> None:
            vendor = self.vendor()
            async with self.subject.open(vendor) as opened:
                implemented(opened, "find_delivery")
                earlier = await self._earlier(opened)
                opened.wire.after = lost_answer(vendor, httpx2.ReadError)
                handed = await opened.deliver(self._again(earlier))
                _must_be_unknown(handed, taken=1)
                answer = await _asked(opened, handed.message, "the vendor has the message")
            wanted = handed.taken[0].provider_id
            if not isinstance(answer, Receipt):
                pytest.fail(f"find_delivery() answered {_told(answer)} for a message that the vendor has taken")
            if answer.state not in ("accepted", "delivered"):
                pytest.fail(f"find_delivery() answered {answer.state!r} for a message that the vendor has taken")
            if answer.provider_id != wanted:
                pytest.fail("find_delivery() found another message; it looks for this attempt's, by attempted_at or id")

        self.run(found())

    def test_what_was_not_taken_is_not_found(self) -> None:
        """The request was lost. An earlier message with the same text to the same family is another one."""

        async def not_found() -> None:
            async with self.subject.open(self.vendor()) as opened:
                implemented(opened, "find_delivery")
                again = self._again(await self._earlier(opened))
                opened.wire.before = _lost
                _must_be_unknown(await opened.deliver(again), taken=0)
                opened.wire.before = None
                for _ in range(2):
                    answer = await _asked(opened, again, "the vendor has no such message")
                    if len(opened.vendor.simulator.taken) != 1:
                        pytest.fail("find_delivery() sent the message; it only asks")
                    if isinstance(answer, Receipt):
                        pytest.fail(
                            "find_delivery() took an earlier message to the same family for one that was never taken; "
                            "look for this attempt's, by attempted_at or id"
                        )
                    opened.clock.move(_LATER)

        self.run(not_found())

    def test_not_sent_is_never_guessed(self) -> None:
        """The vendor has the message, and cannot be asked: that is no answer, and neither is it an error."""
        for what, before in TROUBLES.items():
            self.run(self._guessed(what, before))

    async def _guessed(self, what: str, before: Before) -> None:
        vendor = self.vendor()
        after = lost_answer(vendor, httpx2.ReadError)
        async with self.subject.open(vendor, after=after) as opened:
            implemented(opened, "find_delivery")
            handed = await opened.deliver(self.subject.message())
            _must_be_unknown(handed, taken=1)
            opened.wire.before = before
            answer = await _asked(opened, handed.message, what)
            if isinstance(answer, NotSent):
                pytest.fail(f"find_delivery() answered NotSent although {what}: the family would hear twice; give None")
            if isinstance(answer, Receipt):
                pytest.fail(f"find_delivery() answered {answer.state!r} although {what}; answer None")

    async def _earlier(self, opened: Opened) -> Message:
        """A message that was taken an hour ago."""
        message = self.subject.message()
        at = message.created_at - _EARLIER
        message = replace(message, created_at=at, attempted_at=at)
        must_be_taken(await opened.deliver(message)).at -= _EARLIER
        return message

    def _again(self, earlier: Message) -> Message:
        """A new message with the same text to the same family."""
        return replace(self.subject.message(2), to=earlier.to, subject=earlier.subject, body=earlier.body)


def _must_be_unknown(handed: Handed, *, taken: int) -> None:
    if handed.state != "unknown" or len(handed.taken) != taken:
        pytest.fail(
            f"deliver() answered {handed.state!r} although the answer was lost; raise, so that it is looked into"
        )


async def _asked(opened: Opened, message: Message, when: str) -> Receipt | NotSent | None:
    try:
        answer: Receipt | NotSent | None = await opened.plugin.ask("find_delivery", message=message)
    except Exception as exc:  # noqa: BLE001 - whatever it raises is the finding
        pytest.fail(f"find_delivery() raised {type(exc).__name__} where {when}; answer None")
    return answer


def _told(answer: NotSent | None) -> str:
    return "NotSent" if answer is not None else "None"


async def _lost(request: httpx2.Request) -> httpx2.Response | None:
    raise httpx2.ReadError("the line broke", request=request)


async def _redirect(request: httpx2.Request) -> httpx2.Response | None:
    return httpx2.Response(302, headers={"Location": f"{URL}/maintenance"}, request=request)


async def _page(request: httpx2.Request) -> httpx2.Response | None:
    return httpx2.Response(200, html="<h1>Down for maintenance</h1>", request=request)


async def _half(request: httpx2.Request) -> httpx2.Response | None:
    return httpx2.Response(200, content=b'{"mess', headers={"Content-Type": "application/json"}, request=request)


async def _nothing(request: httpx2.Request) -> httpx2.Response | None:
    return httpx2.Response(200, json={}, request=request)


async def _busy(request: httpx2.Request) -> httpx2.Response | None:
    return httpx2.Response(429, json={"error": "slow down"}, request=request)


async def _fails(request: httpx2.Request) -> httpx2.Response | None:
    return httpx2.Response(500, html="<h1>Internal error</h1>", request=request)


async def _unknown_here(request: httpx2.Request) -> httpx2.Response | None:
    return httpx2.Response(404, html="<h1>Not found</h1>", request=request)


TROUBLES: dict[str, Before] = {
    "the line breaks": _lost,
    "it is down for maintenance": _redirect,
    "a page of HTML comes": _page,
    "half an answer comes": _half,
    "the answer holds no list": _nothing,
    "it is too busy": _busy,
    "it fails": _fails,
    "it does not know the address": _unknown_here,
}
"""What gets in the way of the question."""
