"""docs/writing-a-plugin.md works as it is written."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from homeroom import Attempt, Verdict, testing
from homeroom.host import Host, PluginsConfig
from homeroom.host.check import check
from homeroom.host.scaffold import new_plugin

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-plugin.md").read_text(encoding="utf-8")
PLUGIN, TESTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ENTRY_POINT, CONFIG = (tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))


def test_the_page_shows_what_plugins_new_writes(tmp_path: Path) -> None:
    folder = new_plugin("word", "checkin", tmp_path).folder
    assert (folder / "homeroom_word" / "__init__.py").read_text(encoding="utf-8") == PLUGIN
    assert (folder / "tests" / "test_word.py").read_text(encoding="utf-8") == TESTS
    written = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    assert written["project"]["entry-points"] == ENTRY_POINT["project"]["entry-points"]


def written(folder: Path) -> Path:
    """The page's files, as a reader has them."""
    for name, text in (("homeroom_word/__init__.py", PLUGIN), ("tests/test_word.py", TESTS)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_pages_tests_pass(tmp_path: Path) -> None:
    options = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function", "-o", "pythonpath=."]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", *options],
        cwd=written(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


async def test_the_pages_plugin_runs_in_a_host_with_the_pages_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = written(tmp_path) / "homeroom_word-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.3\nName: homeroom-word\nVersion: 0.1.0\n")
    [(group, entries)] = ENTRY_POINT["project"]["entry-points"].items()
    lines = [f"{name} = {target}" for name, target in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    plugins = {**CONFIG["plugins"], "enabled": ["word"]}
    assert "word" in CONFIG["plugins"]["enabled"]
    config = PluginsConfig.parse(plugins, source="homeroom.toml", environment={})
    host = Host(config, services=lambda name, scopes: testing.services(name, scopes=scopes))
    await host.load()
    await host.start()
    assert next((plugin.name, plugin.state, plugin.reason) for plugin in host.plugins) == ("word", "loaded", None)
    [shown] = await host.ask_all("issue_challenge", session=testing.SESSION)
    proof = {"code": shown.value.code, "location": {"lat": 1}}
    attempt = Attempt(session=testing.SESSION, student_id="s", at=testing.SESSION.starts_at, proof=proof)
    [answer] = await host.ask_all("verify_check_in", attempt=attempt)
    assert answer.value.verdict is Verdict.ACCEPT
    assert check("word") == []
    await host.stop()
