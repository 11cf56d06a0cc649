"""FERPA on access and fields: who may see whose records, and what every stored field is."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.datastructures import Headers

import homeroom
from homeroom import AccessRequest, Refused, RoleAt
from homeroom.doors import STUDENT_FIELDS
from homeroom.gate import NOTICE_HEADER
from homeroom.host.discovery import CannotLoad
from homeroom.host.plugin import scopes_of
from homeroom.store import models as m
from homeroom.testing import FakeClock
from homeroom.types import Identity
from homeroom_ferpa.access import decisions, facts, standings
from homeroom_ferpa.access.catalogue import CATALOGUE, FieldClass, unclassed
from homeroom_ferpa.access.directory import ITEMS
from homeroom_ferpa.access.part import Access
from homeroom_ferpa.access.settings import AccessSettings
from tests.services import world
from tests.services.lawful import (
    ENTRY,
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
from tests.services.served import Served, served
from tests.services.server import heard
from tests.services.waiting import until


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


def test_a_plugin_that_asks_for_a_body_is_not_loaded() -> None:
    """FERPA 1 §99.3: biometric records are not stored, and a plugin that asks for them is refused."""
    for scope in ("student.face", "proof.fingerprint", "proof.face_template", "student.iris", "proof.voiceprint"):
        plugin = type("Scanner", (), {"hook_api": 1, "scopes": frozenset({scope})})
        with pytest.raises(CannotLoad, match="biometric"):
            scopes_of(plugin)
    harmless = type("Codes", (), {"hook_api": 1, "scopes": frozenset({"proof.code", "student.given_name"})})
    assert scopes_of(harmless) == {"proof.code", "student.given_name"}
    bodily = ("biometr", "face", "finger", "iris", "retina", "voice", "dna")
    assert [name for name in CATALOGUE if any(word in name.partition(".")[2].split("_") for word in bodily)] == []


async def test_directory_information_never_holds_a_social_security_number(lite: Served) -> None:
    """FERPA 2 §99.3: the directory set is the district's own, without SSN; a student id only if it opens nothing."""
    assert not [item for item in ITEMS if "ssn" in item or "social" in item]
    head = {"If-Match": '"0"'}
    for item in ("ssn", "social_security_number"):
        refused = await lite.post("~/compliance/directory", "admin", {"items": ["name", item]}, headers=head)
        assert refused.status_code == 422
        assert (await said(refused))["errors"][0]["field"].startswith("items")
    refused = await lite.post("~/compliance/directory", "admin", {"items": ["student_id"]}, headers=head)
    assert (refused.status_code, (await said(refused))["errors"][0]["field"]) == (422, "items")
    body = {"items": ["name", "student_id"], "student_id_opens_nothing": True}
    kept = await lite.post("~/compliance/directory", "admin", body, headers=head)
    assert (await said(kept))["items"] == ["name", "student_id"]


def core_columns() -> set[str]:
    return {f"{one._meta.table_name}.{field.column_name}" for one in m.TABLES for field in one._meta.sorted_fields}


def test_every_stored_field_is_classed_and_what_identifies_is_personal() -> None:
    """FERPA 3 §99.3: names, parents' names, addresses, ids and birth dates are PII; an unclassed field fails."""
    assert unclassed(core_columns()) == []
    assert [name for name in CATALOGUE if not name.startswith("ferpa_") and name not in core_columns()] == []
    assert unclassed({"users.shoe_size"}) == ["users.shoe_size"]
    personal = {name for name, one in CATALOGUE.items() if one.is_personal}
    assert {"users.given_name", "users.family_name", "users.sort_name", "users.identifier"} <= personal
    assert {"users.birth_date", "users.grades", "users.username", "contacts.value", "users.sourced_id"} <= personal
    assert {"attendance_records.status", "attendance_records.note", "absence_reports.reason"} <= personal
    assert CATALOGUE["person_keys.sealed_key"] is FieldClass.SECRET
    assert "email" in STUDENT_FIELDS


