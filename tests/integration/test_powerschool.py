from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx2
import orjson
import pytest
from quart import Response, request

from homeroom import NOUNS, Enrollment, Org, Page, Pull, Record, SourceError, User, sync
from homeroom.attendance.check_in import CheckIn, check_in
from homeroom.attendance.marks import Correction, correct
from homeroom.attendance.sessions import KnownSessions, Opening, SessionState, open_session
from homeroom.attendance_out.drain import drain
from homeroom.attendance_out.queue import begin, follow
from homeroom.store import Store, new_id
from homeroom.store.cipher import Cipher
from homeroom.sync import RunResult
from homeroom.testing import MISBEHAVIOURS, FakeClock, hurried, sample_district, services
from homeroom_powerschool import Connector, PowerSchoolSettings, quirks
from homeroom_powerschool.simulator import PowerSchoolSimulator, Relation
from tests.services.classroom import ACCEPTS, EVERY_DAY, Verifiers
from tests.services.scripted_sis import everything

DISTRICT = sample_district(students=60)
DAY = date(2026, 9, 15)


def _simulator(**changes: Any) -> PowerSchoolSimulator:
    simulator = PowerSchoolSimulator(DISTRICT)
    for name, value in changes.items():
        setattr(simulator, name, value)
    return simulator


def _connector(simulator: PowerSchoolSimulator, **settings: Any) -> Connector:
    given = {**simulator.settings("https://sis.example"), "page_size": 20, "query_page_size": 50, **settings}
    return Connector(PowerSchoolSettings(**given), services("powerschool", http=simulator.app))


async def _pages(connector: Connector, noun: Any, **pull: Any) -> list[Page]:
    return [page async for page in connector.pull(Pull(noun=noun, **pull))]


async def _read(connector: Connector, noun: Any) -> dict[str, Any]:
    return {record.sourced_id: record for page in await _pages(connector, noun) for record in page.records}


async def _run(store: Store, simulator: PowerSchoolSimulator, **settings: Any) -> RunResult:
    return await sync.run(store, "powerschool", _connector(simulator, **settings))


def _counts(result: RunResult) -> tuple[int, int, int, int, int]:
    return result.added, result.changed, result.ended, result.unchanged, result.dead_letters


async def _there(store: Store, table: str) -> int:
    [[count]] = await store.read(lambda c: c.sql(f"SELECT count(*) FROM {table} WHERE NOT ended"))  # noqa: S608
    return int(count)


async def test_a_district_comes_over_whole_and_a_second_time_changes_nothing(store: Store) -> None:
    simulator = _simulator()

    first = await _run(store, simulator)
    before = await store.read(everything)
    second = await _run(store, simulator)

    assert (first.status, first.dead_letters, first.reason) == ("done", 0, None)
    assert _counts(second) == (0, 0, 0, first.added, 0)
    assert await store.read(everything) == before
    assert await _there(store, "enrollments") == len(DISTRICT.enrollments)
    assert await _there(store, "users") == len(DISTRICT.users)
    assert await _there(store, "classes") == len(DISTRICT.classes)


async def test_students_keep_their_guardians_schools_and_numbers(sqlite_store: Store) -> None:
    simulator = _simulator()
    people = await _read(_connector(simulator), "user")

    for user in DISTRICT.people("student"):
        read = people[f"student-{simulator.world.students.dcid(user.sourced_id)}"]
        assert (read.given_name, read.family_name, read.identifier) == (
            user.given_name,
            user.family_name,
            user.identifier,
        )
        assert read.agents == tuple(f"contact-{simulator.world.contacts.dcid(agent)}" for agent in user.agents)
        assert {role.org for role in read.roles} == {
            f"school-{simulator.world.schools.dcid(role.org)}" for role in user.roles
        }
        assert read.birth_date == user.birth_date
    assert people[f"staff-{simulator.world.staff.dcid('principal-1')}"].roles[0].role == "principal"
    assert people[f"staff-{simulator.world.staff.dcid('superintendent')}"].roles[0].org == "district"
    assert sqlite_store is not None


