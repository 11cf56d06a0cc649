"""Role x route x whose object x field, over HTTP, as /openapi.json names the routes: nothing here lists them.

What comes out is worked out from `homeroom.auth.rules` and the small world's lists, so that a new route is tried by
itself, and one whose rule does not judge what it takes is found out.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from quart import Response

from homeroom.api.operation import PUBLIC
from homeroom.auth.access import Place, students_within
from homeroom.auth.rules import RULES, Reach
from tests.security.test_access_matrix import expected
from tests.services import canaries, world
from tests.services.front import CHEAP
from tests.services.served import Served, served

PLUGINS = ("accounts", "rotating_code", "geofence", "kiosk", "reports", "ferpa")
SECTIONS: Mapping[str, Mapping[str, Any]] = {"accounts": CHEAP, "geofence": {"areas": {}}}
NORTH = {
    "school_id": "north",
    "class_id": "algebra",
    "student_id": "ann",
    "session_id": "session_algebra",
    "record_id": "record_ann",
    "report_id": "report_ann",
    "user_id": "ann",
    "person_id": "ann",
    "guardian_id": "guardian_ann",
}
SOUTH = {
    "school_id": "south",
    "class_id": "chemistry",
    "student_id": "cy",
    "session_id": "session_chemistry",
    "record_id": "record_cy",
    "report_id": "report_cy",
    "user_id": "cy",
    "person_id": "cy",
    "guardian_id": "guardian_cy",
}
JUDGED = ("class_id", "student_id", "session_id", "record_id", "report_id", "school_id")
VALUES = {
    "q": "zq",
    "after": "0",
    "from": "1",
    "year": "2026",
    "since": "2026-01-05",
    "until": "2026-01-09",
    "of": "reads",
    "recipient": "plugin:acme",
    "party": "plugin:acme",
    "text": "I agree that this is shown to them.",
}
"""What a query must hold, and what a body may where its example is only a word."""
NEEDED = {
    "/api/v1/students/search": ("q",),
    "/api/v1/schools/{school_id}/emergencies/{emergency_id}/news": ("after",),
    "/api/v1/compliance/log/consistency": ("from",),
    "/api/v1/compliance/notice/deliveries": ("year",),
    "/api/v1/compliance/figures": ("since", "until"),
}
NARROWED = {"class.list", "student.search", "absence.read"}
"""Lists that hold what the caller reaches, and no more; whoever reaches nothing is given an empty one."""
PEOPLE = ("ann", "guardian_ann", "guardian_lost", "teacher_a", "admin_south", "nobody")
FIELDS: Mapping[str, frozenset[str]] = {
    "note": frozenset({"student", "guardian", "teacher", "school_admin"}),
    "reason": frozenset({"student", "guardian", "teacher", "school_admin"}),
    "why": frozenset({"student", "guardian", "teacher", "school_admin"}),
    "givenname": frozenset({"student", "guardian", "school_admin"}),
    "familyname": frozenset({"student", "guardian", "school_admin"}),
    "middlename": frozenset({"student", "guardian", "school_admin"}),
    "preferredgivenname": frozenset({"student", "guardian", "teacher", "school_admin"}),
    "preferredfamilyname": frozenset({"student", "guardian", "teacher", "school_admin"}),
    "identifier": frozenset({"student", "guardian", "teacher", "school_admin"}),
    "username": frozenset({"school_admin"}),
    "email": frozenset({"school_admin"}),
    "sort": frozenset(),
}
"""Which roles may see a field at all, of those whom they reach. Legal names are for the office and the family."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the description allows it."""

    method: str
    path: str
    action: str
    place: Place
    body: Any

    @property
    def name(self) -> str:
        return f"{self.method} {self.path} ({self.action})"


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    limits = {"requests_per_minute": 1_000_000}
    async with served(sqlite_url, enabled=PLUGINS, sections=SECTIONS, server=limits) as running:
        await running.district.store.write(canaries.mark)
        yield running


async def everything(api: Served) -> list[Asked]:
    """Every operation of /openapi.json that needs a sign-in, about the one school's objects and the other's."""
    described = await (await api.get("/openapi.json")).get_json()
    found = [
        _asked(method.upper(), path, operation, whose)
        for whose in (NORTH, SOUTH)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if operation["x-action"] != PUBLIC
    ]
    return list({(one.name, repr(one.body)): one for one in found}.values())


