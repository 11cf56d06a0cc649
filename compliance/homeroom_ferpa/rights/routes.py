"""The routes of the rights: what families ask, what the office decides, and what waits for whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quart import Blueprint, Response

from homeroom import Call, Connection, Refused, Target, Transaction, operation
from homeroom_ferpa.access.part import Access
from homeroom_ferpa.access.routes_consents import check_may_decide, may_decide
from homeroom_ferpa.rights import amendments, hearings, inspections, letters, record_file
from homeroom_ferpa.rights import models as m
from homeroom_ferpa.rights.common import Row, decided, fresh_id
from homeroom_ferpa.rights.keeping_routes import add_keeping_routes
from homeroom_ferpa.rights.page import page
from homeroom_ferpa.rights.part import Rights

_STUDENT = Target(student_id="student_id")


def add_routes(pages: Blueprint, rights: Rights, access: Access) -> None:
    """Hang all of them below the plugin's prefix. `access` says who holds a student's rights."""
    _add_inspections(pages, rights, access)
    _add_explanations(pages, rights)
    _add_amendments(pages, rights, access)
    _add_hearings(pages, rights, access)
    _add_letters(pages, rights)
    add_keeping_routes(pages, rights)


def _asker(call: Call, named: str | None) -> str:
    """Who asks: the caller, or whom the office names. Raises Refused 422 for a family that names another."""
    if named is None or named == call.me.subject:
        return call.me.subject
    if not call.me.has("school_admin", "district_admin"):
        raise Refused(422, "for-another", "Only the office enters a request for somebody else.")
    return named


def _day(call: Call, named: Any) -> Any:
    """The day of receipt: today, or an earlier one that the office names. Raises Refused 422."""
    if named is None or named == call.today():
        return call.today()
    if not call.me.has("school_admin", "district_admin") or named > call.today():
        raise Refused(422, "received-on", "A request is received today, or earlier where the office says so.")
    return named


def _shown(call: Call, student_id: str, row: dict[str, Any], *fields: str) -> m.Item:
    call.discloses([student_id], fields=fields, rows=1)
    return m.Item(item=row)


def _add_inspections(pages: Blueprint, rights: Rights, access: Access) -> None:
    services, settings = rights.services, rights.settings

    @pages.post("/students/<student_id>/inspections")
    @operation("compliance.family", of=_STUDENT, body=m.NewInspection, answers={201: m.Item})
    async def ask_to_inspect(call: Call, student_id: str, body: m.NewInspection) -> tuple[m.Item, int]:
        """Ask to see a student's record; it is due within 45 days at most."""
        new = {"asked_by": _asker(call, body.asked_by), "received_on": _day(call, body.received_on)}
        new |= {"inspection_id": fresh_id(), "student_id": student_id, "wish": body.wish}
        row = await services.store.submit(lambda tx: inspections.ask(tx, days=settings.inspection_days, **new))
        return _shown(call, student_id, row, "inspections"), 201

    @pages.get("/students/<student_id>/inspections")
    @operation("compliance.family", of=_STUDENT, answers=m.Items)
    async def list_inspections(call: Call, student_id: str) -> m.Items:
        """A student's requests to inspect, with their explanations."""
        found = await services.store.read(lambda c: inspections.of_student(c, student_id))
        call.discloses([student_id], fields=("inspections",), rows=len(found))
        return m.Items(items=found)

    @pages.post("/students/<student_id>/inspections/<inspection_id>/end")
    @operation("compliance.read", of=_STUDENT, body=m.Ending, answers=m.Item, problems=(409,))
    async def end_inspection(call: Call, student_id: str, inspection_id: str, body: m.Ending) -> m.Item:
        """Make the record available to who asked, which is told them, or note that the request was taken back."""
        if body.state == "fulfilled":  # it must be possible to make the file, before anybody is told that it is there
            await services.store.read(lambda c: record_file.gather(c, services, student_id))
        about = {"student_id": student_id, "inspection_id": inspection_id, "state": body.state, "act": fresh_id()}
        row = await decided(
            services, lambda tx: inspections.end(tx, **about), student_id=student_id, subject_id=inspection_id
        )
        return _shown(call, student_id, row, "inspections")

    @pages.get("/students/<student_id>/inspections/<inspection_id>/file")
    @operation("compliance.family", of=_STUDENT, answers={200: "text/html"}, problems=(409,))
    async def read_record_file(call: Call, student_id: str, inspection_id: str) -> Response:
        """The whole record of one student as one file, to read and for machines; families once it is made available.

        The record of disclosures is in it for whoever holds the rights, and for the office.
        """

        def read(connection: Connection) -> dict[str, Any]:
            row = inspections.read(connection, student_id, inspection_id)
            if row["state"] != "fulfilled" and not call.me.has("school_admin", "district_admin"):
                raise Refused(409, "not-yet", "The office has not made the record available yet.")
            ledger_too = may_decide(connection, access, call, student_id)
            return record_file.gather(connection, services, student_id, disclosures=ledger_too)

        found = await services.store.read(read)
        fields = [name for name in record_file.FIELDS if name != "disclosures" or name in found]
        call.discloses([student_id], fields=fields, rows=len(found["attendance"]))
        headers = {"Content-Disposition": 'attachment; filename="education-record.html"'}
        return Response(page(found), 200, headers=headers, content_type="text/html; charset=utf-8")


