"""docs/hooks.md says what hookspecs.py says, and its examples are real; `homeroom` exports what plugins need."""

from __future__ import annotations

import asyncio
import hmac
import inspect
import re
import typing
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from quart import Blueprint

import homeroom
from homeroom import records, sign_in, types
from homeroom.hookspecs import POLICIES, Specs
from homeroom.host.answers import checker
from homeroom.host.check import findings_in_class
from homeroom.host.plugin import hooks_of

PAGE = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
SECTIONS = {match[1]: match[0] for match in re.finditer(r"^## `(\w+)\(.*?(?=^## `|\Z)", PAGE, re.MULTILINE | re.DOTALL)}


def shown(annotation: Any) -> str:
    """A type as the page writes it."""
    if annotation is type(None):
        return "None"
    name = getattr(annotation, "__name__", str(annotation))
    if typing.get_origin(annotation) in (typing.Union, type(int | None)):
        return " | ".join(shown(one) for one in typing.get_args(annotation))
    if args := typing.get_args(annotation):
        return f"{name}[{', '.join(shown(one) for one in args)}]"
    return str(name)


def arguments(hook: str) -> list[str]:
    return [name for name in inspect.signature(getattr(Specs, hook)).parameters if name != "self"]


def test_the_page_has_every_hook_in_order_and_no_other() -> None:
    assert list(SECTIONS) == list(POLICIES)
    assert list(POLICIES) == [name for name in vars(Specs) if not name.startswith("_")]


@pytest.mark.parametrize("hook", POLICIES)
def test_the_page_says_of_a_hook_what_its_spec_says(hook: str) -> None:
    section, policy = SECTIONS[hook], POLICIES[hook]
    hints = typing.get_type_hints(getattr(Specs, hook))
    heading, _, rest = section.partition("\n\n")
    assert heading == f"## `{hook}({', '.join(arguments(hook))}) -> {shown(hints['return'])}`"
    line = rest.partition("\n")[0]
    assert line == f"Asks: {policy.mode.name.lower()} · deadline: {policy.deadline:g} s · failure: {policy.failure}"
    listed = re.findall(r"^- `(\w+)`: `([^`]+)`", section, re.MULTILINE)
    assert listed == [(name, shown(hints[name])) for name in arguments(hook)]
    assert ("**Arguments.**" in section) == bool(listed)
    for part in ("**When.**", "**Answer.**", "**Example.**", "**Used by.**"):
        assert section.count(part) == 1, part


def test_the_page_explains_every_word_for_a_failure() -> None:
    table = set(re.findall(r"^\| (\w+) \|", PAGE, re.MULTILINE)) - {"word"}
    assert table == {policy.failure for policy in POLICIES.values()}


@pytest.mark.parametrize("hook", POLICIES)
def test_the_pages_example_is_accepted_by_the_host(hook: str) -> None:
    [code] = re.findall(r"```python\n(.*?)```", SECTIONS[hook], re.DOTALL)
    names: dict[str, Any] = {name: getattr(homeroom, name) for name in homeroom.__all__}
    names |= {"asyncio": asyncio, "hmac": hmac, "click": click, "Path": Path, "Sequence": Sequence}
    names |= {"datetime": datetime, "timedelta": timedelta, "Blueprint": Blueprint}
    body: dict[str, Any] = {"hook_api": 1, "scopes": frozenset({"credentials.password", "message.sms"})}
    exec(compile(code, f"docs/hooks.md, {hook}", "exec", dont_inherit=True), names, body)  # noqa: S102 - our own page
    plugin = type("Example", (), body)
    assert list(hooks_of(plugin(), "example")) == [hook]
    assert findings_in_class(plugin) == []
    checker(body[hook])  # its annotation is one that the host can check


def test_every_type_of_the_border_is_exported() -> None:
    public = {
        name
        for module in (types, records, sign_in)
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (getattr(value, "__module__", None) == module.__name__ or name in ("Status", "Role", "Noun", "Record"))
    }
    assert public <= set(homeroom.__all__)
    assert homeroom.__all__ == sorted(homeroom.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    for name in homeroom.__all__:
        assert hasattr(homeroom, name)