def _facts(record: Record) -> Any:
    """What both ways of reading tell."""
    if isinstance(record, User):
        return record.sourced_id, record.given_name, record.family_name, record.identifier, record.email, record.grades
    return record


async def test_without_the_queries_the_same_is_read_from_lists_and_nobody_is_taken_for_gone() -> None:
    simulator = _simulator()
    by_query = {noun: await _read(_connector(simulator), noun) for noun in NOUNS}
    simulator.installed = False
    connector = _connector(simulator)
    by_rest = {noun: await _read(connector, noun) for noun in NOUNS}

    for noun in ("org", "academicSession", "course", "class"):
        assert by_rest[noun] == by_query[noun]
    office = f"staff-{simulator.world.staff.dcid('superintendent')}"  # no school's list holds the district office
    assert {_facts(one) for one in by_rest["user"].values()} == {
        _facts(one) for key, one in by_query["user"].items() if not key.startswith("contact-") and key != office
    }
    seats = {key: one for key, one in by_query["enrollment"].items() if key.startswith("cc-")}
    assert {key: one for key, one in by_rest["enrollment"].items() if key.startswith("cc-")} == seats
    leads = {(one.user, one.class_) for one in by_query["enrollment"].values() if one.primary}
    assert {(one.user, one.class_) for one in by_rest["enrollment"].values() if one.role == "teacher"} == leads
    assert all(page.delta and not page.whole for page in await _pages(connector, "user"))


async def test_queries_that_are_taken_away_end_nobody_and_keep_guardians(sqlite_store: Store) -> None:
    simulator = _simulator()
    await _run(sqlite_store, simulator)
    guardians = await sqlite_store.read(lambda c: c.sql("SELECT count(*) FROM guardianships"))
    simulator.installed = False

    result = await _run(sqlite_store, simulator)

    assert result.status == "done"
    assert await _there(sqlite_store, "users") == len(DISTRICT.users)
    assert await sqlite_store.read(lambda c: c.sql("SELECT count(*) FROM guardianships")) == guardians


async def test_staff_whose_places_are_not_shown_keep_their_schools(sqlite_store: Store) -> None:
    simulator = _simulator(installed=False)
    await _run(sqlite_store, simulator)
    roles = await sqlite_store.read(lambda c: c.sql("SELECT count(*) FROM role_assignments"))

    async def hide(response: Response) -> Response:
        if request.path.endswith("/staff"):
            data = orjson.loads(await response.get_data(as_text=False))
            for item in quirks.as_list(data["staffs"].get("staff")):
                del item["school_affiliations"]
            response.set_data(orjson.dumps(data))
        return response

    simulator.app.after_request(hide)
    result = await _run(sqlite_store, simulator)

    assert (result.status, result.ended, result.dead_letters) == ("done", 0, 0)
    assert await sqlite_store.read(lambda c: c.sql("SELECT count(*) FROM role_assignments")) == roles


async def test_asked_for_changes_only_it_says_that_it_gives_everything() -> None:
    connector = _connector(_simulator())

    for noun in NOUNS:
        pages = await _pages(connector, noun, since=datetime(2026, 9, 1, tzinfo=UTC))
        assert pages
        assert all(page.whole for page in pages)


async def test_a_contact_counts_within_its_dates_and_with_a_flag_that_the_district_trusts() -> None:
    simulator = _simulator()
    student = DISTRICT.people("student")[0].sourced_id
    stranger, former, later, neighbour = [user.sourced_id for user in DISTRICT.people("guardian")[-4:]]
    today = datetime(2026, 9, 1, 14, tzinfo=UTC).date()  # the clock of the services
    for relations in simulator.world.relations.values():
        relations[:] = [one for one in relations if one.person not in (stranger, former, later, neighbour)]
    simulator.world.relate(student, Relation(person=former, ends=today - timedelta(days=1)))
    simulator.world.relate(student, Relation(person=later, begins=today + timedelta(days=1)))
    simulator.world.relate(student, Relation(person=neighbour, custodial=False, data_access=False))
    simulator.world.relate(student, Relation(person=stranger, begins=today, ends=today, custodial=False))
    contacts = simulator.world.contacts

    people = await _read(_connector(simulator), "user")
    trusting = await _read(_connector(simulator, guardians=["school_pickup"]), "user")

    agents = people[f"student-{simulator.world.students.dcid(student)}"].agents
    assert f"contact-{contacts.dcid(stranger)}" in agents
    for person in (former, later, neighbour):
        assert f"contact-{contacts.dcid(person)}" not in agents
        left_out = people[f"contact-{contacts.dcid(person)}"]
        assert (left_out.status, left_out.family_name, left_out.sms) == ("tobedeleted", "", None)
    assert trusting[f"contact-{contacts.dcid(neighbour)}"].status == "active"


