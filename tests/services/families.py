"""A school with families who can be told, a vendor that takes messages, and a clock: for tests of notifications."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import time_machine

from homeroom.attendance.marks import NewMark, mark
from homeroom.attendance.sessions import Opening, close_session, open_session
from homeroom.notify.notifier import Notifier
from homeroom.notify.rules import Rule, add_rule, draft
from homeroom.roster.people import add_contact
from homeroom.settings import Settings
from homeroom.store import Store, Transaction, new_id
from homeroom.store import models as m
from homeroom.types import AccessRequest, Decision, Message, NotSent, Receipt, Status

MONDAY = datetime(2026, 9, 14, 14, 0, tzinfo=UTC)  # ten o'clock in New York
TODAY = date(2026, 9, 14)
SCHOOL = "north"
CLASSES = {"homeroom": "homeroom", "algebra": "scheduled", "biology": "scheduled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A plugin's answer, as the host gives it."""

    plugin: str = "post"
    value: Any = None
    error: BaseException | None = None
    reached: bool = True
    reason: str | None = None


class TimedOut(Exception):
    """Stands for the host's own."""


@dataclass(slots=True)
class Vendor:
    """Stands where the plugin host does, with one plugin for every channel in `channels`.

    `taken` is what it took, whatever it answered; `answer` makes its answers, `knows` those to `find_delivery`, and
    `waits` is awaited before each.
    """

    channels: Sequence[str] = ("sms", "email")
    taken: list[Message] = field(default_factory=list)
    answer: Callable[[Message], Told] | None = None
    knows: Callable[[Message], Receipt | NotSent | None] = lambda _message: None
    denies: set[str] = field(default_factory=set)
    judge: Callable[[AccessRequest], Awaitable[Decision]] | None = None
    asked: list[str] = field(default_factory=list)
    plugins: Sequence[Any] = ()
    health: dict[str, Any] = field(default_factory=lambda: {"ok": True, "detail": "", "findings": []})
    told: Any = None
    waits: Callable[[Message], Awaitable[object]] | None = None

    async def ask_first(self, hook: str, **arguments: Any) -> Told | None:
        """The vendor's answer to a message."""
        message: Message = arguments["message"]
        self.asked.append(hook)
        if message.channel not in self.channels:
            return None
        if self.waits is not None:
            await self.waits(message)
        if self.answer is not None:
            return self.answer(message)
        return self.take(message)

    def take(self, message: Message) -> Told:
        """Take a message, as a vendor does."""
        self.taken.append(message)
        return Told(value=Receipt(state="accepted", provider_id=f"v-{len(self.taken)}", segments=1))

    async def ask_all(self, hook: str, **arguments: Any) -> list[Told]:
        """Whether a person may be told: what `judge` says, or not those in `denies`."""
        assert hook == "authorize"
        request = arguments["request"]
        if self.judge is not None:
            return [Told(value=await self.judge(request))]
        allow = request.identity.subject not in self.denies
        return [Told(value=SimpleNamespace(allow=allow, reason="a consent was revoked"))]

    async def ask(self, name: str, hook: str, **arguments: Any) -> Told | None:
        """What the plugin reads back from its vendor, or what became of one message."""
        assert name == "post"
        if hook == "find_delivery":
            self.asked.append(hook)
            return Told(value=self.knows(arguments["message"]))
        assert hook == "suppressions"
        return Told(value=self.told(arguments["since"]) if self.told else None)

    def implements(self, hook: str) -> bool:
        """Whether a plugin would be asked."""
        return hook == "authorize" and (bool(self.denies) or self.judge is not None)

    def senders(self, channel: str) -> tuple[str, ...]:
        """Who delivers on a channel."""
        return ("post",) if channel in self.channels else ()

    def has_threads(self, _name: str, _hook: str) -> bool:
        """Whether only a few messages can be sent at the same time."""
        return False

    def implementers(self, hook: str) -> tuple[str, ...]:
        """Who answers a hook."""
        return ("post",) if hook in ("deliver", "suppressions") else ()

    async def health_of(self, _name: str) -> dict[str, Any]:
        """How the plugin is."""
        return self.health


