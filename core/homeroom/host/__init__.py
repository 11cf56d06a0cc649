"""Finding, checking, toggling and calling plugins."""

from homeroom.host.answers import HookFailed, NotRunning, Quarantined, TimedOut, WrongAnswer
from homeroom.host.calls import Answer, HookMetrics
from homeroom.host.config import PluginsConfig, SettingsProblem
from homeroom.host.host import Host
from homeroom.host.plugin import HookFigures, PluginInfo
from homeroom.host.plugin_settings import SettingsInvalid

__all__ = [
    "Answer",
    "HookFailed",
    "HookFigures",
    "HookMetrics",
    "Host",
    "NotRunning",
    "PluginInfo",
    "PluginsConfig",
    "Quarantined",
    "SettingsInvalid",
    "SettingsProblem",
    "TimedOut",
    "WrongAnswer",
]
