"""What the law asks: what waits with its deadline, the report, the annual notice and the register of studies."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.admin.common import by_law, page, schools_of
from homeroom_web.asking import link, names_of, part, tried
from homeroom_web.forms import chosen, filled, given, version
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor

_DELIVERY = ("guardian_id", "language", "how", "delivered_on")
_QUEUES = ("inspection", "amendment", "hearing")


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/compliance` and what the whole district has below it."""
    _add_tasks(blueprint, pages)
    _add_notice(blueprint, pages)
    _add_studies(blueprint, pages)


def _add_tasks(blueprint: Blueprint, pages: Pages) -> None:
    async def tasks(visitor: Visitor) -> Response:
        wanted, schools = chosen("school_id", "kind"), await schools_of(visitor)
        is_district = visitor.has("district_admin")
        if not is_district and not wanted["school_id"] and schools:
            wanted["school_id"] = schools[0]["school_id"]
        queue = f"{wanted['kind']}s" if wanted["kind"] in _QUEUES else "tasks"
        found = (await visitor.get(link(f"/compliance/{queue}", {"school_id": wanted["school_id"]})))["items"]
        return page(
            pages,
            "admin/compliance.html",
            visitor,
            tasks=found,
            students=await names_of(visitor, (one.get("student_id") for one in found)),
            wanted=wanted,
            schools=schools,
            queues=_QUEUES,
            is_district=is_district,
        )

    async def report(visitor: Visitor) -> Response:
        return page(pages, "admin/compliance_report.html", visitor, report=await visitor.get("/compliance/report"))

    blueprint.get("/admin/compliance", endpoint="compliance")(by_law(pages, tasks))
    blueprint.get("/admin/compliance/report", endpoint="compliance_report")(by_law(pages, report))


def _add_notice(blueprint: Blueprint, pages: Pages) -> None:
    async def show(visitor: Visitor, year: str, told: dict[str, str], refusal: Failed | None = None) -> Response:
        found = (await visitor.get(link("/compliance/notice/deliveries", {"year": year})))["items"]
        notice = await visitor.get("/compliance/notice")
        shown = {"year": year, "told": told, "deliveries": found, "notice": notice}
        return page(pages, "admin/compliance_notice.html", visitor, refusal, **shown)

    async def notice(visitor: Visitor) -> Response:
        year = chosen("year")["year"] or _school_year(pages)
        told = dict.fromkeys(_DELIVERY, "") | {"delivered_on": pages.services.today().isoformat()}
        return await show(visitor, year, told)

    async def deliver(visitor: Visitor) -> Response:
        told = await filled((*_DELIVERY, "year"))
        if refusal := await tried(visitor.send("POST", "/compliance/notice/deliveries", given(told))):
            return await show(visitor, told["year"], told, refusal)
        return go(link("/admin/compliance/notice", {"year": told["year"]}))

    blueprint.get("/admin/compliance/notice", endpoint="compliance_notice")(by_law(pages, notice))
    blueprint.post("/admin/compliance/notice", endpoint="compliance_deliver")(by_law(pages, deliver))


def _add_studies(blueprint: Blueprint, pages: Pages) -> None:
    async def show(visitor: Visitor, refusal: Failed | None = None) -> Response:
        found = (await visitor.get("/compliance/studies"))["items"]
        return page(pages, "admin/compliance_studies.html", visitor, refusal, studies=found)

    async def studies(visitor: Visitor) -> Response:
        return await show(visitor)

    async def end(visitor: Visitor, study_id: str) -> Response:
        return await _sent(visitor, "DELETE", f"/compliance/studies/{part(study_id)}", version=await version())

    async def destroyed(visitor: Visitor, study_id: str) -> Response:
        told = given(await filled(("destroyed_on", "destroyed_how", "confirmed_by")))
        return await _sent(visitor, "POST", f"/compliance/studies/{part(study_id)}/destruction", told)

    async def _sent(
        visitor: Visitor, method: str, path: str, body: Any = None, *, version: int | None = None
    ) -> Response:
        if refusal := await tried(visitor.send(method, path, body, version=version)):
            return await show(visitor, refusal)
        return go("/admin/compliance/studies")

    path = "/admin/compliance/studies"
    blueprint.get(path, endpoint="compliance_studies")(by_law(pages, studies))
    blueprint.post(f"{path}/<study_id>/end", endpoint="compliance_study_end")(by_law(pages, end))
    blueprint.post(f"{path}/<study_id>/destruction", endpoint="compliance_study_destroyed")(by_law(pages, destroyed))


def _school_year(pages: Pages) -> str:
    """The school year of today, which begins in July, as "2026-27"."""
    today = pages.services.today()
    first = today.year if today.month >= 7 else today.year - 1  # noqa: PLR2004 - July
    return f"{first}-{(first + 1) % 100:02}"
