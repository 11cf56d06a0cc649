"""The routes of the record of disclosures: the family reads it, the office adds what leaves on other ways."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from quart import Blueprint

from homeroom import Call, Connection, FieldError, Invalid, Refused, Target, Transaction, operation
from homeroom_ferpa.access import directory, facts, ledger, standings
from homeroom_ferpa.access import shapes as s
from homeroom_ferpa.access.part import Access
from homeroom_ferpa.access.records import missing, new_id, text_of
from homeroom_ferpa.access.routes_consents import check_may_decide
from homeroom_ferpa.access.shown import page_of, shown

_OF_QUERY = Target(student_id="query.student_id")
_REFUSED = "No consent and no exception on file covers this disclosure, so it is refused; the request is on record."


def add_routes(pages: Blueprint, access: Access) -> None:
    """Hang the routes of the record of disclosures below the plugin's prefix."""

    @pages.get("/ledger")
    @operation("compliance.family", of=_OF_QUERY, query=s.LedgerQuery, answers=s.LedgerOut)
    async def read_ledger(call: Call, query: s.LedgerQuery) -> s.LedgerOut:
        """Who has asked for a student's records and who has got them (§99.32)."""
        page = page_of(query, everything=query.everything)

        def read(connection: Connection) -> list[ledger.Shown]:
            check_may_decide(connection, access, call, query.student_id)
            return page(connection)

        return shown(call, query, await call.read(read))

    @pages.post("/ledger/<entry_id>/inquiries")
    @operation("compliance.family", of=_OF_QUERY, query=s.StudentQuery, answers={202: None})
    async def ask_onward(call: Call, entry_id: str, query: s.StudentQuery) -> tuple[None, int]:
        """Ask to whom the party has passed the records on (§99.32(b)); the office obtains it."""

        def unit(tx: Transaction) -> None:
            check_may_decide(tx, access, call, query.student_id)
            if not ledger.concerns(tx, entry_id, query.student_id):
                raise missing()
            ledger.inquire(tx, entry_id)

        await call.write(unit)
        return None, 202

    @pages.post("/ledger/<entry_id>/redisclosures")
    @operation("compliance.manage", body=s.RedisclosuresIn, answers={204: None})
    async def tell_onward(call: Call, entry_id: str, body: s.RedisclosuresIn) -> tuple[None, int]:
        """Keep what the party has told of further disclosures."""
        onward = [ledger.Redisclosure(**one.model_dump()) for one in body.parties]
        await call.write(partial(ledger.tell, entry_id=entry_id, key=new_id(), onward=onward, by=call.subject))
        return None, 204

    @pages.post("/disclosures")
    @operation("compliance.manage", body=s.DisclosureIn, answers={201: s.DisclosureOut}, problems=(403,))
    async def disclose(call: Call, body: s.DisclosureIn) -> tuple[s.DisclosureOut, int]:
        """Judge and enter a disclosure that leaves on another way (a letter, a call); refused without ground."""
        _check(body)
        entry_id, keys = new_id(), [new_id() for _ in body.student_ids]

        def unit(tx: Transaction) -> ledger.Entry | None:
            _check_students(tx, body)
            entry = _Judge(access, tx, body).entry(entry_id, keys, by=call.subject)
            ledger.enter(tx, replace(entry, request_id=call.request_id))
            kind = "compliance.disclosed" if entry.kind == "disclosure" else "compliance.disclosure_refused"
            student = body.student_ids[0] if len(body.student_ids) == 1 else None
            data = {"party": body.party, "students": sorted(set(body.student_ids)), "fields": list(body.fields)}
            tx.journal(kind, student_id=student, subject_id=entry_id, data=data)
            return entry if entry.kind == "disclosure" else None

        entry = await call.write(unit)
        if entry is None:
            raise Refused(403, "no-ground", _REFUSED)
        notice = access.settings.notice if entry.notice else None
        return s.DisclosureOut(id=entry.id, basis=entry.basis, notice=notice), 201


