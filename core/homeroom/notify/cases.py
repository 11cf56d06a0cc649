"""From the journal to cases: the cursor moves in the transaction that notes which students' days must be judged.

A case is only made for a day on which somebody was not simply present; a student who comes in time costs nothing, but
where a family was told of an absence and waits to hear more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from homeroom.attendance.records import day_text
from homeroom.live.tail import COLUMNS as EVENT
from homeroom.live.tail import event_of, newest
from homeroom.notify.days import Key
from homeroom.notify.rules import Rule
from homeroom.notify.settings import STUDENT_KINDS
from homeroom.notify.told import SENT
from homeroom.store import Connection, Transaction, iso, now_utc
from homeroom.store.bulk import select_in, upsert
from homeroom.types import Event

CURSOR = "notify"
KINDS = (
    *("attendance.recorded", "attendance.corrected", "attendance.withdrawn", "session.closed"),
    *("absence.reported", "absence.decided", "calendar.changed"),
)
_UNIT = 500
_LOOKED_AT = 10_000
_MEND = timedelta(minutes=2)
"""How soon a day that was judged is judged again: a wrong message is mended without waiting for the rule's delay."""
_WATCHED = timedelta(days=15)
_NEWS = timedelta(days=5)  # a row of days that ended before is told no more

_PLACES = ", ".join("?" * len(KINDS))
_RELEVANT = f"SELECT {EVENT} FROM journal WHERE id > ? AND id <= ? AND kind IN ({_PLACES}) ORDER BY id LIMIT ?"  # noqa: S608 - constants
_BEGIN = "INSERT INTO cursors (consumer, position, failures) VALUES (?, ?, 0) ON CONFLICT (consumer) DO NOTHING"
_MOVE = "UPDATE cursors SET position = ? WHERE consumer = ? AND position = ?"
_HELD = """
SELECT student_id, school_id, school_day, state FROM notification_cases WHERE school_day >= ? AND student_id IN ({})
"""
_SENT = ", ".join(f"'{state}'" for state in SENT)
_AWAITED = f"""
SELECT DISTINCT a.student_id FROM notifications a
WHERE a.kind = 'absence' AND a.state IN ({_SENT}) AND a.school_day >= ? AND a.school_day < ? AND NOT EXISTS (
  SELECT 1 FROM notifications r WHERE r.student_id = a.student_id AND r.kind = 'returned'
  AND r.school_day >= a.school_day AND r.school_day < ? AND r.state <> 'cancelled'
  AND NOT EXISTS (SELECT 1 FROM notifications c WHERE c.student_id = a.student_id AND c.corrects = r.id))
AND a.student_id IN ({{}})
"""  # noqa: S608 - constants
_IN_A_ROW = f"""
SELECT DISTINCT student_id FROM notifications
WHERE kind = 'in_a_row' AND state IN ({_SENT}, 'waiting', 'held') AND school_day > ? AND student_id IN ({{}})
"""  # noqa: S608 - constants
_WAITING = """
SELECT DISTINCT student_id, school_id, school_day FROM notifications
WHERE kind IN ('in_a_row', 'total', 'share', 'returned') AND state IN ('waiting', 'held') AND expires_at > ?
  AND student_id IN ({})
"""
_OF_SESSION = """
SELECT c.student_id, c.school_id, c.school_day FROM attendance_records r JOIN notification_cases c
ON c.student_id = r.student_id AND c.school_id = r.school_id AND c.school_day = r.school_day
WHERE r.session_id = ? AND c.state = 'waiting'
"""
_OF_STUDENT = """
SELECT student_id, school_id, school_day FROM notification_cases
WHERE student_id = ? AND school_day >= ? AND school_day <= ?
"""
_OF_DAY = "SELECT student_id, school_id, school_day FROM notification_cases WHERE school_id = ? AND school_day = ?"
_CASE = ("student_id", "school_id", "school_day", "state", "revision", "due_at", "began_at", "changed_at")
_TOUCH = """
ON CONFLICT (student_id, school_id, school_day) DO UPDATE SET
  revision = notification_cases.revision + 1, state = 'waiting', changed_at = excluded.changed_at,
  due_at = CASE WHEN notification_cases.state = 'waiting' AND notification_cases.due_at < excluded.due_at
    THEN notification_cases.due_at ELSE excluded.due_at END
"""


