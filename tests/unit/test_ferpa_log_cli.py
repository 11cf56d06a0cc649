"""`homeroom audit`, as an administrator and an auditor call it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from homeroom.cli import main
from homeroom.settings import load_settings
from homeroom.store import Store
from homeroom_ferpa.log import table
from homeroom_ferpa.log.rows import purge
from tests.services import postgres
from tests.services.run import NotHere
from tests.services.sealed import fill, mark, sealing

CONFIG = '[plugins]\nenabled = ["ferpa"]\n[plugins.ferpa.log]\nwitness_file = "witness.txt"\n'


@pytest.fixture(autouse=True)
def district(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a district whose log holds some hundred entries, and a witness file beside it."""
    for name in list(os.environ):
        if name.startswith("HOMEROOM__") or name in ("HOMEROOM_CONFIG", "REDIS_URL", "ENVIRONMENT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'district.db'}")
    (tmp_path / "homeroom.toml").write_text(CONFIG)
    run("db", "upgrade")
    asyncio.run(filled(tmp_path))
    yield tmp_path
    structlog.reset_defaults()


async def filled(folder: Path) -> None:
    with opened() as store:
        place = sealing(store)
        await fill(place, rounds=6)
        store.write_now(lambda tx: mark(tx, 7, record="record-x"))
        await place.seal()
        (folder / "witness.txt").write_text("\n".join(place.notes()), encoding="utf-8")


def opened() -> Store:
    settings = load_settings()
    return Store(settings.database.url, cipher=settings.cipher())


def run(*args: str) -> Result:
    result = CliRunner().invoke(main, list(args))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def verdict(*args: str) -> tuple[int, Any]:
    result = run("audit", "verify", "--json", *args)
    (line,) = result.stdout.splitlines()
    return result.exit_code, json.loads(line)


def tampered(text: str, *params: Any) -> None:
    with sqlite3.connect("district.db") as database:
        database.execute(text, params)
    database.close()


def test_a_log_that_holds_is_told_with_its_size_and_root() -> None:
    code, told = verdict()
    assert (code, told["ok"], told["problems"], told["pending"]) == (0, True, [], 0)
    with opened() as store:
        last = store.read_now(table.newest)
    assert (told["size"], told["root"], told["checkpoints"], told["witnessed"]) == (last.size, last.root, 7, 7)
    result = run("audit", "verify")
    assert (result.exit_code, result.stdout.endswith("The log holds.\n")) == (0, True)


def test_a_log_that_does_not_hold_is_exit_1_with_every_problem() -> None:
    tampered("UPDATE ferpa_audit SET actor = 'nobody' WHERE id = 4")
    tampered("DELETE FROM journal WHERE id = 2")
    code, told = verdict()
    assert (code, told["ok"]) == (1, False)
    assert len(told["problems"]) == 2
    result = run("audit", "verify")
    assert result.exit_code == 1
    assert "audit row 4" in result.stdout
    assert "THE LOG DOES NOT HOLD" in result.stdout


def test_a_purge_while_no_server_runs_is_told_as_not_sealed_yet() -> None:
    with opened() as store:
        store.write_now(lambda tx: purge(tx, [4]))
    code, told = verdict()
    assert (code, told["ok"], told["purged"], told["purged_unsealed"], told["pending"]) == (0, True, 1, 1, 1)
    assert "rests on a journal entry that is not sealed yet" in run("audit", "verify").stdout


def test_a_checkpoint_kept_elsewhere_may_be_old_and_must_be_this_logs(district: Path) -> None:
    first = (district / "witness.txt").read_text(encoding="utf-8").split("\n\n\u2014")[0] + "\n"
    kept = district / "kept.txt"
    kept.write_text(next_note(district), encoding="utf-8")
    assert verdict("--checkpoint", str(kept))[0] == 0
    kept.write_text(first, encoding="utf-8")
    code, told = verdict("--checkpoint", str(kept))
    assert code == 1
    assert "kept.txt, checkpoint 1: this is no checkpoint" in told["problems"][0]
    kept.write_bytes(b"\xff\x00" * 1000)
    assert verdict("--checkpoint", str(kept))[0] == 1
    kept.write_text("")
    assert verdict("--checkpoint", str(kept))[0] == 1
    assert run("audit", "verify", "--checkpoint", "nowhere.txt").exit_code == 2


