"""Whether the caller reaches what belongs to a school, or to the district, and is named by an id of its own."""

from __future__ import annotations

from typing import Any

from homeroom.api.operation import Call
from homeroom.auth.access import schools_within
from homeroom.store import Connection, Refused, not_found
from homeroom.store import models as m

DISTRICT = ""


def schools_of(call: Call, action: str) -> Any:
    """The ids of the schools whose data the caller reaches with an action, to select from; None means all."""
    return schools_within(call.me, action)


def check_school(connection: Connection, call: Call, action: str, school_id: str, *, reading: bool = False) -> None:
    """Raise Refused 404 for another school's, and 403 for the district's own where it is to be changed by a school."""
    within = schools_of(call, action)
    if within is None:
        return
    if school_id == DISTRICT:
        if not reading:
            raise Refused(403, "not-allowed", "This is the whole district's; only its administrators may change it.")
        return
    if connection.one(m.Org.select().where((m.Org.id == school_id) & m.Org.id.in_(within))) is None:
        raise not_found()
