"""Checking in by the code or by the picture, and what was recorded."""

from __future__ import annotations

import secrets
from typing import Any

from quart import Blueprint, Response, request

from homeroom_web.asking import CONFLICT, UNPROCESSABLE, beside_form
from homeroom_web.forms import field
from homeroom_web.pages import NOT_FOUND, Pages, language
from homeroom_web.scans import Receipt, Scans
from homeroom_web.student.arrivals import Arrival, send
from homeroom_web.student.outcome import outcome_of
from homeroom_web.visitors import Failed, Visitor

_TOO_MANY = 429


def add_routes(blueprint: Blueprint, pages: Pages, scans: Scans) -> None:
    """`/check-in`."""

    @blueprint.get("/check-in")
    @pages.for_visitors
    async def form(visitor: Visitor) -> Response:
        receipt = await _scanned()
        if receipt is None:
            return await _form(visitor, request.args.get("session", ""))
        if not receipt.good:
            changed = language().say("That picture has changed already. Please scan the one that is shown now.")
            return await _form(visitor, receipt.session_id, refusal=Failed(UNPROCESSABLE, changed))
        return await _form(visitor, receipt.session_id, scan=receipt.scan)

    @blueprint.post("/check-in")
    @pages.for_visitors
    async def arrive(visitor: Visitor) -> Response:
        me = await visitor.get("/auth/me")
        try:
            arrival = await _arrival(pages.person(me["id"]))
            now = pages.services.clock.now()
            record = await send(visitor, arrival, student_id=me["id"], now=now, none=_nothing_open())
        except Failed as refusal:
            shown = beside_form(refusal, NOT_FOUND, _TOO_MANY)
            again = await _form(visitor, await field("session"), code=await field("code"), refusal=shown)
            scans.forget(again)
            return again
        outcome = await outcome_of(visitor, record, client_id=arrival.client_id, zone=pages.services.time_zone)
        response = pages.render("student/checked_in.html", visitor=visitor, record=record, outcome=outcome)
        scans.forget(response)
        return response

    async def _scanned() -> Receipt | None:
        """The picture that was scanned just now, else the one from before signing in."""
        now = await scans.exchange(request.full_path)
        return now if now and now.good else scans.kept() or now

    async def _form(
        visitor: Visitor, session_id: str, *, scan: str = "", code: str = "", refusal: Failed | None = None
    ) -> Response:
        me = await visitor.get("/auth/me")
        sessions = [] if scan else await _open_sessions(visitor)
        return pages.render(
            "student/check_in.html",
            visitor=visitor,
            sessions=sessions,
            chosen=session_id or (sessions[0]["id"] if len(sessions) == 1 else ""),
            scan=scan,
            code=code,
            refusal=refusal,
            person=pages.person(me["id"]),
            client_id=secrets.token_hex(16),
        )


async def _arrival(owner: str) -> Arrival:
    """What was filled in. Raises Failed for a form that somebody else began, before another person signed in here."""
    began = await field("owner")
    if began and began != owner:
        text = language().say("Somebody else began this check-in on this device. Nothing was recorded for you.")
        raise Failed(CONFLICT, text)
    return Arrival(
        session_id=await field("session"),
        code=await field("code"),
        scan=await field("scan"),
        client_id=await field("client_id"),
    )


async def _open_sessions(visitor: Visitor) -> list[dict[str, Any]]:
    """The sessions that are open now in the student's own classes, with the class's title."""
    classes = (await visitor.get("/classes/?limit=50&with=latest_session"))["items"]
    found = [{**one["latest_session"], "title": one["title"]} for one in classes if one["latest_session"]]
    return [session for session in found if session["state"] == "open"]


def _nothing_open() -> Failed:
    return Failed(NOT_FOUND, language().say("None of your classes is open for check-in just now."))
