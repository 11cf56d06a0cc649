"""After a storm: waiting until everything has come to rest, and whether all is as it must be."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2

from homeroom import gate
from homeroom.store import Connection, Store
from homeroom_ferpa.log.verify import verify
from homeroom_powerschool import ids
from tests.services.deployment import Deployment
from tests.services.storm import Board, Storm

_CALM = ("accepted", "delivered")
_LETTERS = {"present": "", "tardy": "T", "absent": "A"}
_WAITING = """
SELECT (SELECT COUNT(*) FROM notification_cases WHERE state = 'waiting'),
  (SELECT COUNT(*) FROM notifications WHERE state NOT IN ('accepted', 'delivered', 'withheld')),
  (SELECT COUNT(*) FROM outgoing_marks WHERE state <> 'sent'),
  (SELECT COUNT(*) FROM outgoing_writes WHERE outcome IS NULL)
"""
_LEFT = "SELECT COUNT(*) FROM notifications WHERE state IN ('accepted', 'delivered')"
_BEHIND = """
SELECT COALESCE(MAX(id), 0) - (SELECT COALESCE(MIN(position), 0) FROM cursors) FROM journal
"""
_RECORDS = "SELECT session_id, student_id, id, status, needs_review FROM attendance_records"


@dataclass(slots=True, kw_only=True)
class Seen:
    """What clients were answered: `reads` are the request ids of reads that somebody was answered."""

    storms: list[Storm]
    boards: list[Board]
    reads: list[str] = field(default_factory=list)


class Aftermath:
    """One deployment after its storm."""

    def __init__(self, there: Deployment, store: Store, seen: Seen) -> None:
        self._there = there
        self._store = store
        self._seen = seen

    async def settle(self, seconds: float = 150) -> None:
        """Return when every queue is empty. Raises AssertionError with what is left."""
        left: Any = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while left := await self._left():  # noqa: ASYNC110 - other processes
                    await asyncio.sleep(0.1)
                return
        raise AssertionError(f"not settled after {seconds} s: {left}")

    async def _left(self) -> Any:
        waiting = await self._store.read(lambda c: c.sql(_WAITING)[0])
        if any(waiting):
            kinds = await self._store.read(_what_waits)
            return {"cases, messages, marks, writes": waiting, **kinds}
        expected = len(await self._store.read(self._expected_messages))
        if (made := await self._store.read(lambda c: c.sql(_LEFT)[0][0])) < expected:
            return {"messages": made, "expected": expected}
        if (behind := await self._store.read(lambda c: c.sql(_BEHIND)[0][0])) > 0:
            return {"consumers behind": behind}
        if (held := Counter(self._marks_held())) != (wanted := Counter(await self._store.read(self._marks_wanted))):
            return {"marks missing": wanted - held, "marks too many": held - wanted}
        return None

    async def check(self) -> None:
        """Everything that must hold. Raises AssertionError."""
        await self._records()
        self._boards()
        await self._messages()
        await self._audit()
        held = Counter(self._marks_held())
        assert held == Counter(await self._store.read(self._marks_wanted))
        assert set(held.values()) == {1}
        self._logs()

    async def _records(self) -> None:
        """Each answered check-in is there once, under the id that was answered; and each is told and counted once."""
        rows = await self._store.read(lambda c: c.sql(_RECORDS))
        kept = {(row[0], row[1]): row[2] for row in rows}
        assert len(kept) == len(rows)
        for storm in self._seen.storms:
            assert storm.odd == [], storm.odd
            for student, answers in storm.answers.items():
                assert [answer[1] for answer in answers] == [kept[storm.session, student]]
        statuses = {(row[0], row[1]): row[3] for row in rows}
        for room in self._there.bell.rooms:
            found = Counter(statuses[room.session_id, student] for student in room.students)
            assert found["absent"] == len(room.absent)
            assert found["present"] + found["tardy"] == len(room.coming)
            assert all(statuses[room.session_id, student] == "absent" for student in room.absent)
        told = await self._store.read(_told)
        assert told == Counter(row[2] for row in rows)
        counts = await self._store.read(
            lambda c: c.sql("SELECT class_id, present + tardy, absent FROM attendance_counts")
        )
        assert sorted(counts) == sorted(
            (one.class_id, len(one.coming), len(one.absent)) for one in self._there.bell.rooms
        )

    def _boards(self) -> None:
        """Each board has shown each student of its class once, in one stream that it never had to begin anew."""
        rooms = {room.class_id: room for room in self._there.bell.rooms}
        for board in self._seen.boards:
            shown, wanted = Counter(board.seen), Counter(rooms[board.class_id].students)
            assert shown == wanted, f"missing {wanted - shown}, too many {shown - wanted}"
            assert board.hellos == 1

    async def _messages(self) -> None:
        """The vendor has taken one message for each absent student and each telephone of a guardian."""
        rows = await self._store.read(lambda c: c.sql("SELECT id, student_id, state, reason FROM notifications"))
        assert {(row[2], row[3]) for row in rows} <= {*((state, None) for state in _CALM), ("withheld", "same_address")}
        students = {row[0]: row[1] for row in rows}
        taken = Counter((students[str(one.message_id)], one.to) for one in self._there.vendor.taken)
        expected = Counter(await self._store.read(self._expected_messages))
        assert taken == expected, f"missing {expected - taken}, too many {taken - expected}"

    async def _audit(self) -> None:
        """Every entry is sealed, the log holds, and every read that was answered is in it."""
        report = await verify(self._store.read)
        assert report.ok, report.problems
        assert report.pending == 0
        rows = await self._store.read(lambda c: c.sql("SELECT request_id FROM ferpa_audit"))
        assert self._seen.reads
        unentered = set(self._seen.reads) - {row[0] for row in rows}
        assert not unentered, f"{len(unentered)} of {len(self._seen.reads)} reads are not in the log"

    def _logs(self) -> None:
        """Nothing that nobody has thought of."""
        for daemon in self._there.daemons:
            log = daemon.log()
            assert "unexpected_error" not in log, log[-4000:]
            assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]

    def _expected_messages(self, connection: Connection) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        for student in (student for room in self._there.bell.rooms for student in room.absent):
            rows = connection.sql("SELECT guardian_id FROM guardianships WHERE student_id = ?", (student,))
            found |= {(student, self._there.bell.numbers[guardian]) for (guardian,) in rows}
        return found

    def _marks_held(self) -> list[tuple[str, str, str]]:
        return [(one["student"], one["class"], one["code"] or "") for one in self._there.sis.attendance()]

    def _marks_wanted(self, connection: Connection) -> list[tuple[str, str, str]]:
        world = self._there.sis.world
        rows = connection.sql(
            "SELECT u.sourced_id, c.sourced_id, r.status FROM attendance_records r "
            "JOIN users u ON u.id = r.student_id JOIN classes c ON c.id = r.class_id"
        )
        found = []
        for student, class_, status in rows:
            place, section = world.students.at(ids.student_of(student)), world.sections.at(ids.section_of(class_))
            assert place is not None
            assert section is not None
            found.append((world.students.names[place], world.sections.names[section], _LETTERS[status]))
        return found


async def closed(url: str, token: str, session_id: str) -> None:
    """Close a roll as a teacher does, trying until it is closed."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=url, timeout=10, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx2.TransportError):
                answer = await client.post(f"/api/v1/sessions/{session_id}/close", headers=headers)
                if answer.status_code == 200:
                    return
                assert answer.status_code in (429, 503) or gate.NOT_CHECKED in answer.text, answer.text
            await asyncio.sleep(0.05)


def _told(connection: Connection) -> Counter[str]:
    rows = connection.sql("SELECT subject_id FROM journal WHERE kind = 'attendance.recorded'")
    return Counter(row[0] for row in rows)


def _what_waits(connection: Connection) -> dict[str, Any]:
    return {
        "messages": Counter(connection.sql("SELECT state, reason FROM notifications")),
        "unknown": connection.sql("SELECT asked, due_at FROM notifications WHERE state = 'unknown' LIMIT 5"),
        "marks": Counter(connection.sql("SELECT state, error FROM outgoing_marks")),
        "cursors": json.dumps(connection.sql("SELECT consumer, position, error, retry_at FROM cursors")),
        "leases": json.dumps(connection.sql("SELECT name, holder, until FROM leases")),
    }
