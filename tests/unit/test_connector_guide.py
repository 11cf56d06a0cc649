"""docs/writing-a-connector.md works as it is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from homeroom.host.scaffold import new_plugin
from homeroom.testing.connector_kit import ConnectorTests

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-connector.md").read_text(encoding="utf-8")
CONNECTOR, TESTS, RECORDED = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_shows_what_plugins_new_writes(tmp_path: Path) -> None:
    project = new_plugin("acme", "sis", tmp_path)
    assert (project.folder / "homeroom_acme" / "connector.py").read_text(encoding="utf-8") == CONNECTOR
    assert (project.folder / "tests" / "test_acme.py").read_text(encoding="utf-8") == TESTS
    named = {file.relative_to(project.folder).as_posix() for file in project.files}
    assert set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)) <= named


def test_the_page_explains_every_rule_and_no_other() -> None:
    rules = [name.removeprefix("test_").replace("_", " ") for name in dir(ConnectorTests) if name.startswith("test_")]
    table = PAGE.partition("| rule | why |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| ([a-z][^|]*) \|", table, re.MULTILINE)) == sorted(rules)


def test_a_recorded_server_is_tested_as_the_page_says(tmp_path: Path) -> None:
    project = new_plugin("acme", "sis", tmp_path).folder
    (project / "tests" / "test_recorded.py").write_text(RECORDED, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_recorded.py"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
    assert "skipped" in ran.stdout
