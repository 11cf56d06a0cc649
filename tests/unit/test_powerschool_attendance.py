from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from quart import Response, request

from homeroom import Finding, OutgoingMark, Pushed, SourceError
from homeroom.testing import FakeClock, hurried, sample_district, services
from homeroom_powerschool import Connector, PowerSchoolSettings, ids, queries
from homeroom_powerschool.simulator import PowerSchoolSimulator

DISTRICT = sample_district(students=60)
DAY = date(2026, 9, 15)
AT = datetime(2026, 9, 15, 14, 0, tzinfo=UTC)
SEATS = [seat for seat in DISTRICT.enrollments if seat.role == "student" and (seat.begins_on or DAY) <= DAY]
STUDENT = SEATS[0].user
CLASSES = [seat.class_ for seat in SEATS if seat.user == STUDENT]


def _simulator(**changes: Any) -> PowerSchoolSimulator:
    simulator = PowerSchoolSimulator(DISTRICT)
    for name, value in changes.items():
        setattr(simulator, name, value)
    return simulator


def _connector(simulator: PowerSchoolSimulator, **settings: Any) -> Connector:
    given = {**simulator.settings("https://sis.example"), **settings}
    clock = FakeClock(datetime.now(UTC))
    return Connector(PowerSchoolSettings(**given), services("powerschool", http=simulator.app, clock=clock))


def _mark(
    simulator: PowerSchoolSimulator, student: str = STUDENT, class_: str | None = CLASSES[0], **more: Any
) -> OutgoingMark:
    """A mark by sample ids, as the engine would send it."""
    world = simulator.world
    school = world.orgs_of(student)[0] if class_ is None else world.classes_by_name[class_].school
    return OutgoingMark(
        **{
            "key": f"{student} {class_}",
            "student": f"student-{world.students.dcid(student)}",
            "school": f"school-{world.schools.dcid(school)}",
            "class_": None if class_ is None else f"section-{world.sections.dcid(class_)}",
            "school_day": DAY,
            "status": "absent",
            "recorded_at": AT,
            **more,
        }
    )


async def _one(connector: Connector, mark: OutgoingMark) -> Pushed:
    [answer] = await connector.push([mark])
    return answer


def _written(simulator: PowerSchoolSimulator) -> list[tuple[str, str | None, str]]:
    return [(one["student"], one["class"], one["code"]) for one in simulator.attendance()]


def _writes(simulator: PowerSchoolSimulator) -> list[Any]:
    return [asked.json for asked in simulator.asked if asked.path.startswith("/ws/attendance/")]


async def test_a_mark_stands_in_the_class_of_that_student_and_was_seen_there() -> None:
    simulator = _simulator()

    answer = await _one(_connector(simulator), _mark(simulator, status="tardy"))

    assert (answer.error, answer.read_back, answer.held, answer.before) == (None, True, "T", "(nothing)")
    [told] = simulator.attendance()
    assert (told["student"], told["class"], told["code"], told["school_day"]) == (
        STUDENT,
        CLASSES[0],
        "T",
        DAY.isoformat(),
    )


async def test_every_value_is_sent_as_a_string_with_the_ids_that_tables_use() -> None:
    simulator = _simulator()

    await _one(_connector(simulator), _mark(simulator))

    [body] = _writes(simulator)
    [record] = body["record"]
    sent = record["tables"]["attendance"]
    world = simulator.world
    assert all(isinstance(value, str) for value in sent.values())
    assert sent["studentid"] == str(world.students.id(STUDENT)) != str(world.students.dcid(STUDENT))
    assert sent["schoolid"] == str(world.number(world.orgs_of(STUDENT)[0]))
    assert sent["yearid"] == "36"
    assert sent["ccid"] == str(world.cc.id(f"{CLASSES[0]}:{STUDENT}")) != str(world.cc.dcid(f"{CLASSES[0]}:{STUDENT}"))
    assert (sent["att_date"], sent["att_mode_code"]) == ("2026-09-15", "ATT_ModeMeeting")
    assert int(sent["end_time"]) - int(sent["start_time"]) == 50 * 60


