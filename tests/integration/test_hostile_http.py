"""A plugin that misbehaves, seen from outside: requests are answered as the hook's policy says, and it is named."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from homeroom.app import create_app
from homeroom.district import District
from homeroom.hookspecs import POLICIES
from homeroom.host import PluginsConfig
from homeroom.settings import DatabaseSettings, Settings
from tests.hostile_plugin.install import pretend_installed
from tests.services.served import Served, served
from tests.services.world import build

BEHAVIOURS = ("raise", "hang", "swallow", "exit", "interrupt", "cancel", "wrong_type", "generator_exit")
DEADLINE = 0.2


@pytest.fixture(autouse=True)
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hostile plugins look installed, and deadlines are short."""
    for folder in pretend_installed(tmp_path / "installed"):
        monkeypatch.syspath_prepend(str(folder))
    for hook, policy in POLICIES.items():
        monkeypatch.setitem(POLICIES, hook, replace(policy, deadline=DEADLINE))


@contextlib.asynccontextmanager
async def beside(url: str, *names: str, required: tuple[str, ...] = (), **mischief: Any) -> AsyncIterator[Served]:
    """A district with a good plugin and the named bad ones."""
    sections = {name: {"seconds": 0.5, **mischief} for name in ("hostile", "hostile_threads")}
    async with served(url, enabled=(*names, "bystander"), sections=sections, required=required) as running:
        yield running


async def listed(api: Served, name: str) -> dict[str, Any]:
    found = await (await api.get("~/plugins", "admin")).get_json()
    return next(plugin for plugin in found["plugins"] if plugin["name"] == name)


async def check_in(api: Served, student: str) -> Any:
    opening = {"methods": ["bystander"], "require": "any"}
    session = await api.post("~/classes/algebra/sessions", "teacher_a", opening)
    assert session.status_code in (201, 409), await session.get_data(as_text=True)
    sessions = await (await api.get("~/classes/algebra/sessions?limit=1", "teacher_a")).get_json()
    body = {"session_id": sessions["items"][0]["id"], "proof": {"code": "1"}}
    answer = await api.post("~/attendance/checkin", student, body)
    return answer.status_code, await answer.get_json()


@pytest.mark.parametrize("plugin", ["hostile", "hostile_threads"])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_a_failing_verifier_keeps_the_child_and_asks_for_a_look(
    sqlite_url: str, behaviour: str, plugin: str
) -> None:
    async with beside(sqlite_url, plugin, hook="verify_check_in", behaviour=behaviour) as api:
        opening = {"methods": [plugin], "require": "any"}
        session = await (await api.post("~/classes/algebra/sessions", "teacher_a", opening)).get_json()
        body = {"session_id": session["id"], "proof": {"code": "1"}}
        answer = await api.post("~/attendance/checkin", "ann", body)
        assert answer.status_code == 201
        assert (await answer.get_json())["needs_review"] is True
        assert (await api.get("/health")).status_code == 200


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_a_failing_authorize_denies(sqlite_url: str, behaviour: str) -> None:
    async with beside(sqlite_url, "hostile", hook="authorize", behaviour=behaviour, times=1) as api:
        assert (await api.get("~/students/ann", "teacher_a")).status_code == 403
        assert (await api.get("~/students/ann", "teacher_a")).status_code == 200


@pytest.mark.parametrize(("required", "status"), [((), 200), (("hostile",), 503)])
@pytest.mark.parametrize("behaviour", ["raise", "hang", "wrong_type"])
async def test_a_failing_audit_denies_only_where_it_is_required(
    sqlite_url: str, behaviour: str, required: tuple[str, ...], status: int
) -> None:
    async with beside(sqlite_url, "hostile", required=required, hook="audit", behaviour=behaviour) as api:
        answer = await api.get("~/students/ann", "teacher_a")
        assert answer.status_code == status
        assert answer.headers.get("Retry-After") == ("2" if status == 503 else None)


