"""The record of disclosures as an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from homeroom import Call
from homeroom_ferpa.access import ledger
from homeroom_ferpa.access import shapes as s


def shown(call: Call, student_id: str, found: Sequence[ledger.Shown]) -> s.LedgerOut:
    """The entries for the answer; that they are shown is entered, too."""
    if found:
        call.discloses([student_id], fields=("ledger",), rows=len(found))
    return s.LedgerOut(items=[_entry(one) for one in found])


def _entry(one: ledger.Shown) -> s.LedgerEntry:
    values = asdict(one)
    copy, onward = values.pop("copy"), values.pop("redisclosures")
    return s.LedgerEntry(
        **{**values, "fields": list(one.fields)},
        in_record=one.exempt is None,
        copy_of_what_was_disclosed=copy,
        redisclosures=[s.RedisclosureOut(**each) for each in onward],
    )
