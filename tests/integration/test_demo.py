"""`homeroom demo` as somebody meets it who has never seen the project."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from websockets.asyncio.client import connect

SECONDS = 120
ROLES = {"student", "guardian", "teacher", "school_admin", "district_admin"}


class Demo:
    """A demo as a process of its own."""

    def __init__(self, cwd: Path, *args: str, python: str = sys.executable) -> None:
        self.process = subprocess.Popen(
            [python, "-m", "homeroom", "demo", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env={name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text:
            pytest.fail(f"the demo ended: {self.process.communicate()}")
        return text.rstrip("\n")

    def stop(self, how: signal.Signals) -> tuple[int, str]:
        """The exit code after a signal, and what was still printed."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=SECONDS)
        assert [one for one in family if one.is_running()] == []
        assert "Traceback" not in err
        return self.process.returncode, out


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Any]:
    begun: list[Demo] = []

    def go(*args: str, python: str = sys.executable) -> Demo:
        begun.append(Demo(tmp_path, *args, python=python))
        return begun[-1]

    yield go
    for demo in begun:
        if demo.process.poll() is None:
            demo.process.kill()
        demo.process.communicate()


def sign_in(url: str, account: dict[str, str]) -> httpx2.Client:
    body = {"email": account["email"], "password": account["password"]}
    answer = httpx2.post(f"{url}/api/v1/auth/login", json=body, timeout=SECONDS)
    assert answer.status_code == 200, (account["role"], answer.text)
    token = answer.json()["access_token"]
    return httpx2.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS)


async def watch(url: str, class_id: str, token: str, marks: int) -> list[dict[str, Any]]:
    """The board's hello and what follows, until it shows this many marks."""
    seen: list[dict[str, Any]] = []
    address = f"{url.replace('http', 'ws', 1)}/ws/class/{class_id}"
    async with asyncio.timeout(SECONDS), connect(address, additional_headers={"Authorization": token}) as board:
        async for text in board:
            seen.append(json.loads(text))
            shown = len(seen[0]["marks"]) + sum(message["type"] == "attendance" for message in seen[1:])
            if shown >= marks:
                break
    return seen


def test_from_nothing_to_a_board_that_fills_and_families_who_know_and_back(begin: Any, tmp_path: Path) -> None:
    demo = begin("--json", "--port", "0", "--students", "120", "--dir", str(tmp_path / "district"))
    ready = json.loads(demo.line())
    assert set(ready) == {"url", "dir", "accounts", "class_id", "session_id"}
    assert ready["dir"] == str(tmp_path / "district")
    assert {account["role"] for account in ready["accounts"]} == ROLES
    assert sum(account["role"] == "student" for account in ready["accounts"]) >= 3
    assert all(len(account["password"]) >= 15 for account in ready["accounts"])
    url = ready["url"]
    assert httpx2.get(f"{url}/health").json() == {"status": "ok"}

    clients = {account["role"]: sign_in(url, account) for account in ready["accounts"]}
    for role, client in clients.items():
        assert role in {held["role"] for held in client.get("/auth/me").json()["roles"]}

    teacher, student = clients["teacher"], clients["student"]
    sent = {"session_id": ready["session_id"], "proof": {"code": "000000"}}
    code = teacher.get(f"/sessions/{ready['session_id']}/challenge").json()["code"]
    if code == "000000":
        sent["proof"] = {"code": "000001"}
    assert student.post("/attendance/checkin", json=sent).status_code == 422
    right = {"session_id": ready["session_id"], "proof": {"code": code}}
    assert student.post("/attendance/checkin", json=right).status_code == 201

    seen = asyncio.run(watch(url, ready["class_id"], teacher.headers["Authorization"], 4))
    assert seen[0]["type"] == "hello"
    assert seen[0]["session"]["id"] == ready["session_id"]
    check_messages(ready, clients["school_admin"])
    for client in clients.values():
        client.close()

    assert demo.stop(signal.SIGINT)[0] == 0
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{url}/health")
    assert (tmp_path / "district" / "homeroom.db").stat().st_mode & 0o077 == 0
    assert (tmp_path / "district" / "homeroom.toml").stat().st_mode & 0o077 == 0