async def test_a_guardian_whose_child_has_no_contact_any_more_is_no_guardian(sqlite_store: Store) -> None:
    simulator = _simulator()
    await _run(sqlite_store, simulator)
    student = DISTRICT.people("student")[0].sourced_id
    simulator.world.relations[student].clear()
    simulator.world.__dict__.pop("students_of_contact", None)

    result = await _run(sqlite_store, simulator)

    assert result.status == "done"
    held = "SELECT u.sourced_id FROM guardianships g JOIN users u ON u.id = g.student_id WHERE NOT g.ended"
    children = {row[0] for row in await sqlite_store.read(lambda c: c.sql(held))}
    assert len(children) == len(DISTRICT.people("student")) - 1
    assert f"student-{simulator.world.students.dcid(student)}" not in children


async def test_a_district_that_wants_no_contacts_reads_none() -> None:
    simulator = _simulator()

    people = await _read(_connector(simulator, guardians=[]), "user")

    assert not [key for key in people if key.startswith("contact-")]
    assert not [asked for asked in simulator.asked if asked.path.endswith(".contacts")]


async def test_hazard_3_the_exit_date_is_the_first_day_no_longer_in_class(sqlite_store: Store) -> None:
    simulator = _simulator()
    seat = next(one for one in DISTRICT.enrollments if one.role == "student")
    simulator.world.left[seat.sourced_id] = DAY

    seats = await _read(_connector(simulator), "enrollment")
    await _run(sqlite_store, simulator)

    dcid = f"cc-{simulator.world.cc.dcid(seat.sourced_id)}"
    assert seats[dcid].ends_on == DAY
    [[ends_on]] = await sqlite_store.read(
        lambda c: c.sql("SELECT ends_on FROM enrollments WHERE sourced_id = ?", [dcid])
    )
    assert str(ends_on) == DAY.isoformat()


async def test_hazard_4_a_closed_year_ends_nobody_and_no_enrolment(sqlite_store: Store) -> None:
    simulator = _simulator()
    await _run(sqlite_store, simulator)
    for name in simulator.world.enrolled:
        simulator.world.left[name] = date(2026, 8, 30)  # everybody "withdrawn", by the day before yesterday

    result = await _run(sqlite_store, simulator)

    assert result.ended == 0
    assert await _there(sqlite_store, "users") == len(DISTRICT.users)
    assert await _there(sqlite_store, "enrollments") == len(DISTRICT.enrollments)


async def test_hazard_4_a_dropped_class_keeps_the_days_until_then_and_one_never_begun_is_none() -> None:
    simulator = _simulator()
    kept, never = [one for one in DISTRICT.enrollments if one.role == "student"][:2]
    simulator.world.dropped |= {kept.sourced_id, never.sourced_id}
    simulator.world.left[kept.sourced_id] = DAY
    simulator.world.left[never.sourced_id] = never.begins_on or DAY

    seats = await _read(_connector(simulator), "enrollment")

    assert seats[f"cc-{simulator.world.cc.dcid(kept.sourced_id)}"].ends_on == DAY
    assert seats[f"cc-{simulator.world.cc.dcid(never.sourced_id)}"].status == "tobedeleted"


@pytest.mark.parametrize("installed", [True, False], ids=["queries", "lists"])
async def test_hazard_5_pre_registered_students_are_there_before_the_first_day(*, installed: bool) -> None:
    simulator = _simulator(installed=installed)
    students = [user.sourced_id for user in DISTRICT.people("student")]
    simulator.world.status.update(dict.fromkeys(students, -1))

    people = await _read(_connector(simulator), "user")

    read = [one for key, one in people.items() if key.startswith("student-")]
    assert len(read) == len(students)
    assert all(role.begins_on is not None for one in read for role in one.roles)


