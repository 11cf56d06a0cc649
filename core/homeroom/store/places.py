"""What texts sealed under the district's key are bound to: a text that is moved elsewhere does not open there."""

from __future__ import annotations

DEAD_LETTER = "dead_letters.content"
"""A row of a source that could not be taken."""


def idempotent_answer(owner: str, key: str) -> str:
    """The answer that a POST has given."""
    return f"idempotency_keys.{owner}.{key}"


def message(key: str) -> str:
    """What a message says that is about no single student."""
    return f"notifications.{key}"


def diff(run_id: str, part: int) -> str:
    """Some rows of what a dry run has found."""
    return f"diffs.{run_id}.{part}"
