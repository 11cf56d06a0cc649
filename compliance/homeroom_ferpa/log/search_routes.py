"""The log for those who keep the law in the district: search, an entry with its proof, how it stands, a look at all."""

from __future__ import annotations

import base64
from datetime import date
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field
from quart import Blueprint

from homeroom import Answer, Call, Connection, Outcome, Query, Refused, operation
from homeroom_ferpa.log import finding, search, table, verifier
from homeroom_ferpa.log.part import Log
from homeroom_ferpa.log.rows import AUDIT, JOURNAL
from homeroom_ferpa.log.search import Found, Of, Wanted
from homeroom_ferpa.log.verify import verify

CHEAP = 50_000
"""Up to so many entries a verification is made while somebody waits for it."""

_MOST = 200
_HIGHEST = 2**62
"""No id is higher; a database could not compare with one beyond its range."""
_Day = Annotated[date, Field(ge=date(1970, 1, 1), le=date(2999, 12, 31), description="Of the years 1970 to 2999.")]
"""A day of which every time zone knows the moments."""
_SOURCE = {"reads": AUDIT, "changes": JOURNAL}


class LogQuery(Query):
    """What is looked for, by ids: who did it, whose record, the action, the kind, the ground, the days."""

    of: Of = "reads"
    actor: str | None = Field(default=None, max_length=64)
    student_id: str | None = Field(default=None, max_length=64)
    action: str | None = Field(default=None, max_length=60, examples=["class.roster"])
    kind: str | None = Field(default=None, max_length=60, description='Of reads "read", "hand_out" or "denied".')
    basis: str | None = Field(default=None, max_length=200, description="A ground, with or without what it rests on.")
    since: _Day | None = None
    until: _Day | None = None
    before: int | None = Field(default=None, ge=1, le=_HIGHEST, description="`before` of the page before.")
    limit: int = Field(default=50, ge=1, le=_MOST)


class LogEntry(Answer):
    """One read, hand-out, denial or change: ids and names of fields, never values of reads."""

    of: Of
    id: int
    at: str
    kind: str
    actor: str | None
    actor_name: str | None
    action: str | None
    basis: str | None
    student_ids: list[str] = Field(description="The first of them; `students` counts all.")
    students: int
    class_id: str | None
    subject_id: str | None
    recipient: str | None
    fields: list[str]
    rows: int | None
    reason: str | None
    request_id: str | None
    credential: str | None
    data: str | None


class LogPage(Answer):
    """The entries, the newest first; `before` leads to older ones, also where this page found none."""

    items: list[LogEntry]
    before: int | None


class Proof(Answer):
    """That an entry is in the log: its place, its bytes, the hashes, and the checkpoint that they lead to."""

    index: int
    leaf: str
    hashes: list[str]
    checkpoint: str
    size: int
    holds: bool = Field(description="Whether the entry's bytes and the hashes give the checkpoint's root.")


class ProvenEntry(Answer):
    """One entry; `proof` is null until it is sealed, about a second after it was made."""

    entry: LogEntry
    proof: Proof | None


class LogState(Answer):
    """How the log stands: the newest checkpoint, what waits, and what is wrong."""

    number: int
    size: int
    at: str | None
    ok: bool
    detail: str
    problems: list[str]
    searchable_upto: int = Field(description="Up to this read a student's are found by an index.")
    can_verify: bool = Field(description="Whether it is small enough to be verified while somebody waits.")


class Verified(Answer):
    """What a verification found, as `homeroom audit verify --json` prints it."""

    ok: bool
    size: int
    root: str
    problems: list[str]
    checkpoints: int
    witnessed: int
    pending: int
    purged: int
    purged_unsealed: int = Field(description="Of these, those that only a row says which is not sealed yet.")


def add_routes(pages: Blueprint, log: Log) -> None:
    """Hang them below the plugin's prefix."""
    _add_search(pages, log)
    _add_state(pages, log)


