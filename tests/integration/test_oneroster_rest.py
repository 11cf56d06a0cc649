"""Rosters from a OneRoster server into the real store, through a simulator that behaves, and one that does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from quart import request

from homeroom import Enrollment, UserRole, sync
from homeroom.store import Store
from homeroom.store import models as m
from homeroom.sync import RunResult
from homeroom.testing import MISBEHAVIOURS, FakeClock, SampleDistrict, hurried, sample_district, services
from homeroom_oneroster import OneRoster
from homeroom_oneroster.plugin import OneRosterSettings
from homeroom_oneroster.simulator import OneRosterSimulator

URL = "https://sis.example"
BARE = {"links": False, "totals": False}

PASSING = (
    *("429", "429-bare", "500", "token-expiry", "repeat-page", "moving-rows", "truncated", "clock-skew"),
    *("unknown-field", "slow-drip"),
)
"""What a run gets over without losing anything."""


def small_district() -> SampleDistrict:
    return sample_district(students=50)


def simulated(district: SampleDistrict, *misbehave: str, **options: Any) -> OneRosterSimulator:
    return OneRosterSimulator(district, misbehave=misbehave, **{"max_limit": 40, **options})


def load(store: Store, simulator: OneRosterSimulator, **options: Any) -> RunResult:
    """One run, on a loop on which pauses pass quickly."""

    async def run() -> RunResult:
        given = services("oneroster", http=simulator.app, clock=FakeClock(datetime.now(UTC)))
        plugin = OneRoster(OneRosterSettings(**simulator.settings(URL)), given)
        return await sync.run(store, "oneroster", plugin.sis_connector(), **options)

    return hurried(run())


def live(store: Store) -> dict[str, int]:
    """How many of each are there and have not ended."""
    tables = ("orgs", "academic_sessions", "courses", "classes", "users", "enrollments")

    def count(table: str) -> int:
        return int(store.read_now(lambda c: c.sql(f"SELECT count(*) FROM {table} WHERE NOT ended"))[0][0])  # noqa: S608

    return {table: count(table) for table in tables}


def held(district: SampleDistrict) -> dict[str, int]:
    """The same of what the simulator holds."""

    def count(rows: Sequence[Any]) -> int:
        return sum(row.status == "active" for row in rows)

    return {
        "orgs": count(district.orgs),
        "academic_sessions": count(district.academic_sessions),
        "courses": count(district.courses),
        "classes": count(district.classes),
        "users": count(district.users),
        "enrollments": count(district.enrollments),
    }


def user(store: Store, sourced_id: str) -> m.User:
    found = store.read_now(lambda c: c.one(m.User.select().where(m.User.sourced_id == sourced_id)))
    assert found is not None
    return found


def schools_of(store: Store, sourced_id: str, role: str) -> set[str]:
    query = """SELECT o.sourced_id FROM role_assignments r
        JOIN users u ON u.id = r.user_id JOIN orgs o ON o.id = r.org_id
        WHERE u.sourced_id = ? AND r.role = ?"""
    return {row[0] for row in store.read_now(lambda c: c.sql(query, [sourced_id, role]))}


@pytest.mark.parametrize("auth", ["oauth2", "oauth1"])
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_a_district_comes_in_whole_and_a_second_run_changes_nothing(store: Store, version: Any, auth: Any) -> None:
    simulator = simulated(small_district(), version=version, auth=auth)

    first = load(store, simulator)
    second = load(store, simulator)

    assert (first.status, first.dead_letters) == ("done", 0)
    assert live(store) == held(simulator.district)
    assert (second.added, second.changed, second.ended) == (0, 0, 0)


@pytest.mark.parametrize("kind", PASSING)
def test_a_first_run_takes_everybody_in_however_the_server_misbehaves(sqlite_store: Store, kind: str) -> None:
    simulator = simulated(small_district(), kind)

    result = load(sqlite_store, simulator)

    assert (result.status, result.reason) == ("done", None)
    assert live(sqlite_store) == held(simulator.district)


@pytest.mark.parametrize("kind", MISBEHAVIOURS)
def test_a_server_that_misbehaves_loses_nobody_who_is_known(sqlite_store: Store, kind: str) -> None:
    """Hazards 9, 12, 13 and 27: whatever comes back, nobody is ended by it."""
    _is_harmless(sqlite_store, kind)


@pytest.mark.parametrize("kind", ["repeat-page", "moving-rows", "empty", "half"])
def test_a_server_that_misbehaves_and_tells_nothing_of_its_pages_loses_nobody_either(
    sqlite_store: Store, kind: str
) -> None:
    _is_harmless(sqlite_store, kind, **BARE)


def _is_harmless(store: Store, kind: str, **options: Any) -> None:
    district = small_district()
    load(store, simulated(district))
    before = live(store)

    result = load(store, simulated(district, kind, **options))

    assert live(store) == before
    assert result.ended == 0
    if kind in PASSING:
        assert (result.status, result.added, result.changed) == ("done", 0, 0)
    if result.status != "done":
        assert result.reason


def test_hazard_27_an_outage_page_is_never_read_as_no_students(sqlite_store: Store) -> None:
    result = load(sqlite_store, simulated(small_district(), "outage"))

    assert result.status == "failed"
    assert result.reason is not None
    assert "maintenance" in result.reason


@pytest.mark.parametrize("kind", ["empty", "half"])
def test_hazard_12_a_count_that_does_not_agree_ends_nobody_and_the_run_says_so(sqlite_store: Store, kind: str) -> None:
    district = small_district()
    load(sqlite_store, simulated(district))

    result = load(sqlite_store, simulated(district, kind))

    assert (result.status, result.ended) == ("done", 0)
    assert result.reason is not None
    assert "nothing was taken for gone" in result.reason


@pytest.mark.parametrize("limit", [7, 40, 1000])
def test_hazard_8_a_cap_that_nobody_mentions_truncates_nothing(sqlite_store: Store, limit: int) -> None:
    simulator = simulated(small_district(), max_limit=limit, **BARE)

    load(sqlite_store, simulator)

    assert live(sqlite_store) == held(simulator.district)


def test_hazard_11_blank_and_changed_ids_end_nobody_unseen(sqlite_store: Store) -> None:
    district = small_district()
    load(sqlite_store, simulated(district))
    teacher = district.people("teacher")[0]
    district.users[district.users.index(teacher)] = replace(teacher, sourced_id="")

    result = load(sqlite_store, simulated(district))

    assert user(sqlite_store, teacher.sourced_id).ended is False
    assert (result.status, result.ended, result.dead_letters) == ("done", 0, 1)
    [letter] = sqlite_store.read_now(lambda c: sync.dead_letters(c, "oneroster"))
    assert letter.location.startswith("/users?offset=")


def test_hazard_13_a_row_that_is_taken_away_while_pages_are_read_hides_no_other(sqlite_store: Store) -> None:
    district = small_district()
    load(sqlite_store, simulated(district))
    simulator = simulated(district, **BARE)
    gone = min(one.sourced_id for one in district.enrollments)

    @simulator.app.before_request
    async def take_away() -> None:
        if sum(asked.path.endswith("/enrollments") for asked in simulator.asked) == 3:
            simulator.remove("enrollment", gone, announce=False)

    load(sqlite_store, simulator)

    assert live(sqlite_store)["enrollments"] >= len(district.enrollments)


def test_hazard_15_somebody_of_several_roles_and_a_new_address_stays_one_person(sqlite_store: Store) -> None:
    district = small_district()
    simulator = simulated(district)
    parent = district.people("teacher")[0]
    load(sqlite_store, simulator)
    before = user(sqlite_store, parent.sourced_id).id
    school = parent.roles[0].org
    roles = (*parent.roles, UserRole(role="parent", org=school, primary=False))
    simulator.put(replace(parent, roles=roles, email="somebody.else@example.org"))

    result = load(sqlite_store, simulator)

    assert (result.added, result.changed, result.ended) == (0, 1, 0)
    assert user(sqlite_store, parent.sourced_id).id == before
    assert schools_of(sqlite_store, parent.sourced_id, "guardian") == {school}
    assert schools_of(sqlite_store, parent.sourced_id, "teacher") == {school}


def test_hazard_17_no_day_moves_by_a_time_zone(sqlite_store: Store) -> None:
    simulator = simulated(small_district())
    load(sqlite_store, simulator)

    for one in simulator.district.academic_sessions:
        row = sqlite_store.read_now(
            lambda c, key=one.sourced_id: c.one(m.AcademicSession.select().where(m.AcademicSession.sourced_id == key))  # type: ignore[misc] # mypy cannot tell a default's type
        )
        assert row is not None
        assert (row.begins_on, row.ends_on) == (one.begins_on, one.ends_on)
    student = simulator.district.people("student")[0]
    assert user(sqlite_store, student.sourced_id).birth_date == student.birth_date


def test_hazard_17_a_nonsense_year_is_set_aside_with_its_place(sqlite_store: Store) -> None:
    class Nonsense(OneRosterSimulator):
        def shape(self, shapes: Any, collection: str, record: Any) -> dict[str, Any]:
            row = super().shape(shapes, collection, record)
            return (
                {**row, "beginDate": "0000-08-17"} if collection == "enrollments" and row["role"] == "teacher" else row
            )

    district = small_district()
    result = load(sqlite_store, Nonsense(district))

    teachers = sum(one.role == "teacher" for one in district.enrollments)
    assert (result.status, result.dead_letters) == ("done", teachers)


def test_hazard_22_students_of_two_schools_and_co_teachers_arrive(sqlite_store: Store) -> None:
    district = small_district()
    simulator = simulated(district)
    student = district.people("student")[0]
    other = next(school for school in district.schools if school.sourced_id != student.roles[0].org)
    guest = UserRole(role="student", org=other.sourced_id, primary=False)
    simulator.put(replace(student, roles=(*student.roles, guest)))
    class_id = district.classes[0].sourced_id
    for number, teacher in enumerate(district.people("teacher")):
        simulator.put(
            Enrollment(
                sourced_id=f"co-{number}",
                user=teacher.sourced_id,
                class_=class_id,
                role="teacher",
                school=district.classes[0].school,
                begins_on=date(2026, 8, 17),
            )
        )

    load(sqlite_store, simulator)

    assert schools_of(sqlite_store, student.sourced_id, "student") == {student.roles[0].org, other.sourced_id}
    query = """SELECT DISTINCT e.user_id FROM enrollments e JOIN classes k ON k.id = e.class_id
        WHERE k.sourced_id = ? AND e.role = 'teacher' AND NOT e.ended"""
    found = sqlite_store.read_now(lambda c: c.sql(query, [class_id]))
    assert len(found) == len(district.people("teacher"))


def test_terms_and_courses_that_are_no_longer_shared_stay_and_all_else_goes_on(sqlite_store: Store) -> None:
    simulator = simulated(small_district())
    load(sqlite_store, simulator)
    student = simulator.district.people("student")[0]
    simulator.put(replace(student, grades=("12",)))

    async def refuse() -> tuple[str, int] | None:
        return ("", 403) if request.path.endswith(("/academicSessions", "/courses")) else None

    simulator.app.before_request(refuse)
    result = load(sqlite_store, simulator)

    assert (result.status, result.changed, result.ended) == ("done", 1, 0)
    assert live(sqlite_store) == held(simulator.district)


def test_somebody_who_left_a_school_and_came_back_has_one_role_there_that_has_not_ended(store: Store) -> None:
    simulator = simulated(small_district())
    student = simulator.district.people("student")[0]
    [role] = student.roles
    before = replace(role, begins_on=date(2025, 8, 18), ends_on=date(2026, 3, 2), primary=False)
    since = replace(role, begins_on=date(2026, 8, 17), ends_on=None)
    simulator.put(replace(student, roles=(before, since)))

    first, second = load(store, simulator), load(store, simulator)

    query = """SELECT r.begins_on, r.ends_on FROM role_assignments r JOIN users u ON u.id = r.user_id
        WHERE u.sourced_id = ?"""
    [[begins_on, ends_on]] = store.read_now(lambda c: c.sql(query, [student.sourced_id]))
    assert (first.status, second.changed, str(begins_on), ends_on) == ("done", 0, "2025-08-18", None)


def test_hazard_23_legal_and_preferred_names_are_kept_apart(sqlite_store: Store) -> None:
    simulator = simulated(small_district())
    student = simulator.district.people("student")[0]
    simulator.put(replace(student, preferred_given_name="Anni", preferred_family_name="Roe"))

    load(sqlite_store, simulator)

    row = user(sqlite_store, student.sourced_id)
    assert (row.given_name, row.family_name) == (student.given_name, student.family_name)
    assert (row.preferred_given_name, row.preferred_family_name) == ("Anni", "Roe")


@pytest.mark.parametrize("kind", [(), ("clock-skew",)], ids=["same clock", "ten minutes ahead"])
def test_a_run_of_changes_takes_what_changed_and_what_is_announced_as_deleted(
    store: Store, kind: tuple[str, ...]
) -> None:
    district = small_district()
    simulator = simulated(district, *kind)
    load(store, simulator)
    changed, gone, unsaid = district.people("student")[:3]
    simulator.put(replace(changed, grades=("12",)))
    simulator.remove("user", gone.sourced_id)
    simulator.remove("user", unsaid.sourced_id, announce=False)
    asked = len(simulator.asked)

    delta = load(store, simulator, full=False)

    assert (delta.status, delta.added, delta.changed, delta.ended) == ("done", 0, 1, 1)
    assert user(store, changed.sourced_id).grades == ["12"]
    assert user(store, gone.sourced_id).ended is True
    assert user(store, unsaid.sourced_id).ended is False
    assert len(simulator.asked) - asked < 15
    assert load(store, simulator).ended == 1
    assert user(store, unsaid.sourced_id).ended is True


@pytest.mark.parametrize("sourced_id", [None, "2047?x=1#y", "50% & more"])
def test_a_birth_date_that_alone_has_changed_comes_with_the_changes(
    sqlite_store: Store, sourced_id: str | None
) -> None:
    district = small_district()
    if sourced_id is not None:
        _rename(district, district.people("student")[0].sourced_id, sourced_id)
    load(sqlite_store, simulated(district))

    class Apart(OneRosterSimulator):
        """Users and demographics are changed apart, as in real servers."""

        def shape(self, shapes: Any, collection: str, record: Any) -> dict[str, Any]:
            row = super().shape(shapes, collection, record)
            is_born = collection == "demographics" and record.sourced_id == student.sourced_id
            return {**row, "birthDate": "2011-02-03"} if is_born else row

        def _filtered(self, shapes: Any, collection: str, rows: Sequence[Any], text: str) -> list[Any]:
            found = super()._filtered(shapes, collection, rows, text)
            return (
                [row for row in rows if row.sourced_id == student.sourced_id] if collection == "demographics" else found
            )

    student = district.people("student")[0]
    result = load(sqlite_store, Apart(district), full=False)

    assert (result.status, result.changed) == ("done", 1)
    assert user(sqlite_store, student.sourced_id).birth_date == date(2011, 2, 3)
    assert schools_of(sqlite_store, student.sourced_id, "student")


def _rename(district: SampleDistrict, before: str, after: str) -> None:
    district.users[:] = [replace(one, sourced_id=after) if one.sourced_id == before else one for one in district.users]
    seats = district.enrollments
    seats[:] = [replace(one, user=after) if one.user == before else one for one in seats]


def test_what_we_may_see_changes_while_it_is_read_and_the_collection_is_read_again(sqlite_store: Store) -> None:
    district = small_district()
    simulator = simulated(district, revision="1")

    @simulator.app.before_request
    async def revise() -> None:
        if len([asked for asked in simulator.asked if asked.path.endswith("/users")]) == 2:
            simulator.revision = "2"

    result = load(sqlite_store, simulator)

    assert (result.status, result.reason) == ("done", None)
    assert live(sqlite_store) == held(district)


def test_birth_dates_that_are_not_granted_any_more_stay_known(sqlite_store: Store) -> None:
    district = small_district()
    load(sqlite_store, simulated(district))

    result = load(sqlite_store, simulated(district, scopes=("roster-core.readonly",)))

    student = district.people("student")[0]
    assert (result.status, result.changed) == ("done", 0)
    assert user(sqlite_store, student.sourced_id).birth_date == student.birth_date


def test_a_run_that_is_killed_between_pages_goes_on_where_it_was(sqlite_store: Store) -> None:
    class _Killed(BaseException):
        pass

    def die(progress: sync.Progress) -> None:
        if progress.noun == "enrollment" and progress.done >= 80:
            raise _Killed

    simulator = simulated(small_district())
    with pytest.raises(_Killed):
        load(sqlite_store, simulator, progress=die)
    [run] = sqlite_store.read_now(sync.runs)
    asked = len(simulator.asked)

    async def resume() -> RunResult:
        given = services("oneroster", http=simulator.app, clock=FakeClock(datetime.now(UTC)))
        plugin = OneRoster(OneRosterSettings(**simulator.settings(URL)), given)
        return await sync.resume(sqlite_store, run.run_id, plugin.sis_connector())

    result = hurried(resume())

    assert result.status == "done"
    assert live(sqlite_store) == held(simulator.district)
    assert all(one.path.endswith(("/enrollments", "/token")) for one in simulator.asked[asked:])
