"""Attendance events out: an upsert on the natural key, in which the category itself stands.

So a changed category makes a second event, and the old one must go (VENDORS: edu_edfi_source#53). The new one is
written first: in between the student has two events, never none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from homeroom import Finding, OutgoingMark, Pushed, SourceError, VendorError
from homeroom_edfi import keys, reading
from homeroom_edfi.client import Client
from homeroom_edfi.settings import EdFiSettings

Slot = tuple[str, str]
"""Whose event it is: the student's unique id and the section's key ("" for the whole day), in lower case."""

_RESOURCES = {"section": "studentSectionAttendanceEvents", "school": "studentSchoolAttendanceEvents"}
_REFUSED = {
    400: "the ODS does not know the student, the section or the category",
    403: "the key may not write attendance events; ask your Ed-Fi host to add it to the claim set",
    409: "the ODS does not know the student, or that they are in this section or school on that day",
}
_CONCERNS_ALL = (401, 404, 405, 429, 503, 509)
_GIVE_UP = 3  # writes that might succeed later and failed one after another


@dataclass(frozen=True, slots=True)
class _Event:
    """One event in the ODS."""

    id: str
    category: str


class Attendance:
    """Writes marks as events of the section or of the school day, as the district has set it."""

    def __init__(self, settings: EdFiSettings, client: Client) -> None:
        self.settings = settings
        self._client = client
        self._resource = _RESOURCES.get(settings.attendance, "")
        self._sessions: dict[str, list[tuple[date, date, dict[str, Any]]]] = {}

    async def check(self) -> list[Finding]:
        """Whether events can be read, and every category exists in this ODS."""
        findings = []
        if not await self._client.may_read(self._resource):
            findings.append(
                Finding(
                    problem=f"The key may not use {self._resource}.",
                    fix=f"Ask your Ed-Fi host to add full access to ed-fi/{self._resource} to this key's claim set.",
                )
            )
        known = {
            f"{row['namespace']}#{row['codeValue']}".casefold()
            async for row in self._client.all("attendanceEventCategoryDescriptors")
        }
        wanted = sorted({self.settings.descriptor(one) for one in self._categories()})
        findings += [_no_category(one) for one in wanted if one.casefold() not in known]
        return findings

    def _categories(self) -> list[str]:
        usual = [self.settings.category(status) for status in ("present", "tardy", "absent", "excused")]
        return [*usual[self.settings.present == "delete" :], *self.settings.categories.values()]

    async def push(self, marks: Sequence[OutgoingMark]) -> list[Pushed]:
        """Write each mark once, school day by school day: one read before, the changes, one read after."""
        days: dict[tuple[str, date], list[OutgoingMark]] = defaultdict(list)
        for mark in marks:
            days[mark.school, mark.school_day].append(mark)
        answers: list[Pushed] = []
        for (school, day), some in days.items():
            answers += await self._push_day(school, day, some)
        return answers

    async def _push_day(self, school: str, day: date, marks: Sequence[OutgoingMark]) -> list[Pushed]:
        """One answer for each mark; the last of several for one slot counts, and its answer is that of all of them."""
        before = await self._events(school, day)
        slots: dict[Slot, list[OutgoingMark]] = defaultdict(list)
        for mark in marks:
            slots[self._slot(mark)].append(mark)
        told: dict[Slot, Pushed] = {}
        written: dict[Slot, Pushed] = {}
        write, failed = Pushed(key=""), 0
        for slot, some in slots.items():
            last, events = some[-1], before.get(slot, [])
            answer = self._judge(some, events)
            if answer is not None:
                told[slot] = answer
                continue
            if failed < _GIVE_UP:
                write = await self._write(last, events, self._wanted(last))
                failed = failed + 1 if write.retry else 0
            else:  # where one after the other failed, the rest would too
                write = replace(write, tried=False)
            written[slot] = replace(write, before=_held(events))
        if written:
            after = await self._after(school, day)
            told |= {slot: self._read_back(slots[slot][-1], one, after) for slot, one in written.items()}
        return [replace(told[self._slot(mark)], key=mark.key) for mark in marks]

    def _judge(self, marks: Sequence[OutgoingMark], events: Sequence[_Event]) -> Pushed | None:
        """The answer for the marks of one slot where nothing is to be written, None where something is."""
        last, held = marks[-1], _held(events)
        wanted = self._wanted(last)
        if held == wanted:
            return Pushed(key=last.key, read_back=True, held=held, before=held)
        known = [mark for mark in marks if mark.held is not None] or marks
        overtaken = {self._wanted(mark) for mark in marks[:-1]}  # what they may have left, had they arrived before
        rest = _held([event for event in events if event.category != wanted])  # beside a write that was done by half
        if {held, rest} & ({mark.held for mark in known} | overtaken) or any(mark.overwrite for mark in marks):
            return None
        return Pushed(key=last.key, held=held, before=held, differs=True)

    async def _after(self, school: str, day: date) -> dict[Slot, list[_Event]] | None:
        """The events of one school day after the writing; None where they cannot be read."""
        try:
            return await self._events(school, day)
        except SourceError:
            return None

    def _read_back(self, mark: OutgoingMark, sent: Pushed, after: Mapping[Slot, Sequence[_Event]] | None) -> Pushed:
        """The answer for a mark that was to be written, once the events were read again."""
        held = None if after is None else _held(after.get(self._slot(mark), []))
        if after is not None and held == self._wanted(mark):
            return Pushed(key=mark.key, read_back=True, held=held, before=sent.before)
        if sent.error is not None:
            return replace(sent, held=held)
        error = "the ODS does not hold what was written"
        if after is None:
            error = "nobody knows whether the ODS has written it"
        return replace(sent, error=error, retry=True, held=held)

    async def _write(self, mark: OutgoingMark, events: Sequence[_Event], wanted: str | None) -> Pushed:
        """Write the new event, then delete the others; gives what went wrong with this one.

        Raises SourceError where no other mark would fare better.
        """
        path = self._client.path(self._resource)
        try:
            if wanted is not None and wanted not in {event.category for event in events}:
                body = await self._body(mark, wanted)
                await self._client.http.request("POST", path, json=body, idempotent=True)
            for event in events:
                if event.category != wanted:
                    await self._client.http.request("DELETE", f"{path}/{event.id}", accept=(404,))
        except _Unknown as exc:
            return Pushed(key=mark.key, error=str(exc))
        except VendorError as exc:
            if exc.signing_in or exc.status in _CONCERNS_ALL:
                raise
            error = str(exc) if exc.retry else f"the ODS refused the event (status {exc.status})"
            return Pushed(key=mark.key, error=_REFUSED.get(exc.status, error), retry=exc.retry)
        except SourceError as exc:
            if not exc.retry:
                raise
            return Pushed(key=mark.key, error=str(exc), retry=True)
        return Pushed(key=mark.key)

    async def _body(self, mark: OutgoingMark, category: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "attendanceEventCategoryDescriptor": self.settings.descriptor(category),
            "eventDate": mark.school_day.isoformat(),
            "studentReference": {"studentUniqueId": keys.unique_id(mark.student)},
        }
        if self.settings.attendance == "school":
            body["schoolReference"] = {"schoolId": int(mark.school)}
            body["sessionReference"] = await self._session(mark.school, mark.school_day)
        else:
            try:
                body["sectionReference"] = keys.section_reference(mark.class_ or "")
            except ValueError:
                raise _Unknown("the class is no section of this ODS") from None
        if mark.code:
            body["attendanceEventReason"] = mark.code
        return body

    async def _session(self, school: str, day: date) -> dict[str, Any]:
        """The session of a school that a day is in."""
        if school not in self._sessions:
            self._sessions[school] = [
                (
                    reading.day(row["beginDate"]),
                    reading.day(row["endDate"]),
                    {
                        "schoolId": int(school),
                        "schoolYear": int(row["schoolYearTypeReference"]["schoolYear"]),
                        "sessionName": row["sessionName"],
                    },
                )
                async for row in self._client.all("sessions", schoolId=school)
            ]
        found = [reference for begin, end, reference in self._sessions[school] if begin <= day <= end]
        if not found:
            self._sessions.pop(school)  # it may be added there later
            raise _Unknown("the ODS has no session of this school on that day")
        return found[0]

    async def _events(self, school: str, day: date) -> dict[Slot, list[_Event]]:
        """The events of one school day, by whose they are."""
        found: dict[Slot, list[_Event]] = defaultdict(list)
        async for row in self._client.all(self._resource, schoolId=school, eventDate=day.isoformat()):
            category = self._known(keys.code_value(row["attendanceEventCategoryDescriptor"]))
            found[_slot_of(row)].append(_Event(row["id"], category))
        return found

    def _slot(self, mark: OutgoingMark) -> Slot:
        where = "" if self.settings.attendance == "school" else mark.class_ or ""
        return keys.unique_id(mark.student).casefold(), where.casefold()

    def _wanted(self, mark: OutgoingMark) -> str | None:
        """The category the ODS should hold; None for no event."""
        if mark.status is None or (mark.status == "present" and self.settings.present == "delete"):
            return None
        return keys.code_value(self.settings.category(mark.status, mark.code, mark.category))

    def _known(self, category: str) -> str:
        """A category as the settings spell it: Ed-Fi's keys do not tell upper from lower case."""
        mine = (keys.code_value(one) for one in self._categories())
        return next((one for one in mine if one.casefold() == category.casefold()), category)


class _Unknown(SourceError):
    """One mark cannot be written; the others can."""


def _no_category(descriptor: str) -> Finding:
    return Finding(
        problem=f"The ODS has no category {keys.code_value(descriptor)}.",
        fix=f"Add {descriptor} there, or name another under [plugins.edfi.categories].",
    )


def _held(events: Sequence[_Event]) -> str | None:
    return " and ".join(sorted(event.category for event in events)) or None


def _slot_of(row: Mapping[str, Any]) -> Slot:
    section = row.get("sectionReference")
    where = keys.section(section) if section else ""
    return row["studentReference"]["studentUniqueId"].casefold(), where.casefold()
