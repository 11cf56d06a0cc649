"""How long what is kept: what a purge would take and does take, and what it passes by and why.

Nothing of a student is taken while a legal hold, an open request to inspect or amend, or an undecided hearing is there:
each of them is looked for in the transaction of the deletion. With a student's attendance go the entries in the ledger,
the requests and the statements, which live as long as the record. Rows of the journal stay: they hold ids, codes and
names of fields only, and the log could not be verified without them. An audit row that goes leaves its hash in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from homeroom import Connection, Refused, Services, Transaction
from homeroom_ferpa.log import rows as audit_rows
from homeroom_ferpa.rights.common import Row, fetch, fresh_id, iso, later, put
from homeroom_ferpa.rights.settings import Retention
from homeroom_ferpa.watch import anomalies

EVERYBODY = ""
"""In a hold: every student of the district."""

STAYS = "Rows of the journal stay, and the hash of every audit row: they hold ids only, and the log verifies with them."
_TURN_SECONDS = 3600
_ON_NO_WAY = "('delivered', 'failed', 'expired', 'cancelled', 'withheld')"
_LEFT = """
SELECT r.student_id, count(*) FROM attendance_records r
WHERE NOT EXISTS (SELECT 1 FROM enrollments e WHERE e.user_id = r.student_id AND e.role = 'student' AND NOT e.ended
  AND (e.ends_on IS NULL OR e.ends_on > ?)){whose}
GROUP BY r.student_id HAVING max(r.school_day) < ? ORDER BY r.student_id
"""
_UNMARKED = """
SELECT k.student_id FROM ({kept}) k
LEFT JOIN ferpa_ledger_students s ON s.student_id = k.student_id LEFT JOIN ferpa_ledger l ON l.id = s.entry_id
WHERE NOT EXISTS (SELECT 1 FROM attendance_records r WHERE r.student_id = k.student_id)
AND NOT EXISTS (SELECT 1 FROM enrollments e WHERE e.user_id = k.student_id AND e.role = 'student'
  AND ((e.ended AND e.changed_at >= ?) OR (NOT e.ended AND (e.ends_on IS NULL OR e.ends_on > ?))))
AND NOT EXISTS (SELECT 1 FROM journal j WHERE j.student_id = k.student_id AND j.at >= ?
  AND j.kind NOT IN ('compliance.purged', 'compliance.purge_skipped'))
AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = k.student_id AND (u.ended AND u.changed_at >= ? OR NOT u.ended
  AND NOT EXISTS (SELECT 1 FROM enrollments e WHERE e.user_id = u.id AND e.role = 'student')))
GROUP BY k.student_id HAVING max(l.at) IS NULL OR max(l.at) < ? ORDER BY k.student_id
"""
"""Who has no attendance (any more), and since the day that is given five times was in no class and had nothing done.

Who never was in a class and is in the roster still may be about to come.
"""
_MESSAGES = f"FROM notifications WHERE state IN {_ON_NO_WAY} AND changed_at < ?"
_OTHERS: dict[str, tuple[str, str]] = {
    "sign_ins": ("sign_in_sessions", "(ended_at IS NOT NULL AND ended_at < ?) OR expires_at < ?"),
    "idempotency": ("idempotency_keys", "created_at < ? AND created_at < ?"),
    "sync_leftovers": (
        "dead_letters",
        (
            "run_id IN (SELECT id FROM sync_runs WHERE started_at < ?) "
            "AND run_id IN (SELECT id FROM sync_runs WHERE started_at < ?)"
        ),
    ),
}
"""What is no student's: the table and which rows are old, with the moment twice."""
_AUDIT = "SELECT id, student_ids FROM ferpa_audit WHERE at < ? AND id > ? ORDER BY id LIMIT 500"
_ALL_HELD = "SELECT 1 FROM ferpa_holds WHERE lifted_at IS NULL AND student_id = '' LIMIT 1"
_HELD = (
    ("legal-hold", "SELECT student_id FROM ferpa_holds WHERE lifted_at IS NULL AND student_id IN ({})"),
    ("open-inspection", "SELECT student_id FROM ferpa_inspections WHERE state = 'open' AND student_id IN ({})"),
    ("open-inspection", "SELECT student_id FROM ferpa_explanations WHERE answer IS NULL AND student_id IN ({})"),
    ("open-amendment", "SELECT student_id FROM ferpa_amendments WHERE state = 'open' AND student_id IN ({})"),
    ("open-hearing", "SELECT student_id FROM ferpa_hearings WHERE state <> 'decided' AND student_id IN ({})"),
)
"""Why a student's rows stay, the reason that is told first of all first, and who is meant of some."""
_STUDENTS = 500
_HOLD = ("id", "student_id", "reference", "set_by", "set_at", "lifted_by", "lifted_at")
_OLDER = "lifted_at IS NULL AND (set_at, id) < (SELECT set_at, id FROM ferpa_holds WHERE id = ?)"
_WITH_THE_RECORD = (
    *("explanations", "inspections", "amendments", "hearings", "statements", "letters", "special_access"),
    *("study_codes", "study_lookups"),
)


