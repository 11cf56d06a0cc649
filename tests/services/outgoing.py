"""A class whose students a SIS knows, and what a queue of attendance for it does, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from homeroom.attendance.marks import Correction, NewMark, correct, mark
from homeroom.attendance.records import Record, find
from homeroom.attendance.sessions import SessionState
from homeroom.attendance_out import OutgoingStatus, problems, status
from homeroom.attendance_out.drain import drain
from homeroom.attendance_out.queue import begin, follow
from homeroom.attendance_out.reports import Problem
from homeroom.store import Store, Transaction
from homeroom.store import models as m
from homeroom.types import Status
from tests.services.classroom import EVERY_DAY, Classroom, classroom
from tests.services.scripted_sis import ScriptedSis

SIS = "acme"


@dataclass(frozen=True, slots=True, kw_only=True)
class Out:
    """A classroom, the SIS it came from, and the queue between them."""

    room: Classroom
    sis: ScriptedSis
    store: Store
    delay: timedelta = field(default_factory=timedelta)

    @property
    def students(self) -> Sequence[str]:
        return self.room.students

    def mark(self, session: SessionState, student: str, to: Status | None = None, **more: Any) -> Record:
        """The teacher's mark."""
        wanted = NewMark(student_id=student, status=to, **more)
        return self.store.write_now(lambda tx: mark(tx, session.id, [wanted]))[0]

    def correct(self, session: SessionState, student: str, to: Status, **more: Any) -> Record:
        """A correction of what there is."""

        def unit(tx: Transaction) -> Record:
            old = find(tx, session.id, student)
            assert old is not None
            return correct(tx, old.id, Correction(status=to, reason="a test", version=None, **more))

        return self.store.write_now(unit)

    async def follow(self) -> None:
        """Take what is new into the queue."""
        await follow(self.store, SIS, self.sis.attendance_level, weekdays=EVERY_DAY)

    async def send(self) -> None:
        """Take what is new into the queue, and send it."""
        await self.follow()
        await drain(self.store, SIS, self.sis, delay=self.delay)

    def rows(self) -> list[m.OutgoingMark]:
        """The queue's rows."""
        query = m.OutgoingMark.select().order_by(m.OutgoingMark.student_id, m.OutgoingMark.starts_at)
        return self.store.read_now(lambda c: c.all(query))

    def row(self) -> m.OutgoingMark:
        """The queue's only row."""
        (only,) = self.rows()
        return only

    def soon(self) -> None:
        """Let what waits for another try be due now."""
        self.store.write_now(lambda tx: tx.run(m.OutgoingMark.update(retry_at=None)))

    def writes(self) -> list[m.OutgoingWrite]:
        """Every write that was tried, in order."""
        query = m.OutgoingWrite.select().order_by(m.OutgoingWrite.started_at, m.OutgoingWrite.key)
        return self.store.read_now(lambda c: c.all(query))

    def status(self) -> OutgoingStatus:
        """The figures."""
        return self.store.read_now(lambda c: status(c, SIS))

    def problems(self) -> list[Problem]:
        """The administrator's list."""
        return self.store.read_now(lambda c: problems(c, SIS))[0]


def out(store: Store, *, students: int = 3, sis: ScriptedSis | None = None, begun: bool = True, **of_class: Any) -> Out:
    """A classroom that came from a SIS which takes attendance, with a queue that begins now."""
    room = classroom(store, students=students, **of_class)
    from_sis(store, room)
    if begun:
        store.write_now(lambda tx: begin(tx, SIS))
    return Out(room=room, sis=sis or ScriptedSis(attendance_out="api"), store=store)


def from_sis(store: Store, room: Classroom, source: str = SIS, prefix: str = "sis-") -> None:
    """Give a classroom's rows the ids of a source: "sis-0" for the first student, "sis-class", "sis-school"."""

    def unit(tx: Transaction) -> None:
        found = {"source": source, "sourced_id": f"{prefix}school"}
        tx.run(m.Org.update(found).where(m.Org.id == room.school_id))
        tx.run(m.Class.update({**found, "sourced_id": f"{prefix}class"}).where(m.Class.id == room.class_id))
        for number, student in enumerate(room.students):
            known = {**found, "sourced_id": f"{prefix}{number}"}
            tx.run(m.User.update(known).where(m.User.id == student))
            seat = (m.Enrollment.user_id == student) & (m.Enrollment.class_id == room.class_id)
            tx.run(m.Enrollment.update(source=source, sourced_id=f"{prefix}seat-{number}").where(seat))

    store.write_now(unit)
