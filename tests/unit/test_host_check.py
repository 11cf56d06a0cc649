"""`plugins check` and `plugins new`: what they find, and that what they write works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from homeroom import Credentials, SignIn, hookimpl
from homeroom.host.check import check, check_all, findings_in_class, findings_in_source, source_files
from homeroom.host.scaffold import KINDS, CannotCreate, Kind, new_plugin
from tests.hostile_plugin.install import pretend_installed

SOURCE = """
import os, sqlite3
import homeroom.store.models
from homeroom import Evidence, Store
from homeroom.testing import services
from homeroom.host import Host
from os import environ
from peewee import SqliteDatabase, TextField
import psycopg.rows
KEY = os.environ["KEY"]
"""


def test_imports_and_reads_that_are_not_for_plugins_are_found(tmp_path: Path) -> None:
    file = tmp_path / "acme.py"
    file.write_text(SOURCE)
    assert [finding.problem for finding in findings_in_source(file)] == [
        "acme.py:2: it imports sqlite3, a way to a database.",
        "acme.py:3: it imports homeroom.store.models, which is not for plugins.",
        "acme.py:4: it imports Store from homeroom, which is not for plugins.",
        "acme.py:6: it imports homeroom.host, which is not for plugins.",
        "acme.py:7: it reads the environment.",
        "acme.py:8: it imports peewee, a way to a database.",
        "acme.py:9: it imports psycopg.rows, a way to a database.",
        "acme.py:10: it reads the environment.",
    ]
    file.write_text("def (")
    assert "cannot be read as Python" in findings_in_source(file)[0].problem


def problems(found: object) -> str:
    return " ".join(f"{finding.problem} {finding.fix}" for finding in findings_in_class(found))


def test_hooks_that_would_never_be_asked_are_found() -> None:
    class Forgetful:
        hook_api = 1

        async def health(self) -> None: ...

        @hookimpl
        async def authenticate(self, credentials: Credentials) -> SignIn | None: ...

        @hookimpl
        def verify_check_in(self) -> None: ...

    told = problems(Forgetful)
    assert "health is named like a hook but is not marked" in told
    assert "authenticate will never be asked: the class has no scope credentials.KIND." in told
    assert "verify_check_in is a plain def" in told


def test_a_class_that_cannot_be_loaded_is_told_why() -> None:
    assert "not a class" in problems(print)
    assert "it implements no hook" in problems(type("Empty", (), {"hook_api": 1}))

    class Misspelt:
        hook_api = 1

        @hookimpl
        async def verify_checkin(self) -> None: ...

    assert "did you mean verify_check_in?" in problems(Misspelt)


def test_installed_plugins_are_checked_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in pretend_installed(tmp_path):
        monkeypatch.syspath_prepend(str(folder))
    assert check("bystander") == []
    assert "no installed distribution" in check("nobody")[0].problem
    assert "the library it needs is not there" in check("hostile_import")[-1].problem
    assert "hook API 999" in check("hostile_other_api")[-1].problem
    assert set(check_all(["bystander", "nobody"])) == {"bystander", "nobody"}
    assert source_files("no_such_package") == []
    assert [file.name for file in source_files("peewee")] == ["peewee.py"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugins_tests_pass_at_once_and_it_has_no_findings(tmp_path: Path, kind: Kind) -> None:
    project = new_plugin(f"my_{kind}", kind, tmp_path)
    assert (project.folder / "pyproject.toml") in project.files
    assert f'my_{kind} = "homeroom_my_{kind}:My{kind.capitalize()}"' in project.files[0].read_text()
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert findings_in_source(project.folder / f"homeroom_my_{kind}" / "__init__.py") == []


def test_a_new_plugin_builds_on_the_checkout_that_runs(tmp_path: Path) -> None:
    text = new_plugin("acme", "checkin", tmp_path, core=tmp_path / "core").files[0].read_text()
    assert f'homeroom-core = {{ path = "{(tmp_path / "core").as_posix()}", editable = true }}' in text


@pytest.mark.parametrize("name", ["", "A", "my-plugin", "class", "../x", "1st", "x" * 50])
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CannotCreate, match="cannot name a plugin"):
        new_plugin(name, "sis", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    new_plugin("acme", "auth", tmp_path)
    with pytest.raises(CannotCreate, match="exists already"):
        new_plugin("acme", "auth", tmp_path)
