"""FERPA on consent, the record of disclosures and directory information."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import homeroom_ferpa
from homeroom import AccessRequest, Event, Refused, testing
from homeroom.export import NOTICE, NOTICE_FILE, export, export_to, exported
from homeroom.live.tail import events_after
from homeroom.roster import people
from homeroom.store import Connection, Store, Transaction, migrate, now_utc
from homeroom.store import models as m
from homeroom.store.cipher import Cipher
from homeroom.types import Identity, Receipt
from homeroom_ferpa import Ferpa, FerpaSettings
from homeroom_ferpa.access import consents, decisions, ledger, officials
from homeroom_ferpa.access.directory import Policy
from homeroom_ferpa.access.part import Access
from homeroom_ferpa.access.records import text_of
from homeroom_ferpa.access.settings import INSIDE, AccessSettings
from tests.services import commands
from tests.services.commands import run
from tests.services.families import Families, Told
from tests.services.lawful import (
    ENTRY,
    TODAY,
    born,
    consent,
    lawful,
    new_key,
    official_key,
    order,
    said,
    vendor,
    years_ago,
)
from tests.services.marks import mark
from tests.services.served import Served, served
from tests.services.server import heard

DISCLOSURE = {
    "student_ids": ["ann"],
    "party": "party:college",
    "interest": "an application for a place",
    "purpose": "application",
    "records": ["attendance"],
    "fields": ["status"],
}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    """The small world with the plugin on, once on SQLite and once on PostgreSQL."""
    async with served(database_url, enabled=("ferpa",), required=("ferpa",)) as running:
        yield running


@pytest.fixture
async def lite(sqlite_url: str) -> AsyncIterator[Served]:
    """The same on SQLite alone, for what does not differ between databases."""
    async with served(sqlite_url, enabled=("ferpa",), required=("ferpa",)) as running:
        yield running


async def shown(api: Served, by: str = "guardian_ann", student: str = "ann", *, everything: bool = False) -> list[Any]:
    """The student's record of disclosures, with everything the journal says already in it."""
    store = api.district.store
    events = await store.read(lambda c: events_after(c, 0, 500))
    await Access(vendor(api, "ferpa"), AccessSettings()).consume(events)
    more = "&everything=true" if everything else ""
    answer = await api.get(f"~/compliance/ledger?student_id={student}{more}", by)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    found: list[Any] = (await said(answer))["items"]
    return found


async def open_directory(api: Served, **changed: Any) -> Any:
    """A directory policy whose notice and opt-out period are past."""
    body = {
        "items": ["name", "grade_level", "school"],
        "notice_on": (TODAY - timedelta(days=30)).isoformat(),
        "opt_out_until": (TODAY - timedelta(days=9)).isoformat(),
        **changed,
    }
    version = (await said(await api.get("~/compliance/directory", "admin")))["version"]
    answer = await api.post("~/compliance/directory", "admin", body, headers={"If-Match": f'"{version}"'})
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    return await said(answer)


async def released(api: Served, party: str = "yearbook", purpose: str = "printing") -> Any:
    return await api.post("~/compliance/directory/releases", "admin", {"party": party, "purpose": purpose})


@pytest.mark.parametrize(
    "lacking", ["records", "purpose", "party", "signed_by", "signed_on", "authenticated", "text", "student_id"]
)
async def test_a_consent_that_lacks_anything_is_refused(lite: Served, lacking: str) -> None:
    """FERPA 22 §99.30(b): records, purpose, party or class, signature and date: without one it is rejected, by name."""
    refused = await consent(lite, "guardian_ann", **{lacking: None})
    assert refused.status_code == 422
    assert (await said(refused))["errors"][0]["field"] == lacking
    empty = await consent(lite, "guardian_ann", records=[])
    assert (await said(empty))["errors"][0]["field"] == "records"
    assert await lite.district.store.read(lambda c: c.sql("SELECT count(*) FROM ferpa_consents")) == [(0,)]
    kept = await lite.district.store.read(
        lambda c: c.all(m.Journal.select().where(m.Journal.kind == "compliance.refused").order_by(m.Journal.id))
    )
    found = [(row.student_id, row.actor_id, row.data["fields"]) for row in kept]
    whose = "ann", "guardian_ann"
    lacked = [] if lacking == "student_id" else [(*whose, [lacking])]  # nobody's: there is no record it could stand in
    assert found == [*lacked, (*whose, ["records"])]


async def test_a_consent_is_signed_by_who_holds_the_rights(lite: Served) -> None:
    """FERPA 22 §99.30(b): the signature is that of a parent with rights or of the eligible student, and dated."""
    for by, changed, field in (
        ("guardian_ann", {"signed_by": "guardian_cy"}, "authenticated"),
        ("guardian_ann", {"signed_by": "guardian_cy", "authenticated": "paper"}, "signed_by"),
        ("admin", {"signed_by": "guardian_cy", "authenticated": "paper"}, "signed_by"),
        ("guardian_ann", {"signed_on": (TODAY + timedelta(days=2)).isoformat()}, "signed_on"),
        ("guardian_ann", {"purpose": "curiosity"}, "purpose"),
    ):
        refused = await consent(lite, by, **{"signed_by": by, **changed})
        assert (refused.status_code, (await said(refused))["errors"][0]["field"]) == (422, field)
    kept = await consent(lite, "admin", signed_by="guardian_ann", authenticated="paper")
    assert kept.status_code == 201
    await order(lite)
    refused = await consent(lite, "admin", signed_by="guardian_ann", authenticated="paper")
    assert (await said(refused))["errors"][0]["field"] == "signed_by"


