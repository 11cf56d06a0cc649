"""The routes of consents: complete or refused with the field, signed by whoever holds the rights."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import ValidationError
from quart import Blueprint

from homeroom import Call, Connection, FieldError, Invalid, Refused, Target, Transaction, operation
from homeroom_ferpa.access import consents, facts, ledger
from homeroom_ferpa.access import shapes as s
from homeroom_ferpa.access.part import Access
from homeroom_ferpa.access.records import decided, expected_version, new_id
from homeroom_ferpa.access.shown import page_of, shown

_OF_QUERY = Target(student_id="query.student_id")
_DECIDED_HERE = ("person", "plugin", "key")
_NOT_YOURS = "Only a parent who holds the rights, the student once they have passed, or your office may decide this."


def add_routes(pages: Blueprint, access: Access) -> None:
    """Hang the routes of consents below the plugin's prefix."""
    _giving(pages, access)
    _reading(pages, access)


def _giving(pages: Blueprint, access: Access) -> None:
    @pages.post("/consents")
    @operation(
        "compliance.family", of=Target(student_id="body.student_id"), body=s.ConsentAsked, answers={201: s.ConsentOut}
    )
    async def give_consent(call: Call, body: s.ConsentAsked) -> tuple[s.ConsentOut, int]:
        """Put a consent on file; one that lacks anything §99.30 asks for is refused, and that is kept."""
        try:
            return await give(call, _whole(body)), 201
        except Invalid as refusal:
            data = {"problem": "consent", "fields": [error.field for error in refusal.errors]}
            await call.write(lambda tx: tx.journal("compliance.refused", student_id=body.student_id, data=data))
            raise

    async def give(call: Call, body: s.ConsentIn) -> s.ConsentOut:
        _check(access, call, body)
        session = call.me.session_id or ""
        one = consents.Signed(
            id=new_id(),
            student_id=body.student_id,
            party=body.party,
            records=tuple(dict.fromkeys(body.records)),
            purpose=body.purpose,
            signed_by=body.signed_by,
            signed_on=body.signed_on,
            authenticated=f"session:{session}" if body.authenticated == "session" else body.authenticated,
            text=body.text,
            ends_on=body.ends_on,
            recorded_by=call.subject,
        )

        def unit(tx: Transaction) -> s.ConsentOut:
            if not _holds(tx, access, body.signed_by, body.student_id):
                raise _invalid("signed_by", "holds no rights to this student's records, so cannot consent")
            consents.add(tx, one)
            return next(_consent(found) for found in consents.of_student(tx, one.student_id) if found.id == one.id)

        return await call.write(unit)

    @pages.delete("/consents/<consent_id>")
    @operation("compliance.family", of=_OF_QUERY, query=s.StudentQuery, answers={204: None}, problems=(412, 428))
    async def revoke_consent(call: Call, consent_id: str, query: s.StudentQuery) -> tuple[None, int]:
        """Revoke a consent: the next disclosure does not find it, nor does a message that still waits."""
        expected = expected_version()

        def unit(tx: Transaction) -> None:
            check_may_decide(tx, access, call, query.student_id)
            consents.revoke(tx, consent_id, query.student_id, expected, by=call.subject)

        await decided(call, unit, student_id=query.student_id, subject_id=consent_id)
        return None, 204


def _reading(pages: Blueprint, access: Access) -> None:
    @pages.get("/consents")
    @operation("compliance.family", of=_OF_QUERY, query=s.StudentQuery, answers=s.ConsentsOut)
    async def list_consents(call: Call, query: s.StudentQuery) -> s.ConsentsOut:
        """Every consent that was given for a student, the revoked ones too."""

        def read(connection: Connection) -> list[consents.Signed]:
            check_may_decide(connection, access, call, query.student_id)
            return consents.of_student(connection, query.student_id)

        found = await call.read(read)
        if found:
            call.discloses([query.student_id], fields=("consent",), rows=len(found))
        return s.ConsentsOut(items=[_consent(one) for one in found])

    @pages.get("/consents/<consent_id>/disclosures")
    @operation("compliance.family", of=_OF_QUERY, query=s.LedgerPageQuery, answers=s.LedgerOut)
    async def disclosed_under(call: Call, consent_id: str, query: s.LedgerPageQuery) -> s.LedgerOut:
        """A copy of what was disclosed under a consent (§99.30(c))."""
        page = page_of(query, everything=True, consent_id=consent_id)

        def read(connection: Connection) -> list[ledger.Shown]:
            check_may_decide(connection, access, call, query.student_id)
            return page(connection)

        return shown(call, query, await call.read(read))


def check_may_decide(connection: Connection, access: Access, call: Call, student_id: str) -> None:
    """Raise Refused 403 unless the caller may decide for the student."""
    if not may_decide(connection, access, call, student_id):
        raise Refused(403, "not-allowed", _NOT_YOURS)


def may_decide(connection: Connection, access: Access, call: Call, student_id: str) -> bool:
    """Whether the caller holds the student's rights, or reaches the student as an office."""
    me = call.me
    if me.has("district_admin"):
        return True
    if not (me.subject == student_id or facts.is_guardian(connection, me.subject, student_id)):
        return True  # the core's rule has found the student in the office's reach
    return _holds(connection, access, me.subject, student_id) or _as_office(connection, access, call, student_id)


def _as_office(connection: Connection, access: Access, call: Call, student_id: str) -> bool:
    if not call.me.has("school_admin"):
        return False
    known = facts.children(
        connection, call.me.subject, access.services.today(), also=student_id, staff=True, by_age=True
    )
    return student_id in known and known[student_id].as_staff


def _holds(connection: Connection, access: Access, person_id: str, student_id: str) -> bool:
    by_age = access.settings.adult_rights
    return facts.holds_rights(connection, person_id, student_id, access.services.today(), by_age=by_age)


def _whole(asked: s.ConsentAsked) -> s.ConsentIn:
    """The consent, with everything that it needs. Raises Invalid with each field that is missing or wrong."""
    try:
        return s.ConsentIn.model_validate(asked.model_dump(exclude_none=True))
    except ValidationError as exc:
        raise Invalid.of(exc) from None


def _check(access: Access, call: Call, body: s.ConsentIn) -> None:
    """What can be said of a consent without looking anything up."""
    today = access.services.today()
    if body.signed_on > today:
        raise _invalid("signed_on", "is in the future")
    if body.ends_on is not None and body.ends_on <= today:
        raise _invalid("ends_on", "must be in the future")
    if body.party.partition(":")[0] in _DECIDED_HERE and body.purpose not in access.settings.purposes:
        raise _invalid("purpose", "is not among those that the district has named")
    is_signer = body.signed_by == call.subject
    if is_signer != (body.authenticated == "session"):
        raise _invalid("authenticated", "`session` is for the signer's own request, and for no other")
    if not is_signer and not call.me.has("school_admin", "district_admin"):
        raise _invalid("signed_by", "must be you; your office can record what others have signed")


def _invalid(field: str, message: str) -> Invalid:
    return Invalid([FieldError(field=field, message=message)])


def _consent(one: consents.Signed) -> s.ConsentOut:
    return s.ConsentOut(**{**asdict(one), "records": list(one.records)})
