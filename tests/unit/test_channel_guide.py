"""docs/writing-a-channel.md works as it is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from homeroom.host.scaffold import new_plugin
from homeroom.testing import CHANNEL_MISBEHAVIOURS, ChannelSimulator
from homeroom.testing.channel_kit import ChannelTests

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-channel.md").read_text(encoding="utf-8")
CHANNEL, TESTS, QUIET = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_shows_what_plugins_new_writes(tmp_path: Path) -> None:
    project = new_plugin("acme", "channel", tmp_path)
    assert (project.folder / "homeroom_acme" / "__init__.py").read_text(encoding="utf-8") == CHANNEL
    assert (project.folder / "tests" / "test_acme.py").read_text(encoding="utf-8") == TESTS
    named = {file.relative_to(project.folder).as_posix() for file in project.files}
    assert set(re.findall(r"^\| `(\w+/[^`]+)` \|", PAGE, re.MULTILINE)) <= named


def test_the_page_explains_every_rule_and_no_other() -> None:
    rules = [name.removeprefix("test_").replace("_", " ") for name in dir(ChannelTests) if name.startswith("test_")]
    table = PAGE.partition("| rule | why |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| ([a-z][^|]*) \|", table, re.MULTILINE)) == sorted(rules)


def test_what_a_simulator_tells_the_kit_is_there() -> None:
    table = PAGE.partition("besides its routes and `settings`:")[2].partition("\n\n`homeroom plugins test")[0]
    named = {
        name
        for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(?:await )?(\w+)", cell)
    }
    simulator = ChannelSimulator()
    assert len(named) == 9
    assert [name for name in sorted(named) if not hasattr(simulator, name)] == []
    assert "take-and-hang" in CHANNEL_MISBEHAVIOURS


def test_a_vendor_that_tells_nothing_is_tested_as_the_page_says(tmp_path: Path) -> None:
    project = new_plugin("acme", "channel", tmp_path).folder
    (project / "tests" / "test_quiet.py").write_text(QUIET, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "tests/test_quiet.py"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "its vendor calls nothing back" in ran.stdout
    assert "Acme answers at once, or not at all" in ran.stdout
