"""Who sits at a browser: the session behind its cookie, and the REST routes called with its rights.

The cookie is a random text. The tokens that it stands for lie sealed in the plugin's own keepings, not in the browser.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from quart import request

from homeroom import ApiAnswer, Services

COOKIE = "homeroom"
_RENEWING = 10.0  # seconds in which one process renews a session's tokens and the others wait for it
_LOOKS = 50
RIGHTS = "rights"
"""Kept among the roles: guardians and eligible students, where the plugin that keeps the law runs."""


class NotSignedIn(Exception):
    """Nobody is signed in at this browser, or not any more."""


class Failed(Exception):
    """A route refused; the text is the route's own, fit for a page. `errors` says by field what is wrong."""

    def __init__(self, status: int, detail: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = dict(errors or {})


@dataclass(slots=True)
class Session:
    """What is kept of a browser's session. The roles choose which links are shown; rights are judged by each route."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    name: str
    roles: list[str]

    @classmethod
    def read(cls, text: str) -> Session:
        """The session that was kept as `text`."""
        return cls(**orjson.loads(text))

    def text(self) -> str:
        """The session as it is kept."""
        told = {"access": self.access, "refresh": self.refresh, "name": self.name, "roles": self.roles}
        return orjson.dumps(told).decode()


class Visitors:
    """The browsers' sessions. `seconds` is how long one lasts."""

    def __init__(self, services: Services, *, seconds: float) -> None:
        self._services = services
        self.seconds = seconds

    async def welcome(self, tokens: Mapping[str, Any]) -> tuple[str, str]:
        """Begin a session for who has just signed in; gives the cookie and the person's id."""
        cookie = secrets.token_urlsafe(32)
        me = await self._ask("GET", "/auth/me", tokens["access_token"])
        found = _told(me)
        roles = sorted({role["role"] for role in found["roles"]} | await self._rights(tokens["access_token"], found))
        session = Session(tokens["access_token"], tokens["refresh_token"], found["name"], roles)
        await self._keep(cookie, session)
        return cookie, found["id"]

    async def find(self, cookie: str | None) -> Visitor | None:
        """Whoever has this cookie, or None."""
        kept = await self._services.kv.get(_key(cookie)) if cookie else None
        return Visitor(self, cookie, Session.read(kept)) if cookie and kept else None

    async def see_off(self, visitor: Visitor) -> None:
        """End a session, behind the API and, whatever that says, here."""
        try:
            await self.ask(visitor, "POST", "/auth/logout")
        finally:
            await self._services.kv.delete(_key(visitor.cookie))

    async def ask(
        self,
        visitor: Visitor,
        method: str,
        path: str,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiAnswer:
        """What a route answers to a visitor; tokens that have run out are renewed. Raises NotSignedIn."""
        answer = await self._ask(method, path, visitor.session.access, json, headers)
        if answer.status != 401:  # noqa: PLR2004
            return answer
        await self._renew(visitor)
        answer = await self._ask(method, path, visitor.session.access, json, headers)
        if answer.status == 401:  # noqa: PLR2004
            raise NotSignedIn
        return answer

    async def _renew(self, visitor: Visitor) -> None:
        """Get new tokens. A refresh token works once, so one of all requests and processes does it.

        Raises NotSignedIn when the session has ended, and Failed when that cannot be told now.
        """
        old, key = visitor.session.refresh, _key(visitor.cookie)
        mine = f"renew:{_key(old)}"
        turn = await self._services.limiter.hit(mine, 1, _RENEWING)
        if not turn.allowed:
            for _ in range(_LOOKS):
                if await self._was_renewed(visitor):
                    return
                await asyncio.sleep(_RENEWING / _LOOKS)  # another process tells of it by nothing but the new tokens
            raise NotSignedIn
        if await self._was_renewed(visitor):  # by another whose turn came and went while a slow request was under way
            return
        answer = await call(self._services, "POST", "/api/v1/auth/refresh", json={"refresh_token": old})
        if answer.status == 401:  # noqa: PLR2004
            await self._services.kv.delete(key)
            raise NotSignedIn
        if answer.status != 200:  # noqa: PLR2004
            await self._services.limiter.forget(mine)  # nothing was used up: the next request may try
        tokens = _told(answer)
        visitor.session.access, visitor.session.refresh = tokens["access_token"], tokens["refresh_token"]
        await self._keep(visitor.cookie, visitor.session)

    async def _was_renewed(self, visitor: Visitor) -> bool:
        """Whether other tokens are kept than the visitor has; they are the visitor's then. Raises NotSignedIn."""
        kept = await self._services.kv.get(_key(visitor.cookie))
        if kept is None:
            raise NotSignedIn
        old, visitor.session = visitor.session.refresh, Session.read(kept)
        return visitor.session.refresh != old

    async def _keep(self, cookie: str, session: Session) -> None:
        await self._services.kv.set(_key(cookie), session.text(), ttl=self.seconds)

    async def _rights(self, access: str, me: Mapping[str, Any]) -> set[str]:
        """Whether somebody has rights to a record that pages can show: one's children's, or one's own from 18 on."""
        roles = {role["role"] for role in me["roles"]}
        if "guardian" in roles:
            answer = await self._ask("GET", "/compliance/log/keys", access)
        elif "student" in roles:
            answer = await self._ask("GET", f"/compliance/consents?student_id={me['id']}", access)
        else:
            return set()
        return {RIGHTS} if answer.status == 200 else set()  # noqa: PLR2004

    async def _ask(
        self, method: str, path: str, access: str, json: Any = None, headers: Mapping[str, str] | None = None
    ) -> ApiAnswer:
        whole = path if path.startswith("/health/") else f"/api/v1{path}"
        return await call(self._services, method, whole, json=json, access=access, headers=headers)


@dataclass(slots=True)
class Visitor:
    """Somebody who is signed in at a browser."""

    visitors: Visitors = field(repr=False)
    cookie: str = field(repr=False)
    session: Session

    def has(self, role: str) -> bool:
        """Whether they have this role anywhere."""
        return role in self.session.roles

    async def get(self, path: str) -> Any:
        """What a route tells. Raises Failed and NotSignedIn."""
        return _told(await self.visitors.ask(self, "GET", path))

    async def send(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        version: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """What a route answers to a change, to the `version` that was read where it asks for one.

        Raises Failed and NotSignedIn.
        """
        sent = {**(headers or {}), **({} if version is None else {"If-Match": f'"{version}"'})}
        return _told(await self.visitors.ask(self, method, path, {} if json is None else json, sent))

    async def file(self, path: str) -> ApiAnswer:
        """What a route gives that is no JSON for a page. Raises Failed and NotSignedIn."""
        answer = await self.visitors.ask(self, "GET", path)
        if answer.status >= 400:  # noqa: PLR2004
            _told(answer)
        return answer


async def call(
    services: Services,
    method: str,
    path: str,
    *,
    json: Any = None,
    access: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ApiAnswer:
    """What a route answers to the browser whose request this is: limits and the audit see its address."""
    kept = ("X-Forwarded-For", "User-Agent")
    sent = {name: value for name in kept if (value := request.headers.get(name)) is not None}
    sent |= headers or {}
    if access is not None:
        sent["Authorization"] = f"Bearer {access}"
    return await services.api(method, path, headers=sent, json=json, client=request.remote_addr)


def _told(answer: ApiAnswer) -> Any:
    found = orjson.loads(answer.body) if answer.body else {}
    if answer.status >= 400:  # noqa: PLR2004
        errors = {one["field"]: one["message"] for one in found.get("errors") or ()}
        raise Failed(answer.status, found.get("detail", ""), errors)
    return found


def _key(secret: str) -> str:
    """Under which name something is kept: whoever reads the keepings cannot use it as a cookie."""
    return f"session:{hashlib.sha256(secret.encode()).hexdigest()}"