@dataclass(slots=True, kw_only=True)
class Families:
    """The school: `tick` lets the notifier do what is due, `move` lets time pass."""

    store: Store
    clock: time_machine.Traveller
    settings: Settings
    vendor: Vendor = field(default_factory=Vendor)
    notifier: Notifier = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self, holder: str = "one") -> None:
        """A notifier of its own, as another process would have it."""
        home: Any = SimpleNamespace(settings=self.settings, store=self.store, tail=None, host=self.vendor)
        self.notifier = Notifier(home, holder)

    async def tick(self) -> None:
        """Do what is due now."""
        await self.notifier.look()
        await self.notifier.send()
        await self.notifier.ask()

    async def move(self, minutes: float) -> None:
        """Let time pass, then do what is due."""
        self.clock.shift(timedelta(minutes=minutes))
        await self.tick()

    def rule(self, kind: str, *, org_id: str = "", **settings: Any) -> Rule:
        """A rule that is switched on."""
        made = draft(kind, settings, org_id=org_id, title=kind)
        return self.store.write_now(lambda tx: add_rule(tx, new_id(), made))

    def student(self, student_id: str, *guardians: str, classes: Sequence[str] = ("homeroom", "algebra")) -> str:
        """A student with guardians, who have a number and an address each."""

        def unit(tx: Transaction) -> None:
            _person(tx, student_id, "student", SCHOOL)
            for name in classes:
                tx.insert(m.Enrollment, user_id=student_id, class_id=name, role="student", changed_at=tx.now)
            for guardian in guardians:
                if tx.get(m.User, guardian) is None:
                    _person(tx, guardian, "guardian", "")
                    add_contact(tx, guardian, "sms", number_of(guardian))
                    add_contact(tx, guardian, "email", f"{guardian}@example.org")
                tx.insert(m.Guardianship, guardian_id=guardian, student_id=student_id, changed_at=tx.now)

        self.store.write_now(unit)
        return student_id

    def open(self, name: str = "homeroom", *, hour: int = 12, day: date = TODAY) -> str:
        """A session of a class that began at this hour, UTC."""
        starts_at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
        opening = Opening(id=new_id(), class_id=name, starts_at=starts_at, zone_default="America/New_York")
        return self.store.write_now(lambda tx: open_session(tx, opening)).id

    def mark(self, session_id: str, **statuses: Status) -> None:
        """Mark students."""
        marks = [NewMark(student_id=student, status=status) for student, status in statuses.items()]
        self.store.write_now(lambda tx: mark(tx, session_id, marks))

    def close(self, session_id: str) -> None:
        """Close the session: whoever has no mark is absent."""
        self.store.write_now(lambda tx: close_session(tx, session_id))

    def sent(self) -> list[tuple[str, str]]:
        """What the vendor took: (address, text)."""
        return [(message.to, message.body) for message in self.vendor.taken]

    def messages(self) -> list[m.Notification]:
        """The outbox."""
        table = m.Notification
        return self.store.read_now(lambda c: c.all(table.select().order_by(table.created_at, table.id)))

    def states(self) -> list[str]:
        """The states of the messages in the outbox."""
        return [row.state for row in self.messages()]

    def set(self, model: Any, values: dict[str, Any], *where: Any) -> None:
        """Change rows."""
        self.store.write_now(lambda tx: tx.run(model.update(**values).where(*where)))


def settings(**notify: Any) -> Settings:
    """The settings of the tests: quick, with retries at once."""
    return Settings.model_validate({"notify": {"ask_after_seconds": 60, **notify}})


@contextlib.contextmanager
def on_monday(store: Store) -> Iterator[Families]:
    """The school on a Monday morning."""
    with time_machine.travel(MONDAY, tick=False) as clock:
        store.write_now(_school)
        yield Families(store=store, clock=clock, settings=settings())


def number_of(person_id: str) -> str:
    """The number of a person's telephone, as a SIS would write it."""
    return f"(212) 555-{zlib.crc32(person_id.encode()) % 10_000:04}"


def _school(tx: Transaction) -> None:
    tx.insert(m.Org, id="district", name="District", kind="district", time_zone="America/New_York", changed_at=tx.now)
    tx.insert(
        m.Org,
        id=SCHOOL,
        name="North School",
        kind="school",
        parent_id="district",
        settings={"phone": "+1 212 555 0100"},
        changed_at=tx.now,
    )
    for name, kind in CLASSES.items():
        tx.insert(m.Class, id=name, title=name.title(), school_id=SCHOOL, kind=kind, changed_at=tx.now)
    _person(tx, "teacher", "teacher", SCHOOL)
    _person(tx, "principal", "school_admin", SCHOOL)
    _person(tx, "admin", "district_admin", "")
    for person in ("teacher", "principal", "admin"):
        add_contact(tx, person, "email", f"{person}@example.org")
    for name in CLASSES:
        tx.insert(m.Enrollment, user_id="teacher", class_id=name, role="teacher", changed_at=tx.now)


def _person(tx: Transaction, person_id: str, role: str, org_id: str) -> None:
    name = person_id.replace("_", " ").title()
    tx.insert(m.User, id=person_id, given_name=name, family_name="Park", sort_name=person_id, changed_at=tx.now)
    tx.insert(m.RoleAssignment, user_id=person_id, role=role, org_id=org_id)
