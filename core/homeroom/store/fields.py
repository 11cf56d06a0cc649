"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import orjson
from peewee import Field, TextField

from homeroom.store.dice import Dice

_RANDOM = Dice(8)


def new_id() -> str:
    """A fresh opaque id: 28 hex digits that sort by the millisecond they were made in, unguessable in the rest."""
    return f"{time.time_ns() // 1_000_000:012x}{_RANDOM.throw().hex()}"


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
