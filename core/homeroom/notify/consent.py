"""What was said of each address: consent and opt-out by purpose, and addresses that do not exist.

Everything holds for one address on one channel. STOP on one number leaves the same person's e-mail alone, and a number
that two people share is silent for both. The address itself is not kept, only a keyed hash of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from homeroom.notify.addresses import lookup, lookups, normal
from homeroom.store import Connection, Transaction, iso
from homeroom.store.bulk import select_in
from homeroom.types import AddressNews

State = Literal["given", "withdrawn", "unreachable"]
Source = Literal["vendor", "office", "person"]
"""Who said so: the vendor (a STOP that it passed on), the school's office, or the person on a page."""

EVERYTHING = ""
"""The purpose that stands for all of them."""

Said = Mapping[str, Mapping[str, State]]
"""By the lookup of an address: the state of each purpose of which something was said."""

_NEWS: Mapping[str, State] = {"opted_out": "withdrawn", "opted_in": "given", "unreachable": "unreachable"}
_SAY = """
INSERT INTO notification_consents (channel, lookup, purpose, state, source, changed_at, changed_by)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (channel, lookup, purpose) DO UPDATE SET
  state = excluded.state, source = excluded.source, changed_at = excluded.changed_at, changed_by = excluded.changed_by
WHERE notification_consents.state <> excluded.state
RETURNING state
"""
_FORGET = "DELETE FROM notification_consents WHERE channel = ? AND lookup = ? AND purpose = ? AND state <> 'given'"
_SAID = "SELECT lookup, purpose, state FROM notification_consents WHERE channel = ? AND lookup IN ({})"


def hear(tx: Transaction, news: AddressNews, *, source: Source, region: str = "US") -> bool:
    """Keep what became known of an address; whether that is news. A number that does not exist takes back no STOP."""
    address = normal(news.channel, news.address, region)
    if address is None:
        return False
    state = _NEWS[news.news]
    if state == "unreachable" and "withdrawn" in said(tx, news.channel, [address]).get(address, {}).values():
        return False
    return say(tx, news.channel, address, state, source=source)


def say(
    tx: Transaction, channel: str, address: str, state: State, *, purpose: str = EVERYTHING, source: Source
) -> bool:
    """Keep the state of a normal address for a purpose, at once and in the journal; whether that changes anything."""
    key = lookup(tx.cipher, channel, address)
    if state == "given":  # START takes back STOP, and no refusal of one purpose; under an older key, too
        for old in lookups(tx.cipher, channel, address)[1:]:
            tx.write_sql(_FORGET, (channel, old, purpose))
    changed = tx.write_sql(_SAY, (channel, key, purpose, state, source, iso(tx.now), tx.origin.actor_id))
    if changed:
        kind = "address.unreachable" if state == "unreachable" else f"consent.{state}"
        tx.journal(kind, data={"channel": channel, "purpose": purpose, "source": source, "address": key})
    return bool(changed)


def said(connection: Connection, channel: str, addresses: Collection[str]) -> Said:
    """What was said of each of these normal addresses; nothing for one of which nothing was."""
    by_key: dict[str, list[str]] = defaultdict(list)  # of more than one spelling
    for address in addresses:
        for key in lookups(connection.cipher, channel, address):
            by_key[key].append(address)
    found: dict[str, dict[str, State]] = defaultdict(dict)
    for key, purpose, state in select_in(connection, _SAID, (channel,), sorted(by_key)):
        for address in by_key[key]:
            if found[address].get(purpose) != "withdrawn":  # under an older key, too, a refusal is one
                found[address][purpose] = state
    return found


def refusal(told: Mapping[str, State], channel: str, purpose: str, consent_first: Sequence[str]) -> str | None:
    """Why nothing may be sent to an address of which this was said, in one word; None when something may.

    A refusal of everything, or of this purpose, beats every consent.
    """
    states = {told.get(EVERYTHING), told.get(purpose)}
    if "withdrawn" in states:
        return "opted_out"
    if "unreachable" in states:
        return "unreachable"
    if channel in consent_first and "given" not in states:
        return "no_consent"
    return None
