"""The queue of questions: fields that both sides have changed, until a rule, a plugin or a person has chosen.

While a question is open, what stands here stays. It closes by itself when both sides agree again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from homeroom.records import NOUNS, Conflict, Noun
from homeroom.roster import edits
from homeroom.roster.names import display_name
from homeroom.store import Connection, Transaction, iso
from homeroom.store.bulk import select_in
from homeroom.store.models import Enrollment, SyncConflict, User
from homeroom.sync.changes import Change, Staged
from homeroom.sync.content import CONTACTS
from homeroom.sync.job import UNIT, Job
from homeroom.sync.links import ANOTHER, SEALED
from homeroom.sync.mapping import MAPPINGS
from homeroom.sync.policy import Clash, Judge, as_text
from homeroom.sync.remembered import ENDED, Held, opened, remembered, sealed
from homeroom.sync.staging import why_nothing_is_missing

QueueState = Literal["open", "settled", "gone"]

_TITLES: dict[Noun, str] = {"org": "name", "academicSession": "title", "course": "title", "class": "title"}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedConflict:
    """One question, as a person reads it. `about` is the person's name, or the class's or school's.

    `field` is a record's, or "ended" (whether the row is active), "person" (the id may stand for somebody else) or
    "duplicate" (`ours` is the id of another record that looks like the same child). An address is never shown.
    """

    id: int
    connector: str
    noun: Noun
    sourced_id: str
    row_id: str
    field: str
    about: str = dataclasses.field(repr=False)
    base: str | None = dataclasses.field(repr=False)
    ours: str | None = dataclasses.field(repr=False)
    theirs: str | None = dataclasses.field(repr=False)
    state: QueueState
    chosen: str | None
    why: str | None = dataclasses.field(repr=False)
    who: str | None
    found_at: datetime
    changed_at: datetime

    def as_json(self) -> dict[str, Any]:
        """The shape of the API and of `sync conflicts --json`."""
        moments = {"found_at": iso(self.found_at), "changed_at": iso(self.changed_at)}
        return {**{one.name: getattr(self, one.name) for one in dataclasses.fields(self)}, **moments}


def conflicts(
    connection: Connection,
    *,
    connector: str | None = None,
    state: QueueState | None = "open",
    limit: int = 100,
    after: int = 0,
) -> list[QueuedConflict]:
    """The questions in the order they were found; `after` is the last id of the page before, `state` None is any."""
    query = SyncConflict.select().where(SyncConflict.id > after)
    if connector is not None:
        query = query.where(SyncConflict.connector == connector)
    if state is not None:
        query = query.where(SyncConflict.state == state)
    return shown(connection, connection.all(query.order_by(SyncConflict.id).limit(limit)))


def open_conflicts(connection: Connection) -> dict[str, int]:
    """How many questions are open, by connector."""
    query = "SELECT connector, count(*) FROM sync_conflicts WHERE state = 'open' GROUP BY connector"
    return dict(connection.sql(query))


def shown(connection: Connection, rows: Sequence[SyncConflict]) -> list[QueuedConflict]:
    """Questions as a person reads them."""
    names = about(connection, [(cast("Noun", row.noun), row.row_id) for row in rows])
    return [
        QueuedConflict(
            id=row.id,
            connector=row.connector,
            noun=cast("Noun", row.noun),
            sourced_id=row.sourced_id,
            row_id=row.row_id,
            field=row.field,
            about=names.get((cast("Noun", row.noun), row.row_id), ""),
            **_texts(connection, row),
            state=cast("QueueState", row.state),
            chosen=row.chosen,
            why=opened(connection, row.noun, row.row_id, row.why),
            who=row.who,
            found_at=row.found_at,
            changed_at=row.changed_at,
        )
        for row in rows
    ]


def _texts(connection: Connection, row: SyncConflict) -> dict[str, str | None]:
    values = {name: opened(connection, row.noun, row.row_id, getattr(row, name)) for name in ("base", "ours", "theirs")}
    if row.field in CONTACTS:
        return {"base": SEALED, "ours": values["ours"], "theirs": ANOTHER}
    return {name: as_text(value) for name, value in values.items()}


def about(connection: Connection, rows: Sequence[tuple[Noun, str]]) -> dict[tuple[Noun, str], str]:
    """What rows are called: people by their names, enrolments by the person and the class."""
    found: dict[tuple[Noun, str], str] = {}
    by_noun = {noun: [row_id for one, row_id in rows if one == noun] for noun in NOUNS}
    for noun, title in _TITLES.items():
        query = f"SELECT id, {title} FROM {MAPPINGS[noun].table} WHERE id IN ({{}})"  # noqa: S608 - names are ours
        found |= {(noun, row_id): text for row_id, text in select_in(connection, query, (), by_noun[noun])}
    places = connection.all(Enrollment.select().where(Enrollment.id.in_(by_noun["enrollment"])))
    people = {*by_noun["user"], *(place.user_id for place in places)}
    names = {one.id: display_name(one) for one in connection.all(User.select().where(User.id.in_(people)))}
    query = "SELECT id, title FROM classes WHERE id IN ({})"
    titles = dict(select_in(connection, query, (), [place.class_id for place in places]))
    found |= {("user", row_id): names[row_id] for row_id in by_noun["user"] if row_id in names}
    for place in places:
        found["enrollment", place.id] = f"{names.get(place.user_id, '')}, {titles.get(place.class_id, '')}".strip(", ")
    return found


def keep(tx: Transaction, job: Job, noun: Noun, changes: Sequence[Change]) -> None:
    """Bring the queue to what planning these rows has found; rows on which both sides agree cost nothing."""
    for change in changes:
        for clash in change.clashes:
            keep_one(tx, job, noun, change.staged, clash, held=change.known.held.get(clash.field))
        for held in change.gone:
            _close(tx, held)
        if change.agreed:
            edits.forget(tx, noun, change.staged.row_id, change.agreed)


def keep_one(tx: Transaction, job: Job, noun: Noun, row: Staged, clash: Clash, *, held: Held | None = None) -> None:
    """Keep one clash of a row, in place of the open question `held`, if there is one."""
    connector, sourced_id, row_id = job.source, row.sourced_id, row.row_id
    versions = {"base": clash.base, "ours": clash.ours, "theirs": clash.theirs}
    is_open = held is not None and held.is_open
    if is_open and clash.chosen is None and all(getattr(held, name) == value for name, value in versions.items()):
        return
    values: dict[str, Any] = {name: sealed(tx, noun, row_id, value) for name, value in versions.items()}
    values |= {"state": "open" if clash.chosen is None else "settled", "chosen": clash.chosen, "who": clash.who}
    values |= {"why": None if clash.why is None else sealed(tx, noun, row_id, clash.why), "changed_at": tx.now}
    if held is not None and is_open:
        tx.run(SyncConflict.update(**values).where(SyncConflict.id == held.id))
    else:
        key = {"connector": connector, "noun": noun, "sourced_id": sourced_id, "row_id": row_id, "field": clash.field}
        tx.insert(SyncConflict, **key, **values, found_at=tx.now)
    if clash.chosen == "value":
        edits.note(tx, noun, row_id, connector, [clash.field], by=clash.who)


@dataclass(frozen=True, slots=True, kw_only=True)
class Staying:
    """A row that the source has ended and that stays: it was corrected here. `clash` None: that was settled before."""

    staged: Staged
    clash: Clash | None
    held: Held | None


def kept_here(tx: Transaction, job: Job, noun: Noun, staged: Sequence[Staged], judge: Judge) -> dict[str, Staying]:
    """The rows that the source has ended and that stay nevertheless, by row id; nothing is written."""
    known = remembered(tx, job.source, noun, [(row.sourced_id, row.row_id) for row in staged], fields=[ENDED])
    corrected = {row_id for row_id, one in known.items() if one.edited.keys() - {ENDED, "added"}}
    if noun == "enrollment" and corrected:
        over = Enrollment.select(Enrollment.id).where(Enrollment.id.in_(corrected), Enrollment.ends_on <= tx.now.date())
        corrected -= set(tx.values(over))  # here, too, they are over
    staying: dict[str, Staying] = {}
    for row in staged:
        if row.row_id not in corrected:
            continue
        held = known[row.row_id].held.get(ENDED)
        if held is not None and not held.is_open and held.chosen == "ours":
            staying[row.row_id] = Staying(staged=row, clash=None, held=held)
            continue
        told = Conflict(noun=noun, sourced_id=row.sourced_id, field=ENDED, base="false", ours="false", theirs="true")
        clash = judge.decide(told, (False, False, True))
        if clash.chosen != "theirs":
            staying[row.row_id] = Staying(staged=row, clash=clash, held=held)
    return staying


def keep_staying(tx: Transaction, job: Job, noun: Noun, staying: Mapping[str, Staying]) -> None:
    """Put in the queue why rows stay that the source has ended; when it has them again, that is looked at."""
    for one in staying.values():
        if one.clash is not None:
            keep_one(tx, job, noun, one.staged, one.clash, held=one.held)
        look_again(tx, job.source, noun, one.staged.sourced_id)


def look_again(tx: Transaction, source: str, noun: str, sourced_id: str) -> None:
    """Let the next run look at a record, whether the source has changed it or not."""
    text = "UPDATE source_states SET content_hash = '' WHERE source = ? AND noun = ? AND sourced_id = ?"
    tx.write_sql(text, [source, noun, sourced_id])


def acknowledge(tx: Transaction, job: Job, noun: Noun, after: str) -> str | None:
    """Note which rows that were ended here the source has ended too; gives where to go on, None at the end.

    From then on a return in the source is news.
    """
    job.check_lease(tx)
    table = MAPPINGS[noun].table
    text = f"""
        SELECT e.row_id, t.sourced_id, s.change, s.content_hash FROM local_edits e JOIN {table} t ON t.id = e.row_id
        LEFT JOIN staged_rows s ON s.run_id = ? AND s.noun = ? AND s.sourced_id = t.sourced_id
        WHERE e.noun = ? AND e.source = ? AND e.field = 'ended' AND e.row_id > ? AND t.ended
        ORDER BY e.row_id LIMIT {UNIT}"""  # noqa: S608 - names are ours
    rows = tx.sql(text, [job.run_id, noun, noun, job.source, after])
    is_complete = bool(rows) and why_nothing_is_missing(tx, job, noun) is None
    for row_id, sourced_id, change, content_hash in rows:
        is_gone = is_complete if change is None else (change == "unchanged" and content_hash == "")
        if is_gone:
            edits.forget(tx, noun, row_id, [ENDED])
            look_again(tx, job.source, noun, sourced_id)
    return rows[-1][0] if len(rows) == UNIT else None


def _close(tx: Transaction, held: Held) -> None:
    tx.run(SyncConflict.update(state="gone", changed_at=tx.now).where(SyncConflict.id == held.id))
