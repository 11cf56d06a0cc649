"""Incidents: what happened, whose records, when it was discovered, and the clocks that run since.

Nothing of an incident is deleted or taken back: students and states are added, tasks are done or waived with the
reason, and it is closed when none is left open.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any

from homeroom import Connection, Refused, Transaction
from homeroom_ferpa.rights.common import Row, incomplete, iso, missing, put
from homeroom_ferpa.watch import anomalies, clocks

_COLUMNS = (
    *("id", "discovered_at", "discovered_on", "what", "at_vendor", "states", "everybody", "state", "opened_by"),
    *("opened_at", "closed_by", "closed_at", "closing", "act"),
)
_TASK = ("incident_id", "clock", "due_on", "state", "done_on", "done_at", "done_by", "how", "overdue_at", "act")
_SHOWN = 500
_AT_ONCE = 300
# Of whose records a school has any, against those who are enrolled there now: rather too soon than not at all.
_TENTH = """
SELECT 1 FROM ferpa_incident_students s JOIN (
  SELECT org_id AS school_id, user_id FROM role_assignments WHERE role = 'student' AND org_id <> ''
  UNION SELECT c.school_id, e.user_id FROM enrollments e JOIN classes c ON c.id = e.class_id WHERE e.role = 'student'
) of_school ON of_school.user_id = s.student_id
WHERE s.incident_id = ? GROUP BY of_school.school_id
HAVING count(DISTINCT s.student_id) * 10 >= (
  SELECT count(DISTINCT e.user_id)
  FROM classes c JOIN enrollments e ON e.class_id = c.id JOIN users u ON u.id = e.user_id
  WHERE c.school_id = of_school.school_id AND NOT c.ended AND NOT c.archived AND NOT u.ended
    AND e.role = 'student' AND NOT e.ended
    AND (e.begins_on IS NULL OR e.begins_on <= ?) AND (e.ends_on IS NULL OR e.ends_on > ?)) LIMIT 1
