"""The people of Qmlativ: their names, addresses, schools and duties lie in objects of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from homeroom import Page, User, UserRole
from homeroom_oneroster.facts import BadField, JsonRow
from homeroom_skyward import tables as t
from homeroom_skyward.generic import Generic, Row, equal, key_of, whole
from homeroom_skyward.qmlativ_pages import Partly, grouped, page_of, schools_of


class People:
    """Reads students and staff as of `today`; `later` is added to end dates, in days."""

    def __init__(self, generic: Generic, later: int, today: date) -> None:
        self._generic = generic
        self._later = later
        self._today = today

    async def students(self, after: int) -> AsyncIterator[tuple[Page, int]]:
        """Pages of students from a StudentID on, each with the last one."""
        condition = equal("HasStudentEntityYearForCurrentSchoolYear", 1)
        async for rows in self._generic.sheets(t.STUDENT, [condition], after=after):
            names, emails = await self._names(rows)
            entries = await self._generic.of(t.ENTRY, "StudentID", [key_of(t.STUDENT, row) for row in rows])
            stays = grouped(entries, "StudentID")

            def student(
                row: JsonRow,
                names: Mapping[str, JsonRow] = names,
                emails: Mapping[str, str] = emails,
                stays: Mapping[str, list[Row]] = stays,
            ) -> User:
                roles = self._stays(stays.get(row.needed("StudentID"), ()))
                grade = row.text("Grade")
                return _person(
                    row, names, emails, f"student-{row.needed('StudentID')}", roles, grades=(grade,) if grade else ()
                )

            yield page_of("user", t.STUDENT, rows, student, prefix="student-"), key_of(t.STUDENT, rows[-1])

    async def staff(self, after: int) -> AsyncIterator[tuple[Page, int]]:
        """Pages of staff from a StaffID on, each with the last one."""
        schools = await schools_of(self._generic)
        async for rows in self._generic.sheets(t.STAFF, after=after):
            names, emails = await self._names(rows)
            years = await self._generic.of(t.STAFF_YEAR, "StaffID", [key_of(t.STAFF, row) for row in rows])
            held = grouped(years, "StaffID")

            def staff(
                row: JsonRow,
                names: Mapping[str, JsonRow] = names,
                emails: Mapping[str, str] = emails,
                held: Mapping[str, list[Row]] = held,
            ) -> User:
                one = row.needed("StaffID")
                roles = _duties(held.get(one, ()), schools)
                enabled = row.flag("IsActiveForDistrict", default=True)
                return _person(row, names, emails, f"staff-{one}", roles, enabled=enabled)

            yield page_of("user", t.STAFF, rows, staff, prefix="staff-"), key_of(t.STAFF, rows[-1])

    async def _names(self, rows: Sequence[Row]) -> tuple[dict[str, JsonRow], dict[str, str]]:
        """Names and first addresses of the people behind these rows, by NameID."""
        ids = [number for row in rows if (number := whole(row.get("NameID"))) is not None]
        names = {str(key_of(t.NAME, row)): JsonRow(row, "") for row in await self._generic.of(t.NAME, "NameID", ids)}
        emails: dict[str, str] = {}
        for row in await self._generic.of(t.EMAIL, "NameID", ids, equal("Rank", 1)):
            if row.get("EmailAddress"):
                emails.setdefault(str(row.get("NameID")), str(row["EmailAddress"]))
        return names, emails

    def _stays(self, entries: Iterable[Row]) -> tuple[UserRole, ...]:
        """A student's schools, each by the entry that holds today, else the next to come, else the last.

        Raises BadField.
        """
        chosen: dict[str, UserRole] = {}
        for entry in entries:
            row = JsonRow(entry, "")
            role = UserRole(
                role="student",
                org=row.needed("SchoolID"),
                primary=row.flag("IsDefaultEntity", default=True),
                begins_on=row.day("StartDate"),
                ends_on=row.day("EndDate", later=self._later),
            )
            known = chosen.get(role.org)
            if known is None or role.nearness(self._today) >= known.nearness(self._today):
                chosen[role.org] = role
        return tuple(chosen.values())


def _person(
    row: JsonRow,
    names: Mapping[str, JsonRow],
    emails: Mapping[str, str],
    sourced_id: str,
    roles: tuple[UserRole, ...],
    *,
    grades: tuple[str, ...] = (),
    enabled: bool = True,
) -> User:
    """A person by the legal name, and by the everyday one where that is another.

    Raises BadField; Partly where it is only the birth date.
    """
    name_id = row.needed("NameID")
    name = names.get(name_id)
    if name is None:
        raise BadField("NameID", "there is no such name")
    given, family = name.text("FirstName"), name.text("LastName")
    legal_given, legal_family = name.text("FirstNameLegal") or given, name.text("LastNameLegal") or family
    if legal_given is None and legal_family is None:
        raise BadField("LastName", "there is no name")
    one = User(
        sourced_id=sourced_id,
        given_name=legal_given or "",
        family_name=legal_family or "",
        middle_name=name.text("MiddleName"),
        preferred_given_name=given if given != legal_given else None,
        preferred_family_name=family if family != legal_family else None,
        roles=roles,
        grades=grades,
        identifier=row.text("StudentNumber") or row.text("StaffNumber"),
        email=emails.get(name_id),
        enabled=enabled,
    )
    try:
        return replace(one, birth_date=name.day("BirthDate"))
    except BadField as exc:
        raise Partly(exc, one.silent_on("birth_date")) from None


def _duties(years: Iterable[Row], schools: Mapping[str, str]) -> tuple[UserRole, ...]:
    """What a member of staff does this year, at each school; who teaches nowhere is an aide."""
    found: dict[str, UserRole] = {}
    for year in years:
        row = JsonRow(year, "")
        school = schools.get(row.text("EntityID") or "")
        if school is not None and row.flag("IsActive", default=True):
            role = "teacher" if row.flag("IsTeacher", default=False) else "aide"
            found[school] = UserRole(role=role, org=school, primary=not found)
    return tuple(found.values())
