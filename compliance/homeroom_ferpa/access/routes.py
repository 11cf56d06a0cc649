"""The routes of access: what is on file, who decides it, and what two people who decide at once are told."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import date
from functools import partial
from typing import Any

from quart import Blueprint

from homeroom import Call, Connection, FieldError, Invalid, Target, Transaction, operation
from homeroom_ferpa.access import directory, facts, ledger, officials, routes_consents, routes_ledger, standings
from homeroom_ferpa.access import shapes as s
from homeroom_ferpa.access.part import Access
from homeroom_ferpa.access.records import decided, expected_version, new_id, text_of
from homeroom_ferpa.access.standings import Standing

_EXCEPTIONS: tuple[standings.Kind, ...] = ("dependent", "emergency", "postsecondary")
_OF_QUERY = Target(student_id="query.student_id")
_OF_BODY = Target(student_id="body.student_id")


def add_routes(pages: Blueprint, access: Access) -> None:
    """Hang every route of access below the plugin's prefix."""
    _orders(pages, access)
    _exceptions(pages, access)
    _officials(pages, access)
    _directory(pages, access)
    _opt_outs(pages, access)
    routes_consents.add_routes(pages, access)
    routes_ledger.add_routes(pages, access)


def invalid(field: str, message: str) -> Invalid:
    """The refusal of one field."""
    return Invalid([FieldError(field=field, message=message)])


def _orders(pages: Blueprint, access: Access) -> None:
    @pages.post("/orders")
    @operation("compliance.manage", of=_OF_BODY, body=s.OrderIn, answers={201: s.StandingOut}, problems=(409,))
    async def add_order(call: Call, body: s.OrderIn) -> tuple[s.StandingOut, int]:
        """Put a court order on file: it keeps that parent out from this moment."""
        today = access.services.today()
        begins_on = _days(body.begins_on, body.ends_on, today)
        one = Standing(
            id=new_id(),
            kind="order",
            student_id=body.student_id,
            party_id=body.guardian_id,
            reference=body.document,
            begins_on=begins_on,
            ends_on=body.ends_on,
            recorded_by=call.subject,
        )

        def unit(tx: Transaction) -> s.StandingOut:
            _check_guardians(tx, body.student_id, [body.guardian_id], "guardian_id")
            standings.add(tx, one, today=today)
            return _found(tx, one.student_id, ("order",), one.id)

        return await decided(call, unit, student_id=body.student_id), 201

    @pages.get("/orders")
    @operation("compliance.read", of=_OF_QUERY, query=s.StudentQuery, answers=s.StandingsOut)
    async def list_orders(call: Call, query: s.StudentQuery) -> s.StandingsOut:
        """The orders on file of a student, the ended ones too."""
        return await _listed(call, query.student_id, ("order",))

    @pages.delete("/orders/<order_id>")
    @operation("compliance.manage", of=_OF_QUERY, query=s.StudentQuery, answers={204: None}, problems=(412, 428))
    async def lift_order(call: Call, order_id: str, query: s.StudentQuery) -> tuple[None, int]:
        """End an order, as of now; the entry stays."""
        unit = partial(
            standings.lift,
            key=order_id,
            student_id=query.student_id,
            version=expected_version(),
            kinds=("order",),
            by=call.subject,
        )
        await decided(call, unit, student_id=query.student_id, subject_id=order_id)
        return None, 204


def _exceptions(pages: Blueprint, access: Access) -> None:
    @pages.post("/exceptions")
    @operation("compliance.manage", of=_OF_BODY, body=s.ExceptionIn, answers={201: s.StandingsOut}, problems=(409,))
    async def add_exception(call: Call, body: s.ExceptionIn) -> tuple[s.StandingsOut, int]:
        """Put an exception on file; an emergency's parties are entered in the record of disclosures at once."""
        _check_exception(body)
        today = access.services.today()
        begins_on = _days(body.begins_on, body.ends_on, today)
        parties = [] if body.kind == "postsecondary" else list(dict.fromkeys(body.parties))
        some = [
            Standing(
                id=new_id(),
                kind=body.kind,
                student_id=body.student_id,
                party_id=party,
                reference=body.document,
                threat=body.threat,
                begins_on=begins_on,
                ends_on=body.ends_on,
                recorded_by=call.subject,
            )
            for party in parties or [""]
        ]

        def unit(tx: Transaction) -> s.StandingsOut:
            if body.kind == "dependent":
                _check_guardians(tx, body.student_id, parties, "parties")
            for one in some:
                standings.add(tx, one, today=today)
                if one.kind == "emergency":
                    ledger.enter(tx, _emergency(tx, one, body.records))
            return s.StandingsOut(items=[_found(tx, one.student_id, _EXCEPTIONS, one.id) for one in some])

        return await decided(call, unit, student_id=body.student_id), 201

    @pages.get("/exceptions")
    @operation("compliance.read", of=_OF_QUERY, query=s.StudentQuery, answers=s.StandingsOut)
    async def list_exceptions(call: Call, query: s.StudentQuery) -> s.StandingsOut:
        """The exceptions on file of a student, the ended ones too."""
        return await _listed(call, query.student_id, _EXCEPTIONS)

    @pages.delete("/exceptions/<exception_id>")
    @operation("compliance.manage", of=_OF_QUERY, query=s.StudentQuery, answers={204: None}, problems=(412, 428))
    async def end_exception(call: Call, exception_id: str, query: s.StudentQuery) -> tuple[None, int]:
        """End an exception, as of now; the entry stays."""
        unit = partial(
            standings.lift,
            key=exception_id,
            student_id=query.student_id,
            version=expected_version(),
            kinds=_EXCEPTIONS,
            by=call.subject,
        )
        await decided(call, unit, student_id=query.student_id, subject_id=exception_id)
        return None, 204


