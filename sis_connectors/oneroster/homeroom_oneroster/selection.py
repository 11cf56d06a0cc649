"""Which records of a district a OneRoster path names: the twelve collections, and those nested in one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from homeroom.testing.sample import SampleDistrict

KINDS = {
    "academicSessions": "academicSession",
    "classes": "class",
    "courses": "course",
    "demographics": "demographics",
    "enrollments": "enrollment",
    "gradingPeriods": "academicSession",
    "orgs": "org",
    "schools": "org",
    "students": "user",
    "teachers": "user",
    "terms": "academicSession",
    "users": "user",
}
"""The collections, with the word that wraps a single one of each."""

_WRAPPED = {
    "academicSession": "academicSessions",
    "class": "classes",
    "course": "courses",
    "demographics": "demographics",
    "enrollment": "enrollments",
    "org": "orgs",
    "user": "users",
}
_TERMS = ("term", "semester")

Has = Callable[[Any], bool]


class Unknown(LookupError):
    """There is no such path, or no such record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What a path names: rows of a collection, or with `single` one of them. `nested` needs the wider scope."""

    collection: str
    selection: Selection
    has: Has | None = None
    single: str | None = None
    nested: bool = False

    @property
    def wrapped(self) -> str:
        """The word in which a list is wrapped."""
        return _WRAPPED[KINDS[self.collection]]

    def rows(self, sort: str | None = None) -> Sequence[Any]:
        """The records, by their id where that is the order asked for, else as the server has them."""
        rows = self.selection.listed(self.collection, by_id=sort == "sourcedId")
        return rows if self.has is None else [row for row in rows if self.has(row)]

    def one(self) -> Any:
        """The single record. Raises Unknown."""
        for row in self.rows():
            if row.sourced_id == self.single:
                return row
        raise Unknown


@dataclass(slots=True)
class _Listed:
    """A collection as it was listed last, and from which records."""

    source: list[Any]
    rows: list[Any]
    by_id: list[Any] | None = None


class Selection:
    """Finds records by path; lists are kept until the district changes."""

    def __init__(self, district: SampleDistrict) -> None:
        self._district = district
        self._kept: dict[str, _Listed] = {}

    def of(self, path: str) -> Selected:
        """What a path below the prefix names. Raises Unknown for one that OneRoster has not."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        match parts:
            case [collection] if collection in KINDS:
                return Selected(collection=collection, selection=self)
            case [collection, sourced_id] if collection in KINDS:
                return Selected(collection=collection, selection=self, single=sourced_id)
            case [outer, sourced_id, inner] if inner in _NESTED.get(outer, {}):
                Selected(collection=outer, selection=self, single=sourced_id).one()
                has = _NESTED[outer][inner](self, sourced_id)
                return Selected(collection=inner, selection=self, has=has, nested=True)
            case ["schools", school, "classes", class_id, ("enrollments" | "students" | "teachers") as inner]:
                found = Selected(collection="classes", selection=self, single=class_id).one()
                if found.school != school:
                    raise Unknown
                has = _of_class(inner)(self, class_id)
                return Selected(collection=inner, selection=self, has=has, nested=True)
        raise Unknown

    def listed(self, collection: str, *, by_id: bool) -> Sequence[Any]:
        """A whole collection."""
        source, has = self._source(collection)
        kept = self._kept.get(collection)
        if kept is None or kept.source != source:
            kept = _Listed(source=list(source), rows=[row for row in source if has(row)])
            self._kept[collection] = kept
        if not by_id:
            return kept.rows
        if kept.by_id is None:
            kept.by_id = sorted(kept.rows, key=lambda row: row.sourced_id)
        return kept.by_id

    def members(self, class_id: str, role: str) -> set[str]:
        """The ids of those who are in a class as `role`."""
        return {one.user for one in self._district.enrollments if one.class_ == class_id and one.role == role}

    def classes_of(self, user_id: str) -> set[str]:
        """The ids of the classes that somebody is in."""
        return {one.class_ for one in self._district.enrollments if one.user == user_id}

    def terms_of(self, school: str) -> set[str]:
        """The ids of the terms in which a school has classes."""
        return {term for one in self._district.classes if one.school == school for term in one.terms}

    def _source(self, collection: str) -> tuple[list[Any], Has]:
        district = self._district
        sources: dict[str, tuple[list[Any], Has]] = {
            "academicSessions": (district.academic_sessions, _all),
            "terms": (district.academic_sessions, lambda row: row.kind in _TERMS),
            "gradingPeriods": (district.academic_sessions, lambda row: row.kind == "gradingPeriod"),
            "orgs": (district.orgs, _all),
            "schools": (district.orgs, lambda row: row.kind == "school"),
            "courses": (district.courses, _all),
            "classes": (district.classes, _all),
            "enrollments": (district.enrollments, _all),
            "users": (district.users, _all),
            "students": (district.users, _is("student")),
            "teachers": (district.users, _is("teacher")),
            "demographics": (district.users, lambda row: row.birth_date is not None),
        }
        return sources[collection]


def _all(_row: Any) -> bool:
    return True


def _is(role: str) -> Has:
    return lambda row: any(held.role == role for held in row.roles)


def _at(school: str) -> Has:
    return lambda row: any(held.org == school for held in row.roles)


def _classes_of_user(selection: Selection, sourced_id: str) -> Has:
    ids = selection.classes_of(sourced_id)
    return lambda row: row.sourced_id in ids


def _of_class(inner: str) -> Callable[[Selection, str], Has]:
    def has(selection: Selection, class_id: str) -> Has:
        if inner == "enrollments":
            return lambda row: row.class_ == class_id
        ids = selection.members(class_id, inner.removesuffix("s"))
        return lambda row: row.sourced_id in ids

    return has


def _terms_of_school(selection: Selection, school: str) -> Has:
    ids = selection.terms_of(school)
    return lambda row: row.sourced_id in ids


_NESTED: dict[str, dict[str, Callable[[Selection, str], Has]]] = {
    "classes": {"students": _of_class("students"), "teachers": _of_class("teachers")},
    "courses": {"classes": lambda _, course: lambda row: row.course == course},
    "schools": {
        "classes": lambda _, school: lambda row: row.school == school,
        "courses": lambda _, school: lambda row: row.org == school,
        "enrollments": lambda _, school: lambda row: row.school == school,
        "students": lambda _, school: _at(school),
        "teachers": lambda _, school: _at(school),
        "terms": _terms_of_school,
    },
    "students": {"classes": _classes_of_user},
    "teachers": {"classes": _classes_of_user},
    "users": {"classes": _classes_of_user},
    "terms": {
        "classes": lambda _, term: lambda row: term in row.terms,
        "gradingPeriods": lambda _, term: lambda row: row.parent == term,
    },
}
