"""The Ed-Fi connector beside its simulator: what is read, what changes, and attendance events on their natural key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from quart import Response, request

from homeroom import NOUNS, Enrollment, Noun, OutgoingMark, Page, Pull, SourceError, User, facts_of
from homeroom.testing import FakeClock, hurried, sample_district, services
from homeroom_edfi import EdFi, keys
from homeroom_edfi.connector import Connector
from homeroom_edfi.simulator import EdFiSimulator

URL = "https://ods.example"
DAY = date(2026, 9, 14)


class Ods:
    """A simulator, the connector that reads it, and a clock."""

    def __init__(
        self, *, misbehave: Collection[str] = (), settings: Mapping[str, Any] | None = None, **how: Any
    ) -> None:
        self.simulator = EdFiSimulator(sample_district(students=40), misbehave=misbehave, **how)
        self.clock = FakeClock()
        given = services("edfi", http=self.simulator.app, clock=self.clock)
        made = EdFi.Settings.model_validate({**self.simulator.settings(URL), "page_size": 25, **(settings or {})})
        self.connector = Connector(made, given)

    async def pages(self, noun: Noun, *, since: datetime | None = None, cursor: str | None = None) -> list[Page]:
        return [page async for page in self.connector.pull(Pull(noun=noun, since=since, cursor=cursor))]

    async def records(self, noun: Noun, **how: Any) -> list[Any]:
        return [record for page in await self.pages(noun, **how) for record in page.records]

    def seat(self) -> Enrollment:
        """A student's seat as the sample has it."""
        return next(one for one in self.simulator.district.enrollments if one.role == "student")

    async def mark(self, **values: Any) -> OutgoingMark:
        """A mark of that student in that class, in the connector's ids."""
        seat = next(one for one in await self.records("enrollment") if one.role == "student")
        made = OutgoingMark(
            key="1",
            student=seat.user,
            school=seat.school or "",
            class_=seat.class_,
            school_day=DAY,
            status="absent",
            recorded_at=datetime(2026, 9, 14, 14, tzinfo=UTC),
        )
        return replace(made, **values)

    @property
    def codes(self) -> list[str]:
        return [event["code"] for event in self.simulator.attendance()]


async def test_every_noun_is_read_and_refers_only_to_what_is_there() -> None:
    ods = Ods()
    found = {noun: await ods.records(noun) for noun in NOUNS}
    ids = {noun: {record.sourced_id for record in records} for noun, records in found.items()}
    sample = ods.simulator.district
    assert len(found["user"]) == len(sample.users)
    assert len(found["enrollment"]) == len(sample.enrollments)
    assert {group.course for group in found["class"]} <= ids["course"]
    assert {term for group in found["class"] for term in group.terms} <= ids["academicSession"]
    assert {seat.user for seat in found["enrollment"]} <= ids["user"]
    assert {seat.class_ for seat in found["enrollment"]} <= ids["class"]
    assert {agent for user in found["user"] for agent in user.agents} <= ids["user"]


async def test_people_have_their_roles_grades_guardians_and_addresses() -> None:
    ods = Ods()
    users: list[User] = await ods.records("user")
    student = next(user for user in users if user.sourced_id.startswith("student:") and user.agents)
    guardian = next(user for user in users if user.sourced_id == student.agents[0])
    teacher = next(user for user in users if "-t-" in user.sourced_id)
    assert student.grades
    assert student.birth_date is not None
    assert [role.role for role in student.roles] == ["student"] * len(student.roles)
    assert guardian.roles[0].role == "guardian"
    assert guardian.sms is not None
    assert teacher.roles[0].role == "teacher"


async def test_who_teaches_is_a_teacher_where_the_ods_keeps_no_schools_of_its_staff() -> None:
    ods = Ods()
    rows = ods.simulator.rows
    told = {user.sourced_id: user.roles for user in await ods.records("user") if user.sourced_id.startswith("staff")}
    rows["staffSchoolAssociations"] = []
    rows["staffSectionAssociations"].append({"sectionReference": {}})
    seats = [one for one in await ods.records("enrollment") if one.role == "teacher"]
    found = {user.sourced_id: user.roles for user in await ods.records("user") if user.sourced_id.startswith("staff")}
    assert {seat.user for seat in seats} == {person for person, roles in found.items() if roles}
    assert {(person, role) for person, roles in found.items() for role in roles} <= {
        (person, role) for person, roles in told.items() for role in roles
    }
    for row in rows["staffSectionAssociations"]:
        row["endDate"] = (ods.clock.now() - timedelta(days=3)).date().isoformat()
    assert not any(user.roles for user in await ods.records("user") if user.sourced_id.startswith("staff"))


