"""The record of disclosures as an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

from homeroom import Call, Connection, cursor_of
from homeroom_ferpa.access import ledger
from homeroom_ferpa.access import shapes as s


def page_of(
    query: s.LedgerPageQuery, *, everything: bool, consent_id: str | None = None
) -> Callable[[Connection], list[ledger.Shown]]:
    """What reads the page that is asked for, and one entry more where there are more. Raises Invalid for its cursor."""
    after = query.after(2)
    return partial(
        ledger.of_student,
        student_id=query.student_id,
        everything=everything,
        consent_id=consent_id,
        after=None if after is None else (after[0], after[1]),
        limit=query.size() + 1,
    )


def shown(call: Call, query: s.LedgerPageQuery, found: Sequence[ledger.Shown]) -> s.LedgerOut:
    """The page for the answer; that it is shown is entered, too."""
    page = found[: query.size()]
    if page:
        call.discloses([query.student_id], fields=("ledger",), rows=len(page))
    following = cursor_of((page[-1].at, page[-1].id)) if len(found) > len(page) else None
    return s.LedgerOut(items=[_entry(one) for one in page], next=following)


def _entry(one: ledger.Shown) -> s.LedgerEntry:
    values = asdict(one)
    copy, onward = values.pop("copy"), values.pop("redisclosures")
    return s.LedgerEntry(
        **{**values, "fields": list(one.fields)},
        in_record=one.exempt is None,
        copy_of_what_was_disclosed=copy,
        redisclosures=[s.RedisclosureOut(**each) for each in onward],
    )
