"""docs/security.md and the tests say the same: each line has a test that is there, or the reason why there is none."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = {row[1]: row[0] for row in re.finditer(r"^\| ((?:API\d+|A\d\d|V\d+\.\d+)) \|.*$", PAGE, re.MULTILINE)}
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))
SECTIONS = {
    1: 5,
    2: 4,
    3: 7,
    4: 4,
    5: 4,
    6: 8,
    7: 6,
    8: 4,
    9: 2,
    10: 7,
    11: 7,
    12: 3,
    13: 4,
    14: 3,
    15: 4,
    16: 5,
    17: 3,
}
"""How many sections each chapter of ASVS 5.0 has."""
EXPECTED = [
    *(f"API{number}" for number in range(1, 11)),
    *(f"A{number:02}" for number in range(1, 11)),
    *(f"V{chapter}.{section}" for chapter, most in SECTIONS.items() for section in range(1, most + 1)),
]
REASON = re.compile(r"(Not applicable|Not met|Not tested|Documentation): \S[^|]{20,}")


@cache
def _tests(path: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_requirement_has_its_row_and_no_other_is_there() -> None:
    assert list(ROWS) == EXPECTED


@pytest.mark.parametrize("name", EXPECTED)
def test_each_row_has_a_test_or_a_reason(name: str) -> None:
    _, _, requirement, how, tests, _ = ROWS[name].split("|")
    assert requirement.strip()
    assert how.strip().endswith(".")
    assert re.search(r"`[\w/]+\.py::\w+`", tests) or REASON.search(how)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_each_test_on_the_page_is_there(file: str, name: str) -> None:
    assert name in _tests(ROOT / "tests" / file)
