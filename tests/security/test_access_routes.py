"""Every route says what its rule is about: none takes an id that the rule does not judge."""

from __future__ import annotations

import pytest
from werkzeug.routing import Rule as Route

from homeroom.api.operation import OPERATION, PUBLIC, Operation
from homeroom.app import create_app
from homeroom.auth.rules import RULES, Reach
from homeroom.settings import Settings

PUBLIC_ROUTES = {
    "/api/v1/auth/login",
    "/api/v1/auth/refresh",
    "/api/v1/auth/register",
    "/api/v1/auth/substitute",
    "/api/v1/auth/providers/",
    "/api/v1/auth/providers/<name>/start",
    "/api/v1/auth/providers/<name>/callback",
    "/health",
    "/health/ready",
}
OBJECTS = {"class_id", "student_id", "session_id", "record_id", "report_id", "school_id"}
NEVER_OF_PEOPLE = {"account.self", "users.manage", "plugins.manage", "sync.manage", "monitor"}


def operations() -> list[tuple[Route, Operation]]:
    app = create_app(Settings())
    found = ((route, app.view_functions[route.endpoint]) for route in app.url_map.iter_rules())
    return [(route, getattr(view, OPERATION)) for route, view in found if hasattr(view, OPERATION)]


OPERATIONS = operations()


def named(declared: Operation) -> set[str]:
    """The places that a route's rule judges, as they are named in its path, body or query."""
    values = (getattr(declared.of, name) for name in OBJECTS)
    return {value for value in values if value is not None}


@pytest.mark.parametrize(("route", "declared"), OPERATIONS, ids=[f"{r.rule} {o.action}" for r, o in OPERATIONS])
def test_a_route_hands_every_id_it_takes_to_its_rule(route: Route, declared: Operation) -> None:
    if declared.action == PUBLIC:
        assert route.rule in PUBLIC_ROUTES
        return
    assert declared.action in RULES
    judged = named(declared)
    taken = {name for name in route.arguments if name in OBJECTS}
    taken |= {f"body.{name}" for name in (declared.body.model_fields if declared.body else ()) if name in OBJECTS}
    taken |= {f"query.{name}" for name in (declared.query.model_fields if declared.query else ()) if name in OBJECTS}
    if declared.action in NEVER_OF_PEOPLE or RULES[declared.action].anyone:
        return  # one's own, or only for who reaches everything
    if declared.action == "class.list":
        taken -= {"query.school_id"}  # the list is narrowed to what the caller reaches in any case
    assert taken <= judged


def test_what_manages_the_place_is_for_district_administrators_alone() -> None:
    for action in NEVER_OF_PEOPLE - {"account.self"}:
        assert {role: far for role, far in RULES[action].reach.items() if role != "service"} == {
            "district_admin": Reach.DISTRICT
        }


def test_every_public_route_is_one_that_must_be() -> None:
    assert {route.rule for route, declared in OPERATIONS if declared.action == PUBLIC} == PUBLIC_ROUTES