@pytest.mark.parametrize("installed", [True, False], ids=["queries", "lists"])
async def test_students_who_left_are_no_longer_read(*, installed: bool) -> None:
    simulator = _simulator(installed=installed)
    gone = [user.sourced_id for user in DISTRICT.people("student")][:3]
    simulator.world.status.update(dict(zip(gone, (2, 3, 4), strict=True)))

    people = await _read(_connector(simulator), "user")

    assert not {f"student-{simulator.world.students.dcid(one)}" for one in gone} & set(people)


async def test_hazard_8_a_page_is_never_larger_than_powerschool_s_own_limit() -> None:
    simulator = _simulator(caps={"schema_table_query": 7, "student": 5, "school": 1})

    people = await _read(_connector(simulator, page_size=5000, query_page_size=5000), "user")

    assert len(people) == len(DISTRICT.users)
    assert {asked.status for asked in simulator.asked} == {200}


async def test_hazard_8_a_limit_that_nobody_told_is_explained_where_powerschool_speaks_of_permission() -> None:
    simulator = _simulator()
    connector = _connector(simulator)
    await connector.client.metadata()
    simulator.caps["schema_table_query"] = 7

    with pytest.raises(SourceError, match=r"page of 50 rows.*query_page_size lower"):
        await _pages(connector, "user")


async def test_hazard_8_pages_that_are_silently_shortened_lose_nobody() -> None:
    simulator = _simulator(clamps=True, caps={"schema_table_query": 7, "student": 5, "staff": 4, "section": 6})
    connector = _connector(simulator)
    metadata = await connector.client.metadata()
    metadata.caps.clear()  # type: ignore[attr-defined] # PowerSchool had named none

    assert len(await _read(connector, "user")) == len(DISTRICT.users)
    assert len(await _read(connector, "class")) == len(DISTRICT.classes)


def test_hazard_9_a_token_that_ends_in_the_middle_is_renewed() -> None:
    simulator = PowerSchoolSimulator(DISTRICT, misbehave={"token-expiry"})

    people = hurried(_read(_connector(simulator), "user"))

    assert len(people) == len(DISTRICT.users)
    assert Counter(asked.status for asked in simulator.asked)[401] > 1


@pytest.mark.parametrize("status", [429, 503, 509])
def test_hazard_9_every_way_of_saying_slow_down_is_understood(status: int) -> None:
    simulator = _simulator()
    refused: list[int] = []

    @simulator.app.before_request
    async def slow_down() -> Any:
        refused.append(len(refused))
        return ({"message": "wait 1 second"}, status) if len(refused) % 4 == 2 else None

    assert len(hurried(_read(_connector(simulator), "user"))) == len(DISTRICT.users)


async def test_a_plugin_that_is_paced_as_the_administrator_set_it_is_never_refused() -> None:
    simulator = _simulator(interval=0.02)

    assert await _read(_connector(simulator, min_interval=0.03), "org")
    assert {asked.status for asked in simulator.asked} == {200}


async def test_hazard_17_schools_have_the_district_s_own_time_zone() -> None:
    orgs = await _read(_connector(_simulator(time_zone="America/Denver")), "org")
    unknown = await _read(_connector(_simulator(time_zone="Mountain Standard Time")), "org")

    assert {org.time_zone for org in orgs.values()} == {"America/Denver"}
    assert {org.time_zone for org in unknown.values()} == {None}


def test_hazard_27_a_maintenance_page_with_status_200_is_no_empty_district() -> None:
    page = httpx2.Response(
        200, text="<h1>This page is currently unavailable</h1>", headers={"content-type": "text/html"}
    )
    down = services("powerschool", http=httpx2.MockTransport(lambda _request: page))
    connector = Connector(PowerSchoolSettings(**_simulator().settings("https://sis.example")), down)

    for noun in NOUNS:
        with pytest.raises(SourceError, match="page instead of data"):
            hurried(_pages(connector, noun))


