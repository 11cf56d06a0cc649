"""Rules on what the vendor tells by itself: only what it has signed counts, of the right message, in any order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from homeroom.testing.channel_kit.subject import Handed, Opened, Rules, Vendor, implemented, other
from homeroom.testing.channel_kit.verdicts import must_be_taken
from homeroom.testing.channel_kit.wire import Callback
from homeroom.testing.channel_simulator import ChannelSimulator
from homeroom.types import DeliveryReport

_PIECE = b" " * 64 * 1024
_OFFERED = 128  # pieces: 8 MiB
_ENOUGH = 40  # pieces: 2.5 MiB, more than any vendor sends at once
_ENDS = {"delivered", "failed"}
_SIGNING = ("signature", "timestamp", "authorization")


class CallbackRules(Rules):
    """A callback comes from anywhere in the world until its signature says otherwise."""

    def test_callbacks_tell_of_the_right_message(self) -> None:
        """By the outbox's own id, or by the vendor's, and each is answered so that it is not sent again."""

        async def told() -> None:
            async with self.subject.open(self.vendor()) as opened:
                given = await self._called_back(opened)
            for report in opened.kept.reports:
                if not any(_is_of(report, one) for one in given):
                    pytest.fail(
                        "a callback was reported for another message than it told of; match message.id or provider_id"
                    )
            if silent := [one for one in given if not any(_is_of(report, one) for report in opened.kept.reports)]:
                pytest.fail(
                    f"nothing was reported of {len(silent)} of {len(given)} messages that the vendor told of; hand it "
                    "to services.messages.report()"
                )

        self.run(told())

    def test_a_forged_callback_changes_nothing(self) -> None:
        """Another body, address or time than what was signed, another signature, or none."""
        self.run(self._forged())

    def test_callbacks_out_of_order_and_twice_do_no_harm(self) -> None:
        """The outbox sorts them out; each is reported, and none is an error."""
        vendor = self.vendor("shuffled-callbacks")

        async def states(vendor: Vendor) -> dict[str, set[str]]:
            found: dict[str, set[str]] = defaultdict(set)
            async with self.subject.open(vendor) as opened:
                given = await self._called_back(opened)
            for report in opened.kept.reports:
                for one in given:
                    if _is_of(report, one):
                        found[one.message.id].add(report.state)
            return found

        in_order, shuffled = self.run(states(self.vendor())), self.run(states(vendor))
        for message_id, wanted in in_order.items():
            if missing := (wanted & _ENDS) - shuffled[message_id]:
                pytest.fail(
                    f"{min(missing)!r} was not reported when the callbacks came shuffled; report each, and let the "
                    "outbox see which is older"
                )

    def test_an_oversized_callback_is_refused(self) -> None:
        """Before it has filled the memory: whoever sends it need not know any secret."""

        async def oversized() -> None:
            read = 0

            async def pieces() -> AsyncIterator[bytes]:
                nonlocal read
                for _ in range(_OFFERED):
                    read += 1
                    yield _PIECE
                    await asyncio.sleep(0)  # the plugin's turn, as on a network

            async with self.subject.open(self.vendor()) as opened:
                await self._called_back(opened)
                call, _ = opened.vendor.door.calls[0]
                before = _heard(opened)
                headers = {name: one for name, one in call.headers.items() if name.lower() != "content-length"}
                status = await opened.vendor.door.post(replace(call, headers=headers), pieces())
                if not 400 <= status < 500 or _heard(opened) != before:  # noqa: PLR2004 - a refusal
                    pytest.fail(f"a callback of 8 MiB was answered {status}; refuse it with 413")
                if read > _ENOUGH:
                    pytest.fail(f"it read {read // 16} MiB of a callback before it refused it; stop at 1 MiB")

        self.run(oversized())

    def test_an_opt_out_is_heard_of_that_address_only(self) -> None:
        """Somebody answers STOP: their other addresses, and everybody else's, go on."""
        self.run(self._opted_out())

    def test_suppressions_name_who_opted_out_and_nobody_else(self) -> None:
        """What the vendor keeps of addresses is read back, so that both sides know the same."""

        async def read_back() -> None:
            vendor = self.vendor()
            async with self.subject.open(vendor) as opened:
                implemented(opened, "suppressions")
                gone, _ = await self._two_families(opened)
                vendor.simulator.opt_out(gone.message.to)
                opened.clock.move(60)  # the plugin's clock stands still, the vendor's does not
                told = await opened.plugin.ask("suppressions", since=None)
            listed = {(one.channel, one.address, one.news) for one in told.items} if told is not None else set()
            if listed != {(self.subject.channel, gone.message.to, "opted_out")}:
                pytest.fail(
                    f"suppressions() named {len(listed)} addresses after one of two had opted out, or not as "
                    "AddressNews(news='opted_out'); give each address that the vendor lists, and no other"
                )

        self.run(read_back())

    def test_a_second_instance_has_routes_of_its_own(self) -> None:
        """A district may run a plugin twice, under two names."""

        async def prefix(name: str) -> str | None:
            async with self.subject.open(self.vendor(), name=name) as opened:
                implemented(opened, "routes")
                routes = await opened.plugin.ask("routes")
                return routes.prefix if routes is not None else None

        if (found := self.run(prefix("second"))) not in (None, "/plugins/second"):
            pytest.fail(f'its routes are at {found} whatever its name; give the prefix f"/plugins/{{services.name}}"')

    async def _forged(self) -> None:
        async with self.subject.open(self.vendor()) as opened:
            given = await self._called_back(opened)
            genuine = [call for call, _ in opened.vendor.door.calls]
            if _can_opt_out(opened):
                opened.vendor.simulator.opt_out(given[0].message.to)
                await opened.vendor.simulator.called_back()
                genuine += [call for call, _ in opened.vendor.door.calls[len(genuine) :]][:1]
            before = _heard(opened)
            for call in genuine:
                for what, forged in _forgeries(call, given):
                    status = await opened.vendor.door.post(forged)
                    if _heard(opened) != before:
                        pytest.fail(f"a callback with {what} was believed; check the signature before you read it")
                    if not 400 <= status < 500:  # noqa: PLR2004 - a refusal
                        pytest.fail(f"a callback with {what} was answered {status}; answer 403")

    async def _opted_out(self) -> None:
        async with self.subject.open(self.vendor()) as opened:
            gone, stays = await self._two_families(opened)
            opened.vendor.simulator.opt_out(gone.message.to)
            await opened.vendor.simulator.called_back()
            if opened.vendor.door.is_open and opened.vendor.simulator.calls_back:
                heard = {(one.channel, one.address, one.news) for one in opened.kept.news}
                if (self.subject.channel, gone.message.to, "opted_out") not in heard:
                    pytest.fail(
                        "nobody heard that an address wants no more messages; hand AddressNews with this address to "
                        "services.messages.heard()"
                    )
                if len(heard) > 1:
                    pytest.fail("an opt-out was heard of other addresses too; it holds for the one that it came from")
            again = await opened.deliver(replace(gone.message, id=f"{gone.message.id[:-1]}9"))
            if not again.taken and again.state != "refused":
                pytest.fail(
                    f"deliver() answered {again.state!r} for somebody who opted out at the vendor; answer 'refused'"
                )
            must_be_taken(await opened.deliver(replace(stays.message, id=f"{stays.message.id[:-1]}8")))

    async def _two_families(self, opened: Opened) -> tuple[Handed, Handed]:
        """Two messages that were taken, by a vendor at which one can opt out."""
        if not _can_opt_out(opened):
            pytest.skip("nobody can opt out at its simulator")
        first, second = [await opened.deliver(self.subject.message(number)) for number in (1, 2)]
        must_be_taken(first)
        must_be_taken(second)
        await opened.vendor.simulator.called_back()
        return first, second

    async def _called_back(self, opened: Opened) -> list[Handed]:
        """Two messages that the vendor took, and then told of."""
        if not opened.vendor.door.is_open:
            pytest.skip("it has no routes")
        if not opened.vendor.simulator.calls_back:
            pytest.skip("its vendor calls nothing back")
        door = opened.vendor.door
        door.may_pass.clear()
        given = [await opened.deliver(self.subject.message(number)) for number in (1, 2)]
        for handed in given:
            must_be_taken(handed)
        door.may_pass.set()
        await opened.vendor.simulator.called_back()
        if door.strays:
            pytest.fail(f"the vendor was told to call {door.strays[0]}; callbacks go below services.public_url")
        if not door.calls:
            pytest.fail("it has routes and nothing was called back; tell the vendor where, or say calls_back = False")
        if bad := [status for _, status in door.calls if not 200 <= status < 300]:  # noqa: PLR2004 - a success
            pytest.fail(f"a callback as the vendor sends it was answered {bad[0]}; answer 204, or it comes again")
        return given


