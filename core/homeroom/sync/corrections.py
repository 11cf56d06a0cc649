"""What was corrected here and the source does not have yet: for the registrar, who enters it there by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast

import orjson
from peewee import ModelSelect

from homeroom.records import NOUNS, Noun
from homeroom.store import Connection, iso
from homeroom.store.bulk import select_in
from homeroom.store.models import Enrollment, LocalEdit, SyncConflict
from homeroom.sync.conflicts import about
from homeroom.sync.content import CONTACTS
from homeroom.sync.job import UNIT
from homeroom.sync.links import SEALED
from homeroom.sync.mapping import MAPPINGS, ROLES, Mapping, Row
from homeroom.sync.policy import as_text
from homeroom.sync.remembered import ENDED

ADDED = "added"
"""The field of an enrolment that was made here, for a student and a class of the source."""

_LISTS = ("roles", "agents", "terms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One field that holds here what somebody here entered, and something else in the source.

    `about` is the person's name, or the class's; `since` and `who` (a person's id) say when and by whom it was changed.
    `field` "ended" is a row that is active on one side only, "added" an enrolment that is not there at all. An address
    is never shown.
    """

    noun: Noun
    row_id: str
    sourced_id: str | None
    field: str
    about: str = dataclasses.field(repr=False)
    ours: str | None = dataclasses.field(repr=False)
    theirs: str | None = dataclasses.field(repr=False)
    since: datetime
    who: str | None

    def as_json(self) -> dict[str, Any]:
        """The shape of the API and of `sync corrections --json`."""
        return {**{one.name: getattr(self, one.name) for one in dataclasses.fields(self)}, "since": iso(self.since)}


def corrections(connection: Connection, connector: str) -> list[Correction]:
    """The corrections that the source does not have yet, the oldest first; open questions are in their own list."""
    found: list[Correction] = []
    for noun in NOUNS:
        query = LocalEdit.select().where(LocalEdit.source == connector, LocalEdit.noun == noun)
        notes = connection.all(query.order_by(LocalEdit.row_id, LocalEdit.field))
        for start in range(0, len(notes), UNIT):
            found += _of(connection, connector, noun, notes[start : start + UNIT])
    found += _kept(connection, connector)
    return sorted(found, key=lambda one: (one.since, one.noun, one.row_id, one.field))


def _of(connection: Connection, connector: str, noun: Noun, notes: Sequence[LocalEdit]) -> Iterator[Correction]:
    mapping = MAPPINGS[noun]
    ids = list({note.row_id for note in notes})
    query: ModelSelect[Any] = mapping.model.select().where(mapping.model.id.in_(ids))
    rows: dict[str, Row] = {row.id: row for row in connection.all(query)}
    sourced = [row.sourced_id for row in rows.values() if row.sourced_id]
    states = select_in(
        connection,
        "SELECT sourced_id, content FROM source_states WHERE source = ? AND noun = ? AND sourced_id IN ({})",
        [connector, noun],
        sourced,
    )
    said = {sourced_id: orjson.loads(content) for sourced_id, content in states if content}
    open_ones = set(
        select_in(
            connection,
            "SELECT row_id, field FROM sync_conflicts WHERE state = 'open' AND noun = ? AND row_id IN ({})",
            [noun],
            ids,
        )
    )
    names = about(connection, [(noun, row_id) for row_id in ids])
    there = _Source(connection=connection, connector=connector, mapping=mapping)
    for note in notes:
        row = rows.get(note.row_id)
        if row is None or (note.row_id, note.field) in open_ones:
            continue
        sides = there.sides(row, note.field, said.get(row.sourced_id or "", {}))
        if sides is not None:
            yield Correction(
                noun=noun,
                row_id=row.id,
                sourced_id=row.sourced_id,
                field=note.field,
                about=names.get((noun, row.id), ""),
                ours=sides[0],
                theirs=sides[1],
                since=note.at,
                who=note.by,
            )


def _apart(ours: Any, theirs: Any) -> tuple[str | None, str | None] | None:
    return None if ours == theirs else (as_text(ours), as_text(theirs))