async def test_all_classes_of_a_student_on_one_day_go_in_one_request() -> None:
    simulator = _simulator()
    marks = [_mark(simulator, class_=class_) for class_ in CLASSES]

    answers = await _connector(simulator).push(marks)

    assert [answer.error for answer in answers] == [None] * len(CLASSES)
    assert len(_writes(simulator)) == 1
    assert len(simulator.attendance()) == len(CLASSES)


async def test_a_whole_class_costs_one_request_a_student_and_a_handful_more() -> None:
    simulator = _simulator()
    connector = _connector(simulator)
    seats = [seat for seat in SEATS if seat.class_ == CLASSES[0]]
    await connector.client.metadata()
    simulator.asked.clear()

    await connector.push([_mark(simulator, seat.user) for seat in seats])
    first = len(simulator.asked)
    simulator.asked.clear()
    await connector.push([_mark(simulator, seat.user, status="present", held="A") for seat in seats])

    assert first <= len(seats) + 13
    assert len(simulator.asked) == len(seats) + 3  # the ids of the enrolments, and a look before and after


def _by_day(simulator: PowerSchoolSimulator, count: int = 60, **more: Any) -> list[OutgoingMark]:
    return [_mark(simulator, user.sourced_id, None, **more) for user in DISTRICT.people("student")[:count]]


async def test_a_day_s_marks_go_two_hundred_at_a_time_and_never_into_a_class() -> None:
    simulator = PowerSchoolSimulator(sample_district(students=450))
    connector = _connector(simulator, attendance_mode="daily")
    marks = [_mark(simulator, user.sourced_id, None) for user in simulator.district.people("student")]

    answers = await connector.push(marks)

    assert connector.attendance_level == "day"
    assert {answer.error for answer in answers} == {None}
    assert [len(body["record"]) for body in _writes(simulator)] == [200, 200, 50]
    assert {(one["class"], one["code"]) for one in simulator.attendance()} == {(None, "A")}
    assert len(simulator.attendance()) == 450
    assert {asked.status for asked in simulator.asked} == {200}


async def test_an_older_powerschool_gets_them_one_by_one() -> None:
    simulator = _simulator(version="24.11.0.0")

    answers = await _connector(simulator, attendance_mode="daily").push(_by_day(simulator, 3))

    assert [answer.error for answer in answers] == [None] * 3
    assert [asked.path for asked in simulator.asked if "attendance/" in asked.path] == ["/ws/attendance/daily_time"] * 3


async def test_ten_thousand_changes_waste_hardly_a_request() -> None:
    simulator = PowerSchoolSimulator(sample_district(students=2000))
    connector = _connector(simulator, attendance_mode="daily")
    students = simulator.district.people("student")

    for status in ("absent", "excused"):
        held = None if status == "absent" else "A"
        for start in range(0, len(students), 500):
            marks = [
                _mark(simulator, user.sourced_id, None, status=status, held=held)
                for user in students[start : start + 500]
            ]
            assert {answer.error for answer in await connector.push(marks)} == {None}

    changes = len(students) * 2
    assert len(simulator.asked) <= changes / 50 + 50


async def test_a_class_s_mark_is_refused_where_attendance_is_taken_by_day_and_the_other_way_round() -> None:
    simulator = _simulator()

    by_day = await _one(_connector(simulator, attendance_mode="daily"), _mark(simulator))
    by_class = await _one(_connector(simulator), _mark(simulator, class_=None))

    assert "attendance_mode" in (by_day.error or "")
    assert "attendance_mode" in (by_class.error or "")
    assert simulator.attendance() == []


