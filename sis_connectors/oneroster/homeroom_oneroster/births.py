"""The birth dates of one run: OneRoster keeps them in a collection of its own, beside that of the users."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import date
from typing import Any

from homeroom_oneroster.facts import BadField, JsonRow
from homeroom_oneroster.people import Birth

_UNREADABLE = ""
_FEW = 500  # below what SQLite takes in one statement


class Births:
    """Birth dates by person, in memory in a few bytes each: a district's people are too many for Python objects.

    `whole` says that everybody's were read, so that nobody else has one, `changes` that only changed ones were.
    """

    def __init__(self) -> None:
        self.whole = False
        self.changes = False
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute("CREATE TABLE births (person TEXT PRIMARY KEY, day TEXT NOT NULL) WITHOUT ROWID")

    def read(self, rows: Sequence[Any]) -> None:
        """Keep what rows of `demographics` say."""
        found = [JsonRow(row, "") for row in rows if isinstance(row, dict)]
        told = [(row.id, day) for row in found if row.id is not None and (day := _day(row)) is not None]
        self._db.executemany("INSERT OR REPLACE INTO births VALUES (?, ?)", told)

    def take(self, people: Sequence[str]) -> dict[str, Birth]:
        """What is known of these people's; they are not kept any longer."""
        found: dict[str, str] = {}
        for start in range(0, len(people), _FEW):
            some = people[start : start + _FEW]
            marks = ", ".join("?" * len(some))
            where = f"FROM births WHERE person IN ({marks})"
            found |= dict(self._db.execute(f"SELECT person, day {where}", some).fetchall())
            self._db.execute(f"DELETE {where}", some)
        return {one: self._birth(found.get(one)) for one in people}

    def left(self, count: int) -> list[str]:
        """Up to `count` people whose birth dates nobody has taken yet."""
        return [row[0] for row in self._db.execute("SELECT person FROM births ORDER BY person LIMIT ?", [count])]

    def close(self) -> None:
        """Forget them all."""
        self._db.close()

    def _birth(self, day: str | None) -> Birth:
        if day is None:
            return Birth(told=self.whole)
        return Birth(told=False) if day == _UNREADABLE else Birth(day=date.fromisoformat(day))


def _day(row: JsonRow) -> str | None:
    """The birth date as text; None when the row has none, or has ended."""
    try:
        day = row.day("birthDate")
        return day.isoformat() if day is not None and row.status() == "active" else None
    except BadField:
        return _UNREADABLE
