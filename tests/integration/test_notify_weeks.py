"""Whatever is marked and corrected in whatever order, what was told of many days is so at the end, or was put right."""

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

from homeroom.notify.judging import MOST_TIMES
from homeroom.roster.calendar import set_calendar_day
from homeroom.store import Store
from homeroom.store import models as m
from homeroom.store.cipher import Cipher
from tests.services.families import TODAY, Families, on_monday
from tests.services.roll import at_hour, correct_one

DAYS = [TODAY + timedelta(days=7 * (number // 5) + number % 5) for number in range(8)]
NUMBER = {day.isoformat(): number for number, day in enumerate(DAYS)}
READ = ("sending", "unknown", "accepted", "delivered")
STEPS: Sequence[tuple[Any, ...]] = (
    *[("next day",)] * 8,
    *(
        ("mark", back, status)
        for back in (0, 0, 0, 0, 0, 1, 1, 2, 3)
        for status in ("absent", "absent", "present", "excused")
    ),
    *[("judge and send",)] * 12,
    *[("judge",)] * 3,
    *(("holiday", back, held) for back in (0, 1) for held in (False, True, True)),
)
_copies = itertools.count()


class Weeks:
    """Ann's days, kept beside the database in the plainest way."""

    def __init__(self, families: Families) -> None:
        self.families = families
        self.now = 0
        self.marks: dict[int, str] = {}
        self.sessions: dict[int, str] = {}
        self.holidays: set[int] = set()

    async def do(self, step: tuple[Any, ...]) -> None:
        """Let one thing happen."""
        families = self.families
        match step:
            case ("next day",) if self.now + 1 < len(DAYS):
                await families.tick()
                self.now += 1
                at_hour(families, 12, day=DAYS[self.now])
                await families.tick()
            case ("mark", back, status) if back <= self.now:
                self.mark(self.now - back, status)
            case ("holiday", back, held) if back <= self.now:
                number = self.now - back
                families.store.write_now(lambda tx: set_calendar_day(tx, "north", DAYS[number], in_session=held))
                (self.holidays.discard if held else self.holidays.add)(number)
            case ("judge",):
                families.clock.shift(timedelta(minutes=5))
                await families.notifier.look()
            case ("judge and send",):
                await families.move(5)

    def mark(self, number: int, status: Any) -> None:
        """Mark a day, or correct what was marked."""
        if number in self.sessions:
            correct_one(self.families, self.sessions[number], "ann", status)
        else:
            self.sessions[number] = self.families.open(day=DAYS[number], hour=11)
            self.families.mark(self.sessions[number], ann=status)
        self.marks[number] = status

    @property
    def missed(self) -> set[int]:
        """The school days that Ann has missed without an excuse."""
        return {n for n, status in self.marks.items() if status == "absent" and n not in self.holidays}

    @property
    def runs(self) -> list[set[int]]:
        """The days missed, in stretches that no other day with a mark breaks."""
        found: list[set[int]] = [set()]
        for number in range(len(DAYS)):
            if number in self.missed:
                found[-1].add(number)
            elif number in self.marks and number not in self.holidays:
                found.append(set())
        return [run for run in found if run]

    def is_so(self, message: m.Notification) -> bool:
        """Whether what a message says is so, or what it counted was missed."""
        days, threshold = {NUMBER[day] for day in message.why["days"]}, int(message.why["threshold"])
        if message.kind == "total":
            return days <= self.missed or len(self.missed) >= threshold
        return any(run & days and len(run) >= threshold for run in self.runs)


async def weeks(store: Store, taken: list[tuple[Any, ...]]) -> None:
    with on_monday(store) as families:
        at_hour(families, 12)
        for kind in ("in_a_row", "total"):
            families.rule(kind, days=[2, 4], delay_minutes=0, statuses=["absent"])
        families.student("ann", "mother", classes=("homeroom",))
        await families.tick()
        ann = Weeks(families)
        for step in taken:
            await ann.do(step)
        for _ in range(3):
            await families.move(5)
        check(families.messages(), ann)


def check(messages: Sequence[m.Notification], ann: Weeks) -> None:
    assert {row.state for row in messages} <= {"accepted", "cancelled"}, "something is left over"
    corrected = Counter(row.corrects for row in messages if row.kind == "correction" and row.state in READ)
    assert max(corrected.values(), default=0) <= 1, "a message was corrected twice"
    read = [row for row in messages if row.kind != "correction" and row.state in READ]
    standing = [row for row in read if row.id not in corrected]
    assert all(ann.is_so(row) for row in standing), "something stands that is not so"
    totals = {row.why["threshold"] for row in standing if row.kind == "total"}
    assert len(totals) == sum(row.kind == "total" for row in standing), "one crossing was told twice"
    often = Counter((row.kind, row.why["threshold"]) for row in read)
    if ann.now not in ann.missed:
        return
    if (total := _reached(len(ann.missed))) and often["total", total] < MOST_TIMES:
        assert max(totals, default=0) >= total, "a crossing of which nobody heard"
    run = next(run for run in ann.runs if ann.now in run)
    if (row := _reached(len(run))) and often["in_a_row", row] < MOST_TIMES:
        about = [one for one in standing if one.kind == "in_a_row" and {NUMBER[day] for day in one.why["days"]} & run]
        assert any(one.why["threshold"] == row for one in about), "a row of which nobody heard"


def _reached(count: int) -> int:
    return 4 if count >= 4 else 2 if count >= 2 else 0


@settings(max_examples=40)
@given(taken=st.lists(st.sampled_from(STEPS), min_size=10, max_size=45))
def test_what_a_family_has_read_of_many_days_is_so_or_a_correction_followed_it(
    sqlite_url: str, taken: list[tuple[Any, ...]]
) -> None:
    pristine = Path(sqlite_url.removeprefix("sqlite:///"))
    copy = pristine.with_name(f"{next(_copies)}.db")
    shutil.copyfile(pristine, copy)
    with Store(f"sqlite:///{copy}", cipher=Cipher([bytes(range(32))])) as store:
        asyncio.run(weeks(store, taken))
    copy.unlink()