async def test_what_stands_there_already_is_not_written_again() -> None:
    simulator = _simulator()
    connector = _connector(simulator)
    mark = _mark(simulator)
    await _one(connector, mark)

    again = await _one(connector, mark)

    assert (again.error, again.read_back, again.held) == (None, True, "A")
    assert len(_writes(simulator)) == 1


async def test_a_correction_and_a_return_to_present_follow_in_order() -> None:
    simulator = _simulator()
    connector = _connector(simulator)
    held = (await _one(connector, _mark(simulator))).held

    corrected = await _one(connector, _mark(simulator, status="tardy", held=held))
    returned = await _one(connector, _mark(simulator, status="present", held=corrected.held))

    assert (corrected.held, returned.held) == ("T", "(blank)")
    assert _written(simulator) == [(STUDENT, CLASSES[0], "")]


async def test_several_marks_for_one_place_are_written_once_as_the_last_says() -> None:
    simulator = _simulator()
    marks = [
        _mark(simulator, key=key, status=status) for key, status in (("1", "absent"), ("2", "tardy"), ("3", "excused"))
    ]

    answers = await _connector(simulator).push(marks)

    assert {answer.key: (answer.error, answer.held) for answer in answers} == {
        "1": (None, "E"),
        "2": (None, "E"),
        "3": (None, "E"),
    }
    assert len(_writes(simulator)) == 1


async def test_a_mark_that_arrived_before_its_answer_was_lost_is_ours_and_no_conflict() -> None:
    simulator = _simulator()
    connector = _connector(simulator)
    first = _mark(simulator, key="1")
    await _one(connector, first)  # the engine never learnt of it

    answers = await connector.push([first, _mark(simulator, key="2", status="tardy")])

    assert [answer.error for answer in answers] == [None, None]
    assert _written(simulator) == [(STUDENT, CLASSES[0], "T")]


async def test_withdrawing_a_mark_writes_the_present_code_and_nothing_where_there_is_nothing() -> None:
    simulator = _simulator()
    connector = _connector(simulator)

    nothing = await _one(connector, _mark(simulator, status=None))
    before = simulator.attendance()
    held = (await _one(connector, _mark(simulator))).held
    gone = await _one(connector, _mark(simulator, status=None, held=held))

    assert (nothing.error, nothing.held, before) == (None, "(nothing)", [])
    assert (gone.error, gone.held) == (None, "(blank)")


async def test_a_present_student_without_a_mark_gets_none_where_the_district_says_so() -> None:
    simulator = _simulator()
    connector = _connector(simulator, present_marks="skip")

    skipped = await _one(connector, _mark(simulator, status="present"))
    held = (await _one(connector, _mark(simulator))).held
    undone = await _one(connector, _mark(simulator, status="present", held=held))

    assert (skipped.error, skipped.held) == (None, "(nothing)")
    assert (undone.error, undone.held) == (None, "(blank)")


async def test_a_school_s_own_code_for_present_is_used() -> None:
    simulator = _simulator()
    school = simulator.world.number(simulator.world.orgs_of(STUDENT)[0])
    connector = _connector(simulator, codes_by_school={str(school): {"present": "S"}})

    assert (await _one(connector, _mark(simulator, status="present"))).held == "S"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"school_day": date(2026, 9, 16)}, "no school day"),
        ({"school_day": date(2027, 9, 14)}, "no school day"),
        ({"student": "student-1"}, "which student this is"),
        ({"student": "staff-1"}, "full sync"),
        ({"class_": "section-1"}, "does not meet"),
        ({"school": "school-1"}, "no such school"),
    ],
)
async def test_what_powerschool_does_not_know_is_not_written_and_the_reason_is_told(
    change: dict[str, Any], why: str
) -> None:
    simulator = _simulator()
    simulator.world.holidays.add(date(2026, 9, 16))

    answer = await _one(_connector(simulator), replace(_mark(simulator), **change))

    assert why in (answer.error or "")
    assert simulator.attendance() == []


