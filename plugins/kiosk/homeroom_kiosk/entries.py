"""Coming and going: a try at a tablet, judged and kept in one unit of work."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from homeroom import Connection, Transaction
from homeroom_kiosk import keys, tablets, tries
from homeroom_kiosk.secret_texts import hashed, text_of
from homeroom_kiosk.settings import KioskSettings
from homeroom_kiosk.tries import Limit

Direction = Literal["in", "out"]
Refusal = Literal["switched-off", "used-already", "too-many-attempts", "not-recognized"]

AGAIN = timedelta(minutes=1)
"""Shown again within this time, the same way, somebody has come or gone once."""

_CHUNK = 500
_COLUMNS = "id, tablet_id, school_id, place, student_id, direction, day, at, early, again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """What was shown at a tablet: a card, or a student number with a PIN. `id` is the entry's, should it become one.

    `belonging` has the students of the school among those whom it may be, by card (their ids) and by number.
    """

    id: str
    token: str = field(repr=False)
    direction: Direction
    once: str = field(repr=False)
    card: str | None = field(default=None, repr=False)
    number: str = field(default="", repr=False)
    pin: str = field(default="", repr=False)
    belonging: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Somebody came in or left. `early`: before the day's end; `again`: a repeat of the entry a moment before."""

    id: str
    tablet_id: str
    school_id: str
    place: str
    student_id: str
    direction: Direction
    day: str
    at: str
    early: bool
    again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing was entered; `wait` is in seconds."""

    why: Refusal
    wait: int = 0


def judge(tx: Transaction, tried: Try, settings: KioskSettings, zone: ZoneInfo) -> Entry | Refused:
    """The entry that the try has become, or why it has become none.

    A wrong card, a blocked one, one of another school's student, an unknown number and a wrong PIN are one and the same
    refusal, reached by the same steps.
    """
    if kept := _entries(tx, "id = ?", (tried.id,)):
        return kept[0]  # the same unit run again
    tablet = tablets.of_token(tx, tried.token)
    if tablet is None:
        return Refused(why="switched-off")
    once = hashed(tried.once)
    if tx.sql("SELECT 1 FROM kiosk_entries WHERE tablet_id = ? AND once = ?", (tablet.id, once)):
        return Refused(why="used-already")
    limits = _limits(tx, tried, tablet, settings)
    if wait := tries.wait(tx, limits, tx.now):
        return Refused(why="too-many-attempts", wait=wait)
    student_id = _student(tx, tried, tablet)
    tablets.saw(tx, tablet)
    if student_id is None:
        tries.count(tx, limits)
        return Refused(why="not-recognized")
    tries.forget(tx, [limit for limit in limits if limit.subject_id != tablet.id])
    return _enter(tx, tried, tablet, student_id, early=_is_early(tx.now, tablet.school_id, settings, zone), zone=zone)


def of_day(connection: Connection, school_id: str, day: str, *, early: bool, limit: int) -> list[Entry]:
    """A school's entries of one day, the latest first; with `early` only those who left early."""
    condition = "school_id = ? AND day = ? AND again = 0" + (" AND early = 1" if early else "")
    return _entries(connection, f"{condition} ORDER BY at DESC, id LIMIT {limit:d}", (school_id, day))


def latest_in(connection: Connection, day: str, since: str, students: Collection[str]) -> list[Entry]:
    """Those of `students` whose last entry this day is that they came in, not before `since`; that entry of each."""
    latest: dict[str, Entry] = {}
    wanted = sorted(students)
    for some in (wanted[start : start + _CHUNK] for start in range(0, len(wanted), _CHUNK)):
        marks = ", ".join("?" * len(some))
        condition = f"student_id IN ({marks}) AND day = ? AND again = 0 ORDER BY at, id"
        latest |= {entry.student_id: entry for entry in _entries(connection, condition, (*some, day))}
    return [entry for entry in latest.values() if entry.direction == "in" and entry.at >= since]