def next_note(district: Path) -> str:
    body, gap, rest = (district / "witness.txt").read_text(encoding="utf-8").partition("\n\n")
    return body + gap + rest.partition("\n")[0] + "\n"


def test_the_settings_witness_file_gives_a_log_away_that_was_cut_back() -> None:
    tampered("DELETE FROM ferpa_log_checkpoints")
    tampered("DELETE FROM ferpa_log_tiles")
    tampered("DELETE FROM ferpa_audit")
    tampered("DELETE FROM journal")
    code, told = verdict()
    assert (code, told["size"], len(told["problems"])) == (1, 0, 7)
    assert "entries were taken away" in told["problems"][0]


def test_a_receipt_and_a_proof_are_written_for_the_verifier_that_is_written_too(district: Path) -> None:
    assert run("audit", "receipt", "record-x", "--out", "receipt.json").exit_code == 0
    (district / "old.txt").write_text(next_note(district), encoding="utf-8")
    assert run("audit", "consistency", "old.txt", "--out", "proof.json").exit_code == 0
    assert run("audit", "verifier", "--out", "verifier.py").exit_code == 0
    key = run("audit", "public-key").stdout
    assert json.loads(run("audit", "public-key", "--json").stdout) == {"keys": key.split()}
    (district / "key.txt").write_text(key)
    files = ["receipt.json", "proof.json", "witness.txt"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "verifier.py", *files, "--key", "key.txt"], check=False, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_record_that_is_not_in_the_journal_has_no_receipt(district: Path) -> None:
    result = run("audit", "receipt", "record-y", "--out", "receipt.json")
    assert result.exit_code == 1
    assert "knows no attendance record" in result.output
    assert not (district / "receipt.json").exists()


def test_a_proof_from_a_foreign_file_is_refused_in_words(district: Path) -> None:
    (district / "old.txt").write_text("nothing", encoding="utf-8")
    result = run("audit", "consistency", "old.txt", "--out", "proof.json")
    assert (result.exit_code, "no checkpoint" in result.output) == (1, True)


def test_a_fresh_key_signs_from_then_on() -> None:
    old = run("audit", "public-key").stdout.strip()
    fresh = run("audit", "rotate-key").stdout.strip()
    number = fresh.partition(" since=")[2]
    lines = [f"{old} since=1 until={number}", fresh]
    assert run("audit", "public-key").stdout.splitlines() == lines
    assert json.loads(run("audit", "public-key", "--json").stdout) == {"keys": lines}
    assert verdict()[0] == 0


def test_before_anything_is_sealed_there_is_no_key_and_the_log_holds() -> None:
    for name in ("ferpa_log_keys", "ferpa_log_checkpoints", "ferpa_log_tiles", "ferpa_audit", "journal"):
        tampered(f"DELETE FROM {name}")  # noqa: S608 - constants
    Path("witness.txt").unlink()
    assert run("audit", "public-key").exit_code == 1
    assert verdict()[1]["size"] == 0


@pytest.fixture
def empty_postgres_url() -> Iterator[str]:
    """A PostgreSQL database without any table."""
    try:
        url = postgres.empty_database()
    except NotHere as exc:
        pytest.skip(str(exc))
    yield url
    postgres.drop_database(url)


def test_a_restored_backup_holds_also_in_the_other_kind_of_database(
    monkeypatch: pytest.MonkeyPatch, empty_postgres_url: str, tmp_path: Path
) -> None:
    from homeroom_ferpa.log.verify import verify

    assert run("db", "backup", "backup.zip").exit_code == 0
    for url in (f"sqlite:///{tmp_path / 'again.db'}", empty_postgres_url):
        monkeypatch.setenv("DATABASE_URL", url)
        restored = run("db", "restore", "backup.zip")
        assert restored.exit_code == 0, restored.output
        assert verdict()[0] == 0
    with opened() as store:
        asyncio.run(fill(sealing(store), rounds=3, seed=9))  # it goes on where it was
        assert asyncio.run(verify(store.read)).problems == []


def test_every_command_has_help_with_an_example() -> None:
    for name in ("verify", "receipt", "consistency", "public-key", "rotate-key", "verifier"):
        assert f"Example: homeroom audit {name}" in run("audit", name, "--help").output
