"""Batches of a queue: what is sent together, and what becomes of it. Each write is kept before it is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import orjson

from homeroom.attendance.codes import Code, codes_at, edfi_category
from homeroom.attendance_out.pauses import LONGEST_PAUSE, go_on
from homeroom.records import OutgoingMark, Pushed
from homeroom.store import Transaction, iso
from homeroom.store.bulk import replace_on, select_in, update_each, upsert

BATCH = 200
"""Marks in one push at most (PowerSchool's own limit for a batch)."""
TRIES = 8
"""How often a mark is tried, while others get through, before it stands in the administrator's list."""
_FIRST_WAIT = 10.0
_LONGEST_WAIT = 3600.0
NO_ANSWER = "The connector gave no answer for this mark."

_UNANSWERED = """
SELECT w.content, u.identifier FROM outgoing_writes w JOIN outgoing_marks o ON o.id = w.mark_id
  LEFT JOIN users u ON u.id = o.student_id
WHERE w.connector = ? AND w.outcome IS NULL LIMIT ?
"""
_UNCHANGED = """
UPDATE outgoing_marks SET state = 'sent', tries = 0, retry_at = NULL, error = NULL
WHERE connector = ? AND state = 'waiting' AND wish = sent_wish AND NOT overwrite
"""
_DUE = """
SELECT o.id, o.version, o.wish, o.student_sourced_id, o.school_sourced_id, o.class_sourced_id, o.school_day, o.status,
  o.code, o.minutes_late, o.enrollment_sourced_id, o.periods, o.starts_at, o.held, o.overwrite, o.recorded_at,
  u.identifier, o.school_id, o.student_id
FROM outgoing_marks o LEFT JOIN users u ON u.id = o.student_id
WHERE o.connector = ? AND o.state = 'waiting' AND (o.waiting_since <= ? OR o.waiting_since > ?)
  AND (o.retry_at IS NULL OR o.retry_at <= ?)
  AND o.student_id NOT IN (
    SELECT e.student_id FROM outgoing_marks e WHERE e.connector = ? AND e.state = 'waiting' AND e.retry_at > ?)
  AND o.student_id {} (
    SELECT a.student_id FROM outgoing_marks a WHERE a.connector = ? AND a.state = 'waiting' AND a.retry_at IS NOT NULL)
ORDER BY o.school_id, o.school_day, o.student_id, o.starts_at, o.id LIMIT ?
"""
_DUE_FIRST, _DUE_AGAIN = _DUE.format("NOT IN"), _DUE.format("IN")
_TOLD = ("status", "code", "minutes_late", "school_day")
_WRITE = ("key", "mark_id", "connector", "version", "wish", "content", "held_before", "outcome", "reason", "started_at")
_ASKED = """
SELECT key, mark_id, version, wish, held_before, answered_at FROM outgoing_writes WHERE outcome IS NULL AND key IN ({})
"""
_ANSWERED = ("outcome", "reason", "held_before", "held_after", "answered_at")
_ROWS = "SELECT id, version, wish, tries, waiting_since, held, confirmed, sent_at FROM outgoing_marks WHERE id IN ({})"
_LAST_SENT = "SELECT last_sent_at FROM outgoing_queues WHERE connector = ?"
_COUNT = """
UPDATE outgoing_queues SET sent = sent + ?, confirmed = confirmed + ?, last_sent_at = COALESCE(?, last_sent_at)
WHERE connector = ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What a mark's row says before an answer changes it."""

    id: str
    version: int
    wish: str
    tries: int
    waiting_since: str
    held: str | None
    confirmed: bool
    sent_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """A write and its answer. `counts`: the SIS took another mark since the try before, so that it is this mark's."""

    mark: OutgoingMark
    version: int
    wish: str
    answer: Pushed
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settled:
    """What a mark's row says after it."""

    state: str
    tries: int = 0
    retry_at: str | None = None
    error: str | None = None
    overwrite: bool = False
    sent_wish: str | None = None
    held: str | None = None
    theirs: str | None = None
    confirmed: bool = False
    sent_at: str | None = None


def take(connector: str, until: datetime) -> Callable[[Transaction], list[OutgoingMark]]:
    """A unit that gives the next batch: marks that have waited since before `until`, none when there are none.

    What was sent before and never answered comes first, as it was then and under the same key. Marks of one school and
    day come together, those of one student and day in one batch, and none while an earlier one of the student is still
    to be tried again; those of students with one that failed come last, so that nobody else's are behind it. Each is
    entered as a write before it goes out, and the journal says whose marks the batch holds.
    """

    def unit(tx: Transaction) -> list[OutgoingMark]:
        unanswered = tx.sql(_UNANSWERED, (connector, BATCH))
        if unanswered:
            again = (_mark(orjson.loads(content), number) for content, number in unanswered)
            return sorted(again, key=_place)
        tx.write_sql(_UNCHANGED, (connector,))
        now = iso(tx.now)
        asked = connector, iso(until), now, now, connector, now, connector
        rows = tx.sql(_DUE_FIRST, (*asked, BATCH + 1))
        if len(rows) <= BATCH:
            rows += tx.sql(_DUE_AGAIN, (*asked, BATCH + 1 - len(rows)))
        rows = _whole_students(rows)
        codes = {school: codes_at(tx, school, retired=True) for school in {row[17] for row in rows}}
        marks = [_outgoing(connector, row, codes[row[17]]) for row in rows]
        writes = [
            (mark.key, row[0], connector, row[1], row[2], _content(mark), mark.held, None, None, now)
            for row, mark in zip(rows, marks, strict=True)
        ]
        upsert(tx, "outgoing_writes", _WRITE, writes, on_conflict=replace_on(("key",), _WRITE))
        if rows:
            data = {"plugin": connector, "fields": _TOLD, "student_ids": sorted({row[18] for row in rows})}
            tx.journal("attendance_out.handed_over", subject_id=connector, data=data)
        return marks

    return unit


def settle(
    connector: str, marks: Sequence[OutgoingMark], answers: Mapping[str, Pushed]
) -> Callable[[Transaction], str | None]:
    """A unit that keeps what became of a batch, by key; a mark without an answer is tried again.

    A mark that was changed meanwhile goes on waiting, with what is now known of the SIS. A try counts only where the
    SIS was seen to take another mark since the one before: while it takes none, that is no mark's fault. The unit gives
    why the SIS seems to take none at all, where it does.
    """

    def unit(tx: Transaction) -> str | None:
        now = iso(tx.now)
        tries, outcomes = _tries(tx, connector, {mark.key: mark for mark in marks}, answers)
        settled: list[tuple[Any, ...]] = []
        for values in select_in(tx, _ROWS, (), list(tries)):
            row = _Row(**dict(zip(_Row.__slots__, values, strict=True)))
            one = tries[row.id]
            done = _settled(row, one, tx.now)
            # A person's word to overwrite holds until it was tried to the end.
            done = replace(done, overwrite=one.mark.overwrite and done.state == "waiting")
            settled.append((row.id, *(getattr(done, name) for name in _Settled.__slots__)))
        update_each(tx, "outgoing_writes", "key", _ANSWERED, outcomes)
        update_each(tx, "outgoing_marks", "id", _Settled.__slots__, settled)
        found = [outcome for _, outcome, *_ in outcomes]
        confirmed = found.count("confirmed")
        has_written = any(_wrote(one.answer) for one in tries.values())
        tx.write_sql(_COUNT, (found.count("sent") + confirmed, confirmed, now if has_written else None, connector))
        if has_written:
            go_on(tx, connector)
        return _stuck(tries.values())

    return unit


def _tries(
    tx: Transaction, connector: str, marks: Mapping[str, OutgoingMark], answers: Mapping[str, Pushed]
) -> tuple[dict[str, _Try], list[tuple[Any, ...]]]:
    """What is answered by mark, of what was asked and is not answered yet, and the rows of these writes."""
    asked = select_in(tx, _ASKED, (), list(marks))
    given = {key: answers.get(key) or Pushed(key=key, error=NO_ANSWER, retry=True) for key, *_ in asked}
    if not any(answer.tried for answer in given.values()):  # they would come again for ever
        given = {key: replace(answer, tried=True) for key, answer in given.items()}
    has_written = any(_wrote(answer) for answer in given.values())
    last_sent = next((row[0] for row in tx.sql(_LAST_SENT, (connector,))), None)
    tries: dict[str, _Try] = {}
    outcomes: list[tuple[Any, ...]] = []
    for key, mark_id, version, wish, before, tried_at in asked:
        answer = given[key]
        counts = has_written or (tried_at is not None and last_sent is not None and last_sent > tried_at)
        tries[mark_id] = _Try(mark=marks[key], version=version, wish=wish, answer=answer, counts=counts)
        known_before = before if answer.before is None else answer.before
        answered_at = iso(tx.now) if answer.tried else tried_at
        outcomes.append((key, _outcome(answer), answer.error, known_before, answer.held, answered_at))
    return tries, outcomes


def _wrote(answer: Pushed) -> bool:
    """Whether the SIS took the mark now, and did not hold already what it says."""
    stood = answer.read_back and answer.before == answer.held
    return answer.error is None and not answer.differs and not stood


def _stuck(tries: Iterable[_Try]) -> str | None:
    """Why the SIS takes nothing, where several students' marks were tried and none of the tries counts."""
    failed = [one for one in tries if not one.counts and one.answer.error and one.answer.retry and one.answer.tried]
    if len({one.mark.student for one in failed}) < 2:  # noqa: PLR2004 - one may be at fault itself
        return None
    reasons = {str(one.answer.error) for one in failed}
    return reasons.pop() if len(reasons) == 1 else "The SIS took none of the marks that were written last."


def _settled(row: _Row, one: _Try, now: datetime) -> _Settled:
    """What the row says after the answer for one of its versions."""
    answer = one.answer
    latest = row.version == one.version or row.wish == one.wish
    if answer.error is None and not answer.differs:
        state = "sent" if latest else "waiting"
        confirmed = answer.read_back
        return _Settled(state=state, sent_wish=one.wish, held=answer.held, confirmed=confirmed, sent_at=iso(now))
    waiting = _Settled(state="waiting", held=row.held, confirmed=row.confirmed, sent_at=row.sent_at)
    if answer.differs:
        return replace(waiting, state="differs" if latest else "waiting", theirs=answer.held)
    if not answer.retry:  # where there is a newer wish already, it may do better at once
        tries = row.tries + 1 if latest else 0
        return replace(waiting, state="failed" if latest else "waiting", tries=tries, error=answer.error)
    if not answer.tried:
        return replace(waiting, tries=row.tries)
    tries = row.tries + one.counts
    if latest and tries >= TRIES:
        return replace(waiting, state="failed", tries=tries, error=answer.error)
    if one.counts:
        seconds = min(_FIRST_WAIT * 2 ** (tries - 1), _LONGEST_WAIT)
    else:  # half as long again as it has waited: more and more seldom
        waited = (now - datetime.fromisoformat(row.waiting_since)).total_seconds()
        seconds = min(max(waited / 2, _FIRST_WAIT), LONGEST_PAUSE)
    return replace(waiting, tries=tries, retry_at=iso(now + timedelta(seconds=seconds)), error=answer.error)


def _outcome(answer: Pushed) -> str:
    if answer.differs:
        return "differs"
    if answer.error is not None:
        return "failed"
    return "confirmed" if answer.read_back else "sent"


def _whole_students(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows of one batch: cut between two students, for SISes that take one student's day in one request."""
    if len(rows) <= BATCH:
        return rows
    following = _of_student(rows[BATCH])
    cut = BATCH
    while cut and _of_student(rows[cut - 1]) == following:
        cut -= 1
    return rows[: cut or BATCH]


def _of_student(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[3], row[4], row[6]


def _outgoing(connector: str, row: tuple[Any, ...], codes: Sequence[Code]) -> OutgoingMark:
    return OutgoingMark(
        key=f"{connector}:{row[0]}:{row[1]}",
        student=row[3],
        school=row[4],
        class_=row[5],
        school_day=row[6] if isinstance(row[6], date) else date.fromisoformat(row[6]),
        status=row[7],
        code=row[8],
        category=edfi_category(codes, row[7], row[8]) if row[7] is not None else None,
        minutes_late=row[9],
        enrollment=row[10],
        periods=tuple(orjson.loads(row[11])),
        starts_at=datetime.fromisoformat(row[12]) if row[12] else None,
        held=row[13],
        overwrite=bool(row[14]),
        recorded_at=datetime.fromisoformat(row[15]),
        student_number=row[16],
    )


def _content(mark: OutgoingMark) -> str:
    """What is kept of a mark that goes out: ids and codes, and not the number by which people know the student."""
    content = asdict(mark)
    del content["student_number"]
    return orjson.dumps(content).decode()


def _mark(content: dict[str, Any], student_number: str | None) -> OutgoingMark:
    starts_at = content["starts_at"]
    told = {
        **content,
        "school_day": date.fromisoformat(content["school_day"]),
        "periods": tuple(content["periods"]),
        "starts_at": datetime.fromisoformat(starts_at) if starts_at else None,
        "recorded_at": datetime.fromisoformat(content["recorded_at"]),
    }
    return OutgoingMark(**told, student_number=student_number)


def _place(mark: OutgoingMark) -> tuple[Any, ...]:
    return mark.school, mark.school_day, mark.student, mark.starts_at.timestamp() if mark.starts_at else 0.0, mark.key
