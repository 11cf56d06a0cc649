"""A district's whole application in this process, and a client of it: for tests of signing in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quart import Quart, Response
from quart.typing import TestClientProtocol

import homeroom_accounts
from homeroom.app import create_app
from homeroom.auth.authenticator import Authenticator
from homeroom.district import District
from homeroom.host import Host, PluginsConfig
from homeroom.settings import Settings
from homeroom.store import Store
from homeroom.store.migrate import upgrade

PASSWORD = "seven lamps and a kettle"
OTHER_PASSWORD = "four boats under one bridge"
CHEAP = {"memory_kib": 64, "passes": 1}
"""What a password costs in tests."""


@dataclass(slots=True, kw_only=True)
class Front:
    """One process of a district, and a client of it that keeps cookies."""

    url: str
    app: Quart
    district: District
    client: TestClientProtocol

    @property
    def store(self) -> Store:
        """The district's database."""
        return self.district.store

    @property
    def host(self) -> Host:
        """The district's plugins."""
        return self.district.host

    @property
    def authenticator(self) -> Authenticator:
        """Who is who."""
        return self.district.authenticator

    async def call(self, method: str, path: str, *, token: str | None = None, json: Any = None) -> Response:
        """What a route answers, called with this access token."""
        given: dict[str, Any] = {} if json is None else {"json": json}
        if token is not None:
            given["headers"] = {"Authorization": f"Bearer {token}"}
        path = path if path.startswith("/plugins") else f"/api/v1{path}"
        answer = await self.client.open(path, method=method, **given)
        assert isinstance(answer, Response)
        return answer

    async def get(self, path: str, *, token: str | None = None) -> Response:
        """What a GET answers."""
        return await self.call("GET", path, token=token)

    async def post(self, path: str, json: Any = None, *, token: str | None = None) -> Response:
        """What a POST answers."""
        return await self.call("POST", path, token=token, json=json)

    async def delete(self, path: str, *, token: str | None = None) -> Response:
        """What a DELETE answers."""
        return await self.call("DELETE", path, token=token)

    async def login(self, email: str, password: str = PASSWORD, **more: str) -> Any:
        """The tokens of a sign-in that succeeds."""
        answer = await self.post("/auth/login", {"email": email, "password": password, **more})
        assert answer.status_code == 200, await answer.get_data(as_text=True)
        return await answer.get_json()

    async def catch_up(self) -> None:
        """Wait until this process has heard every change that is committed now."""
        await self.district.tail.catch_up()


def prepare(url: str) -> None:
    """Give a test database the table of passwords."""
    upgrade(url, {"accounts": Path(str(homeroom_accounts.__file__)).parent / "migrations"})


@contextlib.asynccontextmanager
async def front(
    url: str,
    *,
    enabled: Sequence[str] = ("accounts",),
    sections: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> AsyncIterator[Front]:
    """A running process on the database `url`. `settings` are sections of homeroom.toml."""
    prepare(url)
    plugins = PluginsConfig(enabled=tuple(enabled), sections={"accounts": CHEAP, **(sections or {})})
    district = District(Settings(database={"url": url}, plugins=plugins, **settings))
    app = create_app(district=district)
    await app.startup()
    try:
        yield Front(url=url, app=app, district=district, client=app.test_client())
    finally:
        await app.shutdown()
