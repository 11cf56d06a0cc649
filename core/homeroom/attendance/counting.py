"""Students counted by day and by student, rolls and check-ins, for reports: each school in a few statements.

What a day is worth is the school's day rule (`day_status`), here in SQL over the index that holds all it needs; a test
holds both to the same figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import orjson

from homeroom.attendance.day_status import AnyPeriod, DayRule, Homeroom, Share
from homeroom.attendance.membership import Span, spans_of_classes, spans_of_students
from homeroom.store import Connection
from homeroom.types import CheckIns, DayCounts, Roll, StudentDays

_SOME = 500

# One row for each student and day: how many marks count, in how many of them the student came, and so on.
_STUDENTS = """
SELECT r.student_id, r.school_day, COUNT(*) AS marks,
  SUM(CASE WHEN r.status IN ('present', 'tardy') THEN 1 ELSE 0 END) AS came,
  SUM(CASE WHEN r.status = 'tardy' THEN 1 ELSE 0 END) AS late,
  SUM(CASE WHEN r.status = 'excused' THEN 1 ELSE 0 END) AS excused
FROM attendance_records r
WHERE r.school_id = ? AND {days}{classes}{students} GROUP BY r.school_day, r.student_id
"""
# The first mark decides whether somebody came late that day; most have none or nothing but such marks.
_LATE = """
CASE WHEN d.late = 0 THEN 0 WHEN d.late = d.marks THEN 1 ELSE (
  SELECT CASE WHEN r.status = 'tardy' THEN 1 ELSE 0 END FROM attendance_records r
  JOIN class_sessions s ON s.id = r.session_id
  WHERE r.student_id = d.student_id AND r.school_day = d.school_day AND r.school_id = ?{classes}
  ORDER BY s.starts_at, r.id LIMIT 1) END
"""
_OF_HOMEROOMS = " AND r.class_id IN (SELECT id FROM classes WHERE kind = 'homeroom')"
_MARKED = """
SELECT DISTINCT school_day FROM attendance_counts
WHERE school_id = ? AND school_day >= ? AND school_day <= ? AND present + tardy + absent + excused > 0
"""
_SESSIONS = """
SELECT class_id, school_day, id, starts_at, state, roll_taken_at FROM class_sessions
WHERE school_id = ? AND school_day >= ? AND school_day <= ? ORDER BY starts_at, id
"""
_BEGAN = "SELECT MIN(school_day) FROM class_sessions WHERE school_id = ?"
_CLASSES = "SELECT id, title, kind FROM classes WHERE school_id = ? ORDER BY title, id"
_TERMS = """
SELECT t.class_id, a.begins_on, a.ends_on FROM class_terms t JOIN academic_sessions a ON a.id = t.term_id
JOIN classes c ON c.id = t.class_id WHERE c.school_id = ?
"""
# A record that was corrected since is no check-in any more; its first version was.
_ARRIVED = """
SELECT substr(COALESCE(r.occurred_at, r.recorded_at), 1, 16), r.evidence, COUNT(*) FROM attendance_records r
WHERE r.school_id = ? AND r.school_day >= ? AND r.school_day <= ?{classes} AND (r.origin = 'check_in' OR (
  r.version > 1 AND EXISTS (SELECT 1 FROM attendance_versions v
    WHERE v.record_id = r.id AND v.origin = 'check_in')))
GROUP BY 1, 2
"""


def day_counts(
    connection: Connection,
    school_id: str,
    rule: DayRule,
    since: date,
    until: date,
    *,
    class_ids: Collection[str] | None = None,
) -> list[DayCounts]:
    """The students of each day with marks, from `since` to `until`, both included, by what the day was for them.

    With `class_ids` only marks in these classes count, and one in which the student came is enough.
    """
    rule = AnyPeriod() if class_ids is not None else rule
    classes, of_classes = _classes(rule, class_ids)
    enough, of_rule = _enough(rule)
    text = f"""