def _add_explanations(pages: Blueprint, rights: Rights) -> None:
    services = rights.services

    @pages.post("/students/<student_id>/inspections/<inspection_id>/explanations")
    @operation("compliance.family", of=_STUDENT, body=m.Question, answers={201: m.Item})
    async def ask_for_explanation(
        call: Call, student_id: str, inspection_id: str, body: m.Question
    ) -> tuple[m.Item, int]:
        """Ask for something in the record to be explained."""
        new = {"explanation_id": fresh_id(), "student_id": student_id, "inspection_id": inspection_id}
        new |= {"asked_by": call.me.subject, "question": body.question}
        row = await services.store.submit(lambda tx: inspections.ask_explanation(tx, **new))
        return _shown(call, student_id, row, "inspections"), 201

    @pages.post("/students/<student_id>/inspections/<inspection_id>/explanations/<explanation_id>/answer")
    @operation("compliance.read", of=_STUDENT, body=m.Explained, answers=m.Item, problems=(409,))
    async def explain(
        call: Call, student_id: str, inspection_id: str, explanation_id: str, body: m.Explained
    ) -> m.Item:
        """Answer it."""
        about = {"student_id": student_id, "inspection_id": inspection_id, "explanation_id": explanation_id}
        about |= {"words": body.answer, "act": fresh_id()}
        row = await decided(
            services, lambda tx: inspections.answer(tx, **about), student_id=student_id, subject_id=inspection_id
        )
        return _shown(call, student_id, row, "inspections")


def _add_amendments(pages: Blueprint, rights: Rights, access: Access) -> None:
    services, settings = rights.services, rights.settings

    @pages.post("/students/<student_id>/amendments")
    @operation("compliance.family", of=_STUDENT, body=m.NewAmendment, answers={201: m.Item}, problems=(409,))
    async def ask_to_amend(call: Call, student_id: str, body: m.NewAmendment) -> tuple[m.Item, int]:
        """Ask for one attendance record to be changed, with the reason."""
        new: dict[str, Any] = {"amendment_id": fresh_id(), "student_id": student_id, "days": settings.amendment_days}
        new |= body.model_dump(include={"record_id", "why", "status", "code"})
        new |= {"asked_by": _asker(call, body.asked_by), "received_on": _day(call, body.received_on)}

        def unit(tx: Transaction) -> Row:
            check_may_decide(tx, access, call, student_id)
            return amendments.ask(tx, **new)

        row = await decided(services, unit, student_id=student_id, subject_id=body.record_id)
        return _shown(call, student_id, row, "amendments"), 201

    @pages.get("/students/<student_id>/amendments")
    @operation("compliance.family", of=_STUDENT, answers=m.Items)
    async def list_amendments(call: Call, student_id: str) -> m.Items:
        """A student's requests to amend, with the decisions."""
        found = await services.store.read(lambda c: amendments.of_student(c, student_id))
        call.discloses([student_id], fields=("amendments",), rows=len(found))
        return m.Items(items=found)

    @pages.post("/students/<student_id>/amendments/<amendment_id>/decision")
    @operation("compliance.read", of=_STUDENT, body=m.AmendmentDecision, answers=m.Item, problems=(409,))
    async def decide_amendment(call: Call, student_id: str, amendment_id: str, body: m.AmendmentDecision) -> m.Item:
        """Accept, which makes a new version of the record, or refuse, which is told with the right to a hearing."""
        new: dict[str, Any] = body.model_dump(include={"accept", "status", "code"}) | {"words": body.decision}
        new |= {"student_id": student_id, "amendment_id": amendment_id, "act": fresh_id()}
        row = await decided(
            services,
            lambda tx: amendments.decide(tx, services, **new),
            student_id=student_id,
            subject_id=amendment_id,
        )
        return _shown(call, student_id, row, "amendments")