async def test_every_field_of_the_plugin_itself_is_classed(lite: Served) -> None:
    """FERPA 3 §99.3: the plugin's own tables are in the catalogue like every other."""

    def columns(connection: homeroom.Connection) -> set[str]:
        names = connection.sql(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'ferpa\\_%' ESCAPE '\\'"
        )
        return {f"{name}.{row[1]}" for (name,) in names for row in connection.sql(f"PRAGMA table_info({name})")}

    found = await lite.district.store.read(columns)
    assert "ferpa_consents.text" in found
    assert unclassed(found) == []


async def test_either_parent_has_every_right_until_an_order_is_on_file(api: Served) -> None:
    """FERPA 4 §99.4: either parent has full rights; an order blocks that parent at once, and the reason is kept."""
    for parent in ("guardian_ann", "teacher_parent"):
        assert (await api.get("~/students/ann", parent)).status_code == 200
    kept = await order(api)
    refused = await api.get("~/students/ann", "guardian_ann")
    assert refused.status_code == 403
    assert "court order" in (await said(refused))["detail"]
    assert (await api.get("~/students/ann", "teacher_parent")).status_code == 200
    listed = await said(await api.get("~/compliance/orders?student_id=ann", "admin_north"))
    assert listed["items"][0]["document"] == "Family court 12-3456, in the vault"
    lifted = await api.call(
        "DELETE", f"~/compliance/orders/{kept['id']}?student_id=ann", by="admin", headers={"If-Match": '"1"'}
    )
    assert lifted.status_code == 204
    assert (await api.get("~/students/ann", "guardian_ann")).status_code == 200


async def test_an_order_that_has_run_out_gives_way_to_a_new_one(api: Served) -> None:
    """FERPA 4 §99.4: an order that holds no more keeps no new one off the file; one that is yet to hold says when."""
    body = {"student_id": "ann", "guardian_id": "guardian_ann", "document": "Family court 12-3456, in the vault"}
    days = {"begins_on": world.YESTERDAY.isoformat(), "ends_on": world.TODAY.isoformat()}
    old = await said(await api.post("~/compliance/orders", "admin", body | days))
    assert (await api.get("~/students/ann", "guardian_ann")).status_code == 200
    new = await order(api)
    assert (await api.get("~/students/ann", "guardian_ann")).status_code == 403
    listed = (await said(await api.get("~/compliance/orders?student_id=ann", "admin")))["items"]
    assert {one["id"]: (one["ended_at"] is None, one["version"]) for one in listed} == {
        old["id"]: (False, 2),
        new["id"]: (True, 1),
    }
    query = "SELECT data FROM journal WHERE kind = 'compliance.order_ended'"
    [(told,)] = await api.district.store.read(lambda c: c.sql(query))
    assert old["id"] in str(told)

    tomorrow = world.TOMORROW.isoformat()
    body["guardian_id"] = "teacher_parent"
    assert (await api.post("~/compliance/orders", "admin", {**body, "begins_on": tomorrow})).status_code == 201
    refused = await api.post("~/compliance/orders", "admin", body)
    assert refused.status_code == 409
    assert tomorrow in (await said(refused))["detail"]


async def test_an_order_also_empties_lists(lite: Served) -> None:
    """FERPA 4 §99.4: what names no student, a list, leaves the child out from the moment the order is on file."""

    async def seen() -> list[list[str]]:
        found = []
        for path, name in (
            ("~/students/search?q=ann", "id"),
            ("~/sessions/session_algebra/attendance", "student_id"),
            ("~/attendance/", "student_id"),
            ("~/absence-reports", "student_id"),
        ):
            answer = await lite.get(path, "guardian_ann")
            assert answer.status_code == 200, path
            found.append([one[name] for one in (await said(answer))["items"]])
        return found

    assert await seen() == [["ann"]] * 4
    await order(lite)
    assert await seen() == [[]] * 4


async def test_rights_pass_to_the_student_on_the_eighteenth_birthday(api: Served) -> None:
    """FERPA 5 §99.5(a): on the 18th birthday a parent's access is 403 and the student holds the rights."""
    await born(api, "ann", years_ago(17, days=200))
    assert (await api.get("~/students/ann", "guardian_ann")).status_code == 200
    assert (await consent(api, "ann", party="party:college")).status_code == 422
    await born(api, "ann", years_ago(18, days=1))
    refused = await api.get("~/students/ann", "guardian_ann")
    assert refused.status_code == 403
    assert "passed to the student" in (await said(refused))["detail"]
    assert (await api.get("~/students/ann", "ann")).status_code == 200
    assert (await consent(api, "ann", party="party:college")).status_code == 201
    denied = await consent(api, "guardian_ann", party="party:college")
    assert denied.status_code == 403