async def test_up_to_data_standard_4_contacts_are_called_parents() -> None:
    ods, old = Ods(), Ods()
    rows = old.simulator.rows
    rows["parents"] = [{**row, "parentUniqueId": row.pop("contactUniqueId")} for row in rows.pop("contacts")]
    rows["studentParentAssociations"] = [
        {
            "id": row["id"],
            "studentReference": row["studentReference"],
            "parentReference": {"parentUniqueId": row["contactReference"]["contactUniqueId"]},
        }
        for row in rows.pop("studentContactAssociations")
    ]

    assert await old.records("user") == await ods.records("user")
    assert await old.connector.check() == []
    old.simulator.may_not.add("studentParentAssociations")
    assert [one.problem for one in await old.connector.check()] == ["The key may not read studentParentAssociations."]


@pytest.mark.parametrize(
    ("stays", "begins"),
    [
        ([("2026-08-03", "2027-01-15"), ("2027-01-18", None)], "2026-08-03"),  # today is the first of September
        ([("2027-01-18", None), ("2026-08-03", "2027-01-15")], "2026-08-03"),
        ([("2027-01-18", None), ("2025-08-03", "2026-06-01"), ("2026-10-01", "2026-12-01")], "2026-10-01"),
        ([("2025-08-03", "2026-06-01"), ("2024-08-03", "2025-06-01")], "2025-08-03"),
    ],
)
async def test_of_several_times_at_a_school_the_one_that_holds_today_counts(
    stays: list[tuple[str, str | None]], begins: str
) -> None:
    ods = Ods()
    first, *_ = rows = ods.simulator.rows["studentSchoolAssociations"]
    rows[:1] = [
        {**first, "id": entry, "entryDate": entry, **({"exitWithdrawDate": end} if end else {})} for entry, end in stays
    ]
    user = next(one for one in await ods.records("user") if one.sourced_id.endswith(f":{_unique(first)}"))

    assert [role.begins_on for role in user.roles if role.org == str(first["schoolReference"]["schoolId"])] == [
        date.fromisoformat(begins)
    ]
    assert bool(user.grades) == (begins > "2026-06")


def _unique(row: Mapping[str, Any]) -> str:
    return str(row["studentReference"]["studentUniqueId"])


async def test_a_birth_date_that_is_kept_from_us_leaves_the_known_one_as_it_is() -> None:
    ods = Ods()
    del ods.simulator.rows["students"][0]["birthDate"]

    pages = await ods.pages("user")

    assert [error for page in pages for error in page.errors] == []
    first = pages[0].records[0]
    assert isinstance(first, User)
    assert first.only is not None
    assert set(facts_of(User)) - set(first.only) == {"birth_date"}


async def test_a_row_beside_the_people_that_cannot_be_read_fails_the_run_by_its_place() -> None:
    ods = Ods()
    del ods.simulator.rows["studentSchoolAssociations"][2]["entryDate"]

    with pytest.raises(SourceError, match="studentSchoolAssociations, row 3 cannot be read: entryDate is missing"):
        await ods.pages("user")


async def test_the_last_day_of_an_association_is_still_attended() -> None:
    ods = Ods()
    ods.simulator.rows["studentSectionAssociations"][0]["endDate"] = "2026-10-30"
    seats = await ods.records("enrollment")
    assert date(2026, 10, 31) in {seat.ends_on for seat in seats}
    ods = Ods(settings={"end_dates": "exclusive"})
    ods.simulator.rows["studentSectionAssociations"][0]["endDate"] = "2026-10-30"
    assert date(2026, 10, 30) in {seat.ends_on for seat in await ods.records("enrollment")}


