"""Attendance into Qmlativ: read before each write, read again after it, and nobody else's entry written over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest
from quart import Response

from homeroom import Class, Enrollment, OutgoingMark, SisConnector, SourceError
from homeroom.testing import SampleDistrict, hurried, sample_district
from homeroom_skyward import tables as t
from homeroom_skyward.numbers import number
from homeroom_skyward.simulator import SkywardQmlativSimulator
from tests.services.qmlativ import connector_to, pages_of, records_in

DAY = date(2026, 10, 6)


@pytest.fixture
def district() -> SampleDistrict:
    return sample_district(students=60)


def _simulator(district: SampleDistrict, **more: Any) -> SkywardQmlativSimulator:
    return SkywardQmlativSimulator(district, roster="api", attendance="api", **more)


def _mark(district: SampleDistrict, position: int = 0, **more: Any) -> OutgoingMark:
    """An absence of a student in a class."""
    seat: Enrollment = [one for one in district.enrollments if one.role == "student"][position]
    one: Class = next(one for one in district.classes if one.sourced_id == seat.class_)
    told: dict[str, Any] = {
        "key": f"mark-{position}",
        "student": f"student-{number('student', seat.user)}",
        "school": str(number("school", one.school)),
        "class_": str(number("section", one.sourced_id)),
        "enrollment": f"student-{number('seat', seat.sourced_id)}",
        "periods": one.periods,
        "school_day": DAY,
        "status": "absent",
        "recorded_at": datetime(2026, 10, 6, 14, tzinfo=UTC),
    }
    return OutgoingMark(**{**told, **more})


def _writes(simulator: SkywardQmlativSimulator) -> list[str]:
    """The requests that write."""
    return [
        asked.method
        for asked in simulator.asked
        if asked.method in ("PUT", "DELETE") or (asked.method == "POST" and "DataObject" in (asked.json or {}))
    ]


async def _push(connector: SisConnector, mark: OutgoingMark) -> Any:
    [pushed] = await connector.push([mark])
    return pushed


async def test_an_absence_is_written_for_the_right_student_class_and_day(district: SampleDistrict) -> None:
    simulator = _simulator(district)
    seat = next(one for one in district.enrollments if one.role == "student")

    pushed = await _push(connector_to(simulator), _mark(district))

    assert (pushed.error, pushed.held, pushed.read_back, pushed.differs) == (None, "A", True, False)
    assert simulator.attendance() == [
        {"student": seat.user, "class": seat.class_, "school_day": "2026-10-06", "code": "A"}
    ]


async def test_the_ids_of_the_roster_are_the_ones_that_are_written_by(district: SampleDistrict) -> None:
    simulator = _simulator(district)
    connector = connector_to(simulator)
    seats = records_in(await pages_of(connector, "enrollment"))
    mark = _mark(district)

    seat = seats[mark.enrollment or ""]
    assert isinstance(seat, Enrollment)
    assert (seat.user, seat.class_) == (mark.student, mark.class_)


async def test_corrections_a_return_to_present_and_a_withdrawal_follow(district: SampleDistrict) -> None:
    simulator = _simulator(district)
    connector = connector_to(simulator)
    steps: list[tuple[Any, str | None]] = [
        ("absent", "A"),
        ("excused", "A/EX"),
        ("tardy", "T"),
        ("present", None),
        ("absent", "A"),
        (None, None),
    ]
    held = None
    for step, (status, code) in enumerate(steps):
        pushed = await _push(connector, _mark(district, key=f"k{step}", status=status, held=held))
        assert (pushed.error, pushed.held, pushed.read_back) == (None, code, True)
        assert [one["code"] for one in simulator.attendance()] == ([code] if code else [])
        held = pushed.held

    assert _writes(simulator) == ["PUT", "PUT", "POST", "POST", "DELETE", "PUT", "DELETE"]


async def test_a_code_of_the_district_comes_before_the_status(district: SampleDistrict) -> None:
    codes = {"absent": "A", "excused": "A/EX", "tardy": "T", "DOC": "A/DR"}
    connector = connector_to(_simulator(district), codes=codes)

    assert (await _push(connector, _mark(district, status="excused", code="DOC"))).held == "A/DR"


async def test_the_same_mark_again_writes_nothing(district: SampleDistrict) -> None:
    simulator = _simulator(district)
    await _push(connector_to(simulator), _mark(district))
    before = len(_writes(simulator))

    again = await _push(connector_to(simulator), _mark(district))

    assert (again.error, again.held, again.read_back) == (None, "A", True)
    assert len(_writes(simulator)) == before


async def test_hazard_29_what_the_office_entered_meanwhile_stays_until_a_person_chooses(
    district: SampleDistrict,
) -> None:
    simulator = _simulator(district)
    connector = connector_to(simulator)
    held = (await _push(connector, _mark(district))).held
    [key] = simulator._written[t.STUDENT_PERIOD]
    school = next(org.sourced_id for org in district.schools)
    simulator.enter(t.STUDENT_PERIOD, key, {"AttendanceReasonID": number("AttendanceReason", f"{school} DR")})
    late = _mark(district, key="late", status="tardy", held=held)

    refused = await _push(connector, late)
    stays = [one["code"] for one in simulator.attendance()]
    chosen = await _push(connector, replace(late, overwrite=True))

    assert (refused.differs, refused.held, refused.retry) == (True, "A/DR", False)
    assert stays == ["A/DR"]
    assert (chosen.error, chosen.held) == (None, "T")


async def test_an_entry_of_somebody_else_from_before_our_first_stays_too(district: SampleDistrict) -> None:
    simulator = _simulator(district)
    await _push(connector_to(simulator), _mark(district, status="excused"))

    pushed = await _push(connector_to(simulator), _mark(district, key="ours", held=None))

    assert (pushed.differs, pushed.held) == (True, "A/EX")


async def test_hazard_26_an_id_of_another_kind_is_refused_and_hits_no_other_child(district: SampleDistrict) -> None:
    simulator = _simulator(district)
    good = _mark(district)
    wrong = [
        replace(good, key="a", student=str(good.student).removeprefix("student-")),
        replace(good, key="b", student=f"staff-{number('student', 'x')}"),
        replace(good, key="c", enrollment=None),
        replace(good, key="d", school="no-such-school"),
    ]

    pushed = await connector_to(simulator).push(wrong)

    assert [one.key for one in pushed] == ["a", "b", "c", "d"]
    assert all(one.error and not one.retry for one in pushed)
    assert _writes(simulator) == []


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"school_day": date(2026, 10, 4)}, "no school day"),
        ({"periods": ()}, "one period"),
        ({"periods": ("A1", "B2")}, "one period"),
        ({"periods": ("Z9",)}, "no attendance period of this name"),
    ],
)
async def test_what_skyward_cannot_hold_is_told_and_keeps_no_other_from_being_written(
    district: SampleDistrict, more: Any, text: str
) -> None:
    simulator = _simulator(district)
    bad = _mark(district, 0, **more)

    told, taken = await connector_to(simulator).push([bad, _mark(district, 9)])

    assert text in (told.error or "")
    assert taken.error is None
    assert len(simulator.attendance()) == 1


async def test_a_district_that_has_not_granted_it_reads_what_to_grant(district: SampleDistrict) -> None:
    pushed = await _push(connector_to(_simulator(district, may_write=False)), _mark(district))

    assert "does not let us write attendance" in pushed.error
    assert "create, update and delete on Attendance/StudentAttendancePeriod" in pushed.error


async def test_what_is_not_granted_or_not_known_is_found_before_anything_is_sent(district: SampleDistrict) -> None:
    hidden = {"Attendance/StudentAttendancePeriod": ()}
    not_granted = await connector_to(_simulator(district, hidden=hidden)).check()
    codes = {"absent": "A", "excused": "A/NO", "tardy": "T"}
    [not_known] = await connector_to(_simulator(district), codes=codes).check()

    assert not_granted[0].problem == "Skyward does not let us read Attendance/StudentAttendancePeriod."
    assert "create on Attendance/StudentAttendance" in not_granted[-1].fix
    assert not_known.problem == "No school in Skyward knows the attendance type A/NO."
    assert "codes.excused" in not_known.fix


async def test_a_write_that_does_not_show_is_no_success(district: SampleDistrict) -> None:
    simulator = _simulator(district)
    simulator._written[t.STUDENT_PERIOD] = _Forgetful()

    pushed = await _push(connector_to(simulator), _mark(district))

    assert (pushed.error, pushed.retry, pushed.held) == ("Skyward took the mark and does not show it", True, None)


class _Forgetful(dict[int, Any]):
    def __setitem__(self, key: int, value: Any) -> None:
        """Keep nothing."""


async def test_numbers_that_arrive_as_texts_are_the_same_numbers(district: SampleDistrict) -> None:
    simulator = _simulator(district)

    async def as_texts(response: Response) -> Response:
        data = orjson.loads(await response.get_data(as_text=False) or b"{}")
        for row in data.get("Objects", ()):
            row |= {name: str(value) for name, value in row.items() if type(value) is int}
        response.set_data(orjson.dumps(data))
        return response

    simulator.app.after_request(as_texts)
    connector = connector_to(simulator)

    first = await _push(connector, _mark(district, status="excused"))
    again = await _push(connector, _mark(district, key="again", status="excused", held=first.held))
    changed = await _push(connector, _mark(district, key="changed", status="tardy", held=first.held))

    assert [(one.error, one.held, one.read_back) for one in (first, again, changed)] == [
        (None, "A/EX", True),
        (None, "A/EX", True),
        (None, "T", True),
    ]
    assert len(records_in(await pages_of(connector, "class"))) == len(district.classes)


async def test_many_marks_of_a_day_are_read_at_once(district: SampleDistrict) -> None:
    simulator = _simulator(district)
    connector = connector_to(simulator, page_size=1000)
    seats = [one for one in district.enrollments if one.role == "student"]
    marks = [_mark(district, position) for position, seat in enumerate(seats) if position % 6 == 1]
    await connector.push(marks)
    written, simulator.asked = len(simulator.attendance()), []

    await connector.push(marks)

    assert written == len(marks) == 60
    assert len(simulator.asked) <= 4 * len(district.schools)  # each has a calendar of its own


def test_a_write_that_fails_for_one_student_keeps_no_other_from_being_written(district: SampleDistrict) -> None:
    simulator = _simulator(district)
    marks = [_mark(district, position) for position in (1, 7, 13)]
    seats = [one for one in district.enrollments if one.role == "student"]
    simulator.fails_for = {seats[1].user}

    first, second, third = hurried(connector_to(simulator).push(marks))

    assert (first.retry, first.read_back) == (True, False)
    assert "status 500" in (first.error or "")
    assert (second.error, third.error) == (None, None)
    assert {one["student"] for one in simulator.attendance()} == {seats[7].user, seats[13].user}


def test_where_every_write_fails_each_mark_may_come_again_and_few_are_tried(district: SampleDistrict) -> None:
    simulator = _simulator(district)
    simulator.fails_for = None
    marks = [_mark(district, position) for position in range(1, 43, 6)]

    pushed = hurried(connector_to(simulator).push(marks))

    assert all(one.retry and "status 500" in (one.error or "") for one in pushed)
    assert len(_writes(simulator)) == 3  # then it is Skyward, and not a mark
    assert [one.tried for one in pushed] == [True] * 3 + [False] * 4
    simulator.fails_for = ()
    assert [one.error for one in hurried(connector_to(simulator).push(marks))] == [None] * 7


def test_trouble_in_the_middle_leaves_each_mark_to_come_again(district: SampleDistrict) -> None:
    simulator = _simulator(district, misbehave={"500"})
    marks = [_mark(district, position) for position in (1, 7, 13, 19)]

    async def often() -> dict[str, Any]:
        connector = connector_to(simulator)
        told: dict[str, Any] = {}
        for _ in range(20):
            due = [mark for mark in marks if mark.key not in told or told[mark.key].retry]
            try:
                told |= {one.key: one for one in await connector.push(due)}
            except SourceError as exc:
                if not exc.retry:
                    raise
        return told

    pushed = hurried(often())

    assert [pushed[mark.key].error for mark in marks] == [None] * 4
    assert len(simulator.attendance()) == 4
