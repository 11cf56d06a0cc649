"""Rosters from Qmlativ's Generic API: schools, calendars, courses, sections, students, staff, and who is in what.

People are `student-ID` and `staff-ID`: a Skyward name may stand behind both. Guardians are not read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Literal

from homeroom import (
    NOUNS,
    AcademicSession,
    Class,
    Course,
    Enrollment,
    Finding,
    Noun,
    Org,
    Page,
    Pull,
    SourceError,
    VendorError,
)
from homeroom_oneroster.facts import BadField, JsonRow
from homeroom_skyward import tables as t
from homeroom_skyward.generic import Condition, Generic, Table, equal, key_of, since
from homeroom_skyward.qmlativ_pages import YES, Reading, page_of, schools_of
from homeroom_skyward.qmlativ_people import People
from homeroom_skyward.words import may_not_read, sign_in_refused, unreachable

_ZONES = timedelta(days=1)  # nobody says in which zone ModifiedTime is


class QmlativRoster:
    """Reads the roster of one school year. With `end_dates` "inclusive" an end date is the last day.

    `today` tells the district's day, by which one of a student's entries into a school is chosen.
    """

    nouns: tuple[Noun, ...] = NOUNS

    def __init__(
        self,
        generic: Generic,
        *,
        end_dates: Literal["exclusive", "inclusive"] = "inclusive",
        today: Callable[[], date],
    ) -> None:
        self._generic = generic
        self._today = today
        self._later = 1 if end_dates == "inclusive" else 0

    async def check(self) -> Sequence[Finding]:
        """Which objects and fields of the roster are not shown to us, and who can grant them."""
        return await not_shown(self._generic, t.ROSTER)

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        """Read one noun page by page. Only enrollments can be asked for by when they changed."""
        turn, after = _cursor(pull.cursor) if pull.cursor else (0, 0)
        rounds = self._rounds(pull)
        for number in range(turn, len(rounds)):
            async for page, last in rounds[number](after):
                yield _at(page, f"{number}:{last}", is_delta=pull.noun == "enrollment" and pull.since is not None)
            after = 0

    def _rounds(self, pull: Pull) -> list[Callable[[int], AsyncIterator[tuple[Page, int]]]]:
        """The objects that a noun is made of, one after the other, each from a key on."""
        changed = [] if pull.since is None else [since("ModifiedTime", _moment(pull.since - _ZONES))]
        if pull.noun == "user":
            people = People(self._generic, self._later, self._today())
            return [people.students, people.staff]
        if pull.noun == "enrollment":
            current = [equal("IsForCurrentSchoolYear", 1), *changed]
            return [
                lambda after: self._plain(t.STUDENT_SECTION, current, after, self._student_section, prefix="student-"),
                self._teachers,
            ]
        if pull.noun == "course":
            return [self._courses]
        if pull.noun == "class":
            return [self._classes]
        if pull.noun == "academicSession":
            return [lambda after: self._plain(t.CALENDAR, [], after, self._calendar)]
        return [lambda after: self._plain(t.SCHOOL, [], after, _school)]

    async def _plain(
        self, table: Table, conditions: Sequence[Condition], after: int, reading: Reading, *, prefix: str = ""
    ) -> AsyncIterator[tuple[Page, int]]:
        """Pages of records that are made of one row each."""
        noun = _NOUN[table]
        async for rows in self._generic.sheets(table, conditions, after=after):
            yield page_of(noun, table, rows, reading, prefix=prefix), key_of(table, rows[-1])

    async def _teachers(self, after: int) -> AsyncIterator[tuple[Page, int]]:
        """Who teaches each section of this year, once however often it meets."""
        async for rows in self._generic.sheets(t.SECTION, [equal("IsCurrentYear", 1)], after=after):
            meets = await self._generic.of(t.STAFF_MEET, "SectionID", [key_of(t.SECTION, row) for row in rows])
            meets.sort(key=lambda row: row.get("IsPrimary") in YES)  # so that the primary one is what stays
            yield page_of("enrollment", t.STAFF_MEET, meets, _staff_meet), key_of(t.SECTION, rows[-1])

    async def _courses(self, after: int) -> AsyncIterator[tuple[Page, int]]:
        schools = await schools_of(self._generic)

        def course(row: JsonRow) -> Course:
            code = row.text("CourseCode")
            return Course(
                sourced_id=row.needed("CourseID"),
                title=row.text("Description") or code or row.needed("Description"),
                code=code,
                org=schools.get(row.needed("EntityID")),
            )

        async for rows in self._generic.sheets(t.COURSE, [equal("IsCurrentSchoolYear", 1)], after=after):
            yield page_of("course", t.COURSE, rows, course), key_of(t.COURSE, rows[-1])

    async def _classes(self, after: int) -> AsyncIterator[tuple[Page, int]]:
        schools = await schools_of(self._generic)
        terms = {
            str(row.get("EntityID")): str(key_of(t.CALENDAR, row))
            for row in await self._generic.all(t.CALENDAR)
            if row.get("IsDefault") in YES
        }
        async for rows in self._generic.sheets(t.SECTION, [equal("IsCurrentYear", 1)], after=after):
            periods = await self._periods([key_of(t.SECTION, row) for row in rows])

            def section(row: JsonRow, periods: Mapping[str, tuple[str, ...]] = periods) -> Class:
                entity = row.needed("EntityID")
                if entity not in schools:
                    raise BadField("EntityID", "no school belongs to this entity")
                code, sourced_id = row.text("Code"), row.needed("SectionID")
                return Class(
                    sourced_id=sourced_id,
                    title=row.text("CourseCodeSectionCodeCourseDescription") or code or f"Section {sourced_id}",
                    school=schools[entity],
                    course=row.text("CourseID"),
                    terms=(terms[entity],) if entity in terms else (),
                    code=code,
                    periods=periods.get(sourced_id, ()),
                )

            yield page_of("class", t.SECTION, rows, section), key_of(t.SECTION, rows[-1])

    async def _periods(self, sections: Sequence[int]) -> dict[str, tuple[str, ...]]:
        """In which periods each section meets."""
        meets = {key_of(t.MEET, row): row for row in await self._generic.of(t.MEET, "SectionID", sections)}
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for row in await self._generic.of(t.MEET_SUMMARY, "MeetID", list(meets)):
            period = row.get("Period")
            if period not in (None, ""):
                found[str(meets[key_of(t.MEET_SUMMARY, row)].get("SectionID"))][str(period)] = None
        return {section: tuple(periods) for section, periods in found.items()}

    def _calendar(self, row: JsonRow) -> AcademicSession:
        begins_on, ends_on = row.day("StartDate"), row.day("EndDate", later=self._later)
        if begins_on is None or ends_on is None:
            raise BadField("EndDate" if begins_on else "StartDate", "this is missing")
        sourced_id = row.needed("CalendarID")
        title = row.text("Description") or f"Calendar {sourced_id}"
        return AcademicSession(
            sourced_id=sourced_id, title=title, kind="schoolYear", begins_on=begins_on, ends_on=ends_on
        )

    def _student_section(self, row: JsonRow) -> Enrollment:
        return Enrollment(
            sourced_id=f"student-{row.needed('StudentSectionID')}",
            user=f"student-{row.needed('StudentID')}",
            class_=row.needed("SectionID"),
            role="student",
            begins_on=row.day("StartDate"),
            ends_on=row.day("EndDate", later=self._later),
        )


async def not_shown(generic: Generic, tables: Sequence[Table]) -> list[Finding]:
    """Ask for the fields of every object that is needed: which are not shown to us, and who can grant them."""
    found: list[Finding] = []
    for table in tables:
        try:
            shown = await generic.fields(table)
        except VendorError as exc:
            if exc.signing_in:
                return [sign_in_refused("the key and secret of the API user")]
            if exc.status not in (401, 403, 404):
                return [*found, unreachable(exc)]
            found.append(may_not_read(str(table)))
        except SourceError as exc:
            return [*found, unreachable(exc)]
        else:
            missing = [name for name in table.fields if name not in shown]
            if missing:
                fix = "Add them to our Integration Access record (Administrative Access > API > Integration)."
                found.append(Finding(problem=f"{table} does not show us: {', '.join(missing)}.", fix=fix))
    return found


_NOUN: dict[Table, Noun] = {
    t.SCHOOL: "org",
    t.CALENDAR: "academicSession",
    t.STUDENT_SECTION: "enrollment",
}


def _school(row: JsonRow) -> Org:
    return Org(sourced_id=row.needed("SchoolID"), name=row.needed("Name"), kind="school", identifier=row.text("Code"))


def _staff_meet(row: JsonRow) -> Enrollment:
    """A teacher of a section."""
    section, staff = row.needed("SectionID"), row.needed("StaffID")
    return Enrollment(
        sourced_id=f"staff-{section}-{staff}",
        user=f"staff-{staff}",
        class_=section,
        role="teacher",
        primary=row.flag("IsPrimary", default=False),
    )


def _at(page: Page, cursor: str, *, is_delta: bool) -> Page:
    return Page(
        records=page.records,
        places=page.places,
        errors=page.errors,
        cursor=cursor,
        delta=is_delta,
        whole=not is_delta,
    )


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def _cursor(text: str) -> tuple[int, int]:
    try:
        turn, after = text.split(":")
        return int(turn), int(after)
    except ValueError:
        raise SourceError("the place to read on from is not one of this connector; start a new run") from None
