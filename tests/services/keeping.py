"""What the tests of keeping, letting go and erasing have in common."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

import homeroom_ferpa
from homeroom import Services
from homeroom.store import Store, Transaction
from homeroom.store import models as m
from homeroom.testing import FakeClock, services
from homeroom_ferpa.log.part import Log
from homeroom_ferpa.log.settings import LogSettings
from homeroom_ferpa.log.verify import verify
from homeroom_ferpa.rights import inspections
from tests.services import world

MIGRATIONS = Path(homeroom_ferpa.__path__[0]) / "migrations"


def add_message(tx: Transaction, student: str, text: str = "Absent today.", state: str = "delivered") -> None:
    values: dict[str, Any] = {"id": f"message_{student}", "key": f"key_{student}", "rule_id": "r", "rule_version": 1}
    values |= {"kind": "absence", "purpose": "absence", "school_id": "north", "student_id": student}
    values |= {"recipient_id": f"guardian_{student}", "audience": "guardian", "language": "en", "channel": "sms"}
    values |= dict.fromkeys(("due_at", "expires_at", "created_at", "changed_at"), tx.now)
    content = tx.seal_for(student, orjson.dumps({"sms": text}).decode())
    tx.insert(m.Notification, content=content, state=state, **values)


def at(moment: datetime, store: Store, erase_list: Path | None = None) -> Services:
    return services(store=store, clock=FakeClock(moment), erase_list=erase_list)


def rows(store: Store, table: str, student: str) -> int:
    text = f"SELECT count(*) FROM {table} WHERE student_id = ?"  # noqa: S608 - a table's own name
    return int(store.read_now(lambda c: c.sql(text, (student,)))[0][0])


def kinds(store: Store, kind: str) -> list[tuple[str | None, Any]]:
    found = store.read_now(lambda c: c.all(m.Journal.select().where(m.Journal.kind == kind).order_by(m.Journal.id)))
    return [(row.student_id, row.data) for row in found]


def ask(store: Store, student: str) -> None:
    new: dict[str, Any] = {"inspection_id": f"inspection_{student}", "student_id": student, "asked_by": "admin"}
    store.write_now(lambda tx: inspections.ask(tx, received_on=world.TODAY, days=45, wish=None, **new))


async def log_verifies(store: Store) -> None:
    """Seal all there is, and have the log verified."""
    log = Log(services(store=store), LogSettings(origin="test.example"))
    await log.sealer.seal()
    report = await verify(store.read)
    assert report.ok, report.as_json()
    assert report.size > 0


def add_entry(tx: Transaction, entry_id: str, *students: str, whole_district: bool = False) -> None:
    values = (entry_id, tx.now.isoformat(), "plugin:acme", "disclosure", "scheduling", "99.31(a)(1)", "[]")
    tx.write_sql(
        "INSERT INTO ferpa_ledger (id, at, party, kind, interest, basis, fields, whole_district, notice) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
        (*values, int(whole_district)),
    )
    tx.write_sql(
        "INSERT INTO ferpa_redisclosures (id, entry_id, party, interest, disclosed_on, recorded_at) "
        "VALUES (?, ?, 'a printer', 'timetables', ?, ?)",
        (f"onward_{entry_id}", entry_id, world.TODAY.isoformat(), tx.now.isoformat()),
    )
    for student in students:
        tx.write_sql("INSERT INTO ferpa_ledger_students (student_id, entry_id) VALUES (?, ?)", (student, entry_id))