def _officials(pages: Blueprint, access: Access) -> None:
    @pages.post("/officials")
    @operation("compliance.manage", body=s.OfficialIn, answers={201: s.OfficialOut}, problems=(409,))
    async def add_official(call: Call, body: s.OfficialIn) -> tuple[s.OfficialOut, int]:
        """Put a vendor or system on file as a school official."""
        begins_on = _days(body.begins_on, body.ends_on, access.services.today())
        one = officials.Official(
            **body.model_dump(exclude={"begins_on", "categories"}),
            id=new_id(),
            categories=tuple(dict.fromkeys(body.categories)),
            begins_on=begins_on,
            recorded_by=call.subject,
        )

        def unit(tx: Transaction) -> s.OfficialOut:
            officials.add(tx, one)
            return next(_official(found) for found in officials.listed(tx) if found.id == one.id)

        return await decided(call, unit), 201

    @pages.get("/officials")
    @operation("compliance.read", answers=s.OfficialsOut)
    async def list_officials(call: Call) -> s.OfficialsOut:
        """The register of school officials outside the school, the ended entries too."""
        return s.OfficialsOut(items=[_official(one) for one in await call.read(officials.listed)])

    @pages.delete("/officials/<official_id>")
    @operation("compliance.manage", answers={204: None}, problems=(412, 428))
    async def end_official(call: Call, official_id: str) -> tuple[None, int]:
        """Let a vendor be a school official no more, as of now."""
        unit = partial(officials.remove, key=official_id, version=expected_version(), by=call.subject)
        await decided(call, unit, subject_id=official_id)
        return None, 204


def _directory(pages: Blueprint, access: Access) -> None:
    @pages.get("/directory")
    @operation("compliance.read", answers=s.PolicyOut)
    async def read_directory(call: Call) -> s.PolicyOut:
        """What the district has designated as directory information."""
        return _policy(await call.read(directory.current))

    @pages.post("/directory")
    @operation("compliance.manage", body=s.PolicyIn, answers=s.PolicyOut, problems=(412, 428))
    async def decide_directory(call: Call, body: s.PolicyIn) -> s.PolicyOut:
        """Put a policy in force in place of the version that `If-Match` names (`"0"`: there is none yet)."""
        if problem := directory.check_item(body.items, student_id_opens_nothing=body.student_id_opens_nothing):
            raise invalid("items", problem)
        if body.opt_out_until is not None and (body.notice_on is None or body.opt_out_until <= body.notice_on):
            raise invalid("opt_out_until", "must be after the day of the public notice, which must be given, too")
        policy = directory.Policy(
            items=tuple(dict.fromkeys(body.items)),
            parties=tuple(body.parties) if body.parties is not None else None,
            purposes=tuple(body.purposes) if body.purposes is not None else None,
            notice_on=body.notice_on,
            opt_out_until=body.opt_out_until,
        )
        unit = partial(directory.decide, policy=policy, expected=expected_version(), by=call.subject)
        return _policy(await decided(call, unit))

    @pages.delete("/directory")
    @operation("compliance.manage", answers=s.PolicyOut, problems=(412, 428))
    async def close_directory(call: Call) -> s.PolicyOut:
        """Designate nothing any more."""
        unit = partial(directory.decide, policy=directory.Policy(), expected=expected_version(), by=call.subject)
        return _policy(await decided(call, unit))

    @pages.post("/directory/releases")
    @operation(
        "compliance.read",
        of=Target(school_id="body.school_id"),
        body=s.ReleaseIn,
        answers=s.ReleaseOut,
        problems=(403,),
    )
    async def release_directory(call: Call, body: s.ReleaseIn) -> s.ReleaseOut:
        """Directory information of the next students, for a party that the policy allows; it is entered first."""
        if body.school_id is None and not call.me.has("district_admin"):
            raise invalid("school_id", "name one of your schools")
        entry_id, today = new_id(), access.services.today()

        def unit(tx: Transaction) -> list[dict[str, Any]]:
            policy = directory.current(tx)
            if reason := policy.refusal(body.party, body.purpose, today):
                raise directory.refused(reason)
            found = directory.page(tx, policy, school_id=body.school_id, after=body.after, limit=body.limit)
            ids = tuple(one["id"] for one in found)
            entry = ledger.Entry(
                id=entry_id,
                at=text_of(tx.now),
                party=f"party:{body.party}",
                interest=body.purpose,
                basis="99.37",
                exempt=ledger.DIRECTORY,
                fields=policy.items,
                students=ids,
                actor_id=call.subject,
                request_id=call.request_id,
            )
            ledger.enter(tx, entry)
            tx.journal("compliance.directory_released", subject_id=entry_id, data={"students": len(ids)})
            return found

        found = await call.write(unit)
        fields = sorted({name for one in found for name in one} - {"id"})
        call.discloses([one["id"] for one in found], fields=fields, rows=len(found))
        return s.ReleaseOut(items=[s.DirectoryEntry(**one) for one in found])


