"""Whatever happens in whatever order, what families have read at the end is so, or was put right."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom.attendance.sessions import record_id
from homeroom.notify.judging import MOST_TIMES
from homeroom.roster.calendar import set_calendar_day
from homeroom.store import Store
from homeroom.store import models as m
from homeroom.store.cipher import Cipher
from homeroom.types import Message
from tests.services.families import TODAY, Families, TimedOut, on_monday
from tests.services.families import Told as Answered
from tests.services.roll import at_hour, decided, report

CLASSES = ("homeroom", "algebra", "biology")
CAME, READ = ("present", "tardy"), ("sending", "unknown", "accepted", "delivered")
PEOPLE = ("mother", "father")
_numbers = itertools.count()

# One list to draw from, so that what leads to messages is drawn as often as it stands there.
STEPS: Sequence[tuple[Any, ...]] = (
    *(("mark", number, status) for number in range(3) for status in ("present", "tardy", "absent", "excused")),
    *(("mark", number, "absent") for number in (0, 0, 1, 2)),
    *(("judge after", minutes) for minutes in (1, 3, 6, 20)),
    *(("judge and send after", minutes) for minutes in (1, 3, 6, 6, 20, 20)),
    *(("report",), ("approve",), ("refuse",), ("refuse",)),
    *(("holiday", True), ("holiday", False), ("vendor", True), ("vendor", False)),
)


class Morning:
    """Ann's day, kept beside the database in the plainest way."""

    def __init__(self, families: Families) -> None:
        self.families = families
        self.sessions = [families.open(name, hour=9 + number) for number, name in enumerate(CLASSES)]
        self.marks: dict[int, str] = {}
        self.reports: list[list[str]] = []
        self.held = True

    async def do(self, step: tuple[Any, ...]) -> None:
        """Let one thing happen."""
        families = self.families
        match step:
            case ("mark", number, status):
                families.mark(self.sessions[number], ann=status)
                self.marks[number] = status
            case ("judge after", minutes):
                families.clock.shift(timedelta(minutes=minutes))
                await families.notifier.look()
            case ("judge and send after", minutes):
                await families.move(minutes)
            case ("holiday", on):
                families.store.write_now(lambda tx: set_calendar_day(tx, "north", TODAY, in_session=not on))
                self.held = not on
            case ("vendor", answers):
                families.vendor.answer = None if answers else self.says_nothing
            case ("report",):
                self.reports.append([report(families, "ann"), "reported"])
            case (decision,) if self.reports:
                self.decide(decision)

    def decide(self, decision: str) -> None:
        """The office decides on the last report."""
        last = self.reports[-1]
        decided(self.families, last[0], "approved" if decision == "approve" else "refused")
        if decision == "approve" and last[1] != "approve":
            self.marks = {n: "excused" if status == "absent" else status for n, status in self.marks.items()}
        last[1] = decision

    def says_nothing(self, message: Message) -> Answered:
        """The vendor takes the message, and nobody hears of it."""
        self.families.vendor.take(message)
        return Answered(error=TimedOut(), value=None)

    @property
    def is_told_by_family(self) -> bool:
        """Whether the family has told that Ann would not come."""
        return any(state != "refuse" for _, state in self.reports)

    @property
    def status(self) -> str | None:
        """The day's: present in any class is present."""
        in_order = [self.marks[number] for number in sorted(self.marks)] if self.held else []
        if not in_order:
            return None
        if any(status in CAME for status in in_order):
            return "tardy" if in_order[0] == "tardy" else "present"
        return "excused" if all(status == "excused" for status in in_order) else "absent"

    def arrived_after(self, records: Sequence[str]) -> bool:
        """Whether Ann came to a class after one that the message was about and that she did miss."""
        missed = [
            number
            for number, status in self.marks.items()
            if status not in CAME and record_id(self.sessions[number], "ann") in records
        ]
        return bool(missed) and any(s in CAME for number, s in self.marks.items() if number > min(missed))

    def is_so(self, message: m.Notification) -> bool:
        """Whether what a message says is so."""
        now = {record_id(self.sessions[number], "ann"): status for number, status in self.marks.items()}
        about = [now.get(record) for record in message.why["records"] if self.held]
        if message.kind == "returned":
            return self.status in CAME
        if message.kind == "tardy":
            return "tardy" in (*about, self.status)
        if self.status in CAME:
            return self.arrived_after(message.why["records"])
        return any(status in ("absent", "excused") for status in about)


async def a_morning(store: Store, taken: list[tuple[Any, ...]]) -> None:
    with on_monday(store) as families:
        at_hour(families, 12)
        for kind, delay in (("absence", 5), ("tardy", 5), ("returned", 2)):
            families.rule(kind, delay_minutes=delay)
        families.student("ann", *PEOPLE, classes=CLASSES)
        await families.tick()
        morning = Morning(families)
        for step in taken:
            await morning.do(step)
        families.vendor.answer = None
        for _ in range(4):
            await families.move(10)
        check(families, morning)


def check(families: Families, morning: Morning) -> None:
    messages = families.messages()
    assert len({row.key for row in messages}) == len(messages)
    assert {row.state for row in messages} <= {"accepted", "unknown", "cancelled"}, "something is left over"
    sent = Counter(message.id for message in families.vendor.taken)
    assert not sent or max(sent.values()) == 1, "a message left twice"
    corrected = Counter(row.corrects for row in messages if row.kind == "correction" and row.state in READ)
    assert not corrected or max(corrected.values()) == 1, "a message was corrected twice"
    for person in PEOPLE:
        read = [
            row for row in messages if row.recipient_id == person and row.kind != "correction" and row.state in READ
        ]
        standing = [row for row in read if row.id not in corrected]
        assert all(morning.is_so(row) for row in standing), "something stands that is not so"
        assert max(Counter(row.kind for row in standing).values(), default=0) <= 1, "one thing was told twice"
        often = Counter(row.kind for row in read)
        heard = {row.kind for row in standing}
        if morning.status == "absent" and not morning.is_told_by_family and often["absence"] < MOST_TIMES:
            assert "absence" in heard, "an absence of which nobody heard"
        if morning.status == "tardy" and often["tardy"] < MOST_TIMES:
            assert "tardy" in heard, "a tardy of which nobody heard"
    mother_s, father_s = (sorted(row.kind for row in messages if row.recipient_id == person) for person in PEOPLE)
    assert mother_s == father_s


@settings(max_examples=60)
@given(taken=st.lists(st.sampled_from(STEPS), min_size=10, max_size=40))
def test_the_last_thing_that_a_family_has_read_is_so_or_a_correction_followed_it(
    sqlite_url: str, taken: list[tuple[Any, ...]]
) -> None:
    pristine = Path(sqlite_url.removeprefix("sqlite:///"))
    copy = pristine.with_name(f"{next(_numbers)}.db")
    shutil.copyfile(pristine, copy)
    with Store(f"sqlite:///{copy}", cipher=Cipher([bytes(range(32))])) as store:
        asyncio.run(a_morning(store, taken))
    copy.unlink()
