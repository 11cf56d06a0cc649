"""From nothing to a connector that passes: `plugins new --kind sis`, `plugins test` and `simulate`, outside of here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from homeroom.host.scaffold import new_plugin
from tests.services.new_project import environment, homeroom, new_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return new_project("sis", tmp_path)


def test_a_new_connector_passes_every_rule(project: Path) -> None:
    told = homeroom(project, "plugins", "test", "acme")
    assert told.returncode == 0, told.stdout + told.stderr
    lines = told.stdout.splitlines()
    assert "pass  reading resumes at every checkpoint" in lines
    assert "pass  a value that somebody else changed is not overwritten" in lines
    assert "Against the simulator acme:" in lines
    assert not [line for line in lines if line.startswith("fail")]
    assert lines[-1].endswith(" passed, 0 failed, 1 do not apply.")


def test_a_connector_that_was_spoiled_fails_with_what_to_do(project: Path) -> None:
    file = project / "homeroom_acme" / "connector.py"
    text = file.read_text()
    assert "total=total" in text
    file.write_text(text.replace("total=total", "total=total + 1"))
    told = homeroom(project, "plugins", "test", "acme", "--json")
    assert told.returncode == 1, told.stderr
    facts: dict[str, Any] = json.loads(told.stdout)
    assert (facts["plugin"], facts["passed"]) == ("acme", False)
    failed = {rule["rule"]: rule["message"] for rule in facts["rules"] if rule["outcome"] == "fail"}
    assert set(failed) == {"counts agree with what was read", "what is gone ends and what returns is restored"}
    assert "leave total out if unsure" in failed["counts agree with what was read"]


def test_a_new_connectors_simulator_serves_and_says_what_to_set(project: Path) -> None:
    command = [sys.executable, "-m", "homeroom", "simulate", "acme", "--students", "30", "--json"]
    with subprocess.Popen(command, cwd=project, env=environment(project), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            told = json.loads(server.stdout.readline())
            settings = told["settings"]
            auth = (settings["client_id"], settings["client_secret"])
            token = httpx2.post(f"{told['url']}/token", auth=auth, trust_env=False).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            params = {"offset": 0, "limit": 5}
            answer = httpx2.get(f"{told['url']}/rows/user", headers=headers, params=params, trust_env=False)
        finally:
            server.send_signal(signal.SIGINT)
    assert server.returncode == 0
    assert len(answer.json()["rows"]) == 5
    assert settings["base_url"] == told["url"]
    assert "compare it with a real" in told["evidence"]


def test_what_cannot_be_simulated_is_wrong_usage_and_what_can_is_listed(project: Path) -> None:
    unknown = homeroom(project, "simulate", "nobody")
    assert unknown.returncode == 2
    assert "There is no simulator named nobody. There are: acme" in unknown.stderr
    listed = homeroom(project, "simulate")
    assert "acme" in listed.stdout.splitlines()[0]
    assert "slow-drip" in listed.stdout


@pytest.mark.long
def test_a_new_connectors_tests_pass_by_uv_in_an_empty_folder(tmp_path: Path) -> None:
    """The short form is test_host_check: the same tests with the packages that are installed here."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    folder = new_plugin("acme", "sis", tmp_path).folder
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "VIRTUAL_ENV"))}
    ran = subprocess.run(
        ["uv", "run", "pytest", "-q"], cwd=folder, env=kept, capture_output=True, text=True, check=False, timeout=600
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