@dataclass(slots=True, kw_only=True)
class Purge:
    """What a purge would take, or has taken, in rows of each kind; `skipped` says whose are passed by and why."""

    counts: dict[str, int] = field(default_factory=dict)
    students: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    notes: tuple[str, ...] = (STAYS,)

    def add(self, kind: str, rows: int) -> None:
        """Count rows of a kind."""
        self.counts[kind] = self.counts.get(kind, 0) + rows

    def pass_by(self, kind: str, students: Mapping[str, str]) -> None:
        """Say of each student, once, that rows of a kind stay and why."""
        for student_id, reason in students.items():
            one = {"student_id": student_id, "kind": kind, "why": reason}
            if one not in self.skipped:
                self.skipped.append(one)

    def as_json(self) -> dict[str, Any]:
        """All of it, for a program."""
        return {
            "counts": self.counts,
            "students": self.students,
            "skipped": self.skipped,
            "notes": list(self.notes),
        }


def why_not(connection: Connection, student_id: str) -> str | None:
    """Why nothing of this student may be deleted now: "legal-hold", "open-inspection", … or None."""
    held = connection.sql(_ALL_HELD)
    return "legal-hold" if held else held_of(connection, [student_id]).get(student_id)


def held_of(connection: Connection, students: Sequence[str]) -> dict[str, str]:
    """Those of the students of whom nothing may be deleted now, and why; a hold on everybody is not looked for."""
    held: dict[str, str] = {}
    for start in range(0, len(students), _STUDENTS):
        some = students[start : start + _STUDENTS]
        marks = ", ".join("?" * len(some))
        for reason, text in _HELD:
            held = dict.fromkeys((row[0] for row in connection.sql(text.format(marks), some)), reason) | held
    return held


async def purge(services: Services, schedule: Retention, *, dry_run: bool) -> Purge:
    """Take what is older than the schedule says, a student at a time; with `dry_run` only count it.

    Raises Refused 409 while another process purges.
    """
    if dry_run:
        return await services.store.read(lambda c: _count(c, services, schedule))
    holder = fresh_id()
    await services.store.submit(lambda tx: _take_turn(tx, holder))
    done = Purge()
    try:
        await _purge_students(services, schedule, done)
        await _purge_messages(services, schedule, done)
        await _purge_audit(services, schedule, done)
        for kind in _OTHERS:
            rows = await services.store.submit(_others(kind, _moment(services, getattr(schedule, kind))))
            done.add(kind, rows)
        await services.store.submit(lambda tx: _enter(tx, holder, done))
    finally:
        await services.store.submit(
            lambda tx: tx.write_sql("DELETE FROM ferpa_turns WHERE name = 'purge' AND holder = ?", (holder,))
        )
    return done


