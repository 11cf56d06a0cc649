"""Handing personal data to a plugin, or by it to somebody outside: asked first, then entered, and only then done."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from homeroom import gate
from homeroom.store import ORIGIN, Store
from homeroom.types import AccessRequest, Outcome, Release

HANDED_OUT = "data.handed_out"
_LEFT_OUT = "There is no ground on file for these students; they are left out."

HostOf = Callable[[], gate.Host | None]
"""Gives the plugin host, None where plugins are not asked (a door that stands alone, in a test)."""


async def hand_out(
    store: Store,
    host: gate.Host | None,
    recipient: str,
    student_ids: Collection[str],
    fields: Collection[str],
    *,
    in_part: bool = False,
    again: bool = False,
) -> Release:
    """Those of the students whose data may be handed out, each in the ledger: one row per call, ids and field names.

    Without `in_part` it is all of them or none. With `again` it was entered before and is only asked about. Raises
    Refused: Denied where plugins deny it to all, NotChecked, and 503 where a required one cannot enter it.
    """
    gate.check_not_asking()
    origin, asked = ORIGIN.get(), frozenset(student_ids)
    access = AccessRequest(
        action=HANDED_OUT,
        identity=None,
        student_ids=asked,
        request_id=origin.request_id,
        recipient=recipient,
        fields=tuple(sorted(fields)),
        in_part=in_part,
    )
    granted = gate.Granted() if host is None else await gate.ask(host, access)
    left_out = asked & granted.without if in_part else frozenset[str]()
    if host is not None and left_out:
        await gate.denied(host, replace(access, student_ids=left_out), _LEFT_OUT)
    release = Release(students=asked - left_out, notice=granted.notice)
    if release.students and not again:
        await _enter(store, host, replace(access, student_ids=release.students), granted)
    return release


async def _enter(store: Store, host: gate.Host | None, access: AccessRequest, granted: gate.Granted) -> None:
    students, fields, origin = access.student_ids, access.fields, ORIGIN.get()
    if host is not None:
        outcome = Outcome(allowed=True, student_ids=students, fields=fields, rows=len(students), basis=granted.basis)
        await gate.enter(host, access, outcome)
    data: dict[str, Any] = {"plugin": access.recipient, "fields": fields, "student_ids": sorted(students)}
    if access.in_part and granted.notice:
        data["notice"] = True  # it goes with what leaves
    before = ORIGIN.set(replace(origin, basis=granted.basis or origin.basis))
    try:
        await store.write(lambda tx: tx.journal(HANDED_OUT, subject_id=access.recipient, data=data))
    finally:
        ORIGIN.reset(before)


class StoredOutside:
    """The door through which a plugin gives records on to somebody outside."""

    def __init__(self, store: Store, plugin: str, host: HostOf = lambda: None) -> None:
        self._store = store
        self._plugin = plugin
        self._host = host

    async def release(
        self, student_ids: Collection[str], *, to: str, kinds: Collection[str], again: bool = False
    ) -> Release:
        """Those of these students whose records may go to `to` now; none where it is denied."""
        if not student_ids:
            return Release()
        gate.check_not_asking()
        recipient = f"{self._plugin}.{to}"
        try:
            return await hand_out(self._store, self._host(), recipient, student_ids, kinds, in_part=True, again=again)
        except gate.Denied:
            return Release()
