"""The routes of the annual notice, special education access, legal holds, purges and erasure."""

from __future__ import annotations

from typing import Any

from quart import Blueprint

from homeroom import Call, Refused, Target, operation
from homeroom_ferpa.rights import erasure, notice, retention, special
from homeroom_ferpa.rights import models as m
from homeroom_ferpa.rights.common import SHOWN, fresh_id
from homeroom_ferpa.rights.part import Rights

_STUDENT = Target(student_id="student_id")


def add_keeping_routes(pages: Blueprint, rights: Rights) -> None:
    """Hang them below the plugin's prefix."""
    _add_notice(pages, rights)
    _add_special(pages, rights)
    _add_holds(pages, rights)
    _add_endings(pages, rights)


def _add_notice(pages: Blueprint, rights: Rights) -> None:
    services, settings = rights.services, rights.settings

    @pages.get("/notice")
    @operation("account.self", query=m.NoticeQuery, answers=m.Notice)
    async def read_notice(call: Call, query: m.NoticeQuery) -> m.Notice:
        """The annual notice of rights, in the language where there is one."""
        del call
        text, language = notice.notice(settings, query.language)
        lists = {name: section for name, (section, _) in notice.MUST_LIST.items()}
        return m.Notice(text=text, language=language, languages=notice.languages(settings), lists=lists)

    @pages.get("/notice/deliveries")
    @operation("compliance.manage", query=m.YearQuery, answers=m.Items)
    async def list_deliveries(call: Call, query: m.YearQuery) -> m.Items:
        """Every guardian and eligible student with the home language, and how this year's notice was given."""
        today = call.today()
        found = await services.store.read(lambda c: notice.deliveries(c, settings, query.year, today))
        students = [row["guardian_id"] for row in found if row["eligible_student"]]
        call.discloses(students, fields=("notice",), rows=len(students))
        return m.Items(items=found)

    @pages.post("/notice/deliveries")
    @operation("compliance.manage", body=m.Delivered, answers={201: m.Item})
    async def record_delivery(call: Call, body: m.Delivered) -> tuple[m.Item, int]:
        """Keep that a guardian, or a student who holds the rights, was given the notice."""
        del call
        new: dict[str, Any] = body.model_dump(exclude={"delivered_on"}) | {"on": body.delivered_on}
        return m.Item(item=await services.store.submit(lambda tx: notice.deliver(tx, **new))), 201


def _add_special(pages: Blueprint, rights: Rights) -> None:
    services = rights.services

    @pages.post("/students/<student_id>/special-access")
    @operation("compliance.read", of=_STUDENT, body=m.NewSpecialAccess, answers={201: m.Item})
    async def record_special_access(call: Call, student_id: str, body: m.NewSpecialAccess) -> tuple[m.Item, int]:
        """Keep who saw a child's special education record, when and why."""
        new: dict[str, Any] = body.model_dump() | {"access_id": fresh_id(), "student_id": student_id}
        row = await services.store.submit(lambda tx: special.enter(tx, **new))
        call.discloses([student_id], fields=("special_access",), rows=1)
        return m.Item(item=row), 201

    @pages.get("/students/<student_id>/special-access")
    @operation("compliance.family", of=_STUDENT, answers=m.Items)
    async def list_special_access(call: Call, student_id: str) -> m.Items:
        """The record of access to a child's special education record."""
        found = await services.store.read(lambda c: special.of_student(c, student_id))
        call.discloses([student_id], fields=("special_access",), rows=len(found))
        return m.Items(items=found)


def _add_holds(pages: Blueprint, rights: Rights) -> None:
    services = rights.services

    @pages.get("/holds")
    @operation("compliance.manage", query=m.HoldQuery, answers=m.Holds)
    async def list_holds(call: Call, query: m.HoldQuery) -> m.Holds:
        """The legal holds that are in force, the newest first."""
        found = await services.store.read(lambda c: retention.holds(c, before=query.before))
        held = [row["student_id"] for row in found if row["student_id"] != retention.EVERYBODY]
        call.discloses(held, fields=("holds",), rows=len(held))
        return m.Holds(items=found, before=found[-1]["id"] if len(found) == SHOWN else None)

    @pages.post("/holds")
    @operation("compliance.manage", body=m.NewHold, answers={201: m.Item})
    async def set_hold(call: Call, body: m.NewHold) -> tuple[m.Item, int]:
        """Keep everything of a student, or of everybody, until the hold is lifted."""
        del call
        new = {"hold_id": fresh_id(), "student_id": body.student_id or retention.EVERYBODY, "reference": body.reference}
        return m.Item(item=await services.store.submit(lambda tx: retention.hold(tx, **new))), 201

    @pages.post("/holds/<hold_id>/lift")
    @operation("compliance.manage", answers=m.Item)
    async def lift_hold(call: Call, hold_id: str) -> m.Item:
        """End a hold."""
        del call
        return m.Item(item=await services.store.submit(lambda tx: retention.lift(tx, hold_id)))


def _add_endings(pages: Blueprint, rights: Rights) -> None:
    services = rights.services

    @pages.post("/retention")
    @operation("compliance.manage", body=m.PurgeOrder, answers=m.Item, problems=(409,))
    async def run_retention(call: Call, body: m.PurgeOrder) -> m.Item:
        """Count what the schedule would delete, or delete it; says what was passed by and why."""
        found = await retention.purge(services, rights.settings.retention, dry_run=body.dry_run)
        call.discloses({one["student_id"] for one in found.skipped}, fields=("compliance",), rows=len(found.skipped))
        return m.Item(item=found.as_json())

    @pages.post("/people/<person_id>/erase")
    @operation("compliance.manage", body=m.EraseOrder, answers=m.Item, problems=(404, 409))
    async def erase_person(call: Call, person_id: str, body: m.EraseOrder) -> m.Item:
        """Take a person out for good; the id has to be repeated, for it cannot be undone."""
        if body.confirm != person_id:
            raise Refused(422, "not-confirmed", "Repeat the person's id in `confirm`: this cannot be undone.")
        left = await services.store.read(lambda c: erasure.guardians_left(c, person_id))
        done = await erasure.erase(services, person_id, why=body.why)
        call.discloses([person_id], fields=("erasure",), rows=1)
        return m.Item(item={"person_id": person_id, "rows": dict(done), "guardians_left": left})
