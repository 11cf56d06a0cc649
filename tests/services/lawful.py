"""The small world with the plugin that keeps the law, and what people do in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import homeroom
import homeroom_ferpa
from homeroom.auth.tokens import fingerprint
from homeroom.host import PluginsConfig
from homeroom.services import make_services
from homeroom.store import migrate
from homeroom.store import models as m
from homeroom.testing import KeptMessages
from homeroom_ferpa.access import officials
from tests.services import world
from tests.services.served import Served
from tests.services.server import Server, serving, settings_for

TODAY = world.TODAY
ENTRY = {
    "recipient": "plugin:acme",
    "service": "Prints the class photographs' labels",
    "direct_control": "Works on our instructions, audited every year",
    "redisclosure_limit": "Gives nothing on, deletes after printing",
    "agreement": "Contract 7, school office",
    "categories": ["roster"],
}
"""A school official's entry with everything that it needs."""


@contextlib.asynccontextmanager
async def lawful(database_url: str, *, required: bool = True) -> AsyncIterator[Server]:
    """The same with the plugin on, on a real socket: for boards."""
    migrate.upgrade(database_url, {"ferpa": Path(homeroom_ferpa.__path__[0]) / "migrations"})
    plugins = PluginsConfig(enabled=("ferpa",), required=frozenset({"ferpa"} if required else ()))
    async with serving(settings_for(database_url, plugins=plugins)) as server:
        await server.district.store.write(world.build)
        yield server


def years_ago(years: int, *, days: int = 0) -> date:
    """The day on which somebody who is `years` old, and `days` more, was born."""
    day = TODAY - timedelta(days=days)
    return day.replace(year=day.year - years, day=min(day.day, 28) if day.month == 2 else day.day)


async def born(api: Served, student: str, day: date | None) -> None:
    await api.district.store.write(
        lambda tx: tx.run(m.User.update(birth_date=day).where(m.User.id == student)),
    )


async def said(answer: Any) -> Any:
    return await answer.get_json()


async def order(api: Served, guardian: str = "guardian_ann", student: str = "ann") -> Any:
    body = {"student_id": student, "guardian_id": guardian, "document": "Family court 12-3456, in the vault"}
    answer = await api.post("~/compliance/orders", "admin", body)
    assert answer.status_code == 201, await answer.get_data(as_text=True)
    return await said(answer)


async def consent(api: Served, by: str, **changed: Any) -> Any:
    body = {
        "student_id": "ann",
        "records": ["attendance"],
        "purpose": "education",
        "party": "person:guardian_ann",
        "text": "I agree that my parent sees my attendance.",
        "signed_by": by,
        "signed_on": TODAY.isoformat(),
        "authenticated": "session",
        **changed,
    }
    return await api.post("~/compliance/consents", by, {key: value for key, value in body.items() if value is not None})


async def new_key(api: Served | Server) -> str:
    key = "hrk_test-key-of-the-library"
    await api.district.store.write(
        lambda tx: tx.insert(
            m.ApiKey,
            id="key-1",
            name="Library",
            key_hash=fingerprint(key),
            scopes=["roster.read", "attendance.read"],
            created_by="admin",
            created_at=tx.now,
        )
    )
    return key


async def official_key(server: Server) -> str:
    """An API key with an agreement on file for attendance."""
    key = await new_key(server)
    one = officials.Official(
        id="official-1",
        begins_on=TODAY,
        **{**ENTRY, "recipient": "key:key-1", "categories": ("attendance",)},  # type: ignore[arg-type] # as named
    )
    await server.district.store.write(lambda tx: officials.add(tx, one))
    return key


def vendor(api: Served | Server, name: str = "acme") -> homeroom.Services:
    """What a vendor's plugin of this name is given."""
    district = api.district
    return make_services(
        name,
        frozenset({"student.given_name", "student.family_name", "attendance.status"}),
        store=district.store,
        limiter=district.limiter,
        messages=KeptMessages(),
        host=lambda: district.host,
    )