async def test_the_count_of_a_noun_is_that_of_all_its_resources() -> None:
    pages = await Ods().pages("user")
    assert [page.total for page in pages[:-1]] == [None] * (len(pages) - 1)
    assert pages[-1].total == sum(len(page.records) for page in pages)


async def test_a_row_that_cannot_be_read_is_told_with_its_place() -> None:
    ods = Ods()
    del ods.simulator.rows["students"][1]["lastSurname"]
    pages = await ods.pages("user")
    (error,) = [error for page in pages for error in page.errors]
    assert (error.where, error.field) == ("students, row 2", "lastSurname")


@pytest.mark.parametrize("born", ["0014-05-01", "05/01/2014"])
async def test_hazard_17_a_birth_date_that_cannot_be_read_keeps_nobody_out(born: str) -> None:
    ods = Ods()
    for people in ("students", "staffs"):  # of staff no birth date is read
        ods.simulator.rows[people][1]["birthDate"] = born
    pages = await ods.pages("user")
    (error,) = [error for page in pages for error in page.errors]
    assert (error.where, error.field, error.part) == ("students, row 2", "birthDate", True)
    (found,) = [one for page in pages for one in page.records if one.sourced_id == error.sourced_id]
    assert isinstance(found, User)
    assert found.roles
    assert "birth_date" not in (found.only or ("birth_date",))


async def test_a_list_beside_the_people_that_stops_early_takes_nobody_s_school_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ods = Ods()
    rows, given = ods.simulator.rows["studentSchoolAssociations"], ods.simulator.page

    def short(some: Any, offset: int, limit: int) -> Any:
        return [] if some is rows and offset else given(some, offset, limit)

    monkeypatch.setattr(ods.simulator, "page", short)
    with pytest.raises(SourceError, match="counts 40 studentSchoolAssociations and gave 25") as caught:
        await ods.pages("user")
    assert caught.value.retry


async def test_a_row_that_goes_while_the_lists_beside_the_people_are_read_takes_nobody_else_s_school_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ods = Ods()
    rows, given = ods.simulator.rows["studentSchoolAssociations"], ods.simulator.page

    def shrinking(some: Any, offset: int, limit: int) -> Any:
        if some is rows and offset:
            del rows[0]
        return given(some, offset, limit)

    monkeypatch.setattr(ods.simulator, "page", shrinking)  # somebody deletes one between two pages
    with pytest.raises(SourceError, match="counts 40 studentSchoolAssociations and gave 39"):
        await ods.pages("user")


@pytest.mark.parametrize("where", ["deletes", "rows"])
async def test_a_time_behind_a_day_makes_no_other_enrolment_of_it(where: str) -> None:
    ods = Ods()
    await ods.pages("org")
    noted = ods.clock.now()
    seat = next(one for one in await ods.records("enrollment") if one.role == "student")
    if where == "rows":
        ods.simulator.rows["studentSectionAssociations"][0]["beginDate"] += "T00:00:00"
        assert seat.sourced_id in {one.sourced_id for one in await ods.records("enrollment")}
        return
    ods.simulator.remove("studentSectionAssociations")
    ods.simulator.gone["studentSectionAssociations"][0]["keyValues"]["beginDate"] += "T00:00:00"
    (ended,) = await ods.records("enrollment", since=noted)
    assert (ended.sourced_id, ended.status) == (seat.sourced_id, "tobedeleted")


async def test_a_later_run_asks_only_for_the_enrolments_that_changed() -> None:
    ods = Ods()
    await ods.pages("org")
    noted = ods.clock.now()
    ods.clock.move(3600)
    gone = ods.simulator.remove("studentSectionAssociations")
    pages = await ods.pages("enrollment", since=noted)
    (ended,) = [record for page in pages for record in page.records if isinstance(record, Enrollment)]
    assert (ended.status, ended.user) == ("tobedeleted", f"student:{gone['studentReference']['studentUniqueId']}")
    assert not any(page.whole for page in pages)


async def test_what_was_deleted_and_made_again_is_there() -> None:
    ods = Ods()
    await ods.pages("org")
    noted = ods.clock.now()
    ods.simulator.add("studentSectionAssociations", ods.simulator.remove("studentSectionAssociations"))
    last = (await ods.records("enrollment", since=noted))[-1]
    assert last.status == "active"