@dataclass(slots=True, kw_only=True)
class Look:
    """What the journal says after `before`, up to `position`: when each case is to be judged."""

    before: int
    position: int
    due: dict[Key, datetime] = field(default_factory=dict)


def begin(tx: Transaction) -> None:
    """Follow the journal from its end on; whoever has begun before goes on where they were."""
    tx.write_sql(_BEGIN, (CURSOR, newest(tx)))


def look(connection: Connection, rules: Sequence[Rule]) -> Look:
    """What is new, as far as one unit may hold; `rules` are those that are switched on."""
    before = int(connection.sql("SELECT position FROM cursors WHERE consumer = ?", (CURSOR,))[0][0])
    until = min(newest(connection), before + _LOOKED_AT)
    found = Look(before=before, position=until)
    rules = [rule for rule in rules if rule.kind in STUDENT_KINDS]
    if not rules or until == before:
        return found
    events = [event_of(row) for row in connection.sql(_RELEVANT, (before, until, *KINDS, _UNIT))]
    if len(events) == _UNIT:
        found.position = events[-1].id
    found.due = _touched(connection, rules, events)
    return found


def keep(tx: Transaction, found: Look) -> None:
    """Note the cases and move the cursor behind what they came from."""
    now = iso(tx.now)
    rows = [(*key, "waiting", 1, iso(due), now, now) for key, due in sorted(found.due.items())]
    if rows:
        upsert(tx, "notification_cases", _CASE, rows, on_conflict=_TOUCH)
    tx.write_sql(_MOVE, (found.position, CURSOR, found.before))


def _touched(connection: Connection, rules: Sequence[Rule], events: Sequence[Event]) -> dict[Key, datetime]:
    marks = [event for event in events if event.kind.startswith("attendance.") and event.student_id]
    first = min((str(event.data["school_day"]) for event in marks), default="")
    held = _states(connection, {str(event.student_id) for event in marks}, first) if marks else {}
    awaited = _awaited(connection, rules, marks, held) | _in_a_row(connection, marks)
    due: dict[Key, datetime] = {}
    now = now_utc()  # what happened at a moment to come was noted while the clock was ahead
    for event in marks:
        key = (str(event.student_id), str(event.data["school_id"]), str(event.data["school_day"]))
        delay = _delay(rules, key[1])
        if delay is None or not (_is_news(event) or key in held or key[0] in awaited):
            continue
        judged = held.get(key) == "judged"
        at = min(event.at, now) + (min(delay, _MEND) if judged else delay)
        due[key] = min(at, due.get(key, at))
    for event in events:
        for key in _also(connection, event):
            if _delay(rules, key[1]) is not None:
                at = min(event.at, now)
                due[key] = min(at, due.get(key, at))
    return {**_later(connection, due), **_waiting(connection, due), **due}


def _is_news(event: Event) -> bool:
    """Whether a mark says something else than that somebody was present from the first; None is a mark taken back."""
    return bool(event.data["status"] not in ("present", None) or event.data.get("was", "present") != "present")


def _also(connection: Connection, event: Event) -> Iterable[Key]:
    """Cases that an event is about which is no mark: a roll that is complete, a reported absence, a holiday."""
    match event.kind:
        case "session.closed":
            rows = connection.sql(_OF_SESSION, (event.session_id,))
        case "absence.reported":
            rows = connection.sql(_OF_STUDENT, (event.student_id, event.data["first_day"], event.data["last_day"]))
        case "absence.decided":
            days = connection.sql("SELECT first_day, last_day FROM absence_reports WHERE id = ?", (event.subject_id,))
            rows = [
                row for days_ in days for row in connection.sql(_OF_STUDENT, (event.student_id, *map(day_text, days_)))
            ]
        case "calendar.changed":
            rows = connection.sql(_OF_DAY, (event.subject_id, event.data["day"]))
        case _:
            return ()
    return [(row[0], row[1], day_text(row[2])) for row in rows]


