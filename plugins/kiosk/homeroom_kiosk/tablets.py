"""The tablets: each one's school and place, the code that sets it up, and the token that it then shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from homeroom import Connection, Refused, Transaction
from homeroom_kiosk.secret_texts import hashed, text_of

_COLUMNS = "id, school_id, place, made_at, seen_at, revoked_at, token IS NOT NULL, code_until"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tablet:
    """One tablet. `set_up` says that it has a token; `code_until` is set while a code waits to be typed."""

    id: str
    school_id: str
    place: str
    made_at: str
    seen_at: str | None
    revoked_at: str | None
    set_up: bool
    code_until: str | None


def of_school(connection: Connection, school_id: str) -> list[Tablet]:
    """A school's tablets, those that work first."""
    order = "ORDER BY revoked_at IS NOT NULL, place, id"
    return _found(connection.sql(f"SELECT {_COLUMNS} FROM kiosk_tablets WHERE school_id = ? {order}", (school_id,)))  # noqa: S608 - constants


def of_token(connection: Connection, token: str) -> Tablet | None:
    """The tablet that shows this token, unless it was revoked."""
    text = f"SELECT {_COLUMNS} FROM kiosk_tablets WHERE token = ? AND revoked_at IS NULL"  # noqa: S608 - constants
    return next(iter(_found(connection.sql(text, (hashed(token),)))), None)


def one(connection: Connection, school_id: str, tablet_id: str) -> Tablet:
    """A school's tablet that works. Raises Refused 404 for one of another school, or revoked."""
    text = f"SELECT {_COLUMNS} FROM kiosk_tablets WHERE id = ? AND school_id = ? AND revoked_at IS NULL"  # noqa: S608 - constants
    found = _found(connection.sql(text, (tablet_id, school_id)))
    if not found:
        raise Refused(404, "not-found", "There is no such tablet at this school, or it was switched off.")
    return found[0]


def make(tx: Transaction, tablet_id: str, school_id: str, place: str, by: str) -> None:
    """Enter a new tablet, which nobody has set up yet."""
    if tx.sql("SELECT 1 FROM kiosk_tablets WHERE id = ?", (tablet_id,)):
        return  # the same unit run again
    tx.write_sql(
        "INSERT INTO kiosk_tablets (id, school_id, place, made_at, made_by) VALUES (?, ?, ?, ?, ?)",
        (tablet_id, school_id, place, text_of(tx.now), by),
    )
    tx.journal("kiosk.tablet_made", subject_id=tablet_id, data={"school": school_id, "place": place})


def give_code(tx: Transaction, tablet_id: str, code: str, until: datetime) -> None:
    """Keep the code that sets a tablet up; one that was given before is good for nothing."""
    tx.write_sql(
        "UPDATE kiosk_tablets SET code = ?, code_until = ? WHERE id = ?", (hashed(code), text_of(until), tablet_id)
    )
    tx.journal("kiosk.code_given", subject_id=tablet_id)


def set_up(tx: Transaction, code: str, token: str) -> Tablet | None:
    """The tablet of a code, which is thereby used up; its token before is good for nothing. None for a wrong code."""
    rows = tx.sql(
        "SELECT id FROM kiosk_tablets WHERE code = ? AND code_until > ? AND revoked_at IS NULL",
        (hashed(code), text_of(tx.now)),
    )
    if rows:
        tx.write_sql(
            "UPDATE kiosk_tablets SET token = ?, code = NULL, code_until = NULL WHERE id = ?",
            (hashed(token), rows[0][0]),
        )
        tx.journal("kiosk.tablet_set_up", subject_id=rows[0][0])
    return of_token(tx, token)


def revoke(tx: Transaction, tablet: Tablet) -> None:
    """Switch a tablet off for good, from this moment on."""
    tx.write_sql(
        "UPDATE kiosk_tablets SET revoked_at = ?, token = NULL, code = NULL, code_until = NULL WHERE id = ?",
        (text_of(tx.now), tablet.id),
    )
    tx.journal("kiosk.tablet_revoked", subject_id=tablet.id, data={"school": tablet.school_id})


def saw(tx: Transaction, tablet: Tablet) -> None:
    """Keep that the tablet has just asked something."""
    tx.write_sql("UPDATE kiosk_tablets SET seen_at = ? WHERE id = ?", (text_of(tx.now), tablet.id))


def _found(rows: list[tuple[object, ...]]) -> list[Tablet]:
    return [
        Tablet(
            id=str(row[0]),
            school_id=str(row[1]),
            place=str(row[2]),
            made_at=str(row[3]),
            seen_at=None if row[4] is None else str(row[4]),
            revoked_at=None if row[5] is None else str(row[5]),
            set_up=bool(row[6]),
            code_until=None if row[7] is None else str(row[7]),
        )
        for row in rows
    ]
