"""Rules on `push()`: the same mark twice is one record, nothing is overwritten blindly, each mark has its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import httpx2
import pytest

from homeroom.records import AcademicSession, Class, Enrollment, OutgoingMark, Pushed, SisConnector, SourceError, User
from homeroom.testing.connector_kit.subject import Reading, Rules, read_all, records_of
from homeroom.testing.connector_kit.wire import After
from homeroom.testing.simulator import Simulator

_TRIES = 4
_LATER = timedelta(days=40)  # some students come a month after the others


class AttendanceRules(Rules):
    """What comes of marks in the vendor's books."""

    def test_every_mark_has_its_own_answer(self) -> None:
        """One mark that cannot be taken keeps no other from being written, and none stays without a word."""

        async def some() -> None:
            server = self.subject.server()
            async with self.subject.open(server) as opened:
                _applies(opened.connector)
                marks = _marks(opened.connector, await read_all(opened.connector))
                unknown = replace(marks[0], key="unknown", student="nobody-has-this-id", enrollment="none-has-this-one")
                asked = [marks[0], unknown, *marks[1:]]
                answers = _by_key(asked, await opened.connector.push(asked))
                if answers["unknown"].error is None:
                    pytest.fail("push() says that a mark for an unknown student was taken; answer it with an error")
                _all_taken(marks, answers, "beside one for an unknown student")

        self.run(some())

    def test_the_same_mark_twice_is_one_record(self) -> None:
        """A mark is sent again whenever nobody knows whether it arrived."""
        self.run(self._twice())

    def test_a_mark_whose_answer_was_lost_is_one_record(self) -> None:
        """The vendor wrote it, the line broke, and the engine sends it again."""
        self.run(self._twice(lose_an_answer=True))

    def test_a_value_that_somebody_else_changed_is_not_overwritten(self) -> None:
        """The office corrected a mark in the SIS: it is shown, and written over only where a person says so."""
        self.run(self._differs())

    def test_a_throttled_mark_arrives(self) -> None:
        """429 while attendance is written."""
        self.run(self._twice("429"))

    async def _twice(self, *misbehave: str, lose_an_answer: bool = False) -> None:
        server = self._books()
        after = _lose_first_write(server) if lose_an_answer else None
        async with self.subject.open(server) as opened:
            _applies(opened.connector)
            marks = _marks(opened.connector, await read_all(opened.connector))
        server.misbehave = set(misbehave)
        for when in ("", "that was sent again"):
            async with self.subject.open(server, after=after) as opened:
                _all_taken(marks, await _sent(opened.connector, marks), when)
        if len(server.attendance()) != len(marks):
            pytest.fail(
                f"{len(marks)} marks that were sent twice are {len(server.attendance())} records; write to the same "
                "record again, or look before you write"
            )

    async def _differs(self) -> None:
        server = self._books()
        async with self.subject.open(server) as opened:
            connector = opened.connector
            _applies(connector)
            if connector.attendance_out != "api":
                pytest.skip("a file cannot see what the SIS holds")
            mark = _marks(connector, await read_all(connector))[0]
            held = (await _taken(connector, replace(mark, key="ours"))).held
            if held is None:
                pytest.fail(
                    "Pushed.held is None after a mark was written; tell what the SIS holds now, in your own words"
                )
            await _taken(connector, replace(mark, key="office", status="excused", held=held, overwrite=True))
            theirs = server.attendance()
            stale = replace(mark, key="late", status="tardy", minutes_late=5, held=held)
            [answer] = await connector.push([stale])
            if server.attendance() != theirs:
                pytest.fail("a value that somebody else had set was overwritten; compare it with mark.held first")
            if not answer.differs or answer.held in (None, held):
                pytest.fail("push() wrote nothing and does not say why; answer differs=True with what the SIS holds")
            await _taken(connector, replace(stale, key="chosen", overwrite=True))
            if server.attendance() == theirs:
                pytest.fail("a mark with overwrite=True was not written; a person chose it")

    def _books(self, *misbehave: str) -> Simulator:
        """A simulator whose books can be read."""
        server = self.server(*misbehave)
        if type(server).attendance is Simulator.attendance:
            pytest.skip("its simulator keeps no attendance")
        return server


