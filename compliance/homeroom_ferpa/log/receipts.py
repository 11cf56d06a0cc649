"""What leaves the log as a file: the receipt of one attendance record, and the proof that the log was only added to."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from homeroom import Connection, Refused, Services
from homeroom_ferpa.log import table, verifier
from homeroom_ferpa.log.rows import JOURNAL, SOURCES
from homeroom_ferpa.log.sealing import Sealer
from homeroom_ferpa.log.table import Sealed
from homeroom_ferpa.log.tree import TreeDamaged

_ATTENDANCE = "attendance."


async def receipt(
    services: Services, sealer: Sealer, record_id: str, *, student_id: str | None = None
) -> dict[str, Any] | None:
    """The receipt of a record, what was written a moment ago included; None when there is no such record.

    `student_id` spares a look through the whole journal. Raises Refused 503 while the log cannot prove anything.
    """
    found = await services.store.read(partial(_events, record_id=record_id, student_id=student_id))
    if not found:
        return None
    try:
        await sealer.seal()
        return await services.store.read(partial(_receipt, record_id=record_id, events=found))
    except TreeDamaged:
        text = "The log does not hold at this moment, so it can prove nothing. Please tell your office."
        raise Refused(503, "log-damaged", text) from None


def continuation(connection: Connection, old: str) -> dict[str, Any]:
    """The proof that the log of today begins with all of what the checkpoint `old` counted. Raises verifier.Problem."""
    with connection.snapshot():
        first, last = verifier.parse_note(old), table.newest(connection)
        if first.size > last.size:
            raise verifier.Problem(f"it counts {first.size} entries and the log holds {last.size}")
        number = int(first.extension("number") or 0)
        changes = [one for one in _key_changes(connection) if number < one.number < last.number]
        chain = [(old, first.size), *((one.note, one.size) for one in (*changes, last))]
        proofs = [table.tree(connection, new[1]).consistency(before[1]) for before, new in pairwise(chain)]
    return {
        "format": verifier.CONSISTENCY,
        "checkpoints": [note for note, _ in chain],
        "proofs": [_text(proof) for proof in proofs],
    }


def _events(connection: Connection, record_id: str, student_id: str | None) -> list[tuple[Any, ...]]:
    source = SOURCES[JOURNAL]
    text = f"SELECT {', '.join(source.columns)} FROM journal WHERE subject_id = ?"  # noqa: S608 - constants
    params = [record_id]
    if student_id is not None:
        text, params = f"{text} AND student_id = ?", [record_id, student_id]
    rows = connection.sql(f"{text} ORDER BY id", params)
    return [row for row in rows if row[2].startswith(_ATTENDANCE)]


def _receipt(connection: Connection, record_id: str, events: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    with connection.snapshot():
        last = table.newest(connection)
        tree = table.tree(connection, last.size)
        entries = []
        for row in events:
            index = table.place_of(connection, JOURNAL, row[0])
            if index is None:
                raise TreeDamaged(f"journal row {row[0]} is not in the log")
            leaf = SOURCES[JOURNAL].leaf(row).decode()
            entries.append({"index": index, "leaf": leaf, "proof": _text(tree.inclusion(index))})
        changes = [one.note for one in _key_changes(connection)]
    return {
        "format": verifier.RECEIPT,
        "record_id": record_id,
        "checkpoint": last.note,
        "key_changes": changes,
        "entries": entries,
    }


def _key_changes(connection: Connection) -> list[Sealed]:
    """The checkpoints that handed the log on to another key."""
    since = [key.since for key in table.keys(connection)][1:]
    return [one for number in since for one in table.checkpoints(connection, "number = ?", (number,))]


def _text(hashes: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(one).decode() for one in hashes]
