"""FERPA's sentences on notice, inspection, amendment and hearing, over HTTP with the real plugin."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import orjson
import pytest

from homeroom.store import Transaction
from homeroom.store import models as m
from homeroom_ferpa.access import ledger
from homeroom_ferpa.rights import clock, hearings, notice
from homeroom_ferpa.rights.record_file import OTHER
from homeroom_ferpa.rights.settings import RightsSettings
from tests.services import world
from tests.services.lawful import born, years_ago
from tests.services.served import Served, served

TODAY = world.TODAY
ANN = "~/compliance/students/ann"
PARENT = "guardian_ann"
SECTIONS = {"ferpa": {"rights": {"inspection_days": 45, "amendment_days": 20, "hearing_days": 25}}}


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=["ferpa"], sections=SECTIONS) as running:
        yield running


async def item(answer: Any, status: int = 200) -> dict[str, Any]:
    body = await answer.get_json()
    assert answer.status_code == status, body
    found: dict[str, Any] = body["item"]
    return found


async def items(place: Served, path: str, by: str) -> list[dict[str, Any]]:
    answer = await place.get(path, by)
    assert answer.status_code == 200, await answer.get_json()
    found: list[dict[str, Any]] = (await answer.get_json())["items"]
    return found


async def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, str((await answer.get_json())["type"]).rpartition("/")[2]


async def journal(place: Served, kind: str) -> list[m.Journal]:
    return await place.district.store.read(lambda c: c.all(m.Journal.select().where(m.Journal.kind == kind)))


async def received(place: Served, days_ago: int, by: str = "admin") -> dict[str, Any]:
    """An inspection request that came in so many days ago, as a letter."""
    body = {"asked_by": PARENT, "received_on": (TODAY - timedelta(days=days_ago)).isoformat()}
    return await item(await place.post(f"{ANN}/inspections", by, body), 201)


async def look(place: Served, today: date = TODAY) -> dict[str, int]:
    return await place.district.store.write(lambda tx: clock.look(tx, today.isoformat(), alert_day=40))


async def level(place: Served, kind: str) -> str:
    [found] = [row for row in await items(place, "~/compliance/tasks", "admin") if row["kind"] == kind]
    return str(found["level"])


async def amendment(place: Served, **more: Any) -> dict[str, Any]:
    body = {"record_id": "record_ann", "why": "She was at the nurse's.", "status": "excused", **more}
    return await item(await place.post(f"{ANN}/amendments", PARENT, body), 201)


async def decide(place: Served, request: dict[str, Any], *, accept: bool, by: str = "admin_north", **more: Any) -> Any:
    body = {"accept": accept, "decision": "We have looked into it.", **more}
    return await place.post(f"{ANN}/amendments/{request['id']}/decision", by, body)


RECORD = {
    "held_on": TODAY.isoformat(),
    "place": "Room 4",
    "notice_on": (TODAY - timedelta(days=10)).isoformat(),
    "officer": "Dr. Okafor",
    "disinterested": True,
    "evidence": "The nurse's slip.",
    "reasons": "The slip names another day.",
    "decision": "The record stays as it is.",
    "outcome": "keep",
}


async def lost_hearing(place: Served) -> dict[str, Any]:
    request = await amendment(place)
    await item(await decide(place, request, accept=False))
    hearing = await item(await place.post(f"{ANN}/amendments/{request['id']}/hearing", PARENT), 201)
    return await item(await place.post(f"{ANN}/hearings/{hearing['id']}/decision", "admin", RECORD))


# Notice


async def test_the_annual_notice_lists_what_it_must(place: Served) -> None:
    """FERPA 7 §99.7(a): it lists the four rights, both procedures, and who has a legitimate interest."""
    answer = await (await place.get("~/compliance/notice", PARENT)).get_json()
    text = answer["text"]
    for words in (
        "inspect and review",
        "within 45 days",
        "record to be amended",
        "within 20 days",
        "right to consent",
        "file a complaint",
        "school official is an employee",
        "The interest is legitimate when",
    ):
        assert words in text
    assert set(answer["lists"]) == set(notice.MUST_LIST)
    assert answer["lists"]["school_official"] == "99.7(a)(3)(iii)"


def test_each_built_in_notice_says_every_part() -> None:
    """FERPA 7 §99.7(a): each language's template has all the parts, with nothing left to fill in."""
    for language in notice.languages(RightsSettings()):
        text, given = notice.notice(RightsSettings(), language)
        assert given == language
        assert len(text.split("\n\n")) == 1 + len(notice.MUST_LIST)
        assert not re.search(r"[{}]", text)


