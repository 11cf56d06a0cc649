"""How plugins are heard on a conflict: each in its turn, with the hook's deadline, outside every transaction."""

from __future__ import annotations

from homeroom.records import Conflict, Resolution
from homeroom.runs.connectors import Host
from homeroom.sync import Resolve


def resolver(host: Host) -> Resolve | None:
    """What asks the plugins to settle a conflict; None while no plugin would be asked.

    The first answer counts. Its reason is kept with the plugin's name before it; one that fails is passed over.
    """
    if not host.implementers("resolve_conflict"):
        return None

    async def resolve(conflict: Conflict) -> Resolution | None:
        answer = await host.ask_first("resolve_conflict", conflict=conflict)
        if answer is None or answer.error is not None:
            return None
        found: Resolution = answer.value
        return Resolution(value=found.value, reason=f"{answer.plugin}: {found.reason}")

    return resolve