async def test_a_changed_key_ends_the_old_enrolment() -> None:
    ods = Ods()
    await ods.pages("org")
    noted = ods.clock.now()
    old = next(one for one in await ods.records("enrollment") if one.role == "student")
    row = ods.simulator.remove("studentSectionAssociations")
    change = ods.simulator.gone["studentSectionAssociations"].pop()
    ods.simulator.renamed["studentSectionAssociations"] = [
        {"id": change["id"], "changeVersion": change["changeVersion"], "oldKeyValues": change["keyValues"]}
    ]
    ods.simulator.add("studentSectionAssociations", {**row, "beginDate": "2026-09-01"})
    found = await ods.records("enrollment", since=noted)
    assert (found[0].sourced_id, found[0].status) == (old.sourced_id, "tobedeleted")
    assert found[1].begins_on == date(2026, 9, 1)


@pytest.mark.parametrize("how", [{"with_changes": False}, {}])
async def test_without_a_version_from_before_everything_is_read(how: dict[str, Any]) -> None:
    ods = Ods(**how)
    await ods.pages("org")
    pages = await ods.pages("enrollment", since=ods.clock.now() - timedelta(days=1))
    assert all(page.whole for page in pages)


async def test_hazard_16_a_changed_category_leaves_one_event() -> None:
    ods = Ods()
    mark = await ods.mark()
    (first,) = await ods.connector.push([mark])
    (second,) = await ods.connector.push([replace(mark, key="2", status="tardy", held=first.held)])
    assert (first.held, second.held, second.read_back) == ("Unexcused Absence", "Tardy", True)
    assert ods.codes == ["Tardy"]
    writes = [(one.method, one.status) for one in ods.simulator.asked if "AttendanceEvents" in one.path]
    assert writes[-3:-1] == [("POST", 201), ("DELETE", 204)]  # never without any


async def test_hazard_16_ids_that_differ_only_in_case_are_the_same_student() -> None:
    ods = Ods()
    mark = await ods.mark()
    await ods.connector.push([mark])
    for events in ods.simulator.events.values():
        for row in events.values():
            row["studentReference"] = {"studentUniqueId": row["studentReference"]["studentUniqueId"].upper()}
    (again,) = await ods.connector.push([replace(mark, held="Unexcused Absence")])
    assert (again.error, len(ods.codes)) == (None, 1)


async def test_two_meetings_of_a_section_on_one_day_are_one_event_and_the_last_one_counts() -> None:
    ods = Ods()
    mark = await ods.mark()
    third, fourth = replace(mark, key="3"), replace(mark, key="4", status="tardy")

    for _ in range(2):  # an answer that was lost: they come once more
        answers = await ods.connector.push([third, fourth])
        assert [(one.key, one.error, one.differs, one.held) for one in answers] == [
            ("3", None, False, "Tardy"),
            ("4", None, False, "Tardy"),
        ]
        assert all(one.read_back for one in answers)
        assert ods.codes == ["Tardy"]
    assert len([one for one in ods.simulator.asked if one.method == "POST" and "Attendance" in one.path]) == 1


async def test_what_an_overtaken_meeting_left_is_ours_and_what_somebody_else_wrote_is_not() -> None:
    ods = Ods()
    mark = await ods.mark()
    third, fourth = replace(mark, key="3"), replace(mark, key="4", status="tardy")
    await ods.connector.push([third])  # it arrived, and its answer did not
    await ods.connector.push([third, fourth])
    assert ods.codes == ["Tardy"]

    corrected = [replace(third, status="present", held="Tardy"), replace(fourth, status="absent", held="Tardy")]
    await ods.connector.push([replace(mark, key="office", status="excused", overwrite=True)])
    answers = await ods.connector.push(corrected)
    assert [(one.key, one.differs, one.held) for one in answers] == [
        ("3", True, "Excused Absence"),
        ("4", True, "Excused Absence"),
    ]
    await ods.connector.push([replace(corrected[0], overwrite=True), corrected[1]])
    assert ods.codes == ["Unexcused Absence"]


