"""Events out of a whole district, over real HTTP, and out of processes that are killed while they send."""

from __future__ import annotations

import asyncio
import base64
import itertools
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import homeroom_webhooks
from homeroom.store.migrate import upgrade
from homeroom_webhooks.courier import LEASE_SECONDS
from tests.services.judge import on_loopback
from tests.services.killed_courier import killed_courier
from tests.services.receiver import Receiver
from tests.services.served import served

MIGRATIONS = {"webhooks": Path(homeroom_webhooks.__file__).parent / "migrations"}
SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


async def test_a_mark_reaches_the_integrator_signed_and_without_its_note(database_url: str) -> None:
    upgrade(database_url, MIGRATIONS)
    receiver = Receiver({"lms": SECRET})
    async with on_loopback(receiver.app) as here:
        endpoint = {"name": "lms", "url": f"{here}/lms", "secret": SECRET, "kinds": ["attendance."]}
        sections = {"webhooks": {"endpoints": [endpoint]}}
        async with served(database_url, enabled=("webhooks",), sections=sections) as api:
            mark = {"student_id": "ann", "status": "tardy", "note": "the dentist was late"}
            answer = await api.call(
                "PUT", "~/sessions/session_algebra/attendance", by="teacher_a", json={"marks": [mark]}
            )
            assert answer.status_code == 200
            await receiver.until(lambda: bool(receiver.heard))

    heard = receiver.heard[0]
    assert heard.verified
    assert heard.json["type"] == "attendance.corrected"
    told = heard.json["data"]
    assert (told["student_id"], told["session_id"], told["status"]) == ("ann", "session_algebra", "tardy")
    assert b"dentist" not in heard.body
    assert b"teacher_a" not in heard.body


def killing(receiver: Receiver, process: subprocess.Popen[bytes], nth: int) -> Callable[[str], int]:
    """Kills the sender at the nth request from now on: it has sent, and is never answered."""
    last = len(receiver.heard) + nth

    def answer(_name: str) -> int:
        if len(receiver.heard) + 1 == last:
            process.send_signal(signal.SIGKILL)
        return 200

    return answer


async def test_whoever_is_killed_while_sending_sends_the_same_message_again_and_none_out_of_order(
    sqlite_url: str,
) -> None:
    upgrade(sqlite_url, MIGRATIONS)
    receiver = Receiver({"lms": SECRET})
    async with on_loopback(receiver.app) as here:
        killed = []
        for life, nth in enumerate((1, 3)):
            ahead = life * (LEASE_SECONDS + 1)
            process = killed_courier(sqlite_url, f"{here}/lms", SECRET, events=12, ahead=ahead)
            receiver.answer = killing(receiver, process, nth)
            await asyncio.to_thread(process.communicate)
            assert process.returncode == -signal.SIGKILL
            killed.append(receiver.heard[-1])
        receiver.answer = lambda _name: 200
        last = killed_courier(sqlite_url, f"{here}/lms", SECRET, events=12, ahead=2 * (LEASE_SECONDS + 1))
        _, errors = await asyncio.to_thread(last.communicate)
        assert last.returncode == 0, errors.decode()

    ids = receiver.ids()
    assert [number for number, _ in itertools.groupby(ids)] == list(range(1, 13))
    assert len(ids) == 12 + len(killed)
    for one in killed:
        assert [(again.id, again.body) for again in receiver.heard if again.id == one.id] == [(one.id, one.body)] * 2
    assert all(one.verified for one in receiver.heard)
