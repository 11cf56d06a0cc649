"""From nothing to a channel that passes: `plugins new --kind channel`, `plugins test`, `simulate`, outside of here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.services.new_project import environment, homeroom, new_project

PRIVATE = "what is private stays out of reprs logs errors and addresses"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return new_project("channel", tmp_path)


def test_a_new_channel_passes_every_rule(project: Path) -> None:
    told = homeroom(project, "plugins", "test", "acme")
    assert told.returncode == 0, told.stdout + told.stderr
    lines = told.stdout.splitlines()
    assert "Against the simulator acme:" in lines
    assert "pass  a message that was taken without an answer is unknown" in lines
    assert "pass  a forged callback changes nothing" in lines
    assert "skip  suppressions name who opted out and nobody else (it does not implement suppressions)" in lines
    assert not [line for line in lines if line.startswith("fail")]
    assert lines[-1].endswith(" passed, 0 failed, 2 do not apply.")


def test_a_channel_that_was_spoiled_fails_with_what_to_do(project: Path) -> None:
    file = project / "homeroom_acme" / "__init__.py"
    text, unknown = file.read_text(), 'raise Unknown("the line to Acme broke after the message was sent") from None'
    assert unknown in text
    text = text.replace(unknown, 'return Receipt(state="retry")')
    file.write_text(
        text.replace(
            "        texts = {", '        self._services.log.debug("sending", to=message.to)\n        texts = {'
        )
    )
    told = homeroom(project, "plugins", "test", "acme", "--json")
    assert told.returncode == 1, told.stderr
    facts: dict[str, Any] = json.loads(told.stdout)
    assert (facts["plugin"], facts["passed"]) == ("acme", False)
    failed = {rule["rule"]: rule["message"] for rule in facts["rules"] if rule["outcome"] == "fail"}
    assert told.stderr == ""
    assert "the address of a message stands in what was logged" in failed.pop(PRIVATE)
    assert set(failed) == {
        "a message that was taken without an answer is unknown",
        "a message whose answer was lost is unknown",
        "not sent is never guessed",
        "what was not taken is not found",
        "what was taken is found",
    }
    assert "would hear twice; raise when it is not known" in failed["a message whose answer was lost is unknown"]


def test_a_new_channels_simulator_takes_messages_and_says_what_to_set(project: Path) -> None:
    command = [sys.executable, "-m", "homeroom", "simulate", "acme", "--misbehave", "refuse", "--json"]
    with subprocess.Popen(command, cwd=project, env=environment(project), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            told = json.loads(server.stdout.readline())
            settings = told["settings"]
            headers = {"Authorization": f"Bearer {settings['api_key']}"}
            body = {"to": "a@family.example", "subject": "Hello", "text": "Hi", "html": "", "reference": "row-1"}
            with httpx2.Client(base_url=told["url"], headers=headers, trust_env=False) as client:
                statuses = [client.post("/messages", json=body).status_code for _ in range(3)]
                shown = client.get("/_simulator/messages").text
        finally:
            server.send_signal(signal.SIGINT)
    assert server.returncode == 0
    assert statuses == [202, 202, 422]
    assert [one["message_id"] for one in json.loads(shown)["messages"]] == ["row-1", "row-1"]
    assert "family.example" not in shown
    assert (settings["base_url"], told["misbehave"]) == (told["url"], ["refuse"])
    assert "students" not in told


def test_what_is_shown_speaks_of_messages(project: Path) -> None:
    command = [sys.executable, "-m", "homeroom", "simulate", "acme", "--homeroom", "http://127.0.0.1:8123/"]
    with subprocess.Popen(command, cwd=project, env=environment(project), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            lines = [server.stdout.readline().rstrip()]
            while "Ctrl-C" not in lines[-1]:
                lines.append(server.stdout.readline().rstrip())
        finally:
            server.send_signal(signal.SIGINT)
    url = lines[0].removeprefix("Acme, simulated, serves on ")
    assert f"Messages that it has taken: {url}/_simulator/messages" in lines
    assert lines[-1].startswith("It calls back to http://127.0.0.1:8123: start that with PUBLIC_BASE_URL=")
    assert "[plugins.acme]" in lines


def test_a_way_to_misbehave_that_is_not_its_own_is_wrong_usage(project: Path) -> None:
    told = homeroom(project, "simulate", "acme", "--misbehave", "moving-rows")
    assert told.returncode == 2
    assert "Acme never misbehaves by moving-rows. What it can do: 429, " in told.stderr
    listed = homeroom(project, "simulate").stdout
    assert "a messaging vendor's:" in listed
    assert "take-and-hang" in listed
    assert "moving-rows" in listed
    facts = json.loads(homeroom(project, "simulate", "--json").stdout)
    assert "acme" in facts["simulators"]
    assert "take-and-hang" in facts["channel_misbehaviours"]
    assert "take-and-hang" not in facts["misbehaviours"]
