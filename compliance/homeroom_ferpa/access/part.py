"""Access as the plugin's hooks call it: the decision, the entries of what API keys read, and the journal's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

from homeroom import AccessRequest, Connection, Decision, Event, Finding, Outcome, Services, Transaction
from homeroom_ferpa.access import decisions, facts, ledger
from homeroom_ferpa.access.records import new_id, text_of
from homeroom_ferpa.access.settings import AccessSettings

_NOBODYS = frozenset(
    {"account.self", "codes.read", "codes.edit", "monitor", "plugins.manage", "sync.manage", "users.manage"}
)
"""Actions that show no student's record."""

_ON_THE_GROUNDS = "emergency.account"
"""Only those may do it who work at the school, and as such they reach everybody there, their own children too."""

_EXPORT = "data.exported"
_NO_EXPORT = (
    "This party is not on file as a school official for all records. Put it on file (POST "
    "/api/v1/compliance/officials, recipient party:CODE, categories all) and export --to party:CODE, or state the "
    "ground with --ground: it stands in every student's record of disclosures."
)
_LATELY = timedelta(days=30)
_EXPORTED = "See that an agreement or another ground covers each (the record of disclosures names the party)."
_STOPS = ", so it is handed nothing."
_GOES_ON = (
    ". Attendance goes on to it for as long as [sync] attendance_out names it, and stands in the §99.32 record as "
    "without a ground."
)
_RENEW = "End its entry under /api/v1/compliance/officials and record the new agreement."