def hold(tx: Transaction, *, hold_id: str, student_id: str, reference: str) -> Row:
    """Keep everything of a student (EVERYBODY: of every student) until the hold is lifted.

    Raises Refused 422 for an id that is nobody's: such a hold would keep nothing.
    """
    if student_id != EVERYBODY and not tx.sql("SELECT 1 FROM users WHERE id = ?", (student_id,)):
        raise Refused(422, "unknown-student", "Nobody here has this id. Look it up in the student's record.")
    row = {
        "id": hold_id,
        "student_id": student_id,
        "reference": reference,
        "set_by": tx.origin.actor_id,
        "set_at": iso(tx.now),
    }
    if put(tx, "holds", row):
        tx.journal("compliance.hold_set", student_id=student_id or None, subject_id=hold_id, data={})
    return row | {"lifted_by": None, "lifted_at": None}


def lift(tx: Transaction, hold_id: str) -> Row:
    """End a hold; a second time changes nothing. Raises Refused 404."""
    text = "UPDATE ferpa_holds SET lifted_by = ?, lifted_at = ? WHERE id = ? AND lifted_at IS NULL RETURNING student_id"
    done = tx.write_sql(text, (tx.origin.actor_id, iso(tx.now), hold_id))
    found = fetch(tx, "holds", _HOLD, "id = ?", (hold_id,))
    if not found:
        raise Refused(404, "not-found", "There is no such hold.")
    if done:
        tx.journal("compliance.hold_lifted", student_id=found[0]["student_id"] or None, subject_id=hold_id, data={})
    return found[0]


def holds(connection: Connection, *, before: str | None = None) -> list[Row]:
    """The holds that are in force, the newest first, SHOWN at most; with `before` those set before that one."""
    where, params = ("lifted_at IS NULL", []) if before is None else (_OLDER, [before])
    return fetch(connection, "holds", _HOLD, where, params, order="set_at DESC, id DESC")


def _moment(services: Services, days: int) -> str:
    return iso(services.clock.now() - timedelta(days=days))


def _take_turn(tx: Transaction, holder: str) -> None:
    until, now = iso(tx.now + timedelta(seconds=_TURN_SECONDS)), iso(tx.now)
    text = (
        "INSERT INTO ferpa_turns (name, holder, until) VALUES ('purge', ?, ?) ON CONFLICT (name) DO UPDATE "
        "SET holder = excluded.holder, until = excluded.until "
        "WHERE ferpa_turns.holder = excluded.holder OR ferpa_turns.until < ? RETURNING holder"
    )
    if not tx.write_sql(text, (holder, until, now)):
        raise Refused(409, "purge-under-way", "Another process is purging already.")


def _leavers(
    connection: Connection, services: Services, schedule: Retention, student_id: str | None = None
) -> list[tuple[str, int]]:
    """The students who have left longer ago than attendance is kept, and how many records they have.

    That may be none: what lives with the record goes then, too. With `student_id` only that one is looked
    for, which costs as much as there is of this student.
    """
    if schedule.attendance is None:
        return []
    whose, one = ("", []) if student_id is None else (" AND r.student_id = ?", [student_id])
    today = services.today().isoformat()
    params = (today, *one, later(today, -schedule.attendance))
    marked = [(found, rows) for found, rows in connection.sql(_LEFT.format(whose=whose), params)]
    return marked + _unmarked(connection, later(today, -schedule.attendance), student_id)


def _unmarked(connection: Connection, before: str, student_id: str | None) -> list[tuple[str, int]]:
    """The students (or the one) without attendance who left before a day, and of whom something is kept."""
    where, one = ("", []) if student_id is None else (" WHERE student_id = ?", [student_id])
    tables = (*_WITH_THE_RECORD, "ledger_students")
    kept = " UNION ".join(f"SELECT student_id FROM ferpa_{table}{where}" for table in tables)  # noqa: S608 - constants
    params = (*(one * len(tables)), *[before] * 5)
    return [(found, 0) for (found,) in connection.sql(_UNMARKED.format(kept=kept), params)]


