"""Qmlativ both ways by its Generic API: the driver that the sync engine pulls and pushes with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal

from homeroom import Finding, Noun, OutgoingMark, Page, Pull, Pushed
from homeroom_skyward.attendance import QmlativAttendance
from homeroom_skyward.qmlativ import QmlativRoster


class WithAttendanceApi:
    """A whole connector: the Generic API's roster, and attendance into it."""

    title = "Skyward"
    attendance_out: Literal["api", "file", "none"] = "api"
    attendance_level: Literal["class", "day"] = "class"

    def __init__(self, roster: QmlativRoster, attendance: QmlativAttendance) -> None:
        self.roster = roster
        self.attendance = attendance

    @property
    def nouns(self) -> tuple[Noun, ...]:
        """What is read."""
        return self.roster.nouns

    async def check(self) -> Sequence[Finding]:
        """What is wrong with reading, else what with writing."""
        found = await self.roster.check()
        return found or await self.attendance.check()

    def pull(self, pull: Pull) -> AsyncIterator[Page]:
        """Read one noun page by page."""
        return self.roster.pull(pull)

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        """Write the marks into Skyward."""
        return await self.attendance.push(marks)