class _Judge:
    """Finds the ground of one disclosure, and makes its entry; without a ground it is a refused request."""

    def __init__(self, access: Access, tx: Transaction, body: s.DisclosureIn) -> None:
        self.access = access
        self.tx = tx
        self.body = body
        self.today = access.services.today()

    def entry(self, entry_id: str, keys: list[str], *, by: str) -> ledger.Entry:
        """The entry, with the ground that was found."""
        body = self.body
        asked = ledger.Entry(
            id=entry_id,
            at=text_of(self.tx.now),
            party=body.party,
            kind="request",
            interest=body.interest,
            basis=ledger.UNRECORDED,
            fields=tuple(body.fields),
            students=tuple(dict.fromkeys(body.student_ids)),
            actor_id=by,
        )
        match body.basis:
            case "emergency":
                return self._emergency(asked, keys, by)
            case "directory":
                return self._directory(asked)
            case "official":
                return self._official(asked)
            case _:
                return self._consent(asked)

    def _on_file(self, name: str) -> facts.Party:
        return facts.party(self.tx, name, self.today, by_age=self.access.settings.adult_rights)

    def _consent(self, asked: ledger.Entry) -> ledger.Entry:
        names = [self.body.party, *([f"class:{self.body.party_class}"] if self.body.party_class else [])]
        on_file = [one for name in names for one in self._on_file(name).consents]
        covering = {one.student_id: one.id for one in on_file if one.covers(self.body.records, self.body.purpose)}
        if not set(asked.students) <= covering.keys():
            return asked
        key = ",".join(sorted({covering[student] for student in asked.students}))
        return self._granted(asked, f"99.30:{key}", ledger.CONSENTED, consent_id=key)

    def _official(self, asked: ledger.Entry) -> ledger.Entry:
        on_file = self._on_file(self.body.party)
        if on_file.official is None or not (
            "all" in on_file.categories or set(self.body.records) <= on_file.categories
        ):
            return asked
        return self._granted(asked, f"99.31(a)(1)(i)(B):{on_file.official}", ledger.OWN)

    def _directory(self, asked: ledger.Entry) -> ledger.Entry:
        policy = directory.current(self.tx)
        party = self.body.party.partition(":")[2]
        closed = policy.refusal(party, self.body.purpose, self.today)
        if closed or directory.opted_out(self.tx, asked.students) or not set(asked.fields) <= set(policy.items):
            return asked
        return replace(self._granted(asked, "99.37", ledger.DIRECTORY), notice=False)

    def _emergency(self, asked: ledger.Entry, keys: list[str], by: str) -> ledger.Entry:
        for key, student_id in zip(keys, asked.students, strict=False):
            one = standings.Standing(
                id=key,
                kind="emergency",
                student_id=student_id,
                party_id=f"{self.body.party}#{asked.id}",  # this disclosure's alone: it opens nothing to anybody
                reference=self.body.document or "",
                threat=self.body.threat,
                begins_on=self.today,
                recorded_by=by,
            )
            standings.add(self.tx, one, today=self.today)
        return self._granted(asked, f"99.31(a)(10):{keys[0]}", None, standing_id=keys[0])

    def _granted(
        self,
        asked: ledger.Entry,
        basis: str,
        exempt: str | None,
        *,
        consent_id: str | None = None,
        standing_id: str | None = None,
    ) -> ledger.Entry:
        text = self.body.disclosed_text
        return replace(
            asked,
            kind="disclosure",
            basis=basis,
            exempt=exempt,
            notice=True,
            consent_id=consent_id,
            standing_id=standing_id,
            copies={asked.students[0]: text} if text is not None else {},
        )


def _check(body: s.DisclosureIn) -> None:
    if body.basis == "emergency" and body.threat is None:
        raise Invalid([FieldError(field="threat", message="say what endangers health or safety (§99.36)")])
    if body.basis == "emergency" and body.document is None:
        raise Invalid([FieldError(field="document", message="say where the emergency is written down")])
    if body.disclosed_text is not None and len(set(body.student_ids)) > 1:
        raise Invalid([FieldError(field="disclosed_text", message="is of one student; send one request for each")])


def _check_students(connection: Connection, body: s.DisclosureIn) -> None:
    wanted = set(body.student_ids)
    marks = ", ".join("?" * len(wanted))
    rows = connection.sql(f"SELECT id FROM users WHERE id IN ({marks})", sorted(wanted))  # noqa: S608 - marks only
    if len(rows) < len(wanted):
        raise Invalid([FieldError(field="student_ids", message="names somebody who is not known")])
