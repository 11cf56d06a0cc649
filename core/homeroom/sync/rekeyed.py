"""People who come in as new although they seem to be known: what it looks like when a vendor changes every id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson

from homeroom.roster.names import sort_name
from homeroom.store import Connection
from homeroom.store.bulk import select_in
from homeroom.sync.job import Job

_PIECE = 500

_NEW = f"""
    SELECT sourced_id, content FROM staged_rows
    WHERE run_id = ? AND noun = 'user' AND change = 'add' AND sourced_id > ?
    ORDER BY sourced_id LIMIT {_PIECE}"""  # noqa: S608 - a number of ours

_KNOWN = """
    SELECT id, sort_name, birth_date, identifier FROM users WHERE source = ? AND NOT ended AND sort_name IN ({})"""


@dataclass(slots=True, kw_only=True)
class Rekeyed:
    """How many people come under new ids, and those ids."""

    subjects: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many."""
        return len(self.subjects)


def rekeyed(connection: Connection, job: Job) -> Rekeyed:
    """The new people of the run who have the name of a person known under another id, and no fact against it.

    Birth dates decide where both sides have one, then local numbers; each known person is somebody else only once.
    """
    found = Rekeyed()
    taken: set[str] = set()
    after = ""
    while rows := connection.sql(_NEW, [job.run_id, after]):
        after = rows[-1][0]
        new = [(sourced_id, orjson.loads(content)) for sourced_id, content in rows]
        known = _known(connection, job, sorted({name for _, facts in new for name in _names(facts)}))
        for sourced_id, facts in new:
            same = (one for name in _names(facts) for one in known.get(name, ()) if one[0] not in taken)
            match = next((row_id for row_id, *about in same if _may_be(facts, *about)), None)
            if match is not None:
                taken.add(match)
                found.subjects.append(sourced_id)
    return found


def _names(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The sort names that the person may stand under: with the preferred name, and from before there was one."""
    given, family = facts.get("given_name", ""), facts.get("family_name", "")
    preferred = facts.get("preferred_given_name"), facts.get("preferred_family_name")
    return tuple(dict.fromkeys((sort_name(given, family, *preferred), sort_name(given, family, None, None))))


def _known(connection: Connection, job: Job, names: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row_id, name, birth_date, identifier in select_in(connection, _KNOWN, [job.source], names):
        found.setdefault(name, []).append((row_id, birth_date, identifier))
    return found


def _may_be(facts: Mapping[str, Any], birth_date: date | str | None, identifier: str | None) -> bool:
    told = facts.get("birth_date")
    if told is not None and birth_date is not None:
        return str(birth_date) == str(told)
    number = facts.get("identifier")
    return number is None or identifier is None or number == identifier
