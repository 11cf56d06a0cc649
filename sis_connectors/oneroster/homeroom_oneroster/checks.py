"""What is wrong with a OneRoster server as it is set up for us: each collection tried, each finding with its fix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from homeroom import Finding, SourceError, VendorError
from homeroom_oneroster.facts import BadField, JsonRow

if TYPE_CHECKING:
    from homeroom_oneroster.rest import RestConnector

NEEDED: dict[str, tuple[str, ...]] = {
    "orgs": ("sourcedId", "name", "type"),
    "academicSessions": ("sourcedId", "title", "type", "startDate", "endDate"),
    "courses": ("sourcedId", "title"),
    "classes": ("sourcedId", "title", "schoolSourcedId"),
    "users": ("sourcedId", "givenName", "familyName"),
    "enrollments": ("sourcedId", "userSourcedId", "classSourcedId", "role"),
    "demographics": ("sourcedId", "birthDate"),
}
"""What a row must have to be of use, by the columns' names in CSV."""

_SAMPLE = 20  # rows looked at in each collection
_BASE = {"1.2": "/ims/oneroster/rostering/v1p2", "1.1": "/ims/oneroster/v1p1"}
_LACK = {
    "demographics": "Without it there are no birth dates here; all else is read.",
    "academicSessions": "Without it every day counts as a school day.",
    "courses": "Without it classes have no courses here; all else is read.",
}


async def findings(connector: RestConnector) -> Sequence[Finding]:
    """Everything that keeps rosters from being read, in plain words; empty when all is well."""
    found: list[Finding] = []
    unknown, strange = 0, 0
    for collection in NEEDED:
        try:
            shown = await connector.sample(collection, _SAMPLE)
        except VendorError as exc:
            if exc.signing_in:
                return [_sign_in(exc)]
            if not (400 <= exc.status < 500):  # noqa: PLR2004
                return [*found, _unreachable(exc)]
            unknown += exc.status == 404  # noqa: PLR2004
            strange += exc.status == 401  # noqa: PLR2004
            found.append(_refused(connector, collection, exc))
        except SourceError as exc:
            return [*found, _unreachable(exc)]
        else:
            found += _lacking(collection, shown)
    if unknown == len(NEEDED):
        fix = f"Copy base_url from the vendor's page; for OneRoster {connector.version} it mostly ends in "
        return [Finding(problem="There is no OneRoster at base_url.", fix=f"{fix}{_BASE[connector.version]}.")]
    if strange == len(NEEDED):
        fix = "Copy the id and secret, or the token, once more from the vendor's page, and check `auth`."
        return [Finding(problem="The system does not accept how we sign in.", fix=fix)]
    return found


def _sign_in(exc: VendorError) -> Finding:
    error = exc.data.get("error") if isinstance(exc.data, dict) else None
    if error == "invalid_scope":
        return Finding(
            problem="The system does not grant us the scope that was asked for.",
            fix="Ask the vendor which scopes our client has, and set `scope` to those.",
        )
    return Finding(
        problem="The system does not know our client id and secret.",
        fix="Copy both once more from the vendor's page, and see whether it wants them in the form: token_auth.",
    )


def _unreachable(exc: SourceError) -> Finding:
    text = str(exc)
    return Finding(
        problem=f"{text[:1].upper()}{text[1:]}.", fix="Check base_url and token_url, or try again in a few minutes."
    )


def _refused(connector: RestConnector, collection: str, exc: VendorError) -> Finding:
    lack = _LACK.get(collection, "Without it no roster can be read.")
    path = connector.path(collection)
    if exc.status == 404:  # noqa: PLR2004
        return Finding(problem=f"The system has no {path}. {lack}", fix=f"Ask the vendor to switch {collection} on.")
    if exc.status in (401, 403):
        scope = "roster-demographics.readonly" if collection == "demographics" else "roster-core.readonly"
        fix = f"Ask the district's data steward or the vendor to let our client read {collection}"
        return Finding(
            problem=f"We may not read {path}. {lack}",
            fix=f"{fix}, in OneRoster 1.2 by the scope {scope}." if connector.version == "1.2" else f"{fix}.",
        )
    return Finding(
        problem=f"The system refused {path} (status {exc.status}). {lack}",
        fix="Check that `version` is the one that the system speaks, and tell the vendor.",
    )


def _lacking(collection: str, rows: Sequence[Any]) -> list[Finding]:
    """A finding for a collection that is empty, or whose rows all lack what is needed."""
    if not rows:
        return [
            Finding(
                problem=f"The system shows us no {collection}.",
                fix="See which schools and terms the district shares with our client.",
            )
        ]
    objects = [JsonRow(row, "") for row in rows if isinstance(row, dict)]
    found = [name for name in NEEDED[collection] if not any(_has(row, name) for row in objects)]
    names = ", ".join(row.named(name) for row in objects[:1] for name in found)
    if collection == "users" and not any(row.has("roles") or row.has("role") for row in objects):
        names = ", ".join(filter(None, (names, "roles")))
    if not names and objects:
        return []
    return [
        Finding(
            problem=f"The first rows of {collection} lack: {names or 'everything'}.",
            fix="Ask the vendor to share these fields with our client.",
        )
    ]


def _has(row: JsonRow, column: str) -> bool:
    try:
        return row.text(column) is not None
    except BadField:
        return False