async def test_the_family_gets_a_copy_of_what_was_disclosed_under_consent(api: Served) -> None:
    """FERPA 23 §99.30(c): a guardian can get a copy of what was disclosed under a consent."""
    given = await said(await consent(api, "guardian_ann", party="party:college", purpose="application"))
    body = {**DISCLOSURE, "disclosed_text": "Ann was present on 170 of 175 days."}
    made = await api.post("~/compliance/disclosures", "admin", body)
    assert made.status_code == 201, await made.get_data(as_text=True)
    path = f"~/compliance/consents/{given['id']}/disclosures?student_id=ann"
    [one] = (await said(await api.get(path, "guardian_ann")))["items"]
    assert one["copy_of_what_was_disclosed"] == "Ann was present on 170 of 175 days."
    assert (one["party"], one["fields"], one["consent_id"]) == ("party:college", ["status"], given["id"])
    assert (await api.get(path, "guardian_cy")).status_code == 404
    stored = await api.district.store.read(lambda c: c.sql("SELECT copy FROM ferpa_ledger_students"))
    assert "170" not in str(stored)


async def test_a_signature_keeps_who_how_and_what_text(lite: Served) -> None:
    """FERPA 24 §99.30(d): an electronic signature stores who, how authenticated, and the hash of the approved text."""
    text = "I agree that the college sees my child's attendance."
    kept = await said(await consent(lite, "guardian_ann", party="party:college", text=text))
    assert kept["signed_by"] == "guardian_ann"
    assert kept["authenticated"] == "session:sign_in_guardian_ann"
    assert kept["text_hash"] == hashlib.sha256(text.encode()).hexdigest() == consents.hash_of(text)
    rows = await lite.district.store.read(lambda c: c.sql("SELECT text, text_hash FROM ferpa_consents"))
    assert text not in str(rows)
    [event] = [one for one in await events(lite) if one.kind == "compliance.consent_given"]
    assert event.data["text_hash"] == kept["text_hash"]


async def test_revocation_holds_for_the_next_disclosure_and_is_dated(api: Served) -> None:
    """FERPA 25 §99.30: revocation takes effect for the next disclosure, with its time; the second attempt is told."""
    given = await said(await consent(api, "guardian_ann", party="party:college", purpose="application"))
    assert (await api.post("~/compliance/disclosures", "admin", DISCLOSURE)).status_code == 201
    path, head = f"~/compliance/consents/{given['id']}?student_id=ann", {"If-Match": '"1"'}
    assert (await api.call("DELETE", path, by="guardian_ann", headers=head)).status_code == 204
    assert (await api.post("~/compliance/disclosures", "admin", DISCLOSURE)).status_code == 403
    [kept] = (await said(await api.get("~/compliance/consents?student_id=ann", "guardian_ann")))["items"]
    assert kept["revoked_at"]
    assert (await api.call("DELETE", path, by="admin", headers=head)).status_code == 412


@pytest.mark.parametrize("revoked", [False, True])
async def test_a_message_that_waits_is_not_sent_once_the_consent_is_revoked(families: Families, revoked: bool) -> None:  # noqa: FBT001 - a parameter
    """FERPA 25 §99.30: a queued disclosure is cancelled: a waiting message asks again when it would leave."""
    migrate.upgrade(families.store.url, {"ferpa": Path(homeroom_ferpa.__path__[0]) / "migrations"})
    families.rule("absence", delay_minutes=10)
    families.student("ann", "mother")
    families.set(m.User, {"birth_date": years_ago(30)}, m.User.id == "ann")
    services = testing.services(name="ferpa", store=families.store, time_zone="America/New_York")
    families.vendor.judge = Access(services, AccessSettings(inside=INSIDE | {"post"})).authorize
    one = consents.Signed(
        id="first",
        student_id="ann",
        party="person:mother",
        records=("messages",),
        purpose="attendance",
        signed_by="ann",
        signed_on=TODAY,
        authenticated="paper",
        text="My mother may be told.",
    )
    families.store.write_now(lambda tx: consents.add(tx, one))
    families.vendor.answer = lambda _message: Told(value=Receipt(state="retry", retry_after=60))
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.tick()
    await families.move(11)
    assert families.states() == ["waiting"]
    families.vendor.answer = None
    if revoked:
        families.store.write_now(lambda tx: consents.revoke(tx, "first", "ann", 1, by="ann"))
    await families.move(5)
    assert families.states() == ["withheld" if revoked else "accepted"]
    assert len(families.sent()) == (0 if revoked else 1)


@pytest.mark.parametrize("on_file", [False, True])
async def test_no_message_to_staff_tells_a_vendor_of_a_student_who_is_not_on_file(
    families: Families,
    on_file: bool,  # noqa: FBT001 - a parameter
) -> None:
    """FERPA 27 §99.31(a)(1)(i)(B): a vendor that is not on file carries no student's name to staff either."""
    migrate.upgrade(families.store.url, {"ferpa": Path(homeroom_ferpa.__path__[0]) / "migrations"})
    families.rule("absence", audience=["teacher"], delay_minutes=0)
    families.student("ann", "mother")
    families.set(m.User, {"birth_date": years_ago(30)}, m.User.id == "ann")  # staff hear of a grown student, too
    services = testing.services(name="ferpa", store=families.store, time_zone="America/New_York")
    families.vendor.judge = Access(services, AccessSettings()).authorize
    if on_file:
        values: dict[str, Any] = {**ENTRY, "recipient": "plugin:post", "categories": ("messages",)}
        values["begins_on"] = services.today()
        families.store.write_now(lambda tx: officials.add(tx, officials.Official(id="post", **values)))
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.move(1)
    assert families.states() == ["accepted" if on_file else "withheld"]
    assert len(families.sent()) == (1 if on_file else 0)