"""
_EVERYBODY = "SELECT count(DISTINCT user_id) FROM role_assignments WHERE role = 'student'"


def begin(
    tx: Transaction,
    *,
    incident_id: str,
    discovered_at: datetime,
    discovered_on: date,
    what: str,
    at_vendor: bool,
    states: Collection[str],
    everybody: bool,
    student_ids: Collection[str],
    anomaly_ids: Collection[str],
) -> None:
    """Open an incident, from flags or by hand; its clocks run since discovery, by the district's date of it.

    Raises Refused: 404 for a flag that is not there, 409 for one of another incident, 422 without words, for a
    discovery that is yet to come, or for a student whom nobody knows.
    """
    if not what.strip():
        raise incomplete(["what"])
    if discovered_at > tx.now:
        raise Refused(422, "discovered-at", "An incident is discovered now or earlier.")
    row = {
        "id": incident_id,
        "discovered_at": iso(discovered_at),
        "discovered_on": discovered_on.isoformat(),
        "what": tx.cipher.seal(what, _context(incident_id, "what")),
        "at_vendor": int(at_vendor),
        "states": json.dumps(sorted(set(states))),
        "everybody": int(everybody),
        "state": "open",
        "opened_by": tx.origin.actor_id,
        "opened_at": iso(tx.now),
    }
    if put(tx, "incidents", row):
        _add(tx, incident_id, student_ids, anomaly_ids)
        told = _told(tx, incident_id)
        data = {"discovered_at": row["discovered_at"], "states": sorted(set(states)), "at_vendor": at_vendor} | told
        tx.journal("compliance.incident_opened", subject_id=incident_id, data=data)


def add(
    tx: Transaction,
    incident_id: str,
    *,
    states: Collection[str],
    everybody: bool,
    student_ids: Collection[str],
    anomaly_ids: Collection[str],
) -> None:
    """Add students, states or flags that became known later; new clocks run since discovery, too. Raises Refused."""
    known = _one(tx, incident_id)
    _check_open(known)
    _add(tx, incident_id, student_ids, anomaly_ids)
    all_states = sorted({*known["states"], *states})
    text = "UPDATE ferpa_incidents SET states = ?, everybody = ? WHERE id = ?"
    tx.write_sql(text, (json.dumps(all_states), int(everybody or known["everybody"]), incident_id))
    data = {"states": all_states} | _told(tx, incident_id)
    tx.journal("compliance.incident_widened", subject_id=incident_id, data=data)


def finish(
    tx: Transaction, incident_id: str, clock: str, *, outcome: str, done_on: date, today: date, how: str, act: str
) -> None:
    """Keep that a task was done ("done") or need not be ("waived"), on which day, and how it is recorded or why not.

    Raises Refused: 404, 409 (somebody has settled it), 422 (no words, or a day that is yet to come).
    """
    if not how.strip():
        raise incomplete(["how"])
    if done_on > today:
        raise Refused(422, "done-on", "A task is done today or was done earlier.")
    sealed = tx.cipher.seal(how, _context(incident_id, clock))
    done = tx.write_sql(
        "UPDATE ferpa_incident_tasks SET state = ?, done_on = ?, done_at = ?, done_by = ?, how = ?, act = ? "
        "WHERE incident_id = ? AND clock = ? AND state = 'open' RETURNING due_on",
        (outcome, done_on.isoformat(), iso(tx.now), tx.origin.actor_id, sealed, act, incident_id, clock),
    )
    if done:
        data = {"clock": clock, "state": outcome, "done_on": done_on.isoformat(), "due_on": done[0][0]}
        tx.journal("compliance.incident_task_ended", subject_id=incident_id, data=data)
        return
    text = "SELECT state, act FROM ferpa_incident_tasks WHERE incident_id = ? AND clock = ?"
    rows = tx.sql(text, (incident_id, clock))
    if not rows:
        raise missing()
    if rows[0][1] != act:
        raise Refused(409, "ended-already", f"This task has ended already: it is {rows[0][0]}.")


def close(tx: Transaction, incident_id: str, *, closing: str, act: str) -> None:
    """End an incident, with what came of it. Raises Refused: 404, 409 (closed already, or a task is open), 422."""
    if not closing.strip():
        raise incomplete(["closing"])
    known = _one(tx, incident_id)
    if known["act"] == act:
        return
    _check_open(known)
    if tx.sql("SELECT 1 FROM ferpa_incident_tasks WHERE incident_id = ? AND state = 'open'", (incident_id,)):
        raise Refused(409, "tasks-open", "Tasks of this incident are open: do them, or say why they need not be done.")
    tx.write_sql(
        "UPDATE ferpa_incidents SET state = 'closed', closed_by = ?, closed_at = ?, closing = ?, act = ? WHERE id = ?",
        (tx.origin.actor_id, iso(tx.now), tx.cipher.seal(closing, _context(incident_id, "closing")), act, incident_id),
    )
    tx.journal("compliance.incident_closed", subject_id=incident_id, data=_told(tx, incident_id))


def read(connection: Connection, incident_id: str, *, today: str) -> Row:
    """One incident with its tasks, its flags and how many students it concerns. Raises Refused 404."""
    return _whole(connection, _one(connection, incident_id), today)


def every(connection: Connection, *, today: str, state: str | None = None) -> list[Row]:
    """The incidents of one state ("open", "closed") or all, the newest discovery first, with their tasks."""
    rows = _read(connection, "(state = ? OR CAST(? AS TEXT) IS NULL)", (state, state))
    return [_whole(connection, row, today) for row in rows]


def students(connection: Connection, incident_id: str, *, after: str = "") -> list[str]:
    """The ids of the students whom an incident concerns, 500 at a time, those after `after`."""
    _one(connection, incident_id)
    text = (
        "SELECT student_id FROM ferpa_incident_students WHERE incident_id = ? AND student_id > ? "  # noqa: S608 - a constant
        f"ORDER BY student_id LIMIT {_SHOWN}"
    )
    return [row[0] for row in connection.sql(text, (incident_id, after))]


def _add(tx: Transaction, incident_id: str, student_ids: Collection[str], anomaly_ids: Collection[str]) -> None:
    ids = sorted(set(student_ids))
    known = 0
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        marks = ", ".join("?" * len(some))
        known += tx.sql(f"SELECT count(*) FROM users WHERE id IN ({marks})", some)[0][0]  # noqa: S608 - marks only
        pairs = ", ".join(["(?, ?)"] * len(some))
        tx.write_sql(
            f"INSERT INTO ferpa_incident_students (incident_id, student_id) VALUES {pairs} ON CONFLICT DO NOTHING",  # noqa: S608 - marks only
            [value for one in some for value in (incident_id, one)],
        )
    if known < len(ids):
        raise Refused(422, "unknown-students", f"{len(ids) - known} of these ids are nobody's here.")
    for anomaly_id in sorted(set(anomaly_ids)):
        anomalies.attach(tx, anomaly_id, incident_id=incident_id, act=incident_id)


def _told(tx: Transaction, incident_id: str) -> dict[str, Any]:
    """Start the clocks that apply and do not run yet; gives how many students there are and which clocks run."""
    incident = _one(tx, incident_id)
    today = tx.now.date().isoformat()
    a_tenth = incident["everybody"] or bool(tx.sql(_TENTH, (incident_id, today, today)))
    discovered_on = date.fromisoformat(incident["discovered_on"])
    for clock in clocks.applying(incident["states"], at_vendor=incident["at_vendor"], a_tenth=a_tenth):
        due_on = clock.due(discovered_on).isoformat()
        put(tx, "incident_tasks", {"incident_id": incident_id, "clock": clock.code, "due_on": due_on, "state": "open"})
    tasks = _tasks(tx, incident_id)
    return {"students": _count(tx, incident), "clocks": {task["clock"]: task["due_on"] for task in tasks}}


def _count(connection: Connection, incident: Row) -> int:
    if incident["everybody"]:
        return int(connection.sql(_EVERYBODY)[0][0])
    text = "SELECT count(*) FROM ferpa_incident_students WHERE incident_id = ?"
    return int(connection.sql(text, (incident["id"],))[0][0])


def _check_open(incident: Row) -> None:
    if incident["state"] != "open":
        raise Refused(409, "closed-already", "This incident is closed; open another one for what became known since.")


def _one(connection: Connection, incident_id: str) -> Row:
    rows = _read(connection, "id = ?", (incident_id,))
    if not rows:
        raise missing()
    return rows[0]


def _read(connection: Connection, where: str, params: Sequence[Any]) -> list[Row]:
    text = (
        f"SELECT {', '.join(_COLUMNS)} FROM ferpa_incidents WHERE {where} "  # noqa: S608 - constants
        f"ORDER BY discovered_at DESC, id LIMIT {_SHOWN}"
    )
    rows = [dict(zip(_COLUMNS, row, strict=True)) for row in connection.sql(text, params)]
    for row in rows:
        row |= {"states": json.loads(row["states"]), "at_vendor": bool(row["at_vendor"])}
        row["everybody"] = bool(row["everybody"])
        for name in ("what", "closing"):
            if row[name] is not None:
                row[name] = connection.cipher.unseal(row[name], _context(row["id"], name))
    return rows


def _whole(connection: Connection, incident: Row, today: str) -> Row:
    return incident | {
        "students": _count(connection, incident),
        "tasks": [clocks.shown(task, today) for task in _tasks(connection, incident["id"])],
        "anomalies": [flag["id"] for flag in anomalies.of_incident(connection, incident["id"])],
    }


def _tasks(connection: Connection, incident_id: str) -> list[Row]:
    text = f"SELECT {', '.join(_TASK)} FROM ferpa_incident_tasks WHERE incident_id = ? ORDER BY due_on, clock"  # noqa: S608 - constants
    rows = [dict(zip(_TASK, row, strict=True)) for row in connection.sql(text, (incident_id,))]
    for row in rows:
        if row["how"] is not None:
            row["how"] = connection.cipher.unseal(row["how"], _context(incident_id, row["clock"]))
    return rows


def _context(incident_id: str, what: str) -> str:
    return f"ferpa_incidents.{incident_id}.{what}"
