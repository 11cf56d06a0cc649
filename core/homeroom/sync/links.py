"""What hangs on a person or a class in tables of its own: roles, addresses, guardians, terms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson

from homeroom.records import Conflict, Noun
from homeroom.roster.people import SELF_ASSERTED, shut_out
from homeroom.store import Connection, now_utc
from homeroom.store.bulk import select_in
from homeroom.sync.content import CONTACTS, seal_context
from homeroom.sync.job import Job
from homeroom.sync.mapping import ADMINISTRATORS, ROLES
from homeroom.sync.policy import Clash, Judge
from homeroom.sync.remembered import NOTHING, Known

SEALED = "(an address)"
"""What a diff shows in place of somebody's address."""

ANOTHER = "(another address)"
"""What is shown of an address that the source has changed to."""

VOUCH = (
    "ON CONFLICT (user_id, kind, lookup) DO UPDATE SET source = excluded.source "
    f"WHERE contacts.source = '{SELF_ASSERTED}'"
)
"""What becomes of an address that is here already: it is the source's where its owner alone had given it."""

Ids = Mapping[Noun, Mapping[str, str]]


@dataclass(slots=True, kw_only=True)
class Subject:
    """One record that a source tells of: `facts` as content, `said` what it told before.

    `base` is what both sides last agreed on: as `said`, but for fields that are in question still. `modified` is when
    the source last touched the record, as kept.
    """

    row_id: str
    sourced_id: str
    facts: dict[str, Any] = field(repr=False)
    base: dict[str, Any] | None = field(repr=False)
    said: dict[str, Any] | None = field(default=None, repr=False)
    sealed: str | None = field(default=None, repr=False)
    modified: str | None = None
    known: Known = NOTHING


@dataclass(slots=True, kw_only=True)
class Links:
    """What is to change around one person or class.

    `fields` has before and after, `missing` what is not known, `clashes` what both sides have changed.
    """

    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    missing: list[tuple[str, Any]] = field(default_factory=list)
    clashes: list[Clash] = field(default_factory=list)
    terms_new: list[str] = field(default_factory=list)
    terms_gone: list[str] = field(default_factory=list)
    roles_set: list[tuple[Any, ...]] = field(default_factory=list)
    roles_gone: list[tuple[str, str]] = field(default_factory=list)
    contacts_new: list[tuple[str, str, str]] = field(default_factory=list, repr=False)
    contacts_gone: list[str] = field(default_factory=list)
    guardians_new: list[str] = field(default_factory=list)
    guardians_gone: list[str] = field(default_factory=list)


NO_LINKS = Links()
"""What hangs on records of the other nouns."""


def class_links(connection: Connection, subjects: Sequence[Subject], existing: Sequence[str], ids: Ids) -> list[Links]:
    """The terms that each class gains and loses; ones that were given here stay, ones taken away here stay away."""
    now: dict[str, set[str]] = defaultdict(set)
    query = "SELECT class_id, term_id FROM class_terms WHERE class_id IN ({})"
    for class_id, term_id in select_in(connection, query, (), existing):
        now[class_id].add(term_id)
    known = ids["academicSession"]
    found = []
    for subject in subjects:
        links = Links()
        told = set(subject.facts.get("terms", ()))
        before = set((subject.base or {}).get("terms", ()))
        links.missing += [("terms", term) for term in sorted(told) if term not in known]
        wanted = {known[term] for term in told if term in known}
        dropped = {known[term] for term in before - told if term in known}
        kept = {known[term] for term in told & before if term in known} if "terms" in subject.known.edited else set()
        links.terms_new = sorted(wanted - kept - now[subject.row_id])
        links.terms_gone = sorted(dropped & now[subject.row_id])
        if links.terms_new or links.terms_gone:
            links.fields["terms"] = (sorted(before), sorted(told))
        found.append(links)
    return found


