"""Reading an ODS: pages by offset with the count beside them, changes since a version, and what was deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from homeroom import ClientCredentials, Services, SisHttp, SourceError, VendorError
from homeroom_edfi.settings import EdFiSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One page of a resource: its rows, where the next begins (None after the last), and how many there are in all."""

    rows: list[dict[str, Any]]
    next: int | None
    total: int | None


class Client:
    """The resources of one ODS. Raises SourceError, and VendorError where the ODS answered."""

    def __init__(self, settings: EdFiSettings, services: Services) -> None:
        self.settings = settings
        token = ClientCredentials(
            url=settings.token_url, client_id=settings.client_id, client_secret=settings.client_secret
        )
        self.http = SisHttp(services, settings.base_url, token=token, min_interval=settings.min_interval)

    def path(self, resource: str) -> str:
        """Where a resource is."""
        return f"{self.settings.data_path}/ed-fi/{resource}"

    async def page(self, resource: str, offset: int, **filters: Any) -> Batch:
        """The rows of a resource from `offset` on."""
        limit = self.settings.page_size
        params = {"offset": offset, "limit": limit, "totalCount": "true", **filters}
        reply = await self.http.get(self.path(resource), params)
        if not isinstance(reply.data, list):
            raise SourceError(f"the answer for {resource} is not a list; the base URL may be wrong")
        total = reply.headers.get("total-count")
        count = int(total) if total and total.isdigit() else None
        after = offset + len(reply.data)
        # A server may give fewer rows than were asked for: the count, where there is one, says whether that was all.
        is_last = not reply.data or (after >= count if count is not None else len(reply.data) < limit)
        return Batch(rows=reply.data, next=None if is_last else after, total=count)

    async def all(self, resource: str, **filters: Any) -> AsyncIterator[dict[str, Any]]:
        """Every row of a resource. Raises SourceError (`retry`) when the ODS gives fewer than it counts.

        That is so, too, where a row goes while pages are read: the next page then begins one row too late.
        """
        offset: int | None = 0
        counted = 0
        seen: set[int] = set()
        while offset is not None:
            batch = await self.page(resource, offset, **filters)
            for number, row in enumerate(batch.rows, start=offset):
                seen.add(hash(row.get("id", number)))
                yield row
            counted, offset = max(counted, batch.total or 0), batch.next
        if len(seen) < counted:
            raise SourceError(f"the ODS counts {counted} {resource} and gave {len(seen)}", retry=True)

    async def newest_change(self) -> int | None:
        """The newest change version, or None where the ODS keeps none (change queries are switched off)."""
        reply = await self.http.get(f"{self.settings.changes_path}/availableChangeVersions", accept=(404,))
        if reply.status == 404 or not isinstance(reply.data, Mapping):  # noqa: PLR2004 - not found
            return None
        for name in ("newestChangeVersion", "NewestChangeVersion"):  # it changed between versions of the API
            if name in reply.data:
                return int(reply.data[name])
        return None

    async def knows(self, resource: str) -> bool:
        """Whether the ODS has a resource of this name at all, whether we may read it or not."""
        reply = await self.http.get(self.path(resource), {"limit": 1}, accept=(403, 404))
        return reply.status != 404  # noqa: PLR2004 - not found

    async def may_read(self, resource: str) -> bool:
        """Whether the key's claims cover a resource."""
        try:
            await self.http.get(self.path(resource), {"limit": 1})
        except VendorError as exc:
            if exc.status in (403, 404):
                return False
            raise
        return True
