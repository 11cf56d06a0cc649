"""docs/hazards.md and the tests say the same: each hazard has a test, and each test of a hazard stands on the page."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "hazards.md").read_text(encoding="utf-8")
HAZARDS = [*range(1, 31)]
ROWS = {int(row[1]): row[0] for row in re.finditer(r"^\| (\d+) \|.*$", PAGE, re.MULTILINE)}
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)


@cache
def _tests(path: Path) -> dict[str, str]:
    """The test functions of a file, each with its docstring."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {one.name: ast.get_docstring(one) or "" for one in functions if one.name.startswith("test_")}


def _of_hazards() -> set[tuple[int, str, str]]:
    """Every test that names hazards in its name or at the beginning of its docstring."""
    found = set()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, docstring in _tests(path).items():
            told = re.match(r"Hazards? ([\d, and]+)", docstring)
            numbers = re.findall(r"hazard_(\d+)", name) + (re.findall(r"\d+", told[1]) if told else [])
            found |= {(int(number), path.relative_to(ROOT / "tests").as_posix(), name) for number in numbers}
    return found


def test_every_hazard_has_one_row() -> None:
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert numbers == HAZARDS


@pytest.mark.parametrize("hazard", HAZARDS)
def test_each_row_says_what_happens_what_homeroom_does_and_which_test_proves_it(hazard: int) -> None:
    _, _, happens, answer, tests, _ = ROWS[hazard].split("|")
    assert happens.strip().endswith(".")
    assert answer.strip().endswith(".")
    assert re.findall(r"`[\w/]+\.py::\w+`", tests)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_each_test_on_the_page_is_there(file: str, name: str) -> None:
    assert name in _tests(ROOT / "tests" / file)


def test_each_test_of_a_hazard_is_on_the_page_in_its_row() -> None:
    missing = {(number, file, name) for number, file, name in _of_hazards() if f"`{file}::{name}`" not in ROWS[number]}
    assert missing == set()