async def test_a_parent_whose_rights_have_passed_is_not_told(lite: Served) -> None:
    """FERPA 5 §99.5(a): messages go to no parent whose rights have passed, and through no vendor not on file."""
    access = Access(vendor(lite, "ferpa"), AccessSettings())
    asked = AccessRequest(
        action="guardian.notify",
        identity=Identity(subject="guardian_ann"),
        student_ids=frozenset({"ann"}),
        purpose="attendance",
    )
    assert (await access.authorize(asked)).allow
    carried = AccessRequest(
        action="guardian.notify",
        identity=asked.identity,
        student_ids=asked.student_ids,
        purpose="attendance",
        recipient="twilio",
    )
    assert not (await access.authorize(carried)).allow
    entry = {**ENTRY, "recipient": "plugin:twilio", "categories": ["messages"]}
    assert (await lite.post("~/compliance/officials", "admin", entry)).status_code == 201
    assert (await access.authorize(carried)).allow
    await born(lite, "ann", years_ago(18))
    assert not (await access.authorize(carried)).allow
    own = AccessRequest(
        action="guardian.notify",
        identity=Identity(subject="ann"),
        student_ids=frozenset({"ann"}),
        purpose="attendance",
    )
    assert (await access.authorize(own)).allow


async def test_an_emergency_needs_its_threat_and_recipients_and_is_always_entered(api: Served) -> None:
    """FERPA 33 §99.36: an emergency disclosure needs the threat's text and the recipients, and is always entered."""
    body = {"kind": "emergency", "student_id": "ann", "document": "Police report 7", "parties": ["party:sheriff"]}
    refused = await api.post("~/compliance/exceptions", "admin", body)
    assert (await said(refused))["errors"][0]["field"] == "threat"
    refused = await api.post("~/compliance/exceptions", "admin", {**body, "parties": [], "threat": "A flood"})
    assert (await said(refused))["errors"][0]["field"] == "parties"
    assert (
        await api.post("~/compliance/exceptions", "admin", {**body, "threat": "Missing since noon"})
    ).status_code == 201
    outside = {**DISCLOSURE, "student_ids": ["ann", "bob"], "party": "party:hospital", "basis": "emergency"}
    refused = await api.post("~/compliance/disclosures", "admin", outside)
    assert (await said(refused))["errors"][0]["field"] == "threat"
    outside |= {"threat": "Bus accident", "document": "Incident 4"}
    assert (await api.post("~/compliance/disclosures", "admin", outside)).status_code == 201
    for by, student, threats in (
        ("guardian_ann", "ann", {"Missing since noon", "Bus accident"}),
        ("admin", "bob", {"Bus accident"}),
    ):
        found = await shown(api, by, student)
        assert {one["threat"] for one in found} == threats
        assert all(one["in_record"] and one["basis"].startswith("99.31(a)(10)") for one in found)


async def test_a_name_that_says_nothing_is_taken_in_no_list(lite: Served) -> None:
    emergency = {"kind": "emergency", "student_id": "ann", "document": "Police report 7", "threat": "Missing"}
    policy = {"items": ["name"]}
    outside = {**DISCLOSURE, "basis": "emergency", "threat": "Bus accident", "document": "Incident 4"}
    for path, body, field in (
        ("exceptions", emergency, "parties"),
        ("directory", policy, "parties"),
        ("directory", policy, "purposes"),
        ("disclosures", outside, "fields"),
        ("disclosures", outside, "student_ids"),
    ):
        for nothing in ("", "  ", "x" * 101):
            answer = await lite.post(
                f"~/compliance/{path}", "admin", {**body, field: [nothing]}, headers={"If-Match": '"0"'}
            )
            assert answer.status_code == 422, (path, field, nothing)
            assert (await said(answer))["errors"][0]["field"].startswith(field)
    assert await shown(lite) == []


async def test_every_request_and_disclosure_makes_one_entry(api: Served) -> None:
    """FERPA 37 §99.32(a)(1): each request and each disclosure makes one entry tied to the student."""
    assert (await api.post("~/compliance/officials", "admin", ENTRY)).status_code == 201
    await vendor(api).roster.students(["ann", "bob"])
    await api.post("~/compliance/disclosures", "admin", DISCLOSURE)  # refused: a request
    await api.district.store.write(lambda tx: exported(tx, party="State auditor", purpose="audit"))
    first = await shown(api, everything=True)
    again = await shown(api, everything=True)
    assert first == again
    assert sorted((one["kind"], one["party"]) for one in first) == [
        ("disclosure", "State auditor"),
        ("disclosure", "plugin:acme"),
        ("request", "party:college"),
    ]
    assert [one["party"] for one in await shown(api, "admin", "bob", everything=True)] == [
        "State auditor",
        "plugin:acme",
    ]


async def test_what_an_api_key_asks_for_without_a_ground_is_entered_as_a_request(api: Served) -> None:
    """FERPA 37 §99.32(a)(1): a request that is refused makes an entry, too, and one for nobody known makes none."""
    head = {"Authorization": f"Bearer {await new_key(api)}"}
    for path in ("~/students/ann", "~/students/nobody_at_all"):
        assert (await api.get(path, headers=head)).status_code in (403, 404)
    [one] = await shown(api)
    assert (one["kind"], one["party"], one["interest"]) == ("request", "key:key-1", "student.read")
    assert (one["basis"], one["in_record"], one["notice"]) == (ledger.UNRECORDED, True, False)
    assert await api.district.store.read(lambda c: c.sql("SELECT count(*) FROM ferpa_ledger_students")) == [(1,)]


def many(tx: Transaction) -> None:
    """Thirty entries of Ann's, two of them in each second, the last one the newest."""
    for number in range(30):
        at = f"2026-01-01T00:00:{number // 2:02}.000000Z"
        entry = ledger.Entry(id=f"many-{number:02}", at=at, party="key:many", interest="all", basis="99.31")
        ledger.enter(tx, replace(entry, students=("ann",), consent_id="c-1"))


