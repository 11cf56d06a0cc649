"""The whole application over a real database, in this process, with the small world of `tests.services.world` in it."""

from __future__ import annotations

import contextlib
import filecmp
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from quart import Quart, Response
from quart.typing import TestClientProtocol

import homeroom_accounts
import homeroom_ferpa
import homeroom_kiosk
from homeroom.app import create_app
from homeroom.district import District
from homeroom.host import PluginsConfig
from homeroom.settings import AttendanceSettings, DatabaseSettings, LogSettings, Settings
from homeroom.store import Transaction, migrate
from homeroom.store import models as m
from homeroom.store.database import sqlite_path
from tests.services import run, world

_TABLED: Mapping[str, Any] = {"accounts": homeroom_accounts, "ferpa": homeroom_ferpa, "kiosk": homeroom_kiosk}
HERE = "127.0.0.1"
ELSEWHERE = "203.0.113.9"


@dataclass(slots=True, kw_only=True)
class Served:
    """A running district and a client of it."""

    app: Quart
    district: District
    client: TestClientProtocol
    headers: dict[str, str] = field(default_factory=dict)

    def token(self, user: str) -> str:
        """An access token of somebody of the small world."""
        return self.district.authenticator.access.issue(user_id=user, session_id=f"sign_in_{user}")

    async def call(
        self,
        method: str,
        path: str,
        *,
        by: str | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        peer: str = ELSEWHERE,
        **more: Any,
    ) -> Response:
        """What a route answers to `by`."""
        sent = {**self.headers, **(headers or {})}
        if by is not None:
            sent["Authorization"] = f"Bearer {self.token(by)}"
        if json is not None:
            more["json"] = json
        path = f"/api/v1{path[1:]}" if path.startswith("~") else path
        answer = await self.client.open(
            path, method=method, headers=sent, scope_base={"client": (peer, 50_000)}, **more
        )
        assert isinstance(answer, Response)
        return answer

    async def get(self, path: str, by: str | None = None, **more: Any) -> Response:
        """What a GET answers."""
        return await self.call("GET", path, by=by, **more)

    async def post(self, path: str, by: str | None = None, json: Any = None, **more: Any) -> Response:
        """What a POST answers."""
        return await self.call("POST", path, by=by, json={} if json is None else json, **more)


@contextlib.asynccontextmanager
async def served(
    url: str,
    *,
    enabled: Sequence[str] = (),
    sections: Mapping[str, Mapping[str, Any]] | None = None,
    required: Sequence[str] = (),
    erasure_list: Path | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """A running application; `settings` are sections of homeroom.toml."""
    _with_tables_of([name for name in _TABLED if name in enabled], url)
    chosen = Settings(
        database=DatabaseSettings(url=url, erasure_list=erasure_list),
        attendance=AttendanceSettings(time_zone="UTC", school_days=list(range(7))),
        log=LogSettings(level="error"),
        plugins=PluginsConfig(enabled=tuple(enabled), sections=dict(sections or {}), required=frozenset(required)),
        **settings,
    )
    app = create_app(chosen)
    async with app.test_app():
        district: District = app.extensions["homeroom"]
        await district.store.write(_build)
        yield Served(app=app, district=district, client=app.test_client())


def _with_tables_of(plugins: Sequence[str], url: str) -> None:
    """Give a database the tables of these plugins: one that is as it was copied is replaced by another copy."""
    folders = {name: Path(_TABLED[name].__path__[0]) / "migrations" for name in plugins}
    if not folders:
        return
    path = sqlite_path(url) if url.startswith("sqlite") else None
    base = run.folder() / "base.db"
    if path is None or not base.exists() or not filecmp.cmp(path, base, shallow=False):
        migrate.upgrade(url, folders)
        return

    def make() -> str:
        made = run.folder() / f"base-{'-'.join(plugins)}.db"
        shutil.copyfile(base, made)
        migrate.upgrade(f"sqlite:///{made}", folders)
        return str(made)

    shutil.copyfile(run.once(f"sqlite-base-{'-'.join(plugins)}", make), path)


def _build(tx: Transaction) -> None:
    world.build(tx)
    for user in world.PEOPLE:
        tx.insert(
            m.SignInSession,
            id=f"sign_in_{user}",
            user_id=user,
            created_at=tx.now,
            last_used_at=tx.now,
            expires_at=tx.now + timedelta(days=1),
            refresh_hash=f"refresh_{user}",
        )
