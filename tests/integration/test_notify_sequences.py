"""Answers, reports, crashes and questions in any order: no vendor ever counts a message twice, no end is taken back."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from homeroom.notify import claims
from homeroom.notify.claims import Claimed
from homeroom.settings import Settings
from homeroom.store import Store, Transaction, iso, now_utc
from homeroom.store.cipher import Cipher
from homeroom.store.migrate import upgrade
from homeroom.types import DeliveryReport, Message, NotSent, Receipt
from tests.services import families as school
from tests.services import run
from tests.services.families import Families, TimedOut, Told, Vendor, on_monday
from tests.services.outbox import absent, check, door

T = TypeVar("T")

STUDENTS = ("ann", "bob", "cy")
CHANNELS = ("sms", "email")
BEHAVIOURS = ("take", "take", "take and be silent", "be silent", "busy", "busy for a while", "refuse", "unreachable")
FATES = ("delivered", "failed")

MAY: Mapping[str, frozenset[str]] = {
    "waiting": frozenset({"sending", "unknown", "accepted", "delivered", "failed", "expired", "held", "withheld"}),
    "sending": frozenset({"waiting", "unknown", "accepted", "delivered", "failed", "expired"}),
    "unknown": frozenset({"waiting", "sending", "accepted", "delivered", "failed", "expired"}),
    "accepted": frozenset({"delivered", "waiting", "sending", "unknown", "failed", "expired"}),
    "expired": frozenset({"accepted", "delivered", "failed", "waiting"}),
    "failed": frozenset({"delivered", "waiting"}),
    "delivered": frozenset(),
}
"""What may become of a message in one step, beside staying as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One message that a vendor has counted, and what becomes of it."""

    message: Message
    provider_id: str
    fate: str
    at: datetime

    def reports(self) -> list[DeliveryReport]:
        """What the vendor tells of it, in order."""
        states: Sequence[Any] = ("accepted", self.fate)
        ids = {"message_id": self.message.id, "provider_id": self.provider_id}
        return [DeliveryReport(state=state, **ids) for state in states]


@dataclass(slots=True)
class Scripted(Vendor):
    """Vendors of texts and of mail that do as planned. That of texts can be asked, if it is `talkative`."""

    counted: list[Counted] = field(default_factory=list)
    plan: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    talkative: bool = True
    hold: asyncio.Event | None = None
    holding: int = 0

    def count(self, message: Message, fate: str) -> Counted:
        """Take a message."""
        one = Counted(message=message, provider_id=f"v-{len(self.counted)}", fate=fate, at=now_utc())
        self.counted.append(one)
        return one

    async def ask_first(self, hook: str, **arguments: Any) -> Told | None:
        assert hook == "deliver"
        message: Message = arguments["message"]
        does, fate = self.plan[message.id, message.channel]
        taken = self.count(message, fate) if does.startswith("take") else None
        if self.hold is not None:
            self.holding += 1
            await self.hold.wait()
        match does:
            case "take":
                assert taken is not None
                return Told(value=Receipt(state="accepted", provider_id=taken.provider_id))
            case "busy":
                return Told(value=Receipt(state="retry"))
            case "busy for a while":
                return Told(value=Receipt(state="retry", retry_after=100))
            case "refuse":
                return Told(value=Receipt(state="refused", reason="no"))
            case "unreachable":
                return Told(error=RuntimeError("quarantined"), reached=False)
            case _:
                return Told(error=TimedOut())

    async def ask(self, name: str, hook: str, **arguments: Any) -> Told | None:
        if hook != "find_delivery":
            return await Vendor.ask(self, name, hook, **arguments)
        message: Message = arguments["message"]
        if message.channel != "sms" or not self.talkative:
            return Told(value=None)
        assert message.attempted_at is not None
        for one in self.counted:
            if (one.message.id, one.message.channel) == (message.id, "sms") and one.at >= message.attempted_at:
                return Told(value=Receipt(state="accepted", provider_id=one.provider_id))
        return Told(value=NotSent())


_PLANS = st.fixed_dictionaries(
    {
        (student, channel): st.tuples(st.sampled_from(BEHAVIOURS), st.sampled_from(FATES))
        for student in STUDENTS
        for channel in CHANNELS
    }
)


class Sending(RuleBasedStateMachine):
    """A morning on which everything goes wrong that can."""

    resend_unknown: ClassVar[bool] = False
    most: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._open = ExitStack()
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        shutil.copyfile(run.once("sqlite-base", _base), folder / "homeroom.db")
        store = Store(f"sqlite:///{folder / 'homeroom.db'}", cipher=Cipher([bytes(range(32))]), readers=1)
        self._open.enter_context(store)
        self.families: Families = self._open.enter_context(on_monday(store))
        self.vendor = self.families.vendor = Scripted()
        self.families.settings = school.settings(
            resend_unknown=self.resend_unknown, unknown_minutes=30, ask_after_seconds=60
        )
        self.before: dict[str, str] = {}
        self.names = 0
        self.frozen: tuple[asyncio.Task[Any], asyncio.Event] | None = None

    def teardown(self) -> None:
        """In the end everybody tells all they know, and each message has the state that is true."""
        try:
            self._thaw()
            self._take_over()
            self.vendor.plan = {(student, channel): ("be silent", "") for student in STUDENTS for channel in CHANNELS}
            self._do(self.families.notifier.send())
            for one in self.vendor.counted:
                self._tell(one.reports())
            self.no_end_is_taken_back()
            self.all_agrees()
            states = {row.id: row.state for row in self.families.messages()}
            arrived = {one.message.id for one in self.vendor.counted if one.fate == "delivered"}
            assert self.resend_unknown or all(states[message_id] == "delivered" for message_id in arrived)
        finally:
            self._runner.close()
            self._open.close()

    @initialize()
    def in_the_morning(self) -> None:
        self.families.start()
        self._do(absent(self.families, *STUDENTS))
        self.families.store.write_now(lambda tx: tx.write_sql("UPDATE notifications SET id = student_id"))

    @rule(plan=_PLANS, minutes=st.sampled_from([0, 1, 2, 16, 40]))
    def send(self, plan: Any, minutes: int) -> None:
        self.families.clock.shift(timedelta(minutes=minutes))
        self.vendor.plan = plan
        self._do(self.families.notifier.send())

    @rule(talkative=st.booleans(), minutes=st.sampled_from([0, 1, 10]))
    def ask(self, talkative: bool, minutes: int) -> None:  # noqa: FBT001 - hypothesis gives it by name
        self.families.clock.shift(timedelta(minutes=minutes))
        self.vendor.talkative = talkative
        self._do(self.families.notifier.ask())

    @rule(
        ends=st.fixed_dictionaries(
            {student: st.sampled_from(["claimed", "begun", "taken", "taken and told"]) for student in STUDENTS}
        ),
        fate=st.sampled_from(FATES),
    )
    def crash(self, ends: Mapping[str, str], fate: str) -> None:
        """A process ends at some step of each message that was due."""
        self._take_over()
        store, chosen = self.families.store, self.families.settings
        self.names += 1

        def claim(tx: Any) -> list[Claimed]:
            return claims.claim(tx, chosen, f"turn-{self.names}", most=9)[0]

        for claimed in store.write_now(claim):
            end = ends[claimed.message.id]
            if end == "claimed" or not store.write_now(partial(_begin, chosen=chosen, one=claimed)):
                continue
            if end.startswith("taken"):
                taken = self.vendor.count(claimed.message, fate)
                if end == "taken and told":
                    self._tell(taken.reports()[:1])
        self._take_over()

    @precondition(lambda self: self.frozen is None)
    @rule(plan=_PLANS)
    def freeze(self, plan: Any) -> None:
        """A process is held up after the vendor has got what it sends; another goes on."""
        self.vendor.plan, self.vendor.hold, self.vendor.holding = plan, asyncio.Event(), 0
        sending = self._runner.get_loop().create_task(self.families.notifier.send())
        self._do(self._until_held(sending))
        self.frozen = (sending, self.vendor.hold)
        self.vendor.hold = None
        self._take_over()

    @precondition(lambda self: self.frozen is not None)
    @rule()
    def thaw(self) -> None:
        self._thaw()

    @precondition(lambda self: bool(self.vendor.counted))
    @rule(which=st.integers(0, 10_000), step=st.integers(0, 1), times=st.integers(1, 2))
    def report(self, which: int, step: int, times: int) -> None:
        known = sorted(self.vendor.counted, key=lambda one: (one.message.id, one.message.channel, one.at))
        self._tell([known[which % len(known)].reports()[step]] * times)

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        places = [(one.message.id, one.message.channel) for one in self.vendor.counted]
        assert all(places.count(place) <= self.most for place in places)
        if not self.resend_unknown:  # a next channel is only for what the first one did not bring
            arrives = [one.message.id for one in self.vendor.counted if one.fate == "delivered"]
            assert len(arrives) == len(set(arrives))

    @invariant()
    def no_end_is_taken_back(self) -> None:
        now = {row.id: row.state for row in self.families.messages()}
        for message_id, state in self.before.items():
            assert now[message_id] == state or now[message_id] in MAY[state], (state, now[message_id])
        self.before = now

    @invariant()
    def all_agrees(self) -> None:
        check(self.families.store)

    def _take_over(self) -> None:
        """Another process has its turn, for the other's lease has run out."""
        past = iso(now_utc() - timedelta(seconds=1))
        self.families.store.write_now(lambda tx: tx.write_sql("UPDATE leases SET until = ?", (past,)))
        self.names += 1
        self.families.start(f"process-{self.names}")

    def _thaw(self) -> None:
        if self.frozen is None:
            return
        (sending, go), self.frozen = self.frozen, None
        go.set()
        self._do(sending)

    async def _until_held(self, sending: asyncio.Task[Any]) -> None:
        """Return when everything that is being sent waits for its answer."""
        text = "SELECT COUNT(*), COUNT(started_at) FROM notifications WHERE state = 'sending'"
        while not sending.done():
            ((claimed, begun),) = await self.families.store.read(lambda c: c.sql(text))
            if claimed == begun == self.vendor.holding > 0:
                return
            await asyncio.sleep(0.001)

    def _tell(self, reports: list[DeliveryReport]) -> None:
        for one in reports:
            self._do(door(self.families).report(one))

    def _do(self, work: Coroutine[Any, Any, T] | asyncio.Task[T]) -> T:
        async def wait() -> T:
            return await work

        return self._runner.run(wait())


class SendingAgain(Sending):
    """The same where the district has chosen to send once more what stays unknown."""

    resend_unknown = True
    most = 2


def _base() -> str:
    path = run.folder() / "base.db"
    if not path.exists():
        upgrade(f"sqlite:///{path}")
    return str(path)


@pytest.mark.parametrize("machine", [Sending, SendingAgain])
def test_in_whatever_order_things_happen_nothing_is_sent_twice_and_no_end_is_taken_back(machine: type[Sending]) -> None:
    _run(machine, examples=20)


@pytest.mark.long
@pytest.mark.parametrize("machine", [Sending, SendingAgain])
def test_nor_in_three_hundred_mornings(machine: type[Sending]) -> None:
    _run(machine, examples=300)


def _run(machine: type[Sending], *, examples: int) -> None:
    case = machine.TestCase
    case.settings = settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    case().runTest()


def _begin(tx: Transaction, chosen: Settings, one: Claimed) -> bool:
    return claims.begin(tx, chosen, one)
