"""What all that is on file here has in common: it is added, it has a version, and it ends without being deleted."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from quart import request

from homeroom import Call, Refused, Transaction

T = TypeVar("T")

_ANOTHER_WAS_QUICKER = (409, 412)


def new_id() -> str:
    """An id for something new; made before the unit of work, which may run twice."""
    return uuid.uuid4().hex


def text_of(moment: datetime) -> str:
    """A moment as it is stored."""
    return moment.isoformat()


def expected_version() -> int:
    """The version that `If-Match` names. Raises Refused 428 without it, 412 when it cannot be one."""
    given = request.headers.get("If-Match")
    if given is None:
        raise Refused(428, "precondition-required", "Send If-Match with the version that you have read.")
    text = given.strip().removeprefix("W/").strip('"')
    if not text.isdecimal() or len(text) > 18:  # noqa: PLR2004 - what the column holds
        raise changed()
    return int(text)


def changed() -> Refused:
    """The refusal of a decision on something that somebody else has decided meanwhile."""
    return Refused(412, "changed-meanwhile", "Somebody else has decided meanwhile; read it again before you decide.")


async def decided(
    call: Call, unit: Callable[[Transaction], T], *, student_id: str | None = None, subject_id: str | None = None
) -> T:
    """What `unit` gives, once committed. That another was quicker is kept in the journal, and raised."""
    try:
        return await call.write(unit)
    except Refused as refusal:
        if refusal.status in _ANOTHER_WAS_QUICKER:
            data = {"problem": refusal.problem}
            await call.write(
                lambda tx: tx.journal("compliance.refused", student_id=student_id, subject_id=subject_id, data=data)
            )
        raise


def missing() -> Refused:
    """The refusal of something that is not there, or is another student's."""
    return Refused(404, "not-found", "There is no such entry, or you may not see it.")


def end(tx: Transaction, table: str, key: str, version: int, *, by: str, word: str = "ended") -> None:
    """End one entry at its version. Raises Refused 404 or 412."""
    done = tx.write_sql(
        f"UPDATE {table} SET {word}_at = ?, {word}_by = ?, version = version + 1 "  # noqa: S608 - our own names
        f"WHERE id = ? AND version = ? AND {word}_at IS NULL RETURNING 1",
        (text_of(tx.now), by, key, version),
    )
    if done:
        return
    if not tx.sql(f"SELECT 1 FROM {table} WHERE id = ?", (key,)):  # noqa: S608 - our own names
        raise missing()
    raise changed()
