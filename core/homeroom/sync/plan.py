"""What taking over staged rows would change, field by field: the same for a dry run and for the real one.

A field is written when the source has changed it since it was last taken over (`base`), so that an edit made here to
another field stays. Where both sides changed one field, the source's value holds.
"""

from __future__ import annotations

from collections.abc import Mapping as Facts
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import orjson
from peewee import ModelSelect

from homeroom.records import Noun
from homeroom.roster.names import sort_name
from homeroom.store import Connection
from homeroom.sync.bulk import select_in
from homeroom.sync.content import canonical
from homeroom.sync.job import Job, resolve
from homeroom.sync.links import Ids, Links, Subject, class_links, user_links
from homeroom.sync.mapping import MAPPINGS, Mapping, Row

Outcome = Literal["added", "changed", "ended", "same", "dead"]

_UNKNOWN = {
    "org": "it names a school or district that is not known",
    "academicSession": "it names a term that is not known",
    "course": "it names a course that is not known",
    "class": "it names a class that is not known",
    "user": "it names a person who is not known",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """One staged row that waits to be applied."""

    sourced_id: str
    content_hash: str
    content: str = field(repr=False)
    row_id: str
    is_new: bool
    sealed: str | None = field(repr=False)
    location: str | None


@dataclass(slots=True, kw_only=True)
class Change:
    """What becomes of one staged row. `problems` are (field, reason); `values` are columns to write, in order."""

    staged: Staged
    outcome: Outcome
    restored: bool = False
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    values: list[Any] | None = None
    links: Links = field(default_factory=Links)
    taken: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRow:
    """One row that a run changes or would change. `fields`: name → [before, after]; an address is never shown."""

    noun: Noun
    sourced_id: str
    change: Literal["added", "changed", "ended"]
    fields: Facts[str, tuple[Any, Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The shape of `sync run --json`."""
        fields = {name: list(values) for name, values in self.fields.items()}
        return {"noun": self.noun, "sourced_id": self.sourced_id, "change": self.change, "fields": fields}


def plan(connection: Connection, job: Job, noun: Noun, staged: Sequence[Staged], now: str) -> list[Change]:
    """What taking over these rows of one noun changes; `now` is the moment it is done at."""
    mapping = MAPPINGS[noun]
    states = dict(
        select_in(
            connection,
            "SELECT sourced_id, content FROM source_states WHERE source = ? AND noun = ? AND sourced_id IN ({})",
            [job.source, noun],
            [row.sourced_id for row in staged],
        )
    )
    known = [row.row_id for row in staged if not row.is_new]
    query: ModelSelect[Any] = mapping.model.select().where(mapping.model.id.in_(known))
    rows: dict[str, Row] = {row.id: row for row in connection.all(query)} if known else {}
    subjects = [
        Subject(
            row_id=row.row_id,
            sourced_id=row.sourced_id,
            facts=orjson.loads(row.content),
            base=orjson.loads(states[row.sourced_id]) if states.get(row.sourced_id) else None,
            sealed=row.sealed,
        )
        for row in staged
    ]
    ids: Ids = {other: resolve(connection, job, other, wanted) for other, wanted in _named(mapping, subjects).items()}
    links = [Links() for _ in subjects]
    if noun == "class":
        links = class_links(connection, subjects, list(rows), ids)
    elif noun == "user":
        links = user_links(connection, job, subjects, list(rows), ids)
    return [
        _plan_one(_Place(job=job, mapping=mapping, ids=ids, now=now), row, subject, rows.get(row.row_id), around)
        for row, subject, around in zip(staged, subjects, links, strict=True)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    job: Job
    mapping: Mapping
    ids: Ids
    now: str


def _named(mapping: Mapping, subjects: Sequence[Subject]) -> dict[Noun, set[str]]:
    """The sourced ids of every other record that these name."""
    named: dict[Noun, set[str]] = {reference.noun: set() for reference in mapping.references}
    if mapping.event == "class":
        named["academicSession"] = {term for subject in subjects for term in subject.facts.get("terms", ())}
        for subject in subjects:
            named["academicSession"] |= set((subject.base or {}).get("terms", ()))
    elif mapping.event == "user":
        named["org"] = {role[1] for subject in subjects for role in subject.facts.get("roles", ()) if role[1]}
        named["user"] = {agent for subject in subjects for agent in subject.facts.get("agents", ())}
    for subject in subjects:
        for reference in mapping.references:
            if reference.name in subject.facts:
                named[reference.noun].add(subject.facts[reference.name])
    return named


def _plan_one(place: _Place, staged: Staged, subject: Subject, row: Row | None, links: Links) -> Change:
    change = Change(staged=staged, outcome="added" if row is None else "changed", links=links)
    change.taken = dict(subject.facts)
    target = _target(place, subject, change)
    if change.outcome == "dead":
        return change
    change.restored = bool(row is not None and row.ended)
    told = subject.base is None or change.restored
    unknown = {name for name, _ in change.problems}
    final: dict[str, Any] = {}
    for column, (name, value) in target.items():
        ours = None if row is None else _plain(getattr(row, column))
        is_told = name not in unknown and (told or subject.facts.get(name) != (subject.base or {}).get(name))
        final[column] = value if row is None or is_told else ours
        if final[column] != ours:
            change.fields[name] = _shown(place.mapping, subject, name, ours, value)
    if change.restored:
        change.fields["ended"] = (True, False)
    change.fields |= links.fields
    for name, missing in links.missing:
        _leave_out(change, name, missing)
    if row is not None and not change.fields:
        change.outcome = "same"
        return change
    if "sort_name" in place.mapping.computed:
        names = ("given_name", "family_name", "preferred_given_name", "preferred_family_name")
        final["sort_name"] = sort_name(*(final[name] for name in names))
    change.values = _values(place, staged, row, final)
    return change


def _target(place: _Place, subject: Subject, change: Change) -> dict[str, tuple[str, Any]]:
    """What each column would hold if the source decided all: column → (name of the fact, value)."""
    facts, mapping = subject.facts, place.mapping
    for name in mapping.required:
        if facts.get(name) is None:
            change.problems.append((name, "this is missing"))
            change.outcome = "dead"
    target = {name: (name, facts.get(name, default)) for name, default in mapping.plain.items()}
    for reference in mapping.references:
        told = facts.get(reference.name)
        row_id = place.ids[reference.noun].get(told) if told is not None else None
        if row_id is None and (told is not None or reference.required):
            change.problems.append((reference.name, _UNKNOWN[reference.noun] if told else "this is missing"))
            change.taken.pop(reference.name, None)
            change.outcome = "dead" if reference.required else change.outcome
        target[reference.column] = (reference.name, row_id)
    return target


def _leave_out(change: Change, name: str, missing: Any) -> None:
    """Note one of several things that a list names and nobody knows; the others are taken."""
    noun = {"terms": "academicSession", "roles": "org", "agents": "user"}[name]
    change.problems.append((name, _UNKNOWN[noun]))
    change.taken[name] = [one for one in change.taken[name] if one != missing]


def _shown(mapping: Mapping, subject: Subject, name: str, ours: Any, value: Any) -> tuple[Any, Any]:
    """Before and after as a person reads them: another record by the source's id, not by ours."""
    if name in mapping.referring:
        return (subject.base or {}).get(name, ours), subject.facts.get(name)
    return ours, value


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _values(place: _Place, staged: Staged, row: Row | None, final: Facts[str, Any]) -> list[Any]:
    """The row in the order of `Mapping.columns`, then what only a new row gets."""
    mapping = place.mapping
    own = {"id": staged.row_id, "source": place.job.source, "sourced_id": staged.sourced_id, "ended": False}
    own |= {"changed_at": place.now, "version": 1 if row is None else getattr(row, "version", 0) + 1}
    values = {**own, **final}
    for name in mapping.json:
        values[name] = orjson.dumps(values[name] or []).decode()
    return [*(values[column] for column in mapping.columns), *mapping.fresh.values()]


def state_of(change: Change) -> tuple[str, str]:
    """The hash and content to remember: with something left out, a hash that no content has."""
    if change.problems:
        return "", canonical(change.taken)
    return change.staged.content_hash, change.staged.content
