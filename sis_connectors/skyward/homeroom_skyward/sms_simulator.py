"""Skyward SMS 2.0: its own REST API, and OneRoster 1.1 for districts that license it."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

import orjson
from quart import Response, request

from homeroom import Org, User
from homeroom.testing import SampleDistrict
from homeroom_oneroster.shapes import Version
from homeroom_oneroster.simulator import OneRosterSimulator
from homeroom_skyward.numbers import number

_API = "/api"
_ONEROSTER = "/oneroster/ims/oneroster/v1p1"
_DEFAULT_LIMIT = 100


class SkywardSmsSimulator(OneRosterSimulator):
    """Serves both; `roster` is the one that `settings` names."""

    name = "skyward"
    title = "Skyward SMS 2.0"
    evidence = (
        "Built from one program that reads SMS 2.0 [1], and OneRoster 1.1 from the standard; never compared with "
        "a Skyward server. No way to write attendance was found [?]."
    )
    prefixes: ClassVar[Mapping[Version, str]] = {"1.1": _ONEROSTER}
    token_path = "/oneroster/oauth2/token"  # noqa: S105 - an address
    token_paths = (f"{_API}/token", "/oneroster/oauth2/token")
    small_pages: ClassVar[Mapping[str, Any]] = {"page_size": 10}

    def __init__(
        self, district: SampleDistrict, *, misbehave: Collection[str] = (), roster: Literal["api", "oneroster"] = "api"
    ) -> None:
        super().__init__(district, misbehave=misbehave, version="1.1")
        self.roster = roster
        self.app.add_url_rule(f"{_API}/token", "sms-token", self._token, methods=["POST"])
        self.app.add_url_rule(f"{_API}/v1/schools", "schools", self._schools)
        self.app.add_url_rule(f"{_API}/v1/students", "students", self._students)
        self.app.add_url_rule(f"{_API}/v1/students/<int:name_id>/enrollments", "stays", self._enrollments)

    def settings(self, url: str) -> dict[str, Any]:
        """The connector's settings with which it reads this simulator at `url`."""
        how: dict[str, Any] = {
            "product": "sms2",
            "roster": self.roster,
            "base_url": f"{url}{_API}",
            "token_url": f"{url}{_API}/token",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        if self.roster == "oneroster":
            how |= {"oneroster_url": f"{url}{_ONEROSTER}", "token_url": f"{url}{self.token_path}"}
        return how

    async def _token(self) -> Response:
        """A token by the password grant: the key is the user name, the secret the password [1]."""
        form = await request.form
        if form.get("grant_type") != "password":
            return _json({"error": "unsupported_grant_type"}, 400)
        if (form.get("username"), form.get("password")) != (self.client_id, self.client_secret):
            return _json({"error": "invalid_grant"}, 400)
        return _json({"access_token": self.issue_token(), "token_type": "bearer", "expires_in": 3600})

    async def _schools(self) -> Response:
        """Schools: SchoolId, SchoolName [1]."""
        return self._listed(self.district.schools, self._school)

    async def _students(self) -> Response:
        """Students: NameId, FirstName, LastName, SchoolId, schoolIds [1]."""
        return self._listed(
            [user for user in self.district.people("student") if user.status == "active"], self._student
        )

    async def _enrollments(self, name_id: int) -> Response:
        """A student's stays at schools; that the route is there is known [1], what it gives is not [?]."""
        users = [user for user in self.district.people("student") if number("name", user.sourced_id) == name_id]
        stays = [{"SchoolId": self._school_id(role.org)} for user in users for role in user.roles]
        return self._listed(stays, lambda stay: stay)

    def _listed(self, rows: Sequence[Any], shape: Any) -> Response:
        """A plain array; the next page stands in a Link without `rel`, whose URL says `cursor` [1]. No count.

        A page beyond the last has no Link [1]. That a token is refused with 401 is inferred [I].
        """
        if not self.token_is_good():
            return _json({"Message": "Authorization has been denied for this request."}, 401)
        limit = int(request.args.get("paging.limit") or _DEFAULT_LIMIT)
        offset = _offset(request.args.get("paging.cursor", ""))
        page = self.page(rows, offset, limit)
        shown = [self.dress(shape(row), optional=("SchoolId",) if shape == self._student else ()) for row in page]
        response = _json(shown)
        end = len(rows) // 2 if "half" in self.misbehave else len(rows)
        if offset + limit < end and "empty" not in self.misbehave:
            asked = urlencode({"paging.limit": limit, "cursor": _cursor(offset + limit)})
            response.headers["Link"] = f"<{request.base_url}?{asked}>"
        return response

    def _school(self, org: Org) -> dict[str, Any]:
        return {"SchoolId": self._school_id(org.sourced_id), "SchoolName": org.name}

    def _student(self, user: User) -> dict[str, Any]:
        schools = [self._school_id(role.org) for role in user.roles]
        return {
            "NameId": number("name", user.sourced_id),
            "FirstName": user.given_name,
            "LastName": user.family_name,
            "schoolIds": schools,
            "SchoolId": schools[0],
        }

    def _school_id(self, sourced_id: str) -> str:
        return next(org.identifier or org.sourced_id for org in self.district.orgs if org.sourced_id == sourced_id)


def _cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(f"row {offset}".encode()).decode()


def _offset(cursor: str) -> int:
    return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("row ")) if cursor else 0


def _json(body: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status, {"Content-Type": "application/json"})
