"""No regular expression of ours can be made to take for ever: found in the code, and judged by its structure.

Python's matcher goes back when it fails. What makes that exponential is a repeat without an end inside another one,
where nothing says at which sign the inner one must stop.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from re import _constants as codes
from re import _parser as parser
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("core", "compliance", "plugins", "sis_connectors")
CALLS = {"compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
MADE_AT_RUN_TIME = {
    "core/homeroom/api/uploads.py": "routes' own rules, escaped, with one [^/]+ for each part",
    "compliance/homeroom_ferpa/rights/record_file.py": "names, escaped, one after the other",
    "plugins/twilio/homeroom_twilio/settings.py": "constants of the same file, given to a check of the settings",
}
MANY = 50
_USES = re.compile(r"\bre\.")
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT)


def sources() -> Iterator[Path]:
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*.py")):
            if not {".venv", "migrations", "build"} & set(path.parts) and _USES.search(
                path.read_text(encoding="utf-8")
            ):
                yield path


def written(path: Path) -> tuple[list[str | bytes], bool]:
    """The constant patterns of a file, and whether it makes some otherwise within a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: list[str | bytes] = []
    made = False
    at_top = {id(node) for statement in tree.body if isinstance(statement, ast.Assign) for node in ast.walk(statement)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.args):
            continue
        given = node.args[0]
        if isinstance(given, ast.Constant) and isinstance(given.value, str | bytes):
            found.append(given.value)
        elif id(node) not in at_top:
            made = True
    return found, made


def compiled(path: Path) -> list[str | bytes]:
    """The patterns that a module has compiled for itself, also those made of several texts."""
    for part in PARTS:
        folder = ROOT / part
        roots = [folder] if part in ("core", "compliance") else sorted(one for one in folder.iterdir() if one.is_dir())
        for root in roots:
            if path.is_relative_to(root):
                name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
                values = vars(importlib.import_module(name)).values()
                return [value.pattern for value in values if isinstance(value, re.Pattern)]
    return []


def endless(pattern: str | bytes) -> bool:
    """Whether a repeat of many stands in another one, and no sign between them ends the inner one."""
    return _endless(parser.parse(pattern), within=False)


def _endless(parsed: Any, *, within: bool) -> bool:
    return any(_bad(operation, argument, within=within) for operation, argument in parsed)


def _bad(operation: Any, argument: Any, *, within: bool) -> bool:
    if operation in _REPEATS:
        _, most, body = argument
        many = most == codes.MAXREPEAT or most >= MANY
        if many and within:
            return True
        return _endless(body, within=(many and not _has_end(body)) or (within and not _has_end(body)))
    if operation is codes.SUBPATTERN:
        return _endless(argument[-1], within=within)
    if operation is codes.BRANCH:
        return any(_endless(one, within=within) for one in argument[1])
    if operation in (codes.ASSERT, codes.ASSERT_NOT):
        return _endless(argument[1], within=False)
    return False


def _has_end(body: Any) -> bool:
    """Whether a round of the repeat begins or ends with a sign that nothing repeated within it can be."""
    parts = list(body)
    if len(parts) == 1 and parts[0][0] is codes.SUBPATTERN:
        return _has_end(parts[0][1][-1])
    repeated = set().union(*(_signs(part) for part in parts if part[0] in (*_REPEATS, codes.SUBPATTERN)), set())
    return any(part[0] is codes.LITERAL and not {part[1], -1} & repeated for part in (parts[0], parts[-1]) if part)


def _signs(part: Any) -> set[int]:
    """Every sign below 256 that a part may match; -1 where that is not told."""
    operation, argument = part
    if operation is codes.LITERAL:
        return {argument}
    if operation in _REPEATS:
        return set().union(*(_signs(one) for one in argument[2]), set())
    if operation is codes.SUBPATTERN:
        return set().union(*(_signs(one) for one in argument[-1]), set())
    if operation is codes.IN:
        found: set[int] = set()
        for kind, value in argument:
            if kind is codes.LITERAL:
                found.add(value)
            elif kind is codes.RANGE:
                found |= set(range(value[0], min(value[1], 255) + 1))
            else:
                return {-1}
        return found
    return {-1}


@pytest.mark.parametrize("path", list(sources()), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_pattern_goes_back_without_end(path: Path) -> None:
    found, made = written(path)
    assert [pattern for pattern in {*found, *compiled(path)} if endless(pattern)] == []
    assert not made or path.relative_to(ROOT).as_posix() in MADE_AT_RUN_TIME


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"(\w*\s?)*x", r"((a|b)*)*", r"(.*,)*x", r"([a-z]+\d?){60}", r"(?:x*y*)*"]
)
def test_what_would_take_for_ever_is_known(pattern: str) -> None:
    assert endless(pattern)


@pytest.mark.parametrize("pattern", [r"[a-z]+@[a-z]+", r"(?:[a-z]+\.)+[a-z]{2,63}", r"a{1,9}", r"(,[a-z]+)*", r"(ab)*"])
def test_what_is_harmless_is_known(pattern: str) -> None:
    assert not endless(pattern)
