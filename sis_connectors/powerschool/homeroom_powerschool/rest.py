"""The roster without the plugin's queries: many small lists in place of few large pages, in the queries' own rows.

Slower by far, and without guardians and co-teachers; for a district whose plugin was installed without its queries.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from homeroom import SourceError
from homeroom_powerschool import ids, quirks
from homeroom_powerschool.client import Client
from homeroom_powerschool.columns import fields_of
from homeroom_powerschool.frame import Frame
from homeroom_powerschool.quirks import Row, as_object, as_text

_EXPANSIONS = "school_enrollment,demographics,contact_info"
_STATUSES = (0, -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """How far a chain of lists was read: `page` of list number `unit` comes next, `last` is the last id before it."""

    unit: int = 0
    page: int = 1
    read: int = 0
    last: int = 0

    @classmethod
    def parse(cls, text: str) -> _Place:
        numbers = [int(part) if part.isdecimal() else 0 for part in text.split(".")] if text else []
        return cls(unit=numbers[0], page=numbers[1], read=numbers[2], last=numbers[3]) if len(numbers) == 4 else cls()  # noqa: PLR2004 - its four fields

    def __str__(self) -> str:
        return f"{self.unit}.{self.page}.{self.read}.{self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _List:
    """One REST list."""

    path: str
    kind: str
    envelope: str
    params: Mapping[str, str]


class Rest:
    """Rows of each kind of record, each page with the place from which reading goes on."""

    def __init__(self, client: Client, frame: Frame) -> None:
        self._client = client
        self._frame = frame

    async def rows(self, name: str, place: str) -> AsyncIterator[tuple[list[Row], str]]:
        """The rows of one collection (section, student, staff, enrollment, teacher). Raises SourceError."""
        lists = await self._lists(name)
        names = await self._courses() if name == "section" else {}
        async for number, items, after in self._paged(lists, _Place.parse(place)):
            if name == "section":
                rows = [_section(item, names) for item in items]
            elif name == "student":
                rows = [_student(item) for item in items]
            elif name == "staff":
                rows = [_staff(item) for item in items]
            elif name == "enrollment":
                rows = [row for item in items for row in await self._enrollments(item)]
            else:
                rows = await self._teachers(lists[number], items)
            yield rows, str(after)

    async def _lists(self, name: str) -> list[_List]:
        if name == "student":
            queries = [{"q": f"school_enrollment.enroll_status_code=={status}"} for status in _STATUSES]
            path = "/ws/v1/district/student"
            return [_List(path=path, kind="student", envelope="students", params=query) for query in queries]
        kind = "staff" if name == "staff" else "section"
        params: dict[str, str] = {}
        if kind == "section":
            params = {"q": f"term.start_year=ge={await self._frame.year() + ids.FIRST_YEAR}"}
        return [
            _List(path=f"/ws/v1/school/{school.dcid}/{kind}", kind=kind, envelope=f"{kind}s", params=params)
            for school in await self._frame.schools()
        ]

    async def _paged(self, lists: Sequence[_List], place: _Place) -> AsyncIterator[tuple[int, list[Any], _Place]]:
        for number in range(place.unit, len(lists)):
            one = lists[number]
            here = place if number == place.unit else _Place(unit=number)
            total = await self._client.count(one.path, **one.params)
            while here.read < total:
                items = await self._page(one, here.page)
                if not items:
                    break
                known = [quirks.as_number(as_object(item), "id") for item in items]
                if here.last in known:
                    raise SourceError(
                        "PowerSchool's rows moved while they were read. Start a new run when it is quiet."
                    )
                here = replace(here, page=here.page + 1, read=here.read + len(items), last=known[-1])
                yield number, items, here
            if here.read != total:
                raise SourceError(
                    f"PowerSchool counts {total} in a list and gave {here.read}, so it was not taken for whole. Start "
                    "a new run."
                )

    async def _page(self, one: _List, page: int) -> list[Any]:
        expansions = {"student": _EXPANSIONS, "staff": "emails,school_affiliations"}.get(one.kind)
        params: dict[str, str | int] = {**one.params, **({"expansions": expansions} if expansions else {})}
        size = await self._client.page_of(one.kind)
        data = await self._client.get(one.path, page=page, pagesize=size, **params)
        return quirks.collection(data, one.envelope, one.kind)

    async def _courses(self) -> dict[str, str]:
        """The names of all courses by DCID."""
        rows = await self._client.whole_table("courses", fields_of("COURSES"))
        return {str(row.get("dcid")): as_text(row.get("course_name")) or "" for row in rows}

    async def _enrollments(self, section: Any) -> list[Row]:
        """One section's students, read whole."""
        path = f"/ws/v1/section/{quirks.as_number(as_object(section), 'id')}/section_enrollment"
        one = _List(path=path, kind="section_enrollment", envelope="section_enrollments", params={})
        rows: list[Row] = []
        async for _, items, _ in self._paged([one], _Place()):
            rows += [_enrollment(item, as_object(section)) for item in items]
        return rows

    async def _teachers(self, one: _List, sections: Sequence[Any]) -> list[Row]:
        """The lead teachers of one school's sections: a section names a place at the school, not the person."""
        path = one.path.removesuffix("section") + "staff"
        staff = _List(path=path, kind="staff", envelope="staffs", params={})
        people: dict[ids.StaffDcid, ids.UserDcid] = {}
        async for _, items, _ in self._paged([staff], _Place()):
            for item in items:
                place = ids.StaffDcid(quirks.as_number(item, "id"))
                people[place] = ids.UserDcid(quirks.as_number(item, "users_dcid"))
        rows: list[Row] = []
        for section in sections:
            if as_text(section.get("staff_id")) is None:
                continue
            user = people.get(ids.StaffDcid(quirks.as_number(section, "staff_id")))
            if user is not None:
                dcid = section.get("id")
                school = section.get("school_id")
                key = f"section-{dcid}"
                rows.append({"id": key, "user_dcid": user, "section_dcid": dcid, "school_dcid": school, "lead": True})
        return rows