def test_the_birthday_is_the_districts_and_the_leap_day_is_kept_on_the_first_of_march() -> None:
    """FERPA 5 §99.5(a): the switch happens on the district's local date."""
    assert not facts.is_adult("2008-03-01", date(2026, 2, 28))
    assert facts.is_adult("2008-03-01", date(2026, 3, 1))
    assert not facts.is_adult("2008-02-29", date(2026, 2, 28))
    assert facts.is_adult("2008-02-29", date(2026, 3, 1))
    assert not facts.is_adult(None, date(2026, 3, 1))
    moment = datetime(2026, 9, 2, 3, 0, tzinfo=ZoneInfo("UTC"))
    clock = FakeClock(moment)
    there = homeroom.testing.services(clock=clock, time_zone="America/Denver")
    assert there.today() == date(2026, 9, 1)
    assert homeroom.testing.services(clock=clock, time_zone="UTC").today() == date(2026, 9, 2)


async def test_postsecondary_enrolment_passes_the_rights_before_the_birthday(lite: Served) -> None:
    """FERPA 5 §99.5(a): recorded postsecondary enrolment passes the rights at any age."""
    await born(lite, "ann", years_ago(16))
    body = {"kind": "postsecondary", "student_id": "ann", "document": "Letter of the community college"}
    assert (await lite.post("~/compliance/exceptions", "admin", body)).status_code == 201
    assert (await lite.get("~/students/ann", "guardian_ann")).status_code == 403
    assert (await lite.get("~/students/ann", "ann")).status_code == 200


async def test_a_district_may_switch_the_age_off(sqlite_url: str) -> None:
    """FERPA 5 §99.5(a): adult_rights is the district's setting."""
    sections = {"ferpa": {"access": {"adult_rights": False}}}
    async with served(sqlite_url, enabled=("ferpa",), sections=sections) as api:
        await born(api, "ann", years_ago(19))
        assert (await api.get("~/students/ann", "guardian_ann")).status_code == 200


@pytest.mark.parametrize("kind", ["dependent", "emergency"])
async def test_after_the_transfer_a_recorded_exception_opens_the_records(lite: Served, kind: str) -> None:
    """FERPA 6 §99.5(a)(2): a parent of an adult sees records only with consent or a recorded exception."""
    await born(lite, "ann", years_ago(19))
    body = {"kind": kind, "student_id": "ann", "parties": ["guardian_ann"], "document": "Tax return 2025, seen"}
    body |= {"threat": "Ann is missing since Monday"} if kind == "emergency" else {}
    kept = await said(await lite.post("~/compliance/exceptions", "admin", body))
    assert (await lite.get("~/students/ann", "guardian_ann")).status_code == 200
    assert (await lite.get("~/students/ann", "teacher_parent")).status_code == 403
    [one] = kept["items"]
    head = {"If-Match": '"1"'}
    path = f"~/compliance/exceptions/{one['id']}?student_id=ann"
    assert (await lite.call("DELETE", path, by="admin", headers=head)).status_code == 204
    assert (await lite.get("~/students/ann", "guardian_ann")).status_code == 403


async def test_after_the_transfer_the_students_consent_opens_what_it_names(lite: Served) -> None:
    """FERPA 6 §99.5(a)(2): the student's consent opens the records it names to the parent, and no others."""
    await born(lite, "ann", years_ago(18))
    assert (await consent(lite, "ann")).status_code == 201
    assert (await lite.get("~/students/ann/attendance", "guardian_ann")).status_code == 200
    assert (await lite.get("~/students/ann", "guardian_ann")).status_code == 403


