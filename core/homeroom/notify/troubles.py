"""What is wrong with the place itself, for staff: runs of the sync, connectors and channels, plugins that failed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, Protocol

from homeroom.attendance.records import day_text
from homeroom.store import Connection, Store, Transaction, iso, now_utc
from homeroom.store import models as m
from homeroom.sync import runs, status

Kind = Literal["sync_failed", "sync_held", "sync_late", "connector_unhealthy", "plugin_quarantined", "messages_held"]

_OWNER = "core"
_KEPT = timedelta(minutes=15)
_TWICE = 2  # how often in a row a health check must fail before it is told: networks stumble
_HEALTH_HOOKS = ("sis_connector", "deliver")
_HELD = """
SELECT c.school_id, c.day, c.channel, o.name FROM notification_counts c LEFT JOIN orgs o ON o.id = c.school_id
WHERE c.alarmed_at >= ? ORDER BY c.school_id, c.channel
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that is wrong: of what (`name`), since when it is the same (`since`), and what is known of it.

    `hours` is for how long a sync has brought nothing, `school_id` the school whose trouble it is; "" is everybody's.
    """

    kind: Kind
    name: str
    since: str
    detail: str = ""
    hours: float = 0.0
    school_id: str = ""


class Host(Protocol):
    """What is needed of the plugin host."""

    @property
    def plugins(self) -> Sequence[Any]: ...  # noqa: D102 - the class says it
    def implementers(self, hook: str) -> tuple[str, ...]: ...  # noqa: D102
    async def health_of(self, name: str) -> dict[str, Any] | None: ...  # noqa: D102


async def note_quarantined(store: Store, host: Host, noted: dict[str, datetime]) -> None:
    """Keep which plugins are quarantined in this process, for whichever one tells staff, as long as they are.

    `noted` is the process's own list, with when it wrote each down.
    """
    at = now_utc()
    reasons = {info.name: info.reason or "" for info in host.plugins if info.state == "quarantined"}
    for name in noted.keys() - reasons.keys():
        del noted[name]
    for name, reason in sorted(reasons.items()):
        if name not in noted or at - noted[name] >= _KEPT / 3:
            await store.write(partial(_note, name=name, reason=reason))
            noted[name] = at


def _note(tx: Transaction, name: str, reason: str) -> None:
    table, key = m.KeyValue, f"quarantined:{name}"
    tx.run(table.delete().where((table.plugin == _OWNER) & (table.key == key)))
    sealed = tx.cipher.seal(reason, f"key_values.{_OWNER}.{key}")
    tx.insert(table, plugin=_OWNER, key=key, value=sealed, expires_at=tx.now + _KEPT)


class Health:
    """The health of connectors and channels, asked now and then; only what is wrong twice in a row counts."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._failed: dict[str, tuple[int, str]] = {}

    async def look(self) -> None:
        """Ask each of them once."""
        names = dict.fromkeys(name for hook in _HEALTH_HOOKS for name in self._host.implementers(hook))
        self._failed = {name: failed for name, failed in self._failed.items() if name in names}
        for name in names:
            health = await self._host.health_of(name)
            if health is None or health["ok"]:
                self._failed.pop(name, None)
                continue
            words = next((one["problem"] for one in health["findings"]), health["detail"] or "")
            self._failed[name] = (self._failed.get(name, (0, ""))[0] + 1, str(words))

    def troubles(self, day: str) -> list[Trouble]:
        """Those that are not well."""
        return [
            Trouble(kind="connector_unhealthy", name=name, since=day, detail=words)
            for name, (times, words) in sorted(self._failed.items())
            if times >= _TWICE
        ]


def kept(connection: Connection, now: datetime, day: str, connectors: Collection[str]) -> list[Trouble]:
    """What the database tells of runs, of plugins in any process, and of messages over a limit; `day` is today."""
    found: list[Trouble] = []
    for one in status(connection, now):
        if one.connector not in connectors:
            continue
        name = one.connector
        last = next((run for run in runs(connection, name) if not run.dry_run), None)
        if last is not None and last.status == "failed":
            since = last.started_at.date().isoformat()  # however often it fails on one day
            found.append(Trouble(kind="sync_failed", name=name, since=since, detail=last.reason or ""))
        if last is not None and last.status == "held":
            words = " ".join(f"{alarm.found} {alarm.look_at}" for alarm in last.findings)
            found.append(Trouble(kind="sync_held", name=name, since=last.run_id, detail=words))
        if one.lag_seconds is not None:
            found.append(Trouble(kind="sync_late", name=name, since=day, hours=one.lag_seconds / 3600))
    table = m.KeyValue
    rows = connection.all(
        table.select().where(table.plugin == _OWNER, table.key.startswith("quarantined:"), table.expires_at > now)
    )
    for row in rows:
        words = connection.cipher.unseal(row.value, f"key_values.{_OWNER}.{row.key}")
        found.append(Trouble(kind="plugin_quarantined", name=row.key.partition(":")[2], since=day, detail=words))
    for school_id, held_on, channel, title in connection.sql(_HELD, (iso(now - timedelta(days=1)),)):
        words = f"{title or 'The district'} has reached its limit on {channel}."
        since = f"{school_id}:{day_text(held_on)}"
        found.append(Trouble(kind="messages_held", name=channel, since=since, detail=words, school_id=school_id))
    return found
