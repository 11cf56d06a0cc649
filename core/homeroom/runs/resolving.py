"""How plugins are heard on a conflict: each in its turn, with the hook's deadline, outside every transaction.

What a conflict shows of a student is a hand-out to the plugin: it keeps to the plugin's scopes, is put to `authorize`
and entered in the disclosure ledger first, as at the doors.
"""

from __future__ import annotations

from typing import Any, Protocol

from homeroom import gate
from homeroom.hand_outs import hand_out
from homeroom.records import Conflict, Resolution
from homeroom.roster.people import is_student
from homeroom.runs import connectors
from homeroom.store import Refused, Store
from homeroom.sync import Resolve

_HOOK = "resolve_conflict"


class Host(connectors.Host, gate.Host, Protocol):
    """What is needed of the plugin host."""

    def seeing(self, hook: str, argument: Any) -> tuple[str, ...]: ...  # noqa: D102 - as in the host


def resolver(host: Host, store: Store) -> Resolve | None:
    """What asks the plugins to settle a conflict; None while no plugin would be asked.

    The first answer counts. Its reason is kept with the plugin's name before it; one that fails, or may not be handed
    what the conflict shows, is passed over.
    """
    if not host.implementers(_HOOK):
        return None

    async def resolve(conflict: Conflict) -> Resolution | None:
        for name in host.seeing(_HOOK, conflict):
            if not await _handed_out(host, store, name, conflict):
                continue
            answer = await host.ask(name, _HOOK, conflict=conflict)
            if answer is not None and answer.error is None and answer.value is not None:
                found: Resolution = answer.value
                return Resolution(value=found.value, reason=f"{name}: {found.reason}")
        return None

    return resolve


async def _handed_out(host: Host, store: Store, plugin: str, conflict: Conflict) -> bool:
    """Whether the plugin may be shown it; what it shows of a student is entered when it may."""
    row_id = conflict.row_id
    if row_id is None or not conflict.personal or not await store.read(lambda c: is_student(c, row_id)):
        return True
    try:
        await hand_out(store, host, plugin, [row_id], conflict.personal)
    except Refused:
        return False
    return True
