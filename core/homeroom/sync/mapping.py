"""Where each fact of a record goes in the roster."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Any

from homeroom.records import Noun
from homeroom.store.models import AcademicSession, Class, Course, Enrollment, Org, User

Row = Org | AcademicSession | Course | Class | User | Enrollment


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A fact that names another record. An unknown `required` one leaves the row out, another only the fact."""

    name: str
    column: str
    noun: Noun
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """The table of one noun: `plain` facts are columns of the same name, with what an absent one means.

    `fresh` holds what a new row begins with in columns that a sync never changes afterwards.
    """

    model: type[Row]
    table: str
    event: str
    plain: dict[str, Any]
    references: tuple[Reference, ...] = ()
    computed: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    json: Collection[str] = ()
    fresh: dict[str, Any] = field(default_factory=dict)
    versioned: bool = False

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Every column that a sync writes, in the order of its statements, but for `changed_at`."""
        referring = tuple(reference.column for reference in self.references)
        version = ("version",) if self.versioned else ()
        return ("id", "source", "sourced_id", *self.plain, *referring, *self.computed, "ended", *version)

    @cached_property
    def names(self) -> dict[str, str]:
        """The fact that each column is about."""
        plain = {name: name for name in self.plain}
        return plain | {reference.column: reference.name for reference in self.references}

    @cached_property
    def pick(self) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
        """Puts a row's values into the order of `columns`."""
        return itemgetter(*self.columns)

    @cached_property
    def referring(self) -> frozenset[str]:
        """The names of the facts that are other records."""
        return frozenset(reference.name for reference in self.references)


MAPPINGS: dict[Noun, Mapping] = {
    "org": Mapping(
        model=Org,
        table="orgs",
        event="org",
        plain={"name": "", "kind": "school", "identifier": None, "time_zone": None},
        references=(Reference(name="parent", column="parent_id", noun="org"),),
        required=("name",),
        fresh={"settings": "{}"},
    ),
    "academicSession": Mapping(
        model=AcademicSession,
        table="academic_sessions",
        event="academic_session",
        plain={"title": "", "kind": "term", "begins_on": None, "ends_on": None, "school_year": None},
        references=(Reference(name="parent", column="parent_id", noun="academicSession"),),
        required=("begins_on", "ends_on"),
    ),
    "course": Mapping(
        model=Course,
        table="courses",
        event="course",
        plain={"title": "", "code": None},
        references=(Reference(name="org", column="org_id", noun="org"),),
    ),
    "class": Mapping(
        model=Class,
        table="classes",
        event="class",
        plain={"title": "", "code": None, "kind": "scheduled", "periods": []},
        references=(
            Reference(name="school", column="school_id", noun="org", required=True),
            Reference(name="course", column="course_id", noun="course"),
        ),
        json=("periods",),
        fresh={"methods": "[]", "require": "any", "archived": False},
        versioned=True,
    ),
    "user": Mapping(
        model=User,
        table="users",
        event="user",
        plain={
            "given_name": "",
            "family_name": "",
            "middle_name": None,
            "preferred_given_name": None,
            "preferred_family_name": None,
            "identifier": None,
            "username": None,
            "grades": [],
            "birth_date": None,
            "enabled": True,
        },
        computed=("sort_name",),
        json=("grades",),
        versioned=True,
    ),
    "enrollment": Mapping(
        model=Enrollment,
        table="enrollments",
        event="enrollment",
        plain={"role": "student", "primary": False, "begins_on": None, "ends_on": None},
        references=(
            Reference(name="user", column="user_id", noun="user", required=True),
            Reference(name="class_", column="class_id", noun="class", required=True),
        ),
    ),
}

ROLES = {
    "student": "student",
    "teacher": "teacher",
    "guardian": "guardian",
    "parent": "guardian",
    "relative": "guardian",
}
"""OneRoster's roles that mean something here; every other one is left out."""

ADMINISTRATORS = ("administrator", "principal", "siteAdministrator")
"""Roles that become a school administrator's, but only where `[sync] administrators` says so."""