SELECT school_day, SUM(came - late), SUM(late), SUM(1 - came - excused), SUM(excused) FROM (
  SELECT d.school_day, CASE WHEN {enough} THEN 1 ELSE 0 END AS came,
    CASE WHEN {enough} THEN {_LATE.format(classes=classes)} ELSE 0 END AS late,
    CASE WHEN NOT ({enough}) AND d.excused = d.marks - d.came THEN 1 ELSE 0 END AS excused
  FROM ({_STUDENTS.format(days="r.school_day >= ? AND r.school_day <= ?", classes=classes, students="")}) d
) counted GROUP BY school_day ORDER BY school_day"""  # noqa: S608 - constants
    days = (since.isoformat(), until.isoformat())
    late = (*of_rule, school_id, *of_classes)
    params = (*of_rule, *late, *of_rule, school_id, *days, *of_classes)
    return [
        DayCounts(
            school_day=_date(day), present=int(present), tardy=int(tardy), absent=int(absent), excused=int(excused)
        )
        for day, present, tardy, absent, excused in connection.sql(text, params)
    ]


def marked_days(connection: Connection, school_id: str, since: date, until: date) -> frozenset[date]:
    """The days with any mark, both ends included, from the counters."""
    return frozenset(_date(row[0]) for row in connection.sql(_MARKED, (school_id, str(since), str(until))))


def student_days(
    connection: Connection, school_id: str, rule: DayRule, days: Sequence[date], where: ZoneInfo
) -> list[StudentDays]:
    """The days of each student who was enrolled at the school on any of `days`, the school's days in order."""
    if not days:
        return []
    spans = spans_of_students(connection, school_id, days, where)
    everything = [(0, len(days))]
    found: list[StudentDays] = []
    marked = _marked(connection, school_id, rule, days)
    partly = [student_id for student_id, mine in spans.items() if mine != everything and student_id in marked]
    inside = _inside(connection, school_id, rule, days, {student_id: spans[student_id] for student_id in partly})
    for student_id in sorted(spans):
        counted = marked.get(student_id, (0, 0, 0))
        attended, absent, excused = inside.get(student_id, counted)
        found.append(
            StudentDays(
                student_id=student_id,
                enrolled=sum(last - first for first, last in spans[student_id]),
                attended=attended,
                absent=absent,
                excused=excused,
                outside=sum(counted) - attended - absent - excused,
            )
        )
    return found


def rolls(
    connection: Connection,
    school_id: str,
    days: Sequence[date],
    where: ZoneInfo,
    *,
    now: datetime,
    open_for: timedelta,
    class_ids: Collection[str] | None = None,
    homerooms: bool = False,
) -> list[Roll]:
    """Every class that was to take a roll on each of `days` (in order), and whether it did.

    That is a class with students, in its terms, from the school's first session on; today's counts once it has a
    session. A session is left open when its day is over or it began longer than `open_for` ago.
    """
    if not days:
        return []
    seats = spans_of_classes(connection, school_id, days, where)
    terms: dict[str, list[tuple[date, date]]] = {}
    for class_id, begins_on, ends_on in connection.sql(_TERMS, (school_id,)):
        terms.setdefault(class_id, []).append((_date(begins_on), _date(ends_on)))
    sessions: dict[tuple[date, str], list[Sequence[Any]]] = {}
    for class_id, day, *session in connection.sql(_SESSIONS, (school_id, str(days[0]), str(days[-1]))):
        sessions.setdefault((_date(day), class_id), []).append(session)
    began = connection.sql(_BEGAN, (school_id,))[0][0]
    today = now.astimezone(where).date()
    found: list[Roll] = []
    for class_id, title, kind in connection.sql(_CLASSES, (school_id,)):
        if (class_ids is not None and class_id not in class_ids) or (homerooms and kind != "homeroom"):
            continue
        for day in _days_of(seats.get(class_id, []), days):
            held = sessions.get((day, class_id), [])
            if not held and (began is None or day < _date(began) or day >= today):
                continue
            if not held and class_id in terms and not any(first <= day < last for first, last in terms[class_id]):
                continue
            late = day < today
            found.append(_roll(day, class_id, title, [(one, late or _is_old(one, now, open_for)) for one in held]))
    return sorted(found, key=lambda roll: (roll.school_day, roll.title, roll.class_id))


def check_ins(
    connection: Connection,
    school_id: str,
    since: date,
    until: date,
    where: ZoneInfo,
    *,
    class_ids: Collection[str] | None = None,
) -> list[CheckIns]:
    """The check-ins of these days, both included, by the hour at the school and by what accepted them."""
    params: tuple[str, ...] = (school_id, since.isoformat(), until.isoformat())
    text = _ARRIVED.format(classes="")
    if class_ids is not None:
        text, params = _ARRIVED.format(classes=f" AND {_among('r.class_id', class_ids)}"), (*params, *sorted(class_ids))
    counts: Counter[tuple[int, tuple[str, ...]]] = Counter()
    known: dict[str, tuple[str, ...]] = {}
    for minute, evidence, count in connection.sql(text, params):
        if evidence not in known:
            known[evidence] = _methods(evidence)
        hour = datetime.fromisoformat(minute).replace(tzinfo=UTC).astimezone(where).hour
        counts[hour, known[evidence]] += int(count)
    return [CheckIns(hour=hour, methods=methods, count=counts[hour, methods]) for hour, methods in sorted(counts)]