def _section(item: Any, names: Mapping[str, str]) -> Row:
    return {
        "dcid": item.get("id"),
        "school_dcid": item.get("school_id"),
        "course_dcid": item.get("course_id"),
        "term_dcid": item.get("term_id"),
        "course_name": names.get(str(item.get("course_id"))),
        "section_number": item.get("section_number"),
        "expression": item.get("expression"),
    }


def _student(item: Any) -> Row:
    name, place = as_object(item.get("name")), as_object(item.get("school_enrollment"))
    return {
        "dcid": item.get("id"),
        "student_number": item.get("local_id"),
        "first_name": name.get("first_name"),
        "middle_name": name.get("middle_name"),
        "last_name": name.get("last_name"),
        "grade_level": place.get("grade_level"),
        "enroll_status": place.get("enroll_status_code"),
        "entry_date": place.get("entry_date"),
        "school_dcid": place.get("school_id"),
        "birth_date": as_object(item.get("demographics")).get("birth_date"),
        "username": item.get("student_username"),
        "email": as_object(item.get("contact_info")).get("email"),
    }


def _staff(item: Any) -> Row:
    name = as_object(item.get("name"))
    places = [
        as_object(one) for one in quirks.as_list(as_object(item.get("school_affiliations")).get("school_affiliation"))
    ]
    return {
        "dcid": item.get("users_dcid"),
        "staff_number": item.get("local_id"),
        "first_name": name.get("first_name"),
        "middle_name": name.get("middle_name"),
        "last_name": name.get("last_name"),
        "email": as_object(item.get("emails")).get("work_email"),
        "username": item.get("teacher_username"),
        "affiliations": ",".join(f"{one.get('school_id')}:{one.get('status')}:{one.get('type')}" for one in places),
    }


def _enrollment(item: Any, section: Mapping[str, Any]) -> Row:
    return {
        "dcid": item.get("id"),
        "student_dcid": item.get("student_id"),
        "section_dcid": item.get("section_id"),
        "school_dcid": section.get("school_id"),
        "entry_date": item.get("entry_date"),
        "exit_date": item.get("exit_date"),
        "dropped": item.get("dropped"),
    }