def _count(connection: Connection, services: Services, schedule: Retention) -> Purge:
    found = Purge()
    for student_id, _ in _leavers(connection, services, schedule):
        if (reason := why_not(connection, student_id)) is not None:
            found.skipped.append({"student_id": student_id, "kind": "attendance", "why": reason})
            continue
        found.students += 1
        for table, rows in services.custody.holdings(connection, student_id).items():
            found.add(table, rows)
        for table in (*_WITH_THE_RECORD, "ledger_students"):
            text = f"SELECT count(*) FROM ferpa_{table} WHERE student_id = ?"  # noqa: S608 - constants
            found.add("ledger" if table == "ledger_students" else table, connection.sql(text, (student_id,))[0][0])
    if schedule.messages is not None:
        before = _moment(services, schedule.messages)
        text = f"SELECT student_id, count(*) {_MESSAGES} GROUP BY student_id ORDER BY student_id"
        for student_id, rows in connection.sql(text, (before,)):
            if student_id is not None and (reason := why_not(connection, student_id)) is not None:
                found.skipped.append({"student_id": student_id, "kind": "messages", "why": reason})
                continue
            found.add("messages", rows)
    _count_audit(connection, services, schedule, found)
    for kind, (table, condition) in _OTHERS.items():
        before = _moment(services, getattr(schedule, kind))
        found.add(kind, connection.sql(f"SELECT count(*) FROM {table} WHERE {condition}", (before, before))[0][0])  # noqa: S608 - constants
    found.counts = {kind: rows for kind, rows in found.counts.items() if rows}
    return found


async def _purge_students(services: Services, schedule: Retention, done: Purge) -> None:
    for student_id, _ in await services.store.read(lambda c: _leavers(c, services, schedule)):
        gone = await services.store.submit(_student(services, schedule, student_id))
        if isinstance(gone, str):
            done.skipped.append({"student_id": student_id, "kind": "attendance", "why": gone})
        elif gone:
            done.students += 1
            for kind, rows in gone.items():
                done.add(kind, rows)


def _student(services: Services, schedule: Retention, student_id: str) -> Callable[[Transaction], dict[str, int] | str]:
    """Takes one student's record with all that lives as long; gives the rows, or why it may not be taken."""

    def unit(tx: Transaction) -> dict[str, int] | str:
        if not _leavers(tx, services, schedule, student_id):
            return {}  # back at school meanwhile
        if (reason := why_not(tx, student_id)) is not None:
            data = {"why": reason}
            tx.journal("compliance.purge_skipped", student_id=student_id, subject_id=student_id, data=data)
            return reason
        gone = services.custody.let_go(tx, student_id)
        for table in _WITH_THE_RECORD:
            rows = tx.write_sql(f"DELETE FROM ferpa_{table} WHERE student_id = ? RETURNING 1", (student_id,))  # noqa: S608 - constants
            gone |= {table: len(rows)} if rows else {}
        if entries := _ledger(tx, student_id):
            gone["ledger"] = entries
        tx.journal("compliance.purged", student_id=student_id, subject_id=student_id, data={"rows": gone})
        return gone

    return unit


def _ledger(tx: Transaction, student_id: str) -> int:
    """Delete a student's part of the record of disclosures; an entry goes with the last student that it names."""
    rows = tx.write_sql("DELETE FROM ferpa_ledger_students WHERE student_id = ? RETURNING entry_id", (student_id,))
    for (entry_id,) in rows:
        text = (
            "DELETE FROM ferpa_ledger WHERE id = ? AND whole_district = 0 AND NOT EXISTS "
            "(SELECT 1 FROM ferpa_ledger_students WHERE entry_id = ?) RETURNING id"
        )
        if tx.write_sql(text, (entry_id, entry_id)):
            tx.write_sql("DELETE FROM ferpa_redisclosures WHERE entry_id = ?", (entry_id,))
    return len(rows)


async def _purge_messages(services: Services, schedule: Retention, done: Purge) -> None:
    if schedule.messages is None:
        return
    before = _moment(services, schedule.messages)
    about = await services.store.read(
        lambda c: [row[0] for row in c.sql(f"SELECT DISTINCT student_id {_MESSAGES}", (before,))]
    )
    for student_id in sorted(about, key=lambda one: one or ""):
        gone = await services.store.submit(_messages(student_id, before))
        if isinstance(gone, str):
            done.skipped.append({"student_id": student_id, "kind": "messages", "why": gone})
        else:
            done.add("messages", gone)


