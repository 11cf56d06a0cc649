"""A plugin's settings over REST: the form's schema, a trial that saves nothing, and saving with secrets kept."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from homeroom.app import create_app
from homeroom.district import District
from homeroom.host import PluginsConfig
from homeroom.settings import DatabaseSettings, LogSettings, Settings
from homeroom.store import models as m
from homeroom.testing.district import write_bundle
from tests.services.served import Served, served
from tests.services.served import _build as build

SMTP = {"host": "127.0.0.1", "port": 9, "from_email": "school@example.org", "security": "none"}
CANARY = "canary-of-the-mail-server"
PATH = "~/plugins/smtp/settings"


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=["rotating_code", "smtp"], sections={"smtp": SMTP}) as running:
        yield running


@contextlib.asynccontextmanager
async def configured(
    url: str, section: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> AsyncIterator[Served]:
    """An application with `smtp`, over a database that may be there already, and an environment of its own."""
    plugins = PluginsConfig(enabled=("smtp",), sections={"smtp": section}, environment=environment or {})
    settings = Settings(database=DatabaseSettings(url=url), log=LogSettings(level="error"), plugins=plugins)
    app = create_app(settings)
    async with app.test_app():
        district: District = app.extensions["homeroom"]
        if not await district.store.read(lambda c: c.one(m.User.select())):
            await district.store.write(build)
        yield Served(app=app, district=district, client=app.test_client())


async def facts(answer: Any, status: int = 200) -> Any:
    body = await answer.get_json()
    assert answer.status_code == status, body
    return body


async def saved(api: Served, values: Any, *, status: int = 200, path: str = PATH, **more: Any) -> Any:
    """What comes of saving, under the version that holds now."""
    tag = (await api.get(path, "admin")).headers["ETag"]
    body = {"values": values, **more}
    return await facts(await api.call("PUT", path, by="admin", json=body, headers={"If-Match": tag}), status)


def wrong(answer: Any) -> dict[str, str]:
    return {one["field"]: one["message"] for one in answer["errors"]}


async def test_a_form_can_be_made_of_it(api: Served) -> None:
    answer = await api.get(PATH, "admin")
    told = await facts(answer)
    assert (told["version"], answer.headers["ETag"]) == (0, '"0"')
    assert told["schema"]["properties"]["port"]["maximum"] == 65535
    assert told["schema"]["properties"]["security"]["enum"] == ["starttls", "tls", "none"]
    assert (told["values"]["port"], told["values"]["timeout"], told["values"]["password"]) == (9, 13, None)
    sources = {key: one["source"] for key, one in told["origins"].items()}
    assert (sources["host"], sources["timeout"]) == ("file", "default")
    assert told["problems"] == []


@pytest.mark.parametrize("user", ["teacher_a", "admin_north", "ann", "guardian_ann"])
async def test_only_who_runs_the_district_sees_and_changes_settings(api: Served, user: str) -> None:
    body, tag = {"values": {"port": 26}}, {"If-Match": "*"}
    assert (await api.get(PATH, user)).status_code == 403
    assert (await api.post(f"{PATH}/test", user, body)).status_code == 403
    assert (await api.call("PUT", PATH, by=user, json=body, headers=tag)).status_code == 403
    assert (await facts(await api.get(PATH, "admin")))["version"] == 0


async def test_what_is_saved_holds_at_once_and_a_secret_never_comes_back(api: Served) -> None:
    told = await saved(api, {"port": 26, "username": "office", "password": CANARY, "from_email": SMTP["from_email"]})
    assert (told["version"], told["values"]["port"], told["values"]["password"]) == (1, 26, "set")
    sources = {key: one["source"] for key, one in told["origins"].items()}
    assert (sources["port"], sources["password"], sources["from_email"]) == ("saved", "saved", "file")
    assert CANARY not in str(told)
    diagnosed = await facts(await api.get("~/plugins/smtp/diagnostics", "admin"))
    assert (diagnosed["state"], diagnosed["settings"]["port"], diagnosed["settings"]["password"]) == (
        "loaded",
        26,
        "***",
    )
    (entry,) = await api.district.store.read(
        lambda c: c.all(m.Journal.select().where(m.Journal.kind == "plugin.configured"))
    )
    assert (entry.actor_id, entry.subject_id) == ("admin", "smtp")
    assert entry.data == {"keys": ["password", "port", "username"]}
    (kept,) = await api.district.store.read(lambda c: c.values(m.PluginState.select(m.PluginState.settings)))
    assert CANARY not in kept


async def test_an_empty_secret_keeps_the_old_one_and_null_takes_it_out(api: Served) -> None:
    await saved(api, {"username": "office", "password": CANARY})
    for kept in ("", "set"):
        assert (await saved(api, {"password": kept, "timeout": 5 + len(kept)}))["values"]["password"] == "set"
    assert api.district.host.masked_settings("smtp")["password"] == "***"
    gone = await saved(api, {"password": None, "username": None})
    assert (gone["values"]["password"], gone["values"]["username"]) == (None, None)


async def test_what_was_saved_is_taken_back(api: Served) -> None:
    await saved(api, {"port": 26})
    told = await saved(api, {}, reset=["port"])
    assert (told["values"]["port"], told["origins"]["port"]["source"]) == (9, "file")
    assert wrong(await saved(api, {}, status=422, reset=["prot"])) == {"prot": "unknown setting."}


async def test_each_field_that_is_wrong_is_named_and_nothing_is_saved(api: Served) -> None:
    told = await saved(api, {"port": 70_000, "security": "some", "prot": 1}, status=422)
    found = wrong(told)
    assert set(found) == {"port", "security", "prot"}
    assert "65535" in found["port"]
    assert "port" in found["prot"]
    now = await facts(await api.get(PATH, "admin"))
    assert (now["version"], now["values"]["port"]) == (0, 9)


async def test_two_administrators_do_not_overwrite_each_other(api: Served) -> None:
    put = {"values": {"port": 26}}
    assert (await api.call("PUT", PATH, by="admin", json=put)).status_code == 428
    old = (await api.get(PATH, "admin")).headers["ETag"]
    await saved(api, {"timeout": 5})
    late = await api.call("PUT", PATH, by="admin", json=put, headers={"If-Match": old})
    assert (await facts(late, 412))["type"].endswith("/changed-meanwhile")
    assert (await facts(await api.get(PATH, "admin")))["values"]["port"] == 9


@pytest.mark.parametrize("change", [{"host": "mail.evil.example", "security": "tls"}, {"host": "localhost"}])
async def test_a_kept_secret_is_not_sent_to_a_new_address(api: Served, change: dict[str, str]) -> None:
    await saved(api, {"username": "office", "password": CANARY})
    for values in (change, {**change, "password": ""}, {**change, "password": "set"}):
        assert "Type it again" in wrong(await saved(api, values, status=422))["password"]
        tried = await facts(await api.post(f"{PATH}/test", "admin", {"values": values}), 422)
        assert "password" in wrong(tried)
    told = await saved(api, {**change, "password": "typed anew"})
    assert (told["values"]["host"], told["values"]["password"]) == (change["host"], "set")


async def test_a_kept_secret_stands_nowhere_else(api: Served) -> None:
    await saved(api, {"username": "office", "password": CANARY})
    told = await saved(api, {"from_name": "set"})
    assert told["values"]["from_name"] == "set"  # a text like any other where no secret stands


async def test_a_trial_tells_what_is_wrong_and_saves_nothing(api: Served) -> None:
    before = api.district.host.plugins
    tried = await facts(await api.post(f"{PATH}/test", "admin", {"values": {"port": 8, "password": CANARY}}), 422)
    assert wrong(tried)  # a password without a user name
    body = {"values": {"port": 8, "username": "office", "password": CANARY}}
    tried = await facts(await api.post(f"{PATH}/test", "admin", body))
    assert (tried["ok"], tried["asked"]) == (False, ["health"])
    assert "8" in tried["findings"][0]["problem"]
    assert tried["findings"][0]["fix"]
    assert CANARY not in str(tried)
    now = await facts(await api.get(PATH, "admin"))
    assert (now["version"], now["values"]["port"], now["values"]["password"]) == (0, 9, None)
    assert [one.name for one in api.district.host.plugins] == [one.name for one in before]
    assert api.district.host.masked_settings("smtp")["port"] == 9


async def test_where_there_is_nothing_to_connect_to_a_trial_is_a_check_of_the_settings(api: Served) -> None:
    path = "~/plugins/rotating_code/settings/test"
    tried = await facts(await api.post(path, "admin", {"values": {"digits": 8}}))
    assert (tried["ok"], tried["asked"], tried["findings"]) == (True, [], [])
    assert set(wrong(await facts(await api.post(path, "admin", {"values": {"digits": 99}}), 422))) == {"digits"}


async def test_a_connector_is_checked_with_settings_that_are_not_saved(sqlite_url: str, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", students=5)
    sections = {"oneroster": {"source": str(tmp_path / "nowhere")}}
    async with served(sqlite_url, enabled=["oneroster"], sections=sections) as api:
        path = "~/plugins/oneroster/settings/test"
        tried = await facts(await api.post(path, "admin", {"values": {}}))
        assert (tried["ok"], "check" in tried["asked"]) == (False, True)
        assert all(one["problem"] and one["fix"] for one in tried["findings"])
        tried = await facts(await api.post(path, "admin", {"values": {"source": str(tmp_path / "bundle")}}))
        assert (tried["ok"], tried["findings"]) == (True, [])


async def test_a_plugin_that_is_out_for_its_settings_is_put_right(sqlite_url: str) -> None:
    async with served(sqlite_url, enabled=["smtp"], sections={"smtp": {"port": 25, "pasword": CANARY}}) as api:
        told = await facts(await api.get(PATH, "admin"))
        assert {one["field"] for one in told["problems"]} == {"host", "from_email", "pasword"}
        assert (told["values"]["port"], told["values"]["security"]) == (25, "starttls")
        assert CANARY not in str(told)  # what is misspelt may be a secret
    async with configured(sqlite_url, {"port": 25}) as api:
        assert (await saved(api, {"host": "127.0.0.1", "security": "none"}, status=422))["errors"]
        told = await saved(api, {"host": "127.0.0.1", "security": "none", "from_email": "a@example.org"})
        assert told["problems"] == []
        listed = (await facts(await api.get("~/plugins/", "admin")))["plugins"]
        assert [(one["state"], one["order"]) for one in listed if one["name"] == "smtp"] == [("loaded", 1)]


async def test_what_the_environment_sets_is_fixed(sqlite_url: str) -> None:
    environment = {"HOMEROOM__PLUGINS__SMTP__PORT": "26", "MAIL_PASSWORD": CANARY}
    section = {**SMTP, "username": "office", "password": {"env": "MAIL_PASSWORD"}}
    async with configured(sqlite_url, section, environment) as api:
        told = await facts(await api.get(PATH, "admin"))
        assert told["origins"]["port"] == {"source": "environment", "variable": "HOMEROOM__PLUGINS__SMTP__PORT"}
        assert told["origins"]["password"] == {"source": "environment", "variable": "MAIL_PASSWORD"}
        assert (told["values"]["port"], told["values"]["password"]) == (26, "set")
        refused = wrong(await saved(api, {"port": 27, "password": "another"}, status=422))
        assert "HOMEROOM__PLUGINS__SMTP__PORT" in refused["port"]
        assert "MAIL_PASSWORD" in refused["password"]
        moved = await saved(api, {"host": "mail.evil.example", "security": "tls"}, status=422)
        assert set(wrong(moved)) == {"password"}
        assert (await saved(api, {"port": 26, "password": "", "timeout": 5}))["values"]["timeout"] == 5


async def test_what_has_no_settings_to_set_says_so(api: Served) -> None:
    assert (await api.get("~/plugins/nothing/settings", "admin")).status_code == 404
    refused = await facts(await api.get("~/plugins/twilio/settings", "admin"), 409)
    assert "homeroom plugins enable twilio" in refused["detail"]


async def test_settings_of_a_plugin_that_is_switched_off_wait_for_it(api: Served) -> None:
    await facts(await api.post("~/plugins/smtp/disable", "admin"))
    told = await saved(api, {"port": 26})
    assert told["values"]["port"] == 26
    assert not api.district.host.is_on("smtp")
    await facts(await api.post("~/plugins/smtp/enable", "admin"))
    assert api.district.host.masked_settings("smtp")["port"] == 26
