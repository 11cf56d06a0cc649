"""What Werkzeug makes of a route, made once: every test builds an application anew, and each has the same routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule

_compile: Callable[[Rule], None] = Rule.compile
_compiled: dict[tuple[Any, ...], Rule] = {}


def _once(rule: Rule) -> None:
    """Compile a rule, or take over what was made of the same one: it hangs on its text, unless it has defaults."""
    assert rule.map is not None
    key = (rule.rule, rule.host, rule.subdomain, rule.merge_slashes, rule.map.host_matching)
    known = _compiled.get(key)
    if known is None or rule.defaults:
        _compile(rule)
        _compiled.setdefault(key, rule)
        return
    rule._parts, rule._trace, rule._converters = known._parts, known._trace, known._converters
    rule.arguments |= known.arguments
    for name in ("_build", "_build_unknown"):
        setattr(rule, name, getattr(known, name).__func__.__get__(rule))


def remember_rules() -> None:
    """Let all applications of this process share them: compiling takes most of the time of building one."""
    setattr(Rule, "compile", _once)  # noqa: B010 - an assignment would be a method of theirs to mypy
