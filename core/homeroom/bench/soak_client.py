"""The client of `bench soak`: round after round of one school day's first lesson, in a process of its own.

Reads a Plan as JSON from standard input and writes JSON lines: `{"round": …}` when one has ended, at last
`{"result": …}`.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass

import orjson

from homeroom.bench.bell_client import Arrival, Bell, Side
from homeroom.bench.codes import PLACEHOLDER, Teacher, shown
from homeroom.bench.exchange import Answer, CannotMeasure, ask, client, request, say
from homeroom.bench.outcome import percentile
from homeroom.bench.sockets import Seat


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One class: the session that is open at first, who teaches it, and its students by id with their tokens."""

    id: str
    session_id: str
    teacher: str
    students: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`rounds` of `seconds` each, in which `students` arrive evenly; `boards` sockets are opened anew in each."""

    port: int
    rooms: list[Room]
    rounds: int
    seconds: float
    students: int
    boards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one round did: milliseconds of a check-in, and who was answered, as [session, student]."""

    p50_ms: float
    p95_ms: float
    answered: list[tuple[str, str]]
    errors: int
    lost: int
    doubled: int
    examples: list[str]


async def run(plan: Plan) -> list[Lesson]:
    """Every round; between two of them each class's session is closed and the next one opened."""
    gc.freeze()
    sessions = {room.id: room.session_id for room in plan.rooms}
    lessons: list[Lesson] = []
    for number in range(plan.rounds):
        if number:
            sessions = {room.id: await _reopened(plan.port, room, sessions[room.id]) for room in plan.rooms}
        lessons.append(await _lesson(plan, sessions, first=number * plan.students))
        say({"round": number + 1, "of": plan.rounds})
    return lessons


async def _lesson(plan: Plan, sessions: dict[str, str], *, first: int) -> Lesson:
    """One round; who arrives is taken in turn from all students, so that it does not matter how many there are."""
    everybody = [(room, who) for room in plan.rooms for who in room.students]
    turn = [everybody[(first + number) % len(everybody)] for number in range(plan.students)]
    watched = [plan.rooms[number % len(plan.rooms)] for number in range(plan.boards)]
    side = Side(
        name="real",
        port=plan.port,
        codes=True,
        boards=[Seat(port=plan.port, path=f"/ws/class/{room.id}", token=room.teacher, greets=True) for room in watched],
        watched=[sessions[room.id] for room in watched],
        arrivals=[
            Arrival(
                at=number * plan.seconds / plan.students,
                session_id=sessions[room.id],
                student_id=who,
                post=_post(sessions[room.id], room.students[who]),
            )
            for number, (room, who) in enumerate(turn)
        ],
    )
    teachers = [Teacher(session_id=sessions[room.id], token=room.teacher) for room in plan.rooms]
    async with shown(plan.port, teachers) as codes:
        rung = await Bell(side, codes).ring()
    ms = rung.ms or [0.0]
    return Lesson(
        p50_ms=percentile(ms, 0.5),
        p95_ms=percentile(ms, 0.95),
        answered=[(side.arrivals[n].session_id, side.arrivals[n].student_id) for n in rung.good],
        errors=rung.errors,
        lost=rung.lost,
        doubled=rung.doubled,
        examples=rung.examples,
    )


async def _reopened(port: int, room: Room, session_id: str) -> str:
    """Close a class's session; gives the id of the next one."""
    await _done(port, request("POST", f"/api/v1/sessions/{session_id}/close", token=room.teacher, body=b"{}"))
    body = orjson.dumps({"methods": ["rotating_code"]})
    answer = await _done(port, request("POST", f"/api/v1/classes/{room.id}/sessions", token=room.teacher, body=body))
    found: str = orjson.loads(answer.body)["id"]
    return found


async def _done(port: int, raw: bytes) -> Answer:
    answer = await ask(port, raw)
    if answer.status not in (200, 201):
        raise CannotMeasure(f"a session was not opened or closed: {answer.status}: {answer.body[:300].decode()}")
    return answer


def _post(session_id: str, token: str) -> str:
    body = orjson.dumps({"session_id": session_id, "proof": {"code": PLACEHOLDER.decode()}})
    return request("POST", "/api/v1/attendance/checkin", token=token, body=body).decode()


def main() -> None:
    """Run the plan on standard input."""
    client(Plan, run)


if __name__ == "__main__":
    main()
