"""Rules on `check()`: an administrator presses "test the connection" and reads what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from homeroom.testing.connector_kit.subject import Rules
from homeroom.testing.connector_kit.wire import Before, unreachable
from homeroom.testing.simulator import Simulator
from homeroom.types import Finding


class CheckRules(Rules):
    """Good settings have no findings; each kind of bad ones has, with its fix."""

    def test_check_finds_nothing_with_good_settings(self) -> None:
        """A finding on what works sends an administrator looking for nothing."""
        if found := self.run(self._check(self.subject.server())):
            pytest.fail(f"check() found something although the settings work: {_told(found)}")

    def test_check_names_the_fix_for_a_wrong_secret(self) -> None:
        """A mistyped secret is the commonest mistake of all."""
        server = self.subject.server()
        secrets = self.subject.secrets(server)
        if not secrets:
            pytest.skip("no setting is a secret")
        found = self.run(self._check(server, change=dict.fromkeys(secrets, "not-the-right-one")))
        _must_help(found, f"a wrong {' or '.join(secrets)}")

    def test_check_names_the_fix_when_nobody_answers(self) -> None:
        """A wrong address, or a firewall."""
        _must_help(self.run(self._check(self.server(), before=unreachable)), "a server that cannot be reached")

    def test_check_tells_an_outage(self) -> None:
        """A page that says "back soon" is no sign of good settings."""
        _must_help(self.run(self._check(self.server("outage"))), "a server that is down for maintenance")

    async def _check(
        self, server: Simulator | None, *, change: Mapping[str, Any] | None = None, before: Before | None = None
    ) -> Sequence[Finding]:
        async with self.subject.open(server, change=change, before=before) as opened:
            try:
                return await opened.connector.check()
            except Exception as exc:  # noqa: BLE001 - whatever it raises is the finding
                pytest.fail(f"check() raised {type(exc).__name__}; catch SourceError and return a Finding with its fix")


def _must_help(found: Sequence[Finding], about: str) -> None:
    if not found:
        pytest.fail(f"check() found nothing wrong with {about}; try the connection and return a Finding")
    if bare := [finding.problem for finding in found if not finding.fix]:
        pytest.fail(f"check() tells of {about} but not what to do ({bare[0]!r}); give each Finding its fix")


def _told(found: Sequence[Finding]) -> str:
    return "; ".join(f"{finding.problem} {finding.fix or ''}".strip() for finding in found)