def _add_hearings(pages: Blueprint, rights: Rights, access: Access) -> None:
    services, settings = rights.services, rights.settings

    @pages.post("/students/<student_id>/amendments/<amendment_id>/hearing")
    @operation("compliance.family", of=_STUDENT, body=m.NewHearing, answers={201: m.Item}, problems=(409,))
    async def ask_for_hearing(call: Call, student_id: str, amendment_id: str, body: m.NewHearing) -> tuple[m.Item, int]:
        """Ask for a hearing on a request that was refused."""
        new: dict[str, Any] = {"hearing_id": fresh_id(), "student_id": student_id, "amendment_id": amendment_id}
        new |= {"asked_by": _asker(call, body.asked_by), "asked_on": call.today(), "days": settings.hearing_days}

        def unit(tx: Transaction) -> Row:
            check_may_decide(tx, access, call, student_id)
            return hearings.ask(tx, **new)

        row = await decided(services, unit, student_id=student_id, subject_id=amendment_id)
        return _shown(call, student_id, row, "hearings"), 201

    @pages.get("/students/<student_id>/hearings")
    @operation("compliance.family", of=_STUDENT, answers=m.Items)
    async def list_hearings(call: Call, student_id: str) -> m.Items:
        """A student's hearings and what became of them."""
        found = await services.store.read(lambda c: hearings.of_student(c, student_id))
        call.discloses([student_id], fields=("hearings",), rows=len(found))
        return m.Items(items=found)

    @pages.post("/students/<student_id>/hearings/<hearing_id>/notice")
    @operation("compliance.read", of=_STUDENT, body=m.HearingNotice, answers=m.Item, problems=(409,))
    async def give_notice(call: Call, student_id: str, hearing_id: str, body: m.HearingNotice) -> m.Item:
        """Set the day and the place, and tell the family."""
        about = {"student_id": student_id, "hearing_id": hearing_id, **body.model_dump()}
        row = await decided(
            services, lambda tx: hearings.give_notice(tx, **about), student_id=student_id, subject_id=hearing_id
        )
        return _shown(call, student_id, row, "hearings")

    @pages.post("/students/<student_id>/hearings/<hearing_id>/decision")
    @operation("compliance.read", of=_STUDENT, body=m.HearingRecord, answers=m.Item, problems=(409,))
    async def decide_hearing(call: Call, student_id: str, hearing_id: str, body: m.HearingRecord) -> m.Item:
        """Keep the whole record of the hearing and its written decision, and tell the family."""
        record = body.model_dump(include=set(hearings.RECORD))
        new: dict[str, Any] = body.model_dump(include={"officer_id", "status", "code"}) | {"record": record}
        new |= {"student_id": student_id, "hearing_id": hearing_id, "act": fresh_id()}
        row = await decided(
            services, lambda tx: hearings.decide(tx, services, **new), student_id=student_id, subject_id=hearing_id
        )
        return _shown(call, student_id, row, "hearings")

    @pages.post("/students/<student_id>/hearings/<hearing_id>/statement")
    @operation("compliance.family", of=_STUDENT, body=m.NewStatement, answers={201: m.Item}, problems=(409,))
    async def add_statement(call: Call, student_id: str, hearing_id: str, body: m.NewStatement) -> tuple[m.Item, int]:
        """Add a statement to a record that a hearing has left as it was; it goes with the record from now on."""
        new = {"statement_id": fresh_id(), "student_id": student_id, "hearing_id": hearing_id}
        new |= {"text": body.text, "by": call.me.subject}

        def unit(tx: Transaction) -> Row:
            check_may_decide(tx, access, call, student_id)
            return hearings.add_statement(tx, services, **new)

        row = await decided(services, unit, student_id=student_id, subject_id=hearing_id)
        return _shown(call, student_id, row, "statements"), 201

    @pages.get("/students/<student_id>/statements")
    @operation("compliance.family", of=_STUDENT, answers=m.Items)
    async def list_statements(call: Call, student_id: str) -> m.Items:
        """The statements that go with a student's records."""
        found = await services.store.read(lambda c: hearings.statements_of(c, student_id))
        call.discloses([student_id], fields=("statements",), rows=len(found))
        return m.Items(items=found)