@pytest.mark.parametrize("early", [False, True])
async def test_a_parents_own_consent_ends_with_the_parents_rights(
    lite: Served,
    early: bool,  # noqa: FBT001 - a parameter
) -> None:
    """FERPA 6 and 21 §99.5(a)(1),(2): the consent required is the student's; what a parent signed counts no more."""
    await born(lite, "ann", years_ago(17, days=100))
    for party, text in (("person:guardian_ann", "I may see it for ever."), ("plugin:acme", "Acme may have the name.")):
        given = await consent(lite, "guardian_ann", party=party, records=["all"], text=text)
        assert given.status_code == 201
    college = {"party": "party:college", "purpose": "application", "records": ["attendance"]}
    assert (await consent(lite, "guardian_ann", **college)).status_code == 201
    body = {**college, "student_ids": ["ann"], "interest": "an application", "fields": ["status"]}
    assert (await lite.post("~/compliance/disclosures", "admin", body)).status_code == 201
    assert len(await vendor(lite).roster.students(["ann"])) == 1

    if early:
        passed = {"kind": "postsecondary", "student_id": "ann", "document": "Letter of the community college"}
        assert (await lite.post("~/compliance/exceptions", "admin", passed)).status_code == 201
    else:
        await born(lite, "ann", years_ago(18))
    assert (await lite.get("~/students/ann", "guardian_ann")).status_code == 403
    assert (await lite.post("~/compliance/disclosures", "admin", body)).status_code == 403
    with pytest.raises(Refused):
        await vendor(lite).roster.students(["ann"])

    own = await consent(lite, "ann", party="plugin:acme", records=["roster"], text="Acme may have my name, I say.")
    assert own.status_code == 201
    assert len(await vendor(lite).roster.students(["ann"])) == 1


async def test_a_disclosure_without_a_ground_fails_closed(lite: Served) -> None:
    """FERPA 21 §99.30(a): without consent or a listed exception a disclosure call is refused, and that is on record."""
    body = {
        "student_ids": ["ann"],
        "party": "party:newspaper",
        "interest": "a story on attendance",
        "purpose": "news",
        "records": ["attendance"],
        "fields": ["status"],
    }
    refused = await lite.post("~/compliance/disclosures", "admin", body)
    assert refused.status_code == 403
    for basis in ("consent", "official", "directory"):
        again = await lite.post("~/compliance/disclosures", "admin", {**body, "basis": basis})
        assert again.status_code == 403
    shown = await said(await lite.get("~/compliance/ledger?student_id=ann", "guardian_ann"))
    assert {one["kind"] for one in shown["items"]} == {"request"}
    assert len(shown["items"]) == 4


async def test_an_unknown_purpose_or_recipient_is_denied(lite: Served) -> None:
    """FERPA 21 §99.30(a): an unknown purpose, recipient or nobody at all is denied by default."""
    access = part(lite)
    teacher = world.identity("teacher_a")
    asked = AccessRequest(action="student.read", identity=teacher, student_ids=frozenset({"ann"}))
    assert (await access.authorize(asked)).allow
    for changed in (
        dataclasses.replace(asked, purpose="curiosity"),
        dataclasses.replace(asked, identity=None),
        dataclasses.replace(asked, recipient="nobody_knows", action="data.handed_out"),
    ):
        decision = await access.authorize(changed)
        assert not decision.allow
        assert decision.reason
        assert decision.basis


@pytest.mark.parametrize("teacher", ["teacher_b", "teacher_c", "teacher_gone"])
async def test_a_teacher_reads_only_the_own_classes(lite: Served, teacher: str) -> None:
    """FERPA 26 §99.31(a)(1)(i)(A): a teacher reads students in own current classes, others give 404/403 and a row."""
    assert (await lite.get("~/students/ann", "teacher_a")).status_code == 200
    refused = await lite.get("~/students/ann", teacher)
    assert refused.status_code in (403, 404)
    assert "Ann" not in await refused.get_data(as_text=True)
    query = "SELECT kind, action, student_ids, reason FROM ferpa_audit WHERE actor = ?"
    [(kind, action, students, reason)] = await lite.district.store.read(lambda c: c.sql(query, (teacher,)))
    assert (kind, action) == ("denied", "student.read")
    assert "ann" in students
    assert reason in ("not-found", "right-ended")


