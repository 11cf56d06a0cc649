"""FERPA's sentences on studies: agreements, extracts with record codes and their end, over HTTP with the plugin."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from homeroom.settings import load_settings
from homeroom.store import Store, Transaction
from homeroom.store import models as m
from homeroom.store.erasure import erase
from homeroom_ferpa.access.settings import AccessSettings
from homeroom_ferpa.reports import ReportsSettings
from homeroom_ferpa.research import Research, extracts, studies
from homeroom_ferpa.rights import Rights, RightsSettings
from tests.services import commands, world
from tests.services.commands import run
from tests.services.lawful import vendor
from tests.services.served import Served, served

TODAY = world.TODAY
REVIEW = {"reports": {"review": "Review 26-03, in the records office"}}
AUTUMN, SPRING = TODAY - timedelta(days=60), TODAY - timedelta(days=30)
SIZES = {("north", "9", "present"): 30, ("north", "9", "absent"): 14, ("south", "12", "tardy"): 16}
RARE = {("north", "11", "absent"): 2}
AGREEMENT: dict[str, Any] = {
    "organisation": "State University",
    "purpose": "instruction",
    "scope": "Whether homework clubs bring students to school.",
    "data": ["missed", "school", "grade"],
    "data_since": str(TODAY - timedelta(days=100)),
    "data_until": str(TODAY),
    "last_day": str(TODAY + timedelta(days=200)),
    "destroy_by": str(TODAY + timedelta(days=230)),
    "destroy_how": "Shredded by the university's archive.",
    "agreement": "Contract 26-7, in the records office",
    "signed_by": "A. Okafor for the university, B. Lind for the district",
    "signed_on": str(TODAY - timedelta(days=3)),
}
PATH = "~/compliance/studies"


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Served]:
    """Some students in two schools, on SQLite and on PostgreSQL."""
    async with served(database_url, enabled=["ferpa"], required=["ferpa"], sections={"ferpa": REVIEW}) as running:
        await running.district.store.write(attended)
        yield running


@pytest.fixture
async def lite(sqlite_url: str) -> AsyncIterator[Served]:
    """The same on SQLite alone, for what does not differ between databases."""
    async with served(sqlite_url, enabled=["ferpa"], required=["ferpa"], sections={"ferpa": REVIEW}) as running:
        await running.district.store.write(attended)
        yield running


def attended(tx: Transaction) -> None:
    """A day in autumn and one in spring: most students were there, some missed them, two are the only of a grade."""
    for (school, grade, status), size in {**SIZES, **RARE}.items():
        for number in range(size):
            student = f"{school}_{grade}_{status}_{number}"
            named = {"given_name": "Gia", "family_name": "Novak", "identifier": f"77-{student}"}
            born = {"sort_name": student, "grades": [grade], "birth_date": date(2010, 2, 3)}
            tx.insert(m.User, id=student, changed_at=tx.now, **named, **born)
            tx.insert(m.RoleAssignment, user_id=student, role="student", org_id=school)
            for day in (AUTUMN, SPRING):
                tx.insert(
                    m.AttendanceRecord,
                    id=f"r_{student}_{day}",
                    session_id=f"then_{school}_{day}",
                    class_id="algebra",
                    school_id=school,
                    student_id=student,
                    school_day=day,
                    status=status,
                    origin="teacher",
                    note=tx.seal_for(student, "Was at the nurse's."),
                    recorded_at=tx.now,
                    valid_from=tx.now,
                )


async def said(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, await answer.get_data(as_text=True)
    return await answer.get_json()


async def problem(answer: Any) -> tuple[int, str]:
    return answer.status_code, str((await answer.get_json())["type"]).rpartition("/")[2]


async def fields(answer: Any) -> list[str]:
    return [error["field"] for error in (await said(answer, 422))["errors"]]


async def agreed(api: Served, **changed: Any) -> dict[str, Any]:
    found: dict[str, Any] = await said(await api.post(PATH, "admin", {**AGREEMENT, **changed}), 201)
    return found


async def asked(api: Served, study: dict[str, Any], since: date = AUTUMN, until: date | None = None) -> Any:
    days = {"since": str(since), "until": str(until or since)}
    return await api.post(f"{PATH}/{study['id']}/extracts", "admin", days)


async def given(api: Served, study: dict[str, Any], since: date = AUTUMN) -> dict[str, Any]:
    made = await said(await asked(api, study, since), 201)
    found: dict[str, Any] = await said(await api.get(f"{PATH}/{study['id']}/extracts/{made['id']}", "admin"))
    return found


async def sql(api: Served, text: str, *params: Any) -> list[Any]:
    return await api.district.store.write(lambda tx: tx.write_sql(text, params))


async def journal(api: Served, kind: str) -> list[m.Journal]:
    query = m.Journal.select().where(m.Journal.kind == f"compliance.{kind}").order_by(m.Journal.id)
    return await api.district.store.read(lambda c: c.all(query))


async def destroyed(api: Served, study: dict[str, Any], **changed: Any) -> Any:
    body = {"destroyed_on": str(TODAY), "destroyed_how": "Shredded.", "confirmed_by": "A. Okafor", **changed}
    return await api.post(f"{PATH}/{study['id']}/destruction", "admin", body)


# Agreements


@pytest.mark.parametrize("lacking", list(AGREEMENT))
@pytest.mark.parametrize("how", ["left out", "blank"])
async def test_an_agreement_that_lacks_anything_is_refused_by_name(lite: Served, lacking: str, how: str) -> None:
    """FERPA 31 §99.31(a)(6)(iii)(C): purpose, scope, duration, data, destruction, signature: none may be missing."""
    body = {**AGREEMENT, lacking: [] if lacking == "data" else "   "}
    if how == "left out":
        del body[lacking]
    assert await fields(await lite.post(PATH, "admin", body)) == [lacking]


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"purpose": "marketing"}, "purpose"),
        ({"data": ["name"]}, "data.0"),
        ({"signed_on": str(TODAY + timedelta(days=1))}, "signed_on"),
        ({"first_day": str(TODAY - timedelta(days=9))}, "first_day"),
        ({"last_day": str(TODAY - timedelta(days=1))}, "last_day"),
        ({"data_until": str(TODAY - timedelta(days=101))}, "data_until"),
        ({"destroy_by": str(TODAY + timedelta(days=199))}, "destroy_by"),
        ({"ssn": "yes"}, "ssn"),
        ({"scope": "x" * 2001}, "scope"),
    ],
)
async def test_what_the_section_does_not_allow_cannot_be_agreed(
    lite: Served, changed: dict[str, Any], wrong: str
) -> None:
    """FERPA 31 §99.31(a)(6)(i): only tests, student aid and instruction; no names; days that can be kept."""
    assert await fields(await lite.post(PATH, "admin", {**AGREEMENT, **changed})) == [wrong]


async def test_the_register_is_the_districts_and_every_change_is_in_the_audit(place: Served) -> None:
    """FERPA 31 §99.31(a)(6): agreements are recorded, listed and ended by the district, and the journal says so."""
    key = {"Idempotency-Key": "once"}
    study = await said(await place.post(PATH, "admin", AGREEMENT, headers=key), 201)
    assert await said(await place.post(PATH, "admin", AGREEMENT, headers=key), 201) == study
    assert (study["state"], study["first_day"], study["recorded_by"]) == ("current", str(TODAY), "admin")
    [listed] = (await said(await place.get(PATH, "admin")))["items"]
    assert listed == study
    for by in ("admin_north", "teacher_a", "guardian_ann", "ann"):
        assert (await place.get(PATH, by)).status_code in (403, 404)
        assert (await place.post(PATH, by, AGREEMENT)).status_code in (403, 404)
    assert (await place.get(PATH)).status_code == 401
    one = f"{PATH}/{study['id']}"
    assert (await place.call("DELETE", one, by="admin")).status_code == 428
    ended = await place.call("DELETE", one, by="admin", headers={"If-Match": '"1"'})
    assert ended.status_code == 204
    assert (await place.call("DELETE", one, by="admin", headers={"If-Match": '"1"'})).status_code == 412
    assert (await place.call("DELETE", f"{PATH}/none", by="admin", headers={"If-Match": '"1"'})).status_code == 404
    [listed] = (await said(await place.get(PATH, "admin")))["items"]
    assert (listed["state"], listed["version"]) == ("ended", 2)
    for kind in ("study_added", "study_ended"):
        [row] = await journal(place, kind)
        assert (row.subject_id, row.actor_id) == (study["id"], "admin")
        assert "Okafor" not in str(row.data)


async def test_nothing_is_given_without_an_agreement_that_holds_for_these_days(lite: Served) -> None:
    """FERPA 31 §99.31(a)(6): no agreement, one not begun, over or ended, other days than agreed: no extract."""
    assert (await asked(lite, {"id": "none"})).status_code == 404
    later = await agreed(lite, first_day=str(TODAY + timedelta(days=1)))
    assert await problem(await asked(lite, later)) == (409, "not-current")
    study = await agreed(lite)
    early = TODAY - timedelta(days=101)
    assert await fields(await asked(lite, study, early)) == ["since"]
    assert await fields(await asked(lite, study, TODAY)) == ["until"]
    assert await fields(await asked(lite, study, SPRING, AUTUMN)) == ["until"]
    narrow = await agreed(lite, data_until=str(AUTUMN), organisation="Other College")
    assert await fields(await asked(lite, narrow, SPRING)) == ["until"]
    made = await said(await asked(lite, study), 201)
    await sql(lite, "UPDATE ferpa_studies SET last_day = ?, first_day = ?", str(early), str(early))
    assert await problem(await asked(lite, study, SPRING)) == (409, "not-current")
    file = f"{PATH}/{study['id']}/extracts/{made['id']}"
    assert await problem(await lite.get(file, "admin")) == (409, "not-current")
    assert await sql(lite, "SELECT count(*) FROM ferpa_study_extracts") == [(1,)]


async def test_without_a_review_of_reidentification_nothing_is_given(sqlite_url: str) -> None:
    """FERPA 35 §99.31(b)(1): no extract is made before the district says where its review is kept."""
    async with served(sqlite_url, enabled=["ferpa"]) as running:
        study = await agreed(running)
        assert await problem(await asked(running, study)) == (409, "no-review")


async def test_an_extract_is_in_the_record_of_disclosures_and_the_audit_before_it_leaves(place: Served) -> None:
    """FERPA 31 §99.31(a)(6): each student's record says who got what for which study; giving it is audited."""
    study = await agreed(place)
    made = await said(await asked(place, study), 201)
    student = "north_9_present_1"
    [entry] = (await said(await place.get(f"~/compliance/ledger?student_id={student}", "admin")))["items"]
    assert entry["party"] == "party:State University"
    assert entry["basis"] == f"99.31(a)(6):{study['id']}"
    assert "improve instruction: Whether homework clubs" in entry["interest"]
    assert (entry["in_record"], entry["notice"], entry["fields"]) == (True, True, ["missed", "school", "grade"])
    await said(await place.get(f"{PATH}/{study['id']}/extracts/{made['id']}", "admin"))
    audited = await sql(
        place,
        "SELECT student_ids, fields, rows, actor FROM ferpa_audit WHERE action = ? ORDER BY id",
        "compliance.manage",
    )
    students, named, rows, actor = audited[-1]
    assert (json.loads(named), rows, actor) == (["grade", "missed", "school"], made["students"], "admin")
    assert student in json.loads(students)
    assert len(json.loads(students)) == made["students"] == 62
    [row] = await journal(place, "extract_made")
    assert row.data["rows"] == 62
    [row] = await journal(place, "extract_given")
    assert (row.data["form"], row.subject_id) == ("json", study["id"])
    [listed] = (await said(await place.get(f"{PATH}/{study['id']}/extracts", "admin")))["items"]
    assert listed == made


