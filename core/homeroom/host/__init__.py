"""Finding, checking, toggling and calling plugins."""

from homeroom.host.answers import HookFailed, NotRunning, Quarantined, TimedOut, WrongAnswer
from homeroom.host.calls import Answer, HookMetrics
from homeroom.host.config import PluginsConfig, SettingsProblem
from homeroom.host.desk import SettingsDesk, SettingsView, Trial, Unfit, Wrong
from homeroom.host.discovery import CannotLoad
from homeroom.host.host import Host
from homeroom.host.plugin import HookFigures, PluginInfo
from homeroom.host.plugin_settings import SettingsInvalid

__all__ = [
    "Answer",
    "CannotLoad",
    "HookFailed",
    "HookFigures",
    "HookMetrics",
    "Host",
    "NotRunning",
    "PluginInfo",
    "PluginsConfig",
    "Quarantined",
    "SettingsDesk",
    "SettingsInvalid",
    "SettingsProblem",
    "SettingsView",
    "TimedOut",
    "Trial",
    "Unfit",
    "Wrong",
    "WrongAnswer",
]
