"""FERPA on events to other systems: each endpoint is a party of its own, asked when an event is about to leave."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import homeroom_webhooks
from homeroom.live.tail import events_after
from homeroom.store import Connection
from homeroom.store.migrate import upgrade
from homeroom.types import Event
from homeroom_ferpa.access.part import Access
from homeroom_ferpa.access.settings import AccessSettings
from tests.services.doors import in_time
from tests.services.judge import on_loopback
from tests.services.lawful import ENTRY, consent, said, vendor
from tests.services.receiver import Receiver
from tests.services.served import Served, served

MIGRATIONS = {"webhooks": Path(homeroom_webhooks.__file__).parent / "migrations"}
SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
LMS = "plugin:webhooks.lms"
OFFICIAL = {**ENTRY, "recipient": LMS, "categories": ["attendance"]}
CONSENT = {"party": LMS, "text": "The learning platform may know when my child is absent."}


@dataclass(slots=True, kw_only=True)
class Told:
    """The small world with the law and two endpoints."""

    api: Served
    receiver: Receiver

    async def mark(self, student: str = "ann", status: str = "tardy") -> None:
        """A teacher marks a student."""
        where, teacher = {"ann": ("algebra", "teacher_a"), "bob": ("biology", "teacher_b")}[student]
        body = {"marks": [{"student_id": student, "status": status}]}
        path = f"~/sessions/session_{where}/attendance"
        assert (await self.api.call("PUT", path, by=teacher, json=body)).status_code == 200

    async def close(self) -> None:
        """An event that tells of no student; whatever is before it in a queue has gone, or stays."""
        answer = await self.api.post("~/sessions/session_algebra/close", "teacher_a")
        assert answer.status_code == 200

    async def until(self, kind: str, endpoint: str = "lms") -> None:
        """Return when an event of this kind has arrived."""
        heard = self.receiver.heard
        await self.receiver.until(lambda: any(one.endpoint == endpoint and one.json["type"] == kind for one in heard))

    async def journal(self, kind: str) -> list[Event]:
        """The events of a kind."""
        found = await self.api.district.store.read(lambda c: events_after(c, 0, 500))
        return [one for one in found if one.kind == kind]

    async def ledger(self, student: str = "ann") -> list[Any]:
        """The student's record of disclosures, with everything the journal says already in it."""
        events = await self.api.district.store.read(lambda c: events_after(c, 0, 500))
        await Access(vendor(self.api, "ferpa"), AccessSettings()).consume(events)
        path = f"~/compliance/ledger?student_id={student}&everything=true"
        return list((await said(await self.api.get(path, "admin")))["items"])

    async def audit(self, *, allowed: bool = True) -> list[tuple[str, str]]:
        """Of each hand-out, or denial of one, the recipient and the students."""

        def rows(connection: Connection) -> list[tuple[str, str]]:
            text = "SELECT recipient, student_ids FROM ferpa_audit WHERE kind = ? AND recipient LIKE ? ORDER BY id"
            found = connection.sql(text, ("hand_out" if allowed else "denied", "webhooks.%"))
            return [(recipient, students) for recipient, students in found]

        return await self.api.district.store.read(rows)


@contextlib.asynccontextmanager
async def telling(url: str) -> AsyncIterator[Told]:
    """The world over a database, and a server that hears."""
    upgrade(url, MIGRATIONS)
    receiver = Receiver({"lms": SECRET, "dashboard": SECRET})
    async with on_loopback(receiver.app) as here:
        endpoints = [{"name": name, "url": f"{here}/{name}", "secret": SECRET} for name in ("lms", "dashboard")]
        sections = {"webhooks": {"endpoints": endpoints}}
        async with served(url, enabled=("ferpa", "webhooks"), required=("ferpa",), sections=sections) as api:
            yield Told(api=api, receiver=receiver)


@pytest.fixture
async def told(database_url: str) -> AsyncIterator[Told]:
    """On SQLite and on PostgreSQL."""
    async with telling(database_url) as running:
        yield running


@pytest.fixture
async def lite(sqlite_url: str) -> AsyncIterator[Told]:
    """On SQLite alone."""
    async with telling(sqlite_url) as running:
        yield running


async def test_an_event_of_a_student_without_a_ground_does_not_leave_and_what_names_nobody_does(told: Told) -> None:
    """FERPA 21 §99.30(a): without consent or an agreement no student's event leaves, and the refusal is on record."""
    await told.mark()
    await told.close()
    await told.until("session.closed")
    assert {one.json["type"] for one in told.receiver.heard} == {"session.closed"}
    assert ("webhooks.lms", '["ann"]') in await told.audit(allowed=False)
    assert await told.audit() == []
    assert await told.ledger() == []
    [withheld] = [one for one in await told.journal("webhooks.withheld") if one.data["endpoint"] == "lms"]
    assert withheld.data["events"] == 1
    found = await said(await told.api.get("~/plugins/webhooks/diagnostics", "admin"))
    assert "1 events were withheld from lms" in str(found)


