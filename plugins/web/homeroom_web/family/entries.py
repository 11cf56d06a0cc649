"""The entries of a record one by one: each with its receipt, how to check that, and a request to change the entry."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import orjson
from quart import Blueprint, Response

from homeroom_web.asking import tried
from homeroom_web.family.documents import as_file
from homeroom_web.family.rights import for_holders, student_of
from homeroom_web.forms import chosen, filled, given
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor
from homeroom_web.words import to_say

_WEEKS = timedelta(weeks=5)
_MOST = 200
WANTED = ("present", "tardy", "absent", "excused")
KINDS = {"attendance.recorded": to_say("Recorded"), "attendance.corrected": to_say("Corrected")}


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/records/ID/entries`, one entry, its receipt and the verifier."""
    today = pages.services.today

    async def entries(visitor: Visitor, student_id: str) -> Response:
        asked = chosen("from", "to")
        since, until = _day(asked["from"]) or today() - _WEEKS, _day(asked["to"]) or today()
        path = f"/students/{student_id}/attendance?from={since}&to={until}&limit={_MOST}"
        found = await visitor.get(path)
        titles = await _titles(visitor)
        await visitor.get("/compliance/log/keys")  # else there is no receipt to be had
        values = {"since": since, "until": until, "items": found["items"][::-1], "titles": titles}
        student = await student_of(visitor, student_id)
        more = found["next"] is not None
        return pages.render("family/entries.html", visitor=visitor, student=student, more=more, **values)

    async def entry(visitor: Visitor, student_id: str, record_id: str) -> Response:
        return await _entry(pages, visitor, student_id, record_id)

    async def ask(visitor: Visitor, student_id: str, record_id: str) -> Response:
        told = await filled(("why", "status"))
        body = {"record_id": record_id, **given(told)}
        if refusal := await tried(visitor.send("POST", f"/compliance/students/{student_id}/amendments", body)):
            return await _entry(pages, visitor, student_id, record_id, told=told, refusal=refusal)
        return go(f"/records/{student_id}/amendments")

    async def receipt(visitor: Visitor, student_id: str, record_id: str) -> Response:
        del student_id  # the route itself knows whose it is
        return as_file(await visitor.file(f"/compliance/receipts/{record_id}"), name="receipt.json")

    async def verifier(visitor: Visitor) -> Response:
        return as_file(await visitor.file("/compliance/log/verifier"), name="verifier.py")

    blueprint.get("/records/verifier.py")(for_holders(pages, verifier))
    blueprint.get("/records/<student_id>/entries")(for_holders(pages, entries))
    blueprint.get("/records/<student_id>/entries/<record_id>")(for_holders(pages, entry))
    blueprint.post("/records/<student_id>/entries/<record_id>")(for_holders(pages, ask))
    blueprint.get("/records/<student_id>/entries/<record_id>/receipt")(for_holders(pages, receipt))


async def _titles(visitor: Visitor) -> dict[str, str]:
    """The classes' titles by id, as far as they are shown to the visitor."""
    return {one["id"]: one["title"] for one in (await visitor.get("/classes/?limit=100"))["items"]}


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _step(entry: dict[str, Any]) -> dict[str, Any]:
    """What one entry of a receipt says: docs/ferpa.md tells how an entry is written."""
    row = orjson.loads(entry["leaf"])
    data = orjson.loads(row[-1])
    return {
        "at": row[2],
        "kind": KINDS.get(row[3], row[3]),
        "day": data.get("school_day") or "",
        "status": data.get("status") or "",
        "was": data.get("was") or "",
        "index": entry["index"],
    }


async def _entry(
    pages: Pages,
    visitor: Visitor,
    student_id: str,
    record_id: str,
    *,
    told: dict[str, str] | None = None,
    refusal: Failed | None = None,
) -> Response:
    found = await visitor.get(f"/compliance/receipts/{record_id}")
    keys = (await visitor.get("/compliance/log/keys"))["keys"]
    lines = found["checkpoint"].split("\n")
    signed = next((line.removeprefix("time ") for line in lines if line.startswith("time ")), None)
    return pages.render(
        "family/entry.html",
        visitor=visitor,
        student=await student_of(visitor, student_id),
        record_id=record_id,
        steps=[_step(one) for one in found["entries"]],
        size=lines[1],
        signed=signed,
        keys=keys,
        wanted=WANTED,
        told=told or {"why": "", "status": ""},
        refusal=refusal,
    )