def _lose_first_write(server: Simulator) -> After:
    """Breaks the line after the vendor has written something, once."""
    lost = False

    async def after(request: httpx2.Request, _answer: httpx2.Response) -> None:
        nonlocal lost
        if not lost and server.attendance():
            lost = True
            raise httpx2.ReadError("the line broke", request=request)

    return after


def _applies(connector: SisConnector) -> None:
    if connector.attendance_out == "none":
        pytest.skip("it says that it takes no attendance")


def _by_key(marks: Sequence[OutgoingMark], answers: Sequence[Pushed]) -> dict[str, Pushed]:
    keys = sorted(answer.key for answer in answers)
    if keys != sorted(mark.key for mark in marks):
        pytest.fail(f"push() was given {len(marks)} marks and gave {len(keys)} answers; give one for each, by its key")
    return {answer.key: answer for answer in answers}


def _all_taken(marks: Sequence[OutgoingMark], answers: dict[str, Pushed], when: str) -> None:
    for mark in marks:
        answer = answers[mark.key]
        if answer.error is not None or answer.differs:
            why = answer.error or "it says that somebody else changed it"
            pytest.fail(f"a good mark {when} was not taken: {why}".replace("  ", " "))


async def _sent(connector: SisConnector, marks: Sequence[OutgoingMark]) -> dict[str, Pushed]:
    """What came of each mark in the end; those that may succeed later are sent again, as the engine does."""
    answers: dict[str, Pushed] = {}
    for _ in range(_TRIES):
        left = [mark for mark in marks if mark.key not in answers or answers[mark.key].retry]
        if left:
            answers |= _by_key(left, await _pushed(connector, left))
    return answers


async def _pushed(connector: SisConnector, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
    """The answers; a failure that may pass is one for every mark, as the engine takes it."""
    try:
        return await connector.push(marks)
    except SourceError as exc:
        if not exc.retry:
            pytest.fail(f"push() raised {exc}; answer each mark, or raise SourceError(retry=True) for what may pass")
        return [Pushed(key=mark.key, error=str(exc), retry=True) for mark in marks]


async def _taken(connector: SisConnector, mark: OutgoingMark) -> Pushed:
    answers = _by_key([mark], await connector.push([mark]))
    _all_taken([mark], answers, "")
    return answers[mark.key]


def _marks(connector: SisConnector, reading: Reading) -> list[OutgoingMark]:
    """An absence for each of three students, on a Tuesday in term."""
    classes = {one.sourced_id: one for one in records_of(reading["class"]) if isinstance(one, Class)}
    numbers = {one.sourced_id: one.identifier for one in records_of(reading["user"]) if isinstance(one, User)}
    seats: dict[str, Enrollment] = {}
    for seat in records_of(reading["enrollment"]):
        if isinstance(seat, Enrollment) and seat.role == "student":
            seats.setdefault(seat.user, seat)
    day = _school_day(reading)
    starts_at = datetime.combine(day, time(15), UTC)
    by_class = connector.attendance_level == "class"
    return [
        OutgoingMark(
            key=f"mark-{number}",
            student=seat.user,
            student_number=numbers[seat.user],
            school=classes[seat.class_].school,
            class_=seat.class_ if by_class else None,
            enrollment=seat.sourced_id if by_class else None,
            periods=classes[seat.class_].periods if by_class else (),
            starts_at=starts_at if by_class else None,
            school_day=day,
            status="absent",
            recorded_at=starts_at,
        )
        for number, seat in enumerate(list(seats.values())[:3])
    ]


def _school_day(reading: Reading) -> date:
    begins = [
        one.begins_on for one in records_of(reading.get("academicSession", [])) if isinstance(one, AcademicSession)
    ]
    day = min(begins, default=date(2026, 8, 17)) + _LATER
    return day + timedelta(days=(1 - day.weekday()) % 7)
