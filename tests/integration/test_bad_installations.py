"""What an administrator gets wrong, asked of the real command: one clear line, the fix, and nothing half done."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from peewee import Table
from psycopg import sql

from homeroom.store import migrate
from homeroom.store.database import connect, sqlite_path
from tests.services import postgres
from tests.services.server import free_port

SECONDS = 60
ASKED = (("db", "upgrade"), ("serve", "--port", "0"), ("doctor",))
PASSWORD = "hunter2-hunter2"


class Said:
    """How a command ended, and what it wrote."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def line(self) -> str:
        """The one line that says what is wrong; a doctor's has its fix in the next."""
        assert "Traceback" not in self.out + self.err, self.err
        if "WRONG" in self.out:
            wrong = [line for line in self.out.splitlines() if line.startswith(("WRONG", "       Fix:"))]
            return " ".join(wrong)
        (only,) = self.err.splitlines()
        assert only.startswith("Error: ")
        return only


def ask(folder: Path, *words: str, before: tuple[str, ...] = (), **environment: str) -> Said:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HOMEROOM_") and k not in _OURS}
    given = {"JWT_SECRET_KEY": secrets.token_urlsafe(48), "ENCRYPTION_KEY": secrets.token_urlsafe(48), **environment}
    if words[0] == "doctor":
        words = (*words, "--port", str(free_port()))
    command = [*before, sys.executable, "-m", "homeroom", *words]
    done = subprocess.run(
        command, cwd=folder, env={**kept, **given}, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return Said(done)


_OURS = {"DATABASE_URL", "REDIS_URL", "ENVIRONMENT", "PUBLIC_BASE_URL", "JWT_SECRET_KEY", "ENCRYPTION_KEY"}


def tables(url: str) -> dict[str, int]:
    """How many rows each table has."""
    database = connect(url)
    database.connect()
    try:
        names = database.get_tables()
        return {name: Table(name).bind(database).select().count() for name in names}
    finally:
        database.close()


def unreadable(url: str) -> list[tuple[str, str]]:
    return [
        ("mysql://homeroom@localhost/homeroom", "must begin with sqlite:/// or postgresql://"),
        (f"postgresql://homeroom:{PASSWORD}@no-such-host.invalid/homeroom", "no-such-host.invalid:5432, is not known"),
        (f"postgresql://homeroom:{PASSWORD}@127.0.0.1:1/homeroom", "no PostgreSQL answers at 127.0.0.1:1"),
        (f"postgresql://homeroom:{PASSWORD}/x@127.0.0.1/homeroom", "in the password as %XX"),
        (f"{url}", "is no SQLite database"),
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_wrong_database_url_is_one_line_with_the_fix(tmp_path: Path, number: int) -> None:
    words = ASKED[number % len(ASKED)]
    (tmp_path / "letters.db").write_text("this is a letter, and no database at all")
    before = sorted(tmp_path.iterdir())
    url, told = unreadable(f"sqlite:///{tmp_path / 'letters.db'}")[number]
    said = ask(tmp_path, *words, DATABASE_URL=url)
    assert (said.code, told in said.line) == (1, True), said.line
    assert "DATABASE_URL" in said.line
    assert PASSWORD not in said.out + said.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("words", ASKED[1:], ids=lambda words: words[0])
def test_a_database_that_postgresql_does_not_have_is_named(
    tmp_path: Path, postgres_url: str, words: tuple[str, ...]
) -> None:
    url = urlunsplit(urlsplit(postgres_url)._replace(path="/forgotten"))
    said = ask(tmp_path, *words, DATABASE_URL=url)
    assert said.code == 1
    assert "has no database forgotten" in said.line
    assert "createdb" in said.line


@pytest.fixture
def locked_url(postgres_url: str) -> Iterator[str]:
    """The URL of a PostgreSQL database with a user whose password is asked for, and wrong."""
    if "HOMEROOM_TEST_POSTGRES" in os.environ:
        pytest.skip("the tests do not change who may enter a PostgreSQL that is not theirs")
    name = f"locked_{secrets.token_hex(4)}"
    user = sql.Identifier(name)
    with psycopg.connect(postgres.server_url(), autocommit=True) as admin:
        (rules,) = admin.execute("SELECT pg_read_file(current_setting('hba_file'))").fetchone() or ("",)
        admin.execute(sql.SQL("CREATE USER {} PASSWORD {}").format(user, sql.Literal("the right one")))
        home = Path(admin.execute("SELECT current_setting('hba_file')").fetchone()[0])  # type: ignore[index]
        home.write_text(f"local all {name} scram-sha-256\n{rules}")
        admin.execute("SELECT pg_reload_conf()")
        parts = urlsplit(postgres_url)
        yield urlunsplit(parts._replace(netloc=f"{name}:{PASSWORD}@"))
        home.write_text(rules)
        admin.execute("SELECT pg_reload_conf()")
        admin.execute(sql.SQL("DROP USER {}").format(user))


@pytest.mark.parametrize("words", ASKED[1:], ids=lambda words: words[0])
def test_a_wrong_password_is_said_and_never_shown(tmp_path: Path, locked_url: str, words: tuple[str, ...]) -> None:
    said = ask(tmp_path, *words, DATABASE_URL=locked_url)
    assert said.code == 1
    assert "refuses the user or the password" in said.line
    assert PASSWORD not in said.out + said.err


def test_a_user_who_may_create_no_tables_is_told_how_to(tmp_path: Path) -> None:
    url = postgres.empty_database()
    name = f"guest_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE USER {}").format(sql.Identifier(name)))
        admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        said = ask(tmp_path, "db", "upgrade", DATABASE_URL=urlunsplit(urlsplit(url)._replace(netloc=f"{name}@")))
    assert said.code == 1
    assert "may not create tables" in said.line
    assert "OWNER TO" in said.line
    assert tables(url) == {}
    postgres.drop_database(url)


