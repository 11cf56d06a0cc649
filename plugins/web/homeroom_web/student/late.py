"""Check-ins that a device made without a network and sends now; a key tells whose they are, not who sits there now."""

from __future__ import annotations

import hmac
from datetime import timedelta

from quart import Blueprint, Response, jsonify

from homeroom_web.forms import field
from homeroom_web.pages import Pages, language
from homeroom_web.student.arrivals import Arrival, send
from homeroom_web.student.outcome import outcome_of
from homeroom_web.visitors import Failed, Visitor

_NO_TIME = 422
_FINAL = (403, 404, 409, 422)
_MOST_HOURS = 24 * 366


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/check-in/late`, for scripts: answers `{outcome: "told"|"not-yours"|"later", good?, heading?, lines?}`."""

    @blueprint.post("/check-in/late")
    @pages.for_visitors
    async def late(visitor: Visitor) -> Response:
        me = await visitor.get("/auth/me")
        if not hmac.compare_digest((await field("owner")).encode(), pages.person(me["id"]).encode()):
            return jsonify(outcome="not-yours")
        try:
            arrival = await _arrival(pages)
            now = pages.services.clock.now()
            record = await send(visitor, arrival, student_id=me["id"], now=now, none=_nothing_fits())
        except Failed as refusal:
            if refusal.status not in _FINAL:
                return jsonify(outcome="later")
            heading = language().say("Your check-in was not recorded")
            return jsonify(outcome="told", good=False, heading=heading, lines=[refusal.detail])
        told = await outcome_of(visitor, record, client_id=arrival.client_id, zone=pages.services.time_zone)
        return jsonify(outcome="told", good=True, heading=told.heading, lines=told.lines)


async def _arrival(pages: Pages) -> Arrival:
    """What the device has kept. Its clock says how long ago that was, and ours when, so a wrong one harms nothing."""
    try:
        age = timedelta(seconds=min(float(await field("age")), _MOST_HOURS * 3600.0))
    except ValueError:
        raise Failed(_NO_TIME, language().say("The device did not tell when this check-in was made.")) from None
    if not age >= timedelta(0):
        raise Failed(_NO_TIME, language().say("The device did not tell when this check-in was made."))
    return Arrival(
        session_id=await field("session"),
        code=await field("code"),
        scan=await field("scan"),
        client_id=await field("client_id"),
        occurred_at=pages.services.clock.now() - age,
    )


def _nothing_fits() -> Failed:
    text = language().say("None of your classes was open for check-in then. Please tell your teacher.")
    return Failed(404, text)
