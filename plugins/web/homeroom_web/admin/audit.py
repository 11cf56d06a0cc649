"""The audit log: a search by who, whose record, what, when and on which ground; each entry with its proof.

What is looked for is sent as a form and stands in no address. A student may be given by name; then one is chosen.
"""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.admin.common import by_law, page
from homeroom_web.asking import beside_form, link, names_of, part
from homeroom_web.forms import filled
from homeroom_web.pages import NOT_FOUND, Pages
from homeroom_web.visitors import Failed, Visitor

_FIELDS = ("of", "actor", "student", "student_id", "action", "kind", "basis", "since", "until", "before")
_SENT = ("of", "actor", "student_id", "action", "kind", "basis", "since", "until", "before")


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/audit`."""
    _add_search(blueprint, pages)
    _add_entry(blueprint, pages)


def _add_search(blueprint: Blueprint, pages: Pages) -> None:
    async def show(visitor: Visitor, told: dict[str, str], verified: dict[str, Any] | None = None) -> Response:
        refusal, choices = None, []
        found: dict[str, Any] = {"items": [], "before": None}
        try:
            if told["student"] and not told["student_id"]:
                choices = await _students(visitor, told["student"])
                if len(choices) == 1:
                    told["student_id"], choices = choices[0]["id"], []
            if not told["student"] or told["student_id"]:
                found = await visitor.get(link("/compliance/log/entries", {name: told[name] for name in _SENT}))
        except Failed as failed:
            refusal = beside_form(failed)
        return page(
            pages,
            "admin/audit.html",
            visitor,
            refusal,
            told=told,
            entries=found["items"],
            before=found["before"],
            choices=choices,
            students=await names_of(visitor, (one for row in found["items"] for one in row["student_ids"][:3])),
            state=await visitor.get("/compliance/log/state"),
            verified=verified,
        )

    async def newest(visitor: Visitor) -> Response:
        return await show(visitor, dict.fromkeys(_FIELDS, ""))

    async def search(visitor: Visitor) -> Response:
        return await show(visitor, await filled(_FIELDS))

    async def verify(visitor: Visitor) -> Response:
        try:
            found = await visitor.send("POST", "/compliance/log/verify")
        except Failed as refusal:
            found = {"ok": None, "problems": [beside_form(refusal).detail]}
        return await show(visitor, dict.fromkeys(_FIELDS, ""), found)

    blueprint.get("/admin/audit", endpoint="audit")(by_law(pages, newest))
    blueprint.post("/admin/audit", endpoint="audit_search")(by_law(pages, search))
    blueprint.post("/admin/audit/verify", endpoint="audit_verify")(by_law(pages, verify))


def _add_entry(blueprint: Blueprint, pages: Pages) -> None:
    async def entry(visitor: Visitor, of: str, entry_id: int) -> Response:
        found = await visitor.get(f"/compliance/log/entries/{of}/{entry_id}")
        shown = {"students": await names_of(visitor, found["entry"]["student_ids"]), **found}
        return page(pages, "admin/audit_entry.html", visitor, **shown)

    path = "/admin/audit/<any(reads, changes):of>/<int:entry_id>"
    blueprint.get(path, endpoint="audit_entry")(by_law(pages, entry))


async def _students(visitor: Visitor, text: str) -> list[dict[str, Any]]:
    """The students of this id or, where there is none, of this name."""
    try:
        return [await visitor.get(f"/students/{part(text)}")]
    except Failed as refusal:
        if refusal.status != NOT_FOUND:
            raise
    found: list[dict[str, Any]] = (await visitor.get(link("/students/search", {"q": text, "limit": 20})))["items"]
    return found
