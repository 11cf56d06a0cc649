"""A OneRoster server, 1.2 and 1.1, over a synthetic district: read only, as the standard is.

    simulator = OneRosterSimulator(sample_district(students=500), links=False, max_limit=100)

A vendor that serves OneRoster in its own way subclasses it: `prefixes`, `token_path`, `shape`, `place`, `link`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

import orjson
from quart import Response, request

from homeroom import Noun, Record
from homeroom.testing.sample import SampleDistrict
from homeroom.testing.simulator import Simulator
from homeroom_oneroster.filters import BadFilter, filtered
from homeroom_oneroster.gate import SCOPES, Gate
from homeroom_oneroster.selection import KINDS, Selected, Selection, Unknown
from homeroom_oneroster.shapes import OPTIONAL, Shapes, Version, moment

Row = dict[str, Any]

_DEFAULT_LIMIT = 100
_LISTS: dict[Noun, str] = {
    "org": "orgs",
    "academicSession": "academic_sessions",
    "course": "courses",
    "class": "classes",
    "user": "users",
    "enrollment": "enrollments",
}
_CODES = {
    400: "invalid_selection_field",
    401: "unauthorisedrequest",
    403: "forbidden",
    404: "unknownobject",
    422: "invaliddata",
}


class Refusal(Exception):
    """What the server does not do; `minor` is OneRoster's word for it."""

    def __init__(self, status: int, minor: str | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.minor = minor or _CODES[status]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What a request for a collection asks for."""

    offset: int
    limit: int
    sort: str | None
    descending: bool
    filter: str | None
    fields: tuple[str, ...]


class OneRosterSimulator(Simulator):
    """Serves both versions at once, each at its prefix; `version` is the one that `settings` names.

    `links` and `totals` say whether it tells of further pages by Link and by X-Total-Count, `max_limit` to how many
    rows it silently clamps a page, `scopes` which it grants, `auth` how it is signed in to. `error_shape` is one of
    those that real servers use.
    """

    name: ClassVar[str] = "oneroster"
    title: ClassVar[str] = "OneRoster 1.2 and 1.1"
    evidence: ClassVar[str] = (
        "Built from 1EdTech's OpenAPI description of 1.2, against which its answers are checked, and from the text of "
        "1.1; never compared with a vendor's server."
    )
    prefixes: ClassVar[Mapping[Version, str]] = {
        "1.2": "/ims/oneroster/rostering/v1p2",
        "1.1": "/ims/oneroster/v1p1",
    }
    token_path: ClassVar[str] = "/token"  # noqa: S105 - an address
    token_paths: ClassVar[tuple[str, ...]] = ("/token",)
    small_pages: ClassVar[Mapping[str, Any]] = {"page_size": 10}

    def __init__(
        self,
        district: SampleDistrict,
        *,
        misbehave: Collection[str] = (),
        version: Version = "1.2",
        auth: Literal["oauth2", "oauth1", "bearer"] = "oauth2",
        links: bool = True,
        totals: bool = True,
        max_limit: int | None = None,
        scopes: Collection[str] = SCOPES,
        error_shape: Literal["flat", "wrapped", "html"] = "flat",
        revision: str | None = None,
    ) -> None:
        super().__init__(district, misbehave=misbehave)
        self.version: Version = version
        self.links = links
        self.totals = totals
        self.max_limit = max_limit
        self.error_shape = error_shape
        self.revision = revision
        self.gate = Gate(self, auth, scopes)
        self._selection = Selection(district)
        self.app.add_url_rule(self.token_path, "token", self.gate.token, methods=["POST", "GET"])
        for one, prefix in self.prefixes.items():
            self.app.add_url_rule(f"{prefix}/<path:path>", f"rows-{one}", self._view(one))

    def settings(self, url: str) -> dict[str, Any]:
        """The connector's settings with which it reads this simulator at `url`."""
        how: dict[str, Any] = {"base_url": f"{url}{self.prefixes[self.version]}", "version": self.version}
        if self.gate.auth == "bearer":
            return {**how, "auth": "bearer", "token": self.gate.fixed_token}
        how |= {"auth": self.gate.auth, "client_id": self.client_id, "client_secret": self.client_secret}
        return how | ({"token_url": f"{url}{self.token_path}"} if self.gate.auth == "oauth2" else {})

    def put(self, record: Record) -> None:
        """Add a record, or change the one with its id; it counts as changed now."""
        rows = self._rows(record.noun)
        changed = replace(record, modified=self.now())
        for position, row in enumerate(rows):
            if row.sourced_id == record.sourced_id:
                rows[position] = changed
                return
        rows.append(changed)

    def remove(self, noun: Noun, sourced_id: str, *, announce: bool = True) -> None:
        """Take a record away: it stays as "tobedeleted", or without `announce` is not there any more."""
        rows = self._rows(noun)
        for row in [row for row in rows if row.sourced_id == sourced_id]:
            if announce:
                self.put(replace(row, status="tobedeleted"))
            else:
                rows.remove(row)

    def shape(self, shapes: Shapes, collection: str, record: Any) -> Row:
        """A record as this server shows it."""
        return shapes.demographics(record) if collection == "demographics" else shapes.of(record)

    def place(self, version: Version, path: str) -> str:  # noqa: ARG002 - for subclasses
        """What a path below the prefix means, in the district's own ids."""
        return path

    def link(self, asking: Asking, count: int, total: int) -> str | None:
        """The Link header of a page of `count` rows, None for none."""
        last = (max(total, 1) - 1) // asking.limit * asking.limit
        places = {"first": 0, "last": last}
        if asking.offset + count < total:
            places["next"] = asking.offset + count
        if asking.offset:
            places["prev"] = max(0, asking.offset - asking.limit)
        return ", ".join(f'<{self.address(asking, offset)}>; rel="{rel}"' for rel, offset in places.items())

    def address(self, asking: Asking, offset: int) -> str:
        """The address of the page of this request's collection that begins at `offset`."""
        asked = {**request.args.to_dict(), "limit": str(asking.limit), "offset": str(offset)}
        return f"{request.base_url}?{urlencode(asked)}"

    def refuse(self, refusal: Refusal) -> Response:
        """An error in one of the shapes of real servers."""
        if self.error_shape == "html":
            return Response("<h1>Error</h1>", refusal.status, {"Content-Type": "text/html"})
        field = {"imsx_codeMinorFieldName": "TargetEndSystem", "imsx_codeMinorFieldValue": refusal.minor}
        body: Row = {
            "imsx_codeMajor": "failure",
            "imsx_severity": "error",
            "imsx_description": refusal.minor.replace("_", " "),
            "imsx_CodeMinor": {"imsx_codeMinorField": [field]},
        }
        if self.error_shape == "wrapped":
            body = {"imsx_StatusInfo": {**body, "imsx_CodeMinor": refusal.minor}}
        return _json(body, refusal.status)

    def _rows(self, noun: Noun) -> list[Any]:
        rows: list[Any] = getattr(self.district, _LISTS[noun])
        return rows

    def _view(self, version: Version) -> Callable[[str], Any]:
        async def view(path: str) -> Response:
            try:
                selected = self._selection.of(self.place(version, path))
                status = self.gate.refusal(selected, version)
                return self._answer(version, selected) if status is None else self.refuse(Refusal(status))
            except Unknown:
                return self.refuse(Refusal(404))
            except Refusal as refusal:
                return self.refuse(refusal)

        return view

    def _answer(self, version: Version, selected: Selected) -> Response:
        shapes = Shapes(version, f"{request.host_url.rstrip('/')}{self.prefixes[version]}")
        if selected.single:
            row = self._dressed(shapes, selected.collection, selected.one())
            return _json({KINDS[selected.collection]: row})
        asking = _asking(self.max_limit)
        rows = selected.rows(asking.sort)
        if asking.filter:
            rows = self._filtered(shapes, selected.collection, rows, asking.filter)
        if asking.descending:
            rows = rows[::-1]
        page = self.page(rows, asking.offset, asking.limit)
        shown = [self._dressed(shapes, selected.collection, row) for row in page]
        if asking.fields:
            shown = [_chosen(row, asking.fields) for row in shown]
        response = _json({selected.wrapped: shown})
        if self.totals:
            response.headers["X-Total-Count"] = str(len(rows))
        link = self.link(asking, len(page), len(rows)) if self.links else None
        if link:
            response.headers["Link"] = link
        if self.revision is not None:
            response.headers["x-perm-rev"] = self.revision
        return response

    def _dressed(self, shapes: Shapes, collection: str, record: Any) -> Row:
        needs_end = KINDS[collection] == "academicSession"
        optional = [name for name in OPTIONAL if name != "endDate" or not needs_end]
        return self.dress(self.shape(shapes, collection, record), optional=optional)

    def _filtered(self, shapes: Shapes, collection: str, rows: Sequence[Any], text: str) -> list[Any]:
        def texts(record: Any, field: str) -> list[str] | None:
            if field == "dateLastModified":
                return [moment(record)]
            if field in ("status", "sourcedId"):
                return [record.status if field == "status" else record.sourced_id]
            return _texts(self.shape(shapes, collection, record), field.split("."))

        try:
            return filtered(rows, text, texts)
        except BadFilter:
            raise Refusal(400, "invalid_filter_field") from None


def _asking(max_limit: int | None) -> Asking:
    """The request's parameters. Raises Refusal."""
    try:
        limit, offset = int(request.args.get("limit", _DEFAULT_LIMIT)), int(request.args.get("offset", 0))
    except ValueError:
        raise Refusal(422) from None
    if limit < 1 or offset < 0:
        raise Refusal(422)
    return Asking(
        offset=offset,
        limit=min(limit, max_limit or limit),
        sort=request.args.get("sort"),
        descending=request.args.get("orderBy") == "desc",
        filter=request.args.get("filter"),
        fields=tuple(part.strip() for part in request.args.get("fields", "").split(",") if part.strip()),
    )


def _chosen(row: Row, fields: Sequence[str]) -> Row:
    """The row with the asked fields only. Raises Refusal for one that does not exist."""
    chosen = {name: row[name] for name in fields if name in row}
    if not chosen:
        raise Refusal(400)
    return chosen


def _texts(value: Any, path: Sequence[str]) -> list[str]:
    """The texts at a dotted path, through lists too."""
    if isinstance(value, list):
        return [text for one in value for text in _texts(one, path)]
    if not path:
        return [] if value is None else [str(value)]
    return _texts(value.get(path[0]), path[1:]) if isinstance(value, dict) else []


def _json(body: Row, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, {"Content-Type": "application/json"})