async def test_an_endpoint_is_a_vendor_of_its_own(lite: Told) -> None:
    """FERPA 27 §99.31(a)(1)(i)(B): one vendor's agreement hands nothing to another endpoint of the same plugin."""
    assert (await lite.api.post("~/compliance/officials", "admin", OFFICIAL)).status_code == 201
    await lite.mark()
    await lite.close()
    await lite.until("attendance.corrected")
    await lite.until("session.closed", "dashboard")
    assert [one.json["type"] for one in lite.receiver.heard if one.endpoint == "dashboard"] == ["session.closed"]


async def test_each_event_that_leaves_is_in_the_audit_and_the_record_of_disclosures_with_the_notice(told: Told) -> None:
    """FERPA 37 and 43 §99.32(a)(1), §99.33(a): an event to another system is entered before it leaves, with notice."""
    assert (await told.api.post("~/compliance/officials", "admin", OFFICIAL)).status_code == 201
    entered: list[list[Event]] = []
    told.receiver.answer = lambda _name: 503
    await told.mark()
    await told.until("attendance.corrected")
    entered.append(await told.journal("data.handed_out"))
    told.receiver.answer = lambda _name: 200
    await told.close()
    await told.until("session.closed")
    entered.append(await told.journal("data.handed_out"))

    assert [len(rows) for rows in entered] == [1, 1], "an event that is sent again is one disclosure"
    assert await told.audit() == [("webhooks.lms", '["ann"]')]
    [one] = await told.ledger()
    assert (one["party"], one["interest"], one["notice"]) == (LMS, OFFICIAL["service"], True)
    assert one["fields"] == ["attendance.corrected"]
    for heard in told.receiver.heard:
        about_a_student = "student_id" in heard.json["data"]
        assert ("99.33" in heard.headers.get("homeroom-redisclosure-notice", "")) is about_a_student


async def test_an_event_that_waits_does_not_leave_once_the_consent_is_revoked(lite: Told) -> None:
    """FERPA 25 §99.30: an event that waits for an endpoint is asked about again, and stays when consent is revoked."""
    given = await said(await consent(lite.api, "guardian_ann", **CONSENT))
    await lite.mark("bob")  # whose family has not consented
    await lite.mark()
    await lite.until("attendance.corrected")
    lite.receiver.answer = lambda _name: 503
    before = len(lite.receiver.heard)
    await lite.mark(status="absent")
    await lite.receiver.until(lambda: len(lite.receiver.heard) > before)
    path, head = f"~/compliance/consents/{given['id']}?student_id=ann", {"If-Match": '"1"'}
    assert (await lite.api.call("DELETE", path, by="guardian_ann", headers=head)).status_code == 204
    lite.receiver.answer = lambda _name: 200
    await lite.close()
    await lite.until("session.closed")
    taken = [one.json for one in lite.receiver.heard if one.endpoint == "lms" and one.status == 200]
    assert [(one["type"], one["data"].get("student_id"), one["data"].get("status")) for one in taken] == [
        ("attendance.corrected", "ann", "tardy"),
        ("session.closed", None, None),
    ]


async def test_what_cannot_be_audited_waits_and_leaves_when_it_can(lite: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """FERPA 37 §99.32(a)(1): while an event cannot be entered it does not leave, and it is not lost either."""
    assert (await lite.api.post("~/compliance/officials", "admin", OFFICIAL)).status_code == 201
    answers = asyncio.Event()
    ask_all = lite.api.district.host.ask_all

    async def away(hook: str, **arguments: Any) -> Any:
        """The plugin does not answer when it is to enter a hand-out."""
        found = await ask_all(hook, **arguments)
        if hook == "audit" and arguments["request"].recipient == "webhooks.lms" and not answers.is_set():
            return [type("Silent", (), {"plugin": "ferpa", "value": None, "error": TimeoutError()})()]
        return found

    monkeypatch.setattr(lite.api.district.host, "ask_all", away)
    monkeypatch.setattr("homeroom_webhooks.courier._TROUBLE_SECONDS", 0.05)

    async def troubled() -> bool:
        found = await said(await lite.api.get("~/plugins/webhooks/diagnostics", "admin"))
        return "could not be checked or entered" in str(found)

    await lite.mark()
    await in_time(troubled)
    assert [one for one in lite.receiver.heard if "student_id" in one.json["data"]] == []
    answers.set()
    await lite.until("attendance.corrected")
