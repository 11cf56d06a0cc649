"""Rosters from Qmlativ: its Generic API read by keys, its own words for an ended token, and OneRoster beside it."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from pydantic import ValidationError
from quart import Response, request

from homeroom import AcademicSession, Class, Course, Enrollment, Pull, SourceError, User
from homeroom.testing import SampleDistrict, hurried, sample_district
from homeroom_skyward import SkywardSettings
from homeroom_skyward.numbers import number
from homeroom_skyward.simulator import SkywardQmlativSimulator
from tests.services.qmlativ import URL, connector_to, pages_of, records_in


@pytest.fixture
def district() -> SampleDistrict:
    return sample_district(students=60)


def _simulator(district: SampleDistrict, **more: Any) -> SkywardQmlativSimulator:
    return SkywardQmlativSimulator(district, **{"roster": "api", **more})


def _student(district: SampleDistrict, position: int = 0) -> User:
    return district.people("student")[position]


def _id(user: User) -> str:
    return f"student-{number('student', user.sourced_id)}"


async def test_the_whole_roster_is_read(district: SampleDistrict) -> None:
    connector = connector_to(_simulator(district))

    read = {noun: records_in(await pages_of(connector, noun)) for noun in connector.nouns}

    assert len(read["org"]) == len(district.schools)
    assert len(read["course"]) == len(district.courses)
    assert len(read["class"]) == len(district.classes)
    assert len(read["enrollment"]) == len(district.enrollments)
    staff = [user for user in district.users if user.roles[0].role not in ("student", "guardian")]
    assert len(read["user"]) == len(district.people("student")) + len(staff)


async def test_a_class_has_its_school_course_term_and_period(district: SampleDistrict) -> None:
    one = district.classes[3]
    connector = connector_to(_simulator(district))

    found = records_in(await pages_of(connector, "class"))[str(number("section", one.sourced_id))]
    [course] = [
        course
        for course in records_in(await pages_of(connector, "course")).values()
        if isinstance(course, Course) and course.sourced_id == str(number("course", one.course or ""))
    ]

    assert isinstance(found, Class)
    assert (found.title, found.code, found.periods) == (one.title, one.code, one.periods)
    assert found.school == course.org == str(number("school", one.school))
    assert found.terms == (str(number("calendar", one.school)),)


async def test_hazard_3_the_last_day_is_the_last_one_unless_the_district_says_otherwise(
    district: SampleDistrict,
) -> None:
    year = next(one for one in district.academic_sessions if one.kind == "schoolYear")
    ends = {}
    for how in ("inclusive", "exclusive"):
        pages = await pages_of(connector_to(_simulator(district), end_dates=how), "academicSession")
        ends[how] = {one.ends_on for one in records_in(pages).values() if isinstance(one, AcademicSession)}

    assert ends == {"inclusive": {year.ends_on}, "exclusive": {year.ends_on - timedelta(days=1)}}


async def test_hazard_17_a_birth_date_is_a_day_whatever_time_stands_behind_it(district: SampleDistrict) -> None:
    user = _student(district)

    found = records_in(await pages_of(connector_to(_simulator(district)), "user"))[_id(user)]

    assert isinstance(found, User)
    assert found.birth_date == user.birth_date


async def test_hazard_17_a_birth_date_that_is_none_keeps_nobody_out(district: SampleDistrict) -> None:
    user, born = _student(district), cast("date", "05/01/2014")
    district.users[district.users.index(user)] = replace(user, birth_date=born)

    pages = await pages_of(connector_to(_simulator(district)), "user")

    found = records_in(pages)[_id(user)]
    assert isinstance(found, User)
    assert found.roles
    assert "birth_date" not in (found.only or ("birth_date",))
    [error] = [error for page in pages for error in page.errors]
    assert (error.sourced_id, error.field, error.part) == (_id(user), "BirthDate", True)


async def test_hazard_22_co_teachers_and_students_of_two_schools_are_all_there(district: SampleDistrict) -> None:
    co_taught = district.classes[0]
    guest = next(user for user in district.people("teacher"))
    two = replace(_student(district), roles=(*_student(district).roles, *_student(district, -1).roles))
    district.users[district.users.index(_student(district))] = two
    district.enrollments.append(
        Enrollment(sourced_id="co", user=guest.sourced_id, class_=co_taught.sourced_id, role="teacher")
    )
    connector = connector_to(_simulator(district))

    seats = records_in(await pages_of(connector, "enrollment")).values()
    user = records_in(await pages_of(connector, "user"))[_id(two)]

    section = str(number("section", co_taught.sourced_id))
    teachers = {seat.user for seat in seats if isinstance(seat, Enrollment) and seat.class_ == section}
    assert f"staff-{number('staff', guest.sourced_id)}" in teachers
    assert isinstance(user, User)
    assert len({role.org for role in user.roles}) == 2


_TODAY = date(2026, 9, 1)  # by the clock of the services


@pytest.mark.parametrize(
    ("stays", "begins"),
    [
        ([(-300, -90), (-60, None), (30, None)], -60),  # the entry that holds, and not one that is still to come
        ([(-60, None), (-300, -90)], -60),
        ([(90, None), (30, 60), (-300, -90)], 30),
        ([(-300, -200), (-150, -90)], -150),
        ([(-150, -1), (0, None)], 0),
    ],
)
async def test_of_several_entries_into_a_school_the_one_that_holds_today_counts(
    district: SampleDistrict, stays: list[tuple[int, int | None]], begins: int
) -> None:
    user, days = _student(district), timedelta(days=1)
    roles = tuple(
        replace(user.roles[0], begins_on=_TODAY + first * days, ends_on=None if last is None else _TODAY + last * days)
        for first, last in stays
    )
    district.users[district.users.index(user)] = replace(user, roles=roles)

    read = records_in(await pages_of(connector_to(_simulator(district)), "user"))[_id(user)]

    assert isinstance(read, User)
    assert [role.begins_on for role in read.roles] == [_TODAY + begins * days]


async def test_hazard_23_the_legal_name_and_the_everyday_one_are_kept_apart(district: SampleDistrict) -> None:
    user = replace(_student(district), given_name="Alexandra", preferred_given_name="Sasha")
    district.users[district.users.index(_student(district))] = user

    found = records_in(await pages_of(connector_to(_simulator(district)), "user"))[_id(user)]

    assert isinstance(found, User)
    assert (found.given_name, found.preferred_given_name) == ("Alexandra", "Sasha")


async def test_a_person_without_a_name_is_told_by_place_and_not_by_name(district: SampleDistrict) -> None:
    simulator = _simulator(district)
    user = _student(district)

    async def nameless(response: Response) -> Response:
        if request.path.partition("/Demographics/")[2].startswith("Name/") and response.status_code == 200:
            data = orjson.loads(await response.get_data(as_text=False))
            wanted = number("name", user.sourced_id)
            data["Objects"] = [row for row in data["Objects"] if row["NameID"] != wanted]
            response.set_data(orjson.dumps(data))
        return response

    simulator.app.after_request(nameless)
    pages = await pages_of(connector_to(simulator), "user")

    [error] = [error for page in pages for error in page.errors]
    assert (error.field, error.reason, error.sourced_id) == ("NameID", "there is no such name", _id(user))
    assert error.where == f"Student/Student StudentID {number('student', user.sourced_id)}"


async def test_only_enrollments_are_asked_for_by_when_they_changed(district: SampleDistrict) -> None:
    seat = next(seat for seat in district.enrollments if seat.role == "student")
    changed = replace(seat, modified=datetime(2026, 10, 2, tzinfo=UTC))
    district.enrollments[district.enrollments.index(seat)] = changed
    connector = connector_to(_simulator(district))
    since = datetime(2026, 10, 1, tzinfo=UTC)

    seats = await pages_of(connector, "enrollment", since=since)
    users = await pages_of(connector, "user", since=since)

    students = [one for one in records_in(seats).values() if isinstance(one, Enrollment) and one.role == "student"]
    assert [one.sourced_id for one in students] == [f"student-{number('seat', seat.sourced_id)}"]
    assert all(page.delta and not page.whole for page in seats)
    assert all(page.whole and not page.delta for page in users)


async def test_hazard_13_what_is_deleted_before_the_page_hides_nobody_behind_it(district: SampleDistrict) -> None:
    """Pages by number would skip as many rows as were deleted before them."""
    simulator = _simulator(district)
    seats = sorted(
        (one for one in district.enrollments if one.role == "student"), key=lambda one: number("seat", one.sourced_id)
    )
    found: set[str] = set()
    gone: set[str] = set()

    async for page in connector_to(simulator).pull(Pull(noun="enrollment")):
        found |= {record.sourced_id for record in page.records}
        if not gone:
            gone = {one.sourced_id for one in seats[:20]}
            district.enrollments[:] = [one for one in district.enrollments if one.sourced_id not in gone]

    assert {f"student-{number('seat', one.sourced_id)}" for one in seats} <= found


@pytest.mark.parametrize("kind", ["half", "empty"])
def test_hazard_12_a_list_that_ends_in_the_middle_is_noticed(district: SampleDistrict, kind: str) -> None:
    connector = connector_to(_simulator(district, misbehave={kind}))

    if kind == "half":
        with pytest.raises(SourceError, match="leaves out the last rows") as told:
            hurried(pages_of(connector, "enrollment"))
        assert told.value.retry
    else:
        with pytest.raises(SourceError, match="no school"):
            hurried(pages_of(connector, "class"))


def test_hazard_9_a_token_whose_end_is_told_in_words_is_replaced(district: SampleDistrict) -> None:
    simulator = _simulator(district, misbehave={"token-expiry"})

    read = records_in(hurried(pages_of(connector_to(simulator), "user")))

    assert {_id(user) for user in district.people("student")} <= set(read)
    assert 403 in {asked.status for asked in simulator.asked}


async def test_a_server_that_does_not_sort_is_found_out(district: SampleDistrict) -> None:
    simulator = _simulator(district)

    async def shuffle(response: Response) -> Response:
        if "/Generic/" in request.path and response.status_code == 200:
            data = orjson.loads(await response.get_data(as_text=False))
            data["Objects"] = data.get("Objects", [])[::-1]
            response.set_data(orjson.dumps(data))
        return response

    simulator.app.after_request(shuffle)

    with pytest.raises(SourceError, match="not in the order of StudentSectionID"):
        await pages_of(connector_to(simulator), "enrollment")


async def test_missing_fields_and_objects_are_named_with_who_can_grant_them(district: SampleDistrict) -> None:
    hidden = {"Student/Student": ("Grade", "StudentNumber"), "Scheduling/Meet": ()}

    found = await connector_to(_simulator(district, hidden=hidden)).check()

    assert [one.problem for one in found] == [
        "Skyward does not let us read Scheduling/Meet.",
        "Student/Student does not show us: StudentNumber, Grade.",
    ]
    assert "Integration Access" in found[1].fix


async def test_an_object_that_is_not_granted_fails_the_run_by_its_name(district: SampleDistrict) -> None:
    connector = connector_to(_simulator(district, hidden={"Demographics/NameEmail": ()}))

    with pytest.raises(SourceError, match=r"^Demographics/NameEmail: the system does not permit this"):
        await pages_of(connector, "user")


async def test_a_grade_that_is_not_shown_leaves_the_rest_as_it_is(district: SampleDistrict) -> None:
    simulator = _simulator(district, hidden={"Student/Student": ("Grade",)})

    found = records_in(await pages_of(connector_to(simulator), "user"))

    assert {_id(user) for user in district.people("student")} <= set(found)


@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_oneroster_is_below_the_api_without_the_word_rostering(district: SampleDistrict, version: Any) -> None:
    simulator = SkywardQmlativSimulator(district, version=version)
    connector = connector_to(simulator)

    read = records_in(await pages_of(connector, "class"))

    assert await connector.check() == []
    assert len(read) == len(district.classes)
    path = f"/SampleStuAPI/ims/oneroster/v{version.replace('.', 'p')}/classes"
    assert path in {asked.path for asked in simulator.asked}


async def test_a_year_begins_on_a_day(district: SampleDistrict) -> None:
    pages = await pages_of(connector_to(_simulator(district)), "academicSession")

    assert {one.begins_on for one in records_in(pages).values() if isinstance(one, AcademicSession)} == {
        date(2026, 8, 17)
    }


def _told(**more: Any) -> dict[str, Any]:
    settings = _simulator(SampleDistrict()).settings(URL)
    return {**settings, "attendance": "api", "codes": {"absent": "A", "excused": "A/EX", "tardy": "T"}, **more}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"roster": "oneroster"}, "needs roster = api"),
        ({"codes": {"absent": "A"}}, "needs codes for excused, tardy"),
    ],
)
def test_attendance_by_api_needs_what_it_needs(more: Any, text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        SkywardSettings(**_told(**more))


def test_the_switch_says_what_the_district_must_grant() -> None:
    told = SkywardSettings.model_fields["attendance"].description or ""

    assert "no other vendor is known to do" in told
    for part in ("Attendance/StudentAttendance", "Attendance/StudentAttendancePeriod", "Integration Access", "create"):
        assert part in told


def test_the_settings_on_the_page_are_ones_that_it_takes() -> None:
    page = Path("docs/skyward.md").read_text("utf-8")
    secrets = {"client_id": "us", "client_secret": "x"}
    qmlativ, api, sms, files = (
        tomllib.loads(part.partition("```")[0].replace("\n# ", "\n")) for part in page.split("```toml\n")[1:]
    )
    base = {**qmlativ["plugins"]["skyward"], **secrets}

    for told in (
        base,
        {**base, **api["plugins"]["skyward"]},
        {**sms["plugins"]["skyward"], **secrets},
        {**base, **files},
    ):
        SkywardSettings(**told)

    assert SkywardSettings(**{**base, **api["plugins"]["skyward"]}).codes["present"] == "P"
