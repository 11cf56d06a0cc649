"""Tries the settings against PowerSchool, and says everything that is missing, each with what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from homeroom import Finding, SourceError, VendorError
from homeroom_powerschool import queries, quirks
from homeroom_powerschool.client import INSTALL, Client, MissingGrants, NotInstalled
from homeroom_powerschool.columns import field_line, fields_of
from homeroom_powerschool.frame import Frame
from homeroom_powerschool.settings import DEFAULT_CODES, PowerSchoolSettings
from homeroom_powerschool.slots import shown

_SKEW = timedelta(minutes=5)
_READ = ("COURSES", "ATTENDANCE_CODE", "CALENDAR_DAY")


class Checks:
    """One look at everything; reads only."""

    def __init__(self, client: Client, frame: Frame, settings: PowerSchoolSettings) -> None:
        self._client = client
        self._frame = frame
        self._settings = settings

    async def findings(self) -> list[Finding]:
        """What is wrong; stops early where nothing further could be told."""
        found, may_go_on = await self._reachable()
        if not may_go_on:
            return found
        found += [finding async for finding in self._permissions()]
        try:
            found += [finding async for finding in self._codes()]
        except MissingGrants as exc:
            found.append(_missing(exc.lines))
        except SourceError as exc:
            found.append(Finding(problem=_sentence(exc), fix="Try again later, or look into PowerSchool's own log."))
        return list({finding.problem: finding for finding in found}.values())

    async def _reachable(self) -> tuple[list[Finding], bool]:
        """What is wrong with the way there, and whether anything further can be asked."""
        try:
            await self._client.unsigned.get("/ws/v1/time")
        except SourceError as exc:
            fix = "Check base_url, and whether this server may reach PowerSchool; during maintenance try again later."
            return [Finding(problem=f"PowerSchool cannot be asked: {exc}.", fix=fix)], False
        found = []
        if abs(self._client.unsigned.skew) > _SKEW:
            minutes = round(abs(self._client.unsigned.skew).total_seconds() / 60)
            fix = "Set both clocks by a time server; until then the day may change too early or too late."
            found.append(
                Finding(problem=f"PowerSchool's clock and this server's are {minutes} minutes apart.", fix=fix)
            )
        if not self._client.is_set_up:
            fix = (
                "Make plugin.zip with `homeroom powerschool plugin-zip`, install and enable it in PowerSchool, and "
                "copy the client id and secret from its Data Provider Configuration."
            )
            return [*found, Finding(problem="client_id and client_secret are not set.", fix=fix)], False
        try:
            metadata = await self._client.metadata()
            await self._frame.schools()
        except VendorError as exc:
            if exc.retry:
                return [*found, Finding(problem=_sentence(exc), fix="Try again later.")], False
            fix = "Copy both again from the plugin's Data Provider Configuration; the plugin must be enabled there."
            return [*found, Finding(problem=f"PowerSchool does not let Homeroom in: {exc}.", fix=fix)], False
        except SourceError as exc:
            return [*found, Finding(problem=_sentence(exc), fix="Try again later.")], False
        if metadata.plugin_id is None:
            fix = "Enable the plugin in PowerSchool, under Plugin Management Configuration."
            found.append(Finding(problem="PowerSchool does not take Homeroom for one of its plugins.", fix=fix))
        if metadata.time_zone is None:
            fix = "Set the district's time zone in PowerSchool; until then the time zone set in Homeroom holds."
            found.append(Finding(problem="PowerSchool names no time zone that is known here.", fix=fix))
        return found, True

    async def _permissions(self) -> AsyncIterator[Finding]:
        for table in _READ:
            try:
                await self._client.table(table.lower(), fields_of(table), pagesize=1)
            except SourceError as exc:
                yield _finding(exc)
        for name, args in self._samples():
            try:
                await self._client.query(name, args, 1)
            except SourceError as exc:
                yield _finding(exc)
        try:
            access = await self._client.access("attendance")
        except SourceError as exc:
            yield _finding(exc)
            return
        lacking = [field for field in fields_of("ATTENDANCE") if access.get(field) != "FullAccess"]
        if lacking:
            yield _missing([field_line("ATTENDANCE", field) for field in lacking])

    def _samples(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Every query that is used, with arguments to which there is little or nothing to answer."""
        ours: Sequence[queries.Query] = [
            query
            for query in queries.OURS
            if (query is not queries.CONTACTS or self._settings.guardians)
            and (query not in (queries.MEETINGS, queries.ENROLLMENT_IDS) or self._settings.attendance_mode == "meeting")
        ]
        values: Mapping[str, Any] = {
            "after": 0,
            "yearid": 0,
            "calendar_day": 0,
            "students": [0],
            "day": "2000-01-01",
        }
        detail = {
            "attendance_att_mode_code": ["ATT_ModeDaily"],
            "students_dcid": [0],
            "attendance_att_date_start": "2000-01-01",
            "attendance_att_date_end": "2000-01-01",
        }
        return [
            *((query.name, {arg.name: values[arg.name] for arg in query.args}) for query in ours),
            (queries.ID_MAP, {"students_dcid": [0]}),
            (queries.CODES, {"schoolid": 0, "att_date": "2000-01-01"}),
            (queries.DETAIL, detail),
        ]

    async def _codes(self) -> AsyncIterator[Finding]:
        """Whether each school has the codes that would be written, and they mean there what they shall mean."""
        year = await self._frame.year()
        rows = await self._client.whole_table("attendance_code", fields_of("ATTENDANCE_CODE"), q=f"yearid=={year}")
        known: dict[int, dict[str, str]] = defaultdict(dict)
        for row in rows:
            means = (quirks.as_text(row.get("presence_status_cd")) or "").casefold()
            known[quirks.as_number(row, "schoolid")][quirks.as_text(row.get("att_code")) or ""] = means
        lacking: dict[tuple[str, str], list[int]] = defaultdict(list)
        opposite: dict[tuple[str, str], list[int]] = defaultdict(list)
        for school in await self._frame.schools():
            for status, letters in self._written(school.number):
                if letters not in known[school.number]:
                    lacking[status, letters].append(school.number)
                elif known[school.number][letters] == _OPPOSITE.get(status):
                    opposite[status, letters].append(school.number)
        for (status, letters), schools in lacking.items():
            yield Finding(
                problem=f'{_listed(schools)} no attendance code {shown(letters)} for "{status}" this year.',
                fix="Name the code to use under codes, or for single schools under codes_by_school.",
            )
        for (status, letters), schools in opposite.items():
            yield Finding(
                problem=f'{_listed(schools)} a code {shown(letters)} that means the opposite of "{status}".',
                fix="Name another code for these schools under codes_by_school.",
            )

    def _written(self, number: int) -> list[tuple[str, str]]:
        settings = self._settings
        names = {**DEFAULT_CODES, **settings.codes, **settings.codes_by_school.get(str(number), {})}
        return [(name, settings.letters(number, name if name in DEFAULT_CODES else "present", name)) for name in names]


_OPPOSITE: Mapping[str, Literal["present", "absent"]] = {"present": "absent", "tardy": "absent", "absent": "present"}


def _sentence(exc: SourceError) -> str:
    return f"{str(exc).rstrip('.')}."


def _finding(exc: SourceError) -> Finding:
    if isinstance(exc, MissingGrants):
        return _missing(exc.lines)
    if isinstance(exc, NotInstalled):
        return Finding(problem=f"The query {exc.name} is not installed in PowerSchool.", fix=INSTALL)
    return Finding(problem=_sentence(exc), fix="Try again later, or look into PowerSchool's own log.")


def _missing(lines: Sequence[str]) -> Finding:
    columns = "\n".join(lines)
    return Finding(
        problem=f"PowerSchool does not grant these columns to the plugin:\n{columns}",
        fix=f"{INSTALL} Or add these lines to the access request of your own plugin.xml.",
    )


def _listed(schools: Sequence[int]) -> str:
    names = ", ".join(str(number) for number in sorted(schools)[:10])
    more = f" and {len(schools) - 10} more" if len(schools) > 10 else ""  # noqa: PLR2004 - enough to go on
    return f"School {names} has" if len(schools) == 1 else f"Schools {names}{more} have"