async def test_the_same_mark_twice_is_one_event_and_one_write() -> None:
    ods = Ods()
    mark = await ods.mark()
    await ods.connector.push([mark])
    before = len([one for one in ods.simulator.asked if one.method == "POST"])
    (again,) = await ods.connector.push([mark])
    assert (again.error, again.differs, again.held) == (None, False, "Unexcused Absence")
    assert len([one for one in ods.simulator.asked if one.method == "POST"]) == before


async def test_what_somebody_else_wrote_is_shown_and_overwritten_only_when_chosen() -> None:
    ods = Ods()
    mark = await ods.mark()
    await ods.connector.push([replace(mark, status="excused")])
    (other,) = await ods.connector.push([mark])
    assert (other.differs, other.held, ods.codes) == (True, "Excused Absence", ["Excused Absence"])
    (chosen,) = await ods.connector.push([replace(mark, overwrite=True)])
    assert (chosen.error, ods.codes) == (None, ["Unexcused Absence"])


@pytest.mark.parametrize(
    ("told", "sent"),
    [
        ({"code": "MED", "category": "Excused Absence"}, "Excused Absence"),
        ({"code": "MED"}, "Unexcused Absence"),
        ({"category": "Unexcused Absence"}, "Tardy"),
        ({"code": "FIELD", "category": "Unexcused Absence"}, "In Attendance"),
    ],
)
async def test_the_category_is_the_districts_own_for_a_code_else_what_the_code_stands_for(
    told: dict[str, str], sent: str
) -> None:
    own = {"FIELD": "In Attendance"} | ({"absent": "Tardy"} if "code" not in told else {})
    ods = Ods(settings={"categories": own})
    await ods.connector.push([await ods.mark(**told)])
    assert ods.codes == [sent]


async def test_a_withdrawn_mark_leaves_no_event() -> None:
    ods = Ods()
    mark = await ods.mark()
    await ods.connector.push([mark])
    (gone,) = await ods.connector.push([replace(mark, status=None, held="Unexcused Absence")])
    assert (gone.error, gone.held, ods.codes) == (None, None, [])


async def test_a_district_may_keep_events_only_for_those_not_present() -> None:
    ods = Ods(settings={"present": "delete"})
    mark = await ods.mark()
    await ods.connector.push([mark])
    (back,) = await ods.connector.push([replace(mark, status="present", held="Unexcused Absence")])
    assert (back.held, ods.codes) == (None, [])


async def test_day_marks_become_school_events_in_the_session_of_that_day() -> None:
    ods = Ods(settings={"attendance": "school"})
    (sent,) = await ods.connector.push([await ods.mark(class_=None)])
    assert (ods.connector.attendance_level, sent.read_back, ods.codes) == ("day", True, ["Unexcused Absence"])
    (summer,) = await ods.connector.push([await ods.mark(class_=None, school_day=date(2027, 7, 4))])
    assert summer.error == "the ODS has no session of this school on that day"


async def test_a_mark_that_the_ods_refuses_stops_no_other() -> None:
    ods = Ods()
    mark = await ods.mark()
    strange = replace(mark, key="2", student="student:nobody")
    lost = replace(mark, key="3", class_="no key of a section")
    good, refused, nowhere = await ods.connector.push([mark, strange, lost])
    assert good.error is None
    assert refused.error is not None
    assert nowhere.error == "the class is no section of this ODS"


def _fails(ods: Ods, method: str, student: str = "") -> list[str]:
    """Answer 500 to these requests about events, of one student where one is named; gives their paths so far."""
    failed: list[str] = []

    async def fail() -> Response | None:
        about = "AttendanceEvents" in request.path and request.method == method
        if not about or student not in (await request.get_data(as_text=True)):
            return None
        failed.append(request.path)
        return Response("", 500)

    ods.simulator.app.before_request(fail)
    return failed


async def _of_a_class(ods: Ods, count: int) -> list[OutgoingMark]:
    """Marks of so many students of one class."""
    seats = [one for one in await ods.records("enrollment") if one.role == "student"]
    mark = await ods.mark()
    same = [one for one in seats if one.class_ == mark.class_][:count]
    return [replace(mark, key=str(number), student=one.user) for number, one in enumerate(same)]


