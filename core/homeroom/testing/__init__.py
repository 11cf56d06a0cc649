"""For the tests of plugins, in this repository and outside: conformance kits, simulators, services without a server."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeroom.testing.channel_kit import channel_tests
    from homeroom.testing.channel_simulator import CHANNEL_MISBEHAVIOURS, ChannelSimulator, Post, Taken
    from homeroom.testing.connector_kit import connector_tests
    from homeroom.testing.fakes import FakeClock, KeptMessages, services
    from homeroom.testing.haste import HurriedLoop, hurried
    from homeroom.testing.plugin_kit import SESSION, RunningPlugin, plugin_tests, running_plugin
    from homeroom.testing.routes import routes_app
    from homeroom.testing.sample import SampleDistrict, sample_district
    from homeroom.testing.simulator import MISBEHAVIOURS, Asked, Simulator

__all__ = [
    "CHANNEL_MISBEHAVIOURS",
    "MISBEHAVIOURS",
    "SESSION",
    "Asked",
    "ChannelSimulator",
    "FakeClock",
    "HurriedLoop",
    "KeptMessages",
    "Post",
    "RunningPlugin",
    "SampleDistrict",
    "Simulator",
    "Taken",
    "channel_tests",
    "connector_tests",
    "hurried",
    "plugin_tests",
    "routes_app",
    "running_plugin",
    "sample_district",
    "services",
]

_PLACES = (
    *("fakes", "haste", "simulator", "channel_simulator", "sample", "routes", "plugin_kit"),
    *("connector_kit", "channel_kit"),
)


def __getattr__(name: str) -> Any:
    """A public name, imported when first asked for: a simulator runs where pytest is not installed."""
    if name in __all__:
        for place in _PLACES:
            module = importlib.import_module(f"homeroom.testing.{place}")
            if hasattr(module, name):
                return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
