"""Skyward SMS 2.0's own REST API: schools and students with their schools, and nothing else that is known of.

One working client is all that the routes, the paging and the names of the fields come from. It is written in a
language that does not heed the case of names, so neither does this.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from homeroom import (
    Finding,
    Noun,
    Org,
    Page,
    Pull,
    Record,
    Reply,
    RowError,
    SisHttp,
    SourceError,
    User,
    UserRole,
    VendorError,
)
from homeroom_oneroster.facts import BadField, JsonRow
from homeroom_skyward.words import may_not_read, sign_in_refused, unreachable

_SCHOOL = ("SchoolId", "SchoolName")
_STUDENT = ("NameId", "FirstName", "LastName", "SchoolId", "schoolIds")
_NAMES = {name.casefold(): name for name in (*_SCHOOL, *_STUDENT)}
_PLACES: dict[Noun, tuple[str, str]] = {"org": ("/v1/schools", "SchoolId"), "user": ("/v1/students", "NameId")}
_LINK = re.compile(r"<([^>]*)>([^,<]*)")
_NOT_NEXT = re.compile(r"rel\s*=\s*\"?(first|prev|last|self)")

LIMITS = Finding(
    problem="Skyward SMS 2.0's own API gives schools and students only: no classes, no staff, no guardians.",
    fix='Ask Skyward to license OneRoster and set roster = "oneroster", or set roster = "api" to do with these.',
)


class SmsRoster:
    """Reads schools and students. `is_chosen` says that the district knows that there is no more to be had."""

    nouns: tuple[Noun, ...] = ("org", "user")

    def __init__(self, http: SisHttp, *, page_size: int = 1000, is_chosen: bool = True) -> None:
        self._http = http
        self._page_size = page_size
        self._is_chosen = is_chosen

    async def check(self) -> Sequence[Finding]:
        """Try both lists: what cannot be read or is missing, and what this API cannot give."""
        found = [] if self._is_chosen else [LIMITS]
        for (path, _), needed in zip(_PLACES.values(), (_SCHOOL, _STUDENT), strict=True):
            try:
                rows, _ = await self._ask(path, "", limit=20)
            except VendorError as exc:
                if exc.signing_in:
                    return [sign_in_refused("the key and secret of the API user (Secured User, API button)")]
                if exc.status not in (401, 403, 404):
                    return [*found, unreachable(exc)]
                found.append(may_not_read(path))
            except SourceError as exc:
                return [*found, unreachable(exc)]
            else:
                found += _lacking(path, rows, needed)
        return found

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        """Read one list page by page; it has no filter for changes, so all of it is read each time."""
        path, key = _PLACES[pull.noun]
        cursor, before = _cursor(pull.cursor) if pull.cursor else ("", None)
        asked = {cursor}
        while True:
            rows, following = await self._ask(path, cursor)
            if _first(rows, key) == before is not None:
                rows, following = await self._ask(path, cursor)
                if _first(rows, key) == before:
                    raise SourceError("the system gives the same page again and again", retry=True)
            before = _first(rows, key)
            where = f"{path}, after cursor {cursor!r}" if cursor else path
            page = _page(pull.noun, rows, where)
            if following is None:
                yield page
                return
            if following in asked:
                raise SourceError("the system's pages go round in a circle; tell Skyward's support", retry=True)
            asked.add(following)
            cursor = following
            kept = orjson.dumps([cursor, before]).decode()
            yield Page(records=page.records, places=page.places, errors=page.errors, cursor=kept, whole=True)

    async def _ask(self, path: str, cursor: str, *, limit: int | None = None) -> tuple[list[Any], str | None]:
        params: dict[str, str | int] = {"paging.limit": limit or self._page_size, "paging.cursor": cursor}
        reply = await self._http.get(path, params)
        if not isinstance(reply.data, list):
            raise SourceError(f"the answer of {path} is no list; check that base_url is SMS 2.0's API")
        return reply.data, _following(reply)


def _following(reply: Reply) -> str | None:
    """The cursor of the next page, from a Link whose URL calls it `cursor` where the API wants `paging.cursor`.

    Only the cursor is taken from it; the address itself is never followed.
    """
    for url, about in _LINK.findall(reply.headers.get("link", "")):
        query = parse_qs(urlsplit(str(url)).query)
        for name in ("paging.cursor", "cursor"):
            if query.get(name) and not _NOT_NEXT.search(str(about)):
                return query[name][0]
    return None


def _cursor(text: str) -> tuple[str, str | None]:
    try:
        cursor, before = orjson.loads(text)
        return str(cursor), before
    except (TypeError, ValueError):
        raise SourceError("the place to read on from is not one of this connector; start a new run") from None


def _first(rows: Sequence[Any], key: str) -> str | None:
    return _row(rows[0], "").text(key) if rows and isinstance(rows[0], dict) else None


def _row(raw: dict[str, Any], where: str) -> JsonRow:
    return JsonRow({_NAMES.get(name.casefold(), name): value for name, value in raw.items()}, where)


def _page(noun: Noun, rows: Sequence[Any], where: str) -> Page:
    records: list[Record] = []
    places: list[str] = []
    errors: list[RowError] = []
    for number, raw in enumerate(rows):
        place = f"{where}, row {number + 1}"
        if not isinstance(raw, dict):
            errors.append(RowError(noun=noun, where=place, reason="this is not an object"))
            continue
        row = _row(raw, place)
        try:
            records.append(_school(row) if noun == "org" else _student(row))
        except BadField as exc:
            _, key = _PLACES[noun]
            errors.append(RowError(noun=noun, where=place, reason=str(exc), field=exc.column, sourced_id=_id(row, key)))
        else:
            places.append(place)
    return Page(records=records, places=places, errors=errors, whole=True)


def _id(row: JsonRow, key: str) -> str | None:
    try:
        return row.text(key)
    except BadField:
        return None


def _school(row: JsonRow) -> Org:
    return Org(sourced_id=row.needed("SchoolId"), name=row.needed("SchoolName"), kind="school")


def _student(row: JsonRow) -> User:
    """A student; whatever this API does not tell (numbers, addresses, birth dates) stays as it is known here."""
    main = row.text("SchoolId")
    schools = dict.fromkeys(filter(None, (main, *row.listed("schoolIds"))))
    given, family = row.text("FirstName"), row.text("LastName")
    if given is None and family is None:
        raise BadField("LastName", "there is no name")
    told = ("given_name", "family_name", *(("roles",) if schools else ()))
    return User(
        sourced_id=row.needed("NameId"),
        given_name=given or "",
        family_name=family or "",
        roles=tuple(UserRole(role="student", org=one, primary=one == (main or next(iter(schools)))) for one in schools),
        only=told,
    )


def _lacking(path: str, rows: Sequence[Any], needed: Sequence[str]) -> list[Finding]:
    objects = [_row(raw, "") for raw in rows if isinstance(raw, dict)]
    if not objects:
        fix = "See which schools and school years Skyward shares with the API user."
        return [Finding(problem=f"Skyward shows us nothing at {path}.", fix=fix)]
    missing = [name for name in needed if not any(row.has(name) for row in objects)]
    if {"SchoolId", "schoolIds"} - set(missing):
        missing = [name for name in missing if name not in ("SchoolId", "schoolIds") or path == "/v1/schools"]
    if not missing:
        return []
    fix = "Let the API user see these fields, in the security group of the user in Skyward."
    return [Finding(problem=f"The first rows of {path} lack: {', '.join(missing)}.", fix=fix)]
