"""What an administrator decided about plugins at run time: the rows that every process follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from homeroom.store import Connection, Refused, Transaction
from homeroom.store.cipher import Cipher
from homeroom.store.models import PluginState

_CONTEXT = "plugin_states.settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One plugin's row: `enabled` None means that nobody has switched it; `revision` grows with every change."""

    enabled: bool | None = None
    sealed: str | None = None
    revision: int = 0


def switches_of(connection: Connection) -> dict[str, Switch]:
    """Every plugin's row, by name."""
    rows = connection.all(PluginState.select())
    return {row.name: Switch(enabled=row.enabled, sealed=row.settings, revision=row.revision) for row in rows}


def switch(tx: Transaction, name: str, *, enabled: bool) -> None:
    """Switch a plugin on or off for every process, also after a restart."""
    _put(tx, name, enabled=enabled)
    tx.journal("plugin.switched", subject_id=name, data={"enabled": enabled})


def save_settings(
    tx: Transaction, name: str, values: Mapping[str, Any], *, changed: Iterable[str], expected: int | None = None
) -> None:
    """Save a plugin's settings, sealed; every process restarts it with them. The journal tells the `changed` keys only.

    Raises Refused 412 when the row is no longer at the revision that is `expected`.
    """
    _put(tx, name, expected, settings=tx.cipher.seal(orjson.dumps(dict(values)).decode(), _CONTEXT))
    tx.journal("plugin.configured", subject_id=name, data={"keys": sorted(changed)})


def opened(cipher: Cipher, sealed: str | None) -> dict[str, Any]:
    """Saved settings in clear. Raises CannotOpen when their key is gone."""
    return {} if sealed is None else dict(orjson.loads(cipher.unseal(sealed, _CONTEXT)))


def _put(tx: Transaction, name: str, expected: int | None = None, **values: Any) -> None:
    row = tx.get(PluginState, name)
    revision = row.revision if row is not None else 0
    if expected is not None and expected != revision:
        raise Refused(412, "changed-meanwhile", "Somebody has changed this plugin meanwhile. Please look again.")
    values |= {"updated_at": tx.now, "updated_by": tx.origin.actor_id}
    if row is None:
        tx.insert(PluginState, name=name, revision=1, **values)
    else:
        tx.run(PluginState.update(revision=revision + 1, **values).where(PluginState.name == name))
