"""The register of study agreements (§99.31(a)(6)): what each says, when it holds, and what became of the data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from homeroom import Connection, Refused, Transaction
from homeroom_ferpa.access.records import end, missing, text_of

Purpose = Literal["tests", "student_aid", "instruction"]
"""The studies that the section allows: to develop, validate or administer predictive tests, to administer student aid
programs, to improve instruction."""
Datum = Literal["missed", "late", "school", "grade"]
"""What an extract can tell of a student."""
State = Literal["not_begun", "current", "over", "ended", "destroyed"]

REMIND_DAYS = 14
"""So many days before data are to be destroyed the journal says so."""

_SOON_DAYS = 7
_COLUMNS = (
    "id, organisation, purpose, scope, data, data_since, data_until, first_day, last_day, destroy_by, destroy_how, "
    "agreement, signed_by, signed_on, recorded_by, recorded_at, ended_at, destroyed_on, destroyed_how, confirmed_by, "
    "version"
)
_DAYS = ("data_since", "data_until", "first_day", "last_day", "destroy_by", "signed_on", "destroyed_on")
_OUT = "destroyed_on IS NULL AND EXISTS (SELECT 1 FROM ferpa_study_extracts e WHERE e.study_id = ferpa_studies.id)"
"""Data were given and are not known to be destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One agreement. Days are whole, the first and the last included; `data` is in the order of its weight."""

    id: str
    organisation: str
    purpose: Purpose
    scope: str
    data: tuple[Datum, ...]
    data_since: date
    data_until: date
    first_day: date
    last_day: date
    destroy_by: date
    destroy_how: str
    agreement: str
    signed_by: str
    signed_on: date
    recorded_by: str | None = None
    recorded_at: str = ""
    ended_at: str | None = None
    destroyed_on: date | None = None
    destroyed_how: str | None = None
    confirmed_by: str | None = None
    version: int = 1

    def state(self, today: date) -> State:
        """Whether it holds today, and if not, why."""
        if self.destroyed_on is not None:
            return "destroyed"
        if self.ended_at is not None:
            return "ended"
        if today < self.first_day:
            return "not_begun"
        return "current" if today <= self.last_day else "over"


def add(tx: Transaction, one: Study) -> None:
    """Put an agreement on file."""
    given = (
        *(one.id, one.organisation, one.purpose, one.scope, json.dumps(one.data)),
        *(one.data_since.isoformat(), one.data_until.isoformat(), one.first_day.isoformat(), one.last_day.isoformat()),
        *(one.destroy_by.isoformat(), one.destroy_how, one.agreement, one.signed_by, one.signed_on.isoformat()),
        *(one.recorded_by, text_of(tx.now)),
    )
    tx.write_sql(
        f"INSERT INTO ferpa_studies ({_COLUMNS}) VALUES ({', '.join('?' * len(given))}, NULL, NULL, NULL, NULL, 1)",  # noqa: S608 - constants
        given,
    )
    data = {"purpose": one.purpose, "data": list(one.data), "last_day": one.last_day.isoformat()}
    tx.journal("compliance.study_added", subject_id=one.id, data=data | {"destroy_by": one.destroy_by.isoformat()})


def listed(connection: Connection) -> list[Study]:
    """Every agreement that is or was on file, the newest first."""
    rows = connection.sql(f"SELECT {_COLUMNS} FROM ferpa_studies ORDER BY recorded_at DESC, id")  # noqa: S608 - constants
    return [_study(row) for row in rows]


def read(connection: Connection, study_id: str) -> Study:
    """One agreement. Raises Refused 404."""
    rows = connection.sql(f"SELECT {_COLUMNS} FROM ferpa_studies WHERE id = ?", (study_id,))  # noqa: S608 - constants
    if not rows:
        raise missing()
    return _study(rows[0])


def finish(tx: Transaction, study_id: str, version: int, *, by: str) -> None:
    """End an agreement, as of now: nothing more is given under it. Raises Refused 404 or 412."""
    end(tx, "ferpa_studies", study_id, version, by=by)
    tx.journal("compliance.study_ended", subject_id=study_id)


def destroyed(tx: Transaction, study_id: str, *, on: date, how: str, confirmed_by: str, by: str) -> Study:
    """Keep that the organisation has destroyed its data, and who has confirmed that; the agreement ends with it.

    The key of the record codes is destroyed, too: there is nothing left that they could belong to. Raises Refused 404,
    or 409 when it is recorded already.
    """
    before = read(tx, study_id)
    if before.destroyed_on is not None:
        raise Refused(409, "destroyed-already", "It is recorded already that these data were destroyed.")
    tx.write_sql(
        "UPDATE ferpa_studies SET destroyed_on = ?, destroyed_how = ?, confirmed_by = ?, version = version + 1, "
        "ended_at = COALESCE(ended_at, ?), ended_by = COALESCE(ended_by, ?) WHERE id = ?",
        (on.isoformat(), how, confirmed_by, text_of(tx.now), by, study_id),
    )
    tx.write_sql(
        "DELETE FROM ferpa_study_rows WHERE extract_id IN (SELECT id FROM ferpa_study_extracts WHERE study_id = ?)",
        (study_id,),
    )
    tx.write_sql("DELETE FROM ferpa_study_codes WHERE study_id = ?", (study_id,))
    tx.journal("compliance.study_destroyed", subject_id=study_id, data={"destroyed_on": on.isoformat()})
    return read(tx, study_id)


def tasks(connection: Connection, today: str) -> list[dict[str, Any]]:
    """The destructions that are to be confirmed: data that were given and are not known to be destroyed."""
    rows = connection.sql(f"SELECT id, first_day, destroy_by FROM ferpa_studies WHERE {_OUT} ORDER BY destroy_by, id")  # noqa: S608 - constants
    soon = (date.fromisoformat(today) + timedelta(days=_SOON_DAYS)).isoformat()
    return [
        {
            "kind": "study_destruction",
            "id": study_id,
            "student_id": None,
            "since": since,
            "due_on": due_on,
            "level": "overdue" if due_on < today else "soon" if due_on <= soon else "open",
        }
        for study_id, since, due_on in rows
    ]


def look(tx: Transaction, today: str) -> None:
    """Enter in the journal what is to be destroyed soon, and what should have been, each once, whoever looks."""
    ahead = (date.fromisoformat(today) + timedelta(days=REMIND_DAYS)).isoformat()
    for mark, due, kind in (
        ("reminded_at", f"destroy_by <= '{ahead}'", "study_destruction_due"),
        ("overdue_at", f"destroy_by < '{today}'", "study_destruction_overdue"),
    ):
        text = f"UPDATE ferpa_studies SET {mark} = ? WHERE {mark} IS NULL AND {due} AND {_OUT} RETURNING id, destroy_by"  # noqa: S608 - a day that was made here
        for study_id, destroy_by in tx.write_sql(text, (text_of(tx.now),)):
            data = {"section": "99.31(a)(6)", "destroy_by": destroy_by}
            tx.journal(f"compliance.{kind}", subject_id=study_id, data=data)


def _study(row: Sequence[Any]) -> Study:
    given: Mapping[str, Any] = dict(zip(_COLUMNS.split(", "), row, strict=True))
    days = {name: date.fromisoformat(given[name]) if given[name] else None for name in _DAYS}
    return Study(**{**given, **days, "data": tuple(json.loads(given["data"]))})
