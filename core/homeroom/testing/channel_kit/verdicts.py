"""What an answer of `deliver` must not say, judged by what the vendor has taken."""

from __future__ import annotations

import pytest

from homeroom.testing.channel_kit.subject import Handed
from homeroom.testing.channel_simulator import Taken


def must_not_mislead(handed: Handed, under: str, *, final: bool = False) -> None:
    """Fail for an answer by which a family would hear twice, or never; `final` says that the vendor has refused it."""
    count, state = len(handed.taken), handed.state
    if count > 1:
        pytest.fail(
            f"one deliver() was {count} messages under {under}; send once, and leave it to the outbox to send again"
        )
    if count and state in ("retry", "refused"):
        pytest.fail(
            f"deliver() answered {state!r} under {under} for a message that the vendor has taken: the family would "
            "hear twice; raise when it is not known"
        )
    if not count and state in ("accepted", "delivered"):
        pytest.fail(
            f"deliver() answered {state!r} under {under} for a message that was never taken: the family would hear "
            "nothing; read the answer before you say so"
        )
    if not count and state == "refused" and not final:
        pytest.fail(
            f"deliver() answered 'refused' under {under} for a message that the vendor may take later; that is for bad "
            "addresses and those who want none"
        )


def must_be_taken(handed: Handed) -> Taken:
    """What the vendor took of a message that nothing was in the way of."""
    must_not_mislead(handed, "a vendor that behaves")
    if handed.error is not None:
        pytest.fail(f"deliver() raised {type(handed.error).__name__} although the vendor took the message")
    if not handed.taken:
        pytest.fail(f"the vendor has taken nothing, and deliver() answered {handed.state!r}")
    receipt, [taken] = handed.receipt, handed.taken
    if receipt is None or receipt.state not in ("accepted", "delivered"):
        pytest.fail(f"deliver() answered {handed.state!r} for a message that the vendor took; answer 'accepted'")
    if receipt.provider_id != taken.provider_id:
        pytest.fail(
            f"the vendor calls the message {taken.provider_id!r} and the receipt {receipt.provider_id!r}; give "
            "Receipt.provider_id, by which it can be asked for"
        )
    return taken


def must_be_named(handed: Handed, kind: str) -> None:
    """Fail for an answer that the vendor cannot have given: it always names the message."""
    named = handed.receipt.provider_id if handed.receipt is not None else None
    if named != handed.taken[0].provider_id:
        pytest.fail(f"deliver() answered {handed.state!r} under {kind!r} without the vendor's word; raise")


def said(handed: Handed) -> str:
    """What `deliver` did with a message, in words."""
    return f"answered {handed.state!r}" if handed.error is None else f"raised {type(handed.error).__name__}"