def _add_letters(pages: Blueprint, rights: Rights) -> None:
    services = rights.services

    @pages.get("/students/<student_id>/letters")
    @operation("compliance.family", of=_STUDENT, answers=m.Items)
    async def list_letters(call: Call, student_id: str) -> m.Items:
        """What was written to the caller about a student; the office sees all letters."""
        own = None if call.me.has("school_admin", "district_admin") else call.me.subject
        found = await services.store.read(lambda c: letters.letters_of(c, student_id, recipient_id=own))
        call.discloses([student_id], fields=("letters",), rows=len(found))
        return m.Items(items=found)

    @pages.post("/students/<student_id>/letters/<letter_id>/sent")
    @operation("compliance.read", of=_STUDENT, body=m.Sent, answers=m.Item)
    async def mark_sent(call: Call, student_id: str, letter_id: str, body: m.Sent) -> m.Item:
        """Note that a letter went out, and how."""
        row = await services.store.submit(lambda tx: letters.sent(tx, student_id, letter_id, body.how))
        return _shown(call, student_id, row, "letters")

    @pages.get("/tasks")
    @operation("compliance.read", of=Target(school_id="query.school_id"), query=m.TaskQuery, answers=m.Items)
    async def list_tasks(call: Call, query: m.TaskQuery) -> m.Items:
        """What waits for a decision, an answer or a stamp, the most urgent first, with its due date."""
        return await _waiting(call, rights, query.school_id)

    for name in ("inspection", "amendment", "hearing"):
        _add_queue(pages, rights, name)


def _add_queue(pages: Blueprint, rights: Rights, kind: str) -> None:
    @operation("compliance.read", of=Target(school_id="query.school_id"), query=m.TaskQuery, answers=m.Items)
    async def queue(call: Call, query: m.TaskQuery) -> m.Items:
        """What of this kind is open, the most urgent first."""
        return await _waiting(call, rights, query.school_id, lambda row: row["kind"] == kind)

    pages.add_url_rule(f"/{kind}s", endpoint=f"{kind}_queue", view_func=queue, methods=["GET"])


async def _waiting(
    call: Call, rights: Rights, school_id: str | None, wanted: Callable[[dict[str, Any]], bool] = lambda _row: True
) -> m.Items:
    if school_id is None and not call.me.has("district_admin"):
        raise Refused(403, "not-allowed", "Name your school: the district's list is for its administrators.")
    found = [row for row in await rights.services.store.read(lambda c: rights.tasks(c, school_id)) if wanted(row)]
    students = {row["student_id"] for row in found if row.get("student_id")}
    call.discloses(students, fields=("compliance",), rows=len(found))
    return m.Items(items=found)