def user_links(
    connection: Connection, job: Job, subjects: Sequence[Subject], existing: Sequence[str], *, ids: Ids, judge: Judge
) -> list[Links]:
    """The roles, addresses and guardians that each person gains and loses; what was decided of them here stays."""
    roles = _roles_now(connection, existing)
    contacts = _contacts_now(connection, existing)
    guardians = _guardians_now(connection, existing)
    schools = _schools(connection, ids["org"]) if job.administrators else frozenset()
    found = []
    for subject in subjects:
        links = Links()
        _plan_roles(links, job, subject, roles.get(subject.row_id, {}), orgs=ids["org"], schools=schools)
        _plan_contacts(links, connection, job, subject, now=contacts.get(subject.row_id, {}), judge=judge)
        _plan_guardians(links, job, subject, guardians.get(subject.row_id, {}), ids["user"])
        found.append(links)
    return found


def _plan_roles(
    links: Links,
    job: Job,
    subject: Subject,
    now: dict[Any, Any],
    *,
    orgs: Mapping[str, str],
    schools: frozenset[str],
) -> None:
    wanted: dict[tuple[str, str], tuple[Any, ...]] = {}
    for name, org, primary, begins_on, ends_on in subject.facts.get("roles", ()):
        role = ROLES.get(name)
        if org and org not in orgs:
            links.missing.append(("roles", [name, org, primary, begins_on, ends_on]))
            continue
        org_id = orgs[org] if org else ""
        if role is None and name in ADMINISTRATORS and org_id in schools:
            role = "school_admin"
        if role is not None:
            told = primary, begins_on or None, ends_on or None
            wanted[role, org_id] = _joined(wanted.get((role, org_id), told), told)
    for key in _taken_away(subject, orgs) - now.keys():
        wanted.pop(key, None)
    for key, values in wanted.items():
        source, *held = now.get(key, (job.source, None))
        if source == job.source and tuple(held) != values:
            links.roles_set.append((*key, *values))
    links.roles_gone = [key for key, (source, *_) in now.items() if source == job.source and key not in wanted]
    if links.roles_set or links.roles_gone:
        before = sorted(role for role, _ in now)
        links.fields["roles"] = (before, sorted(role for role, _ in wanted))


def _joined(known: tuple[Any, ...], more: tuple[Any, ...]) -> tuple[Any, ...]:
    """One role of two at one school: from the earlier beginning to the later end.

    It is not chosen by today: what a source says again unchanged is not looked at again, when the one has ended and the
    other begun.
    """
    begins_on = None if None in (known[1], more[1]) else min(known[1], more[1])
    ends_on = None if None in (known[2], more[2]) else max(known[2], more[2])
    return known[0] or more[0], begins_on, ends_on


def _taken_away(subject: Subject, orgs: Mapping[str, str]) -> set[tuple[str, str]]:
    """The roles that may have been revoked here: the source gave them before somebody here changed the roles."""
    if "roles" not in subject.known.edited:
        return set()
    roles = (subject.base or {}).get("roles", ())
    return {(ROLES[name], orgs.get(org, "") if org else "") for name, org, *_ in roles if name in ROLES}


def _plan_contacts(
    links: Links, connection: Connection, job: Job, subject: Subject, *, now: dict[Any, Any], judge: Judge
) -> None:
    wanted = {(kind, subject.facts[kind]) for kind in CONTACTS if kind in subject.facts}
    new = wanted - {key for key, (_, source) in now.items() if source != SELF_ASSERTED}
    if new and subject.sealed:
        opened = orjson.loads(connection.cipher.unseal(subject.sealed, seal_context(subject.sourced_id)))
        links.contacts_new = [
            (kind, opened[kind], lookup)
            for kind, lookup in sorted(new)
            if kind in opened and _is_to_come(links, subject, (kind, lookup, opened[kind]), now, judge)
        ]
    theirs = {key: row_id for key, (row_id, source) in now.items() if source == job.source}
    gone = [(key[0], row_id) for key, row_id in theirs.items() if key not in wanted]
    links.contacts_gone = [row_id for _, row_id in gone]
    for kind in {kind for kind, _, _ in links.contacts_new} | {kind for kind, _ in gone}:
        had = any(key[0] == kind for key in now)
        has = kind in subject.facts
        links.fields[kind] = (SEALED if had else None, SEALED if has else None)


