"""What everything else hangs on: PowerSchool's schools, the school year to read, and the district's own day."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from homeroom import RowError, SourceError
from homeroom_powerschool import ids, places, quirks
from homeroom_powerschool.client import Client
from homeroom_powerschool.places import School, Term
from homeroom_powerschool.quirks import Unreadable

_KEEP = timedelta(minutes=10)


class Frame:
    """Schools and terms, read once and kept for ten minutes. Raises SourceError when they cannot be read."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._schools: tuple[datetime, list[School]] | None = None
        self._terms: tuple[datetime, list[Term]] | None = None
        self.errors: list[RowError] = []

    async def today(self) -> date:
        """The day it is in the district."""
        return self._client.now().astimezone(await self._client.zone()).date()

    async def schools(self) -> list[School]:
        """Every school. Raises SourceError where PowerSchool lists none: that is a fault and no empty district."""
        if self._schools is None or self._client.now() - self._schools[0] > _KEEP:
            items = await self._all("/ws/v1/district/school", "school")
            try:
                found = [places.school(item) for item in items]
            except Unreadable as exc:
                raise SourceError(f"PowerSchool's list of schools cannot be read: {exc.field}: {exc}") from None
            if not found:
                raise SourceError("PowerSchool lists no schools at all, so nothing was read. Try again later.")
            self._schools = self._client.now(), found
        return self._schools[1]

    async def terms(self) -> list[Term]:
        """Every term of every school; those that cannot be read are in `errors`."""
        if self._terms is None or self._client.now() - self._terms[0] > _KEEP:
            found: list[Term] = []
            errors: list[RowError] = []
            for school in await self.schools():
                for item in await self._all(f"/ws/v1/school/{school.dcid}/term", "term"):
                    try:
                        found.append(places.term(item))
                    except Unreadable as exc:
                        errors.append(_error(item, exc))
            self.errors = errors
            self._terms = self._client.now(), found
        return self._terms[1]

    async def year(self) -> ids.YearId:
        """The school year from which on classes are read: the earliest that has not ended, else the last one.

        Between two school years this is the one to come as soon as its terms are there, and the old one until then.
        """
        terms = await self.terms()
        if not terms:
            raise SourceError("PowerSchool holds no terms, so there is no school year to read. Set up its years first.")
        today = await self.today()
        current = [term.year for term in terms if term.ends_on > today]
        return min(current) if current else max(term.year for term in terms)

    async def number_of(self, school: ids.SchoolDcid) -> ids.SchoolNumber:
        """The school's number, by which attendance refers to it. Raises Unplaceable for an unknown one."""
        for known in await self.schools():
            if known.dcid == school:
                return known.number
        raise ids.Unplaceable("PowerSchool has no such school any more; run a full sync")

    async def _all(self, path: str, kind: str) -> list[Any]:
        """A whole list, however many pages it has; as many as PowerSchool counts."""
        size = await self._client.page_of(kind)
        total = await self._client.count(path)
        found: list[Any] = []
        page = 1
        while len(found) < total:
            data = await self._client.get(path, page=page, pagesize=size)
            items = quirks.collection(data, f"{kind}s", kind)
            if not items:
                break
            found += items
            page += 1
        by_id = {quirks.as_text(quirks.as_object(item).get("id")): item for item in found}
        if len(by_id) != total:
            raise SourceError(
                f"PowerSchool counts {total} {kind}s and gave {len(by_id)}, so nothing was read. Try again later."
            )
        return list(by_id.values())


def _error(item: Any, exc: Unreadable) -> RowError:
    dcid = quirks.as_text(quirks.as_object(item).get("id"))
    return RowError(
        noun="academicSession",
        where=f"term {dcid}",
        reason=str(exc),
        field=exc.field,
        sourced_id=f"term-{dcid}" if dcid else None,
    )
