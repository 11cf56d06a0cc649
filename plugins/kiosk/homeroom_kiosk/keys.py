"""What students show: cards and PINs, each as a keyed hash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from homeroom import Connection, Refused, Transaction
from homeroom_kiosk.secret_texts import text_of

_CARD, _PIN, _NUMBER = "kiosk.card", "kiosk.pin", "kiosk.number"

Given = Literal["given", "unchanged", "somebody-elses", "blocked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card, without its number."""

    id: str
    student_id: str
    given_at: str
    blocked_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCard:
    """A card to be given out: its `id` is made before the unit of work."""

    id: str
    student_id: str
    card: str = field(repr=False)


def card_as_read(text: str) -> str:
    """A card's text without the blanks and line ends that scanners add."""
    return text.strip()


def find_card(connection: Connection, card: str) -> Card | None:
    """The card with this text, also a blocked one."""
    hashes = connection.cipher.lookups(_CARD, card_as_read(card))
    marks = ", ".join("?" * len(hashes))
    return _card(
        connection.sql(f"SELECT id, student_id, given_at, blocked_at FROM kiosk_cards WHERE card IN ({marks})", hashes)  # noqa: S608 - marks only
    )


def cards_of(connection: Connection, student_id: str) -> list[Card]:
    """A student's cards, the newest first."""
    text = (
        "SELECT id, student_id, given_at, blocked_at FROM kiosk_cards WHERE student_id = ? ORDER BY given_at DESC, id"
    )
    return [card for row in connection.sql(text, (student_id,)) if (card := _card([row])) is not None]


def give(tx: Transaction, new: NewCard, by: str, *, found_again: bool) -> Given:
    """Give a card to a student, unless somebody has it. `found_again` takes a blocked one into use again."""
    known = find_card(tx, new.card)
    if known is not None and known.blocked_at is None:
        mine = known.student_id == new.student_id
        return ("given" if known.id == new.id else "unchanged") if mine else "somebody-elses"
    if known is not None:
        if not found_again:
            return "blocked"
        tx.write_sql("DELETE FROM kiosk_cards WHERE id = ?", (known.id,))
    tx.write_sql(
        "INSERT INTO kiosk_cards (card, id, student_id, given_at, given_by) VALUES (?, ?, ?, ?, ?)",
        (tx.cipher.lookup(_CARD, card_as_read(new.card)), new.id, new.student_id, text_of(tx.now), by),
    )
    tx.journal("kiosk.card_given", student_id=new.student_id, subject_id=new.id)
    return "given"


def block(tx: Transaction, student_id: str, card_id: str) -> None:
    """Let a card open nothing from this moment on. Raises Refused 404 for one that is not the student's."""
    known = [card for card in cards_of(tx, student_id) if card.id == card_id]
    if not known:
        raise Refused(404, "not-found", "This student has no such card.")
    if known[0].blocked_at is None:
        tx.write_sql("UPDATE kiosk_cards SET blocked_at = ? WHERE id = ?", (text_of(tx.now), card_id))
        tx.journal("kiosk.card_blocked", student_id=student_id, subject_id=card_id)


def set_pin(tx: Transaction, student_id: str, pin: str, by: str) -> None:
    """Keep a student's PIN in place of the one before."""
    tx.write_sql(
        "INSERT INTO kiosk_pins (student_id, pin, made_at, made_by) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (student_id) DO UPDATE SET pin = excluded.pin, made_at = excluded.made_at, "
        "made_by = excluded.made_by",
        (student_id, tx.cipher.lookup(_PIN, f"{student_id} {pin}"), text_of(tx.now), by),
    )
    tx.journal("kiosk.pin_set", student_id=student_id, subject_id=student_id)


def remove_pin(tx: Transaction, student_id: str) -> None:
    """Keep no PIN of a student."""
    if tx.write_sql("DELETE FROM kiosk_pins WHERE student_id = ? RETURNING 1", (student_id,)):
        tx.journal("kiosk.pin_removed", student_id=student_id, subject_id=student_id)


def pin_made_at(connection: Connection, student_id: str) -> str | None:
    """When a student's PIN was made; None where there is none."""
    rows = connection.sql("SELECT made_at FROM kiosk_pins WHERE student_id = ?", (student_id,))
    return rows[0][0] if rows else None


def fits(connection: Connection, student_id: str, pin: str) -> bool:
    """Whether this is the student's PIN. An id that nobody has takes the same way."""
    hashes = connection.cipher.lookups(_PIN, f"{student_id} {pin}")
    marks = ", ".join("?" * len(hashes))
    text = f"SELECT 1 FROM kiosk_pins WHERE student_id = ? AND pin IN ({marks})"  # noqa: S608 - marks only
    return bool(connection.sql(text, (student_id, *hashes)))


def number_hash(connection: Connection, school_id: str, number: str) -> str:
    """Under which name wrong tries with a student number are counted, whether or not anybody has it."""
    return connection.cipher.lookup(_NUMBER, f"{school_id} {number}")


def forget(tx: Transaction, student_ids: Iterable[str]) -> None:
    """Keep nothing of these people."""
    for student_id in student_ids:
        for table in ("cards", "pins", "entries"):
            tx.write_sql(f"DELETE FROM kiosk_{table} WHERE student_id = ?", (student_id,))  # noqa: S608 - constants
        tx.write_sql("DELETE FROM kiosk_tries WHERE subject_id = ?", (student_id,))


def _card(rows: list[tuple[object, ...]]) -> Card | None:
    if not rows:
        return None
    card_id, student_id, given_at, blocked_at = rows[0]
    blocked = None if blocked_at is None else str(blocked_at)
    return Card(id=str(card_id), student_id=str(student_id), given_at=str(given_at), blocked_at=blocked)