def _marked(
    connection: Connection, school_id: str, rule: DayRule, days: Sequence[date]
) -> dict[str, tuple[int, int, int]]:
    """How many of `days` each student attended, was absent and was excused, enrolled or not."""
    classes, of_classes = _classes(rule, None)
    enough, of_rule = _enough(rule)
    text = f"""
SELECT d.student_id, SUM(CASE WHEN {enough} THEN 1 ELSE 0 END),
  SUM(CASE WHEN NOT ({enough}) AND d.excused <> d.marks - d.came THEN 1 ELSE 0 END),
  SUM(CASE WHEN NOT ({enough}) AND d.excused = d.marks - d.came THEN 1 ELSE 0 END)
FROM ({_STUDENTS.format(days=_among("r.school_day", days), classes=classes, students="")}) d
GROUP BY d.student_id"""  # noqa: S608 - constants
    params = (*of_rule * 3, school_id, *(day.isoformat() for day in days), *of_classes)
    return {
        student_id: (int(attended), int(absent), int(excused))
        for student_id, attended, absent, excused in connection.sql(text, params)
    }


def _inside(
    connection: Connection, school_id: str, rule: DayRule, days: Sequence[date], spans: dict[str, list[Span]]
) -> dict[str, tuple[int, int, int]]:
    """The same for students who were not enrolled all the time: only days in their spans count."""
    classes, of_classes = _classes(rule, None)
    enough, of_rule = _enough(rule)
    index = {day: number for number, day in enumerate(days)}
    counts = {student_id: [0, 0, 0] for student_id in spans}
    for some in _chunks(sorted(spans)):
        text = f"""
SELECT d.student_id, d.school_day, CASE WHEN {enough} THEN 0 WHEN d.excused = d.marks - d.came THEN 2 ELSE 1 END
FROM ({
            _STUDENTS.format(
                days=_among("r.school_day", days), classes=classes, students=f" AND {_among('r.student_id', some)}"
            )
        }) d"""  # noqa: S608 - constants
        params = (*of_rule, school_id, *(day.isoformat() for day in days), *of_classes, *some)
        for student_id, day, what in connection.sql(text, params):
            number = index[_date(day)]
            if any(first <= number < last for first, last in spans[student_id]):
                counts[student_id][what] += 1
    return {student_id: (attended, absent, excused) for student_id, (attended, absent, excused) in counts.items()}


def _classes(rule: DayRule, class_ids: Collection[str] | None) -> tuple[str, tuple[str, ...]]:
    """The condition on the classes whose marks count, and its parameters."""
    if class_ids is not None:
        return f" AND {_among('r.class_id', class_ids)}", tuple(sorted(class_ids))
    return _OF_HOMEROOMS if isinstance(rule, Homeroom) else "", ()


def _enough(rule: DayRule) -> tuple[str, tuple[float, ...]]:
    """`day_status.came_enough` as a condition, and its parameters."""
    match rule:
        case Share():
            return "d.came >= CAST(? AS DOUBLE PRECISION) * d.marks", (rule.at_least,)
        case AnyPeriod():
            return "d.came > 0", ()
        case _:
            return "d.came = d.marks", ()


def _among(column: str, values: Collection[Any]) -> str:
    return f"{column} IN ({', '.join('?' * len(values)) or 'NULL'})"


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _SOME):
        yield ids[start : start + _SOME]


def _days_of(spans: Sequence[Span], days: Sequence[date]) -> Iterator[date]:
    for first, last in spans:
        yield from days[first:last]


def _roll(day: date, class_id: str, title: str, held: Sequence[tuple[Sequence[Any], bool]]) -> Roll:
    left = next((session for session, is_over in held if session[2] == "open" and is_over), None)
    state: Literal["taken", "under_way", "open", "none"] = "none"
    if held:
        state = "open" if left else "under_way" if any(one[2] == "open" for one, _ in held) else "taken"
    shown = left or (held[0][0] if held else None)
    return Roll(
        school_day=day,
        class_id=class_id,
        title=title,
        state=state,
        session_id=shown[0] if shown else None,
        starts_at=datetime.fromisoformat(shown[1]) if shown else None,
    )


def _is_old(session: Sequence[Any], now: datetime, open_for: timedelta) -> bool:
    return now - datetime.fromisoformat(session[1]) > open_for


def _methods(evidence: str) -> tuple[str, ...]:
    said = orjson.loads(evidence)
    return tuple(sorted({str(one["method"]) for one in said if one.get("verdict") == "accept"}))


def _date(value: date | str) -> date:
    return date.fromisoformat(value) if isinstance(value, str) else value