async def test_a_denial_by_the_cores_own_rule_is_told_to_audit(lite: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """FERPA 26 §99.31(a)(1)(i)(A): every denial, also by the core's rule, reaches the audit log with its reason."""
    told: list[tuple[Any, Any]] = []
    before = lite.district.host.ask_all

    async def listening(hook: str, **arguments: Any) -> Any:
        if hook == "audit":
            told.append((arguments["request"], arguments["outcome"]))
        return await before(hook, **arguments)

    monkeypatch.setattr(lite.district.host, "ask_all", listening)
    await lite.get("~/students/ann", "teacher_b")
    await born(lite, "ann", years_ago(20))
    await lite.get("~/students/ann", "guardian_ann")
    (asked, core), (_, law) = told
    assert asked.identity.subject == "teacher_b"
    assert (core.allowed, core.student_ids, core.reason) == (False, {"ann"}, "not-found")
    assert (law.allowed, law.basis) == (False, "99.5(a)")
    assert "passed to the student" in law.reason


async def test_a_vendor_is_a_school_official_only_with_everything_on_file(api: Served) -> None:
    """FERPA 27 §99.31(a)(1)(i)(B): service, direct control, redisclosure limit and agreement, or nothing."""
    door = vendor(api).roster
    with pytest.raises(Refused, match="not on file as a school official"):
        await door.students(["ann"])
    entry = ENTRY
    for missing in entry:
        refused = await api.post("~/compliance/officials", "admin", {k: v for k, v in entry.items() if k != missing})
        assert (refused.status_code, (await said(refused))["errors"][0]["field"]) == (422, missing)
    kept = await said(await api.post("~/compliance/officials", "admin", entry))
    [ann] = await door.students(["ann"])
    assert ann.given_name == "Ann"
    with pytest.raises(Refused):  # its agreement is for the roster
        await vendor(api).attendance.marks(student_ids=["ann"])
    assert (await api.post("~/compliance/officials", "admin", entry)).status_code == 409
    path = f"~/compliance/officials/{kept['id']}"
    assert (await api.call("DELETE", path, by="admin", headers={"If-Match": '"1"'})).status_code == 204
    with pytest.raises(Refused):
        await door.students(["ann"])


async def test_a_vendor_with_every_familys_consent_is_handed_what_it_names(lite: Served) -> None:
    """FERPA 27 §99.31(a)(1)(i)(B): a vendor that is no official needs the consent of every family."""
    body = {"party": "plugin:acme", "records": ["roster"], "text": "Acme may have my child's name for labels."}
    assert (await consent(lite, "guardian_ann", **body)).status_code == 201
    [ann] = await vendor(lite).roster.students(["ann"])
    assert ann.family_name == "Ann"
    with pytest.raises(Refused):
        await vendor(lite).roster.students(["ann", "bob"])


async def described(api: Served) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation that needs a sign-in, as the server itself describes it: the method, the path and the rest."""
    found = await said(await api.get("/openapi.json"))
    return [
        (method.upper(), path, told)
        for path, methods in found["paths"].items()
        for method, told in methods.items()
        if told["security"]
    ]


async def reads_of(api: Served, student: str) -> list[str]:
    """Every address under which something of one student can be read; ids of other things are made up."""
    found = []
    for method, path, told in await described(api):
        named = {one["name"] for one in told["parameters"]}
        if method == "GET" and "student_id" in named:
            query = "" if "{student_id}" in path else f"?student_id={student}"
            found.append(re.sub(r"{(\w+)}", lambda name: student if name[1] == "student_id" else "x", path) + query)
    return found


async def test_no_role_gets_a_personal_field_of_a_foreign_student(lite: Served) -> None:
    """FERPA 28 §99.31(a)(1)(ii): for every role, endpoint and foreign student: no personal field comes back."""
    foreign = {
        "teacher_b": ("ann", "cy"),
        "teacher_c": ("ann", "bob"),
        "guardian_ann": ("bob", "cy"),
        "guardian_lost": ("ann",),
        "ann": ("bob", "cy"),
        "admin_south": ("ann", "bob"),
        "nobody": ("ann",),
    }
    paths = (
        *("~/students/{0}", "~/students/{0}/attendance", "~/students/{0}/attendance/days", "~/students/{0}/guardians"),
        *("~/students/{0}/absence-reports", "~/attendance/stats?student_id={0}", "~/attendance/record_{0}"),
        *("~/attendance/record_{0}/history", "~/attendance/?student_id={0}", "~/students/search?q={0}"),
        *("~/compliance/ledger?student_id={0}", "~/compliance/consents?student_id={0}"),
        *("~/compliance/orders?student_id={0}", "~/compliance/exceptions?student_id={0}"),
        "~/compliance/opt-outs?student_id={0}",
    )
    for path in paths:
        assert (await lite.get(path.format("ann"), "admin")).status_code == 200, path
    assert len(await reads_of(lite, "ann")) > 20
    for user, students in foreign.items():
        for student in students:
            for path in (*(one.format(student) for one in paths), *await reads_of(lite, student)):
                answer = await lite.get(path, user)
                text = await answer.get_data(as_text=True)
                assert answer.status_code in (403, 404) or '"items":[]' in text, (user, path, student)
                assert student.title() not in text, (user, path, student)


async def test_who_receives_anything_was_authenticated_first(lite: Served) -> None:
    """FERPA 36 §99.31(c): parent, student, official and system are authenticated before release, on every route."""
    operations = await described(lite)
    assert len(operations) > 100
    for method, path, _ in operations:
        address = re.sub(r"{\w+}", "1", path)
        for headers in ({}, {"Authorization": "Bearer hrk_nobody"}, {"Authorization": "Bearer a.b.c"}):
            assert (await lite.call(method, address, headers=headers)).status_code == 401, (method, path)
    paths = ("~/students/ann", "~/compliance/ledger?student_id=ann", "~/compliance/directory", "~/classes/algebra")
    for path in paths:
        assert (await lite.get(path)).status_code == 401
        assert (await lite.get(path, headers={"Authorization": "Bearer hrk_nobody"})).status_code == 401
    assert (await lite.post("~/compliance/consents", None, {})).status_code in (401, 422)


async def test_two_custodians_who_decide_at_once_are_told(lite: Served) -> None:
    """FERPA 4 §99.4: of two custodians who decide at once the second is refused, which is kept."""
    kept = await order(lite)
    body = {"student_id": "ann", "guardian_id": "guardian_ann", "document": "The same order again"}
    assert (await lite.post("~/compliance/orders", "admin", body)).status_code == 409
    path, head = f"~/compliance/orders/{kept['id']}?student_id=ann", {"If-Match": '"1"'}
    assert (await lite.call("DELETE", path, by="admin")).status_code == 428
    assert (await lite.call("DELETE", path, by="admin", headers=head)).status_code == 204
    assert (await lite.call("DELETE", path, by="admin", headers=head)).status_code == 412
    one = await lite.post("~/compliance/directory", "admin", {"items": ["name"]}, headers={"If-Match": '"0"'})
    two = await lite.post("~/compliance/directory", "admin", {"items": []}, headers={"If-Match": '"0"'})
    assert (one.status_code, two.status_code) == (200, 412)
    query = "SELECT student_id, subject_id, data FROM journal WHERE kind = 'compliance.refused' ORDER BY id"
    told = await lite.district.store.read(lambda c: c.sql(query))
    assert [(student, subject, json.loads(data)["problem"]) for student, subject, data in told] == [
        ("ann", None, "already-on-file"),
        ("ann", kept["id"], "changed-meanwhile"),
        (None, None, "changed-meanwhile"),
    ]


async def test_a_plugin_that_answers_authorize_finds_the_doors_shut(lite: Served) -> None:
    """FERPA 21 §99.30(a): a door asked for from within a decision is shut, so no decision can go round in circles."""
    from homeroom import gate

    before = gate._ASKING.set(True)
    try:
        with pytest.raises(Refused, match="while it answers"):
            await vendor(lite, "ferpa").roster.students(["ann"])
    finally:
        gate._ASKING.reset(before)
    [ann] = await vendor(lite, "ferpa").roster.students(["ann"])
    assert ann.id == "ann"


async def test_an_api_key_is_a_party_and_its_answers_carry_the_notice(lite: Served) -> None:
    """FERPA 43 §99.33(a): what an integrator's key reads carries the notice, a family's answer does not."""
    key = await new_key(lite)
    head = {"Authorization": f"Bearer {key}"}
    refused = await lite.get("~/students/ann", headers=head)
    assert refused.status_code == 403
    entry = {**ENTRY, "recipient": "key:key-1"}
    assert (await lite.post("~/compliance/officials", "admin", entry)).status_code == 201
    answer = await lite.get("~/students/ann", headers=head)
    assert answer.status_code == 200
    assert "99.33" in answer.headers["Homeroom-Redisclosure-Notice"]
    assert "Homeroom-Redisclosure-Notice" not in (await lite.get("~/students/ann", "guardian_ann")).headers
    shown = await said(await lite.get("~/compliance/ledger?student_id=ann&everything=true", "guardian_ann"))
    one, before = shown["items"]
    assert (one["party"], one["in_record"], one["exempt"]) == ("key:key-1", False, "own school official")
    assert (before["kind"], before["in_record"]) == ("request", True)


async def test_a_board_carries_the_notice_to_an_api_key_also_where_it_goes_on(sqlite_url: str) -> None:
    """FERPA 43 §99.33(a): the handshake of an integrator's board carries the notice, that of the school's own none."""
    async with lawful(sqlite_url) as server:
        key = await official_key(server)
        async with server.board("algebra", key) as board:
            cursor = (await heard(board))["cursor"]
            assert "99.33" in headers_of(board)[NOTICE_HEADER]
        async with server.board("algebra", key, after=cursor) as board:
            assert "99.33" in headers_of(board)[NOTICE_HEADER]
        for user in ("teacher_a", "guardian_ann", "ann"):
            async with server.board("algebra", await server.token(user)) as board:
                await heard(board)
                assert NOTICE_HEADER not in headers_of(board)


def headers_of(board: ClientConnection) -> Headers:
    """What the handshake was answered with."""
    assert board.response is not None
    return board.response.headers


def part(api: Served) -> Access:
    """The plugin's own decision, over the running district's database."""
    return Access(vendor(api, "ferpa"), AccessSettings())


def test_what_a_guardian_reaches_as_staff_is_judged_as_staff() -> None:
    """FERPA 26 §99.31(a)(1)(i)(A): a teacher who is also a parent keeps the own class, whatever passed as a parent."""
    both = Identity(subject="p", roles=(RoleAt(role="teacher"), RoleAt(role="guardian")))
    asked = AccessRequest(action="student.read", identity=both, student_ids=frozenset({"a"}))
    child = facts.Child(id="a", passed="age", as_staff=True)
    assert decisions.for_family(asked, {"a": child}).basis == decisions.STAFF
    assert not decisions.for_family(asked, {"a": dataclasses.replace(child, as_staff=False)}).allow


async def test_a_teacher_whose_own_child_is_grown_finds_everybody_in_an_emergency(lite: Served) -> None:
    """FERPA 26 §99.31(a)(1)(i)(A): whoever works on the grounds looks for everybody, whatever passed as a parent."""
    await born(lite, "ann", years_ago(18, days=30))
    drill = await said(await lite.post("~/schools/north/emergencies", "admin_north", {"kind": "drill"}))
    assert (await lite.get("~/students/ann", "teacher_parent")).status_code == 403
    found = await lite.get(f"~/schools/north/emergencies/{drill['id']}", "teacher_parent")
    assert found.status_code == 200
    assert "ann" in {one["student_id"] for one in (await said(found))["students"]}


async def test_an_order_takes_the_child_off_a_board_that_is_open(sqlite_url: str) -> None:
    """FERPA 4 §99.4: a class board that the parent already watches shows the child no more."""
    async with lawful(sqlite_url) as server:
        store = server.district.store
        async with server.board("algebra", await server.token("guardian_ann")) as board:
            hello = await heard(board)
            assert [mark["student_id"] for mark in hello["marks"]] == ["ann"]
            one = standings.Standing(
                id="order-1",
                kind="order",
                student_id="ann",
                party_id="guardian_ann",
                reference="Family court",
                begins_on=world.YESTERDAY,
            )
            await store.write(lambda tx: standings.add(tx, one, today=world.TODAY))
            (listener,) = server.district.boards._hubs["algebra"].listeners
            await until(lambda: listener.students == frozenset())
        async with server.board("algebra", await server.token("guardian_ann")) as board:
            assert (await heard(board))["marks"] == []