async def test_a_class_is_marked_only_on_the_days_it_meets() -> None:
    simulator = _simulator()
    letter = simulator.world.cycle_letter(DAY)
    simulator.world.meets[CLASSES[1]] = "B" if letter == "A" else "A"
    simulator.world.meets[CLASSES[2]] = letter

    answers = await _connector(simulator).push([_mark(simulator, class_=class_) for class_ in CLASSES[1:3]])

    assert [bool(answer.error) for answer in answers] == [True, False]
    assert "does not meet" in (answers[0].error or "")


async def test_a_student_who_dropped_the_class_is_not_marked_there() -> None:
    simulator = _simulator()
    simulator.world.dropped.add(f"{CLASSES[0]}:{STUDENT}")

    answer = await _one(_connector(simulator), _mark(simulator))

    assert "not in this class" in (answer.error or "")


async def test_hazard_7_the_codes_are_those_of_the_school_and_the_year() -> None:
    simulator = _simulator()
    schools = {simulator.world.orgs_of(user.sourced_id)[0]: user.sourced_id for user in DISTRICT.people("student")}
    marks = [_mark(simulator, student, None) for student in schools.values()]

    await _connector(simulator, attendance_mode="daily").push(marks)

    [body] = _writes(simulator)
    sent = [record["tables"]["attendance"]["attendance_codeid"] for record in body["record"]]
    codes = [simulator.world.code(int(code)) for code in sent]
    assert len(set(sent)) == len(schools) > 1
    assert {(code.letters, code.year) for code in codes if code} == {("A", 36)}


def _recode(simulator: PowerSchoolSimulator, known: str, **change: Any) -> None:
    """Change a code at every school."""
    codes = simulator.world.codes
    codes.update({key: replace(code, **change) for key, code in codes.items() if code.letters == known})


async def test_hazard_7_a_code_that_means_the_opposite_at_a_school_is_not_written() -> None:
    simulator = _simulator()
    _recode(simulator, "A", presence="Present")

    answer = await _one(_connector(simulator), _mark(simulator))
    findings = await _connector(simulator).check()

    assert "counts as present" in (answer.error or "")
    assert simulator.attendance() == []
    assert any("means the opposite" in finding.problem for finding in findings)


async def test_hazard_7_a_code_that_a_school_lacks_is_named_with_the_setting_that_helps() -> None:
    simulator = _simulator()
    _recode(simulator, "T", letters="L")

    answer = await _one(_connector(simulator), _mark(simulator, status="tardy"))
    [finding] = await _connector(simulator).check()
    renamed = await _one(_connector(simulator, codes={"tardy": "L"}), _mark(simulator, status="tardy"))

    assert "no attendance code T" in (answer.error or "")
    assert "codes_by_school" in (answer.error or "")
    assert ("no attendance code T" in finding.problem, "codes" in finding.fix) == (True, True)
    assert renamed.held == "L"


async def test_hazard_17_the_day_is_the_school_s_own_whatever_the_hour() -> None:
    simulator = _simulator(time_zone="Pacific/Honolulu")
    late = datetime(2026, 9, 16, 8, 0, tzinfo=UTC)  # still the 15th in Honolulu

    await _one(_connector(simulator), _mark(simulator, recorded_at=late, starts_at=late))

    assert [one["school_day"] for one in simulator.attendance()] == ["2026-09-15"]


async def test_hazard_26_every_id_is_also_another_record_s_dcid_so_that_mixing_them_would_show() -> None:
    world = _simulator().world

    assert set(world.students.ids) == set(world.students.dcids)
    assert not any(one == other for one, other in zip(world.students.ids, world.students.dcids, strict=True))
    assert set(world.cc.ids) == set(world.cc.dcids)


