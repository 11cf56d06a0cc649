"""What the watch makes of one entry: whose reading it is, of how many students, and in which spans of time it counts.

Only the entry itself and the settings decide, never the moment of looking: so it does not matter in which portions the
log is looked at, or how often.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from homeroom import Connection, Event
from homeroom_ferpa.access.decisions import MESSAGES, STAFF
from homeroom_ferpa.watch.settings import WatchSettings

NIGHT, BULK, EXPORTS, PLACES = "night_reading", "bulk_reading", "export_storm", "two_places"
"""The kinds of anomaly."""

COMMAND_LINE = "command line"
_COLUMNS = "id, at, actor, kind, action, basis, student_ids, recipient, credential, place"
_SHOWN = ("read", "hand_out")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One entry. `spans` are the (kind, span) in which it counts; `place` is None where moving means nothing.

    `hashes` stand for the students where they are counted: 16 hex digits for each id.
    """

    id: int
    at: datetime
    who: str
    student_ids: tuple[str, ...] = ()
    hashes: frozenset[str] = frozenset()
    spans: tuple[tuple[str, str], ...] = ()
    credential: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """By what it is judged: the district's settings and time zone, and the plugins that give nothing outside."""

    settings: WatchSettings
    zone: ZoneInfo
    inside: Collection[str] = ()

    @property
    def window(self) -> timedelta:
        """How long a span of bulk reading or exports is."""
        return timedelta(minutes=self.settings.minutes)

    def of_row(self, row: tuple[Any, ...]) -> Sighting | None:
        """An audit row; None where it says nothing of anybody's habits, such as a message to a family."""
        row_id, at, actor, kind, action, basis, students, recipient, credential, place = row
        is_key = str(credential or "").startswith("key:")
        who = f"plugin:{recipient}" if recipient else credential if is_key else f"person:{actor}" if actor else None
        if who is None or action in MESSAGES or recipient in self.inside:
            return None
        moment, ids = datetime.fromisoformat(at), tuple(json.loads(students)) if kind in _SHOWN else ()
        spans = tuple(self._spans(moment, who)) if ids else ()
        # A family reads its own record from wherever it is, and a phone changes networks all day.
        stays = is_key or str(basis or "").startswith(STAFF)
        return Sighting(
            id=row_id,
            at=moment,
            who=who,
            student_ids=ids,
            hashes=frozenset(map(_hash, ids)) if spans else frozenset(),
            spans=spans,
            credential=credential,
            place=place if stays and credential else None,
        )

    def of_export(self, event: Event) -> Sighting:
        """An export of the whole district, from the journal."""
        who = f"person:{event.actor_id}" if event.actor_id else COMMAND_LINE
        return Sighting(
            id=event.id, at=event.at, who=who, spans=tuple((EXPORTS, one) for one in self._overlapping(event.at))
        )

    def _spans(self, at: datetime, who: str) -> Iterator[tuple[str, str]]:
        if who.startswith("person:") and (night := self._night(at)) is not None:
            yield NIGHT, night
        if who not in self.settings.expected:
            for one in self._overlapping(at):
                yield BULK, one

    def _night(self, at: datetime) -> str | None:
        """The day whose evening, night or day off this is: it goes on until the next day's school hours begin."""
        local, chosen = at.astimezone(self.zone), self.settings
        begins, ends = chosen.day_begins, chosen.day_ends
        if local.weekday() in chosen.weekdays and begins <= local.time() < ends:
            return None
        day = local.date() if local.time() >= begins else local.date() - timedelta(days=1)
        return day.isoformat()

    def _overlapping(self, at: datetime) -> Iterator[str]:
        """The two spans of full length that hold this moment; each begins in the middle of another."""
        half = self.settings.minutes * 30
        slot = int(at.timestamp()) // half
        for begins in (slot - 1, slot):
            yield datetime.fromtimestamp(begins * half, UTC).isoformat()


def rows_after(connection: Connection, position: int, limit: int) -> list[tuple[Any, ...]]:
    """The next audit rows, in the order in which they were committed."""
    text = f"SELECT {_COLUMNS} FROM ferpa_audit WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - constants
    return connection.sql(text, (position, limit))


def rows_between(connection: Connection, first: int, last: int, *, actor: str | None) -> Iterator[tuple[Any, ...]]:
    """The audit rows from one id to another, of one actor where named; a page at a time."""
    mine, params = ("actor = ? AND ", [actor]) if actor is not None else ("", [])
    text = f"SELECT {_COLUMNS} FROM ferpa_audit WHERE {mine}id >= ? AND id <= ? ORDER BY id LIMIT 500"  # noqa: S608 - constants
    while page := connection.sql(text, (*params, first, last)):
        yield from page
        first = page[-1][0] + 1


def _hash(student_id: str) -> str:
    return hashlib.blake2b(student_id.encode(), digest_size=8).hexdigest()
