"""What an administrator's pages have to show: messages in an outbox, and requests that the law sets clocks for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from homeroom.roster.people import add_contact
from homeroom.store import Transaction, new_id, now_utc
from homeroom.store import models as m
from tests.services import world
from tests.services.served import Served

RULE = {"kind": "absence", "title": "Absence", "school_id": "north", "settings": {"delay_minutes": 0}}


def addresses(tx: Transaction) -> None:
    """Ann is absent today, and her guardian has addresses."""
    add_contact(tx, "guardian_ann", "sms", "(212) 555-0142")
    add_contact(tx, "guardian_ann", "email", "ann.family@example.org")
    tx.run(m.AttendanceRecord.update(status="absent").where(m.AttendanceRecord.student_id == "ann"))
    tx.run(m.AbsenceReport.delete())  # what a family has told itself it is not told


async def a_message(store: Any, **values: Any) -> str:
    """The id of a message about Ann that stands in the outbox."""
    message_id, now = new_id(), now_utc()
    row: dict[str, Any] = {
        "rule_id": "rule",
        "rule_version": 1,
        "kind": "absence",
        "purpose": "attendance",
        "school_id": "north",
        "school_day": world.TODAY,
        "student_id": "ann",
        "recipient_id": "guardian_ann",
        "audience": "guardian",
        "language": "en",
        "channels": ["sms"],
        "channel": "sms",
        "why": {"rule": "Absence", "records": ["record_ann"]},
        "due_at": now,
        "expires_at": now + timedelta(hours=5),
        "created_at": now,
        "changed_at": now,
        **values,
    }

    def unit(tx: Transaction) -> None:
        content = tx.seal_for("ann", '{"sms": "Ann was marked absent."}')
        tx.insert(m.Notification, id=message_id, key=message_id, content=content, **row)

    await store.write(unit)
    return message_id


async def asked(api: Served, path: str, by: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a compliance route has made."""
    answer = await api.post(f"~/compliance{path}", by, body)
    assert answer.status_code == 201, await answer.get_data(as_text=True)
    item: dict[str, Any] = (await answer.get_json())["item"]
    return item
