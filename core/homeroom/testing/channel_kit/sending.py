"""Rules on a vendor that behaves: one message, as it was written, to whom it is for, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import unquote_plus

import httpx2
import pytest

from homeroom.testing.channel_kit.subject import Opened, Rules, private
from homeroom.testing.channel_kit.verdicts import must_be_taken, must_not_mislead
from homeroom.testing.channel_kit.wire import written_in
from homeroom.types import Message

_OTHER = "pigeon"
BAD_ADDRESSES: Mapping[str, Sequence[str]] = {
    "email": ("", "nobody", "a@", "a b@family.example", "a@family.example\r\nBcc: b@family.example", "ü" * 400),
    "": ("", "nobody", "+", "+1", f"+1{'3' * 40}", "+1312555\r\n0100", "ü" * 400),
}
"""Addresses that are none, by channel ("" for every other one)."""


class SendingRules(Rules):
    """What the vendor has after a message, and what the family gets."""

    def test_a_message_is_taken_once(self) -> None:
        """And the answer names it as the vendor does, so that it can be asked for."""

        async def once() -> None:
            async with self.subject.open(self.vendor()) as opened:
                handed = await opened.deliver(self.subject.message())
                must_be_taken(handed)

        self.run(once())

    def test_the_text_arrives_as_it_was_written(self) -> None:
        """In every script, to the address that it was for."""

        async def arrives() -> None:
            message = self.subject.message()
            async with self.subject.open(self.vendor()) as opened:
                taken = must_be_taken(await opened.deliver(message))
            if taken.to != message.to:
                pytest.fail("the vendor was given another address than message.to; hand it on as it is")
            if message.body not in taken.body:
                pytest.fail("the vendor was given another text than message.body; send it whole, as UTF-8")
            if taken.subject and message.subject not in taken.subject:
                pytest.fail("the vendor was given another subject than message.subject; hand it on as it is")

        self.run(arrives())

    def test_each_family_has_a_message_of_its_own(self) -> None:
        """Several at once: whoever is in one request with another family can be seen by it."""

        async def several() -> None:
            messages = [self.subject.message(number) for number in range(1, 4)]
            async with self.subject.open(self.vendor()) as opened:
                await asyncio.gather(*(opened.plugin.ask("deliver", message=message) for message in messages))
            for request in opened.wire.requests:
                held = [one for one in messages if _holds(request, private(one)["address"])]
                if len(held) > 1:
                    pytest.fail("one request holds the addresses of two families; send each message by itself")
            taken = sorted((one.to, one.body) for one in opened.vendor.simulator.taken)
            for (to, body), message in zip(taken, messages, strict=True):
                if to != message.to or message.body not in body:
                    pytest.fail(
                        "messages that were sent at once were mixed up; keep nothing of a message outside of deliver()"
                    )

        self.run(several())

    def test_nothing_but_the_address_and_the_text_leaves(self) -> None:
        """Each in one place: tags, categories and metadata are kept by vendors for years, addresses of pages by many.

        The message's id is the only reference that a vendor may keep.
        """

        async def leaves() -> None:
            message = self.subject.message()
            async with self.subject.open(self.vendor()) as opened:
                taken = must_be_taken(await opened.deliver(message))
            for what, text in private(message).items():
                _only_once(opened, what, text)
            if taken.message_id not in (None, message.id):
                pytest.fail("the vendor keeps another reference than message.id; give it that and no other")

        self.run(leaves())

    def test_another_channels_message_is_not_its_business(self) -> None:
        """A plugin that answers for a channel that it does not serve keeps the right one from being asked."""

        async def other() -> None:
            message = self.subject.message(channel=_OTHER)
            plugin = _seeing(self.subject.plugin, f"message.{_OTHER}")
            subject = replace(self.subject, plugin=plugin)
            async with subject.open(self.vendor()) as opened:
                for hook in ("deliver", "find_delivery"):
                    if hook in opened.plugin.hooks and await _answer(opened, hook, message) is not None:
                        pytest.fail(f"{hook}() answered for a message of another channel; look at message.channel")
            if opened.vendor.simulator.taken:
                pytest.fail("a message of another channel was sent; look at message.channel")

        self.run(other())

    def test_an_address_that_is_none_is_answered(self) -> None:
        """Rosters hold anything; whoever could make a plugin raise could have it quarantined."""

        async def bad() -> None:
            async with self.subject.open(self.vendor()) as opened:
                for to in BAD_ADDRESSES.get(self.subject.channel, BAD_ADDRESSES[""]):
                    handed = await opened.deliver(self.subject.message(to=to))
                    if handed.error is not None:
                        pytest.fail(f"deliver() raised {type(handed.error).__name__} for {to[:40]!r}; answer 'refused'")
                    must_not_mislead(handed, f"the address {to[:40]!r}", final=True)
                    if handed.state == "retry":
                        pytest.fail(f"deliver() would try {to[:40]!r} again and again; answer 'refused'")

        self.run(bad())


def _seeing(plugin: type[object], scope: str) -> type[object]:
    scopes = frozenset(getattr(plugin, "scopes", ())) | {scope}
    return type(plugin.__name__, (plugin,), {"scopes": scopes, "__module__": plugin.__module__})


async def _answer(opened: Opened, hook: str, message: Message) -> object:
    try:
        answer: object = await opened.plugin.ask(hook, message=message)
    except Exception as exc:  # noqa: BLE001 - whatever it raises is the finding
        pytest.fail(f"{hook}() raised {type(exc).__name__} for a message of another channel; look at message.channel")
    return answer


def _only_once(opened: Opened, what: str, text: str) -> None:
    """Fail where `text` stands in the address or a header of a request, or in more than one place of the bodies."""
    requests = opened.wire.requests
    if any(text in _head(request) for request in requests):
        pytest.fail(f"the {what} stands in the address or a header of a request, which are logged; put it in the body")
    # The subject, the text and its HTML are three texts; each has the message's own word in it.
    places = [one for request in requests for one in written_in(request) if text in one]
    endings = [one[one.index(text) + len(text) :][:1] for one in places] if what == "text" else ["" for _ in places]
    if len(endings) != len(set(endings)):
        pytest.fail(
            f"the {what} stands in {len(places)} places of what the vendor is given; put it where it is needed and "
            "nowhere else: a vendor keeps tags and metadata for years"
        )


def _head(request: httpx2.Request) -> str:
    return f"{unquote_plus(str(request.url))} {dict(request.headers)}"


def _holds(request: httpx2.Request, text: str) -> bool:
    return any(text in one for one in written_in(request)) or text in _head(request)
