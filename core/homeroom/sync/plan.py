"""What taking over staged rows would change, field by field: the same for a dry run and for the real one.

A field is written when the source has changed it since both sides last agreed (`base`), so that an edit made here
stays until the source agrees. Where both have changed one field, it is decided (homeroom.sync.policy) or kept open.
"""

from __future__ import annotations

from collections.abc import Mapping as Facts
from collections.abc import Sequence
from datetime import date
from typing import Any

import orjson
from peewee import ModelSelect

from homeroom.records import Noun
from homeroom.roster.names import sort_name
from homeroom.store import Connection
from homeroom.store.bulk import select_in
from homeroom.sync.changes import STAGED_COLUMNS, Change, DiffRow, Outcome, Place, Staged
from homeroom.sync.content import MODIFIED, canonical
from homeroom.sync.job import Job, resolve
from homeroom.sync.links import NO_LINKS, Ids, Links, Subject, class_links, user_links
from homeroom.sync.mapping import MAPPINGS, Mapping, Row
from homeroom.sync.merge import merged, waits
from homeroom.sync.policy import Judge
from homeroom.sync.remembered import NOTHING, Known, remembered

__all__ = ["STAGED_COLUMNS", "Change", "DiffRow", "Outcome", "Staged", "plan", "shown", "state_of"]

_UNKNOWN = {
    "org": "it names a school or district that is not known",
    "academicSession": "it names a term that is not known",
    "course": "it names a course that is not known",
    "class": "it names a class that is not known",
    "user": "it names a person who is not known",
}


def plan(
    connection: Connection,
    job: Job,
    noun: Noun,
    staged: Sequence[Staged],
    judge: Judge | None = None,
) -> list[Change]:
    """What taking over these rows of one noun changes; `judge` decides clashes."""
    mapping = MAPPINGS[noun]
    judge = judge or Judge(policy=job.policy)
    known = [row.row_id for row in staged if not row.is_new]
    query: ModelSelect[Any] = mapping.model.select().where(mapping.model.id.in_(known))
    rows: dict[str, Row] = {row.id: row for row in connection.all(query)} if known else {}
    subjects = _subjects(connection, job, noun, staged)
    ids: Ids = {other: resolve(connection, job, other, wanted) for other, wanted in _named(mapping, subjects).items()}
    links = [NO_LINKS] * len(subjects)
    if noun == "class":
        links = class_links(connection, subjects, list(rows), ids)
    elif noun == "user":
        links = user_links(connection, job, subjects, list(rows), ids=ids, judge=judge)
    chosen_here = _chosen_here(connection, mapping, subjects, rows)
    place = Place(job=job, noun=noun, mapping=mapping, ids=ids, judge=judge, chosen_here=chosen_here)
    return [
        _plan_one(place, row, subject, rows.get(row.row_id), around)
        for row, subject, around in zip(staged, subjects, links, strict=True)
    ]