async def test_an_open_breaker_still_denies_and_is_shown(sqlite_url: str) -> None:
    async with beside(sqlite_url, "hostile", hook="authorize", behaviour="raise", secret="hunter2-canary") as api:
        for _ in range(4):
            assert (await api.get("~/students/ann", "teacher_a")).status_code == 403
        figures = await api.district.host.ask("bystander", "health")
        assert figures is not None
        info = next(one for one in api.district.host.plugins if one.name == "hostile")
        assert info.state == "quarantined"
        assert "authorize" in (info.reason or "")
        assert "hunter2-canary" not in (info.reason or "")


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_a_failing_health_check_is_shown_red_and_nothing_else(sqlite_url: str, behaviour: str) -> None:
    async with beside(sqlite_url, "hostile", hook="health", behaviour=behaviour) as api:
        details = await (await api.get("/health/detailed", "admin")).get_json()
        states = {plugin["name"]: plugin["ok"] for plugin in details["plugins"]}
        assert states == {"hostile": False, "bystander": True}
        assert details["status"] == "degraded"


@pytest.mark.parametrize("behaviour", [*BEHAVIOURS, "block"])
async def test_a_plugin_that_cannot_start_leaves_the_rest_running(sqlite_url: str, behaviour: str) -> None:
    async with beside(sqlite_url, "hostile_threads", hook="start", behaviour=behaviour) as api:
        lost = await listed(api, "hostile_threads")
        assert lost["state"] == "off"
        assert "start" in lost["reason"]
        assert (await listed(api, "bystander"))["state"] == "loaded"
        assert (await check_in(api, "ann"))[0] == 201


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hostile_other_api", "999"),
        ("hostile_import", "import"),
        ("hostile_import_exits", "exit"),
        ("hostile_settings", "settings"),
        ("hostile_wrapper", "wrapper"),
        ("hostile_unknown_hook", "hook"),
        ("not_there", "no installed distribution"),
    ],
)
async def test_what_cannot_be_loaded_is_left_out_with_the_reason(sqlite_url: str, name: str, says: str) -> None:
    async with beside(sqlite_url, name) as api:
        out = await listed(api, name)
        assert out["state"] == "left_out"
        assert says in out["reason"].lower()
        assert (await check_in(api, "ann"))[0] == 201


async def test_an_admin_switches_a_plugin_off_and_on_over_http(sqlite_url: str) -> None:
    async with beside(sqlite_url, "hostile", required=("bystander",)) as api:
        off = await api.post("~/plugins/hostile/disable", "admin")
        assert (off.status_code, (await off.get_json())["state"]) == (200, "off")
        assert (await api.post("~/plugins/bystander/disable", "admin")).status_code == 409
        assert (await api.post("~/plugins/nobody/disable", "admin")).status_code == 404
        on = await api.post("~/plugins/hostile/enable", "admin")
        assert (await on.get_json())["state"] == "loaded"
        told = await (await api.get("~/plugins/hostile/diagnostics", "admin")).get_json()
        assert "verify_check_in" in {figure["hook"] for figure in told["figures"]}
        assert "secret" not in told["settings"] or told["settings"]["secret"] in ("", "**********", None)


async def test_without_plugins_what_a_required_one_guards_is_denied(sqlite_url: str) -> None:
    config = PluginsConfig(enabled=("bystander", "hostile"), required=frozenset({"bystander"}))
    app = create_app(Settings(database=DatabaseSettings(url=sqlite_url), plugins=config), safe=True)
    async with app.test_app():
        district: District = app.extensions["homeroom"]
        await district.store.write(build)
        assert district.host.plugins == [] or not any(one.enabled for one in district.host.plugins)
        assert (await app.test_client().get("/health")).status_code == 200
        assert [answer.plugin for answer in await district.host.ask_all("authorize", request=None)] == ["bystander"]
        assert (await district.host.ask_all("authorize", request=None))[0].error is not None