def test_hazard_27_the_redirect_to_the_maintenance_page_fails_the_run_and_ends_nobody(sqlite_url: str) -> None:
    async def go() -> tuple[RunResult, int]:
        with Store(sqlite_url, cipher=Cipher([bytes(32)])) as store:
            simulator = _simulator()
            await _run(store, simulator)
            simulator.misbehave = {"outage"}
            result = await _run(store, simulator)
            return result, await _there(store, "users")

    result, people = hurried(go())

    assert (result.status, people) == ("failed", len(DISTRICT.users))
    assert "maintenance" in (result.reason or "")


_SUCCEEDS = ("429", "429-bare", "500", "token-expiry", "clock-skew", "truncated", "slow-drip", "unknown-field")
_BY_QUERY = [(kind, True) for kind in sorted(MISBEHAVIOURS)]
_BY_LIST = [(kind, False) for kind in ("429", "half", "moving-rows", "removed-field", "repeat-page", "truncated")]


@pytest.mark.parametrize(
    ("kind", "installed"),
    [*_BY_QUERY, *_BY_LIST],
    ids=lambda value: value if isinstance(value, str) else "queries" if value else "lists",
)
def test_a_server_that_misbehaves_loses_nobody(kind: str, sqlite_url: str, *, installed: bool) -> None:
    district = sample_district(students=26)

    async def go() -> tuple[list[list[int]], RunResult, RunResult]:
        with Store(sqlite_url, cipher=Cipher([bytes(32)])) as store:
            simulator = PowerSchoolSimulator(district)
            simulator.installed = installed
            there = []
            for misbehave in (set(), {kind}, set()):
                simulator.misbehave = misbehave
                result = await _run(store, simulator, guardians=[])
                bad = result if misbehave else None
                there.append([await _there(store, table) for table in ("users", "classes", "enrollments")])
                if bad is not None:
                    told = bad
            return there, told, result

    there, bad, after = hurried(go())

    assert there[0] == there[1] == there[2]
    assert there[0][1] == len(district.classes)
    assert (bad.ended, after.status, after.added, after.ended) == (0, "done", 0, 0)
    if kind in _SUCCEEDS:
        assert (bad.status, bad.changed) == ("done", 0), bad.reason


@dataclass(slots=True, kw_only=True)
class _School:
    """A district that came from the simulator, whose attendance goes back there."""

    store: Store
    simulator: PowerSchoolSimulator
    connector: Connector

    async def id_of(self, table: str, sourced_id: str) -> str:
        [[found]] = await self.store.read(lambda c: c.sql(f"SELECT id FROM {table} WHERE sourced_id = ?", [sourced_id]))  # noqa: S608
        return str(found)

    async def open(self, class_: str) -> SessionState:
        class_id = await self.id_of("classes", f"section-{self.simulator.world.sections.dcid(class_)}")
        opening = Opening(id=new_id(), class_id=class_id, methods=["door"], served=("door",))
        return await self.store.write(lambda tx: open_session(tx, opening))

    async def send(self) -> None:
        await follow(self.store, "powerschool", self.connector.attendance_level, weekdays=EVERY_DAY)
        await drain(self.store, "powerschool", self.connector)


async def _school(store: Store, **settings: Any) -> _School:
    today = datetime.now(UTC).date()
    simulator = PowerSchoolSimulator(sample_district(students=30, starts_on=today - timedelta(days=60)))
    connector = Connector(
        PowerSchoolSettings(**{**simulator.settings("https://sis.example"), **settings}),
        services("powerschool", http=simulator.app, clock=FakeClock(datetime.now(UTC))),
    )
    result = await sync.run(store, "powerschool", connector)
    assert result.status == "done"
    await store.write(lambda tx: begin(tx, "powerschool"))
    return _School(store=store, simulator=simulator, connector=connector)


