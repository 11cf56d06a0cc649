"""What breaks in practice between a vendor and a district: nobody is lost, everybody checks in, and all is told.

docs/hazards.md has the list; here is what no single connector's tests can prove.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from homeroom import Conflict, Resolution, SisConnector, User, sync
from homeroom.attendance.check_in import CheckIn, check_in
from homeroom.attendance.records import Record
from homeroom.attendance.sessions import KnownSessions, Opening, open_session
from homeroom.roster import people
from homeroom.store import Connection, Store, new_id
from homeroom.sync import RunResult
from homeroom.testing import FakeClock, SampleDistrict, Simulator, hurried, sample_district, services
from homeroom_edfi import EdFi
from homeroom_edfi.simulator import EdFiSimulator
from homeroom_infinite_campus import InfiniteCampus
from homeroom_infinite_campus.simulator import InfiniteCampusSimulator
from homeroom_oneroster import OneRoster
from homeroom_oneroster.simulator import OneRosterSimulator
from homeroom_powerschool import PowerSchool
from homeroom_powerschool.simulator import PowerSchoolSimulator
from homeroom_skyward import Skyward
from homeroom_skyward.simulator import SkywardQmlativSimulator
from tests.services.classroom import ACCEPTS, Classroom, Verifiers, classroom
from tests.services.scripted_sis import ScriptedSis, person, small_district

URL = "https://sis.example"
VENDORS: dict[str, tuple[type[Simulator], Any]] = {
    "oneroster": (OneRosterSimulator, OneRoster),
    "powerschool": (PowerSchoolSimulator, PowerSchool),
    "infinite_campus": (InfiniteCampusSimulator, InfiniteCampus),
    "skyward": (SkywardQmlativSimulator, Skyward),
    "edfi": (EdFiSimulator, EdFi),
}
LIES = ("empty", "half", "moving-rows", "repeat-page", "removed-field", "truncated", "outage")


@dataclass(slots=True, kw_only=True)
class _District:
    """A vendor's simulator, and the roster that comes from it."""

    store: Store
    name: str
    simulator: Simulator
    transport: httpx2.AsyncBaseTransport | None = None

    def connector(self, **settings: Any) -> SisConnector:
        plugin = VENDORS[self.name][1]
        given = services(self.name, http=self.transport or self.simulator.app, clock=FakeClock(datetime.now(UTC)))
        values = {**self.simulator.settings(URL), **self.simulator.small_pages, **settings}
        made: SisConnector = plugin(plugin.Settings.model_validate(values), given).sis_connector()
        return made

    async def run(self, **settings: Any) -> RunResult:
        return await sync.run(self.store, self.name, self.connector(**settings))

    def runs(self, **settings: Any) -> RunResult:
        """The same, on a loop on which pauses pass quickly."""
        return hurried(self.run(**settings))


def _sample(students: int) -> SampleDistrict:
    """In the middle of its term."""
    return sample_district(students=students, starts_on=datetime.now(UTC).date() - timedelta(days=60))


def _district(store: Store, name: str, sample: SampleDistrict | None = None, **how: Any) -> _District:
    made: Callable[..., Simulator] = VENDORS[name][0]
    return _District(store=store, name=name, simulator=made(sample or _sample(26), **how))


def _there(connection: Connection) -> dict[str, list[Any]]:
    """Everybody and everything that has not ended, and every mark."""
    tables = ("orgs", "classes", "users", "enrollments")
    found = {
        table: sorted(connection.sql(f"SELECT id, sourced_id FROM {table} WHERE NOT ended"))  # noqa: S608 - ours
        for table in tables
    }
    return {**found, "marks": sorted(connection.sql("SELECT id, student_id, class_id, status FROM attendance_records"))}


async def _check_in(store: Store, session_id: str, student_id: str) -> Record:
    asked = CheckIn(session_id=session_id, student_id=student_id, proof={"door": "open"})
    record, _ = await check_in(store, Verifiers([ACCEPTS]), KnownSessions(), asked, offline_hours=24)
    return record


async def _mark(store: Store) -> None:
    """Somebody of the roster was here on a day that is past by the next run."""
    seats = "SELECT class_id, user_id FROM enrollments WHERE role = 'student' AND NOT ended ORDER BY id LIMIT 1"
    [[class_id, student_id]] = await store.read(lambda c: c.sql(seats))
    opening = Opening(id=new_id(), class_id=class_id, methods=["door"], served=("door",))
    session = await store.write(lambda tx: open_session(tx, opening))
    await _check_in(store, session.id, student_id)


