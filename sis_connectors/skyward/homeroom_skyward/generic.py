"""Qmlativ's Generic API: every object alike, by module and name, in pages, with search conditions.

    students = Table("Student", "Student", "StudentID", ("StudentID", "NameID"))
    async for rows in generic.sheets(students, [equal("IsCurrentActive", 1)]): ...

Rows are asked for in the order of their key, from the last known key on and never by page number: so rows that come
or go meanwhile push no other over the edge of a page. At the end the newest key is asked for, so that a list that
stops in the middle is noticed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from homeroom import SisHttp, SourceError, VendorError

Condition = Mapping[str, Any]
Row = dict[str, Any]

DISTRICT = 1  # the entity that stands for the whole district
_NO_FIELDS = ("ValidationRules", "Relationships")
_PATIENCE = 3  # how often the same rows, or an early end, are asked for again
_AT_ONCE = 500  # ids in one condition


@dataclass(frozen=True, slots=True)
class Table:
    """One object of Skyward's: its module, name and key, and the fields that are asked for."""

    module: str
    name: str
    key: str
    fields: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.module}/{self.name}"


def equal(field: str, value: int) -> Condition:
    """Rows whose `field` is this number (1 for true)."""
    return _condition("LongSearchCondition", field, "Equal", Value=value)


def among(field: str, values: Sequence[int]) -> Condition:
    """Rows whose `field` is one of these numbers."""
    return _condition("LongSearchCondition", field, "List", List=list(values))


def on(field: str, text: str) -> Condition:
    """Rows whose `field`, a date or text, is this."""
    return _condition("StringSearchCondition", field, "Equal", Value=text)


def since(field: str, text: str) -> Condition:
    """Rows whose `field` is this moment or a later one."""
    return _condition("StringSearchCondition", field, "GreaterEqual", Value=text)


def _after(field: str, value: int) -> Condition:
    return _condition("LongSearchCondition", field, "Greater", Value=value)


def _condition(kind: str, field: str, how: str, **operand: Any) -> Condition:
    return {kind: {"ConditionType": how, "FieldName": field, **operand}}


class Generic:
    """The objects of one entity, and of one school year where `school_year_id` says which (`year`: as a field)."""

    def __init__(
        self, http: SisHttp, *, entity_id: int = DISTRICT, school_year_id: int | None = None, page_size: int = 1000
    ) -> None:
        self.http = http
        self.year: dict[str, int] = {} if school_year_id is None else {"SchoolYearID": school_year_id}
        self._entity = entity_id
        self._page_size = page_size

    async def fields(self, table: Table) -> frozenset[str]:
        """The fields of an object that we may see. Raises VendorError when there are none."""
        reply = await self.http.get(self._path(table))
        if not isinstance(reply.data, dict):
            raise SourceError(f"the answer about {table} holds no fields; check that base_url is Qmlativ's API")
        return frozenset(name for name in reply.data if name not in _NO_FIELDS)

    async def sheets(
        self, table: Table, conditions: Sequence[Condition] = (), *, after: int = 0
    ) -> AsyncIterator[list[Row]]:
        """The rows with a key above `after`, in the order of their keys. Raises SourceError."""
        tries = 0
        while True:
            rows = await self._page(table, [*conditions, _after(table.key, after)], self._page_size)
            new = [row for row in rows if key_of(table, row) > after]
            if any(key_of(table, a) >= key_of(table, b) for a, b in pairwise(new)):
                raise SourceError(f"{table}: the rows are not in the order of {table.key} that was asked for")
            if new:
                after, tries = key_of(table, new[-1]), 0
                yield new
            if len(new) < self._page_size and await self._newest(table, conditions) <= after:
                return
            tries += not new
            if tries == _PATIENCE:
                raise SourceError(f"{table}: the system leaves out the last rows", retry=True)

    async def all(self, table: Table, conditions: Sequence[Condition] = ()) -> list[Row]:
        """Every row, of an object that has few."""
        return [row async for rows in self.sheets(table, conditions) for row in rows]

    async def of(self, table: Table, field: str, ids: Sequence[int], *more: Condition) -> list[Row]:
        """The rows whose `field` is among `ids`."""
        wanted = sorted(set(ids))
        found: list[Row] = []
        for start in range(0, len(wanted), _AT_ONCE):
            found += await self.all(table, [among(field, wanted[start : start + _AT_ONCE]), *more])
        return found

    async def create(self, table: Table, values: Row) -> int:
        """Make a new row; gives its key. Raises SourceError, also when nobody knows whether it was made."""
        reply = await self.http.request(
            "PUT", self._path(table), params=self._shown(table.key), json={"DataObject": values}, idempotent=False
        )
        if not isinstance(reply.data, dict):
            raise SourceError(f"the answer to a new {table} holds no {table.key}", retry=True)
        return key_of(table, reply.data)

    async def update(self, table: Table, key: int, values: Row) -> None:
        """Change fields of a row. Raises SourceError."""
        path = f"{self._path(table)}/{key}"
        await self.http.request(
            "POST", path, params=self._shown(table.key), json={"DataObject": values}, idempotent=True
        )

    async def delete(self, table: Table, key: int) -> None:
        """Take a row away; one that is gone already is no error. Raises SourceError."""
        await self.http.request("DELETE", f"{self._path(table)}/{key}", accept=(404,))

    async def _newest(self, table: Table, conditions: Sequence[Condition]) -> int:
        rows = await self._page(table, conditions, 1, newest=True)
        return key_of(table, rows[0]) if rows else 0

    async def _page(
        self, table: Table, conditions: Sequence[Condition], size: int, *, newest: bool = False
    ) -> list[Row]:
        group = {"ConditionGroupType": "And", "Conditions": list(conditions)}
        body = {
            "SearchCondition": {"SearchConditionGroup": group} if conditions else None,
            "SearchSort": [{"FieldName": table.key, "Descending": newest}],
        }
        params = {**self._shown(*table.fields), **self.year}
        path = f"{self._path(table)}/1/{size}"
        try:
            reply = await self.http.request("POST", path, params=params, json=body, idempotent=True)
        except VendorError as exc:
            raise _named(table, exc) from None
        found = reply.data.get("Objects") if isinstance(reply.data, dict) else None
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise SourceError(f"the answer of {table} holds no list of Objects; check that base_url is Qmlativ's API")
        return found

    def _path(self, table: Table) -> str:
        return f"/Generic/{self._entity}/{table}"

    def _shown(self, *names: str) -> dict[str, str | int]:
        return {f"searchFields[{number}]": name for number, name in enumerate(names)}


def key_of(table: Table, row: Mapping[str, Any]) -> int:
    """The key of a row. Raises SourceError for a row that has none."""
    return number_of(table, row, table.key)


def number_of(table: Table, row: Mapping[str, Any], field: str) -> int:
    """A number that every row must have. Raises SourceError."""
    try:
        return int(row[field])
    except (KeyError, TypeError, ValueError):
        raise SourceError(f"{table}: a row has no {field}; let our API user read that field") from None


def whole(value: object) -> int | None:
    """A number, also from a text; None for anything else."""
    try:
        return int(value)  # type: ignore[call-overload, no-any-return] # whatever JSON holds
    except (TypeError, ValueError):
        return None


def _named(table: Table, exc: VendorError) -> VendorError:
    """The refusal with the object that it is about; a sign-in is about none."""
    if exc.signing_in:
        return exc
    return VendorError(
        f"{table}: {exc}",
        status=exc.status,
        data=exc.data,
        retry=exc.retry,
        retry_after=exc.retry_after,
        fix=exc.fix,
    )
