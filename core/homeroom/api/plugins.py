"""The admin's view of plugins: what is installed, how it is, on and off."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint

from homeroom.api.operation import Answer, Call, operation
from homeroom.host import PluginInfo
from homeroom.store import not_found

plugins = Blueprint("plugins", __name__, url_prefix="/api/v1/plugins")


class Plugin(Answer):
    """One plugin and why it is as it is."""

    name: str = Field(examples=["rotating_code"])
    version: str | None = Field(default=None, examples=["0.1.0"])
    listed: bool = Field(description="Whether the file names it; only then can it be switched on.")
    enabled: bool
    required: bool = False
    state: Literal["loaded", "off", "quarantined", "left_out"]
    reason: str | None = None
    hooks: list[str] = Field(examples=[["issue_challenge", "verify_check_in"]])
    order: int | None = Field(default=None, description="Its place among those that are asked; the file's order.")
    distribution: str | None = Field(default=None, examples=["homeroom-rotating-code"])


class PluginList(Answer):
    """Every plugin that is installed or asked for, in call order."""

    plugins: list[Plugin]


class HookFigures(Answer):
    """What one hook of one plugin has cost and how it fails; times in milliseconds."""

    hook: str
    calls: int
    errors: int
    mean_ms: float
    max_ms: float
    breaker: Literal["closed", "open", "half_open"]
    last_error: str | None = None
    last_error_at: AwareDatetime | None = None
    deadline_seconds: float = Field(description="When an answer is waited for no longer.")


class Diagnostics(Plugin):
    """A plugin's figures since the process began; settings are shown with secrets masked."""

    figures: list[HookFigures]
    settings: dict[str, Any]
    health: dict[str, Any] | None = None


@plugins.get("/")
@operation("plugins.manage", answers=PluginList)
async def list_plugins(call: Call) -> PluginList:
    """Every plugin with its state, and the reason when it is out."""
    return PluginList(plugins=[_plugin(call, info) for info in call.district.host.plugins])


@plugins.post("/<name>/enable")
@operation("plugins.manage", answers=Plugin, problems=(409,))
async def enable_plugin(call: Call, name: str) -> Plugin:
    """Switch a plugin on; every process follows within two seconds, and it stays so after a restart."""
    await call.district.host.enable(name)
    return _plugin(call, _info(call, name))


@plugins.post("/<name>/disable")
@operation("plugins.manage", answers=Plugin, problems=(409,))
async def disable_plugin(call: Call, name: str) -> Plugin:
    """Switch a plugin off; one that the file names `required` stays on (409)."""
    await call.district.host.disable(name)
    return _plugin(call, _info(call, name))


@plugins.get("/<name>/diagnostics")
@operation("plugins.manage", answers=Diagnostics)
async def diagnose_plugin(call: Call, name: str) -> Diagnostics:
    """What a plugin has cost, how it fails, and its settings with secrets masked."""
    info = _info(call, name)
    host = call.district.host
    return Diagnostics(
        **_plugin(call, info).model_dump(),
        figures=[HookFigures.model_validate(figure) for figure in info.figures],
        settings=host.masked_settings(name),
        health=await host.health_of(name),
    )


def _info(call: Call, name: str) -> PluginInfo:
    for info in call.district.host.plugins:
        if info.name == name:
            return info
    raise not_found("There is no plugin of that name.")


def _plugin(call: Call, info: PluginInfo) -> Plugin:
    listed = call.district.host.config.enabled
    return Plugin(
        name=info.name,
        version=info.version,
        listed=info.listed,
        enabled=info.enabled,
        required=info.required,
        state=info.state,
        reason=info.reason,
        hooks=sorted(info.hooks),
        order=listed.index(info.name) + 1 if info.name in listed else None,
        distribution=info.distribution,
    )