@pytest.mark.parametrize("mode", ["meeting", "daily"])
async def test_hazard_26_a_mark_that_hits_another_child_is_noticed_and_never_counts_as_written(mode: str) -> None:
    simulator = _simulator(lies={"ids"})  # the id map gives DCIDs for IDs, and says so both ways round
    class_ = CLASSES[0] if mode == "meeting" else None

    answer = await _one(_connector(simulator, attendance_mode=mode), _mark(simulator, class_=class_))

    assert answer.error is not None
    assert not answer.read_back
    if mode == "meeting":
        assert simulator.attendance() == []  # two sources give two ids: nothing is written at all
    else:
        assert [one["student"] for one in simulator.attendance()] != [STUDENT]
        assert "Look at the student" in answer.error


@pytest.mark.parametrize("mode", ["meeting", "daily"])
async def test_hazard_28_a_200_with_an_error_inside_is_a_failure_of_that_student_only(mode: str) -> None:
    simulator = _simulator()
    students = list(dict.fromkeys(seat.user for seat in SEATS if seat.class_ == CLASSES[0]))[:4]
    simulator.books.locked.add(students[1])
    class_ = CLASSES[0] if mode == "meeting" else None

    answers = await _connector(simulator, attendance_mode=mode).push(
        [_mark(simulator, student, class_) for student in students]
    )

    assert [bool(answer.error) for answer in answers] == [False, True, False, False]
    assert "ATT_DATE" in (answers[1].error or "")
    assert not answers[1].retry
    assert all(asked.status == 200 for asked in simulator.asked)


@pytest.mark.parametrize(("mode", "status"), [("meeting", 400), ("daily", 400), ("meeting", 500)])
async def test_hazard_28_students_for_whom_a_request_is_refused_keep_no_other_child_s_mark(
    mode: str, status: int
) -> None:
    simulator = _simulator()
    students = list(dict.fromkeys(seat.user for seat in SEATS if seat.class_ == CLASSES[0]))[:5]
    simulator.books.rejected = dict.fromkeys(students[:3], status)
    class_ = CLASSES[0] if mode == "meeting" else None

    answers = await _connector(simulator, attendance_mode=mode).push(
        [_mark(simulator, student, class_) for student in students]
    )

    assert [bool(answer.error) for answer in answers] == [True] * 3 + [status == 500] * 2
    assert all(answer.retry == (status == 500) for answer in answers)  # each is answered, so the others' turn comes


async def test_hazard_29_what_somebody_else_entered_is_shown_and_not_overwritten() -> None:
    simulator = _simulator()
    connector = _connector(simulator)
    held = (await _one(connector, _mark(simulator))).held
    simulator.enter(STUDENT, DAY, "E", CLASSES[0])

    answer = await _one(connector, _mark(simulator, status="tardy", held=held))
    chosen = await _one(connector, _mark(simulator, status="tardy", held=held, overwrite=True))

    assert (answer.differs, answer.held, answer.before) == (True, "E", "E")
    assert "not entered from here" in (answer.error or "")
    assert (chosen.error, chosen.held, chosen.before) == (None, "T", "E")


async def test_hazard_29_a_first_mark_does_not_overwrite_what_the_office_entered_before() -> None:
    simulator = _simulator()
    simulator.enter(STUDENT, DAY, "E")

    answer = await _one(_connector(simulator, attendance_mode="daily"), _mark(simulator, class_=None))

    assert (answer.differs, answer.held) == (True, "E")
    assert _written(simulator) == [(STUDENT, None, "E")]


async def test_hazard_30_secrets_and_names_stay_out_of_errors_and_reprs(caplog: pytest.LogCaptureFixture) -> None:
    simulator = _simulator()
    secret = simulator.client_secret
    simulator.client_secret = "another"
    connector = _connector(simulator, client_secret=secret)

    with pytest.raises(SourceError, match="client id and secret were refused") as refused:
        await _one(connector, _mark(simulator))
    findings = await connector.check()

    shown = f"{connector!r} {connector.client!r} {connector.client.http!r} {refused.value!r} {findings} {caplog.text}"
    assert secret not in shown
    assert refused.value.retry  # the queue waits until the secret is right; no mark is given up
    people = [user for user in DISTRICT.users if user.sourced_id == STUDENT]
    assert people[0].family_name not in shown


