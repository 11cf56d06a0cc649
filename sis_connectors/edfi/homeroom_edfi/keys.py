"""Ed-Fi's natural keys as sourced ids, and back: `255901001|2027|Fall|ALG-1|ALG-1-A`.

Ed-Fi names things by what they are called, in several fields; the id beside them differs from one ODS to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, unquote

Kind = Literal["student", "staff", "contact"]

_SAFE = " /:#()&',-._"  # everything that is not the separator or the escape itself may stay readable


def joined(*parts: object) -> str:
    """One sourced id of the parts of a key."""
    return "|".join(quote(str(part), safe=_SAFE) for part in parts)


def parts_of(sourced_id: str) -> list[str]:
    """The parts of a key that `joined` made."""
    return [unquote(part) for part in sourced_id.split("|")]


def person(kind: Kind, unique_id: object) -> str:
    """The sourced id of a student, a member of staff or a contact: unique ids are unique among their kind only."""
    return f"{kind}:{unique_id}"


def unique_id(sourced_id: str) -> str:
    """The unique id in a `person`."""
    return sourced_id.partition(":")[2]


def session(reference: Mapping[str, Any]) -> str:
    """A session (or a reference to one) as a sourced id."""
    return joined(reference["schoolId"], reference["schoolYear"], reference["sessionName"])


def offering(reference: Mapping[str, Any]) -> str:
    """A reference to a course offering."""
    return joined(*(reference[name] for name in ("schoolId", "schoolYear", "sessionName", "localCourseCode")))


def section(reference: Mapping[str, Any]) -> str:
    """A reference to a section as the sourced id of a class."""
    names = ("schoolId", "schoolYear", "sessionName", "localCourseCode", "sectionIdentifier")
    return joined(*(reference[name] for name in names))


def section_reference(sourced_id: str) -> dict[str, Any]:
    """What Ed-Fi wants in place of a class's sourced id. Raises ValueError for one that is no key of a section."""
    school, year, name, course, identifier = parts_of(sourced_id)
    return {
        "schoolId": int(school),
        "schoolYear": int(year),
        "sessionName": name,
        "localCourseCode": course,
        "sectionIdentifier": identifier,
    }


def course(reference: Mapping[str, Any]) -> str:
    """A reference to a course as a sourced id."""
    return joined(reference["educationOrganizationId"], reference["courseCode"])


def seat(kind: Kind, row: Mapping[str, Any]) -> str:
    """The sourced id of an enrolment, from the flat values of its key."""
    begins_on = str(row["beginDate"])[:10]  # a server may put a time behind it in one place and not in another
    return joined(f"{kind}:{row[f'{kind}UniqueId']}", section(row), begins_on)


def code_value(descriptor: str) -> str:
    """The word in a descriptor: `uri://ed-fi.org/AttendanceEventCategoryDescriptor#Tardy` → `Tardy`."""
    return descriptor.rpartition("#")[2]
