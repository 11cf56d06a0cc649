"""Marks from a file: first what it would change, then, as it was shown and no other way, the change itself."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import orjson
from quart import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from homeroom_web.asking import UNPROCESSABLE, beside_form, whole
from homeroom_web.forms import field
from homeroom_web.office.files import files_page
from homeroom_web.office.plan import Known, Plan, planned
from homeroom_web.office.schools import At, day_or, school_of
from homeroom_web.office.sheets import MOST_BYTES, Unreadable, read
from homeroom_web.pages import Pages, language
from homeroom_web.visitors import Failed, Visitor

_SECONDS = 1800
_MOST = 100_000
_GONE = 410
_SEPARATORS = {",": ",", ";": ";", "\t": "tab"}


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/office/files/marks`."""
    services = pages.services

    @blueprint.post("/office/files/marks")
    @pages.for_visitors
    async def office_preview(visitor: Visitor) -> Response:
        try:
            data = await _file()
        except RequestEntityTooLarge:
            at = await school_of(visitor, "")
            return await files_page(pages, visitor, at, refusal=_said(Unreadable(_LARGE, most=MOST_BYTES // 1024)))
        at = await school_of(visitor, await field("school"))
        day, class_id = await field("day"), await field("class")
        try:
            sheet = read(data)
            known = await _known(visitor, at, day, class_id)
        except (Unreadable, Failed) as exc:
            refusal = _said(exc) if isinstance(exc, Unreadable) else exc
            return await files_page(pages, visitor, at, day=day, class_id=class_id, refusal=beside_form(refusal))
        plan = planned(sheet, known)
        return pages.render(
            "office/marks_preview.html",
            visitor=visitor,
            at=at,
            day=known.day,
            sheet=sheet,
            separator=_SEPARATORS.get(sheet.separator, sheet.separator),
            plan=plan,
            receipt=await _keep(visitor, plan) if plan.good else "",
        )

    @blueprint.post("/office/files/marks/apply")
    @pages.for_visitors
    async def office_apply(visitor: Visitor) -> Response:
        rolls = await _taken(visitor, await field("receipt"))
        if rolls is None:
            text = language().say("This preview was used already, or is too old. Please choose the file again.")
            raise Failed(_GONE, text)
        told = [(roll["title"], len(roll["marks"]), await _written(visitor, roll)) for roll in rolls]
        return pages.render("office/marks_written.html", visitor=visitor, told=told)

    async def _keep(visitor: Visitor, plan: Plan) -> str:
        """Keep what was shown, for this browser's session alone; gives the receipt."""
        receipt = secrets.token_urlsafe(24)
        text = orjson.dumps([roll.kept() for roll in plan.good]).decode()
        await services.kv.set(_place(visitor, receipt), text, ttl=_SECONDS)
        return receipt

    async def _taken(visitor: Visitor, receipt: str) -> list[dict[str, Any]] | None:
        """What was shown under a receipt, once; None when there is nothing (any more)."""
        place = _place(visitor, receipt)
        text = await services.kv.get(place)
        once = await services.limiter.hit(place, 1, _SECONDS)
        if text is None or not once.allowed:
            return None
        await services.kv.delete(place)
        found: list[dict[str, Any]] = orjson.loads(text)
        return found


async def _file() -> bytes:
    """The file that was sent. Raises RequestEntityTooLarge."""
    sent = (await request.files).get("file")
    return sent.read(MOST_BYTES + 1) if sent is not None else b""


async def _known(visitor: Visitor, at: At, day_text: str, class_id: str) -> Known:
    """All that the file is compared with. Raises Failed."""
    day = day_or(at.today, day_text)
    records, _ = await whole(visitor, f"/schools/{at.id}/attendance", _MOST, **{"from": str(day), "to": str(day)})
    seats, _ = await whole(visitor, f"/schools/{at.id}/roster", _MOST, day=str(day))
    return Known(
        day=day,
        rolls=(await visitor.get(f"/schools/{at.id}/rolls?day={day}"))["items"],
        seats=seats,
        records=records,
        codes=(await visitor.get(f"/attendance-codes?school_id={at.id}"))["items"],
        class_id=class_id,
    )


async def _written(visitor: Visitor, roll: dict[str, Any]) -> str:
    """Write one roll's marks, all or none; gives why none was written, or nothing."""
    session_id, seen = roll["session_id"], roll["seen"]
    try:
        records, _ = await whole(visitor, f"/sessions/{session_id}/attendance", _MOST)
        now = {one["student_id"]: one["version"] for one in records}
        if any(now.get(student_id, 0) != version for student_id, version in seen.items()):
            return language().say("Somebody changed this roll after the preview, so nothing of it was written.")
        await visitor.send("PUT", f"/sessions/{session_id}/attendance", {"marks": roll["marks"]})
    except Failed as refusal:
        return refusal.detail
    return ""


_LARGE = "The file is larger than {most} KB."


def _said(exc: Unreadable) -> Failed:
    return Failed(UNPROCESSABLE, language().say(exc.text, **exc.values))


def _place(visitor: Visitor, receipt: str) -> str:
    """Under which name a preview is kept: neither the receipt nor another browser's session alone leads to it."""
    return f"marks:{hashlib.sha256(f'{visitor.cookie} {receipt}'.encode()).hexdigest()}"
