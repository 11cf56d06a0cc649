"""An Ed-Fi ODS/API over a synthetic district: the resources that Homeroom reads, and attendance events.

Built from the official ds-5.0 description [C] (VENDORS.md, 5.1); problem bodies and change queries as its text tells
[C]. Never tried against a real ODS.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import orjson
from quart import Response, request

from homeroom.testing.sample import SampleDistrict
from homeroom.testing.simulator import Simulator
from homeroom_edfi.resources import Resources, Row
from homeroom_edfi.settings import CATEGORIES

_MOST = 500
_DATA = "/data/v3/ed-fi"
_EVENTS = ("studentSectionAttendanceEvents", "studentSchoolAttendanceEvents")
_OPTIONAL = {"staffs": ("electronicMails",), "contacts": ("electronicMails", "telephones")}


class EdFiSimulator(Simulator):
    """An ODS. `may_not` names resources that the key's claims leave out; `with_changes` False keeps no versions."""

    name: ClassVar[str] = "edfi"
    title: ClassVar[str] = "Ed-Fi ODS/API (data standard 5.0)"
    evidence: ClassVar[str] = (
        "Built from the official ds-5.0 API description; our own requests for resources and attendance events were "
        "checked against it through Prism, those for descriptors and changes were not. Never tried against a real ODS."
    )
    token_paths: ClassVar[tuple[str, ...]] = ("/oauth/token",)

    def __init__(
        self,
        district: SampleDistrict,
        *,
        misbehave: Collection[str] = (),
        may_not: Collection[str] = (),
        with_changes: bool = True,
    ) -> None:
        super().__init__(district, misbehave=misbehave)
        self.may_not = set(may_not)
        self.with_changes = with_changes
        self.version = 1
        self.events: dict[str, dict[tuple[Any, ...], Row]] = {one: {} for one in _EVENTS}
        self.gone: dict[str, list[Row]] = {}
        self.renamed: dict[str, list[Row]] = {}
        self._made = Resources(district)
        self.rows = self._made.rows
        self.app.post("/oauth/token")(self._token)
        self.app.get("/changeQueries/v1/availableChangeVersions")(self._versions)
        self.app.get(f"{_DATA}/<resource>")(self._list)
        self.app.get(f"{_DATA}/<resource>/deletes")(self._deletes)
        self.app.get(f"{_DATA}/<resource>/keyChanges")(self._key_changes)
        self.app.post(f"{_DATA}/<resource>")(self._upsert)
        self.app.delete(f"{_DATA}/<resource>/<row_id>")(self._delete)

    def settings(self, url: str) -> dict[str, Any]:
        """What the connector is set to."""
        return {"base_url": url, "client_id": self.client_id, "client_secret": self.client_secret}

    def attendance(self) -> list[dict[str, Any]]:
        """Every event: the student as the sample calls them, the day, and the category."""
        return [
            {
                "student": self._made.samples[row["studentReference"]["studentUniqueId"].casefold()],
                "school_day": row["eventDate"],
                "code": row["attendanceEventCategoryDescriptor"].rpartition("#")[2],
                "section": row.get("sectionReference", {}).get("sectionIdentifier"),
            }
            for events in self.events.values()
            for row in events.values()
        ]

    def unique_id(self, student: str) -> str:
        """A student of the sample as the ODS calls them."""
        return self._made.unique[student]

    def remove(self, resource: str, position: int = 0) -> Row:
        """Delete one row, as somebody at the SIS would; change queries tell of it."""
        row = self.rows[resource].pop(position)
        self.version += 1
        key = _flat(row)
        self.gone.setdefault(resource, []).append({"id": row["id"], "changeVersion": self.version, "keyValues": key})
        return row

    def add(self, resource: str, row: Row) -> None:
        """Add one row, or put back one that was removed."""
        self.version += 1
        self.rows[resource].append({**row, "_change": self.version})

    async def _token(self) -> Response:
        pair = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        form = await request.form
        if request.headers.get("Authorization") != f"Basic {pair}" or form.get("grant_type") != "client_credentials":
            return _json({"error": "invalid_client"}, 401)
        return _json({"access_token": self.issue_token(), "expires_in": 1800, "token_type": "bearer"})

    async def _versions(self) -> Response:
        if not self.with_changes:
            return _problem(404, "Not Found")
        if not self.token_is_good():
            return _problem(401, "Unauthorized")
        return _json({"oldestChangeVersion": 0, "newestChangeVersion": self.version})

    def _refusal(self, resource: str) -> Response | None:
        if not self.token_is_good():
            return _problem(401, "Unauthorized")
        if resource not in self.rows and resource not in self.events:
            return _problem(404, "Not Found")
        if resource in self.may_not:
            return _problem(403, "Authorization Denied")
        return None

    async def _list(self, resource: str) -> Response:
        refusal = self._refusal(resource)
        if refusal is not None:
            return refusal
        rows = self._filtered(resource)
        try:
            offset, limit = int(request.args.get("offset", 0)), int(request.args.get("limit", 25))
        except ValueError:
            return _problem(400, "Bad Request")
        if not 0 <= limit <= _MOST:
            return _problem(400, "Bad Request")
        shown = [self._shown(resource, row) for row in self.page(rows, offset, limit)]
        headers = {"Total-Count": str(len(rows))} if request.args.get("totalCount") == "true" else {}
        return _json(shown, 200, headers)

    def _filtered(self, resource: str) -> Sequence[Row]:
        rows: Sequence[Row] = list(self.events[resource].values()) if resource in self.events else self.rows[resource]
        tests: list[Callable[[Row], bool]] = []
        least = request.args.get("minChangeVersion")
        if least is not None:
            tests.append(lambda row: row.get("_change", 0) >= int(least))
        day = request.args.get("eventDate")
        if day is not None:
            tests.append(lambda row: row["eventDate"] == day)
        school = request.args.get("schoolId")
        if school is not None:
            tests.append(lambda row: str(_flat(row).get("schoolId")) == school)
        return [row for row in rows if all(test(row) for test in tests)] if tests else rows

    def _shown(self, resource: str, row: Row) -> Row:
        kept = {name: value for name, value in row.items() if name != "_change"}
        return self.dress(kept, optional=_OPTIONAL.get(resource, ()))

    async def _deletes(self, resource: str) -> Response:
        return self._refusal(resource) or self._changes(self.gone.get(resource, []))

    async def _key_changes(self, resource: str) -> Response:
        return self._refusal(resource) or self._changes(self.renamed.get(resource, []))

    def _changes(self, rows: Sequence[Row]) -> Response:
        least = int(request.args.get("minChangeVersion", 0))
        found = [row for row in rows if row["changeVersion"] >= least]
        return _json(found, 200, {"Total-Count": str(len(found))})

    async def _upsert(self, resource: str) -> Response:
        refusal = self._refusal(resource)
        if refusal is not None:
            return refusal
        if resource not in self.events:
            return _problem(405, "Method Not Allowed")
        body = await request.get_json()
        wrong = _wrong_with(body, self._made)
        if wrong is not None:
            return wrong
        key = _key(body)
        known = self.events[resource].get(key)
        row = {**body, "id": known["id"] if known else uuid.uuid4().hex}
        self.events[resource][key] = row
        location = f"{request.url}/{row['id']}"
        return Response(b"", 200 if known else 201, {"Location": location, "ETag": row["id"]})

    async def _delete(self, resource: str, row_id: str) -> Response:
        refusal = self._refusal(resource)
        if refusal is not None:
            return refusal
        held = self.events.get(resource, {})
        key = next((key for key, row in held.items() if row["id"] == row_id), None)
        if key is None:
            return _problem(404, "Not Found")
        del held[key]
        return Response(b"", 204)