@pytest.mark.parametrize("mode", ["meeting", "daily"])
async def test_a_check_in_stands_in_powerschool_and_so_does_its_correction(store: Store, mode: str) -> None:
    school = await _school(store, attendance_mode=mode)
    world = school.simulator.world
    seat = next(iter(world.enrolled.values()))
    student_id = await school.id_of("users", f"student-{world.students.dcid(seat.user)}")
    session = await school.open(seat.class_)

    asked = CheckIn(session_id=session.id, student_id=student_id, proof={"door": "open"})
    record, _ = await check_in(store, Verifiers([ACCEPTS]), KnownSessions(), asked, offline_hours=24)
    await school.send()
    present = school.simulator.attendance()
    correction = Correction(status="absent", reason="went home", version=None)
    await store.write(lambda tx: correct(tx, record.id, correction))
    await school.send()
    absent = school.simulator.attendance()

    class_ = seat.class_ if mode == "meeting" else None
    assert [(one["student"], one["class"], one["code"]) for one in present] == [(seat.user, class_, "")]
    assert [(one["student"], one["class"], one["code"]) for one in absent] == [(seat.user, class_, "A")]


async def test_a_row_that_cannot_be_read_is_set_aside_and_its_record_stays(sqlite_store: Store) -> None:
    simulator = _simulator()
    await _run(sqlite_store, simulator)
    seat = next(iter(simulator.world.enrolled))
    simulator.world.left[seat] = date(2173, 1, 1)

    result = await _run(sqlite_store, simulator)

    assert (result.status, result.ended, result.dead_letters) == ("done", 0, 1)
    [letter] = await sqlite_store.read(lambda c: sync.dead_letters(c, "powerschool"))
    assert (letter.field, letter.reason) == ("exit_date", "this date lies in an impossible year")
    assert letter.location == f"enrollment {simulator.world.cc.dcid(seat)}"


@pytest.mark.parametrize("installed", [True, False])
async def test_hazard_17_a_birth_date_in_an_impossible_year_keeps_nobody_out(
    sqlite_store: Store, *, installed: bool
) -> None:
    district = sample_district(students=40)
    student = district.people("student")[0]
    district.users[district.users.index(student)] = replace(student, birth_date=date(14, 5, 1))
    simulator = PowerSchoolSimulator(district)
    simulator.installed = installed

    result = await _run(sqlite_store, simulator)

    assert (result.status, result.dead_letters) == ("done", 1)
    [letter] = await sqlite_store.read(lambda c: sync.dead_letters(c, "powerschool"))
    assert (letter.field, letter.reason) == ("birth_date", "this date lies in an impossible year")
    text = "SELECT birth_date FROM users WHERE sourced_id = ? AND NOT ended"
    assert await sqlite_store.read(lambda c: c.sql(text, [letter.sourced_id])) == [(None,)]
    seats = "SELECT count(*) FROM enrollments e JOIN users u ON u.id = e.user_id WHERE u.sourced_id = ?"
    [[many]] = await sqlite_store.read(lambda c: c.sql(seats, [letter.sourced_id]))
    assert many == sum(one.user == student.sourced_id for one in district.enrollments)


async def test_a_district_without_schools_is_a_fault_and_no_empty_district() -> None:
    simulator = _simulator(misbehave={"empty"})

    with pytest.raises(SourceError, match=r"counts .* schools and gave 0"):
        await _pages(_connector(simulator), "org")


async def test_student_numbers_get_back_the_zeros_that_lists_of_numbers_lose() -> None:
    simulator = _simulator(installed=False)

    people = await _read(_connector(simulator, student_number_digits=8), "user")

    assert {len(one.identifier) for key, one in people.items() if key.startswith("student-")} == {8}


async def test_co_teachers_and_students_of_two_schools_are_not_lost() -> None:
    simulator = _simulator()
    seats = await _read(_connector(simulator), "enrollment")

    teachers = Counter(one.class_ for one in seats.values() if one.role == "teacher")
    expected = Counter(one.class_ for one in DISTRICT.enrollments if one.role == "teacher")
    assert sorted(teachers.values()) == sorted(expected.values())
    assert all(isinstance(one, Enrollment) and one.school for one in seats.values())


async def test_schools_and_district_come_with_their_numbers() -> None:
    orgs: dict[str, Org] = await _read(_connector(_simulator()), "org")

    assert {org.identifier for org in orgs.values() if org.kind == "school"} == {
        org.identifier for org in DISTRICT.schools
    }
    assert orgs["district"].name == "Sample Valley Unified"