async def test_the_notice_comes_in_the_home_language_and_each_delivery_is_kept(place: Served) -> None:
    """FERPA 8 §99.7(b): the notice is offered in the home language; delivery per guardian is recorded."""

    def speaks(tx: Transaction) -> None:
        for user, language in ((PARENT, "es-MX"), ("guardian_cy", "so")):
            tx.insert(m.NotificationPreference, user_id=user, language=language, changed_at=tx.now)

    await place.district.store.write(speaks)
    spanish = await (await place.get("~/compliance/notice?language=es-MX", PARENT)).get_json()
    assert spanish["language"] == "es"
    assert "derecho" in spanish["text"]
    body = {
        "year": "2026-27",
        "guardian_id": PARENT,
        "language": "es",
        "how": "large_print",
        "accessible": "large print",
    }
    body |= {"delivered_on": TODAY.isoformat()}
    await item(await place.post("~/compliance/notice/deliveries", "admin", body), 201)
    found = {
        row["guardian_id"]: row for row in await items(place, "~/compliance/notice/deliveries?year=2026-27", "admin")
    }
    assert (found[PARENT]["home_language"], found[PARENT]["in_home_language"]) == ("es-MX", True)
    assert found[PARENT]["delivered"]["accessible"] == "large print"
    assert (found["guardian_cy"]["delivered"], found["guardian_cy"]["offered"]) == (None, None)  # to be translated
    assert "guardian_lost" not in found
    [kept] = await journal(place, "compliance.notice_delivered")
    assert kept.subject_id == PARENT


async def test_a_student_who_holds_the_rights_is_given_the_notice_too(place: Served) -> None:
    """FERPA 8 §99.7(a)(1): eligible students are notified, too: one of 18, or at college, is on the list."""
    born = {"ann": TODAY.replace(year=TODAY.year - 19, day=1), "bob": TODAY.replace(year=TODAY.year - 16, day=1)}

    def unit(tx: Transaction) -> None:
        for student, day in born.items():
            tx.run(m.User.update(birth_date=day).where(m.User.id == student))
        tx.insert(m.NotificationPreference, user_id="ann", language="es", changed_at=tx.now)

    await place.district.store.write(unit)
    early = {"kind": "postsecondary", "student_id": "cy", "document": "Letter of the community college"}
    assert (await place.post("~/compliance/exceptions", "admin", early)).status_code == 201
    path = "~/compliance/notice/deliveries"
    body = {"year": "2026-27", "language": "es", "how": "paper", "delivered_on": TODAY.isoformat()}
    await item(await place.post(path, "admin", {**body, "guardian_id": "ann"}), 201)
    refused = await place.post(path, "admin", {**body, "guardian_id": "bob"})
    assert await problem(refused) == (422, "no-guardian")
    found = {row["guardian_id"]: row for row in await items(place, f"{path}?year=2026-27", "admin")}
    assert {one for one, row in found.items() if row["eligible_student"]} == {"ann", "cy"}
    assert (found["ann"]["in_home_language"], found["cy"]["delivered"]) == (True, None)
    assert not found[PARENT]["eligible_student"]
    query = "SELECT student_ids FROM ferpa_audit WHERE fields = ?"
    [(students,)] = await place.district.store.read(lambda c: c.sql(query, ('["notice"]',)))
    assert set(orjson.loads(students)) == {"ann", "cy"}


# Inspection


async def test_a_request_is_due_within_45_days_and_raises_an_alert_and_a_violation(place: Served) -> None:
    """FERPA 9 §99.10(b): due at most 45 days after receipt; an alert at day 40, a violation entry at day 46."""
    request = await item(await place.post(f"{ANN}/inspections", PARENT, {"wish": "All of it."}), 201)
    assert request["due_on"] == (TODAY + timedelta(days=45)).isoformat()
    for day, kinds in ((39, {}), (40, {"inspection_alert": 1}), (41, {}), (45, {}), (46, {"violation": 1}), (47, {})):
        assert await look(place, TODAY + timedelta(days=day)) == kinds, day
    [violation] = await journal(place, "compliance.violation")
    assert (violation.student_id, violation.subject_id) == ("ann", request["id"])
    assert violation.data == {"section": "99.10(b)"}


@pytest.mark.parametrize(
    ("days", "wanted"), [(0, "open"), (38, "soon"), (40, "alert"), (45, "alert"), (46, "violation")]
)
async def test_the_list_of_tasks_says_how_urgent_a_request_is(place: Served, days: int, wanted: str) -> None:
    """FERPA 9 §99.10(b): the office's list shows each open request with its day and how urgent it is."""
    await received(place, days)
    assert await level(place, "inspection") == wanted


async def test_the_most_urgent_of_very_many_tasks_are_listed(place: Served) -> None:
    """FERPA 9 §99.10(b): the requests that were due first are in the list, whatever came in before them here."""
    days = [TODAY + timedelta(days=number) for number in range(500, -10, -1)]

    def unit(tx: Transaction) -> None:
        for number, day in enumerate(days):
            tx.write_sql(
                "INSERT INTO ferpa_inspections (id, student_id, asked_by, received_on, due_on, state) "
                "VALUES (?, 'ann', ?, ?, ?, 'open')",
                (f"i{number:03}", PARENT, TODAY.isoformat(), day.isoformat()),
            )
            tx.write_sql(
                "INSERT INTO ferpa_letters (id, student_id, recipient_id, kind, subject_id, text, written_at) "
                "VALUES (?, 'ann', ?, 'x', 'x', '', ?)",
                (f"l{number:03}", PARENT, f"{day.isoformat()}T00:00:00Z"),
            )

    await place.district.store.write(unit)
    found = await items(place, "~/compliance/tasks", "admin")
    first = [day.isoformat() for day in sorted(days)[:500]]
    assert [row["due_on"] for row in found if row["kind"] == "inspection"] == first
    assert [row["since"] for row in found if row["kind"] == "letter"] == first