def test_without_a_terminal_the_board_is_told_line_by_line(begin: Any) -> None:
    demo = begin("--port", "0", "--students", "60")
    lines = [demo.line()]
    while not lines[-1].startswith("PowerSchool has "):
        lines.append(demo.line())
    told = "\n".join(lines)
    assert "Homeroom serves on http://127.0.0.1:" in told
    assert "never checked against a live PowerSchool" in told
    assert " marked: " in told
    for role in ROLES:
        assert f"  {role} " in told
    code, rest = demo.stop(signal.SIGTERM)
    assert code == 0
    assert "The demo has stopped." in rest


@pytest.mark.skipif(os.name != "posix", reason="no pseudo-terminals here")
def test_in_a_terminal_the_board_is_drawn_with_the_code(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "homeroom", "demo", "--port", "0", "--students", "60", "--dir", str(tmp_path / "d")],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
    )
    os.close(theirs)
    seen = ""
    try:
        while not (re.search(r"Code now: \S*\d{6}", plain(seen)) and re.search(r"PowerSchool has [1-9]", plain(seen))):
            seen += os.read(ours, 65536).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        while chunk := read_or_nothing(ours):
            seen += chunk.decode(errors="replace")
        assert process.wait(timeout=SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "The demo has stopped." in seen
    assert "Traceback" not in seen


def plain(text: str) -> str:
    """What a terminal shows, without its colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def read_or_nothing(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux's way of saying that the other end was closed
        return b""


def simulated(ready: dict[str, Any]) -> str:
    """The address of the demo's PowerSchool."""
    settings = tomllib.loads((Path(ready["dir"]) / "homeroom.toml").read_text(encoding="utf-8"))
    return str(settings["plugins"]["powerschool"]["base_url"])


def codes(url: str, student: str, wanted: str) -> list[str]:
    """The codes that PowerSchool holds for a student, once the wanted one is among them."""
    deadline = time.monotonic() + SECONDS
    while True:
        told = httpx2.get(f"{url}/_simulator/attendance").json()["attendance"]
        found = [mark["code"] for mark in told if mark["student"] == student]
        if wanted in found:
            return found
        assert time.monotonic() < deadline, f"{wanted} has not arrived: {told}"
        time.sleep(0.05)  # another process is written to: there is nothing to wait on but its own word


def test_a_mark_of_the_teacher_and_its_correction_arrive_in_powerschool(begin: Any) -> None:
    demo = begin("--json", "--port", "0", "--students", "60", "--no-simulate")
    ready = json.loads(demo.line())
    accounts = {account["role"]: account for account in ready["accounts"]}
    sis = simulated(ready)
    assert httpx2.get(f"{sis}/_simulator/attendance").json() == {"attendance": []}

    with sign_in(ready["url"], accounts["teacher"]) as teacher:
        seen = asyncio.run(watch(ready["url"], ready["class_id"], teacher.headers["Authorization"], 0))
        assert all(mark["status"] is None for mark in seen[0]["marks"])
        with sign_in(ready["url"], accounts["student"]) as student:
            me = student.get("/auth/me").json()["id"]
        there = accounts["student"]["email"].partition("@")[0]  # the sample's own id
        marks = {"marks": [{"student_id": me, "status": "absent"}]}
        made = teacher.put(f"/sessions/{ready['session_id']}/attendance", json=marks)
        assert made.status_code == 200, made.text
        assert codes(sis, there, "A") == ["A"]
        marks = {"marks": [{"student_id": me, "status": "tardy"}]}
        teacher.put(f"/sessions/{ready['session_id']}/attendance", json=marks).raise_for_status()
        assert codes(sis, there, "T") == ["T"]

    assert demo.stop(signal.SIGINT)[0] == 0
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{sis}/_simulator/attendance")
    assert {path.name for path in Path(ready["dir"]).iterdir()} == {"homeroom.db", "homeroom.toml"}


def settled_messages(office: httpx2.Client, count: int) -> list[dict[str, Any]]:
    """The messages about absences, once there are so many and all of them are delivered."""
    deadline = time.monotonic() + SECONDS
    while True:
        items: list[dict[str, Any]] = office.get("/notifications/messages?kind=absence").json()["items"]
        if len(items) >= count and all(item["state"] == "delivered" for item in items):
            return items
        assert time.monotonic() < deadline, [(item["state"], item["reason"]) for item in items]
        time.sleep(0.1)  # other processes deliver: there is nothing to wait on but the server's word


def check_messages(ready: dict[str, Any], office: httpx2.Client) -> None:
    """Families are texted and mailed once each, and the office reads why."""
    settings = tomllib.loads((Path(ready["dir"]) / "homeroom.toml").read_text(encoding="utf-8"))["plugins"]
    items = settled_messages(office, 3)
    assert {item["plugin"] for item in items} == {"twilio", "sendgrid"}
    assert {item["language"] for item in items} == {"en", "es"}
    for item in items:
        whole = office.get(f"/notifications/messages/{item['id']}").json()
        assert whole["why"]["rule"] == "Absence from a class"
        assert whole["why"]["records"]
        assert item["student"] in " ".join(whole["texts"].values())
    taken = [
        message["message_id"] or message["provider_id"]
        for name in ("twilio", "sendgrid")
        for message in httpx2.get(f"{settings[name]['base_url']}/_simulator/messages").json()["messages"]
    ]
    assert len(taken) == len(set(taken)) >= len(items)


def installation(path: Path, *, without: tuple[str, ...]) -> str:
    """The Python of an environment that has everything this one has, but for the modules that begin so."""
    venv.create(path, with_pip=False, symlinks=os.name == "posix")
    here = Path(sysconfig.get_path("purelib"))
    there = Path(sysconfig.get_path("purelib", "venv", {"base": str(path), "platbase": str(path)}))
    for entry in here.iterdir():
        left_out = entry.name.removeprefix("_editable_impl_").startswith(without)
        if not left_out and not (there / entry.name).exists():
            (there / entry.name).symlink_to(entry)
    return str(path / "bin" / "python")


def test_without_powerschools_connector_and_without_pytest_there_is_still_a_demo(begin: Any, tmp_path: Path) -> None:
    python = installation(tmp_path / "small", without=("homeroom_powerschool", "pytest", "_pytest"))
    demo = begin("--port", "0", "--students", "30", "--no-simulate", python=python)
    assert "Making a district" in demo.line()
    assert demo.line() == "No PowerSchool connector is installed: the roster is a generated bundle."
    assert demo.line().startswith("Its families are texted and mailed through simulators")
    assert demo.line().startswith("The oneroster connector took ")
    assert demo.stop(signal.SIGINT)[0] == 0


def test_powerschools_simulator_needs_no_pytest_and_ends_with_a_demo_that_is_killed(begin: Any, tmp_path: Path) -> None:
    python = installation(tmp_path / "small", without=("pytest", "_pytest"))
    assert subprocess.run([python, "-c", "import pytest"], capture_output=True, check=False).returncode == 1
    demo = begin("--json", "--port", "0", "--students", "30", "--no-simulate", python=python)
    assert httpx2.get(f"{simulated(json.loads(demo.line()))}/_simulator/attendance").status_code == 200
    family = psutil.Process(demo.process.pid).children(recursive=True)
    assert family
    demo.process.kill()
    assert psutil.wait_procs(family, timeout=SECONDS)[1] == []


def test_it_can_be_stopped_while_it_still_loads(begin: Any) -> None:
    demo = begin("--port", "0", "--students", "3000")
    assert "Making a district" in demo.line()
    code, out = demo.stop(signal.SIGINT)
    assert code == 0
    assert "Sign-ins" not in out


def test_a_port_in_use_is_one_clear_line(begin: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        demo = begin("--port", str(other.getsockname()[1]))
        _, err = demo.process.communicate(timeout=SECONDS)
    assert demo.process.returncode == 1
    assert "is in use" in err
    assert len(err.splitlines()) == 1


def test_a_folder_that_holds_something_is_left_alone(begin: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("x")
    demo = begin("--port", "0", "--dir", str(tmp_path / "mine"))
    _, err = demo.process.communicate(timeout=SECONDS)
    assert demo.process.returncode == 1
    assert "is not empty" in err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["precious"]
