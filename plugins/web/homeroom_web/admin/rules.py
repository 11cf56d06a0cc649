"""Rules: who is told of what. Each can be previewed before it is kept, and every version is shown."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response, request

from homeroom_web.admin import rule_form
from homeroom_web.admin.common import page, schools_of
from homeroom_web.admin.terms import RULE_KINDS, STUDENT_KINDS
from homeroom_web.asking import beside_form, link, part
from homeroom_web.forms import chosen, version
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor

_VERSIONS = 10
Told = dict[str, str]


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/rules` and what is below it."""
    _add_list(blueprint, pages)
    _add_new(blueprint, pages)
    _add_change(blueprint, pages)


def _add_list(blueprint: Blueprint, pages: Pages) -> None:
    @blueprint.get("/admin/rules")
    @pages.for_visitors
    async def admin_rules(visitor: Visitor) -> Response:
        wanted, schools = chosen("school_id"), await schools_of(visitor)
        found = (await visitor.get(link("/notifications/rules", wanted)))["items"]
        return page(
            pages, "admin/rules.html", visitor, rules=found, wanted=wanted, schools=schools, names=_names(schools)
        )

    @blueprint.get("/admin/rules/<rule_id>/versions/<int:version>")
    @pages.for_visitors
    async def admin_rule_version(visitor: Visitor, rule_id: str, version: int) -> Response:
        found = await visitor.get(f"/notifications/rules/{part(rule_id)}/versions/{version}")
        return page(pages, "admin/rule_version.html", visitor, rule=found, names=_names(await schools_of(visitor)))


def _add_new(blueprint: Blueprint, pages: Pages) -> None:
    @blueprint.get("/admin/rules/new")
    @pages.for_visitors
    async def admin_new_rule(visitor: Visitor) -> Response:
        kind = request.args.get("kind", "")
        if kind not in RULE_KINDS:
            return page(pages, "admin/rule_kind.html", visitor)
        return await _form(pages, visitor, kind, {"title": "", "school_id": "", "preview_at": "", "day": ""})

    @blueprint.post("/admin/rules/new")
    @pages.for_visitors
    async def admin_make_rule(visitor: Visitor) -> Response:
        told = (await request.form).to_dict()
        kind = told.get("kind", "")
        try:
            if told.get("do") == "preview":
                shown = await _preview(visitor, kind, told)
                return await _form(pages, visitor, kind, told, preview=shown)
            body: dict[str, Any] = {"kind": kind, "title": told.get("title", ""), "enabled": bool(told.get("enabled"))}
            body |= {"settings": rule_form.settings_of(kind, told), "school_id": told.get("school_id") or None}
            rule = await visitor.send("POST", "/notifications/rules", body)
        except Failed as refusal:
            return await _form(pages, visitor, kind, told, beside_form(refusal))
        return go(f"/admin/rules/{part(rule['id'])}")


def _add_change(blueprint: Blueprint, pages: Pages) -> None:
    @blueprint.get("/admin/rules/<rule_id>")
    @pages.for_visitors
    async def admin_rule(visitor: Visitor, rule_id: str) -> Response:
        found = await visitor.get(f"/notifications/rules/{part(rule_id)}")
        told = {"title": found["title"], "enabled": "on" if found["enabled"] else "", "preview_at": "", "day": ""}
        told |= {"version": str(found["version"]), **rule_form.form_of(found["kind"], found["settings"])}
        return await _form(pages, visitor, found["kind"], told, rule=found)

    @blueprint.post("/admin/rules/<rule_id>")
    @pages.for_visitors
    async def admin_change_rule(visitor: Visitor, rule_id: str) -> Response:
        told = (await request.form).to_dict()
        found = await visitor.get(f"/notifications/rules/{part(rule_id)}")
        kind = found["kind"]
        try:
            if told.get("do") == "preview":
                shown = await _preview(visitor, kind, told)
                return await _form(pages, visitor, kind, told, rule=found, preview=shown)
            body = {"title": told.get("title", ""), "enabled": bool(told.get("enabled"))}
            settings = rule_form.settings_of(kind, told)
            read = await version()
            await visitor.send(
                "PUT", f"/notifications/rules/{part(rule_id)}", body | {"settings": settings}, version=read
            )
        except Failed as refusal:
            return await _form(pages, visitor, kind, told, beside_form(refusal), rule=found)
        return go(f"/admin/rules/{part(rule_id)}")


async def _form(
    pages: Pages,
    visitor: Visitor,
    kind: str,
    told: Told,
    refusal: Failed | None = None,
    *,
    rule: dict[str, Any] | None = None,
    preview: dict[str, Any] | None = None,
) -> Response:
    schools = await schools_of(visitor)
    newest = rule["version"] if rule else 0
    return page(
        pages,
        "admin/rule.html",
        visitor,
        refusal,
        kind=kind,
        told=told,
        rule=rule,
        preview=preview,
        fields=rule_form.fields_of(kind),
        schools=schools,
        names=_names(schools),
        can_preview=kind in STUDENT_KINDS,
        is_district=visitor.has("district_admin"),
        versions=range(newest, max(0, newest - _VERSIONS), -1),
    )


async def _preview(visitor: Visitor, kind: str, told: Told) -> dict[str, Any]:
    """Who would be told what by the rule as it is filled in, and what its texts say in each language."""
    at = told.get("preview_at") or told.get("school_id", "")
    body = {"school_id": at, "kind": kind, "settings": rule_form.settings_of(kind, told)}
    if told.get("day"):
        body["day"] = told["day"]
    found: dict[str, Any] = await visitor.send("POST", "/notifications/preview", body)
    texts = await visitor.get(link("/notifications/texts", {"kind": kind, "school_id": at}))
    return found | {"texts": texts["items"]}


def _names(schools: list[dict[str, Any]]) -> dict[str, str]:
    return {one["school_id"]: one["school"] for one in schools}