def _kept(connection: Connection, connector: str) -> list[Correction]:
    """The rows that the source has ended and that a person has kept."""
    query = SyncConflict.select().where(
        SyncConflict.connector == connector,
        SyncConflict.state == "settled",
        SyncConflict.field == ENDED,
        SyncConflict.chosen == "ours",
    )
    rows = [(cast("Noun", row.noun), row) for row in connection.all(query)]
    names = about(connection, [(noun, row.row_id) for noun, row in rows])
    return [
        Correction(
            noun=noun,
            row_id=row.row_id,
            sourced_id=row.sourced_id,
            field=ENDED,
            about=names.get((noun, row.row_id), ""),
            ours="active",
            theirs="ended",
            since=row.changed_at,
            who=row.who,
        )
        for noun, row in rows
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One noun of one source, beside what stands here."""

    connection: Connection
    connector: str
    mapping: Mapping

    def sides(self, row: Row, name: str, said: dict[str, Any]) -> tuple[str | None, str | None] | None:
        """What stands here and what the source says, as texts; None where they agree or it does not matter any more."""
        if name == ADDED:
            return None if row.ended or self._has_it(cast("Enrollment", row)) else ("enrolled", None)
        if name == ENDED or row.ended:
            return ("ended", "active") if name == ENDED and row.ended else None
        if name in CONTACTS:
            return self._addresses(row, name, said.get(name))
        if name in _LISTS:
            return _apart(self._listed(row, name), self._told(name, said))
        return _apart(self._ours(row, name), said.get(name, self.mapping.plain.get(name)))

    def _has_it(self, place: Enrollment) -> bool:
        same = (Enrollment.user_id == place.user_id, Enrollment.class_id == place.class_id)
        query = Enrollment.select(Enrollment.id).where(
            *same, Enrollment.role == place.role, Enrollment.source == self.connector, ~Enrollment.ended
        )
        return self.connection.value(query) is not None

    def _ours(self, row: Row, name: str) -> Any:
        reference = next((one for one in self.mapping.references if one.name == name), None)
        if reference is None:
            value = getattr(row, name)
            return value.isoformat() if isinstance(value, date) else value
        return self._sourced_ids(reference.noun, [getattr(row, reference.column)]).get(getattr(row, reference.column))

    def _sourced_ids(self, noun: Noun, row_ids: Sequence[str | None]) -> dict[str | None, str]:
        text = f"SELECT id, sourced_id FROM {MAPPINGS[noun].table} WHERE id IN ({{}})"  # noqa: S608 - names are ours
        rows = select_in(self.connection, text, (), [row_id for row_id in row_ids if row_id])
        return {row_id: sourced_id or row_id for row_id, sourced_id in rows}

    def _addresses(self, row: Row, kind: str, told: str | None) -> tuple[str | None, str | None] | None:
        query = "SELECT lookup FROM contacts WHERE user_id = ? AND kind = ?"
        ours = {lookup for (lookup,) in self.connection.sql(query, [row.id, kind])}
        if ours == ({told} if told else set()):
            return None
        return (SEALED if ours else None), (SEALED if told else None)

    def _listed(self, row: Row, name: str) -> list[str]:
        """What stands here in a table of its own, in the source's words."""
        queries: dict[str, tuple[str, Noun]] = {
            "agents": ("SELECT guardian_id FROM guardianships WHERE student_id = ? AND NOT ended", "user"),
            "terms": ("SELECT term_id FROM class_terms WHERE class_id = ?", "academicSession"),
        }
        if name in queries:
            query, noun = queries[name]
            ids = [one for (one,) in self.connection.sql(query, [row.id])]
            known = self._sourced_ids(noun, ids)
            return sorted(known.get(one, one) for one in ids)
        given = self.connection.sql("SELECT role, org_id FROM role_assignments WHERE user_id = ?", [row.id])
        held = [(role, org_id) for role, org_id in given if role in ROLES.values()]
        orgs = self._sourced_ids("org", [org_id for _, org_id in held])
        return sorted(f"{role} at {orgs.get(org_id, org_id)}" for role, org_id in held)

    @staticmethod
    def _told(name: str, said: dict[str, Any]) -> list[str]:
        if name != "roles":
            return sorted(said.get(name, ()))
        return sorted({f"{ROLES[role]} at {org}" for role, org, *_ in said.get("roles", ()) if role in ROLES})