def _chosen_here(
    connection: Connection, mapping: Mapping, subjects: Sequence[Subject], rows: Facts[str, Row]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for reference in mapping.references:
        edited = [rows[one.row_id] for one in subjects if reference.name in one.known.edited and one.row_id in rows]
        text = f"SELECT id, sourced_id FROM {MAPPINGS[reference.noun].table} WHERE id IN ({{}})"  # noqa: S608 - ours
        ids = [value for row in edited if (value := getattr(row, reference.column)) is not None]
        found |= {row_id: sourced_id for row_id, sourced_id in select_in(connection, text, (), ids) if sourced_id}
    return found


def _subjects(connection: Connection, job: Job, noun: Noun, staged: Sequence[Staged]) -> list[Subject]:
    there = [(row.sourced_id, row.row_id) for row in staged if not row.is_new]
    states = dict(
        select_in(
            connection,
            "SELECT sourced_id, content FROM source_states WHERE source = ? AND noun = ? AND sourced_id IN ({})",
            [job.source, noun],
            [sourced_id for sourced_id, _ in there],
        )
    )
    known = remembered(connection, job.source, noun, there)
    return [_subject(row, states.get(row.sourced_id), known.get(row.row_id, NOTHING)) for row in staged]


def _subject(row: Staged, state: str | None, known: Known) -> Subject:
    facts = orjson.loads(row.content)
    modified = facts.pop(MODIFIED, None)
    said = orjson.loads(state) if state else None
    base = said
    if said is not None and known.held:
        last_agreed = {held.field: held.base for held in known.held.values() if held.is_open}
        base = {name: value for name, value in {**said, **last_agreed}.items() if value is not None}
    return Subject(
        row_id=row.row_id,
        sourced_id=row.sourced_id,
        facts=facts,
        base=base,
        said=said,
        sealed=row.sealed,
        modified=modified,
        known=known,
    )


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
            told = (subject.facts.get(reference.name), (subject.base or {}).get(reference.name))
            named[reference.noun].update(one for one in told if one is not None)
    return named


def _plan_one(place: Place, staged: Staged, subject: Subject, row: Row | None, links: Links) -> Change:
    change = Change(
        staged=staged,
        outcome="added" if row is None else "changed",
        links=links,
        taken=dict(subject.facts),
        clashes=list(links.clashes),
        known=subject.known,
    )
    if row is not None and (clashes := waits(place, subject, row, change.clashes)) is not None:
        change.outcome, change.waits, change.taken = "same", True, subject.said or {}
        change.links, change.clashes = NO_LINKS, clashes
        return change
    final = _target(place, subject, change)
    if change.outcome == "dead":
        return change
    if row is not None:
        _compare(place, subject, change, row, final)
    change.fields |= links.fields
    for name, missing in links.missing:
        _leave_out(change, name, missing)
    if row is not None and not change.fields:
        change.outcome = "same"
        return change
    change.values = _values(place, staged, row, final)
    return change


def _compare(place: Place, subject: Subject, change: Change, row: Row, final: dict[str, Any]) -> None:
    """Let `final` hold what each column of a row that is there is to hold, and note what that changes."""
    change.restored = row.ended
    unknown = {name for name, _ in change.problems}
    for column, theirs in final.items():
        name = place.mapping.names[column]
        ours = _plain(getattr(row, column))
        value = ours if name in unknown else merged(place, subject, change, name, (ours, theirs))
        if value != ours:
            change.fields[name] = _shown(place.mapping, subject, name, ours, value)
        final[column] = value
    if change.restored:
        change.fields["ended"] = (True, False)


def _target(place: Place, subject: Subject, change: Change) -> dict[str, Any]:
    """What each column would hold if the source decided all."""
    facts, mapping = subject.facts, place.mapping
    for name in mapping.required:
        if facts.get(name) is None:
            change.problems.append((name, "this is missing"))
            change.outcome = "dead"
    target = {name: facts.get(name, default) for name, default in mapping.plain.items()}
    for reference in mapping.references:
        told = facts.get(reference.name)
        row_id = place.ids[reference.noun].get(told) if told is not None else None
        if row_id is None and (told is not None or reference.required):
            change.problems.append((reference.name, _UNKNOWN[reference.noun] if told else "this is missing"))
            _keep_what_was_taken(change, subject, reference.name)
            change.outcome = "dead" if reference.required else change.outcome
        target[reference.column] = row_id
    return target


def _keep_what_was_taken(change: Change, subject: Subject, name: str) -> None:
    change.taken.pop(name, None)
    if subject.said is not None and name in subject.said:
        change.taken[name] = subject.said[name]


def _leave_out(change: Change, name: str, missing: Any) -> None:
    """Note one of several things that a list names and nobody knows; the others are taken."""
    noun = {"terms": "academicSession", "roles": "org", "agents": "user"}[name]
    change.problems.append((name, _UNKNOWN[noun]))
    change.taken[name] = [one for one in change.taken[name] if one != missing]


def shown(noun: Noun, change: Change) -> Facts[str, tuple[Any, Any]]:
    """Before and after of each fact that taking the row over sets; of a new row that is all it has."""
    if change.outcome != "added":
        return change.fields
    mapping = MAPPINGS[noun]
    facts = {name: change.taken.get(name, default) for name, default in mapping.plain.items()}
    facts |= {reference.name: change.taken.get(reference.name) for reference in mapping.references}
    return {name: (None, value) for name, value in facts.items() if value is not None} | change.fields


def _shown(mapping: Mapping, subject: Subject, name: str, ours: Any, value: Any) -> tuple[Any, Any]:
    """Before and after as a person reads them: another record by the source's id, not by ours."""
    if name in mapping.referring:
        return (subject.base or {}).get(name, ours), subject.facts.get(name)
    return ours, value


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _values(place: Place, staged: Staged, row: Row | None, final: dict[str, Any]) -> dict[str, Any]:
    """All that a sync writes of the row, by column."""
    values = {
        **final,
        "id": staged.row_id,
        "source": place.job.source,
        "sourced_id": staged.sourced_id,
        "ended": False,
        "version": 1 if row is None else getattr(row, "version", 0) + 1,
    }
    if "sort_name" in place.mapping.computed:
        names = ("given_name", "family_name", "preferred_given_name", "preferred_family_name")
        values["sort_name"] = sort_name(*(final[name] for name in names))
    for name in place.mapping.json:
        values[name] = orjson.dumps(values[name] or []).decode()
    return values


def state_of(change: Change) -> tuple[str, str]:
    """The hash and content to remember: with something left out or in question, a hash that no content has."""
    content = change.staged.content if change.staged.is_new and not change.problems else canonical(change.taken)
    return "" if change.is_unsettled else change.staged.content_hash, content
