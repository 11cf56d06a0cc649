"""The record codes of a study (§99.31(b)(2)): drawn by lot, and known as somebody's only here.

A student has one code in a study, another in each other study. It is sealed under the student's own key, so it is
nobody's any more once the student is erased. No hash is kept by which a code could be found: looking one up opens all.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from functools import partial

from homeroom import Connection, Services, Transaction
from homeroom_ferpa.access.records import missing, new_id, text_of

_LETTERS = "bcdfghjkmnpqrstvwxz"  # no vowels and no digits: neither a word nor what a spreadsheet takes for a number
_LENGTH = 16
_AT_ONCE = 500
HERE = "sort_name <> '~erased'"
"""In `users`: who was not erased. Nothing more may be sealed for those who were."""


def new_code() -> str:
    """A record code: 16 letters drawn by lot, of 19 (68 bits). It is made from nothing else."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


async def give(services: Services, study_id: str, student_ids: Sequence[str]) -> None:
    """Let each of the students have a code in the study; who has one keeps it."""
    for start in range(0, len(student_ids), _AT_ONCE):
        fresh = {one: (new_id(), new_code()) for one in student_ids[start : start + _AT_ONCE]}
        await services.store.submit(partial(_keep, study_id=study_id, fresh=fresh))


def holders(connection: Connection, study_id: str, student_id: str | None = None) -> dict[str, str]:
    """The id under which rows of each student (or of this one) are kept in the study; it stands on no extract."""
    text = (
        "SELECT c.student_id, c.id FROM ferpa_study_codes c "  # noqa: S608 - constants
        f"JOIN users u ON u.id = c.student_id AND u.{HERE} WHERE c.study_id = ?"
    )
    if student_id is not None:
        return dict(connection.sql(f"{text} AND c.student_id = ?", (study_id, student_id)))
    return dict(connection.sql(text, (study_id,)))


def opened(connection: Connection, study_id: str) -> dict[str, tuple[str, str]]:
    """Each student and code of the study, by the id under which the student's rows are kept."""
    text = (
        "SELECT c.id, c.student_id, c.code FROM ferpa_study_codes c "  # noqa: S608 - constants
        f"JOIN users u ON u.id = c.student_id AND u.{HERE} WHERE c.study_id = ?"
    )
    rows = connection.sql(text, (study_id,))
    codes = connection.unseal_many([(student_id, code) for _, student_id, code in rows])
    return {key: (student_id, code) for (key, student_id, _), code in zip(rows, codes, strict=True) if code}


def holder_of(connection: Connection, study_id: str, code: str) -> str:
    """The student whose code in the study it is. Raises Refused 404."""
    wanted = code.strip().lower()
    found = next((student for student, known in opened(connection, study_id).values() if known == wanted), None)
    if found is None:
        raise missing()
    return found


def looked_up(tx: Transaction, key: str, study_id: str, student_id: str, *, reason: str, by: str) -> None:
    """Keep with the student that the code was looked up, by whom and why. Raises Refused 404 for who is gone since."""
    if student_id not in holders(tx, study_id, student_id):
        raise missing()
    tx.write_sql(
        "INSERT INTO ferpa_study_lookups (id, study_id, student_id, reason, looked_up_by, looked_up_at) "
        "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (key, study_id, student_id, tx.seal_for(student_id, reason), by, text_of(tx.now)),
    )
    tx.journal("compliance.code_looked_up", student_id=student_id, subject_id=study_id, data={"lookup": key})


def _keep(tx: Transaction, study_id: str, fresh: Mapping[str, tuple[str, str]]) -> None:
    marks = ", ".join("?" * len(fresh))
    here = tx.sql(f"SELECT id FROM users WHERE {HERE} AND id IN ({marks})", list(fresh))  # noqa: S608 - marks only
    students = sorted(row[0] for row in here)
    sealed = tx.seal_many([(one, fresh[one][1]) for one in students])
    values = [
        value for one, code in zip(students, sealed, strict=True) for value in (fresh[one][0], study_id, one, code)
    ]
    if values:
        rows = ", ".join(["(?, ?, ?, ?)"] * len(students))
        text = f"INSERT INTO ferpa_study_codes (id, study_id, student_id, code) VALUES {rows} ON CONFLICT DO NOTHING"  # noqa: S608 - marks only
        tx.write_sql(text, values)
