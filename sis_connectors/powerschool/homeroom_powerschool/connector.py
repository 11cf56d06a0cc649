"""The driver that the sync engine pulls and pushes with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal

from homeroom import Finding, Noun, OutgoingMark, Page, Pull, Pushed, Services, SourceError
from homeroom_powerschool.attendance import Writer
from homeroom_powerschool.checks import Checks
from homeroom_powerschool.client import Client
from homeroom_powerschool.frame import Frame
from homeroom_powerschool.quirks import Unreadable
from homeroom_powerschool.roster import Roster
from homeroom_powerschool.settings import PowerSchoolSettings


class Connector:
    """One district's PowerSchool: rosters in, attendance out by API."""

    nouns: tuple[Noun, ...] = ("org", "academicSession", "course", "class", "user", "enrollment")
    attendance_out: Literal["api", "file", "none"] = "api"

    def __init__(self, settings: PowerSchoolSettings, services: Services) -> None:
        self.client = Client(services, settings)
        frame = Frame(self.client)
        self._daily = settings.attendance_mode == "daily"
        self._roster = Roster(self.client, frame, settings)
        self._writer = Writer(self.client, frame, settings)
        self._checks = Checks(self.client, frame, settings)

    @property
    def attendance_level(self) -> Literal["class", "day"]:
        """As `attendance_mode` says: a mark per class meeting, or one a day; never both."""
        return "day" if self._daily else "class"

    async def check(self) -> Sequence[Finding]:
        """Everything that PowerSchool does not grant, lacks or means otherwise, each with its fix; writes nothing."""
        return await self._checks.findings()

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        """One noun page by page, always all of it. Raises SourceError."""
        try:
            async for page in self._roster.pull(pull):
                yield page
        except Unreadable as exc:
            raise SourceError(f"PowerSchool's answer cannot be read: {exc.field}: {exc}") from None

    async def push(self, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
        """Write attendance; what is told of each mark was read back from PowerSchool wherever it could be.

        Raises SourceError (`retry`) where PowerSchool takes no marks at all for now.
        """
        return await self._writer.push(marks)