def _waiting(connection: Connection, due: Mapping[Key, datetime]) -> dict[Key, datetime]:
    """The days whose messages have not been sent and rest on other days, too, of which something has become known."""
    soonest: dict[tuple[str, str], datetime] = {}
    for (student_id, school_id, _), at in due.items():
        soonest[student_id, school_id] = min(at, soonest.get((student_id, school_id), at))
    found: dict[Key, datetime] = {}
    now = iso(now_utc())
    students = sorted({key[0] for key in due})
    for student_id, school_id, day in select_in(connection, _WAITING, (now,), students):
        if (student_id, school_id) in soonest:
            found[student_id, school_id, day_text(day)] = soonest[student_id, school_id]
    return found


def _later(connection: Connection, due: Mapping[Key, datetime]) -> dict[Key, datetime]:
    """The latest days after an older one that has changed: what is left of a number that was wrong is told by them."""
    older: dict[tuple[str, str], list[tuple[str, datetime]]] = defaultdict(list)
    for (student_id, school_id, day), at in due.items():
        if day < at.date().isoformat():
            older[student_id, school_id].append((max(day, (at.date() - _NEWS).isoformat()), at))
    if not older:
        return {}
    first = min(since for changes in older.values() for since, _ in changes)
    found: dict[Key, datetime] = {}
    for key in _states(connection, {student_id for student_id, _ in older}, first):
        ats = [at for since, at in older.get(key[:2], ()) if key[2] > since]
        if ats:
            found[key] = min(ats)
    return found


def _states(connection: Connection, students: set[str], since: str) -> dict[Key, str]:
    """The states of these students' cases from a school day on."""
    rows = select_in(connection, _HELD, (since,), sorted(students))
    return {(student, school, day_text(day)): state for student, school, day, state in rows}


def _awaited(
    connection: Connection, rules: Sequence[Rule], marks: Sequence[Event], held: Mapping[Key, str]
) -> set[str]:
    """The students of whom a family was told that they are absent, where a rule tells that they have come."""
    if not any(rule.kind == "returned" for rule in rules):
        return set()
    by_day: dict[str, set[str]] = defaultdict(set)
    for event in marks:
        if event.data["status"] in ("present", "tardy"):
            by_day[str(event.data["school_day"])].add(str(event.student_id))
    found: set[str] = set()
    for day, students in by_day.items():
        since = (date.fromisoformat(day) - _WATCHED).isoformat()
        unknown = sorted(students - {key[0] for key in held if key[2] == day})
        found |= {row[0] for row in select_in(connection, _AWAITED, (since, day, day), unknown)}
    return found


def _in_a_row(connection: Connection, marks: Sequence[Event]) -> set[str]:
    """The students of whom it now turns out that they came on a day within a row of days missed that was told."""
    late: dict[str, set[str]] = defaultdict(set)
    for event in marks:
        if event.data["status"] == "present" and str(event.data["school_day"]) < event.at.date().isoformat():
            late[str(event.data["school_day"])].add(str(event.student_id))
    found: set[str] = set()
    for day, students in late.items():
        found |= {row[0] for row in select_in(connection, _IN_A_ROW, (day,), sorted(students))}
    return found


def _delay(rules: Sequence[Rule], school_id: str) -> timedelta | None:
    """How long a new case waits at a school: as long as the quickest of its rules. None where there is no rule."""
    minutes = [getattr(rule.settings, "delay_minutes", 0) for rule in rules if rule.holds_at(school_id)]
    return timedelta(minutes=min(minutes)) if minutes else None
