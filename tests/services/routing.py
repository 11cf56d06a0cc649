"""What Werkzeug makes of a route, made once: every test builds an application anew, and each has the same routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule

_make: Callable[..., Any] = Rule._compile_builder
_made: dict[tuple[Any, ...], Any] = {}


def _once(rule: Rule, *is_open: bool) -> Any:
    """The function that writes a rule's addresses; it hangs on the text of the rule alone, unless it has defaults."""
    if rule.defaults:
        return _make(rule, *is_open)
    key = (rule.rule, is_open, tuple(rule._trace))
    if key not in _made:
        _made[key] = _make(rule, *is_open)
    return _made[key]


def remember_rules() -> None:
    """Let all applications of this process share them, which takes three quarters off the time of building one."""
    setattr(Rule, "_compile_builder", _once)  # noqa: B010 - not a method of theirs, as mypy sees it