def _is_of(report: DeliveryReport, handed: Handed) -> bool:
    """Whether a report names this message, by all that it names."""
    named = (report.message_id, report.provider_id)
    own = (handed.message.id, handed.taken[0].provider_id)
    return named != (None, None) and all(one in (None, wanted) for one, wanted in zip(named, own, strict=True))


def _heard(opened: Opened) -> int:
    return len(opened.kept.reports) + len(opened.kept.news)


def _can_opt_out(opened: Opened) -> bool:
    return type(opened.vendor.simulator).opt_out is not ChannelSimulator.opt_out


def _forgeries(call: Callback, given: list[Handed]) -> Iterator[tuple[str, Callback]]:
    """What somebody could send who has seen a genuine callback, or only knows where they go."""
    ids = [one for handed in given for one in (handed.taken[0].provider_id, handed.message.id)]
    body = call.body + b" "
    for one in ids:
        body = body.replace(one.encode(), other(one).encode())
    yield "a changed body", replace(call, body=body)
    yield "no body", replace(call, body=b"")
    for one in ids:
        if one in call.url:
            yield "a changed address", replace(call, url=call.url.replace(one, other(one)))
    plain = {name: value for name, value in call.headers.items() if name.lower() == "content-type"}
    yield "no signature", replace(call, headers=plain)
    for name, value in call.headers.items():
        if any(word in name.lower() for word in _SIGNING):
            yield f"another {name}", replace(call, headers={**call.headers, name: other(value)})
