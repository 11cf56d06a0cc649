"""One look at the next entries: what was counted so far goes on, and what passes a limit becomes a flag, once.

A look is one unit of work that counts its entries only if no other has counted them, so it may be killed and run again,
and any process may do it. What is kept is small: for each party the last few spans, for each credential the last place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from homeroom import Connection, Transaction
from homeroom_ferpa.log.rows import text_of
from homeroom_ferpa.watch.settings import MOST
from homeroom_ferpa.watch.sightings import BULK, EXPORTS, NIGHT, PLACES, Sighting, Watched

ENTRIES = 100
"""So many entries a flag lists one by one; beyond them it has their number and the first and last id."""

_SPANS = {NIGHT: 2, BULK: 3, EXPORTS: 3}  # that are counted on for one party; what was touched longest ago goes
_FORGET = 1_000_000  # entries after which a credential that was not seen counts as new
_HASH = 16
_AT_ONCE = 300
_TALLY = "kind, who, span, first_id, last_id, began_at, last_at, rows, entries, seen"
_PLACE = "credential, family, place, at, row_id, left_place, left_at, left_id"
_FLAG = "id, kind, who, credential, span, began_at, last_at, rows, students, first_id, last_id, entries"


@dataclass(slots=True, kw_only=True)
class _Tally:
    """What one party did within one span."""

    kind: str
    who: str
    span: str
    first_id: int
    last_id: int
    began_at: datetime
    last_at: datetime
    rows: int = 0
    entries: list[int] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    changed: bool = False

    @property
    def rank(self) -> tuple[int, str]:
        """By when it was touched."""
        return self.last_id, self.span

    @property
    def columns(self) -> tuple[Any, ...]:
        """As it is stored."""
        return (
            *(self.kind, self.who, self.span, self.first_id, self.last_id, text_of(self.began_at)),
            *(text_of(self.last_at), self.rows, json.dumps(self.entries), "".join(sorted(self.seen))),
        )

    def add(self, one: Sighting) -> None:
        """Count one entry."""
        self.last_id, self.rows, self.changed = one.id, self.rows + 1, True
        self.began_at, self.last_at = min(self.began_at, one.at), max(self.last_at, one.at)
        if len(self.entries) < ENTRIES:
            self.entries.append(one.id)
        if len(self.seen) < MOST:
            self.seen |= one.hashes


@dataclass(slots=True, kw_only=True)
class _Place:
    """Where a credential was seen last, and where before that."""

    credential: str
    family: str
    place: str
    at: datetime
    row_id: int
    left_place: str | None = None
    left_at: datetime | None = None
    left_id: int | None = None

    @property
    def columns(self) -> tuple[Any, ...]:
        """As it is stored."""
        left = text_of(self.left_at) if self.left_at is not None else None
        now = (self.credential, self.family, self.place, text_of(self.at), self.row_id)
        return (*now, self.left_place, left, self.left_id)


@dataclass(slots=True, kw_only=True)
class _Flag:
    """An anomaly that is open, and grows."""

    id: str
    kind: str
    who: str
    credential: str | None
    span: str
    began_at: datetime
    last_at: datetime
    rows: int
    students: int
    first_id: int
    last_id: int
    entries: list[int]
    is_new: bool = False
    grew: bool = False


def begin(tx: Transaction) -> None:
    """Let the watch begin with what is entered from now on, if it has not begun."""
    for source, table in (("audit", "ferpa_audit"), ("journal", "journal")):
        tx.write_sql(
            "INSERT INTO ferpa_watch_positions (source, position) "  # noqa: S608 - constants
            f"SELECT ?, COALESCE(max(id), 0) FROM {table} WHERE 1 = 1 ON CONFLICT DO NOTHING",
            (source,),
        )


def position(connection: Connection, source: str) -> int:
    """Up to which id the rows of a source ("audit", "journal") were looked at; the watch has begun."""
    return int(connection.sql("SELECT position FROM ferpa_watch_positions WHERE source = ?", (source,))[0][0])


def take(
    tx: Transaction, watched: Watched, source: str, sightings: Sequence[Sighting], *, before: int, upto: int
) -> bool:
    """Count what was seen between two ids of a source; whether nobody had looked at them yet."""
    if position(tx, source) != before:
        return False
    book = _Book(tx, watched, sightings)
    for one in sightings:
        book.enter(one)
    book.close(source, upto)
    tx.write_sql("UPDATE ferpa_watch_positions SET position = ? WHERE source = ?", (upto, source))
    return True


class _Book:
    """What is kept of those who are seen in one look: read at its beginning, written at its end."""

    def __init__(self, tx: Transaction, watched: Watched, sightings: Sequence[Sighting]) -> None:
        self._tx = tx
        self._watched = watched
        settings = watched.settings
        self._limits = {NIGHT: settings.night_students, BULK: settings.bulk_students, EXPORTS: settings.exports}
        self._tallies: dict[tuple[str, str], list[_Tally]] = {}
        self._dropped: set[tuple[str, str, str]] = set()
        self._places: dict[tuple[str, str], _Place] = {}
        self._flags: dict[tuple[str, str], list[_Flag]] = {}
        who = sorted({one.who for one in sightings if one.spans or one.place})
        for row in self._read(_TALLY, "watch_tallies", "who", who):
            tally = _tally(row)
            self._tallies.setdefault((tally.kind, tally.who), []).append(tally)
        for row in self._read(_FLAG, "anomalies", "state = 'open' AND who", who):
            flag = _flag(row)
            self._flags.setdefault((flag.kind, flag.credential or flag.who), []).append(flag)
        credentials = sorted({one.credential for one in sightings if one.credential and one.place})
        for row in self._read(_PLACE, "watch_places", "credential", credentials):
            place = _place(row)
            self._places[place.credential, place.family] = place

    def enter(self, one: Sighting) -> None:
        """Count one entry wherever it counts."""
        for kind, span in one.spans:
            tally = self._touch(one, kind, span)
            tally.add(one)
            if self._amount(tally) >= self._limits[kind]:
                self._raise(tally, one)
        if one.place is not None and one.credential is not None:
            self._see(one, one.credential, one.place)

    def close(self, source: str, upto: int) -> None:
        """Write down what was counted and what was flagged."""
        tx = self._tx
        for kind, who, span in self._dropped:
            tx.write_sql("DELETE FROM ferpa_watch_tallies WHERE kind = ? AND who = ? AND span = ?", (kind, who, span))
        for tally in (one for some in self._tallies.values() for one in some if one.changed):
            self._keep("watch_tallies", _TALLY, 3, tally.columns)
        for place in self._places.values():
            self._keep("watch_places", _PLACE, 2, place.columns)
        if source == "audit":
            tx.write_sql("DELETE FROM ferpa_watch_places WHERE row_id < ?", (upto - _FORGET,))
        for flag in (one for some in self._flags.values() for one in some):
            self._write(flag)

    def _amount(self, tally: _Tally) -> int:
        return tally.rows if tally.kind == EXPORTS else len(tally.seen)

    def _touch(self, one: Sighting, kind: str, span: str) -> _Tally:
        mine = self._tallies.setdefault((kind, one.who), [])
        for tally in mine:
            if tally.span == span:
                return tally
        fresh = _Tally(
            kind=kind, who=one.who, span=span, first_id=one.id, last_id=one.id, began_at=one.at, last_at=one.at
        )
        mine.append(fresh)
        self._dropped.discard((kind, one.who, span))
        if len(mine) > _SPANS[kind]:
            oldest = min(mine[:-1], key=lambda tally: tally.rank)
            mine.remove(oldest)
            self._dropped.add((kind, one.who, oldest.span))
        return fresh

    def _raise(self, tally: _Tally, one: Sighting) -> None:
        """Flag what a party did in a span, or let the flag that is there grow."""
        flag = self._going_on(tally.kind, tally.who, tally.span, one.at, self._watched.window)
        if flag is None:
            self._add(tally, list(tally.entries))
            return
        flag.grew = True
        flag.rows, flag.students = max(flag.rows, tally.rows), max(flag.students, len(tally.seen))
        flag.first_id, flag.last_id = min(flag.first_id, tally.first_id), one.id
        flag.began_at, flag.last_at = min(flag.began_at, tally.began_at), max(flag.last_at, one.at)
        if one.id not in flag.entries and len(flag.entries) < ENTRIES:
            flag.entries.append(one.id)

    def _see(self, one: Sighting, credential: str, place: str) -> None:
        """Compare where a credential is used with where it was before; only places of one kind can be compared."""
        family = place.rpartition(".")[0]
        known = self._places.get((credential, family))
        if known is None or one.id - known.row_id > _FORGET:
            known = _Place(credential=credential, family=family, place=place, at=one.at, row_id=one.id)
            self._places[credential, family] = known
        if known.place != place:
            self._judge_move(one, credential, known, place)
            known.left_place, known.left_at, known.left_id = known.place, known.at, known.row_id
        known.place, known.at, known.row_id = place, one.at, one.id

    def _judge_move(self, one: Sighting, credential: str, known: _Place, place: str) -> None:
        settings = self._watched.settings
        if credential.startswith("key:"):  # a program stays where it is
            evidence, since, window = [known.row_id, one.id], known.at, timedelta(minutes=settings.key_minutes)
        elif known.left_place == place and known.left_at is not None and known.left_id is not None:
            # a person may move on; somebody who is back at once was never away
            evidence, since = [known.left_id, known.row_id, one.id], known.left_at
            window = timedelta(minutes=settings.session_minutes)
        else:
            return
        if abs(one.at - since) > window:
            return
        flag = self._going_on(PLACES, credential, None, one.at, window)
        if flag is None:
            about = _Tally(
                kind=PLACES,
                who=one.who,
                span=known.family,
                first_id=evidence[0],
                last_id=one.id,
                began_at=min(since, one.at),
                last_at=max(since, one.at),
                rows=1,
            )
            self._add(about, evidence, credential=credential)
            return
        flag.grew, flag.rows, flag.last_id, flag.last_at = True, flag.rows + 1, one.id, max(flag.last_at, one.at)
        flag.entries += [each for each in evidence if each not in flag.entries][: ENTRIES - len(flag.entries)]

    def _going_on(self, kind: str, whose: str, span: str | None, at: datetime, window: timedelta) -> _Flag | None:
        """The open flag that this belongs to: of the same night, or one that something was added to just before."""
        mine = [
            flag
            for flag in self._flags.get((kind, whose), [])
            if (flag.span == span if kind == NIGHT else abs(at - flag.last_at) <= window)
        ]
        return max(mine, key=lambda flag: (flag.last_id, flag.id), default=None)

    def _add(self, about: _Tally, entries: list[int], *, credential: str | None = None) -> None:
        named = f"{about.kind}\n{about.who}\n{credential}\n{about.first_id}"
        flag = _Flag(
            id=hashlib.sha256(named.encode()).hexdigest()[:28],
            kind=about.kind,
            who=about.who,
            credential=credential,
            span=about.span,
            began_at=about.began_at,
            last_at=about.last_at,
            rows=about.rows,
            students=len(about.seen),
            first_id=about.first_id,
            last_id=about.last_id,
            entries=entries,
            is_new=True,
        )
        self._flags.setdefault((flag.kind, credential or flag.who), []).append(flag)

    def _write(self, flag: _Flag) -> None:
        changing = (
            *(text_of(flag.began_at), text_of(flag.last_at), flag.rows, flag.students, flag.first_id, flag.last_id),
            json.dumps(flag.entries),
        )
        if flag.is_new:
            new = self._tx.write_sql(
                f"INSERT INTO ferpa_anomalies ({_FLAG}, state, found_at) VALUES ({', '.join('?' * 12)}, 'open', ?) "  # noqa: S608 - constants
                "ON CONFLICT DO NOTHING RETURNING 1",
                (flag.id, flag.kind, flag.who, flag.credential, flag.span, *changing, text_of(self._tx.now)),
            )
            if not new:
                return
            data = {"kind": flag.kind, "who": flag.who, "rows": flag.rows, "students": flag.students}
            data |= {"first_entry": flag.first_id, "last_entry": flag.last_id}
            self._tx.journal("compliance.anomaly_found", subject_id=flag.id, data=data)
        elif flag.grew:
            self._tx.write_sql(
                "UPDATE ferpa_anomalies SET began_at = ?, last_at = ?, rows = ?, students = ?, first_id = ?, "
                "last_id = ?, entries = ? WHERE id = ? AND state = 'open'",
                (*changing, flag.id),
            )

    def _read(self, columns: str, table: str, where: str, keys: Sequence[str]) -> Iterable[tuple[Any, ...]]:
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            yield from self._tx.sql(
                f"SELECT {columns} FROM ferpa_{table} WHERE {where} IN ({marks}) ORDER BY {columns}",  # noqa: S608 - constants
                some,
            )

    def _keep(self, table: str, columns: str, keys: int, given: tuple[Any, ...]) -> None:
        names = columns.split(", ")
        changed = ", ".join(f"{name} = excluded.{name}" for name in names[keys:])
        self._tx.write_sql(
            f"INSERT INTO ferpa_{table} ({columns}) VALUES ({', '.join('?' * len(names))}) "  # noqa: S608 - constants
            f"ON CONFLICT ({', '.join(names[:keys])}) DO UPDATE SET {changed}",
            given,
        )


def _tally(row: tuple[Any, ...]) -> _Tally:
    kind, who, span, first_id, last_id, began_at, last_at, rows, entries, seen = row
    return _Tally(
        kind=kind,
        who=who,
        span=span,
        first_id=first_id,
        last_id=last_id,
        began_at=datetime.fromisoformat(began_at),
        last_at=datetime.fromisoformat(last_at),
        rows=rows,
        entries=json.loads(entries),
        seen={seen[at : at + _HASH] for at in range(0, len(seen), _HASH)},
    )


def _place(row: tuple[Any, ...]) -> _Place:
    credential, family, place, at, row_id, left_place, left_at, left_id = row
    return _Place(
        credential=credential,
        family=family,
        place=place,
        at=datetime.fromisoformat(at),
        row_id=row_id,
        left_place=left_place,
        left_at=datetime.fromisoformat(left_at) if left_at is not None else None,
        left_id=left_id,
    )


def _flag(row: tuple[Any, ...]) -> _Flag:
    key, kind, who, credential, span, began_at, last_at, rows, students, first_id, last_id, entries = row
    return _Flag(
        id=key,
        kind=kind,
        who=who,
        credential=credential,
        span=span,
        began_at=datetime.fromisoformat(began_at),
        last_at=datetime.fromisoformat(last_at),
        rows=rows,
        students=students,
        first_id=first_id,
        last_id=last_id,
        entries=json.loads(entries),
    )