def _add_search(pages: Blueprint, log: Log) -> None:
    services = log.services

    @pages.get("/log/entries")
    @operation("compliance.manage", query=LogQuery, answers=LogPage)
    async def search_log(call: Call, query: LogQuery) -> LogPage:
        """Reads or changes, the newest first. Looking into the log is itself entered in it."""
        wanted = Wanted(**query.model_dump())
        found: Found = await services.store.read(lambda c: search.search(c, wanted, services.time_zone))
        await _told(call, log, found.rows, named=query.student_id)
        return LogPage(items=[LogEntry(**row) for row in found.rows], before=found.before)

    @pages.get("/log/entries/<of>/<int:entry_id>")
    @operation("compliance.manage", answers=ProvenEntry)
    async def read_log_entry(call: Call, of: str, entry_id: int) -> ProvenEntry:
        """One entry with the proof that it is in the log as it was made."""
        if of not in _SOURCE or entry_id > _HIGHEST:
            raise _missing()
        found = await services.store.read(partial(_proven, of="reads" if of == "reads" else "changes", row_id=entry_id))
        await _told(call, log, [found[0]])
        return ProvenEntry(entry=LogEntry(**found[0]), proof=found[1])


def _add_state(pages: Blueprint, log: Log) -> None:
    services = log.services

    @pages.get("/log/state")
    @operation("compliance.manage", answers=LogState)
    async def read_log_state(call: Call) -> LogState:
        """The newest checkpoint, what waits to be sealed, and what stands in the way."""
        del call
        health = await log.health()
        last, upto = await services.store.read(lambda c: (table.newest(c), finding.READS.upto(c)))
        return LogState(
            number=last.number,
            size=last.size,
            at=last.at or None,
            ok=health.ok,
            detail=health.detail,
            problems=[one.problem for one in health.findings],
            searchable_upto=upto,
            can_verify=last.size <= CHEAP,
        )

    @pages.post("/log/verify")
    @operation("compliance.manage", answers=Verified, problems=(409,))
    async def verify_log(call: Call) -> Verified:
        """Compare every entry and checkpoint with the rows of the database. Of a large log the command does it."""
        del call
        if (await services.store.read(table.newest)).size > CHEAP:
            text = f"The log has more than {CHEAP} entries. Run on the server: homeroom audit verify"
            raise Refused(409, "too-large", text)
        return Verified(**(await verify(services.store.read)).as_json())


async def _told(call: Call, log: Log, rows: list[dict[str, Any]], *, named: str | None = None) -> None:
    """Have it entered that the log was looked into, also where no student is named in what it says."""
    students = {student for row in rows for student in row["student_ids"]} | ({named} if named else set())
    if students:
        call.discloses(students, fields=("audit",), rows=len(rows))
    else:
        await log.enter(call.access, Outcome(allowed=True, fields=("audit",), rows=len(rows)))


def _proven(
    connection: Connection, of: Literal["reads", "changes"], row_id: int
) -> tuple[dict[str, Any], Proof | None]:
    with connection.snapshot():
        found = search.one(connection, of, row_id)
        if found is None:
            raise _missing()
        row, leaf = found
        index, last = table.place_of(connection, _SOURCE[of], row_id), table.newest(connection)
        if index is None or index >= last.size:
            return row, None
        hashes = table.tree(connection, last.size).inclusion(index)
    return row, Proof(
        index=index,
        leaf=leaf.decode(),
        hashes=[base64.b64encode(one).decode() for one in hashes],
        checkpoint=last.note,
        size=last.size,
        holds=_holds(leaf, index, last, hashes),
    )


def _holds(leaf: bytes, index: int, last: table.Sealed, hashes: list[bytes]) -> bool:
    try:
        verifier.check_inclusion(verifier.leaf_hash(leaf), index, last.size, hashes, base64.b64decode(last.root))
    except verifier.Problem:
        return False
    return True


def _missing() -> Refused:
    return Refused(404, "not-found", "There is no such entry in the log.")
