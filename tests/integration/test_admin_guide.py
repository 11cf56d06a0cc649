"""docs/admin.md, run as it stands: its steps lead to a deployment, and its mistakes are those that the doctor finds."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest

from homeroom.store.database import connect
from tests.services import postgres, steps
from tests.services.server import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "admin.md"
SECONDS = 60
PASSWORD = "a password of more than fifteen"
URL_OF_THE_PAGE = "postgresql://homeroom@/homeroom?host=/var/run/postgresql"
LEFT_TO_A_MACHINE = (
    r"apt-get update",
    r"useradd --system",
    r"chmod 700 /var",
    r"cp .*\.service",
    r"systemctl daemon",
    r"echo '30 2",
)
"""What would change the machine that the tests run on."""


class Machine:
    """Stands for the machine of the page: its folders, its services, and what its commands answered."""

    def __init__(self, folder: Path, redis_url: str, *, fresh: bool) -> None:
        self.home, self.source, self.programs = folder / "home", ROOT, Path(sys.executable).parent
        self.home.mkdir()
        if fresh:
            self.source, self.programs = folder / "source", folder / "venv" / "bin"
        self.fresh, self.redis_url, self.port = fresh, redis_url, free_port()
        self.url = postgres.empty_database()
        self.answers: list[str] = []
        self.services: list[subprocess.Popen[str]] = []
        self._where = self.home
        ours = (
            "HOMEROOM",
            "DATABASE_URL",
            "REDIS_URL",
            "ENVIRONMENT",
            "JWT_",
            "ENCRYPTION_KEY",
            "PYTEST",
            "VIRTUAL_ENV",
        )
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    def follow(self, line: str) -> None:
        """Do what a line of the page says."""
        if any(re.match(words, line) for words in LEFT_TO_A_MACHINE):
            return
        if line.startswith("runuser -u postgres"):
            self._ask_postgres(re.findall(r'-c "([^"]*)"', line))
        elif line.startswith("systemctl enable --now "):
            for unit in line.removeprefix("systemctl enable --now ").split():
                self._start(unit)
        elif line.startswith(("git clone", "python3 -m venv", "cd /opt/homeroom-src")):
            if self.fresh:
                self._run(line)
        elif line.startswith("cd "):
            self._where = Path(self._placed(line.removeprefix("cd ")))
        else:
            self._run(line)

    def _placed(self, line: str) -> str:
        line = line.replace("runuser -u homeroom -- ", "").replace(URL_OF_THE_PAGE, self.url)
        line = line.replace("redis://127.0.0.1:6379/0", self.redis_url).replace(
            "127.0.0.1:8000", f"127.0.0.1:{self.port}"
        )
        line = line.replace("git clone REPOSITORY", f"git clone --quiet {ROOT}")
        line = line.replace("/opt/homeroom-src", str(self.source)).replace("/opt/homeroom/bin", str(self.programs))
        line = line.replace("/opt/homeroom", str(self.programs.parent))
        line = line.replace("python3 -m venv", f"{shlex.quote(sys.executable)} -m venv")
        return line.replace("/var/lib/homeroom", str(self.home))

    def _run(self, line: str) -> None:
        line = self._placed(line)
        given = ""
        if " users add " in line:  # a person types it twice, out of a test's reach
            line, given = f"{line} --password-stdin", f"{PASSWORD}\n"
        if line.endswith(" doctor"):
            line = f"{line} --port {self.port}"
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self._where,
            env=self._environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        self.answers.append(done.stdout)

    def _ask_postgres(self, statements: list[str]) -> None:
        """As the page says it, but for names: databases of other tests are on this server, too."""
        assert statements == ["CREATE ROLE homeroom LOGIN", "CREATE DATABASE homeroom OWNER homeroom"]
        parts = urlsplit(self.url)
        name = parts.path[1:]
        with psycopg.connect(postgres.server_url(), autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}"')
            for statement in statements:
                admin.execute(re.sub(r"\bhomeroom\b", f'"{name}"', statement))
        self.url = self.url.replace(f"{parts.username}@", f"{name}@")

    def _start(self, unit: str) -> None:
        """Start what systemd would start: the unit's own command, on a port that is free."""
        text = (self.source / "deploy" / f"{unit}.service").read_text()
        command = re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)
        assert command is not None
        words = shlex.split(self._placed(command[1]))
        if "serve" in words:
            words += ["--port", str(self.port)]
        with (self.home / f"{unit}.log").open("w") as log:
            service = subprocess.Popen(
                words, cwd=self.home, env=self._environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.services.append(service)
        assert service.stdout is not None
        assert service.stdout.readline().startswith("Homeroom"), (self.home / f"{unit}.log").read_text()
        self._until_it_answers(words)

    def _until_it_answers(self, words: list[str]) -> None:
        deadline = time.monotonic() + SECONDS
        while "serve" in words:
            try:
                httpx2.get(f"http://127.0.0.1:{self.port}/health", timeout=SECONDS).raise_for_status()
            except httpx2.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def stop(self) -> list[int]:
        """End the services, the last one first; gives their exit codes."""
        for service in reversed(self.services):
            service.terminate()
        codes = [service.wait(timeout=SECONDS) for service in self.services]
        for service in self.services:
            if service.stdout is not None:
                service.stdout.close()
        self.services.clear()
        return codes

    def remove(self) -> None:
        """Stop and remove all of it."""
        self.stop()
        postgres.drop_database(self.url)
        with psycopg.connect(postgres.server_url(), autocommit=True) as admin:
            admin.execute(f'DROP ROLE IF EXISTS "{urlsplit(self.url).path[1:]}"')


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, postgres_url: str) -> Iterator[Machine]:
    """A machine on the tests' own PostgreSQL and Redis; fresh where the parameter says so."""
    del postgres_url  # asked for, so that a machine without PostgreSQL leaves this out aloud
    made = Machine(tmp_path, redis_url, fresh=getattr(request, "param", False))
    yield made
    made.remove()


