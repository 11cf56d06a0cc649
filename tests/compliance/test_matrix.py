"""The matrix that the compliance report prints is held equal to the tests of this folder."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from homeroom_ferpa.reports import matrix
from tests.services.compliance_results import Results

HERE = Path(__file__).parent
BEGINS = re.compile(r"FERPA (\d+(?:(?:, | and )\d+)*) §")
ROWS = {one.number: one for one in matrix.sentences()}


def named_tests() -> dict[int, set[str]]:
    """The tests of each sentence, by what their docstrings begin with."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
                continue
            begins = BEGINS.match(ast.get_docstring(node) or "")
            for number in re.findall(r"\d+", begins[1]) if begins else ():
                found[int(number)].add(f"tests/compliance/{path.name}::{node.name}")
    return found


def test_every_sentence_has_one_row() -> None:
    assert [one.number for one in matrix.sentences()] == list(range(1, 52))


def test_each_row_has_just_the_tests_that_name_its_sentence() -> None:
    tests = named_tests()
    assert tests.keys() <= ROWS.keys()
    differ = {
        number: {
            "to enter": sorted(tests[number] - set(row.tests)),
            "to remove": sorted(set(row.tests) - tests[number]),
        }
        for number, row in ROWS.items()
        if set(row.tests) != tests[number]
    }
    assert differ == {}, "enter these in compliance/homeroom_ferpa/reports/matrix.toml"


@pytest.mark.parametrize("number", ROWS)
def test_a_row_without_a_test_says_who_does_it(number: int) -> None:
    row = ROWS[number]
    assert row.says
    assert row.section
    if row.tests:
        assert row.how in ("enforced", "recorded")
    else:
        assert row.how in ("yours", "not yet")
        assert len(row.who) > 20


def test_the_worst_outcome_of_all_runs_of_a_test_is_its_last_result(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results = Results(path)
    for node, when, outcome in (
        ("tests/compliance/test_a.py::test_one[sqlite]", "call", "passed"),
        ("tests/compliance/test_a.py::test_one[postgresql]", "setup", "skipped"),
        ("tests/compliance/test_a.py::test_two", "call", "passed"),
        ("tests/compliance/test_a.py::test_two", "teardown", "failed"),
        ("tests/compliance/test_a.py::test_three", "setup", "passed"),
        ("tests/compliance/test_a.py::test_three", "call", "passed"),
        ("tests/unit/test_b.py::test_four", "call", "passed"),
    ):
        results.heard(node, when, outcome)
    results.write()
    assert matrix.outcomes(path) == {
        "tests/compliance/test_a.py::test_one": "skipped",
        "tests/compliance/test_a.py::test_two": "failed",
        "tests/compliance/test_a.py::test_three": "passed",
    }
