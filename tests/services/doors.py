"""A school with a tablet at its door."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from quart import Response

from tests.services.served import Served

KIOSK = ("accounts", "rotating_code", "kiosk", "web")
_COUNTED = itertools.count()


async def answer(response: Response, status: int = 200) -> Any:
    """What a route answered, which is as it should be."""
    assert response.status_code == status, await response.get_data(as_text=True)
    return await response.get_json() if status != 204 else None


@dataclass(slots=True)
class Tablet:
    """A tablet that is set up."""

    api: Served
    id: str
    token: str = field(repr=False)

    async def shows(self, direction: str = "in", *, once: str | None = None, **proof: str) -> Response:
        """What follows when this is shown at it."""
        given = {"direction": direction, "once": once or f"once-{next(_COUNTED):020}", "proof": proof}
        return await self.api.post("~/kiosk/entries", json=given, headers=self.headers)

    @property
    def headers(self) -> dict[str, str]:
        """What it sends with every request."""
        return {"Authorization": f"Bearer {self.token}"}


async def tablet(api: Served, school: str = "north", place: str = "Main entrance", by: str = "admin") -> Tablet:
    """A new tablet at a school."""
    made = await answer(await api.post(f"~/kiosk/schools/{school}/tablets", by, {"place": place}), 201)
    told = await answer(await api.post("~/kiosk/set-up", json={"code": made["code"]}), 201)
    return Tablet(api, made["tablet_id"], told["token"])


async def card_of(api: Served, student: str, card: str, by: str = "admin") -> str:
    """The id of a card that a student has been given."""
    given = await answer(await api.post(f"~/kiosk/students/{student}/cards", by, {"card": card}), 201)
    return str(given["id"])


async def pin_of(api: Served, student: str, number: str, by: str = "admin") -> str:
    """A student's new PIN, who has this number from now on."""
    await numbered(api, student, number)
    given = await answer(await api.call("PUT", f"~/kiosk/students/{student}/pin", by=by))
    return str(given["pin"])


async def numbered(api: Served, student: str, number: str) -> None:
    """Give a student a number."""
    await api.district.store.write(
        lambda tx: tx.write_sql("UPDATE users SET identifier = ? WHERE id = ?", (number, student))
    )


async def in_time(ask: Callable[[], Awaitable[Any]], seconds: float = 10) -> Any:
    """What is told, once there is something."""
    async with asyncio.timeout(seconds):
        while not (found := await ask()):  # noqa: ASYNC110 - what follows from the journal has no event of its own
            await asyncio.sleep(0.02)
    return found