def _sentences(text: str | None) -> list[str]:
    return [one for one in re.split(r"(?<=[.!?]) ", text or "") if one]


def _is_told(result: RunResult) -> bool:
    """Whether an administrator reads what happened and what to do next."""
    told = [(alarm.found, alarm.look_at) for alarm in result.findings]
    return bool(told) if result.status == "held" else len(_sentences(result.reason)) > 1


@pytest.mark.parametrize("name", VENDORS)
def test_whatever_a_vendor_answers_no_student_no_enrolment_and_no_mark_is_lost_and_the_reason_is_told(
    sqlite_store: Store, name: str
) -> None:
    district = _district(sqlite_store, name)
    assert district.runs().status == "done"
    hurried(_mark(sqlite_store))
    before = sqlite_store.read_now(_there)
    assert len(before["marks"]) == 1

    for lie in LIES:
        district.simulator.misbehave = {lie}
        result = district.runs()
        assert sqlite_store.read_now(_there) == before, lie
        assert (result.status, result.reason) == ("done", None) or _is_told(result), (lie, result)

    district.simulator.misbehave = set()
    after = district.runs()
    assert (after.status, after.reason, after.added, after.ended) == ("done", None, 0, 0)
    assert sqlite_store.read_now(_there) == before


class _Dying(httpx2.AsyncBaseTransport):
    """A vendor whose server goes away after `lives` requests, until it `is_back`."""

    def __init__(self, simulator: Simulator, lives: int) -> None:
        app: Any = simulator.app
        self._up = httpx2.ASGITransport(app=app)
        self._left = lives
        self.is_back = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._left -= 1
        if self._left < 0 and not self.is_back:
            raise httpx2.ConnectError("no route", request=request)
        return await self._up.handle_async_request(request)


@pytest.mark.parametrize("name", VENDORS)
def test_a_vendor_that_dies_in_the_middle_fails_the_run_which_goes_on_when_it_is_back(
    sqlite_store: Store, name: str
) -> None:
    district = _district(sqlite_store, name)
    gone = district.transport = _Dying(district.simulator, lives=9)

    async def go() -> tuple[RunResult, dict[str, list[Any]], RunResult]:
        died = await district.run()
        between = await sqlite_store.read(_there)
        gone.is_back = True
        return died, between, await sync.resume(sqlite_store, died.run_id, district.connector())

    died, between, resumed = hurried(go())

    assert (died.status, not any(between.values())) == ("failed", True)
    assert "cannot be reached" in _sentences(died.reason)[0]
    assert _sentences(died.reason)[1:] == ["Check the address in the settings and the way there, or try again later."]
    assert (resumed.status, resumed.ended) == ("done", 0)
    assert len(sqlite_store.read_now(_there)["users"]) == len(district.simulator.district.users)


@dataclass(slots=True, kw_only=True)
class _Stall:
    """A vendor that takes a request and answers nothing until it is let go."""

    began: asyncio.Event
    over: asyncio.Event

    @classmethod
    def of(cls, simulator: Simulator, after: int) -> _Stall:
        stall = cls(began=asyncio.Event(), over=asyncio.Event())

        @simulator.app.before_request
        async def stand_still() -> None:
            if len(simulator.asked) >= after:
                stall.began.set()
                await stall.over.wait()

        return stall


async def _all_check_in(room: Classroom) -> None:
    session = room.open()
    for student in room.students:
        assert (await _check_in(room.store, session.id, student)).status == "present"


@pytest.mark.parametrize("name", VENDORS)
async def test_while_a_vendor_stalls_everybody_checks_in(sqlite_store: Store, name: str) -> None:
    await _stalls(sqlite_store, name)


async def test_while_a_vendor_stalls_everybody_checks_in_on_postgresql_too(postgres_store: Store) -> None:
    await _stalls(postgres_store, "oneroster")


async def _stalls(store: Store, name: str) -> None:
    room = classroom(store)
    district = _district(store, name)
    stall = _Stall.of(district.simulator, after=6)
    run = asyncio.create_task(district.run())
    await stall.began.wait()

    await _all_check_in(room)

    assert not run.done()
    stall.over.set()
    assert (await run).status == "done"


