"""One school with one class and some students, for tests of attendance; every day of the week is a school day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from homeroom.attendance.sessions import Opening, SessionState, close_session, open_session
from homeroom.store import Store, Transaction, new_id
from homeroom.store import models as m
from homeroom.types import Evidence, Verdict

EVERY_DAY = list(range(7))


@dataclass(frozen=True, slots=True)
class Answered:
    """One verifier's answer, as the plugin host gives it."""

    plugin: str
    value: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Verifiers:
    """Stands where the plugin host does: gives `answers`, and remembers what it was asked."""

    answers: Sequence[Answered] = ()
    asked: list[Any] = field(default_factory=list)

    async def ask_all(self, hook: str, **arguments: Any) -> Sequence[Answered]:
        """The canned answers."""
        self.asked.append((hook, arguments))
        return self.answers


def says(method: str, verdict: Verdict, problem: str | None = None, **more: Any) -> Answered:
    """A verifier that gives this verdict."""
    return Answered(method, Evidence(method=method, verdict=verdict, problem=problem, **more))


ACCEPTS = says("door", Verdict.ACCEPT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Classroom:
    """A class of a school of its own, so that several can lie in one database."""

    store: Store
    school_id: str
    class_id: str
    students: tuple[str, ...]

    def open(self, **asked: Any) -> SessionState:
        """A session of the class, open now unless said otherwise, whose one method is "door"."""
        wanted = {"methods": ["door"], "served": ("door", "gate"), **asked}
        opening = Opening(id=new_id(), class_id=self.class_id, **wanted)
        return self.store.write_now(lambda tx: open_session(tx, opening))

    def close(self, session_id: str) -> SessionState:
        """Close a session."""
        return self.store.write_now(lambda tx: close_session(tx, session_id))


def classroom(store: Store, *, students: int = 3, zone: str = "UTC", **of_class: Any) -> Classroom:
    """A fresh class in `store`."""
    school_id, class_id = new_id(), new_id()
    pupils = tuple(f"{class_id}-{number:02d}" for number in range(students))

    def build(tx: Transaction) -> None:
        tx.insert(
            m.Org,
            id=school_id,
            name="North",
            kind="school",
            time_zone=zone,
            settings={"school_days": EVERY_DAY},
            changed_at=tx.now,
        )
        tx.insert(m.Class, id=class_id, title="Algebra", school_id=school_id, changed_at=tx.now, **of_class)
        for pupil in pupils:
            names = {"given_name": "Ann", "family_name": "Lee", "sort_name": "lee ann"}
            tx.insert(m.User, id=pupil, changed_at=tx.now, **names)
            seat(tx, class_id, pupil)

    store.write_now(build)
    return Classroom(store=store, school_id=school_id, class_id=class_id, students=pupils)


def seat(tx: Transaction, class_id: str, student_id: str, **dates: Any) -> None:
    """A student's place in a class."""
    tx.insert(m.Enrollment, user_id=student_id, class_id=class_id, role="student", changed_at=tx.now, **dates)


def journal(store: Store, *kinds: str) -> list[m.Journal]:
    """The journal's rows of these kinds, in order."""
    query = m.Journal.select().where(m.Journal.kind.in_(kinds)).order_by(m.Journal.id)
    return store.read_now(lambda c: c.all(query))


def at(text: str) -> datetime:
    """An aware moment."""
    return datetime.fromisoformat(text)
