"""Rules of a conformance kit that cannot apply, left out aloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def rules_left_out(kit: type[object], reasons: Mapping[str, str]) -> dict[str, Callable[[object], None]]:
    """Tests that take the place of the rules that `reasons` names, and skip with the reason.

    Raises TypeError for a rule that `kit` does not have.
    """
    if unknown := reasons.keys() - set(dir(kit)):
        raise TypeError(f"the kit has no rule {min(unknown)}")
    return {name: _left_out(reason) for name, reason in reasons.items()}


def _left_out(reason: str) -> Callable[[object], None]:
    def rule(_self: object) -> None:
        import pytest

        pytest.skip(reason)

    return rule
