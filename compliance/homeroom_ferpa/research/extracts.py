"""Extracts of attendance for a study: one row for each student with a random code, and nobody told apart (§99.31(b)).

An extract is made once for its days, and stays as it was made. The days of another one must not be among them, also not
in another study of the same organisation, for two could be compared.
"""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from homeroom import Connection, FieldError, Invalid, Refused, Services, Transaction
from homeroom_ferpa.access import ledger
from homeroom_ferpa.access.records import missing, new_id, text_of
from homeroom_ferpa.reports.settings import ReportsSettings
from homeroom_ferpa.research import codes, studies
from homeroom_ferpa.research.alike import Told, Values, told
from homeroom_ferpa.research.studies import Datum, Study

PURPOSES: Mapping[studies.Purpose, str] = {
    "tests": "a study to develop, validate or administer predictive tests",
    "student_aid": "a study to administer student aid programs",
    "instruction": "a study to improve instruction",
}
UNKNOWN = "unknown"
MISSED, LATE = (5, 10, 20), (5, 20)
"""Where the bands of a share begin, in per cent of a student's marks."""

_COLUMNS = "id, study_id, number, since, until, small_cell, review, students, made_by, made_at"
_ROWS = 300
_LONGEST_INTEREST = 300
_MARKS = f"""
SELECT r.student_id, r.school_id, u.grades, COUNT(*),
  SUM(CASE WHEN r.status IN ('absent', 'excused') THEN 1 ELSE 0 END),
  SUM(CASE WHEN r.status = 'tardy' THEN 1 ELSE 0 END)
FROM attendance_records r JOIN users u ON u.id = r.student_id AND u.{codes.HERE}
WHERE r.school_day >= ? AND r.school_day <= ? GROUP BY r.student_id, r.school_id, u.grades
"""  # noqa: S608 - constants
_SHARING = f"""
SELECT {", ".join(f"e.{name}" for name in _COLUMNS.split(", "))}, s.organisation FROM ferpa_study_extracts e
JOIN ferpa_studies s ON s.id = e.study_id WHERE s.destroyed_on IS NULL AND e.since <= ? AND e.until >= ? ORDER BY e.id
"""  # noqa: S608 - constants
_WHY_NOT: Mapping[studies.State, str] = {
    "not_begun": "This agreement does not hold yet.",
    "over": "The last day of this agreement has passed.",
    "ended": "This agreement has been ended.",
    "destroyed": "The data of this study were destroyed, so the agreement is over.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """What was given and for which days, without the rows."""

    id: str
    study_id: str
    number: int
    since: date
    until: date
    small_cell: int
    review: str
    students: int
    made_by: str | None
    made_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An extract with its rows, in the order of their codes, and whose they are, which does not go out."""

    study: Study
    extract: Extract
    rows: tuple[tuple[str, Told], ...]
    students: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is about to be kept: `rows` by the ids under which they are kept, `students` whose they are."""

    number: int
    small_cell: int
    rows: Mapping[str, Told]
    students: frozenset[str]


async def make(
    services: Services,
    settings: ReportsSettings,
    study_id: str,
    since: date,
    until: date,
    *,
    by: str | None = None,
    request_id: str | None = None,
) -> Extract:
    """The extract of these days: the one that was made, else a new one, which is in the record of disclosures.

    Raises Refused: 404, or 409 without a review of re-identification, while the agreement does not hold, when another
    extract shares some of the days or when nothing can be told. Raises Invalid for days that are not over, or that
    the agreement does not name.
    """
    if not settings.review:
        text = "Set plugins.ferpa.reports.review: where the re-identification review is kept."
        raise Refused(409, "no-review", text)
    today = services.today()
    if not since <= until < today:
        raise _invalid("until", "must be a day that is over, and not before `since`")
    days = since, until
    made = await services.store.read(partial(_made_or_refused, study_id=study_id, days=days, today=today))
    if made is not None:
        return made
    await codes.give(
        services, study_id, await services.store.read(partial(_without_code, study_id=study_id, days=days))
    )
    seed, key = secrets.randbits(256), new_id()
    plan = await services.store.read(partial(_plan, study_id=study_id, days=days, n=settings.small_cell, seed=seed))
    if not plan.rows:
        raise Refused(409, "too-little", "Nothing of these days can be told without telling of single students.")

    def unit(tx: Transaction) -> Extract:
        made = _made_or_refused(tx, study_id, days, today)
        if made is not None:
            return made
        new = Extract(
            id=key,
            study_id=study_id,
            number=plan.number,
            since=since,
            until=until,
            small_cell=plan.small_cell,
            review=settings.review,
            students=len(plan.rows),
            made_by=by,
            made_at=text_of(tx.now),
        )
        _keep(tx, new, plan, request_id)
        return new

    return await services.store.submit(unit)


async def give(services: Services, study_id: str, extract_id: str, *, form: str) -> Given:
    """An extract as it was made; that it is given is entered in the journal first.

    Raises Refused: 404, or 409 once the agreement does not hold, or somebody in it has left the records since: who
    that is would show.
    """
    found = await services.store.read(partial(_given, study_id=study_id, extract_id=extract_id, today=services.today()))
    data = {"extract": extract_id, "form": form, "rows": len(found.rows)}
    await services.store.submit(
        lambda tx: tx.journal("compliance.extract_given", subject_id=study_id, data=data),
    )
    return found


def of_study(connection: Connection, study_id: str) -> list[Extract]:
    """Every extract that was made in a study, the first one first."""
    text = f"SELECT {_COLUMNS} FROM ferpa_study_extracts WHERE study_id = ? ORDER BY number"  # noqa: S608 - constants
    return [_extract(row) for row in connection.sql(text, (study_id,))]


def values(connection: Connection, data: Sequence[Datum], since: date, until: date) -> dict[str, Values]:
    """The truth about each student with marks in these days: what the study asks for, coarse.

    The school is that of most marks; shares are of all marks; the grade is today's.
    """
    names = _schools(connection)
    found: dict[str, list[tuple[str, str | None, tuple[int, ...]]]] = {}
    for student_id, school_id, grades, *counts in connection.sql(_MARKS, (since.isoformat(), until.isoformat())):
        found.setdefault(student_id, []).append((school_id, grades, tuple(map(int, counts))))
    told_of: dict[str, Values] = {}
    for student_id, rows in found.items():
        marks, missed, late = (sum(counts[place] for _, _, counts in rows) for place in range(3))
        school_id, grades, _ = max(rows, key=lambda row: (row[2][0], row[0]))
        all_of_it: dict[Datum, str] = {
            "missed": band(missed, marks, MISSED),
            "late": band(late, marks, LATE),
            "school": names.get(school_id, UNKNOWN),
            "grade": str(next(iter(json.loads(grades or "[]")), UNKNOWN)),
        }
        told_of[student_id] = tuple(all_of_it[name] for name in data)
    return told_of


def band(part: int, whole: int, limits: Sequence[int]) -> str:
    """In words between which of the limits (per cent) a share lies; a band holds its lower limit."""
    reached = [limit for limit in limits if part * 100 >= limit * whole]
    if not reached:
        return f"under {limits[0]} %"
    if len(reached) == len(limits):
        return f"{limits[-1]} % or more"
    return f"{reached[-1]} % to {limits[len(reached)]} %"


def _made_or_refused(connection: Connection, study_id: str, days: tuple[date, date], today: date) -> Extract | None:
    """The extract of just these days. Raises Refused or Invalid when there must not be one."""
    study = studies.read(connection, study_id)
    _check_holds(study, today)
    since, until = days
    if since < study.data_since:
        raise _invalid("since", f"the agreement names days from {study.data_since.isoformat()} on")
    if until > study.data_until:
        raise _invalid("until", f"the agreement names days until {study.data_until.isoformat()}")
    for *row, organisation in connection.sql(_SHARING, (until.isoformat(), since.isoformat())):
        one = _extract(row)
        if one.study_id == study_id and (one.since, one.until) == days:
            return one
        if one.study_id == study_id or organisation.casefold() == study.organisation.casefold():
            text = (
                f"An extract of {one.since.isoformat()} to {one.until.isoformat()} was given to this organisation. "
                "Another one of some of these days could be compared with it; choose days that no extract has."
            )
            raise Refused(409, "overlaps", text)
    return None


def _check_holds(study: Study, today: date) -> None:
    state = study.state(today)
    if state != "current":
        raise Refused(409, "not-current", _WHY_NOT[state])


def _without_code(connection: Connection, study_id: str, days: tuple[date, date]) -> list[str]:
    held = codes.holders(connection, study_id)
    return sorted(values(connection, (), *days).keys() - held.keys())


def _plan(connection: Connection, study_id: str, days: tuple[date, date], n: int, seed: int) -> _Plan:
    with connection.snapshot():
        study = studies.read(connection, study_id)
        earlier = of_study(connection, study_id)
        held = codes.holders(connection, study_id)
        truth = values(connection, study.data, *days)
        before = _before(connection, study_id)
    n = max(n, *(one.small_cell for one in earlier), 0)  # what was hidden behind more is not told for less
    known = {held[student]: row for student, row in truth.items() if student in held}
    dice = random.Random(seed)  # noqa: S311 - its seed is from `secrets`, so nobody can draw the lots again
    rows = told(known, n, before=before, dice=dice)
    students = frozenset(student for student, key in held.items() if key in rows)
    return _Plan(number=len(earlier) + 1, small_cell=n, rows=rows, students=students)


def _before(connection: Connection, study_id: str) -> dict[str, tuple[tuple[int, str], ...]]:
    """All that earlier extracts have told, by the id under which it is kept."""
    text = (
        "SELECT r.code_id, e.number, r.told FROM ferpa_study_rows r JOIN ferpa_study_extracts e ON e.id = r.extract_id "
        "WHERE e.study_id = ? ORDER BY e.number"
    )
    found: dict[str, tuple[tuple[int, str], ...]] = {}
    for key, number, row in connection.sql(text, (study_id,)):
        found[key] = (*found.get(key, ()), (int(number), row))
    return found


def _keep(tx: Transaction, new: Extract, plan: _Plan, request_id: str | None) -> None:
    """Keep the extract with its rows, and enter it with each student's record. Raises Refused 409 at a second one."""
    study = studies.read(tx, new.study_id)
    given = (
        *(new.id, new.study_id, new.number, new.since.isoformat(), new.until.isoformat(), new.small_cell),
        *(new.review, new.students, new.made_by, new.made_at),
    )
    taken = tx.write_sql(
        f"INSERT INTO ferpa_study_extracts ({_COLUMNS}) VALUES ({', '.join('?' * len(given))}) "  # noqa: S608 - constants
        "ON CONFLICT DO NOTHING RETURNING 1",
        given,
    )
    if not taken:
        raise Refused(409, "at-once", "Somebody else makes an extract for this study at this moment; ask again.")
    rows = sorted(plan.rows.items())
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        marks = ", ".join(["(?, ?, ?)"] * len(some))
        flat = [value for key, row in some for value in (new.id, key, json.dumps(row))]
        tx.write_sql(f"INSERT INTO ferpa_study_rows (extract_id, code_id, told) VALUES {marks}", flat)  # noqa: S608 - marks only
    entry = ledger.Entry(
        id=f"extract-{new.id}",
        at=text_of(tx.now),
        party=f"party:{study.organisation}",
        interest=f"{PURPOSES[study.purpose]}: {study.scope}"[:_LONGEST_INTEREST],
        basis=f"99.31(a)(6):{study.id}",
        fields=study.data,
        students=tuple(plan.students),
        notice=True,
        actor_id=new.made_by,
        request_id=request_id,
    )
    ledger.enter(tx, entry)
    data = {"extract": new.id, "since": given[3], "until": given[4], "rows": new.students, "fields": list(study.data)}
    tx.journal("compliance.extract_made", subject_id=study.id, data=data)


def _given(connection: Connection, study_id: str, extract_id: str, today: date) -> Given:
    with connection.snapshot():
        study = studies.read(connection, study_id)
        extract = next((one for one in of_study(connection, study_id) if one.id == extract_id), None)
        if extract is None:
            raise missing()
        _check_holds(study, today)
        known = codes.opened(connection, study_id)
        kept = connection.sql("SELECT code_id, told FROM ferpa_study_rows WHERE extract_id = ?", (extract_id,))
    if any(key not in known for key, _ in kept):
        text = "A student of this extract has left the records since, so it is not given out again: it would show who."
        raise Refused(409, "changed-since", text)
    return Given(
        study=study,
        extract=extract,
        rows=tuple(sorted((known[key][1], tuple(json.loads(row))) for key, row in kept)),
        students=frozenset(known[key][0] for key, _ in kept),
    )


def _schools(connection: Connection) -> dict[str, str]:
    """What each school is called, with its id where two are called the same."""
    rows = connection.sql("SELECT id, name FROM orgs")
    names = [name for _, name in rows]
    return {key: name if names.count(name) == 1 else f"{name} ({key})" for key, name in rows}


def _extract(row: Sequence[Any]) -> Extract:
    given = dict(zip(_COLUMNS.split(", "), row, strict=True))
    days = {name: date.fromisoformat(given[name]) for name in ("since", "until")}
    return Extract(**{**given, **days})


def _invalid(field: str, message: str) -> Invalid:
    return Invalid([FieldError(field=field, message=message)])
