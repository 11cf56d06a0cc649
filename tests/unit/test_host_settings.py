"""A plugin's settings: where they come from, which wins, and how every problem is told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from homeroom.host.config import PluginsConfig
from homeroom.host.plugin_settings import NoSettings, SettingsInvalid, masked, resolve


class Inner(BaseModel):
    key: SecretStr = SecretStr("")


class Acme(BaseModel):
    model_config = ConfigDict(extra="forbid")

    base_url: str
    token: SecretStr = Field(json_schema_extra={"env": "ACME_TOKEN"})
    schools: list[str] = []
    retries: int = 3
    accounts: dict[str, Inner] = {}
    others: list[Inner] = []

    @field_validator("base_url")
    @classmethod
    def _is_https(cls, value: str) -> str:
        if not value.startswith("https://"):
            raise ValueError(f"{value} is not an https:// address")
        return value


def config(section: dict[str, Any], environment: dict[str, str] | None = None, name: str = "acme") -> PluginsConfig:
    return PluginsConfig(enabled=(name,), sections={name: section}, environment=environment or {})


def problems(section: dict[str, Any], environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        resolve(config(section, environment), "acme", Acme)
    return [str(problem).removeprefix("homeroom.toml: plugins.acme.") for problem in caught.value.problems]


FINE = {"base_url": "https://a.example", "token": "from the file"}


def test_the_environment_wins_over_what_was_saved_which_wins_over_the_file() -> None:
    settings = config({**FINE, "retries": 1}, {"HOMEROOM__PLUGINS__ACME__SCHOOLS": "a, b", "ACME_TOKEN": "from env"})
    resolved = resolve(settings, "acme", Acme, {"retries": 2, "schools": ["c"], "token": "saved"})
    model = resolved.model
    assert isinstance(model, Acme)
    assert (model.retries, model.schools, model.token.get_secret_value()) == (2, ["a", "b"], "from env")
    assert resolved.fixed == {"schools", "token"}


def test_a_secret_that_the_file_leaves_to_the_environment_is_fixed() -> None:
    settings = config({**FINE, "token": {"env": "MINE"}}, {"MINE": "t0ken"})
    resolved = resolve(settings, "acme", Acme, {"token": "saved"})
    assert resolved.fixed == {"token"}
    assert resolved.secrets == ("t0ken",)


def test_the_plugins_own_variable_does_not_serve_a_second_instance() -> None:
    second = {"use": "acme", **FINE}
    resolved = resolve(config(second, {"ACME_TOKEN": "of the first"}, "north"), "north", Acme)
    assert resolved.secrets == ("from the file",)
    by_name = resolve(config(second, {"HOMEROOM__PLUGINS__NORTH__TOKEN": "north"}, "north"), "north", Acme)
    assert by_name.secrets == ("north",)


def test_every_problem_is_told_at_once_with_its_fix() -> None:
    assert problems({"base_ulr": "https://a.example", "retries": "many", "token": {"env": "NOT_SET"}}) == [
        "token: the environment variable NOT_SET is not set. Set NOT_SET in the environment or in .env.",
        "base_url: this setting is missing. Add it to [plugins.acme].",
        "retries: Input should be a valid integer, unable to parse string as an integer.",
        "base_ulr: unknown setting. Did you mean base_url?",
    ]
    assert problems({"base_url": "https://a.example"}) == [
        "token: this setting is missing. Add it to [plugins.acme], or set ACME_TOKEN."
    ]
    [far] = problems({**FINE, "zzz": 1})
    assert far.startswith("zzz: unknown setting. It has: base_url, token")


def test_a_value_from_the_environment_is_never_shown_in_a_problem() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        resolve(config({**FINE, "base_url": {"env": "URL"}}, {"URL": "hush"}), "acme", Acme)
    assert str(caught.value) == "base_url: *** is not an https:// address."


def test_an_unknown_key_is_refused_also_where_the_model_would_take_it() -> None:
    class Loose(BaseModel):
        size: int = 1

    with pytest.raises(SettingsInvalid, match="Did you mean size"):
        resolve(config({"sise": 2}), "acme", Loose)
    with pytest.raises(SettingsInvalid, match="has no settings; remove it"):
        resolve(config({"sise": 2}), "acme", NoSettings)


def test_lists_and_tables_may_be_json_in_the_environment() -> None:
    environment = {
        "HOMEROOM__PLUGINS__ACME__SCHOOLS": '["a,b"]',
        "HOMEROOM__PLUGINS__ACME__ACCOUNTS": '{"one": {"key": "k1"}}',
        "HOMEROOM__PLUGINS__ACME__OTHERS": "[broken",
    }
    with pytest.raises(SettingsInvalid) as caught:
        resolve(config(FINE, environment), "acme", Acme)
    [problem] = caught.value.problems
    assert (problem.file, problem.field) == ("environment variable HOMEROOM__PLUGINS__ACME__OTHERS", "others")
    del environment["HOMEROOM__PLUGINS__ACME__OTHERS"]
    model = resolve(config(FINE, environment), "acme", Acme).model
    assert isinstance(model, Acme)
    assert model.schools == ["a,b"]


def test_secrets_are_masked_wherever_they_stand() -> None:
    resolved = resolve(config({**FINE, "accounts": {"a": {"key": "k1"}}, "others": [{"key": "k2"}]}), "acme", Acme)
    assert set(resolved.secrets) == {"from the file", "k1", "k2"}
    shown = masked(resolved)
    assert shown["token"] == "***"
    assert shown["accounts"] == {"a": {"key": "***"}}
    assert shown["others"] == [{"key": "***"}]
    assert "k1" not in repr(resolved)


def parse(section: dict[str, Any], environment: dict[str, str] | None = None) -> PluginsConfig:
    return PluginsConfig.parse(section, source="homeroom.toml", environment=environment or {})


def test_the_plugins_table_is_read_with_the_environment_over_it() -> None:
    section = {"enabled": ["a"], "required": ["a"], "a": {"x": 1}, "north": {"use": "a", "y": 2}}
    read = parse(section, {"HOMEROOM__PLUGINS__ENABLED": "a, north"})
    assert read.enabled == ("a", "north")
    assert read.required == {"a"}
    assert (read.entry_point("north"), read.section("north")) == ("a", {"y": 2})
    assert (read.entry_point("a"), read.section("b")) == ("a", {})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"enabled": ["a", "a"]}, "enabled more than once: a"),
        ({"enabled": ["a"], "required": ["b"]}, "required but not enabled: b"),
        ({"enabld": ["a"]}, "unknown setting"),
        ({"enabled": [1]}, "valid string"),
    ],
)
def test_a_wrong_plugins_table_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        parse(section)
