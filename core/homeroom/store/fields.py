"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
from peewee import Field, TextField

_STOCK = 512


_dice: Iterator[bytes] = iter(())


def new_id() -> str:
    """A fresh opaque id: 28 hex digits that sort by the millisecond they were made in, unguessable in the rest."""
    return f"{time.time_ns() // 1_000_000:012x}{_random_8().hex()}"


def _random_8() -> bytes:
    """Eight random bytes. The system is asked for many at once: each question gives up the interpreter's lock."""
    global _dice  # noqa: PLW0603 - the stock of the process
    while True:
        for taken in _dice:
            return taken
        stock = secrets.token_bytes(8 * _STOCK)
        _dice = iter([stock[at : at + 8] for at in range(0, len(stock), 8)])


def _forget_dice() -> None:
    global _dice  # noqa: PLW0603 - a forked child must not repeat its parent's ids
    _dice = iter(())


os.register_at_fork(after_in_child=_forget_dice)


def iso(moment: datetime) -> str:
    """A moment as stored and as sent: RFC 3339 in UTC with microseconds, so that text order is time order."""
    return f"{moment.astimezone(UTC).isoformat(timespec='microseconds')[:-6]}Z"


def id_field() -> TextField[str]:
    """The primary key of a table whose rows are known outside."""
    return TextField(primary_key=True, default=new_id)


class UtcField(Field):
    """An aware moment, kept as RFC 3339 text in UTC: readable, sortable and alike on both databases."""

    field_type = "TEXT"

    def db_value(self, value: datetime | str | None) -> str | None:
        """The text that is stored; a naive moment is refused rather than guessed."""
        if value is None or isinstance(value, str):
            return value
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone was about to be stored")
        return iso(value)

    def python_value(self, value: str | None) -> datetime | None:
        """The moment, aware and in UTC."""
        return None if value is None else datetime.fromisoformat(value)


class JsonField(Field):
    """JSON kept as text, so that both databases hold the same bytes."""

    field_type = "TEXT"

    def db_value(self, value: Any) -> str | None:
        """The JSON text that is stored."""
        return None if value is None else orjson.dumps(value).decode()

    def python_value(self, value: str | None) -> Any:
        """The value as it was stored."""
        return None if value is None else orjson.loads(value)