def test_no_district_can_give_itself_more_than_45_days() -> None:
    """FERPA 9 §99.10(b): a longer period is no setting."""
    with pytest.raises(ValueError, match="less than or equal to 45"):
        RightsSettings(inspection_days=46)


async def test_only_the_office_dates_a_request_back(place: Served) -> None:
    """FERPA 9 §99.10(b): the clock runs from receipt, which no family can move and nobody into the future."""
    yesterday = (TODAY - timedelta(days=1)).isoformat()
    assert await problem(await place.post(f"{ANN}/inspections", PARENT, {"received_on": yesterday})) == (
        422,
        "received-on",
    )
    tomorrow = (TODAY + timedelta(days=1)).isoformat()
    assert (await place.post(f"{ANN}/inspections", "admin", {"received_on": tomorrow})).status_code == 422


async def test_an_explanation_is_asked_for_and_answered(place: Served) -> None:
    """FERPA 10 §99.10(c): a request for explanation is attached to the inspection and answered in writing."""
    request = await received(place, 1)
    path = f"{ANN}/inspections/{request['id']}/explanations"
    asked = await item(await place.post(path, PARENT, {"question": "What does T mean?"}), 201)
    [question] = asked["explanations"]
    assert (question["question"], question["answer"]) == ("What does T mean?", None)
    assert await level(place, "explanation") == "open"
    answer = await place.post(f"{path}/{question['id']}/answer", "admin_north", {"answer": "Tardy: she came late."})
    [answered] = (await item(answer))["explanations"]
    assert (answered["answer"], answered["answered_by"]) == ("Tardy: she came late.", "admin_north")
    assert [row["text"] for row in await items(place, f"{ANN}/letters", PARENT)] == ["Tardy: she came late."]
    again = await place.post(f"{path}/{question['id']}/answer", "admin", {"answer": "Something else."})
    assert await problem(again) == (409, "answered-already")


async def build_record(place: Served) -> None:
    """Gives Ann a correction, notes, a code, a message, and a classmate whose name somebody wrote down."""

    def unit(tx: Transaction) -> None:
        tx.run(m.User.update(given_name="Robert", family_name="Quine").where(m.User.id == "eve"))
        tx.run(m.User.update(given_name="Ann", family_name="Lovelace").where(m.User.id == "ann"))
        values = {"id": "message_ann", "key": "k1", "rule_id": "r", "rule_version": 1, "kind": "absence"}
        values |= {"purpose": "absence", "school_id": "north", "student_id": "ann", "recipient_id": PARENT}
        values |= {"audience": "guardian", "language": "en", "channel": "sms", "state": "delivered"}
        text = orjson.dumps({"sms": "Ann was absent today."}).decode()
        moments = dict.fromkeys(("due_at", "expires_at", "created_at", "changed_at"), tx.now)
        tx.insert(m.Notification, content=tx.seal_for("ann", text), **values, **moments)

    await place.district.store.write(unit)
    note = "Left with Robert Quine; Quine was sent back."
    body = {"code": "MED", "note": note, "reason": "Nurse's slip"}
    answer = await place.call("PATCH", "~/attendance/record_ann", by="teacher_a", json=body, headers={"If-Match": "*"})
    assert answer.status_code == 200