async def test_an_extract_that_cannot_be_audited_does_not_leave(lite: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """FERPA 31 §99.32(a)(1): when the audit log cannot take the entry, the file is not answered."""
    study = await agreed(lite)
    made = await said(await asked(lite, study), 201)

    async def fails(*_: Any, **__: Any) -> None:
        raise OSError

    monkeypatch.setattr("homeroom_ferpa.log.part.Log.enter", fails)
    for path in ("", "/csv"):
        refused = await lite.get(f"{PATH}/{study['id']}/extracts/{made['id']}{path}", "admin")
        assert refused.status_code == 503
        assert "missed" not in await refused.get_data(as_text=True)


async def test_destruction_is_a_task_with_a_reminder_until_somebody_has_confirmed_it(place: Served) -> None:
    """FERPA 31 §99.31(a)(6)(iii)(C)(4): destruction is a task with a due date; who confirmed it and how is kept."""
    study = await agreed(place, last_day=str(TODAY), destroy_by=str(TODAY + timedelta(days=20)))
    services = vendor(place, "ferpa")
    rights = Rights(RightsSettings(), services)
    rights.more_looks.append(studies.look)
    research = Research(services=services, settings=ReportsSettings(), notice="-")

    async def task() -> list[tuple[str, str]]:
        found = (await said(await place.get("~/compliance/tasks", "admin")))["items"]
        return [(one["level"], one["due_on"]) for one in found if one["kind"] == "study_destruction"]

    assert await task() == []  # nothing was given yet
    await said(await asked(place, study), 201)
    assert await task() == [("open", study["destroy_by"])]
    assert (await said(await place.get("~/compliance/tasks?school_id=north", "admin_north")))["items"] == []
    for days, level, reminded, overdue in (
        (14, "open", 1, 0),
        (7, "soon", 1, 0),
        (0, "soon", 1, 0),
        (-1, "overdue", 1, 1),
    ):
        due = str(TODAY + timedelta(days=days))
        await sql(place, "UPDATE ferpa_studies SET destroy_by = ?", due)
        await rights.look()
        await rights.look()
        assert await task() == [(level, due)]
        assert len(await journal(place, "study_destruction_due")) == reminded
        assert len(await journal(place, "study_destruction_overdue")) == overdue
    assert "should have been destroyed" in (await research.findings())[0].problem

    assert await fields(await destroyed(place, study, confirmed_by=" ")) == ["confirmed_by"]
    assert await fields(await destroyed(place, study, destroyed_on=str(TODAY + timedelta(days=1)))) == ["destroyed_on"]
    done = await said(await destroyed(place, study))
    assert (done["state"], done["destroyed_on"], done["confirmed_by"]) == ("destroyed", str(TODAY), "A. Okafor")
    assert await task() == []
    assert await research.findings() == []
    assert await problem(await destroyed(place, study)) == (409, "destroyed-already")
    assert (await destroyed(place, {"id": "none"})).status_code == 404
    assert len(await journal(place, "study_destroyed")) == 1
    for kept in ("SELECT 1 FROM ferpa_study_codes", "SELECT 1 FROM ferpa_study_rows"):
        assert await sql(place, kept) == []  # the key goes with what it belonged to
    assert await problem(await asked(place, study, SPRING)) == (409, "not-current")


# Extracts


async def test_an_extract_holds_coarse_values_and_a_random_code_and_nothing_else(place: Served) -> None:
    """FERPA 35 §99.31(b): no name, id, birth date, contact or note; codes by lot; notice and agreement on it."""
    study = await agreed(place)
    made = await said(await asked(place, study), 201)
    one = f"{PATH}/{study['id']}/extracts/{made['id']}"
    answer = await place.get(one, "admin")
    assert answer.headers["Homeroom-Redisclosure-Notice"] == AccessSettings().notice
    found = await said(answer)
    assert (found["notice"], found["agreement"]) == (AccessSettings().notice, AGREEMENT["agreement"])
    assert (found["small_cell"], found["review"]) == (10, REVIEW["reports"]["review"])
    rows = found["rows"]
    assert all(set(row) == {"code", "missed", "school", "grade"} for row in rows)
    assert [row["code"] for row in rows] == sorted(row["code"] for row in rows)  # in no order of the students
    cells = Counter((row["missed"], row["school"], row["grade"]) for row in rows)
    assert cells == {
        ("under 5 %", "North", "9"): 30,
        ("under 5 %", "South", "12"): 16,
        ("20 % or more", "North", None): 16,  # the two of grade 11, and all beside them
    }
    text = await (await place.get(f"{one}/csv", "admin")).get_data(as_text=True)
    head = [line for line in text.splitlines() if line.startswith("# ")]
    assert head[0] == f"# notice: {AccessSettings().notice}"
    assert f"# agreement: {AGREEMENT['agreement']}" in head
    assert f"# destroy by: {AGREEMENT['destroy_by']}" in head
    lines = list(csv.DictReader(line for line in io.StringIO(text) if not line.startswith("#")))
    assert lines == [{key: value or "" for key, value in row.items()} for row in rows]
    ids = [row[0] for row in await sql(place, "SELECT id FROM users UNION SELECT id FROM ferpa_study_codes")]
    for out in (json.dumps(found), text):
        assert not [one for one in (*ids, study["id"], made["id"]) if re.search(rf"\b{re.escape(one)}\b", out)]
        assert not [word for word in ("Gia", "Novak", "77-", "2010", "nurse", "present") if word in out]


async def test_no_small_cell_leaves_and_the_few_are_blanked_with_others(place: Served) -> None:
    """FERPA 35 §99.31(b)(1): the two students of a grade of their own are told of as ten others are, or not at all."""
    study = await agreed(place, data=["school", "grade"])
    rows = (await given(place, study))["rows"]
    cells = Counter((row["school"], row["grade"]) for row in rows)
    assert cells == {("North", "9"): 36, ("North", None): 10, ("South", "12"): 16}
    assert min(cells.values()) >= 10


async def test_codes_last_for_a_study_and_differ_between_studies(place: Served) -> None:
    """FERPA 35 §99.31(b)(2): a student's code is the same in each extract of a study, and another in another study."""
    study = await agreed(place)
    other = await agreed(place, organisation="Other College")
    autumn, spring, elsewhere = [
        {row["code"] for row in (await given(place, which, day))["rows"]}
        for which, day in ((study, AUTUMN), (study, SPRING), (other, AUTUMN))
    ]
    assert autumn == spring
    assert autumn.isdisjoint(elsewhere)
    assert all(re.fullmatch(r"[a-z]{16}", code) for code in autumn | elsewhere)
    stored = str(await sql(place, "SELECT * FROM ferpa_study_codes")) + str(
        await sql(place, "SELECT * FROM ferpa_study_rows")
    )
    assert not [code for code in autumn | elsewhere if code in stored]  # sealed


async def test_the_same_students_get_other_codes_elsewhere(sqlite_url: str, tmp_path: Path) -> None:
    """FERPA 35 §99.31(b)(2): two districts with the same ids, keys and studies: no code comes twice."""
    found = []
    copy = tmp_path / "copy.db"
    await asyncio.to_thread(shutil.copyfile, sqlite_url.removeprefix("sqlite:///"), copy)
    for url in (sqlite_url, f"sqlite:///{copy}"):
        async with served(url, enabled=["ferpa"], sections={"ferpa": REVIEW}) as running:
            await running.district.store.write(attended)
            found.append({row["code"] for row in (await given(running, await agreed(running)))["rows"]})
    assert found[0].isdisjoint(found[1])


async def test_days_are_given_once_to_one_organisation_and_stay_as_they_were(lite: Served) -> None:
    """FERPA 35 §99.31(b)(1): an extract of some of the same days is refused, for one could be taken from the other."""
    study = await agreed(lite)
    first = await given(lite, study)
    await sql(lite, "UPDATE attendance_records SET status = 'absent' WHERE student_id LIKE 'south%'")
    assert await given(lite, study) == first
    assert await problem(await asked(lite, study, AUTUMN, SPRING)) == (409, "overlaps")
    again = await agreed(lite, organisation="STATE University", purpose="tests")
    assert await problem(await asked(lite, again, AUTUMN)) == (409, "overlaps")
    await said(await asked(lite, again, SPRING), 201)
    assert await problem(await asked(lite, study, SPRING)) == (409, "overlaps")
    assert len((await said(await lite.get(f"{PATH}/{study['id']}/extracts", "admin")))["items"]) == 1


async def test_of_two_extracts_at_once_one_is_made(place: Served) -> None:
    """FERPA 35 §99.31(b)(1): two administrators ask at once; what one is given counts for the other."""
    study = await agreed(place)
    answers = await asyncio.gather(*(asked(place, study, day) for day in (AUTUMN, SPRING, AUTUMN)))
    codes = sorted(answer.status_code for answer in answers)
    assert set(codes) <= {201, 409}
    assert 201 in codes
    made = (await said(await place.get(f"{PATH}/{study['id']}/extracts", "admin")))["items"]
    assert [one["number"] for one in made] == list(range(1, len(made) + 1))
    assert len({(one["since"], one["until"]) for one in made}) == len(made)


async def test_too_few_students_are_no_extract(lite: Served) -> None:
    """FERPA 35 §99.31(b)(1): days on which fewer students than n have marks are refused, and no row is kept."""
    study = await agreed(lite)
    await sql(lite, "DELETE FROM attendance_records WHERE student_id NOT LIKE 'north_11%'")
    assert await problem(await asked(lite, study)) == (409, "too-little")
    assert await problem(await asked(lite, study, TODAY - timedelta(days=90))) == (409, "too-little")
    assert await sql(lite, "SELECT count(*) FROM ferpa_study_rows") == [(0,)]


async def test_a_lower_limit_tells_no_more_of_whom_a_study_knows(lite: Served) -> None:
    """FERPA 35 §99.31(b)(1): the limit of a study's first extract holds for its later ones."""
    study = await agreed(lite)
    await given(lite, study)
    lower = ReportsSettings(small_cell=3, review="26-03")
    made = await extracts.make(vendor(lite, "ferpa"), lower, study["id"], SPRING, SPRING)
    assert (made.number, made.small_cell) == (2, 10)


async def test_a_schools_name_is_no_formula_in_a_spreadsheet(lite: Served) -> None:
    """FERPA 35 §99.31(b): what a spreadsheet would take for a formula is marked as text; two schools keep apart."""
    await sql(lite, "UPDATE orgs SET name = '=HYPERLINK(1)' WHERE id IN ('north', 'south')")
    study = await agreed(lite, data=["school"])
    made = await said(await asked(lite, study), 201)
    text = await (await lite.get(f"{PATH}/{study['id']}/extracts/{made['id']}/csv", "admin")).get_data(as_text=True)
    assert ",'=HYPERLINK(1) (north)" in text
    assert ",=" not in text


# Who a code is


async def test_only_the_district_finds_out_whose_a_code_is_with_a_reason_that_is_kept(place: Served) -> None:
    """FERPA 35 §99.31(b)(2): the key stays inside: an administrator looks a code up, with a reason; nobody else can."""
    study = await agreed(place)
    code = (await given(place, study))["rows"][0]["code"]
    path, body = f"{PATH}/{study['id']}/lookups", {"code": code, "reason": "The study has found a danger to health."}
    for by in ("admin_north", "teacher_a", "guardian_ann", "ann"):
        assert (await place.post(path, by, body)).status_code in (403, 404)
    assert (await place.post(path, None, body)).status_code == 401
    for lacking in ("code", "reason"):
        assert await fields(await place.post(path, "admin", {**body, lacking: " "})) == [lacking]
    other = await agreed(place, organisation="Other College")
    assert (await place.post(f"{PATH}/{other['id']}/lookups", "admin", body)).status_code == 404
    assert (await place.post(path, "admin", {**body, "code": "bcdfghjkmnpqrstv"})).status_code == 404
    assert await journal(place, "code_looked_up") == []
    student = (await said(await place.post(path, "admin", {**body, "code": code.upper()})))["student_id"]
    assert await sql(place, "SELECT status FROM attendance_records WHERE student_id = ?", student)
    [row] = await journal(place, "code_looked_up")
    assert (row.student_id, row.actor_id, row.subject_id) == (student, "admin", study["id"])
    [(sealed, by)] = await sql(place, "SELECT reason, looked_up_by FROM ferpa_study_lookups")
    assert (await place.district.store.read(lambda c: c.unseal_for(student, sealed)), by) == (body["reason"], "admin")
    audited = await sql(place, "SELECT student_ids FROM ferpa_audit WHERE fields = ?", '["record_code"]')
    assert [json.loads(students) for (students,) in audited] == [[student]]


async def test_an_erased_students_code_is_nobodys(place: Served) -> None:
    """FERPA 35 §99.31(b)(2): after erasure the code belongs to nobody, and no later extract has the student."""
    study = await agreed(place)
    codes = {row["code"] for row in (await given(place, study))["rows"]}
    lookups = f"{PATH}/{study['id']}/lookups"
    code = min(codes)
    student = (await said(await place.post(lookups, "admin", {"code": code, "reason": "A danger."})))["student_id"]
    # by the core alone, as a restored backup is made safe: the row of the code is still there, but nobody can open it
    await place.district.store.write(lambda tx: erase(tx, student))
    assert (await place.post(lookups, "admin", {"code": code, "reason": "A danger."})).status_code == 404
    made = await said(await asked(place, study), 201)
    again = await place.get(f"{PATH}/{study['id']}/extracts/{made['id']}", "admin")
    assert await problem(again) == (409, "changed-since")  # the row that is missing would show who was erased
    spring = {row["code"] for row in (await given(place, study, SPRING))["rows"]}
    assert code not in spring
    assert spring < codes
    assert len(codes - spring) >= 10
    assert await sql(place, "SELECT 1 FROM person_keys WHERE user_id = ?", student) == []  # none was made anew


async def test_erasing_and_purging_take_the_key_and_leave_what_was_told_as_nobodys(
    sqlite_url: str, tmp_path: Path
) -> None:
    """FERPA 35 §99.31(b)(2): with a student's record goes the row that says whose the code is; so does the reason."""
    sections = {"ferpa": {**REVIEW, "rights": {"retention": {"attendance": 1}}}}
    listed = tmp_path / "erased.txt"
    async with served(sqlite_url, enabled=["ferpa"], sections=sections, erasure_list=listed) as running:
        await running.district.store.write(attended)
        study = await agreed(running)
        await given(running, study)
        rows = await sql(running, "SELECT count(*) FROM ferpa_study_rows")
        one, other = "south_12_tardy_1", "south_12_tardy_2"
        key = "INSERT INTO ferpa_study_lookups VALUES (?, ?, ?, 'sealed', 'admin', '')"
        for student in (one, other):
            await sql(running, key, student, study["id"], student)
        body = {"why": "Board resolution 26-14", "confirm": one}
        await said(await running.post(f"~/compliance/people/{one}/erase", "admin", body))
        assert await sql(running, "SELECT reason FROM ferpa_study_lookups WHERE student_id = ?", one) == [("",)]
        hold = (
            "INSERT INTO ferpa_holds (id, student_id, reference, set_at) SELECT id, id, '', '' FROM users WHERE id <> ?"
        )
        await sql(running, hold, other)
        done = (await said(await running.post("~/compliance/retention", "admin", {"dry_run": False})))["item"]
        assert (done["students"], done["counts"]["study_codes"], done["counts"]["study_lookups"]) == (1, 1, 1)
        for student in (one, other):
            assert await sql(running, "SELECT 1 FROM ferpa_study_codes WHERE student_id = ?", student) == []
        assert await sql(running, "SELECT count(*) FROM ferpa_study_rows") == rows


# The commands


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    config = (
        '[attendance]\ntime_zone = "UTC"\n[plugins]\nenabled = ["ferpa"]\n[plugins.ferpa.reports]\nreview = "26-03"\n'
    )
    with commands.installed(tmp_path, monkeypatch, config) as folder:
        assert run("db", "upgrade").exit_code == 0
        yield folder


def test_the_commands_list_studies_and_write_extracts_that_nobody_else_reads(installed: Path) -> None:
    """FERPA 31 §99.31(a)(6): the command writes under an agreement alone, enters it first and overwrites nothing."""
    assert "no study agreements" in run("compliance", "studies").stdout
    given = {**AGREEMENT, "first_day": str(TODAY)}
    days = {name: date.fromisoformat(value) for name, value in given.items() if name in studies._DAYS}
    study = studies.Study(**{**given, **days, "id": "study-1", "data": ("missed", "school")})
    settings = load_settings()
    with Store(settings.database.url, cipher=settings.cipher()) as store:
        store.write_now(world.build)
        store.write_now(attended)
        store.write_now(lambda tx: studies.add(tx, study))
    [listed] = json.loads(run("compliance", "studies", "--json").stdout)["studies"]
    assert (listed["state"], listed["organisation"]) == ("current", "State University")
    assert "State University" in run("compliance", "studies").stdout

    def extract(out: str, *more: str, study_id: str = "study-1", since: date = AUTUMN) -> Result:
        named = ("--since", str(since), "--until", str(AUTUMN), "--out", out)
        return run("compliance", "extract", study_id, *named, *more)

    told = json.loads(extract("autumn.csv", "--json").stdout)
    assert (told["rows"], told["number"]) == (62, 1)
    path = installed / "autumn.csv"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text("utf-8").startswith("# notice: ")
    assert extract("autumn.csv").exit_code == 2
    assert extract("autumn.xlsx").exit_code == 2
    shown = extract("autumn.json")
    assert (shown.exit_code, "destroyed by" in shown.stdout) == (0, True)
    assert len(json.loads((installed / "autumn.json").read_text("utf-8"))["rows"]) == 62
    for refused, words in (
        (extract("a.csv", study_id="none"), "no such entry"),
        (extract("a.csv", since=SPRING), "--until must be a day that is over"),
        (extract("a.csv", since=TODAY - timedelta(days=200)), "--since the agreement names"),
        (extract("no/such/folder/a.csv"), "cannot be written"),
    ):
        assert refused.exit_code == 1
        assert words in refused.output
    assert not (installed / "a.csv").exists()
    with Store(settings.database.url, cipher=settings.cipher()) as store:
        ledger = store.read_now(lambda c: c.sql("SELECT party, whole_district FROM ferpa_ledger"))
        given_out = store.read_now(
            lambda c: c.sql("SELECT count(*) FROM journal WHERE kind = 'compliance.extract_given'")
        )
    assert ledger == [("party:State University", 0)]
    assert given_out == [(3,)]
    assert extracts.PURPOSES.keys() == {"tests", "student_aid", "instruction"}
