"""The one question before somebody's data is shown or handed out, and the entry that says that it was.

Routes, class boards, messages and the plugins' doors all ask here. One denial denies, and so does one failure; what a
required plugin cannot enter is not shown.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from homeroom.store.errors import Refused, Unavailable
from homeroom.types import AccessRequest, Outcome

NOT_CHECKED = (
    "Access could not be checked just now, so it is denied. Please try again; if it stays so, tell your office."
)
_NOT_ENTERED = "This could not be entered in the audit log, so it is not shown."
NOTICE_HEADER = "Homeroom-Redisclosure-Notice"
"""The header in which `Granted.notice` goes out, with an answer or a board's handshake."""

_SHUT = "A plugin is handed nobody's data while it answers authorize or audit."

_ASKING: ContextVar[bool] = ContextVar("homeroom_asking", default=False)


class Denied(Refused):
    """A plugin has said no."""


class NotChecked(Refused):
    """A plugin could not say; that is a no for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What plugins have left of a request: on what basis, without which students, and with which notice."""

    basis: str | None = None
    without: frozenset[str] = frozenset()
    notice: str | None = None


class Host(Protocol):
    """What is needed of the plugin host."""

    required: frozenset[str]

    @property
    def lasting(self) -> MutableMapping[str, Granted]:
        """What `authorize` always leaves of an action on one's own record, while the same plugins answer it."""
        ...

    def implements(self, hook: str) -> bool:
        """Whether asking would give any answer."""
        ...

    async def ask_all(self, hook: str, **arguments: Any) -> Iterable[Any]:
        """What every plugin answers."""
        ...


async def ask(host: Host, access: AccessRequest) -> Granted:
    """What plugins leave of a request. Raises Refused 403 (Denied, NotChecked); that is entered, too.

    Raises Unavailable when one could not ask our own database.
    """
    if not host.implements("authorize"):
        return Granted()
    basis: str | None = None
    notice: str | None = None
    without: frozenset[str] = frozenset()
    lasting = access.identity is not None and access.student_ids == {access.identity.subject}
    for answer in await _asked(host, "authorize", request=access):
        if answer.error is not None:
            await denied(host, access, "not-checked")
            if isinstance(answer.error, Unavailable):
                raise answer.error
            raise NotChecked(403, "not-allowed", NOT_CHECKED)
        decision = answer.value
        lasting = lasting and decision is not None and decision.lasting
        if decision is None:
            continue
        if not decision.allow:
            await denied(host, access, decision.reason or "denied", basis=decision.basis)
            raise Denied(403, "not-allowed", decision.reason or "You may not do this.")
        basis, notice = basis or decision.basis, notice or decision.notice
        without |= decision.without
    granted = Granted(basis=basis, without=without, notice=notice)
    if lasting:
        host.lasting[access.action] = granted
    return granted


def known(host: Host, action: str) -> Granted | None:
    """What plugins leave of an action on one's own record, if that is known without asking them."""
    return host.lasting.get(action) if host.implements("authorize") else Granted()


async def enter(host: Host, access: AccessRequest, outcome: Outcome) -> None:
    """Have a disclosure entered before it is made. Raises Refused 503 when a required plugin cannot."""
    if not host.implements("audit"):
        return
    for answer in await _asked(host, "audit", request=access, outcome=outcome):
        if answer.error is not None and answer.plugin in host.required:
            raise Refused(503, "audit-failed", _NOT_ENTERED)


async def denied(host: Host, access: AccessRequest, reason: str, *, basis: str | None = None) -> None:
    """Have a denial entered; it stays one, whether or not it can be."""
    if host.implements("audit"):
        outcome = Outcome(allowed=False, student_ids=access.student_ids, basis=basis, reason=reason)
        await _asked(host, "audit", request=access, outcome=outcome)


def check_not_asking() -> None:
    """Raise Refused while a plugin is being asked: its own hand-out would be decided by asking it again, and so on."""
    if _ASKING.get():
        raise Refused(403, "not-allowed", _SHUT)


async def _asked(host: Host, hook: str, **arguments: Any) -> Iterable[Any]:
    before = _ASKING.set(True)
    try:
        return await host.ask_all(hook, **arguments)
    finally:
        _ASKING.reset(before)