def _messages(student_id: str | None, before: str) -> Callable[[Transaction], int | str]:
    def unit(tx: Transaction) -> int | str:
        if student_id is not None and (reason := why_not(tx, student_id)) is not None:
            return reason
        whose, params = (
            ("student_id IS NULL", [before]) if student_id is None else ("student_id = ?", [before, student_id])
        )
        ids = [row[0] for row in tx.sql(f"SELECT id {_MESSAGES} AND {whose} ORDER BY id", params)]
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            marks = ", ".join("?" * len(some))
            tx.write_sql(f"DELETE FROM notification_attempts WHERE message_id IN ({marks})", some)  # noqa: S608 - marks only
            tx.write_sql(f"DELETE FROM notifications WHERE id IN ({marks})", some)  # noqa: S608 - marks only
        if ids:
            data = {"kind": "messages", "rows": len(ids)}
            tx.journal("compliance.purged", student_id=student_id, subject_id=student_id, data=data)
        return len(ids)

    return unit


def _count_audit(connection: Connection, services: Services, schedule: Retention, found: Purge) -> None:
    if schedule.audit is None:
        return
    before, after = _moment(services, schedule.audit), 0
    while (page := _audit(connection, before, after)) is not None:
        ids, held, after = page
        found.add("audit", len(ids))
        found.pass_by("audit", held)


async def _purge_audit(services: Services, schedule: Retention, done: Purge) -> None:
    if schedule.audit is None:
        return
    before, after = _moment(services, schedule.audit), 0

    def unit(tx: Transaction) -> tuple[int, dict[str, str], int] | None:
        page = _audit(tx, before, after)
        return None if page is None else (audit_rows.purge(tx, page[0]), page[1], page[2])

    while (gone := await services.store.submit(unit)) is not None:
        done.add("audit", gone[0])
        done.pass_by("audit", gone[1])
        after = gone[2]


def _audit(connection: Connection, before: str, after: int) -> tuple[list[int], dict[str, str], int] | None:
    """Some old audit rows that may go, the students for whose sake others stay and why, and the last id looked at."""
    page = [(row_id, orjson.loads(students)) for row_id, students in connection.sql(_AUDIT, (before, after))]
    if not page:
        return None
    if connection.sql(_ALL_HELD):
        return [], {EVERYBODY: "legal-hold"}, page[-1][0]
    named = sorted({student for _, students in page for student in students})
    held = held_of(connection, named)
    ids = [row_id for row_id, students in page if held.keys().isdisjoint(students)]
    evidence = anomalies.evidence(connection)
    free = [row_id for row_id in ids if not any(first <= row_id <= last for first, last in evidence)]
    if len(free) < len(ids):
        held[EVERYBODY] = "open-anomaly"
    return free, held, page[-1][0]


def _others(kind: str, before: str) -> Callable[[Transaction], int]:
    table, condition = _OTHERS[kind]

    def unit(tx: Transaction) -> int:
        rows = tx.write_sql(f"DELETE FROM {table} WHERE {condition} RETURNING 1", (before, before))  # noqa: S608 - constants
        if rows:
            tx.journal("compliance.purged", data={"kind": kind, "rows": len(rows)})
        return len(rows)

    return unit


def _enter(tx: Transaction, purge_id: str, done: Purge) -> None:
    """Keep what was taken and what was passed by."""
    done.counts = {kind: rows for kind, rows in done.counts.items() if rows}
    row = {
        "id": purge_id,
        "at": iso(tx.now),
        "by": tx.origin.actor_id,
        "counts": orjson.dumps(done.counts).decode(),
        "skipped": orjson.dumps(done.skipped).decode(),
    }
    put(tx, "purges", row)


def last_purge(connection: Connection) -> datetime | None:
    """When the last purge was finished."""
    rows: Sequence[tuple[Any, ...]] = connection.sql("SELECT max(at) FROM ferpa_purges")
    return datetime.fromisoformat(rows[0][0]) if rows[0][0] else None
