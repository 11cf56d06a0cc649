"""Plugins that misbehave in any one hook, in any one way, as their settings say."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from homeroom import (
    Decision,
    Evidence,
    Health,
    NotSent,
    PasswordSet,
    Receipt,
    Resolution,
    Services,
    SignIn,
    Suppressions,
    Verdict,
    hookimpl,
)

SCOPES = frozenset(
    {"credentials.password", "message.sms", "message.email", "proof.code", "student.preferred_given_name"}
)

GOOD: dict[str, Any] = {
    "start": None,
    "stop": None,
    "health": Health(ok=True),
    "routes": None,
    "commands": None,
    "sign_in_provider": None,
    "migrations": None,
    "authenticate": SignIn(user_id="somebody"),
    "set_password": PasswordSet(),
    "authorize": Decision(allow=True),
    "audit": None,
    "issue_challenge": None,
    "verify_check_in": Evidence(method="hostile", verdict=Verdict.ACCEPT),
    "deliver": Receipt(state="accepted"),
    "find_delivery": NotSent(),
    "suppressions": Suppressions(until=datetime(2026, 9, 1, tzinfo=UTC)),
    "sis_connector": None,
    "resolve_conflict": Resolution(value=None, reason="theirs"),
    "consume": 7,
}
"""Every hook, and an answer that is fine."""

Behaviour = Literal[
    "good",
    "raise",
    "hang",
    "swallow",
    "stubborn",
    "block",
    "exit",
    "interrupt",
    "cancel",
    "wrong_type",
    "generator_exit",
]


class Mischief(BaseModel):
    """In which hook to misbehave, how, and for how long where it takes time; `times` limits how often."""

    model_config = ConfigDict(extra="forbid")

    behaviour: Behaviour = "good"
    hook: str = ""
    seconds: float = 30
    times: int = 1_000_000
    secret: SecretStr = SecretStr("")


class _Misbehaving:
    hook_api = 1
    scopes = SCOPES
    Settings = Mischief

    def __init__(self, settings: Mischief, services: Services) -> None:
        self.settings = settings
        self.services = services
        self.calls: list[str] = []

    def _turn(self, hook: str) -> Behaviour:
        self.calls.append(hook)
        asked = self.calls.count(hook) <= self.settings.times
        return self.settings.behaviour if hook == self.settings.hook and asked else "good"

    def _at_once(self, behaviour: Behaviour, hook: str) -> Any:
        match behaviour:
            case "raise":
                raise ValueError(f"no luck with {self.settings.secret.get_secret_value()}")
            case "exit":
                sys.exit(3)
            case "interrupt":
                raise KeyboardInterrupt
            case "cancel":
                raise asyncio.CancelledError
            case "generator_exit":
                raise GeneratorExit
            case "wrong_type":
                return object()
            case _:
                return GOOD[hook]

    async def _act(self, hook: str) -> Any:
        behaviour = self._turn(hook)
        if behaviour == "hang":
            await asyncio.Event().wait()
        if behaviour == "swallow":
            ending = time.monotonic() + self.settings.seconds
            while time.monotonic() < ending:
                try:
                    await asyncio.sleep(ending - time.monotonic())
                except asyncio.CancelledError:
                    continue
        while behaviour == "stubborn":
            try:
                await asyncio.sleep(self.settings.seconds)
            except BaseException:  # noqa: BLE001, S112 - not even being closed ends it
                continue
        if behaviour == "block":
            time.sleep(self.settings.seconds)  # noqa: ASYNC251 - the point
        return self._at_once(behaviour, hook)

    def _act_on_thread(self, hook: str) -> Any:
        behaviour = self._turn(hook)
        if behaviour in ("hang", "swallow", "block"):
            time.sleep(self.settings.seconds)
        return self._at_once(behaviour, hook)


def _on_loop(hook: str) -> Callable[..., Any]:
    async def call(self: _Misbehaving) -> Any:
        return await self._act(hook)

    return hookimpl(call)


def _on_thread(hook: str) -> Callable[..., Any]:
    def call(self: _Misbehaving) -> Any:
        return self._act_on_thread(hook)

    return hookimpl(call)


Hostile = type("Hostile", (_Misbehaving,), {hook: _on_loop(hook) for hook in GOOD})
HostileThreads = type("HostileThreads", (_Misbehaving,), {hook: _on_thread(hook) for hook in GOOD})


class Bystander(type("Good", (_Misbehaving,), {hook: _on_loop(hook) for hook in GOOD})):  # type: ignore[misc]
    """Answers every hook as it should."""


def not_a_class() -> None:
    """What an entry point must not name."""