def test_a_write_at_which_the_ods_fails_keeps_no_other_from_being_written() -> None:
    ods = Ods()
    marks = hurried(_of_a_class(ods, 3))
    _fails(ods, "POST", keys.unique_id(marks[0].student))

    first, second, third = hurried(ods.connector.push(marks))

    assert (first.error, first.retry) == ("the system failed (status 500)", True)
    assert [(one.error, one.read_back) for one in (second, third)] == [(None, True)] * 2


def test_where_every_write_fails_each_mark_may_come_again_and_few_are_tried() -> None:
    ods = Ods()
    marks = hurried(_of_a_class(ods, 6))
    failed = _fails(ods, "POST")

    answers = hurried(ods.connector.push(marks))

    assert [one.key for one in answers] == [mark.key for mark in marks]
    assert all(one.retry and one.error for one in answers)
    assert len(failed) == 3 * 4  # each is sent four times; then it is the ODS, and not a mark
    assert [one.tried for one in answers] == [True] * 3 + [False] * 3


def test_hazard_16_a_correction_that_was_done_by_half_is_finished_and_no_conflict() -> None:
    ods = Ods()
    mark = hurried(ods.mark())
    [absent] = hurried(ods.connector.push([mark]))
    failing = _fails(ods, "DELETE")
    corrected = replace(mark, key="2", status="tardy", held=absent.held)
    [half] = hurried(ods.connector.push([corrected]))
    both = list(ods.codes)
    ods.simulator.app.before_request_funcs[None].pop()

    [whole] = hurried(ods.connector.push([corrected]))

    assert failing
    assert (half.retry, sorted(both)) == (True, ["Tardy", "Unexcused Absence"])
    assert (whole.error, whole.differs, ods.codes) == (None, False, ["Tardy"])


async def test_a_sign_in_that_is_refused_in_the_middle_fails_no_mark_for_good() -> None:
    ods = Ods()
    written: list[str] = []

    async def refused() -> Response | None:
        if request.path == "/oauth/token" and written:
            return Response('{"error": "invalid_client"}', 400, {"Content-Type": "application/json"})
        if request.method == "POST" and "AttendanceEvents" in request.path:
            ods.simulator.expire_tokens()
            written.append(request.path)
        return None

    ods.simulator.app.before_request(refused)
    mark = await ods.mark()
    with pytest.raises(SourceError, match="client id and secret were refused"):
        await ods.connector.push([mark])


async def test_a_whole_school_day_costs_two_reads_beside_the_writes() -> None:
    ods = Ods(settings={"page_size": 500})
    seats = [one for one in await ods.records("enrollment") if one.role == "student"][:100]
    mark = await ods.mark()
    marks = [
        replace(mark, key=str(n), student=one.user, class_=one.class_, school=one.school or "")
        for n, one in enumerate(seats)
        if one.school == mark.school
    ]
    ods.simulator.asked.clear()
    await ods.connector.push(marks)
    others = [one for one in ods.simulator.asked if one.method != "POST"]
    assert len(others) == 2


async def test_check_names_each_resource_and_category_that_is_missing() -> None:
    ods = Ods(may_not={"staffs", "studentSectionAttendanceEvents"}, settings={"categories": {"tardy": "Late"}})
    problems = [finding.problem for finding in await ods.connector.check()]
    assert problems == [
        "The key may not read staffs.",
        "The key may not use studentSectionAttendanceEvents.",
        "The ODS has no category Late.",
    ]
    assert await Ods().connector.check() == []


async def test_an_ods_without_change_versions_is_said_to_cost_time() -> None:
    (finding,) = await Ods(with_changes=False).connector.check()
    assert "every run reads all enrolments" in finding.problem


async def test_an_outage_is_a_failure_and_never_an_empty_school() -> None:
    with pytest.raises(SourceError, match="maintenance"):
        await Ods(misbehave={"outage"}).pages("org")


async def test_a_foreign_cursor_is_refused() -> None:
    with pytest.raises(SourceError, match="start a new run"):
        await Ods().pages("org", cursor="x")


def test_paths_begin_with_a_slash() -> None:
    with pytest.raises(ValidationError, match="begins with /"):
        EdFi.Settings.model_validate({"base_url": URL, "client_id": "a", "client_secret": "b", "data_path": "data/v3"})


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_keys_keep_every_character(parts: list[str]) -> None:
    assert keys.parts_of(keys.joined(*parts)) == parts