async def test_a_run_that_is_ended_while_its_vendor_stalls_leaves_the_way_free_for_the_next(store: Store) -> None:
    district = _district(store, "oneroster")
    stall = _Stall.of(district.simulator, after=6)
    run = asyncio.create_task(district.run())
    await stall.began.wait()
    run.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await run
    stall.over.set()

    result = await district.run()

    assert (result.status, result.ended) == ("done", 0)
    assert len((await store.read(_there))["users"]) == len(district.simulator.district.users)


async def test_between_two_units_of_a_sync_that_is_taking_over_everybody_checks_in(store: Store) -> None:
    records = small_district()
    await sync.run(store, "sis", ScriptedSis(list(records)))
    [[ana]] = await store.read(lambda c: c.sql("SELECT id FROM users WHERE sourced_id = 'ana'"))
    await store.write(lambda tx: people.patch_person(tx, ana, {"given_name": "Anna"}))
    room = classroom(store)
    seen: list[str] = []

    async def resolve(conflict: Conflict) -> Resolution | None:
        """Called when some rows of the run are in and others are not."""
        [[state]] = await store.read(lambda c: c.sql("SELECT state FROM sync_runs ORDER BY started_at DESC LIMIT 1"))
        await _all_check_in(room)
        seen.append(state)
        return Resolution(value=conflict.theirs, reason="acme: the SIS knows")

    changed = [
        replace(one, given_name="Annette") if isinstance(one, User) and one.sourced_id == "ana" else one
        for one in records
    ]
    result = await sync.run(store, "sis", ScriptedSis(changed), resolve=resolve)

    assert (seen, result.status, result.changed) == (["applying"], "done", 1)


async def test_check_ins_begun_at_every_step_of_a_sync_are_all_kept(store: Store) -> None:
    students = [f"student-{number:04d}" for number in range(1200)]
    room = classroom(store, students=40)
    session = room.open()
    waiting = list(room.students)
    begun: list[asyncio.Task[Record]] = []
    phases: set[str] = set()

    def step(progress: sync.Progress) -> None:
        phases.add(progress.phase)
        if waiting:
            begun.append(asyncio.create_task(_check_in(store, session.id, waiting.pop())))

    sis = ScriptedSis(small_district(students), page=500)
    first = await sync.run(store, "sis", sis, progress=step)
    sis.records = [*small_district(students[3:]), person("new", "student")]
    second = await sync.run(store, "sis", sis, progress=step)
    records = await asyncio.gather(*begun)

    assert (first.status, second.status, phases) == ("done", "done", {"pulling", "applying", "ending"})
    assert len(records) == len({record.student_id for record in records}) > 15


def test_hazard_5_who_was_pre_registered_is_the_same_person_on_the_first_day(sqlite_store: Store) -> None:
    district = _district(sqlite_store, "powerschool")
    world = district.simulator
    assert isinstance(world, PowerSchoolSimulator)
    students = [user.sourced_id for user in world.district.people("student")]
    world.world.status.update(dict.fromkeys(students, -1))

    in_august = district.runs()
    known = sqlite_store.read_now(_there)
    world.world.status.update(dict.fromkeys(students, 0))
    on_the_first_day = district.runs()

    assert (in_august.status, len(known["users"])) == ("done", len(world.district.users))
    assert (on_the_first_day.status, on_the_first_day.added, on_the_first_day.ended) == ("done", 0, 0)
    assert sqlite_store.read_now(_there) == known


def _outage(district: _District) -> RunResult:
    district.simulator.misbehave = {"outage"}
    return district.runs()


def _refused(district: _District) -> RunResult:
    return district.runs(client_secret="not-the-secret-any-more")


def _throttled(district: _District) -> RunResult:
    @district.simulator.app.before_request
    async def slow_down() -> Any:
        return {"message": "wait"}, 429

    return district.runs()


def _half(district: _District) -> RunResult:
    district.simulator.misbehave = {"half"}
    return district.runs()


def _wrong_size(district: _District) -> RunResult:
    simulator = district.simulator
    assert isinstance(simulator, PowerSchoolSimulator)
    connector: Any = district.connector(page_size=50, query_page_size=50)

    async def go() -> RunResult:
        await connector.client.metadata()
        simulator.caps["schema_table_query"] = 7  # lowered in PowerSchool after it had told
        return await sync.run(district.store, district.name, connector)

    return hurried(go())