@pytest.mark.parametrize("kind", ["429", "429-bare", "500", "token-expiry", "truncated", "slow-drip", "outage"])
@pytest.mark.parametrize("mode", ["meeting", "daily"])
def test_a_server_that_misbehaves_never_loses_a_mark_nor_doubles_it(kind: str, mode: str) -> None:
    simulator = _simulator(misbehave={kind})
    students = list(dict.fromkeys(seat.user for seat in SEATS if seat.class_ == CLASSES[0]))[:6]
    marks = [_mark(simulator, student, CLASSES[0] if mode == "meeting" else None) for student in students]

    async def push() -> list[Sequence[Pushed]]:
        connector = _connector(simulator, attendance_mode=mode)
        rounds: list[Sequence[Pushed]] = []
        due = {mark.key for mark in marks}
        while due and len(rounds) < 10:
            simulator._count["500"] += len(rounds)  # or the very same request would fail in every round
            try:
                rounds.append(await connector.push([mark for mark in marks if mark.key in due]))
            except SourceError:
                rounds.append([])
                simulator.misbehave -= {"outage"}
                continue
            due = {answer.key for answer in rounds[-1] if answer.error is not None and answer.retry}
        return rounds

    rounds = hurried(push())

    told = {answer.key: answer for answers in rounds for answer in answers}
    assert {answer.error for answer in told.values()} == {None}
    assert sorted(one["student"] for one in simulator.attendance()) == sorted(students)


def test_while_powerschool_is_down_it_is_asked_for_all_marks_at_once_and_not_for_each() -> None:
    simulator = _simulator(misbehave={"outage"})

    with pytest.raises(SourceError, match="maintenance") as down:
        hurried(_connector(simulator).push([_mark(simulator, class_=class_) for class_ in CLASSES]))

    assert down.value.retry
    assert len(simulator.asked) <= 4


async def test_three_students_whose_writes_get_no_answer_keep_nobody_else_waiting_for_ever() -> None:
    simulator = _simulator()
    students = list(dict.fromkeys(seat.user for seat in SEATS if seat.class_ == CLASSES[0]))[:5]
    ids_there = {str(simulator.world.students.id(student)) for student in students[:3]}

    async def torn() -> Any:
        told = await request.get_json(silent=True) if request.path.startswith("/ws/attendance/") else None
        is_bad = told and told["record"][0]["tables"]["attendance"]["studentid"] in ids_there
        return Response('{"insert_', 200, {"Content-Type": "application/json"}) if is_bad else None

    simulator.app.before_request(torn)
    connector = _connector(simulator)
    first = await connector.push([_mark(simulator, student) for student in students])
    rest = await connector.push([_mark(simulator, student) for student in students[3:]])

    assert all(answer.retry and answer.error for answer in first)  # answered, so that the queue goes on with others
    assert [answer.tried for answer in first] == [True, True, True, False, False]
    assert [answer.error for answer in rest] == [None, None]


def test_a_batch_at_which_powerschool_fails_is_sent_one_by_one_and_one_student_s_mark_is_left() -> None:
    simulator = _simulator()
    marks = _by_day(simulator, 5)
    simulator.books.rejected = {DISTRICT.people("student")[2].sourced_id: 500}

    answers = hurried(_connector(simulator, attendance_mode="daily").push(marks))

    assert [bool(answer.error) for answer in answers] == [False, False, True, False, False]
    assert answers[2].retry
    assert len(simulator.attendance()) == 4


def test_a_powerschool_that_asks_to_slow_down_is_not_asked_for_the_other_students_too() -> None:
    simulator = _simulator()
    students = list(dict.fromkeys(seat.user for seat in SEATS if seat.class_ == CLASSES[0]))[:5]
    simulator.books.rejected = dict.fromkeys(students, 503)

    with pytest.raises(SourceError, match="slow down"):
        hurried(_connector(simulator).push([_mark(simulator, student) for student in students]))
    assert len(_writes(simulator)) == 4  # one student's, as often as a request is sent