def _opt_outs(pages: Blueprint, access: Access) -> None:
    @pages.post("/opt-outs")
    @operation("compliance.family", of=_OF_BODY, body=s.OptOutIn, answers={201: s.OptOutOut})
    async def opt_out(call: Call, body: s.OptOutIn) -> tuple[s.OptOutOut, int]:
        """Keep a student out of every directory output, from now on and after they have left."""

        def unit(tx: Transaction) -> int:
            routes_consents.check_may_decide(tx, access, call, body.student_id)
            return directory.opt_out(tx, body.student_id, by=call.subject)

        version = await call.write(unit)
        return s.OptOutOut(student_id=body.student_id, opted_out=True, version=version), 201

    @pages.get("/opt-outs")
    @operation("compliance.family", of=_OF_QUERY, query=s.StudentQuery, answers=s.OptOutOut)
    async def read_opt_out(call: Call, query: s.StudentQuery) -> s.OptOutOut:
        """Whether a student is kept out of the directory."""
        out, version = await call.read(partial(directory.opt_out_of, student_id=query.student_id))
        call.discloses([query.student_id], fields=("opt_out",), rows=1)
        return s.OptOutOut(student_id=query.student_id, opted_out=out, version=version)

    @pages.delete("/opt-outs")
    @operation("compliance.family", of=_OF_QUERY, query=s.StudentQuery, answers={204: None}, problems=(412, 428))
    async def withdraw_opt_out(call: Call, query: s.StudentQuery) -> tuple[None, int]:
        """Let a student be listed again."""
        expected = expected_version()

        def unit(tx: Transaction) -> None:
            routes_consents.check_may_decide(tx, access, call, query.student_id)
            directory.withdraw(tx, query.student_id, expected, by=call.subject)

        await decided(call, unit, student_id=query.student_id)
        return None, 204


def _check_exception(body: s.ExceptionIn) -> None:
    if body.kind == "emergency" and body.threat is None:
        raise invalid("threat", "say what endangers health or safety (§99.36)")
    if body.kind == "emergency" and not body.parties:
        raise invalid("parties", "name to whom it is disclosed")
    if body.kind != "emergency" and body.threat is not None:
        raise invalid("threat", "belongs to an emergency")


def _check_guardians(connection: Connection, student_id: str, people: Collection[str], field: str) -> None:
    for person in people:
        if not facts.is_guardian(connection, person, student_id):
            raise invalid(field, "this is no guardian of the student")


def _days(begins_on: date | None, ends_on: date | None, today: date) -> date:
    begins = begins_on or today
    if ends_on is not None and ends_on <= begins:
        raise invalid("ends_on", "must be after the first day")
    return begins


def _emergency(tx: Transaction, one: Standing, records: list[s.Records]) -> ledger.Entry:
    guardian = facts.is_guardian(tx, one.party_id, one.student_id)
    return ledger.Entry(
        id=f"emergency-{one.id}",
        at=text_of(tx.now),
        party=f"person:{one.party_id}" if guardian else one.party_id,
        interest="health or safety emergency",
        basis=f"99.31(a)(10):{one.id}",
        fields=tuple(records),
        students=(one.student_id,),
        standing_id=one.id,
        notice=not guardian,
        actor_id=one.recorded_by,
    )


async def _listed(call: Call, student_id: str, kinds: tuple[standings.Kind, ...]) -> s.StandingsOut:
    found = await call.read(partial(standings.of_student, student_id=student_id, kinds=kinds))
    if found:
        call.discloses([student_id], fields=("standing",), rows=len(found))
    return s.StandingsOut(items=[_standing(one) for one in found])


def _found(tx: Transaction, student_id: str, kinds: tuple[standings.Kind, ...], key: str) -> s.StandingOut:
    return next(_standing(one) for one in standings.of_student(tx, student_id, kinds) if one.id == key)


def _standing(one: Standing) -> s.StandingOut:
    values = asdict(one)
    party, document = values.pop("party_id"), values.pop("reference")
    return s.StandingOut(**values, party=party or None, document=document)


def _official(one: officials.Official) -> s.OfficialOut:
    return s.OfficialOut(**{**asdict(one), "categories": list(one.categories)})


def _policy(one: directory.Policy) -> s.PolicyOut:
    values = asdict(one)
    lists = {
        name: list(values[name]) if values[name] is not None else None for name in ("items", "parties", "purposes")
    }
    return s.PolicyOut(**{**values, **lists})