def follow_the_page(machine: Machine) -> None:
    before = steps.lines(PAGE, "One Debian machine, step by step")
    assert len(before) > 14
    expired = "INSERT INTO key_values VALUES ('test', 'old', '', '2020-01-01T00:00:00.000000Z')"
    for line in before:
        if line.startswith("systemctl enable"):  # for the worker to clear away
            with psycopg.connect(machine.url, autocommit=True) as database:
                database.execute(expired)
        machine.follow(line)
    assert any('{"status":"ok"}' in answer.replace(" ", "") for answer in machine.answers)
    assert "done by homeroom worker" in machine.answers[-1]


def signed_in(machine: Machine) -> set[int]:
    """The processes through which somebody has signed in, until there are two."""
    seen: set[int] = set()
    deadline = time.monotonic() + SECONDS
    while len(seen) < 2:
        assert time.monotonic() < deadline, seen
        with httpx2.Client(base_url=f"http://127.0.0.1:{machine.port}", timeout=SECONDS) as client:
            pid = client.get("/health/detailed").json()["process"]["pid"]
            if pid in seen:
                continue
            body = {"email": "ana@district.example", "password": PASSWORD}
            tokens = client.post("/api/v1/auth/login", json=body)
            assert tokens.status_code == 200, tokens.text
            headers = {"Authorization": f"Bearer {tokens.json()['access_token']}"}
            assert client.get("/api/v1/auth/me", headers=headers).json()["name"] == "Ana Ruiz"
            assert client.get("/health/detailed").json()["process"]["pid"] == pid
            seen.add(pid)
    return seen


def done_by_the_worker(machine: Machine) -> None:
    """What had expired is gone, and it was the process that holds the worker's lease that took the job."""
    database = connect(machine.url)
    database.connect()
    try:
        leases = dict(database.execute_sql("SELECT name, holder FROM leases").fetchall())
        (worker,) = [holder for name, holder in leases.items() if name.startswith("worker:")]
        assert leases["tidy"] == worker
        (left,) = database.execute_sql("SELECT count(*) FROM key_values WHERE plugin = 'test'").fetchone()
        assert left == 0
    finally:
        database.close()


def test_the_steps_of_the_page_lead_to_two_workers_and_a_worker_process(machine: Machine) -> None:
    follow_the_page(machine)
    assert len(signed_in(machine)) == 2
    done_by_the_worker(machine)
    assert json.loads(machine.answers[-1])["redis"]["ok"]
    assert machine.stop() == [0, 0]


@pytest.mark.long
@pytest.mark.parametrize("machine", [True], indirect=True)
def test_the_steps_of_the_page_lead_there_from_a_fresh_clone(machine: Machine) -> None:
    follow_the_page(machine)
    assert len(signed_in(machine)) == 2
    done_by_the_worker(machine)
    assert not (machine.source / ".venv").exists()
    assert machine.stop() == [0, 0]
    shutil.rmtree(machine.programs.parent)


def test_every_mistake_of_the_page_is_one_that_the_doctor_looks_for_and_the_other_way_round() -> None:
    table = re.findall(r"^\| `([^`]+)` \|", steps.section(PAGE, "Common mistakes"), re.MULTILINE)
    assert len(set(table)) == len(table)
    sources = [ROOT / "core/homeroom/doctor.py", ROOT / "core/homeroom/cli/doctor.py"]
    looked_for = {name for path in sources for name in re.findall(r'Check\(name="([^"]+)"', path.read_text())}
    assert set(table) == looked_for | {"plugin NAME"}


def test_what_is_left_to_a_machine_is_on_the_page() -> None:
    lines = steps.lines(PAGE, "One Debian machine, step by step")
    assert [words for words in LEFT_TO_A_MACHINE if not any(re.match(words, line) for line in lines)] == []
