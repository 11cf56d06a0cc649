"""From rows of the Generic API to pages of records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from homeroom import Noun, Page, Record, RowError, SourceError
from homeroom_oneroster.facts import BadField, JsonRow
from homeroom_skyward import tables as t
from homeroom_skyward.generic import Generic, Row, Table, key_of

YES = (True, 1, "true", "True")
"""How a field says yes."""

Reading = Callable[[JsonRow], Record]


class Partly(BadField):
    """A value that cannot be taken, beside the `record` that can."""

    def __init__(self, cause: BadField, record: Record) -> None:
        super().__init__(cause.column, str(cause))
        self.record = record


"""Makes a record of a row. Raises BadField."""


def page_of(noun: Noun, table: Table, rows: Sequence[Row], reading: Reading, *, prefix: str = "") -> Page:
    """A page of records that are made of one row each; what cannot be read is told by its key.

    `prefix` stands before the key in the sourced ids.
    """
    records: dict[str, tuple[Record, str]] = {}
    errors: list[RowError] = []
    for raw in rows:
        where = f"{table} {table.key} {key_of(table, raw)}"
        try:
            record = reading(JsonRow(raw, where))
        except Partly as exc:
            record, told = exc.record, {"reason": str(exc), "field": exc.column}
            errors.append(RowError(noun=noun, where=where, **told, sourced_id=record.sourced_id, part=True))
            records[record.sourced_id] = record, where
        except BadField as exc:
            known = None if table is t.STAFF_MEET else f"{prefix}{key_of(table, raw)}"
            errors.append(RowError(noun=noun, where=where, reason=str(exc), field=exc.column, sourced_id=known))
        else:
            records[record.sourced_id] = record, where
    return Page(
        records=[record for record, _ in records.values()],
        places=[where for _, where in records.values()],
        errors=errors,
    )


async def schools_of(generic: Generic) -> dict[str, str]:
    """The school that each entity stands for: its default one, where it has several."""
    found: dict[str, str] = {}
    for row in await generic.all(t.ENTITY_SCHOOL):
        entity = str(row.get("EntityID"))
        if entity not in found or row.get("IsDefaultSchoolForEntity") in YES:
            found[entity] = str(row.get("SchoolID"))
    if not found:
        raise SourceError(f"{t.ENTITY_SCHOOL}: no school belongs to any entity, so nothing can be placed", retry=True)
    return found


def grouped(rows: Iterable[Row], field: str) -> dict[str, list[Row]]:
    """Rows by what they have in a field."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[str(row.get(field))].append(row)
    return found