async def test_the_record_of_disclosures_is_read_page_by_page_and_never_ends_early(api: Served) -> None:
    """FERPA 37 §99.32(a)(1): all of the record is shown, page by page, however long it is."""
    await api.district.store.write(many)
    for path in ("ledger?", "consents/c-1/disclosures?"):
        seen: list[str] = []
        cursor = ""
        while len(seen) < 100:
            answer = await said(await api.get(f"~/compliance/{path}student_id=ann&limit=7{cursor}", "guardian_ann"))
            assert len(answer["items"]) <= 7
            seen += [one["id"] for one in answer["items"]]
            if answer["next"] is None:
                break
            cursor = f"&cursor={answer['next']}"
        assert seen == [f"many-{number:02}" for number in reversed(range(30))]
    answer = await api.get("~/compliance/ledger?student_id=ann&cursor=elsewhere", "guardian_ann")
    assert answer.status_code == 422


async def test_a_page_of_the_record_reads_that_students_entries_and_not_the_districts(
    lite: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FERPA 37 §99.32(a)(1): the whole record is shown in order, of the student and the district; no other is read."""
    store = lite.district.store

    def more(tx: Transaction) -> None:
        many(tx)
        for key, second, students in (("whole", 5, ()), ("both", 7, ("ann",))):
            at = f"2026-01-01T00:00:{second:02}.500000Z"
            entry = ledger.Entry(id=key, at=at, party="auditor", interest="audit", basis="99.31", whole_district=True)
            ledger.enter(tx, replace(entry, students=students, copies=dict.fromkeys(students, "As it was.")))

    await store.write(more)
    found = await store.read(lambda c: ledger.of_student(c, "ann", everything=False))
    ids = [one.id.removeprefix("many-") for one in found]
    assert (len(ids), ids[12:21]) == (32, ["17", "16", "both", "15", "14", "13", "12", "whole", "11"])
    assert [(one.id, one.copy) for one in found if one.copy is not None] == [("both", "As it was.")]
    texts: list[tuple[str, Any]] = []
    real = Connection.sql

    def noted(connection: Connection, text: str, params: Any = ()) -> Any:
        texts.append((text, params))
        return real(connection, text, params)

    monkeypatch.setattr(Connection, "sql", noted)
    await store.read(lambda c: ledger.of_student(c, "ann", everything=True, limit=5))
    [(text, params)] = [one for one in texts if "ferpa_ledger_students" in one[0]]
    plan = [row[3] for row in await store.read(lambda c: real(c, f"EXPLAIN QUERY PLAN {text}", params))]
    assert [step for step in plan if step.startswith(("SCAN l", "SCAN w", "SCAN o"))] == []
    assert any("ferpa_ledger_whole" in step for step in plan)


async def test_attendance_sent_to_the_sis_is_entered(lite: Served) -> None:
    """FERPA 37 §99.32(a)(1): attendance that goes out to another system makes an entry, too."""
    data = {"plugin": "powerschool", "fields": ["status"], "student_ids": ["ann"]}
    await lite.district.store.write(lambda tx: tx.journal("attendance_out.handed_over", data=data))
    [one] = await shown(lite)
    assert (one["party"], one["in_record"]) == ("plugin:powerschool", True)
    plugin = Ferpa(FerpaSettings(), vendor(lite, "ferpa"))
    assert any("no ground on file" in finding.problem for finding in (await plugin.health()).findings)


@pytest.mark.parametrize(
    ("categories", "begins", "ends", "covered"),
    [
        (["attendance"], -1, None, True),
        (["all"], -1, 1, True),
        (["roster"], -1, None, False),
        (["attendance"], 200, None, False),
        (["attendance"], -200, -100, False),
    ],
)
async def test_only_an_agreement_that_covers_attendance_that_day_is_the_ground_of_what_the_sis_is_sent(
    lite: Served, categories: list[str], begins: int, ends: int | None, *, covered: bool
) -> None:
    """FERPA 27 §99.31(a)(1)(i)(B): attendance for the SIS without such an agreement is in the record and counted."""
    values: dict[str, Any] = {**ENTRY, "recipient": "plugin:powerschool", "categories": categories}
    values["begins_on"] = TODAY + timedelta(days=begins)
    values["ends_on"] = None if ends is None else TODAY + timedelta(days=ends)
    store = lite.district.store
    await store.write(lambda tx: officials.add(tx, officials.Official(id="sis", **values)))
    data = {"plugin": "powerschool", "fields": ["status", "school_day"], "student_ids": ["ann"]}

    def sent(tx: Transaction) -> None:
        tx.insert(m.OutgoingQueue, connector="powerschool")
        tx.journal("attendance_out.handed_over", data=data)

    await store.write(sent)
    [one] = await shown(lite, everything=True)
    assert (one["in_record"], one["notice"]) == (not covered, covered)
    assert one["basis"] == ("99.31(a)(1)(i)(B):sis" if covered else ledger.UNRECORDED)
    found = str((await Ferpa(FerpaSettings(), vendor(lite, "ferpa")).health()).findings)
    assert ("no ground on file" in found) is not covered
    assert ("plugin:powerschool has ended. Attendance goes on to it" in found) is (ends == -100)


async def test_an_agreement_that_is_entered_or_ended_afterwards_changes_nothing_of_what_was_sent(lite: Served) -> None:
    """FERPA 27 §99.31(a)(1)(i)(B): what was on file when attendance went to the SIS is its ground."""
    data = {"plugin": "powerschool", "fields": ["status"], "student_ids": ["ann"]}
    values: dict[str, Any] = {**ENTRY, "recipient": "plugin:powerschool", "categories": ("attendance",)}
    one = officials.Official(id="sis", **values, begins_on=TODAY - timedelta(days=9))
    for unit in (
        lambda tx: tx.journal("attendance_out.handed_over", data=data),
        lambda tx: officials.add(tx, one),
        lambda tx: tx.journal("attendance_out.handed_over", data=data),
        lambda tx: officials.remove(tx, "sis", 1, by="admin"),
        lambda tx: tx.journal("attendance_out.handed_over", data=data),
    ):
        await lite.district.store.write(unit)
    assert [one["in_record"] for one in await shown(lite, everything=True)] == [True, False, True]


async def test_an_export_to_a_party_without_a_ground_is_entered_and_counted(lite: Served) -> None:
    """FERPA 37 §99.32(a)(1): an export is in everybody's record; one without a ground is shown to the office."""
    plugin = Ferpa(FerpaSettings(), vendor(lite, "ferpa"))

    async def told() -> list[str]:
        await shown(lite)
        found = [finding.problem for finding in (await plugin.health()).findings]
        return [problem for problem in found if "ground on file" in problem]

    await lite.district.store.write(exported)
    assert await told() == []  # the district's own copy
    await lite.district.store.write(lambda tx: exported(tx, party="State auditor", purpose="audit"))
    assert await told() == [
        "1 exports of the whole district in the last month went to a party without a ground on file."
    ]
    [one] = await shown(lite)
    assert (one["party"], one["whole_district"], one["in_record"]) == ("State auditor", True, True)


async def test_an_export_for_a_party_without_a_ground_is_refused_and_on_file_or_with_one_it_is_entered(
    lite: Served,
) -> None:
    """FERPA 21 §99.30(a): the whole district leaves for a party only on a ground on file, or on one that is stated."""
    store, host = lite.district.store, lite.district.host
    with pytest.raises(Refused, match="--ground"):
        await export_to(store, host, "party:auditor", purpose="audit")
    with pytest.raises(Refused, match="--ground"):
        await export_to(store, host, "web", purpose="audit")  # no plugin of ours: a party that is called so
    assert await shown(lite, everything=True) == []
    denied = "SELECT recipient FROM ferpa_audit WHERE kind = 'denied' AND action = 'data.exported' ORDER BY id"
    assert await store.read(lambda c: c.sql(denied)) == [("party:auditor",), ("web",)]

    await export_to(store, host, "State auditor", purpose="audit", ground="34 CFR 99.35, agreement of 2026")
    [stated] = await shown(lite)
    assert (stated["party"], stated["basis"]) == ("State auditor", "stated:34 CFR 99.35, agreement of 2026")
    for categories in (["attendance"], ["all"]):
        entry = {**ENTRY, "recipient": "party:auditor", "categories": categories}
        answer = await lite.post("~/compliance/officials", "admin", entry)
        assert answer.status_code == 201
        key = (await said(answer))["id"]
        if categories != ["all"]:
            with pytest.raises(Refused, match="for all records"):
                await export_to(store, host, "auditor", purpose="audit")
            await lite.call("DELETE", f"~/compliance/officials/{key}", by="admin", headers={"If-Match": '"1"'})
    await export_to(store, host, "party:auditor", purpose="audit")
    latest = (await shown(lite, everything=True))[0]
    assert (latest["party"], latest["basis"]) == ("party:auditor", f"99.31(a)(1)(i)(B):{key}")


def test_the_command_writes_nothing_for_a_party_without_a_ground(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FERPA 21 §99.30(a): a refused export says how to mend it and writes no file; the district's own is not asked."""
    with commands.installed(tmp_path, monkeypatch, '[plugins]\nenabled = ["ferpa"]\n'):
        assert run("db", "upgrade").exit_code == 0
        refused = run("db", "export", "out.zip", "--to", "party:auditor", "--purpose", "audit")
        assert (refused.exit_code, "--ground" in refused.output) == (1, True)
        assert not (tmp_path / "out.zip").exists()
        stated = ("--to", "party:auditor", "--purpose", "audit", "--ground", "34 CFR 99.35")
        assert run("db", "export", "out.zip", *stated).exit_code == 0
        assert run("db", "export", "own.zip").exit_code == 0
        assert run("db", "export", "third.zip", "--ground", "34 CFR 99.35").exit_code == 2


async def test_an_export_is_in_the_record_of_those_who_were_in_the_district_then(lite: Served) -> None:
    """FERPA 37 §99.32(a)(1): what left of the whole district is no disclosure of who came to it later."""
    now, store = now_utc(), lite.district.store
    for key, days in (("before", 2), ("after", 0)):
        entry = ledger.Entry(
            id=key,
            at=text_of(now - timedelta(days=days)),
            party="auditor",
            interest="audit",
            basis="x",
            whole_district=True,
        )
        await store.write(partial(ledger.enter, entry=entry))
    new = {"student_id": "new", "school_id": "north", "given_name": "Nia", "family_name": "New"}
    await store.write(lambda tx: people.create_student(tx, **new))
    assert [one["id"] for one in await shown(lite, "admin", "ann")] == ["after", "before"]
    assert [one["id"] for one in await shown(lite, "admin", "new")] == ["after"]
    assert await store.read(lambda c: [ledger.concerns(c, key, "new") for key in ("before", "after")]) == [False, True]
    whole = await store.read(lambda c: ledger.of_student(c, "new", everything=True))
    assert [one.id for one in whole] == ["after"]  # the file for the family, too


async def test_an_entry_has_party_and_interest(lite: Served) -> None:
    """FERPA 39 §99.32(a)(3): an entry names the party and the legitimate interest."""
    assert (await lite.post("~/compliance/officials", "admin", ENTRY)).status_code == 201
    await vendor(lite).roster.students(["ann"])
    await lite.post("~/compliance/disclosures", "admin", DISCLOSURE)
    found = {one["party"]: one["interest"] for one in await shown(lite, everything=True)}
    assert found == {"plugin:acme": ENTRY["service"], "party:college": DISCLOSURE["interest"]}
    for lacking in ("party", "interest"):
        body = {key: value for key, value in DISCLOSURE.items() if key != lacking}
        refused = await lite.post("~/compliance/disclosures", "admin", body)
        assert (await said(refused))["errors"][0]["field"] == lacking


async def test_redisclosures_are_obtained_on_request_and_listed(lite: Served) -> None:
    """FERPA 40 §99.32(a)(4),(b): redisclosure parties are listed; on request their record is obtained and shown."""
    await lite.post("~/compliance/disclosures", "admin", DISCLOSURE)
    [one] = await shown(lite)
    path = f"~/compliance/ledger/{one['id']}"
    assert (await lite.post(f"{path}/inquiries?student_id=cy", "guardian_cy")).status_code == 404
    assert (await lite.post(f"{path}/inquiries?student_id=ann", "guardian_ann")).status_code == 202
    [one] = await shown(lite)
    assert (one["inquired_at"] is not None, one["told_at"]) == (True, None)
    told = {"parties": [{"party": "Loan office", "interest": "a loan", "disclosed_on": TODAY.isoformat()}]}
    assert (await lite.post(f"{path}/redisclosures", "admin", told)).status_code == 204
    [one] = await shown(lite)
    assert one["redisclosures"] == told["parties"]
    assert one["told_at"] is not None


async def test_only_parent_eligible_student_custodian_and_auditor_see_the_record(lite: Served) -> None:
    """FERPA 41 §99.32(c): parent, eligible student, custodian and auditors inspect the record; nobody else."""
    path = "~/compliance/ledger?student_id=ann"
    for by, status in (
        ("guardian_ann", 200),
        ("teacher_parent", 200),
        ("admin", 200),
        ("admin_north", 200),
        ("ann", 403),  # a student whose rights have not passed
        ("teacher_a", 403),
        ("bob", 404),
        ("guardian_cy", 404),
        ("guardian_lost", 403),
        ("admin_south", 404),
    ):
        assert (await lite.get(path, by)).status_code == status, by
    await born(lite, "ann", years_ago(18))
    assert (await lite.get(path, "ann")).status_code == 200
    assert (await lite.get(path, "guardian_ann")).status_code == 403


async def test_what_the_section_does_not_ask_for_is_kept_and_marked(lite: Served) -> None:
    """FERPA 42 §99.32(d): parents, own officials, consent, directory: kept, "not part of the §99.32 record"."""
    assert (await lite.post("~/compliance/officials", "admin", ENTRY)).status_code == 201
    await vendor(lite).roster.students(["ann"])
    await consent(lite, "guardian_ann", party="party:college", purpose="application")
    await lite.post("~/compliance/disclosures", "admin", DISCLOSURE)
    await open_directory(lite)
    assert (await released(lite)).status_code == 200
    await lite.district.store.write(lambda tx: _sent(tx, "ann", "guardian_ann"))
    assert await shown(lite) == []
    found = {one["exempt"]: one["in_record"] for one in await shown(lite, everything=True)}
    assert found == dict.fromkeys(
        ("own school official", "party with consent", "directory information", "parent or eligible student"),
        False,
    )


async def test_the_notice_goes_with_every_file_and_disclosure(
    sqlite_store: Store, cipher: Cipher, tmp_path: Path
) -> None:
    """FERPA 43 §99.33(a),(d): a file that leaves carries the redisclosure notice."""
    del sqlite_store
    url = f"sqlite:///{tmp_path / 'homeroom.db'}"
    rows = export(url, cipher, tmp_path / "out")
    assert NOTICE_FILE not in rows
    assert (tmp_path / "out" / NOTICE_FILE).read_text(encoding="utf-8") == NOTICE
    assert "99.33" in NOTICE


async def test_directory_and_consented_disclosures_carry_the_notice_or_not(lite: Served) -> None:
    """FERPA 43 §99.33(a),(d): a disclosure to a party carries the notice; directory information does not."""
    await consent(lite, "guardian_ann", party="party:college", purpose="application")
    made = await said(await lite.post("~/compliance/disclosures", "admin", DISCLOSURE))
    assert made["notice"] == AccessSettings().notice
    await open_directory(lite)
    body = {**DISCLOSURE, "basis": "directory", "fields": ["name"], "party": "party:yearbook", "purpose": "printing"}
    made = await lite.post("~/compliance/disclosures", "admin", body)
    assert (made.status_code, (await said(made))["notice"]) == (201, None)
    answer = await released(lite)
    assert "Homeroom-Redisclosure-Notice" not in answer.headers


async def test_the_directory_is_closed_until_notice_and_opt_out_period(api: Served) -> None:
    """FERPA 44 §99.37(a): directory release is off until public notice and the opt-out period's end are recorded."""
    assert (await released(api)).status_code == 403
    await open_directory(api, notice_on=None, opt_out_until=None)
    assert (await released(api)).status_code == 403
    await open_directory(api, opt_out_until=TODAY.isoformat())
    assert (await released(api)).status_code == 403
    head = {"If-Match": '"2"'}
    body = {"items": ["name"], "opt_out_until": TODAY.isoformat()}
    refused = await api.post("~/compliance/directory", "admin", body, headers=head)
    assert (await said(refused))["errors"][0]["field"] == "opt_out_until"
    await open_directory(api)
    found = (await said(await released(api)))["items"]
    assert {one["id"] for one in found} == {"ann", "bob", "cy", "dan", "eve"}
    assert found[0]["name"] == "Ann Ann"
    assert found[0]["email"] is None
    assert Policy().refusal("x", "y", TODAY) is not None


async def test_an_opt_out_holds_at_once_and_after_the_student_has_left(api: Served) -> None:
    """FERPA 45 §99.37(a),(b): an opt-out removes the student from every directory output and outlives enrolment."""
    await open_directory(api)
    assert (await api.post("~/compliance/opt-outs", "guardian_cy", {"student_id": "ann"})).status_code == 404
    assert (await api.post("~/compliance/opt-outs", "ann", {"student_id": "ann"})).status_code == 403
    assert (await api.post("~/compliance/opt-outs", "guardian_ann", {"student_id": "ann"})).status_code == 201
    assert "ann" not in {one["id"] for one in (await said(await released(api)))["items"]}
    body = {**DISCLOSURE, "basis": "directory", "fields": ["name"]}
    assert (await api.post("~/compliance/disclosures", "admin", body)).status_code == 403
    store = api.district.store
    await store.write(lambda tx: tx.run(m.Enrollment.update(ended=True).where(m.Enrollment.user_id == "ann")))
    await store.write(lambda tx: tx.run(m.User.update(ended=True).where(m.User.id == "ann")))
    assert "ann" not in {one["id"] for one in (await said(await released(api)))["items"]}
    path, head = "~/compliance/opt-outs?student_id=ann", {"If-Match": '"1"'}
    assert (await api.call("DELETE", path, by="admin", headers=head)).status_code == 204
    assert "ann" in {one["id"] for one in (await said(await released(api)))["items"]}
    assert (await api.call("DELETE", path, by="admin", headers=head)).status_code == 412


async def test_an_opt_out_hides_nobody_from_the_own_class(lite: Served) -> None:
    """FERPA 46 §99.37(c): an opt-out does not hide name or id from the own class's roll."""
    before = await said(await lite.get("~/classes/algebra/roster", "teacher_a"))
    assert (await lite.post("~/compliance/opt-outs", "guardian_ann", {"student_id": "ann"})).status_code == 201
    after = await said(await lite.get("~/classes/algebra/roster", "teacher_a"))
    assert after == before
    assert "ann" in str(after)


async def test_a_limited_policy_names_parties_and_purposes(lite: Served) -> None:
    """FERPA 47 §99.37(d): a limited policy names parties and purposes; others are refused."""
    await open_directory(lite, parties=["yearbook"], purposes=["printing"])
    assert (await released(lite)).status_code == 200
    assert (await released(lite, "recruiter")).status_code == 403
    assert (await released(lite, "yearbook", "advertising")).status_code == 403


async def test_no_social_security_number_is_asked_for(lite: Served) -> None:
    """FERPA 48 §99.37(e): an SSN is never used to confirm identity; a request that sends one is refused."""
    await open_directory(lite)
    body = {"party": "yearbook", "purpose": "printing", "ssn": "123-45-6789"}
    refused = await lite.post("~/compliance/directory/releases", "admin", body)
    assert (refused.status_code, (await said(refused))["errors"][0]["field"]) == (422, "ssn")
    assert "123-45" not in await refused.get_data(as_text=True)


async def test_a_hand_out_under_consent_is_entered_with_the_consent(lite: Served) -> None:
    """FERPA 23 §99.30(c): what a plugin was handed under a consent is found under that consent."""
    body = {"party": "plugin:acme", "records": ["roster"], "text": "Acme may have my child's name for labels."}
    given = await said(await consent(lite, "guardian_ann", **body))
    await vendor(lite).roster.students(["ann"])
    [one] = await shown(lite, everything=True)
    assert (one["consent_id"], one["exempt"]) == (given["id"], "party with consent")
    path = f"~/compliance/consents/{given['id']}/disclosures?student_id=ann"
    assert len((await said(await lite.get(path, "guardian_ann")))["items"]) == 1


async def grown(api: Served, ground: str) -> Any:
    """Ann is 19, and her mother may see her records on this ground: the consent or the exception."""
    await born(api, "ann", years_ago(19))
    if ground == "consent":
        answer = await consent(api, "ann", records=["all"])
        assert answer.status_code == 201
        return await said(answer)
    body = {"kind": ground, "student_id": "ann", "parties": ["guardian_ann"], "document": "Tax return 2025, seen"}
    body |= {"threat": "Ann is missing since Monday"} if ground == "emergency" else {}
    answer = await api.post("~/compliance/exceptions", "admin", body)
    assert answer.status_code == 201
    return (await said(answer))["items"][0]


async def test_what_a_parent_sees_by_the_adult_students_consent_is_found_under_it(api: Served) -> None:
    """FERPA 23 §99.30(c): what the parent of an adult was shown under a consent is found under that consent."""
    assert (await api.get("~/students/ann/attendance", "guardian_ann")).status_code == 200
    assert await shown(api, "admin", everything=True) == []  # while the rights are the parent's
    given = await grown(api, "consent")
    assert (await api.get("~/students/ann/attendance", "guardian_ann")).status_code == 200
    path = f"~/compliance/consents/{given['id']}/disclosures?student_id=ann"
    [one] = (await said(await api.get(path, "ann")))["items"]
    assert (one["party"], one["basis"]) == ("person:guardian_ann", f"99.30:{given['id']}")
    assert (one["exempt"], one["in_record"], one["notice"]) == ("party with consent", False, False)
    assert "status" in one["fields"]


@pytest.mark.parametrize(
    ("ground", "basis"), [("dependent", "99.31(a)(8)"), ("emergency", "99.31(a)(10)"), ("consent", "99.30")]
)
async def test_what_a_parent_sees_of_an_adult_on_an_exception_is_in_the_record(
    lite: Served, ground: str, basis: str
) -> None:
    """FERPA 42 §99.32(d): a dependent's or endangered adult's parent is none of those whom the record leaves out."""
    await lite.district.store.write(
        lambda tx: tx.insert(m.Guardianship, guardian_id="guardian_ann", student_id="bob", changed_at=tx.now)
    )
    entered = await grown(lite, ground)
    for path in ("students/ann", "attendance/"):
        before = {one["id"] for one in await shown(lite, "ann", everything=True)}
        answer = await lite.get(f"~/{path}", "guardian_ann")
        assert (answer.status_code, "bob" in str(await said(answer))) == (200, path == "attendance/")
        [one] = [one for one in await shown(lite, "ann", everything=True) if one["id"] not in before]
        assert (one["party"], one["basis"]) == ("person:guardian_ann", f"{basis}:{entered['id']}")
        assert one["in_record"] is (ground != "consent")
        assert one["threat"] == ("Ann is missing since Monday" if ground == "emergency" else None)
    assert await shown(lite, "admin", "bob", everything=True) == []  # of whom the mother still holds the rights


@pytest.mark.parametrize(
    ("ground", "basis", "exempt"),
    [
        ("dependent", "99.31(a)(8)", None),
        ("consent", "99.30", "party with consent"),
        ("postsecondary", ledger.UNRECORDED, None),
    ],
)
async def test_a_message_to_an_adults_parent_is_entered_with_the_ground_on_file(
    lite: Served, ground: str, basis: str, exempt: str | None
) -> None:
    """FERPA 42 §99.32(d): a message to a parent whose rights have passed is entered with what it rests on."""
    entered: Any = {"id": None}
    if ground == "consent":
        await born(lite, "ann", years_ago(19))
        entered = await said(await consent(lite, "ann", records=["messages"], purpose="attendance"))
    elif ground == "dependent":
        entered = await grown(lite, ground)
    else:
        await born(lite, "ann", years_ago(19))
    await lite.district.store.write(lambda tx: _sent(tx, "ann", "guardian_ann"))
    [one] = await shown(lite, "ann", everything=True)
    assert one["basis"] == (f"{basis}:{entered['id']}" if entered["id"] else basis)
    assert (one["exempt"], one["in_record"]) == (exempt, exempt is None)
    assert one["consent_id"] == (entered["id"] if ground == "consent" else None)


async def test_a_board_of_an_api_key_is_in_the_record_before_the_first_mark(sqlite_url: str) -> None:
    """FERPA 37 §99.32(a)(1): what a board will show to an API key is entered when it is opened, with its ground."""
    async with lawful(sqlite_url) as server:
        store = server.district.store
        await store.write(lambda tx: tx.write_sql("DELETE FROM attendance_records"))
        entry = "SELECT party, kind, interest, basis, exempt, notice FROM ferpa_ledger"
        whose = "SELECT student_id FROM ferpa_ledger_students ORDER BY student_id"
        ground = f"{decisions.VENDOR}:official-1"
        told = [("key:key-1", "disclosure", "class.watch", ground, ledger.OWN, 1)]
        async with server.board("algebra", await official_key(server)) as board:
            assert (await heard(board))["marks"] == []
            assert await store.read(lambda c: c.sql(entry)) == told
            assert await store.read(lambda c: c.sql(whose)) == [("ann",)]
            audited = "SELECT actor, student_ids, basis FROM ferpa_audit WHERE action = 'class.watch'"
            assert await store.read(lambda c: c.sql(audited)) == [("key-1", '["ann"]', ground)]
            await store.write(mark("algebra", "ann"))
            assert (await heard(board))["name"] == "Ann Ann"
            assert await store.read(lambda c: c.sql(entry)) == told
            await store.write(mark("algebra", "dan"))  # who sits there no more
            assert (await heard(board))["name"] == "Dan Dan"
            assert await store.read(lambda c: c.sql(entry)) == told * 2
            assert await store.read(lambda c: c.sql(whose)) == [("ann",), ("dan",)]
        assert await Access(vendor(server, "ferpa"), AccessSettings()).findings() == ()


def test_an_entry_told_twice_is_one(sqlite_store: Store) -> None:
    """FERPA 37 §99.32(a)(1): an event that comes twice makes one entry."""
    migrate.upgrade(sqlite_store.url, {"ferpa": Path(homeroom_ferpa.__path__[0]) / "migrations"})
    data = {"plugin": "acme", "fields": ["given_name"], "student_ids": [f"s{n}" for n in range(1000)]}
    event = Event(id=7, at=testing.FakeClock().now(), kind="data.handed_out", data=data)
    for _ in range(2):
        sqlite_store.write_now(lambda tx: ledger.take(tx, [event], INSIDE))
    assert sqlite_store.read_now(lambda c: c.sql("SELECT count(*) FROM ferpa_ledger")) == [(1,)]
    assert sqlite_store.read_now(lambda c: c.sql("SELECT count(*) FROM ferpa_ledger_students")) == [(1000,)]


def test_the_register_takes_nobody_twice(sqlite_store: Store) -> None:
    """FERPA 27 §99.31(a)(1)(i)(B): of two entries for one recipient the second is refused."""
    migrate.upgrade(sqlite_store.url, {"ferpa": Path(homeroom_ferpa.__path__[0]) / "migrations"})
    values: dict[str, Any] = {**ENTRY, "categories": ("roster",), "begins_on": TODAY}
    one, two = (officials.Official(id=key, **values) for key in ("one", "two"))
    sqlite_store.write_now(lambda tx: officials.add(tx, one))
    with pytest.raises(Refused, match="on file already"):
        sqlite_store.write_now(lambda tx: officials.add(tx, two))


async def events(api: Served) -> list[Event]:
    return await api.district.store.read(lambda c: events_after(c, 0, 500))


def _sent(tx: Any, student: str, guardian: str) -> None:
    tx.insert(
        m.Notification,
        id="note-1",
        key="key-1",
        rule_id="rule",
        rule_version=1,
        kind="absence",
        purpose="attendance",
        school_id="north",
        student_id=student,
        recipient_id=guardian,
        audience="guardian",
        language="en",
        plugin="acme",
        due_at=tx.now,
        expires_at=tx.now,
        created_at=tx.now,
        changed_at=tx.now,
    )
    tx.journal("notification.accepted", student_id=student, subject_id="note-1", data={"channel": "sms"})


async def test_who_looks_whether_a_student_is_listed_is_entered(lite: Served) -> None:
    for by in ("guardian_ann", "admin_north"):
        assert (await lite.get("~/compliance/opt-outs?student_id=ann", by)).status_code == 200
    query = "SELECT actor, student_ids, fields FROM ferpa_audit ORDER BY id"
    told = await lite.district.store.read(lambda c: c.sql(query))
    assert told == [(by, '["ann"]', '["opt_out"]') for by in ("guardian_ann", "admin_north")]