async def read_file(place: Served, by: str = PARENT) -> tuple[str, dict[str, Any]]:
    request = await received(place, 1)
    await item(await place.post(f"{ANN}/inspections/{request['id']}/end", "admin_north", {"state": "fulfilled"}))
    answer = await place.get(f"{ANN}/inspections/{request['id']}/file", by)
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"].startswith("attachment")
    text = await answer.get_data(as_text=True)
    found = re.search(r'<script type="application/json" id="record">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    record: dict[str, Any] = orjson.loads(found[1])
    return text, record


async def test_the_whole_record_is_one_file_to_read_and_for_machines(place: Served) -> None:
    """FERPA 11 §99.10(d): attendance, codes with meanings, corrections, notes and messages, as one file."""
    await build_record(place)
    text, record = await read_file(place)
    [mark] = record["attendance"]
    assert (mark["status"], mark["code"], mark["code_means"], mark["class"]) == ("excused", "MED", "Medical", "Algebra")
    assert mark["reason"] == "Nurse's slip"
    assert mark["recorded_by"] == "Teacher A"
    assert [(one["version"], one["status"]) for one in mark["corrections"]] == [(1, "present")]
    assert {"code": "T", "means": "Tardy", "school": "North", "status": "tardy"} in record["codes"]
    assert [one["text"] for one in record["messages"]] == [{"sms": "Ann was absent today."}]
    assert [one["reason"] for one in record["absence_reports"]] == [None]
    for words in ("Ann Lovelace", "Medical", "Nurse&#x27;s slip", "Ann was absent today.", "What the codes mean"):
        assert words in text
    assert "http" not in text.replace("https://homeroom", "")  # nothing is loaded from elsewhere


async def test_the_whole_record_holds_every_disclosure_however_many(place: Served) -> None:
    """FERPA 11 §99.10(d): the record of disclosures is in the file as a whole, with what was passed on."""

    def unit(tx: Transaction) -> None:
        for number in range(601):
            entry = ledger.Entry(
                id=f"e-{number}", at=f"2026-01-01T00:00:00.{number:06}Z", party="", interest="", basis=""
            )
            ledger.enter(tx, replace(entry, students=("ann",)))
        ledger.tell(tx, "e-0", "told", [ledger.Redisclosure(party="Acme", interest="", disclosed_on=TODAY)], by="admin")

    await place.district.store.write(unit)
    disclosures = (await read_file(place))[1]["disclosures"]
    assert [one["id"] for one in disclosures if one["id"].startswith("e-")] == [f"e-{n}" for n in range(600, -1, -1)]
    assert [one["party"] for row in disclosures for one in row["redisclosures"]] == ["Acme"]


async def test_the_file_is_made_available_by_the_office_and_only_to_the_family(place: Served) -> None:
    """FERPA 11 §99.10(d): the family reads the file once it is made available; nobody else's parent does."""
    request = await received(place, 1)
    path = f"{ANN}/inspections/{request['id']}"
    assert await problem(await place.get(f"{path}/file", PARENT)) == (409, "not-yet")
    await item(await place.post(f"{path}/end", "admin_north", {}))
    assert (await place.get(f"{path}/file", PARENT)).status_code == 200
    minor = await place.get(f"{path}/file", "ann")
    assert (minor.status_code, "disclosures of it" in await minor.get_data(as_text=True)) == (200, False)
    for stranger in ("guardian_cy", "guardian_lost", "bob", "teacher_b", "admin_south"):
        assert (await place.get(f"{path}/file", stranger)).status_code in (403, 404), stranger
    other = f"~/compliance/students/cy/inspections/{request['id']}/file"
    assert (await place.get(other, "guardian_cy")).status_code == 404  # a request is not another student's key
    [letter] = await items(place, f"{ANN}/letters", PARENT)
    assert letter["kind"] == "inspection_ready"
    sent = await item(await place.post(f"{ANN}/letters/{letter['id']}/sent", "admin_north", {"how": "mail"}))
    assert (sent["sent_by"], sent["sent_how"]) == ("admin_north", "mail")


async def test_the_file_has_the_record_of_disclosures_for_whoever_may_inspect_it(place: Served) -> None:
    """FERPA 41 §99.32(c): parent, eligible student and office find it in the file; a minor does not."""
    entry = ledger.Entry(id="e-1", at="2026-01-01T00:00:00Z", party="party:news", interest="", basis="")
    await place.district.store.write(lambda tx: ledger.enter(tx, replace(entry, students=("ann",))))

    async def shown(by: str) -> bool:
        text, record = await read_file(place, by)
        assert ("party:news" in text) == ("disclosures" in record)
        query = "SELECT fields FROM ferpa_audit WHERE actor = ? ORDER BY id DESC LIMIT 1"
        [(fields,)] = await place.district.store.read(lambda c: c.sql(query, (by,)))
        assert ("disclosures" in fields) == ("disclosures" in record)
        return "disclosures" in record

    assert [await shown(by) for by in (PARENT, "ann", "admin_north", "admin")] == [True, False, True, True]
    await born(place, "ann", years_ago(19))
    body = {"kind": "dependent", "student_id": "ann", "parties": [PARENT], "document": "Tax return 2025, seen"}
    assert (await place.post("~/compliance/exceptions", "admin", body)).status_code == 201
    assert [await shown(by) for by in (PARENT, "ann", "admin_north")] == [False, True, True]


async def test_no_export_knows_a_fee(place: Served) -> None:
    """FERPA 13 §99.11: neither the file nor any request of the part has a field for a fee."""
    await build_record(place)
    _, record = await read_file(place)

    def keys(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set(value) | {key for one in value.values() for key in keys(one)}
        return {key for one in value for key in keys(one)} if isinstance(value, list) else set()

    named = keys(record) | {name for row in await items(place, f"{ANN}/inspections", PARENT) for name in row}
    assert not {name for name in named if re.search(r"fee|price|cost|charge|amount|payment", name)}
    assert "fee" in notice.notice(RightsSettings(), "en")[0]  # it says that there is none


async def test_the_file_names_no_other_student(place: Served) -> None:
    """FERPA 14 §99.12(a): a note that names a classmate comes without the name; other students' rows are not there."""
    await build_record(place)
    text, record = await read_file(place)
    assert record["attendance"][0]["note"] == f"Left with {OTHER}; {OTHER} was sent back."
    for other in ("Quine", "Robert", "record_bob", "record_dan_then", "biology"):
        assert other not in text
    assert {one["id"] for one in record["attendance"]} == {"record_ann"}


# Amendment


async def test_a_parent_or_student_asks_to_amend_a_named_record_with_a_reason(place: Served) -> None:
    """FERPA 15 §99.20(a): guardian or eligible student asks to amend one named record and says why."""
    request = await amendment(place)
    assert (request["state"], request["record_id"], request["asked_by"]) == ("open", "record_ann", PARENT)
    assert request["why"] == "She was at the nurse's."
    own = {"record_id": "record_ann", "why": "I was there."}
    assert (await place.post(f"{ANN}/amendments", "ann", own)).status_code == 403  # the rights are the parents' still
    twice = await place.post(f"{ANN}/amendments", PARENT, {"record_id": "record_ann", "why": "Once more."})
    assert await problem(twice) == (409, "asked-already")
    foreign = await place.post(f"{ANN}/amendments", PARENT, {"record_id": "record_bob", "why": "Not mine."})
    assert foreign.status_code == 404
    for stranger in ("guardian_cy", "guardian_lost", "bob", "teacher_b"):
        body = {"record_id": "record_ann", "why": "x"}
        assert (await place.post(f"{ANN}/amendments", stranger, body)).status_code in (403, 404)
    await born(place, "ann", years_ago(18))
    assert (await item(await place.post(f"{ANN}/amendments", "ann", own), 201))["asked_by"] == "ann"


async def test_who_sees_a_grown_students_record_cannot_use_the_students_rights(place: Served) -> None:
    """FERPA 15 and 19 §99.5(a)(1), §99.21: after the transfer the student alone asks, is heard and states."""
    request = await amendment(place)
    await item(await decide(place, request, accept=False))
    await born(place, "ann", years_ago(19))
    body = {"kind": "dependent", "student_id": "ann", "parties": [PARENT], "document": "Tax return 2025, seen"}
    assert (await place.post("~/compliance/exceptions", "admin", body)).status_code == 201
    assert len(await items(place, f"{ANN}/amendments", PARENT)) == 1
    ask = {"record_id": "record_ann", "why": "She was there."}
    hearing_path = f"{ANN}/amendments/{request['id']}/hearing"
    for path, told in ((f"{ANN}/amendments", ask), (hearing_path, None)):
        assert await problem(await place.post(path, PARENT, told)) == (403, "not-allowed")
    hearing = await item(await place.post(hearing_path, "ann"), 201)
    await item(await place.post(f"{ANN}/hearings/{hearing['id']}/decision", "admin", RECORD))
    path = f"{ANN}/hearings/{hearing['id']}/statement"
    assert await problem(await place.post(path, PARENT, {"text": "She is wrong."})) == (403, "not-allowed")
    assert (await item(await place.post(path, "ann", {"text": "I was there."}), 201))["made_by"] == "ann"
    refused = await journal(place, "compliance.refused")
    assert [(one.actor_id, one.data) for one in refused] == [(PARENT, {"problem": "not-allowed"})] * 3


@pytest.mark.parametrize(
    "body", [{}, {"record_id": "record_ann"}, {"record_id": "record_ann", "why": "  "}, {"why": "x"}]
)
async def test_a_request_without_a_record_or_a_reason_is_refused_and_that_is_kept(
    place: Served, body: dict[str, str]
) -> None:
    """FERPA 15 §99.20(a): one that lacks the record or the reason is refused with what it lacks; that is kept."""
    answer = await place.post(f"{ANN}/amendments", PARENT, body)
    assert await problem(answer) == (422, "incomplete")
    [kept] = await journal(place, "compliance.refused")
    assert (kept.student_id, kept.actor_id, kept.data) == ("ann", PARENT, {"problem": "incomplete"})
    assert await items(place, f"{ANN}/amendments", PARENT) == []


async def test_the_reasonable_time_is_the_districts_and_an_overdue_request_is_listed(place: Served) -> None:
    """FERPA 16 §99.20(b): the decision has the district's deadline; after it the request is listed as overdue."""
    await item(
        await place.post(
            f"{ANN}/amendments",
            "admin_north",
            {
                "record_id": "record_ann",
                "why": "By letter.",
                "asked_by": PARENT,
                "received_on": (TODAY - timedelta(days=20)).isoformat(),
            },
        ),
        201,
    )
    assert await level(place, "amendment") == "soon"
    assert await look(place) == {}
    later = (TODAY + timedelta(days=1)).isoformat()
    found = await place.district.store.read(lambda c: clock.tasks(c, later, alert_day=40))
    assert [(row["kind"], row["level"]) for row in found] == [("amendment", "overdue")]
    assert await look(place, TODAY + timedelta(days=1)) == {"amendment_overdue": 1}
    assert await look(place, TODAY + timedelta(days=2)) == {}
    assert [row["due_on"] for row in await items(place, "~/compliance/amendments", "admin")] == [TODAY.isoformat()]


async def test_a_school_sees_its_own_queue(place: Served) -> None:
    """FERPA 16 §99.20(b): each office has its own students' requests before it, and no other school's."""
    await amendment(place)
    assert len(await items(place, "~/compliance/tasks?school_id=north", "admin_north")) == 1
    assert await items(place, "~/compliance/tasks?school_id=south", "admin_south") == []
    assert (await place.get("~/compliance/tasks", "admin_north")).status_code == 403
    assert (await place.get("~/compliance/tasks?school_id=south", "admin_north")).status_code == 404
    assert (await place.get("~/compliance/tasks", PARENT)).status_code == 403


async def test_a_refusal_is_sent_with_the_right_to_a_hearing(place: Served) -> None:
    """FERPA 17 §99.20(c): a refusal sends the decision and tells of the right to a hearing."""
    request = await amendment(place)
    answer = await item(await decide(place, request, accept=False, decision="The slip is of another day."))
    assert (answer["state"], answer["decided_by"]) == ("refused", "admin_north")
    [letter] = await items(place, f"{ANN}/letters", PARENT)
    assert letter["kind"] == "amendment_refused"
    assert letter["text"].startswith("The slip is of another day.")
    assert "right to a hearing" in letter["text"]
    assert await level(place, "letter") == "open"  # until the office has sent it
    record = await (await place.get("~/attendance/record_ann", PARENT)).get_json()
    assert (record["status"], record["version"]) == ("present", 1)


async def test_an_amendment_writes_a_new_version_keeps_the_old_one_and_informs_in_writing(place: Served) -> None:
    """FERPA 18 §99.21(b)(1): an amendment is a new version; the old one is kept; the family is told in writing."""
    request = await amendment(place)
    answer = await item(await decide(place, request, accept=True, decision="The slip proves it."))
    assert (answer["state"], answer["new_version"]) == ("accepted", 2)
    versions = (await (await place.get("~/attendance/record_ann/history", PARENT)).get_json())["items"]
    assert [(one["version"], one["status"]) for one in versions] == [(1, "present"), (2, "excused")]
    assert (versions[1]["reason"], versions[1]["recorded_by"]) == ("The slip proves it.", "admin_north")
    [letter] = await items(place, f"{ANN}/letters", PARENT)
    assert (letter["kind"], letter["text"].partition("\n")[0]) == ("amendment_accepted", "The slip proves it.")
    [kept] = await journal(place, "compliance.amendment_decided")
    assert kept.data == {"record": "record_ann", "state": "accepted", "new_version": 2}


async def test_a_decision_must_be_in_writing_and_say_what_the_record_shall_be(place: Served) -> None:
    """FERPA 18 §99.21(b)(1): a decision without words, or without what the record shall say, changes nothing."""
    request = await amendment(place, status=None)
    assert await problem(await decide(place, request, accept=True, decision="")) == (422, "incomplete")
    assert await problem(await decide(place, request, accept=True)) == (422, "incomplete")
    assert await problem(await decide(place, request, accept=True, code="NOPE")) == (422, "unknown-code")
    [still] = await items(place, f"{ANN}/amendments", PARENT)
    assert still["state"] == "open"
    assert len(await journal(place, "compliance.refused")) == 3


async def test_of_two_who_decide_at_once_one_does_and_the_other_is_told(place: Served) -> None:
    """FERPA 18 §99.21(b)(1): two custodians at once: one decision holds, the other is refused, and both are kept."""
    request = await amendment(place)
    answers = await asyncio.gather(
        decide(place, request, accept=True, by="admin_north"), decide(place, request, accept=False, by="admin")
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    [loser] = [answer for answer in answers if answer.status_code == 409]
    assert await problem(loser) == (409, "decided-already")
    [kept] = await journal(place, "compliance.refused")
    [decided] = await journal(place, "compliance.amendment_decided")
    assert kept.data == {"problem": "decided-already"}
    assert {kept.actor_id, decided.actor_id} == {"admin", "admin_north"}
    versions = (await (await place.get("~/attendance/record_ann/history", PARENT)).get_json())["items"]
    assert len(versions) == (2 if decided.data["state"] == "accepted" else 1)
    assert len(await items(place, f"{ANN}/letters", PARENT)) == 1


async def test_a_decision_that_is_run_twice_is_made_once(place: Served) -> None:
    """FERPA 18 §99.21(b)(1): a decision run again because its commit was in doubt makes one version, one letter."""
    from homeroom.custody import StoredCustody
    from homeroom.testing import services
    from homeroom_ferpa.rights import amendments

    request = await amendment(place)
    store = place.district.store
    given = services(store=store)
    assert isinstance(given.custody, StoredCustody)
    about = {"student_id": "ann", "amendment_id": request["id"], "accept": True, "words": "Yes."}
    for _ in range(2):
        row = await store.write(lambda tx: amendments.decide(tx, given, status=None, code=None, act="one", **about))
        assert row["new_version"] == 2
    assert len(await items(place, f"{ANN}/letters", PARENT)) == 1


# Hearing


async def test_after_a_lost_hearing_a_statement_goes_with_each_later_disclosure(place: Served) -> None:
    """FERPA 19 §99.21(b)(2),(c): the statement goes with the record in the API, the history and the file."""
    hearing = await lost_hearing(place)
    words = "We disagree: the slip is of that day."
    path = f"{ANN}/hearings/{hearing['id']}/statement"
    await item(await place.post(path, PARENT, {"text": words}), 201)
    assert await problem(await place.post(path, PARENT, {"text": "More."})) == (409, "stated-already")
    record = await (await place.get("~/attendance/record_ann", "teacher_a")).get_json()
    assert words in record["note"]
    listed = await (await place.get("~/classes/algebra", "teacher_a")).get_json()
    assert listed  # the class itself names no record
    page = (await (await place.get("~/students/ann/attendance", "admin")).get_json())["items"]
    assert words in page[0]["note"]
    door = await place.district.store.read(lambda c: hearings.statements_for(c, ["record_ann", "record_bob"]))
    assert {record: [one["text"] for one in some] for record, some in door.items()} == {"record_ann": [words]}
    _, file = await read_file(place)
    assert [one["text"] for one in file["attendance"][0]["statements"]] == [words]


async def test_a_statement_comes_back_when_somebody_writes_over_the_note(place: Served) -> None:
    """FERPA 19 §99.21(c): it stays for as long as the record: a later correction does not lose it."""
    from homeroom.testing import services
    from homeroom_ferpa.rights import Rights

    hearing = await lost_hearing(place)
    await item(await place.post(f"{ANN}/hearings/{hearing['id']}/statement", PARENT, {"text": "We disagree."}), 201)
    body = {"note": "Only this.", "status": "tardy", "reason": "Seen again."}
    answer = await place.call("PATCH", "~/attendance/record_ann", by="teacher_a", json=body, headers={"If-Match": "*"})
    assert answer.status_code == 200
    from homeroom.live.tail import events_after

    events = await place.district.store.read(lambda c: events_after(c, 0, 1000))
    rights = Rights(RightsSettings(), services(store=place.district.store))
    for _ in range(2):  # events may come twice
        await rights.heard(events)
    record = await (await place.get("~/attendance/record_ann", "admin")).get_json()
    assert record["note"] == "Only this.\n\n[Statement under 34 CFR 99.21] We disagree."
    assert record["status"] == "tardy"


async def test_there_is_no_statement_without_a_lost_hearing(place: Served) -> None:
    """FERPA 19 §99.21(b)(2): a statement is for a record that a hearing has left as it was."""
    request = await amendment(place)
    await item(await decide(place, request, accept=False))
    hearing = await item(await place.post(f"{ANN}/amendments/{request['id']}/hearing", PARENT), 201)
    path = f"{ANN}/hearings/{hearing['id']}"
    assert await problem(await place.post(f"{path}/statement", PARENT, {"text": "x"})) == (409, "not-lost")
    won = {**RECORD, "outcome": "amend", "decision": "She is right.", "status": "excused"}
    assert (await item(await place.post(f"{path}/decision", "admin", won)))["outcome"] == "amend"
    record = await (await place.get("~/attendance/record_ann", PARENT)).get_json()
    assert (record["status"], record["version"]) == ("excused", 2)
    assert await problem(await place.post(f"{path}/statement", PARENT, {"text": "x"})) == (409, "not-lost")


async def test_the_record_of_a_hearing_is_whole(place: Served) -> None:
    """FERPA 20 §99.22: date, place, notice, officer without direct interest, evidence, reasons, written decision."""
    request = await amendment(place)
    early = await place.post(f"{ANN}/amendments/{request['id']}/hearing", PARENT)
    assert await problem(early) == (409, "not-refused")
    await item(await decide(place, request, accept=False))
    hearing = await item(await place.post(f"{ANN}/amendments/{request['id']}/hearing", PARENT), 201)
    assert hearing["due_on"] == (TODAY + timedelta(days=25)).isoformat()
    path = f"{ANN}/hearings/{hearing['id']}"
    notified = {name: RECORD[name] for name in ("held_on", "place", "notice_on")}
    await item(await place.post(f"{path}/notice", "admin_north", notified))
    for name in ("officer", "disinterested", "evidence", "reasons", "decision", "outcome"):
        lacking = {key: value for key, value in RECORD.items() if key not in (name, "held_on", "place", "notice_on")}
        answer = await place.post(f"{path}/decision", "admin", lacking)
        assert (answer.status_code, name in (await answer.get_json())["detail"]) == (422, True)
    rest = {key: value for key, value in RECORD.items() if key not in notified}
    kept = await item(await place.post(f"{path}/decision", "admin", rest))
    assert {name: kept[name] for name in RECORD} == RECORD
    letters = [row["kind"] for row in await items(place, f"{ANN}/letters", PARENT)]
    assert letters == ["amendment_refused", "hearing_notice", "hearing_decision"]
    again = await place.post(f"{path}/decision", "admin_north", RECORD)
    assert await problem(again) == (409, "decided-already")


@pytest.mark.parametrize(
    "more",
    [{"disinterested": False}, {"officer_id": PARENT}, {"officer_id": "admin_north"}, {"officer_id": "ann"}],
    ids=["says so", "who asked", "who refused", "the student"],
)
async def test_nobody_with_an_interest_leads_a_hearing(place: Served, more: dict[str, Any]) -> None:
    """FERPA 20 §99.22(c): the officer has no direct interest: not who asked, not who refused."""
    request = await amendment(place)
    await item(await decide(place, request, accept=False))
    hearing = await item(await place.post(f"{ANN}/amendments/{request['id']}/hearing", PARENT), 201)
    answer = await place.post(f"{ANN}/hearings/{hearing['id']}/decision", "admin", {**RECORD, **more})
    assert await problem(answer) == (422, "officer-has-interest")
    assert (await items(place, f"{ANN}/hearings", PARENT))[0]["state"] == "asked"


async def test_who_made_an_earlier_version_of_the_mark_leads_no_hearing_on_it(place: Served) -> None:
    """FERPA 20 §99.22(c): whoever made the mark has an interest in it, also where somebody has corrected it since."""
    for by in ("teacher_a", "admin"):
        body = {"status": "tardy", "note": f"Seen by {by}.", "reason": "Looked again"}
        answer = await place.call("PATCH", "~/attendance/record_ann", by=by, json=body, headers={"If-Match": "*"})
        assert answer.status_code == 200
    request = await amendment(place)
    await item(await decide(place, request, accept=False))
    hearing = await item(await place.post(f"{ANN}/amendments/{request['id']}/hearing", PARENT), 201)
    path = f"{ANN}/hearings/{hearing['id']}/decision"
    for officer in ("teacher_a", "admin"):
        answer = await place.post(path, "admin", {**RECORD, "officer_id": officer})
        assert await problem(answer) == (422, "officer-has-interest")
    await item(await place.post(path, "admin", {**RECORD, "officer_id": "teacher_c"}))


async def test_a_hearing_that_is_yet_to_be_held_is_not_decided(place: Served) -> None:
    """FERPA 20 §99.22: the decision rests on the hearing, so it comes after it, whether the day is sent or was set."""
    request = await amendment(place)
    await item(await decide(place, request, accept=False))
    hearing = await item(await place.post(f"{ANN}/amendments/{request['id']}/hearing", PARENT), 201)
    path, tomorrow = f"{ANN}/hearings/{hearing['id']}", (TODAY + timedelta(days=1)).isoformat()
    told = {"held_on": tomorrow, "place": "Room 4", "notice_on": RECORD["notice_on"]}
    await item(await place.post(f"{path}/notice", "admin_north", told))
    for record in ({**RECORD, "held_on": tomorrow}, {**RECORD, "held_on": None}):
        assert await problem(await place.post(f"{path}/decision", "admin", record)) == (422, "held-on")
    assert (await items(place, f"{ANN}/hearings", PARENT))[0]["state"] == "set"


async def test_a_notice_after_the_hearing_is_none(place: Served) -> None:
    """FERPA 20 §99.22(b): notice of date, time and place is given before the hearing."""
    request = await amendment(place)
    await item(await decide(place, request, accept=False))
    hearing = await item(await place.post(f"{ANN}/amendments/{request['id']}/hearing", PARENT), 201)
    late = {**RECORD, "notice_on": (TODAY + timedelta(days=1)).isoformat()}
    answer = await place.post(f"{ANN}/hearings/{hearing['id']}/decision", "admin", late)
    assert await problem(answer) == (422, "notice-too-late")


async def test_the_family_is_told_of_each_change_of_a_hearing_once(place: Served) -> None:
    """FERPA 20 §99.22(b): another place or day is told, a return to the first one, too; the same notice only once."""
    request = await amendment(place)
    await item(await decide(place, request, accept=False))
    hearing = await item(await place.post(f"{ANN}/amendments/{request['id']}/hearing", PARENT), 201)
    other = {"held_on": (TODAY + timedelta(days=1)).isoformat()}
    told = {name: RECORD[name] for name in ("held_on", "place", "notice_on")}
    moved = {**told, "place": "The library, 4 pm"}
    for notice_of in (
        told,
        told,
        moved,
        moved,
        told,
        {**moved, **other},
        {**moved, **other, "notice_on": TODAY.isoformat()},
    ):
        await item(await place.post(f"{ANN}/hearings/{hearing['id']}/notice", "admin_north", notice_of))
    found = [row["text"] for row in await items(place, f"{ANN}/letters", PARENT) if row["kind"] == "hearing_notice"]
    wanted = [f"{one['held_on']}: {one['place']}." for one in (told, moved, told, {**moved, **other})]
    assert [where in text for where, text in zip(wanted, found, strict=True)] == [True] * 4
    assert [text.startswith("This takes the place of") for text in found] == [False, True, True, True]


# Neighbouring duties


async def test_access_to_special_education_records_is_kept_and_shown(place: Served) -> None:
    """FERPA 49 §300.614: name, date and purpose of each access outside authorised staff; shown to the parents."""
    path = f"{ANN}/special-access"
    body = {"party": "Dr. Lind, outside evaluator", "accessed_on": TODAY.isoformat(), "purpose": "Re-evaluation"}
    await item(await place.post(path, "admin_north", body), 201)
    [found] = await items(place, path, PARENT)
    assert (found["party"], found["accessed_on"], found["purpose"]) == tuple(body.values())
    for name in body:
        lacking = {key: value for key, value in body.items() if key != name}
        assert (await place.post(path, "admin_north", lacking)).status_code == 422
    assert (await place.get(path, "guardian_cy")).status_code == 404
    assert (await place.post(path, PARENT, body)).status_code == 403
    raw = await place.district.store.read(lambda c: c.sql("SELECT party, purpose FROM ferpa_special_access"))
    assert "Lind" not in str(raw)


async def test_what_people_wrote_lies_nowhere_in_clear(place: Served) -> None:
    """FERPA 15 §99.20(a): reasons, decisions, statements and letters are sealed under the student's key."""
    await lost_hearing(place)
    found = []
    for table in ("amendments", "hearings", "letters", "inspections", "statements"):
        found += await place.district.store.read(lambda c, t=table: c.sql(f"SELECT * FROM ferpa_{t}"))  # type: ignore[misc] # noqa: S608
    found += await place.district.store.read(
        lambda c: c.sql("SELECT data FROM journal WHERE kind LIKE ?", ("compliance.%",))
    )
    assert found
    for words in ("nurse", "slip", "Okafor", "Room 4", "looked into", "hearing on this"):
        assert words not in str(found)