_SECTION = ("schoolId", "schoolYear", "sessionName", "localCourseCode", "sectionIdentifier")


def _wrong_with(body: Mapping[str, Any], made: Resources) -> Response | None:
    """The refusal of an event that the ODS would not take."""
    required = {"attendanceEventCategoryDescriptor", "eventDate", "studentReference"}
    missing = sorted(required - set(body))
    if missing:
        return _problem(400, "Data Validation Failed", {f"$.{name}": ["required"] for name in missing})
    category = body["attendanceEventCategoryDescriptor"]
    if category.rpartition("#")[2].casefold() not in {one.casefold() for one in CATEGORIES.values()}:
        return _problem(400, "Data Validation Failed", {"$.attendanceEventCategoryDescriptor": ["unknown"]})
    section = body.get("sectionReference")
    is_known = section is None or tuple(str(section.get(name)) for name in _SECTION) in made.section_keys
    if not is_known or body["studentReference"]["studentUniqueId"].casefold() not in made.samples:
        return _problem(409, "Unresolved Reference")
    return None


def _key(body: Mapping[str, Any]) -> tuple[Any, ...]:
    """The natural key of an event: with the category and, in the reference, the session [C]."""
    flat = _flat(body)
    return (
        body["eventDate"],
        body["attendanceEventCategoryDescriptor"].casefold(),
        *(str(flat.get(name, "")).casefold() for name in ("studentUniqueId", *_SECTION)),
    )


def _flat(row: Mapping[str, Any]) -> Row:
    """The values of a row's key, references opened."""
    flat: Row = {}
    for name, value in row.items():
        if name.endswith("Reference") and isinstance(value, Mapping):
            flat |= value
        elif not isinstance(value, (list, dict)):
            flat[name] = value
    return flat


def _json(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(data), status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def _problem(status: int, title: str, errors: Mapping[str, Any] | None = None) -> Response:
    body = {
        "type": f"urn:ed-fi:api:{title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": "The request could not be processed.",
        "correlationId": uuid.uuid4().hex,
        **({"validationErrors": errors} if errors else {}),
    }
    return Response(orjson.dumps(body), status, {"Content-Type": "application/problem+json"})