@pytest.mark.parametrize(
    ("name", "trouble", "status", "happened", "to_do"),
    [
        (
            "oneroster",
            _outage,
            "failed",
            "/orgs: the system sent us to another page; it is probably down for maintenance.",
            "Try again when it is back; nothing here is changed by this.",
        ),
        (
            "powerschool",
            _refused,
            "failed",
            "The client id and secret were refused.",
            "Put those that the system shows now into the connector's settings.",
        ),
        (
            "edfi",
            _throttled,
            "failed",
            "The system asks us to slow down.",
            "Try again later; set a longer min_interval if it goes on.",
        ),
        (
            "powerschool",
            _wrong_size,
            "failed",
            "PowerSchool refused a page of 50 rows; its limit for this plugin is probably lower.",
            "Set page_size or query_page_size lower, or raise the plugin's maximum page size in PowerSchool.",
        ),
    ],
    ids=["outage", "refused-secret", "throttle", "wrong-page-size"],
)
def test_a_run_that_fails_says_what_happened_and_what_to_do(  # noqa: PLR0917 - a row of the table each
    sqlite_store: Store,
    name: str,
    trouble: Callable[[_District], RunResult],
    status: str,
    happened: str,
    to_do: str,
) -> None:
    result = trouble(_district(sqlite_store, name))

    assert (result.status, _sentences(result.reason)) == (status, [happened, to_do])


def test_hazard_12_half_an_answer_says_that_nothing_was_taken_for_gone_and_what_to_do(sqlite_store: Store) -> None:
    district = _district(sqlite_store, "oneroster")
    district.runs()
    before = sqlite_store.read_now(_there)

    result = _half(district)

    *happened, to_do = _sentences(result.reason)
    assert (result.status, sqlite_store.read_now(_there) == before) == ("done", True)
    assert "enrollment: nothing was taken for gone, because the source counts " in happened[0]
    assert to_do == "Put that right in the source, then: homeroom sync run oneroster --full"


def test_hazard_12_half_an_answer_that_counts_nothing_is_held_with_what_to_look_at(sqlite_store: Store) -> None:
    sample = _sample(40)
    _district(sqlite_store, "oneroster", sample).runs()

    result = _half(_district(sqlite_store, "oneroster", sample, links=False, totals=False))

    assert result.status == "held"
    exodus = next(alarm for alarm in result.findings if alarm.kind == "exodus")
    assert exodus.found.endswith("current enrolments would end.")
    assert exodus.look_at == ("See whether the source gave its whole list, and whether it closed a term or year early.")


def test_hazard_12_an_emptied_school_is_named_with_what_to_look_at(sqlite_store: Store) -> None:
    sample = _sample(60)
    district = _district(sqlite_store, "oneroster", sample)
    district.runs()
    school = sample.people("student")[0].roles[0].org
    classes = {one.sourced_id for one in sample.classes if one.school == school}
    sample.enrollments[:] = [one for one in sample.enrollments if one.class_ not in classes]

    result = district.runs()

    found = next(alarm for alarm in result.findings if alarm.kind == "empty_school")
    assert (result.status, found.subjects) == ("held", (school,))
    assert found.found.startswith("1 school that has students now would have none")
    assert found.look_at == "See whether the school was closed, or is no longer shared with Homeroom by the source."


def test_hazard_10_new_ids_for_everybody_are_told_with_whom_to_ask(sqlite_store: Store) -> None:
    district = _district(sqlite_store, "oneroster")
    district.runs()
    sample = district.simulator.district
    sample.users[:] = [
        replace(one, sourced_id=f"new-{one.sourced_id}", agents=tuple(f"new-{agent}" for agent in one.agents))
        for one in sample.users
    ]
    sample.enrollments[:] = [replace(one, user=f"new-{one.user}") for one in sample.enrollments]

    result = district.runs()

    found = next(alarm for alarm in result.findings if alarm.kind == "rekeyed")
    assert (result.status, found.count) == ("held", len(sample.users))
    assert found.found.endswith("people would come in as new who seem to be known already under other ids.")
    assert found.look_at.startswith("Ask the vendor whether ids were changed")


@pytest.mark.parametrize("name", VENDORS)
def test_hazard_30_a_failed_run_keeps_the_secret_out_of_its_reason_the_log_and_the_database(
    sqlite_store: Store, name: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    secret = "s3cret-that-nobody-may-read"

    result = _district(sqlite_store, name).runs(client_secret=secret)

    kept = sqlite_store.read_now(lambda c: c.sql("SELECT * FROM sync_runs"))
    printed = capsys.readouterr()
    assert (result.status, _is_told(result)) == ("failed", True)
    assert secret not in f"{result!r} {kept!r} {caplog.text} {printed.out} {printed.err}"
