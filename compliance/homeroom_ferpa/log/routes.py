"""The log over HTTP: receipts for families, and what anybody needs to check one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field
from quart import Blueprint, Response

from homeroom import Answer, Call, Connection, Query, Refused, Target, operation
from homeroom_ferpa.log import receipts, table, verifier
from homeroom_ferpa.log.notes import published_keys
from homeroom_ferpa.log.part import Log

_SEEN_BY_ALL = "account.self"  # checkpoints and keys are nobody's data


class Entry(Answer):
    """One entry of the log with the proof that it is in there."""

    index: int
    leaf: str = Field(description="The entry's bytes, as text.")
    proof: list[str]


class Receipt(Answer):
    """An attendance record's entries, proven; check it with the verifier."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    format: str = Field(examples=[verifier.RECEIPT])
    record_id: str
    checkpoint: str
    key_changes: list[str]
    entries: list[Entry]


class Continuation(Answer):
    """The proof that the log was only added to."""

    format: str = Field(examples=[verifier.CONSISTENCY])
    checkpoints: list[str]
    proofs: list[list[str]]


class Keys(Answer):
    """The log's public keys, oldest first; the last one signs. Where there are several each says what it signs."""

    keys: list[str] = Field(
        description="NAME+ID+KEY, and of several each with ` since=N until=N`: checkpoints' numbers."
    )


class SizeQuery(Query):
    """How many entries the earlier checkpoint counts."""

    size: int = Field(alias="from", ge=0, le=2**62)


def add_routes(pages: Blueprint, log: Log) -> None:
    """Hang the log's routes below the plugin's prefix."""
    _add_receipts(pages, log)
    _add_log(pages)


def _add_receipts(pages: Blueprint, log: Log) -> None:
    @pages.get("/receipts/<record_id>")
    @operation("attendance.history", of=Target(record_id="record_id"), answers=Receipt, problems=(404,))
    async def give_receipt(call: Call, record_id: str) -> dict[str, Any]:
        """A record's receipt: what the log holds of it, with proof, to be kept and checked without this server."""
        student_id = call.place.student_id
        found = await receipts.receipt(log.services, log.sealer, record_id, student_id=student_id)
        if found is None or student_id is None:
            raise Refused(404, "not-found", "There is no such record in the log.")
        call.discloses([student_id], fields=("status", "code"), rows=len(found["entries"]))
        return found


def _add_log(pages: Blueprint) -> None:
    @pages.get("/log/checkpoint")
    @operation(_SEEN_BY_ALL, answers={200: "text/plain"}, problems=(404,))
    async def give_checkpoint(call: Call) -> Response:
        """The newest signed checkpoint, to be kept: later ones must continue it."""
        last = await call.read(table.newest)
        if not last.number:
            raise Refused(404, "not-found", "Nothing is sealed yet.")
        return Response(last.note, content_type="text/plain; charset=utf-8")

    @pages.get("/log/keys")
    @operation(_SEEN_BY_ALL, answers=Keys)
    async def give_keys(call: Call) -> Keys:
        """The keys that checkpoints are signed with. Compare them with what the district has published elsewhere."""
        return Keys(keys=published_keys(await call.read(table.keys)))

    @pages.get("/log/consistency")
    @operation(_SEEN_BY_ALL, query=SizeQuery, answers=Continuation, problems=(404,))
    async def give_continuation(call: Call, query: SizeQuery) -> dict[str, Any]:
        """The proof that the log of now begins with all that the checkpoint of size `from` counted."""
        return await call.read(partial(_continuation, size=query.size))

    @pages.get("/log/verifier")
    @operation(_SEEN_BY_ALL, answers={200: "text/x-python"})
    async def give_verifier(call: Call) -> Response:
        """The program that checks receipts and checkpoints: one file for any Python, without Homeroom."""
        del call
        return Response(verifier_text(), content_type="text/x-python; charset=utf-8")


def verifier_text() -> str:
    """The verifier's own source."""
    return Path(verifier.__file__).read_text(encoding="utf-8")


def _continuation(connection: Connection, size: int) -> dict[str, Any]:
    old = table.checkpoints(connection, "size = ? ORDER BY number LIMIT 1", (size,))
    if not old:
        raise Refused(404, "not-found", "No checkpoint counts so many entries.")
    return receipts.continuation(connection, old[0].note)
