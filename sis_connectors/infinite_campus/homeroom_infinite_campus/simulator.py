"""Infinite Campus over a synthetic district: OneRoster 1.2 and 1.1 with Campus's own ids, tokens and links.

How sure each thing is known: [C] Campus's documents say so, [1] one program that works does, [I] inferred.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import orjson
from quart import Response, request

from homeroom import User
from homeroom.testing import SampleDistrict
from homeroom_oneroster.shapes import Shapes, Version
from homeroom_oneroster.simulator import Asking, OneRosterSimulator, Row

_LETTERS = {"student": "S", "teacher": "T", "guardian": "G", "parent": "G"}


class InfiniteCampusSimulator(OneRosterSimulator):
    """Serves both versions; `version` is the one that `settings` names.

    `without_portal` are the people who have no portal account: Campus does not show them, but their enrollments.
    """

    name = "infinite_campus"
    title = "Infinite Campus"
    evidence = (
        "Built from Campus's own pages about OneRoster [C], from one program that reads it [1], and OneRoster itself "
        "as its own simulator has it; never compared with a Campus server. Campus takes no attendance by API [N]."
    )
    prefixes: ClassVar[Mapping[Version, str]] = {
        "1.2": "/campus/api/ims/oneroster/rostering/v1p2",  # [C]
        "1.1": "/campus/api/ims/oneroster/v1p1",  # [I]
    }
    token_path = "/campus/oauth2/token"  # noqa: S105 - an address [C]
    token_paths = ("/campus/oauth2/token",)
    small_pages: ClassVar[Mapping[str, Any]] = {"page_size": 10}

    def __init__(
        self,
        district: SampleDistrict,
        *,
        misbehave: Collection[str] = (),
        version: Version = "1.2",
        totals: bool = True,
        without_portal: Collection[str] = (),
    ) -> None:
        hidden = set(without_portal)
        if hidden:
            district = replace(district, users=[user for user in district.users if user.sourced_id not in hidden])
        super().__init__(district, misbehave=misbehave, version=version, totals=totals, max_limit=10_000)
        self._letters: dict[str, str] = {}
        self.app.before_request(self._app_name)

    def settings(self, url: str) -> dict[str, Any]:
        """The connector's settings with which it reads this simulator at `url`."""
        return {
            "base_url": f"{url}{self.prefixes[self.version]}",
            "token_url": f"{url}{self.token_path}?appName=homeroom",
            "version": self.version,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }

    def shape(self, shapes: Shapes, collection: str, record: Any) -> Row:
        """In 1.1 a person's id begins with the letter of the role; 1.2 has another id and tells that one [C]."""
        row = super().shape(shapes, collection, record)
        if isinstance(record, User):
            if shapes.version == "1.1":
                row["sourcedId"] = self._old(record.sourced_id)
                row["agents"] = [self._named(agent) for agent in row.get("agents", [])]
            else:
                row["metadata"] = {"ic": {"legacySourceId": self._old(record.sourced_id)}}
        elif collection == "enrollments" and shapes.version == "1.1":
            row["user"] = self._named(row["user"])
        return row

    def place(self, version: Version, path: str) -> str:
        """What a path means in the district's own ids."""
        first, *rest = path.split("/")
        if version == "1.1" and rest and first in ("users", "students", "teachers", "demographics"):
            return "/".join((first, rest[0][1:], *rest[1:]))
        return path

    def link(self, asking: Asking, count: int, total: int) -> str | None:
        """`last` is the current page, `next` goes on for ever, and addresses hold `?&` [1]."""
        current = self.address(asking, asking.offset)
        following = asking.offset + count if asking.offset + count < total else asking.offset
        places = {"next": self.address(asking, following), "last": current}
        return ", ".join(f'<{url.replace("?", "?&", 1)}>; rel="{rel}"' for rel, url in places.items())

    async def _app_name(self) -> Response | None:
        """A token is asked for by a named application [C]; what happens without the name is inferred [I]."""
        if request.path == self.token_path and not request.args.get("appName"):
            return Response(orjson.dumps({"error": "invalid_request"}), 400, {"Content-Type": "application/json"})
        return None

    def _old(self, sourced_id: str) -> str:
        if sourced_id not in self._letters:
            roles = {user.sourced_id: user.roles[0].role for user in self.district.users if user.roles}
            self._letters |= {one: _LETTERS.get(role, "P") for one, role in roles.items()}
        return f"{self._letters.get(sourced_id, 'P')}{sourced_id}"

    def _named(self, reference: Row) -> Row:
        old = self._old(reference["sourcedId"])
        return {**reference, "sourcedId": old, "href": f"{reference['href'].rpartition('/')[0]}/{old}"}