async def test_a_double_period_is_one_meeting_and_two_apart_are_told_by_the_hour() -> None:
    from homeroom_powerschool.school_day import Meeting

    connector = _connector(_simulator())
    first, second, afternoon = (
        Meeting(period=number, start=hour * 3600, end=hour * 3600 + 3000)  # type: ignore[arg-type] # any number will do
        for number, hour in ((1, 8), (2, 9), (3, 13))
    )
    days = connector._writer._days

    double = await days.meeting_at([second, first], None)
    morning = await days.meeting_at([first, second, afternoon], datetime(2026, 9, 15, 12, 5, tzinfo=UTC))  # 8:05 there
    later = await days.meeting_at([first, second, afternoon], datetime(2026, 9, 15, 16, 50, tzinfo=UTC))
    missed = await days.meeting_at([first, second, afternoon], datetime(2026, 9, 15, 14, 30, tzinfo=UTC))  # 10:30 there

    assert (double, morning, later) == ((first, second), (first, second), (afternoon,))
    assert missed == (first, second)  # the one that was, and not the one that is still to come
    with pytest.raises(ids.Unplaceable, match="no meeting"):
        await days.meeting_at([first, second, afternoon], datetime(2026, 9, 15, 9, 0, tzinfo=UTC))  # 5:00 there


async def test_hazard_17_where_powerschool_names_no_zone_the_district_s_own_tells_the_hour_and_the_day() -> None:
    from homeroom_powerschool.school_day import Meeting

    simulator = _simulator(time_zone="Eastern Standard Time")
    clock = FakeClock(datetime(2026, 9, 16, 8, 0, tzinfo=UTC))  # still the 15th in Honolulu
    given = services("powerschool", http=simulator.app, clock=clock, time_zone="Pacific/Honolulu")
    connector = Connector(PowerSchoolSettings(**simulator.settings("https://sis.example")), given)
    morning, afternoon = (
        Meeting(period=number, start=hour * 3600, end=hour * 3600 + 3000)  # type: ignore[arg-type] # any number will do
        for number, hour in ((1, 8), (2, 13))
    )
    days = connector._writer._days

    at_eight = await days.meeting_at([morning, afternoon], datetime(2026, 9, 15, 18, 5, tzinfo=UTC))

    assert at_eight == (morning,)
    assert await days._frame.today() == date(2026, 9, 15)


