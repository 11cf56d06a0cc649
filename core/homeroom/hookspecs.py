"""Every hook, and what the core does when a plugin is slow or wrong.

The policy stands beside each hook, so docs/hooks.md, the dispatcher and the tests read one table. A plugin implements
any of them with `@hookimpl`, as `async def` or plain `def`, and takes any of the arguments by name.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
import pluggy

from homeroom.records import Conflict, Resolution, SisConnector
from homeroom.sign_in import SignInProvider
from homeroom.types import (
    AccessRequest,
    Attempt,
    Challenge,
    ClassSession,
    Credentials,
    Decision,
    Event,
    Evidence,
    Health,
    Message,
    NotSent,
    Outcome,
    PasswordSet,
    Receipt,
    Routes,
    SignIn,
    Suppressions,
)

HOOK_API = 1
"""The hook API's version: one integer. A plugin written for another is left out, with a plain reason."""

hookimpl = pluggy.HookimplMarker("homeroom")
_hookspec = pluggy.HookspecMarker("homeroom")
_F = TypeVar("_F", bound=Callable[..., Any])


class Mode(enum.Enum):
    """Whom a hook asks."""

    FIRST = "plugins are asked in order until one answers"
    ALL = "every plugin is asked at once"


Failure = Literal["report", "skip", "deny", "review", "off", "unknown", "retry"]
"""What a plugin's failure means to the caller: shown and nothing else, as if not answered, denied, kept for review,
the plugin switched off, the message's state unknown, or tried again from the same cursor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one hook is called: `deadline` in seconds."""

    mode: Mode
    deadline: float
    failure: Failure


POLICIES: dict[str, Policy] = {}


def _hook(mode: Mode, *, deadline: float, failure: Failure) -> Callable[[_F], _F]:
    def declare(function: _F) -> _F:
        POLICIES[function.__name__] = Policy(mode=mode, deadline=deadline, failure=failure)
        return _hookspec(function)

    return declare


class Specs:
    """The hooks of API version 1, in the order of docs/hooks.md."""

    @_hook(Mode.ALL, deadline=10, failure="off")
    async def start(self) -> None:
        """Open what the plugin needs; a plugin that fails here is switched off and the reason kept."""

    @_hook(Mode.ALL, deadline=10, failure="skip")
    async def stop(self) -> None:
        """Close what `start` opened."""

    @_hook(Mode.ALL, deadline=3, failure="report")
    async def health(self) -> Health:  # type: ignore[empty-body]
        """Say whether the service behind this plugin can be used now."""

    @_hook(Mode.ALL, deadline=3, failure="report")
    def routes(self) -> Routes | None:
        """Give pages, webhooks or an API under a prefix of the plugin's own."""

    @_hook(Mode.ALL, deadline=3, failure="report")
    def commands(self) -> click.Group | None:
        """Give commands that join `homeroom`'s own."""

    @_hook(Mode.ALL, deadline=3, failure="report")
    def sign_in_provider(self) -> SignInProvider | None:
        """Give a single sign-on provider; the core owns start, callback, state and nonce, and issues the tokens."""

    @_hook(Mode.ALL, deadline=3, failure="off")
    def migrations(self) -> Path | None:
        """Give the folder of the plugin's own table migrations; table names begin with the plugin's name."""

    @_hook(Mode.FIRST, deadline=5, failure="skip")
    async def authenticate(self, credentials: Credentials) -> SignIn | None:
        """Say whose credentials these are; None means of another kind, or wrong."""

    @_hook(Mode.FIRST, deadline=5, failure="skip")
    async def set_password(self, user_id: str, credentials: Credentials) -> PasswordSet | None:
        """Keep the password that a person signs in with from now on; None means not this plugin's business."""

    @_hook(Mode.ALL, deadline=1, failure="deny")
    async def authorize(self, request: AccessRequest) -> Decision | None:
        """Take away what the core's own rule has allowed; None abstains."""

    @_hook(Mode.ALL, deadline=2, failure="deny")
    async def audit(self, request: AccessRequest, outcome: Outcome) -> None:
        """Keep who read or received whose records, before the answer leaves."""

    @_hook(Mode.ALL, deadline=1, failure="report")
    async def issue_challenge(self, session: ClassSession) -> Challenge | None:
        """Give what the teacher's screen shows now."""

    @_hook(Mode.ALL, deadline=1.5, failure="review")
    async def verify_check_in(self, attempt: Attempt) -> Evidence | None:
        """Judge a proof; None means that the attempt holds none of the plugin's kind."""

    @_hook(Mode.FIRST, deadline=15, failure="unknown")
    async def deliver(self, message: Message) -> Receipt | None:
        """Hand one message to the vendor; None means a channel that is not the plugin's."""

    @_hook(Mode.FIRST, deadline=15, failure="skip")
    async def find_delivery(self, message: Message) -> Receipt | NotSent | None:
        """Ask the vendor what became of a message whose state is unknown; None means that it cannot tell."""

    @_hook(Mode.ALL, deadline=30, failure="report")
    async def suppressions(self, since: datetime | None) -> Suppressions | None:
        """Read back the addresses that the vendor no longer sends to; `since` None asks for all of them."""

    @_hook(Mode.ALL, deadline=3, failure="report")
    def sis_connector(self) -> SisConnector | None:
        """Give the connector that the sync engine drives, page by page."""

    @_hook(Mode.FIRST, deadline=5, failure="skip")
    async def resolve_conflict(self, conflict: Conflict) -> Resolution | None:
        """Settle one field changed on both sides; None leaves it to the next plugin, then to a person."""

    @_hook(Mode.ALL, deadline=30, failure="retry")
    async def consume(self, events: Sequence[Event]) -> int:  # type: ignore[empty-body]
        """Take committed changes in order; give the id of the last one that is done with."""
