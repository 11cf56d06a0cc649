"""What is known of rows besides their values: which fields were changed here, and which questions are open."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from homeroom.records import Noun
from homeroom.store import Connection, Transaction
from homeroom.store.bulk import select_in

ENDED = "ended"
"""Whether a record is active: a field like the others, in questions and rules."""

PERSON = "person"
"""The question whether a known id now stands for somebody else."""

DUPLICATE = "duplicate"
"""The question whether two records are one child's; nothing merges them."""

_LASTING = (ENDED, PERSON, DUPLICATE)  # an answer to these still counts when the same is found again


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A question that was kept, with its three versions."""

    id: int
    field: str
    is_open: bool
    chosen: str | None
    base: Any = dataclasses.field(repr=False)
    ours: Any = dataclasses.field(repr=False)
    theirs: Any = dataclasses.field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One row: `edited` has when each field was changed here, `held` the questions about it."""

    edited: Mapping[str, str] = dataclasses.field(default_factory=dict)
    held: Mapping[str, Held] = dataclasses.field(default_factory=dict)


NOTHING = Known()


def remembered(
    connection: Connection, source: str, noun: Noun, rows: Sequence[tuple[str, str]], *, fields: Sequence[str] = ()
) -> dict[str, Known]:
    """What is remembered of these (sourced id, row id), by row id; rows of which nothing is are left out.

    Two queries for all of them. `fields` narrows the questions to these.
    """
    if not rows:
        return {}
    edited: dict[str, dict[str, str]] = defaultdict(dict)
    query = "SELECT row_id, field, at FROM local_edits WHERE noun = ? AND row_id IN ({})"
    for row_id, name, at in select_in(connection, query, [noun], [row_id for _, row_id in rows]):
        edited[row_id][name] = at
    held: dict[str, dict[str, Held]] = defaultdict(dict)
    lasting = ", ".join(f"'{name}'" for name in _LASTING)
    query = f"""
        SELECT row_id, id, field, state, chosen, base, ours, theirs FROM sync_conflicts
        WHERE connector = ? AND noun = ? AND sourced_id IN ({{}})
        AND (state = 'open' OR (state = 'settled' AND field IN ({lasting}))) ORDER BY id"""  # noqa: S608 - names are ours
    for row_id, key, name, state, chosen, *versions in select_in(
        connection, query, [source, noun], [sourced_id for sourced_id, _ in rows]
    ):
        if not fields or name in fields:
            base, ours, theirs = (opened(connection, noun, row_id, version) for version in versions)
            held[row_id][name] = Held(
                id=key, field=name, is_open=state == "open", chosen=chosen, base=base, ours=ours, theirs=theirs
            )
    return {
        row_id: Known(edited=edited.get(row_id, {}), held=held.get(row_id, {}))
        for row_id in edited.keys() | held.keys()
    }


def sealed(tx: Transaction, noun: str, row_id: str, value: Any) -> str:
    """A version as it is kept: a person's under their own key."""
    text = orjson.dumps(value).decode()
    return tx.seal_for(row_id, text) if noun == "user" else text


def opened(connection: Connection, noun: str, row_id: str, text: str | None) -> Any:
    """A version as it was kept; None once the person is erased."""
    text = connection.unseal_for(row_id, text) if noun == "user" else text
    return None if text is None else orjson.loads(text)
