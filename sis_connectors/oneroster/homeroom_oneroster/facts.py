"""What a row tells, of whatever kind it is: read by the names that OneRoster's CSV files give to the columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import unquote

_TRUE = ("true", "1", "yes")
_FALSE = ("false", "0", "no")
_REFERENCES = {
    "classSourcedId": "class",
    "courseSourcedId": "course",
    "orgSourcedId": "org",
    "parentSourcedId": "parent",
    "schoolSourcedId": "school",
    "userSourcedId": "user",
}
_LISTS = {"agentSourcedIds": "agents", "orgSourcedIds": "orgs", "termSourcedIds": "terms"}
_IN_1_1 = {"birthDate": "birthdate"}
"""What REST calls a column in 1.1, where it is not as in 1.2."""
_JSON = {
    **_REFERENCES,
    **_LISTS,
    "preferredGivenName": "preferredFirstName",
    "preferredFamilyName": "preferredLastName",
}


class BadField(ValueError):
    """A value that cannot be taken; the text says why and does not repeat the value."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


class Facts(ABC):
    """One row, its values by column name. `where` says where it stands."""

    __slots__ = ("where",)

    where: str

    @abstractmethod
    def text(self, column: str) -> str | None:
        """The value without surrounding blanks; None when it is empty or there is no such column."""

    @abstractmethod
    def listed(self, column: str) -> tuple[str, ...]:
        """The parts of a value that is a list."""

    def named(self, column: str) -> str:
        """What the source itself calls this column."""
        return column

    def needed(self, column: str) -> str:
        """The value. Raises BadField when it is empty."""
        value = self.text(column)
        if value is None:
            raise BadField(self.named(column), "this is empty")
        return value

    def flag(self, column: str, *, default: bool) -> bool:
        """A yes or no. Raises BadField for anything else."""
        value = (self.text(column) or "").casefold()
        if not value:
            return default
        if value in _TRUE or value in _FALSE:
            return value in _TRUE
        raise BadField(self.named(column), "this is neither true nor false")

    def day(self, column: str, *, later: int = 0) -> date | None:
        """A date, `later` days on; a time of day after it is left out. Raises BadField for anything else.

        The first day that programs know (0001-01-01) stands for none; the last one stays what it is.
        """
        value = self.text(column)
        if value is None:
            return None
        try:
            told = date.fromisoformat(value[:10] if value[10:11] in ("", "T", " ") else value)
        except ValueError:
            raise BadField(self.named(column), "this is not a date (YYYY-MM-DD)") from None
        if told == date.min:
            return None
        return min(told, date.max - timedelta(days=later)) + timedelta(days=later)

    def moment(self, column: str) -> datetime | None:
        """A moment in UTC; None also for what is not one, since nothing but the order of changes hangs on it."""
        value = self.text(column)
        try:
            told = datetime.fromisoformat(value) if value else None
        except ValueError:
            return None
        return told and (told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC))

    def status(self) -> str:
        """Whether the row is "active" (also when empty, as in bulk files) or "tobedeleted". Raises BadField."""
        value = (self.text("status") or "active").casefold()
        if value in ("active", "tobedeleted"):
            return value
        if value == "inactive":  # OneRoster 1.0's word, still sent by some
            return "tobedeleted"
        raise BadField("status", "this is neither active nor tobedeleted")


class JsonRow(Facts):
    """One object of a REST answer. References are read by their `sourcedId`; numbers and booleans count as text."""

    __slots__ = ("_row",)

    def __init__(self, row: Mapping[str, Any], where: str) -> None:
        self._row = row
        self.where = where

    def named(self, column: str) -> str:
        """What the REST binding calls this column."""
        return _JSON.get(column, column)

    @property
    def id(self) -> str | None:
        """The row's `sourcedId` where it has a usable one."""
        try:
            return self.text("sourcedId")
        except BadField:
            return None

    def has(self, name: str) -> bool:
        """Whether the object has this property at all, by its name in JSON, with a value."""
        return self._row.get(name) is not None

    def objects(self, name: str) -> list[JsonRow]:
        """The objects of a list, by its name in JSON. Raises BadField for anything else."""
        values = self._row.get(name)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise BadField(name, "this is not a list of objects")
        return [JsonRow(value, self.where) for value in values]

    def text(self, column: str) -> str | None:
        """The value without surrounding blanks; None when it is empty or absent. Raises BadField for an object."""
        name = _JSON.get(column, column)
        value = self._row.get(name)
        if value is None and column in _IN_1_1:
            value = self._row.get(_IN_1_1[column])
        if isinstance(value, dict) and column in _REFERENCES:
            value = _referred(value)
        if isinstance(value, str):
            return value.strip() or None
        if value is None:
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(int(value) if value == value // 1 else value)
        raise BadField(name, "this is not text")

    def listed(self, column: str) -> tuple[str, ...]:
        """The texts of a list, or the ids of a list of references. Raises BadField for anything else."""
        name = _JSON.get(column, column)
        value = self._row.get(name)
        if value is None or value == "":
            return ()
        if isinstance(value, str):
            return tuple(part for part in (one.strip() for one in value.split(",")) if part)
        if isinstance(value, dict):  # some write a list of one as the thing itself
            value = [value]
        if not isinstance(value, list):
            raise BadField(name, "this is not a list")
        texts = (_referred(one) if isinstance(one, dict) else one for one in value)
        return tuple(str(text).strip() for text in texts if text not in (None, ""))


def _referred(reference: Mapping[str, Any]) -> Any:
    """The id that a reference names: its own, else the last part of its address, which may be relative."""
    named = reference.get("sourcedId")
    href = reference.get("href")
    if named in (None, "") and isinstance(href, str):
        return unquote(href.partition("?")[0].rstrip("/").rpartition("/")[2])
    return named