class Access:
    """Who may see whose records beyond the core's own rule."""

    def __init__(self, services: Services, settings: AccessSettings) -> None:
        self.services = services
        self.settings = settings

    async def authorize(self, request: AccessRequest) -> Decision:
        """Yes or no, on which ground and why; at most one query, and none for staff and students.

        A message is asked about twice over: whether its recipient may be told, and whether the channel's plugin may
        carry it.
        """
        if request.purpose not in self.settings.purposes:
            return decisions.wrong_purpose()
        if request.action == _EXPORT:
            return await self._export(request)
        carried = await self._carried(request) if request.recipient is not None else None
        if carried is not None and (not carried.allow or request.action != "guardian.notify"):
            return carried
        if request.identity is None:
            return decisions.nobody()
        return await self._person(request)

    async def enter(self, request: AccessRequest, outcome: Outcome) -> None:
        """Enter in the record of disclosures what an API key is about to be shown, or was refused for want of a ground.

        So is what a parent is shown of an adult student, by consent or on an exception. Committed when this returns.
        """
        identity = request.identity
        if identity is None or not outcome.student_ids:
            return
        if identity.kind == "service":
            await self._key(request, outcome, identity.subject)
        elif outcome.allowed and (grounds := decisions.rested_on(outcome.basis)):
            await self._parent(request, outcome, identity.subject, grounds)

    async def _key(self, request: AccessRequest, outcome: Outcome, subject: str) -> None:
        if not (outcome.allowed or outcome.basis == decisions.NO_GROUND):
            return  # the core's own rule knows of no such student
        entry_id, basis = new_id(), (outcome.basis if outcome.allowed else None) or ledger.UNRECORDED

        def unit(tx: Transaction) -> None:
            entry = ledger.Entry(
                id=entry_id,
                at=text_of(tx.now),
                party=f"key:{subject}",
                kind="disclosure" if outcome.allowed else "request",
                interest=request.action,
                basis=basis,
                exempt=ledger.exempt_by(basis),
                fields=outcome.fields,
                students=tuple(outcome.student_ids),
                consent_id=ledger.consent_of(basis),
                notice=outcome.allowed,
                actor_id=subject,
                request_id=request.request_id,
            )
            ledger.enter(tx, entry)

        await self.services.store.submit(unit)

    async def _parent(self, request: AccessRequest, outcome: Outcome, subject: str, grounds: Sequence[str]) -> None:
        ids = [new_id() for _ in grounds]

        def unit(tx: Transaction) -> None:
            for entry_id, ground in zip(ids, grounds, strict=True):
                about = ledger.Entry(
                    id=entry_id,
                    at=text_of(tx.now),
                    party=f"person:{subject}",
                    interest=request.action,
                    basis=ground,
                    fields=outcome.fields,
                    actor_id=subject,
                    request_id=request.request_id,
                )
                entry = ledger.shown_to(tx, about, ground, outcome.student_ids)
                if entry is not None:
                    ledger.enter(tx, entry)

        await self.services.store.submit(unit)

    async def consume(self, events: Sequence[Event]) -> None:
        """Enter in the record of disclosures what the journal says was disclosed; each event once."""
        told = [event for event in events if event.kind in ledger.KINDS]
        if told:
            inside, by_age = self.settings.inside, self.settings.adult_rights
            zone = self.services.time_zone
            unit = partial(ledger.take, events=told, inside=inside, zone=zone, by_age=by_age)
            await self.services.store.submit(unit)

    async def findings(self) -> tuple[Finding, ...]:
        """What the office should look at: agreements that have ended, and disclosures without a ground on file."""
        ended, bare, exports = await self.services.store.read(partial(_to_look_at, today=self.services.today()))
        found = [
            Finding(problem=f"The agreement with {recipient} has ended{_GOES_ON if goes_on else _STOPS}", fix=_RENEW)
            for recipient, goes_on in ended
        ]
        if bare:
            problem = f"{bare} disclosures of the last month are on record for which there is no ground on file."
            found.append(Finding(problem=problem, fix="Put each recipient on file as a school official, or stop it."))
        if exports:
            problem = (
                f"{exports} exports of the whole district in the last month went to a party without a ground on file."
            )
            found.append(Finding(problem=problem, fix=_EXPORTED))
        return tuple(found)

    async def _carried(self, request: AccessRequest) -> Decision:
        """Whether a plugin may be handed this."""
        if request.recipient in self.settings.inside:
            return Decision(allow=True, basis=decisions.STAFF)
        return await self._party(request, f"plugin:{request.recipient}")

    async def _export(self, request: AccessRequest) -> Decision:
        """Whether the whole district may be written out for somebody: one who is on file for all records."""
        name = request.recipient or ""
        decision = await self._party(request, name if ":" in name else f"party:{name}")
        return decision if decision.allow else replace(decision, reason=_NO_EXPORT)

    async def _party(self, request: AccessRequest, name: str) -> Decision:
        by_age = self.settings.adult_rights
        query = partial(facts.party, name=name, today=self.services.today(), by_age=by_age)
        on_file = await self.services.store.read(query)
        return decisions.for_party(request, on_file, self.settings.notice)

    async def _person(self, request: AccessRequest) -> Decision:
        identity = request.identity
        assert identity is not None  # noqa: S101 - the caller has looked
        if request.action in _NOBODYS and not request.student_ids:
            return Decision(allow=True)
        if identity.kind == "service":
            return await self._party(request, f"key:{identity.subject}")
        is_message = request.action == "guardian.notify" and not identity.roles
        if request.student_ids == {identity.subject}:
            return Decision(allow=True, basis=decisions.OWN, lasting=True)
        if not is_message and not identity.has("guardian"):
            return Decision(allow=True, basis=decisions.OWN if identity.has("student") else decisions.STAFF)
        query = partial(
            facts.children,
            guardian_id=identity.subject,
            today=self.services.today(),
            also=next(iter(request.student_ids), None) if is_message else None,
            staff=identity.has("teacher", "school_admin"),
            by_age=self.settings.adult_rights,
        )
        children = await self.services.store.read(query)
        everywhere = identity.has("district_admin") or request.action == _ON_THE_GROUNDS
        return decisions.for_family(request, children, everywhere=everywhere)


def _to_look_at(connection: Connection, today: date) -> tuple[list[tuple[str, bool]], int, int]:
    """The recipients with an agreement that has ended, and whether each writes attendance; and what has no ground."""
    ended = connection.sql(
        "SELECT f.recipient, q.connector FROM ferpa_officials f "
        "LEFT JOIN outgoing_queues q ON 'plugin:' || q.connector = f.recipient "
        "WHERE f.ended_at IS NULL AND f.ends_on <= ? ORDER BY f.recipient",
        (today.isoformat(),),
    )
    bare = connection.sql(
        "SELECT whole_district, count(*) FROM ferpa_ledger WHERE basis = ? AND kind = 'disclosure' AND at >= ? "
        "GROUP BY whole_district",
        (ledger.UNRECORDED, (today - _LATELY).isoformat()),
    )
    counted = {int(whole): int(count) for whole, count in bare}
    return [(row[0], row[1] is not None) for row in ended], counted.get(0, 0), counted.get(1, 0)