def _asked(method: str, path: str, operation: Mapping[str, Any], whose: Mapping[str, str]) -> Asked:
    query = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
    values = {name: whose[name] for name in sorted(query & set(JUDGED))}
    if {"class_id", "student_id"} <= set(values):
        values = {"student_id": whose["student_id"]}  # a list of one of them
    if "/reports/" in path:
        values = {name: value for name, value in values.items() if name == "school_id"}
    values |= {name: VALUES[name] for name in NEEDED.get(path, ())}
    inside = {name: whose.get(name, VALUES.get(name, "1")) for name in re.findall(r"{(\w+)}", path)}
    body = _body(operation, whose)
    judged = {**(body if isinstance(body, dict) else {}), **values, **inside}
    place = Place(**{name: value for name, value in judged.items() if name in JUDGED})
    address = path.format(**inside) + (f"?{urlencode(values)}" if values else "")
    return Asked(method, address, operation["x-action"], place, body)


def _body(operation: Mapping[str, Any], whose: Mapping[str, str]) -> Any:
    """The description's own example, about these objects."""
    example = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    if not isinstance(example, dict):
        return example
    better = {name: VALUES[name] for name, value in example.items() if value == "text" and name in VALUES}
    return {name: whose.get(name, value) for name, value in (example | better).items()}


async def say(api: Served, one: Asked, by: str | None) -> Response:
    """What the route answers."""
    headers = {} if one.method == "GET" else {"If-Match": '"1"'}
    return await api.call(one.method, one.path, by=by, json=one.body, headers=headers)


def may_see(api: Served, user: str) -> set[tuple[str, str]]:
    """The marked fields that somebody may find anywhere: the role's fields, of those whom the rules reach."""
    someone = world.identity(user)
    students: set[str] = set()
    for action in ("student.read", "attendance.read"):
        if any(RULES[action].of(role.role) is not Reach.NONE for role in someone.roles):
            query = students_within(someone, action, world.TODAY)
            assert query is not None
            students |= set(api.district.store.read_now(lambda c, query=query: c.values(query)))  # type: ignore[misc]
    guardians = {guardian for guardian, student, ended in world.CHILDREN if student in students and not ended}
    held = {role.role for role in someone.roles}
    return {
        (name, person)
        for name, roles in FIELDS.items()
        if roles & held
        for person in (*students, user, *(guardians if "school_admin" in held else ()))
    }


def wrong(one: Asked, user: str, status: int) -> str | None:
    """What is wrong with a status, if anything."""
    want = expected(user, one.action, one.place)
    if want == 200:
        shut = status == 401 or (status == 403 and not one.action.startswith("compliance."))  # the law may say more
        return f"{status}, though the rule allows it" if shut else None
    if want == 404 and status == 200 and one.action in NARROWED:
        return None
    return f"{status} and not {want}" if status != want else None


async def test_nothing_is_told_to_whoever_has_not_signed_in(api: Served) -> None:
    requests = await everything(api)
    assert len(requests) > 250
    said = {one.name: (await say(api, one, None)).status_code for one in requests}
    assert {name: status for name, status in said.items() if status != 401} == {}


@pytest.mark.parametrize("user", PEOPLE)
async def test_every_route_answers_as_its_rule_says_and_shows_no_field_of_others(api: Served, user: str) -> None:
    """What is allowed and changes something is left out: it has tests of its own, and would change what follows."""
    allowed = may_see(api, user)
    faults: list[str] = []
    tried = 0
    for one in await everything(api):
        if one.method != "GET" and expected(user, one.action, one.place) == 200:
            continue
        tried += 1
        answer = await say(api, one, user)
        fault = wrong(one, user, answer.status_code)
        faults += [f"{one.name}: {fault}"] if fault else []
        more = canaries.found(await answer.get_data(as_text=True)) - allowed
        faults += [f"{one.name} shows {sorted(more)}"] if more else []
    assert faults == []
    assert tried > 200


async def test_the_marks_are_found_where_they_may_be(api: Served) -> None:
    """Otherwise the test above could not fail."""
    seen = {
        user: canaries.found(await (await api.get("~/students/ann", user)).get_data(as_text=True))
        for user in ("admin", "admin_north", "teacher_a", "admin_south")
    }
    assert ("familyname", "ann") in seen["admin"]
    assert ("familyname", "ann") in seen["admin_north"]
    assert ("preferredfamilyname", "ann") in seen["teacher_a"]
    assert ("familyname", "ann") not in seen["teacher_a"]
    assert seen["admin_south"] == set()
    notes = await (await api.get("~/students/ann/attendance", "ann")).get_data(as_text=True)
    assert ("note", "ann") in canaries.found(notes)
