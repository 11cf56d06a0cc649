"""A plugin's settings over REST: what a form is made of, a trial that saves nothing, and saving them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from pydantic import ConfigDict, Field
from quart import Blueprint

from homeroom.api.etag import etag, expected_version
from homeroom.api.operation import Answer, Body, Call, operation
from homeroom.api.problem import FieldError, Invalid
from homeroom.host import CannotLoad, Trial, Unfit
from homeroom.records import SisConnector
from homeroom.runs.connectors import findings
from homeroom.types import Finding, Health

plugin_settings = Blueprint("plugin_settings", __name__, url_prefix="/api/v1/plugins")

TRIAL_SECONDS = 20.0
_SMTP = {"host": "mail.district.example", "port": 587, "password": "set"}


class SettingOrigin(Answer):
    """Where a value comes from; one that the environment sets is fixed, and `variable` is that variable's name."""

    source: Literal["default", "file", "saved", "environment"]
    variable: str | None = Field(default=None, examples=["SENDGRID_API_KEY"])


class SettingProblem(Answer):
    """One setting that is wrong in what is in force now, and how."""

    field: str = Field(examples=["from_email"])
    message: str = Field(examples=["this setting is missing."])


class PluginSettings(Answer):
    """A plugin's settings; `version` is the ETag's.

    In the place of a secret stands `set`, or `set:` and a few letters within a list: sent back, it keeps the secret.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    name: str = Field(examples=["smtp"])
    version: int = Field(examples=[3])
    json_schema: dict[str, Any] = Field(
        alias="schema",
        description="JSON Schema; `writeOnly` marks secrets.",
        examples=[{"type": "object", "properties": {"host": {"type": "string"}}}],
    )
    values: dict[str, Any] = Field(examples=[_SMTP])
    origins: dict[str, SettingOrigin] = Field(examples=[{"host": {"source": "file", "variable": None}}])
    problems: list[SettingProblem] = Field(default=[], description="What is wrong with what is in force.")


class GivenSettings(Body):
    """Settings to save over those in force; those that are not named stay. `reset` takes what was saved back."""

    values: dict[str, Any] = Field(default={}, examples=[_SMTP])
    reset: list[str] = Field(default=[], max_length=1000, examples=[["port"]])


class TrialFinding(Answer):
    """One thing that is wrong, and what to do about it."""

    problem: str = Field(examples=["The mail server does not know this password."])
    fix: str = Field(default="", examples=["See username and password."])


class SettingsTrial(Answer):
    """What came of a trial.

    `asked` says who was asked: the plugin's `health`, its connector's `check`, or nobody where it connects to nothing.
    """

    ok: bool
    detail: str = Field(default="", examples=["mail.district.example lets us in"])
    findings: list[TrialFinding] = []
    asked: list[Literal["health", "check"]]
    seconds: float


@plugin_settings.get("/<name>/settings")
@operation("plugins.manage", answers=PluginSettings, problems=(409,))
async def read_plugin_settings(call: Call, name: str) -> tuple[PluginSettings, int, dict[str, str]]:
    """What a plugin can be set to, what holds now, and where each value comes from; never a secret."""
    return await _settings(call, name)


@plugin_settings.post("/<name>/settings/test")
@operation("plugins.manage", body=GivenSettings, answers=SettingsTrial, problems=(409,))
async def try_plugin_settings(call: Call, name: str, body: GivenSettings) -> SettingsTrial:
    """Try settings without saving them: a second instance is made, asked whether it can connect, and let go."""
    started = time.monotonic()
    async with _fit(), call.district.desk.trial(name, body.values, body.reset) as trial:
        told = await _tried(trial)
    return told.model_copy(update={"seconds": round(time.monotonic() - started, 2)})


@plugin_settings.put("/<name>/settings")
@operation("plugins.manage", body=GivenSettings, answers=PluginSettings, problems=(409, 412, 428))
async def save_plugin_settings(
    call: Call, name: str, body: GivenSettings
) -> tuple[PluginSettings, int, dict[str, str]]:
    """Save settings and restart the plugin with them, in every process within two seconds. Needs `If-Match`."""
    expected = expected_version()
    async with _fit():
        await call.district.desk.save(name, body.values, body.reset, expected=expected)
    return await _settings(call, name)


async def _settings(call: Call, name: str) -> tuple[PluginSettings, int, dict[str, str]]:
    view = await call.district.desk.read(name)
    told = PluginSettings(
        name=view.name,
        version=view.version,
        schema=dict(view.schema),
        values=dict(view.values),
        origins={key: SettingOrigin.model_validate(one) for key, one in view.origins.items()},
        problems=[SettingProblem.model_validate(one) for one in view.problems],
    )
    return told, 200, etag(view.version)


@asynccontextmanager
async def _fit() -> AsyncIterator[None]:
    """Answers settings that cannot be used with what is wrong, field by field."""
    try:
        yield
    except Unfit as exc:
        errors = [FieldError(field=one.field, message=one.message) for one in exc.problems]
        raise Invalid(
            errors, detail="These settings cannot be used; what is wrong is said of each. Nothing was saved."
        ) from None
    except CannotLoad as exc:
        wrong = FieldError(field="settings", message=str(exc))
        raise Invalid([wrong], detail=f"The plugin cannot work with these settings: {exc}") from None


async def _tried(trial: Trial) -> SettingsTrial:
    asked: list[Literal["health", "check"]] = []
    found: list[Finding] = []
    detail, ok = "", True
    if trial.has("health"):
        asked.append("health")
        ok, detail = await _health(trial, found)
    if trial.has("sis_connector"):
        connector = await trial.ask("sis_connector")
        source: SisConnector | None = connector.value if connector is not None and connector.error is None else None
        if connector is not None and connector.error is not None:
            found.append(Finding(problem=f"it gives no connector: {connector.reason}"))
        if source is not None:
            asked.append("check")
            found += await findings(source, seconds=TRIAL_SECONDS)
    told = {(trial.hide(one.problem), trial.hide(one.fix)): None for one in found}
    return SettingsTrial(
        ok=ok and not told,
        detail=trial.hide(detail),
        findings=[TrialFinding(problem=problem, fix=fix) for problem, fix in told],
        asked=asked,
        seconds=0,
    )


async def _health(trial: Trial, found: list[Finding]) -> tuple[bool, str]:
    answer = await trial.ask("health")
    if answer is None or answer.error is not None:
        reason = answer.reason if answer is not None else None
        return False, f"its health check failed: {reason}"
    health: Health = answer.value
    found += health.findings
    return health.ok, health.detail