@pytest.mark.parametrize("table", ["calendar_day", "attendance_code"])
async def test_a_row_that_cannot_be_read_among_all_schools_lets_the_marks_wait(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = _simulator()
    connector = _connector(simulator)
    client = connector._writer._days._client
    whole_table = client.whole_table

    async def spoilt(name: str, *more: Any) -> Any:
        rows = await whole_table(name, *more)
        return [{**rows[0], "schoolid": "?"}, *rows] if name == table else rows

    monkeypatch.setattr(client, "whole_table", spoilt)
    with pytest.raises(SourceError, match="schoolid"):
        await connector.push([_mark(simulator)])
    assert simulator.attendance() == []


async def test_a_row_of_one_school_that_cannot_be_read_keeps_no_other_school_s_marks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulator = _simulator()
    connector = _connector(simulator)
    client = connector._writer._days._client
    query = client.query
    schools = {seat.class_: simulator.world.classes_by_name[seat.class_].school for seat in SEATS}
    there = next(seat for seat in SEATS if schools[seat.class_] != schools[CLASSES[0]])
    bad = str(simulator.world.number(schools[CLASSES[0]]))

    async def spoilt(name: str, args: Any) -> Any:
        rows = await query(name, args)
        is_bad = name == queries.CODES and str(args["schoolid"]) == bad
        return [{"tables": {"attendance_code": {"yearid": "?"}}}, *rows] if is_bad else rows

    monkeypatch.setattr(client, "query", spoilt)
    here, other = await connector.push([_mark(simulator), _mark(simulator, there.user, there.class_)])
    assert "yearid" in (here.error or "")
    assert other.error is None


async def test_check_prints_the_very_lines_that_plugin_xml_lacks() -> None:
    simulator = _simulator()
    del simulator.grants["COURSES.COURSE_NAME"]
    del simulator.grants["CC.DATELEFT"]
    simulator.grants["ATTENDANCE.CCID"] = "ViewOnly"

    text = "\n".join(finding.problem for finding in await _connector(simulator).check())

    assert '<field table="COURSES" field="COURSE_NAME" access="ViewOnly"/>' in text
    assert '<field table="CC" field="DATELEFT" access="ViewOnly"/>' in text
    assert '<field table="ATTENDANCE" field="CCID" access="FullAccess"/>' in text


async def test_a_write_that_is_not_granted_names_the_lines_and_is_not_tried_for_everybody() -> None:
    simulator = _simulator()
    simulator.grants["ATTENDANCE.PERIODID"] = "ViewOnly"
    students = list(dict.fromkeys(seat.user for seat in SEATS if seat.class_ == CLASSES[0]))[:5]

    with pytest.raises(
        SourceError, match='<field table="ATTENDANCE" field="PERIODID" access="FullAccess"/>'
    ) as refused:
        await _connector(simulator).push([_mark(simulator, student) for student in students])

    assert refused.value.retry
    assert len(_writes(simulator)) == 1


async def _findings(simulator: PowerSchoolSimulator, **settings: Any) -> Sequence[Finding]:
    return await _connector(simulator, **settings).check()


async def test_check_finds_nothing_where_everything_is_in_order() -> None:
    assert await _findings(_simulator()) == []
    assert await _findings(_simulator(), attendance_mode="daily", guardians=[]) == []


async def test_check_names_the_queries_that_are_not_installed() -> None:
    found = await _findings(_simulator(installed=False))

    assert len(found) == 8
    assert all("is not installed" in finding.problem and "plugin-zip" in finding.fix for finding in found)


async def test_check_says_where_the_client_id_comes_from() -> None:
    [finding] = await _findings(_simulator(), client_id=None)

    assert "Data Provider Configuration" in finding.fix


async def test_check_tells_that_the_clocks_differ_and_that_the_time_zone_is_unknown() -> None:
    simulator = _simulator(misbehave={"clock-skew"}, time_zone="Eastern Standard Time")

    found = await _findings(simulator)

    assert [finding.problem for finding in found] == [
        "PowerSchool's clock and this server's are 10 minutes apart.",
        "PowerSchool names no time zone that is known here.",
    ]


async def test_events_are_asked_for_at_the_secret_address_and_a_refusal_stops_nothing() -> None:
    from homeroom.testing import running_plugin
    from homeroom_powerschool import PowerSchool

    simulator = _simulator()
    settings = {**simulator.settings("https://sis.example"), "events": True}
    given = services("powerschool", http=simulator.app)
    async with running_plugin(PowerSchool, settings, services=given) as plugin:
        assert isinstance(plugin.instance, PowerSchool)
        secret = plugin.instance._events.secret
        assert plugin.instance._subscribing is not None
        await plugin.instance._subscribing
    told = simulator.subscription["event_subscriptions"]

    assert told["callback_url"] == f"https://homeroom.example/plugins/powerschool/events/{secret}"
    assert {one["resource"] for one in told["event_subscription"]} >= {"/ws/v1/student", "/ws/v1/section_enrollment"}
    refused = services("powerschool", http=_simulator(client_secret="another").app)
    async with running_plugin(PowerSchool, settings, services=refused) as plugin:
        assert isinstance(plugin.instance, PowerSchool)
        assert plugin.instance._subscribing is not None
        await plugin.instance._subscribing  # it raises nothing
