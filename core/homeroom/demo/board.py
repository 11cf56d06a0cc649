"""The live board in a terminal: the class's WebSocket, drawn as a table, or told line by line where there is none."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

_COLOURS = {"present": "green", "tardy": "yellow", "absent": "red", "excused": "cyan"}
_RECONNECT_SECONDS = 0.5


async def messages(url: str, class_id: str, token: str) -> AsyncIterator[Mapping[str, Any]]:
    """Everything the class's board is sent, in order; a lost connection is taken up where it was lost."""
    address = f"{url.replace('http', 'ws', 1)}/ws/class/{class_id}"
    cursor = ""
    while True:
        try:
            async with connect(
                address + cursor, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None
            ) as socket:
                async for text in socket:
                    message = json.loads(text)
                    if "cursor" in message:
                        cursor = f"?after={message['cursor']}"
                    yield message
        except (OSError, ConnectionClosed):
            await asyncio.sleep(_RECONNECT_SECONDS)


@dataclass(slots=True, kw_only=True)
class Board:
    """What the board shows: each student's latest mark, in the order in which they came."""

    title: str
    names: dict[str, str]
    zone: ZoneInfo
    marks: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def take(self, message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The marks that this message brings, once they are on the board."""
        if message["type"] == "hello":
            new = [mark for mark in message["marks"] if mark.get("status")]
        elif message["type"] == "attendance":
            new = [message]
        else:
            return []
        for mark in new:
            self.marks.pop(mark["student_id"], None)
            self.marks[mark["student_id"]] = mark
        return new

    def line(self, mark: Mapping[str, Any]) -> str:
        """One mark in one line."""
        return f"{self._time(mark)}  {mark['status']:<8} {mark['name']}"

    def summary(self) -> str:
        """How many are in, of how many."""
        counts = Counter(mark["status"] for mark in self.marks.values())
        told = ", ".join(f"{counts[status]} {status}" for status in _COLOURS if counts[status])
        return f"{len(self.marks)} of {len(self.names)} marked" + (f": {told}" if told else "")

    def table(self) -> Table:
        """The whole class: who came, latest first, then who has not."""
        table = Table(expand=True, box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for column, ratio in (("Time", None), ("Status", None), ("Student", 1)):
            table.add_column(column, no_wrap=True, ratio=ratio)
        for mark in reversed(self.marks.values()):
            table.add_row(self._time(mark), Text(mark["status"], style=_COLOURS[mark["status"]]), str(mark["name"]))
        for student_id, name in self.names.items():
            if student_id not in self.marks:
                table.add_row("", Text("-", style="dim"), Text(name, style="dim"))
        return table

    def _time(self, mark: Mapping[str, Any]) -> str:
        moment = datetime.fromisoformat(mark["recorded_at"])
        return moment.astimezone(self.zone).strftime("%H:%M:%S")


async def draw(
    board: Board, stream: AsyncIterator[Mapping[str, Any]], code: Callable[[], str], note: Callable[[], str]
) -> None:
    """Draw the board in the terminal until cancelled; `code` is on the teacher's screen, `note` a line below it."""
    console = Console()

    def picture() -> Group:
        head = Text.assemble(("Code now: ", "dim"), (code(), "bold"), "   ", board.summary())
        return Group(
            Panel(
                Group(head, Text(note(), style="dim"), board.table()),
                title=board.title,
                subtitle="Ctrl-C stops the demo",
            )
        )

    with Live(picture(), console=console, refresh_per_second=4, screen=False, vertical_overflow="ellipsis") as live:

        async def tick() -> None:
            while True:
                await asyncio.sleep(1)
                live.update(picture())

        ticking = asyncio.create_task(tick())
        try:
            async for message in stream:
                board.take(message)
                live.update(picture())
        finally:
            ticking.cancel()


async def tell(board: Board, stream: AsyncIterator[Mapping[str, Any]]) -> None:
    """Print each mark as it comes, until cancelled."""
    async for message in stream:
        for mark in board.take(message):
            click.echo(f"{board.line(mark)}   ({board.summary()})")