def _is_to_come(
    links: Links, subject: Subject, address: tuple[str, str, str], now: dict[Any, Any], judge: Judge
) -> bool:
    """Whether the source's address is taken: not when its last one was removed here, unless it is decided so."""
    kind, lookup, value = address
    before = (subject.base or {}).get(kind)
    if before is None or kind not in subject.known.edited or (kind, before) in now:
        return True
    if before == lookup:
        return False
    ours = SEALED if any(key[0] == kind for key in now) else None
    told = Conflict(noun="user", sourced_id=subject.sourced_id, field=kind, base=SEALED, ours=ours, theirs=ANOTHER)
    edited_at = subject.known.edited[kind]
    versions = (before, ours, [lookup, value])
    clash = judge.decide(told, versions, modified=subject.modified, edited_at=edited_at)
    links.clashes.append(clash)
    return clash.chosen == "theirs"


def _plan_guardians(links: Links, job: Job, subject: Subject, now: dict[str, Any], users: Mapping[str, str]) -> None:
    """The guardians whom the source names anew or no more; one who is kept out here stays, and so does the order."""
    told = [agent for agent in subject.facts.get("agents", ()) if agent != subject.sourced_id]
    links.missing += [("agents", agent) for agent in told if agent not in users]
    wanted = {users[agent] for agent in told if agent in users}
    nobody = (job.source, True, False)
    links.guardians_new = sorted(one for one in wanted if now.get(one, nobody)[:2] == (job.source, True))
    links.guardians_gone = sorted(
        one for one, held in now.items() if held == (job.source, False, False) and one not in wanted
    )
    if links.guardians_new or links.guardians_gone:
        links.fields["agents"] = ((subject.base or {}).get("agents", []), subject.facts.get("agents", []))


def _roles_now(connection: Connection, user_ids: Sequence[str]) -> dict[str, dict[Any, Any]]:
    found: dict[str, dict[Any, Any]] = defaultdict(dict)
    columns = 'user_id, role, org_id, source, "primary", begins_on, ends_on'
    query = f"SELECT {columns} FROM role_assignments WHERE user_id IN ({{}})"  # noqa: S608 - names are ours
    for user_id, role, org_id, source, primary, begins_on, ends_on in select_in(connection, query, (), user_ids):
        found[user_id][role, org_id] = (source, bool(primary), _day(begins_on), _day(ends_on))
    return found


def _contacts_now(connection: Connection, user_ids: Sequence[str]) -> dict[str, dict[Any, Any]]:
    found: dict[str, dict[Any, Any]] = defaultdict(dict)
    query = "SELECT user_id, kind, lookup, id, source FROM contacts WHERE user_id IN ({})"
    for user_id, kind, lookup, row_id, source in select_in(connection, query, (), user_ids):
        found[user_id][kind, lookup] = (row_id, source)
    return found


def _guardians_now(connection: Connection, user_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By student and guardian: the source, whether it has ended, and whether the guardian is kept out."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    kept_out = shut_out(now_utc().date())
    query = f"SELECT student_id, guardian_id, source, ended, {kept_out} FROM guardianships WHERE student_id IN ({{}})"  # noqa: S608 - a condition of ours
    for student_id, guardian_id, source, ended, out in select_in(connection, query, (), user_ids):
        found[student_id][guardian_id] = (source, bool(ended), bool(out))
    return found


def _schools(connection: Connection, orgs: Mapping[str, str]) -> frozenset[str]:
    query = "SELECT id FROM orgs WHERE kind = 'school' AND id IN ({})"
    return frozenset(row[0] for row in select_in(connection, query, (), list(orgs.values())))


def _day(value: date | str | None) -> str | None:
    """A date column as content has it: SQLite gives text, PostgreSQL a date."""
    return value.isoformat() if isinstance(value, date) else value
