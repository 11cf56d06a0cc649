"""Rules on `health()`: an administrator presses "test the connection" and reads what to do."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from homeroom.testing.channel_kit.subject import Rules, Vendor, one_letter_wrong
from homeroom.testing.connector_kit.wire import unreachable
from homeroom.types import Health


class HealthRules(Rules):
    """Good settings are healthy; bad ones are not, with what to do; and no family hears of any of it."""

    def test_health_is_good_with_good_settings(self) -> None:
        """And nobody is sent anything."""
        vendor = self.vendor()
        health = self.run(self._health(vendor))
        if not health.ok or health.findings:
            told = "; ".join(f"{one.problem} {one.fix}" for one in health.findings) or health.detail
            pytest.fail(f"health() found something although the settings work: {told}")
        if vendor.simulator.taken:
            pytest.fail("health() sent a message; ask the vendor for something that sends nothing")

    def test_health_names_the_fix_for_a_wrong_secret(self) -> None:
        """A mistyped secret is the commonest mistake of all."""
        vendor = self.vendor()
        secrets = self.subject.secrets(vendor)
        if not secrets:
            pytest.skip("no setting is a secret")
        health = self.run(self._health(vendor, change=one_letter_wrong(secrets)))
        about = f"a wrong {' or '.join(secrets)}"
        if health.ok:
            pytest.fail(f"health() found nothing wrong with {about}; ask the vendor for something that needs it")
        if not health.findings or not all(one.fix for one in health.findings):
            pytest.fail(f"health() does not say what to do about {about}; give a Finding with its fix")

    def test_health_tells_of_a_vendor_that_cannot_be_reached(self) -> None:
        """Nobody answers, the vendor fails, or a page says that it will soon be back."""
        for what, before in (("nobody answers", unreachable), ("the vendor fails", _fails), ("a page came", _page)):
            if self.run(self._health(self.vendor(), before=before)).ok:
                pytest.fail(f"health() says that all is well although {what}; read the answer before you say so")

    async def _health(self, vendor: Vendor, **how: Any) -> Health:
        async with self.subject.open(vendor, **how) as opened:
            if "health" not in opened.plugin.hooks:
                pytest.fail("it does not implement health; tell an administrator whether the settings work")
            try:
                health: Health = await opened.plugin.ask("health")
            except Exception as exc:  # noqa: BLE001 - whatever it raises is the finding
                pytest.fail(f"health() raised {type(exc).__name__}; catch it, and answer Health(ok=False, findings=…)")
            return health


async def _fails(request: httpx2.Request) -> httpx2.Response | None:
    return httpx2.Response(503, html="<h1>Service unavailable</h1>", request=request)


async def _page(request: httpx2.Request) -> httpx2.Response | None:
    return httpx2.Response(200, html="<h1>We will soon be back</h1>", request=request)
