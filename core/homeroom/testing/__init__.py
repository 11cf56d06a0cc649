"""For the tests of plugins, in this repository and outside: conformance kits, and services without a server."""

from homeroom.testing.fakes import FakeClock, services
from homeroom.testing.plugin_kit import SESSION, RunningPlugin, plugin_tests, running_plugin
from homeroom.testing.routes import routes_app

__all__ = ["SESSION", "FakeClock", "RunningPlugin", "plugin_tests", "routes_app", "running_plugin", "services"]
