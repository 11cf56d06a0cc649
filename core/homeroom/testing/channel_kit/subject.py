"""What the rules share: a channel, the simulated vendor that it sends through, and messages to send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

import pytest

from homeroom.testing import fakes
from homeroom.testing.channel_kit.wire import PUBLIC_URL, ChannelWire, Door
from homeroom.testing.channel_simulator import ChannelSimulator, Taken
from homeroom.testing.connector_kit.wire import After, Before
from homeroom.testing.haste import hurried
from homeroom.testing.plugin_kit import RunningPlugin, running_plugin, secrets_of
from homeroom.testing.routes import routes_app
from homeroom.types import Message, Receipt

T = TypeVar("T")

URL = "https://vendor.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """What came of one message: the `receipt`, or the `error` that was raised, and what the vendor took meanwhile."""

    message: Message
    receipt: Receipt | None
    error: Exception | None
    taken: tuple[Taken, ...]
    requests: int

    @property
    def state(self) -> str:
        """The receipt's state, or "unknown" where there is none."""
        return self.receipt.state if self.receipt is not None else "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A simulated vendor, and the way by which it calls back."""

    simulator: ChannelSimulator
    door: Door


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A channel that can be used, and what it told the outbox."""

    plugin: RunningPlugin
    vendor: Vendor
    wire: ChannelWire
    kept: fakes.KeptMessages
    clock: fakes.FakeClock

    async def deliver(self, message: Message) -> Handed:
        """Have one message delivered, and see what that came to."""
        taken, requests = self.vendor.simulator.taken, self.wire.requests
        before, asked = len(taken), len(requests)
        receipt, error = None, None
        try:
            receipt = await self.plugin.ask("deliver", message=message)
        except Exception as exc:  # noqa: BLE001 - whatever it raises says that it does not know
            error = exc
        if receipt is None and error is None:
            pytest.fail(f"deliver() gave None for a message of the channel {message.channel}, which its scopes name")
        return Handed(
            message=message,
            receipt=receipt,
            error=error,
            taken=tuple(taken[before:]),
            requests=len(requests) - asked,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The channel under test, and what a district would set."""

    plugin: type[Any]
    simulator: type[ChannelSimulator]
    config: Mapping[str, Any] = field(repr=False)
    channel: str
    max_block_ms: float

    def vendor(self, *misbehave: str) -> Vendor:
        """A new vendor."""
        door = Door()
        return Vendor(simulator=self.simulator(misbehave=misbehave, post=door), door=door)

    def settings(self, vendor: Vendor) -> dict[str, Any]:
        """What a district would set."""
        return {**vendor.simulator.settings(URL), **self.config}

    def secrets(self, vendor: Vendor) -> dict[str, str]:
        """The secrets among the settings, by name; those that are only named like one where none is declared."""
        fields = getattr(getattr(self.plugin, "Settings", None), "model_fields", {})
        found = secrets_of(self.plugin, self.settings(vendor))
        declared = {key: found[key] for key in found if key in fields and "Secret" in str(fields[key].annotation)}
        return declared or found

    def message(self, number: int = 1, **changes: Any) -> Message:
        """One of several messages, each to a family of its own; its text has a word that no other has."""
        now, word = datetime.now(UTC), word_of(number)
        usual = {
            "id": f"0198f3a2-5c00-7000-8000-{number:012}",
            "channel": self.channel,
            "to": address(self.channel, number),
            "subject": f"Attendance today, {word}s",
            "body": f"Ámbar was not at school today. 今天没有到校。 Please call us. {word}b",
            "html": f"<p>Ámbar was not at school today. 今天没有到校。 {word}h</p>",
            "sender": "North School",
            "created_at": now - timedelta(minutes=1),
            "attempted_at": now,
            "expires_at": now + timedelta(hours=6),
        }
        return Message(**{**usual, **changes})

    @asynccontextmanager
    async def open(
        self,
        vendor: Vendor,
        *,
        before: Before | None = None,
        after: After | None = None,
        change: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> AsyncIterator[Opened]:
        """The channel, sending through `vendor`; `before` and `after` get in the way, `change` are other settings."""
        wire = ChannelWire(vendor.simulator, before=before, after=after)
        clock, kept = fakes.FakeClock(datetime.now(UTC)), fakes.KeptMessages()
        given = fakes.services(
            name or self.simulator.name,
            http=wire,
            clock=clock,
            messages=kept,
            scopes=self.plugin.scopes,
            public_url=PUBLIC_URL,
        )
        async with running_plugin(self.plugin, {**self.settings(vendor), **(change or {})}, services=given) as plugin:
            routes = await plugin.ask("routes") if "routes" in plugin.hooks else None
            if routes is not None:
                vendor.door.open(routes_app(routes))
                vendor.simulator.set_up_callbacks(f"{PUBLIC_URL}{routes.prefix}")
            yield Opened(plugin=plugin, vendor=vendor, wire=wire, kept=kept, clock=clock)


class Rules:
    """What the rules share: the subject, and how it is used in a test."""

    subject: ClassVar[Subject]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, on an event loop that hurries."""
        return hurried(work)

    def vendor(self, *misbehave: str) -> Vendor:
        """A new vendor; the rule does not apply where its simulator cannot misbehave in this way."""
        for kind in misbehave:
            if kind not in self.subject.simulator.kinds:
                pytest.skip(f"its simulator never misbehaves by {kind!r}")
        return self.subject.vendor(*misbehave)


def implemented(opened: Opened, hook: str) -> None:
    """Leave the rule out where the channel does not have `hook`."""
    if hook not in opened.plugin.hooks:
        pytest.skip(f"it does not implement {hook}")


def address(channel: str, number: int) -> str:
    """A made-up address of a channel: a number that nobody has, or a mailbox that cannot be."""
    return f"guardian-{number:03}@family.example" if channel == "email" else f"+1312555{100 + number:04}"


def word_of(number: int) -> str:
    """A word that stands in one message only."""
    return f"word{number:03}x"


def private(message: Message) -> dict[str, str]:
    """What of a message is nobody's business, by what it is: short enough to be found wherever it was put."""
    word = message.body.rpartition(" ")[2][:-1]
    return {"address": message.to.removeprefix("+"), "text": word}


def one_letter_wrong(secrets: Mapping[str, str]) -> dict[str, str]:
    """The same secrets, each mistyped."""
    return {name: other(value) for name, value in secrets.items()}


def other(text: str) -> str:
    """A text of the same form that is another one: a letter or digit in its middle is changed.

    Not the last one, whose last bits say nothing where a text is base64.
    """
    middle = len(text) // 2
    at = next((place for place in range(middle, len(text)) if text[place].isalnum()), middle)
    return f"{text[:at]}{'2' if text[at : at + 1] == '1' else '1'}{text[at + 1 :]}"


def lost_answer(vendor: Vendor, error: Callable[..., Exception]) -> After:
    """Loses the answer to the first message that the vendor takes from now on."""
    before, lost = len(vendor.simulator.taken), False

    async def lose(request: Any, _answer: object) -> None:
        nonlocal lost
        if not lost and len(vendor.simulator.taken) > before:
            lost = True
            raise error("the line broke", request=request)

    return lose