@pytest.mark.parametrize("words", ASKED, ids=lambda words: words[0])
def test_a_database_newer_than_the_code_is_left_alone(
    tmp_path: Path, database_url: str, words: tuple[str, ...]
) -> None:
    database = connect(database_url)
    database.connect()
    database.execute_sql("INSERT INTO migrations_core (name, applied) VALUES ('0999_future', '2030-01-01')")
    database.close()
    before = tables(database_url)
    said = ask(tmp_path, *words, DATABASE_URL=database_url)
    assert said.code == 1
    assert "newer than this code: it has seen core migration 0999_future" in said.line
    assert "Install" in said.line
    assert tables(database_url) == before


@pytest.mark.parametrize("words", ASKED[:2], ids=lambda words: words[0])
def test_a_migration_that_fails_in_the_middle_is_undone_and_said(
    tmp_path: Path, empty_url: str, words: tuple[str, ...]
) -> None:
    migrate.upgrade(empty_url, only={"core": ["0007_substitutions"]})
    database = connect(empty_url)
    database.connect()
    database.execute_sql("CREATE TABLE emergency_words (of_another_program TEXT)")  # the second one of 0008
    database.close()
    before = tables(empty_url)
    said = ask(tmp_path, *words, DATABASE_URL=empty_url)
    assert said.code == 1
    assert "the core migration 0008_emergencies failed" in said.line
    assert "the database is as it was before it" in said.line
    assert tables(empty_url) == before


@pytest.mark.parametrize("words", ASKED[1:], ids=lambda words: words[0])
def test_a_read_only_disk_is_said(
    tmp_path: Path, sqlite_url: str, words: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    mount = f"mount --bind '{tmp_path}' '{tmp_path}' && mount -o remount,ro,bind '{tmp_path}'"
    apart = ("unshare", "--mount", "sh", "-c")
    if shutil.which("unshare") is None or subprocess.run([*apart, mount], check=False, capture_output=True).returncode:
        reason = "a read-only disk: this machine lets nobody mount one (root in a namespace of its own is needed)"
        request.node.user_properties.append(("missing", reason))
        pytest.skip(reason)
    before = sqlite_path(sqlite_url).read_bytes()
    said = ask(tmp_path, *words, before=(*apart, f'{mount} && exec "$@"', "sh"), DATABASE_URL=sqlite_url)
    assert said.code == 1
    assert "read-only" in said.line
    assert "right to write" in said.line
    assert sqlite_path(sqlite_url).read_bytes() == before


def test_a_folder_that_there_is_not_or_that_stands_for_a_file_is_said(tmp_path: Path) -> None:
    for url, told in ((f"sqlite:///{tmp_path}", "not a file"), (f"sqlite:///{tmp_path}/a/b.db", "Create it")):
        said = ask(tmp_path, "db", "upgrade", DATABASE_URL=url)
        assert (said.code, told in said.line) == (1, True), said.line
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_said_before_the_database_is_touched(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = ask(tmp_path, "serve", "--port", port, DATABASE_URL=f"sqlite:///{tmp_path / 'new.db'}")
    assert said.code == 1
    assert re.search(rf"Port {port} .* is in use: stop what uses it, or choose another with --port", said.line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("too-little", "is shorter than 32"),
        ("ab" * 24, "fewer than 10 different"),
        ("0123456789abcdef" * 3, "repeats itself"),
        ("abcdefghijklmnopqrstuvwxyz0123456789", "runs through the alphabet"),
        ("please-replace-me-before-Starting-9ZqX", "is a placeholder"),
        ("development-only-secret-never-for-a-real-district", "is the development secret"),
    ],
)
def test_a_secret_without_entropy_is_refused_and_not_repeated(tmp_path: Path, secret: str, told: str) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    said = ask(tmp_path, "serve", "--port", "0", DATABASE_URL=url, ENVIRONMENT="production", JWT_SECRET_KEY=secret)
    assert said.code == 2
    assert said.line.startswith("Error: the environment: JWT_SECRET_KEY: ")
    assert told in said.line
    assert "secrets.token_urlsafe(48)" in said.line
    assert secret not in said.line
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_tells_a_secret_that_can_be_guessed(tmp_path: Path) -> None:
    said = ask(
        tmp_path, "doctor", DATABASE_URL=f"sqlite:///{tmp_path / 'new.db'}", JWT_SECRET_KEY="0123456789abcdef" * 3
    )
    assert said.code == 1
    assert "JWT_SECRET_KEY repeats itself: it can be guessed" in said.line