def forget_before(tx: Transaction, day: str) -> None:
    """Drop the entries of the days before `day`."""
    tx.write_sql("DELETE FROM kiosk_entries WHERE day < ?", (day,))


def offered(now: datetime, school_id: str, settings: KioskSettings, zone: ZoneInfo) -> Direction:
    """What a tablet offers first at this moment: until the day ends to come in, then to leave."""
    return "in" if _is_early(now, school_id, settings, zone) else "out"


def _is_early(now: datetime, school_id: str, settings: KioskSettings, zone: ZoneInfo) -> bool:
    return now.astimezone(zone).time() < settings.day_ends_for(school_id)


def _limits(connection: Connection, tried: Try, tablet: tablets.Tablet, settings: KioskSettings) -> list[Limit]:
    within = timedelta(minutes=settings.tries_minutes)
    kind = "pin" if tried.card is None else "card"
    limits = [
        Limit(
            who=f"tablet {tablet.id} {kind}",
            subject_id=tablet.id,
            most=settings.tries_per_tablet,
            within=within,
            locked=timedelta(minutes=settings.tablet_locked_minutes),
        )
    ]
    if tried.card is None:
        who = f"number {keys.number_hash(connection, tablet.school_id, tried.number)}"
        limits.append(
            Limit(
                who=who,
                subject_id=tried.belonging.get(tried.number),
                most=settings.tries_per_student,
                within=within,
                locked=timedelta(hours=settings.student_locked_hours),
            )
        )
    return limits


def _student(tx: Transaction, tried: Try, tablet: tablets.Tablet) -> str | None:
    """Whose card or PIN this is, if it is good here and now."""
    if tried.card is None:
        student_id = tried.belonging.get(tried.number, "")
        return student_id if keys.fits(tx, student_id, tried.pin) and student_id else None
    card = keys.find_card(tx, tried.card)
    if card is not None and card.blocked_at is not None:
        data = {"tablet": tablet.id, "place": tablet.place}
        tx.journal("kiosk.blocked_card_shown", student_id=card.student_id, subject_id=card.id, data=data)
        return None
    return tried.belonging.get(card.student_id) if card is not None else None


def _enter(
    tx: Transaction, tried: Try, tablet: tablets.Tablet, student_id: str, *, early: bool, zone: ZoneInfo
) -> Entry:
    before = _entries(tx, "student_id = ? AND again = 0 ORDER BY at DESC, id LIMIT 1", (student_id,))
    again = any(one.direction == tried.direction and one.at > text_of(tx.now - AGAIN) for one in before)
    entry = Entry(
        id=tried.id,
        tablet_id=tablet.id,
        school_id=tablet.school_id,
        place=tablet.place,
        student_id=student_id,
        direction=tried.direction,
        day=tx.now.astimezone(zone).date().isoformat(),
        at=text_of(tx.now),
        early=early and tried.direction == "out",
        again=again,
    )
    tx.write_sql(
        f"INSERT INTO kiosk_entries ({_COLUMNS}, once) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
        (
            *(entry.id, entry.tablet_id, entry.school_id, entry.place, entry.student_id, entry.direction, entry.day),
            *(entry.at, int(entry.early), int(entry.again), hashed(tried.once)),
        ),
    )
    if not again:
        data = {"school": entry.school_id, "tablet": entry.tablet_id, "place": entry.place, "early": entry.early}
        tx.journal(f"kiosk.{entry.direction}", student_id=student_id, subject_id=entry.id, data=data)
    return entry


def _entries(connection: Connection, condition: str, params: tuple[object, ...]) -> list[Entry]:
    rows = connection.sql(f"SELECT {_COLUMNS} FROM kiosk_entries WHERE {condition}", params)  # noqa: S608 - constants
    return [
        Entry(
            id=row[0],
            tablet_id=row[1],
            school_id=row[2],
            place=row[3],
            student_id=row[4],
            direction="in" if row[5] == "in" else "out",
            day=row[6],
            at=row[7],
            early=bool(row[8]),
            again=bool(row[9]),
        )
        for row in rows
    ]
