"""Processes of one database that were set up differently: a secret is refused, anything else is told."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from homeroom import agreement, doctor
from homeroom.district import District
from homeroom.settings import AttendanceSettings, AuthSettings, DatabaseSettings, SecuritySettings, Settings
from homeroom.store import Store
from homeroom.store.models import KeyValue

SECONDS = 60
ONE, OTHER = (secrets.token_urlsafe(48) for _ in range(2))


def settings(url: str, *, jwt: str = ONE, encryption: str = ONE, zone: str = "America/Chicago", **old: str) -> Settings:
    return Settings(
        database=DatabaseSettings(url=url, readers=1),
        auth=AuthSettings(
            secret_key=SecretStr(jwt), previous_keys=[SecretStr(old["jwt_before"])] if "jwt_before" in old else []
        ),
        security=SecuritySettings(
            encryption_key=SecretStr(encryption),
            previous_encryption_keys=[SecretStr(old["encryption_before"])] if "encryption_before" in old else [],
        ),
        attendance=AttendanceSettings(time_zone=zone),
    )


def rows(store: Store) -> list[str]:
    query = KeyValue.select(KeyValue.key).where(KeyValue.plugin == "core").order_by(KeyValue.key)
    return store.read_now(lambda connection: connection.values(query))


async def test_equal_processes_say_nothing_and_leave_no_word_behind(store: Store) -> None:
    given = settings(store.url)
    one, other = District(given), District(given)
    await one.start()
    await other.start()
    assert (one.agreement.disagreeing, other.agreement.disagreeing) == (0, 0)
    assert len([key for key in rows(store) if key.startswith("process:")]) == 2
    assert store.read_now(lambda c: agreement.findings(c, given)) == []
    await other.stop()
    await one.stop()
    assert rows(store) == ["sealed_with"]


async def test_another_jwt_secret_than_that_of_a_running_process_is_refused(store: Store) -> None:
    one = District(settings(store.url))
    await one.start()
    with pytest.raises(agreement.SettingsDisagree, match=r"JWT_SECRET_KEY is another here than in .* previous_keys"):
        await District(settings(store.url, jwt=OTHER)).start()
    assert len([key for key in rows(store) if key.startswith("process:")]) == 1
    changing = District(settings(store.url, jwt=OTHER, jwt_before=ONE))  # as it is rolled out
    await changing.start()
    assert changing.agreement.disagreeing == 1
    await one.stop()
    await changing.stop()
    alone = District(settings(store.url, jwt=OTHER))
    await alone.start()
    await alone.stop()


async def test_a_key_that_this_database_was_not_sealed_with_is_refused_even_when_nobody_runs(store: Store) -> None:
    one = District(settings(store.url))
    await one.start()
    await one.stop()
    wrong = settings(store.url, encryption=OTHER)
    with pytest.raises(agreement.SettingsDisagree, match="not the one that this database was sealed with"):
        await District(wrong).start()
    check = await doctor.settings_elsewhere(store, wrong)
    assert "ENCRYPTION_KEY" in check.findings[0].problem
    assert "previous_encryption_keys" in check.findings[0].fix
    rotated = District(settings(store.url, encryption=OTHER, encryption_before=ONE))
    await rotated.start()
    await rotated.stop()
    assert (await doctor.settings_elsewhere(store, wrong)).ok  # the new key is the database's now


async def test_a_key_that_commands_did_not_seal_with_is_refused_before_any_server_has_run(store: Store) -> None:
    def sealed_with(key: str) -> None:
        with Store(store.url, cipher=settings(store.url, encryption=key).cipher(), readers=1) as by_command:
            by_command.write_now(lambda tx: tx.seal_for(f"ann-{key}", "ann@family.example"))

    sealed_with(ONE)
    assert rows(store) == []
    wrong, right = settings(store.url, encryption=OTHER), settings(store.url)
    with pytest.raises(agreement.SettingsDisagree, match="not the one that this database was sealed with"):
        await District(wrong).start()
    check = await doctor.settings_elsewhere(store, wrong)
    assert "ENCRYPTION_KEY" in check.findings[0].problem
    assert rows(store) == []  # nothing is remembered of the wrong one
    assert (await doctor.settings_elsewhere(store, right)).ok
    sealed_with(OTHER)  # by a command, meanwhile
    for one in (wrong, right):
        with pytest.raises(agreement.SettingsDisagree, match="previous_encryption_keys"):
            await District(one).start()
    both = District(settings(store.url, encryption_before=OTHER))
    await both.start()
    await both.stop()
    assert rows(store) == ["sealed_with"]


async def test_any_other_difference_is_told_by_name_and_to_both(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(agreement.log, "warning", lambda event, **more: told.append((event, more["setting"])))
    one, other = District(settings(store.url)), District(settings(store.url, zone="America/Denver"))
    await one.start()
    await other.start()
    assert told == [("settings_disagree", "[attendance]")]
    assert other.agreement.disagreeing == 1
    one.agreement._tell(await store.write(one.agreement._renew))  # its next look
    assert one.agreement.disagreeing == 1
    assert told == [("settings_disagree", "[attendance]")] * 2
    check = await doctor.settings_elsewhere(store, settings(store.url))
    (finding,) = check.findings
    assert finding.problem.startswith("[attendance] is another here than in ")
    assert f"(process {os.getpid()})" in finding.problem
    await other.stop()
    await one.stop()
    assert ONE not in capsys.readouterr().err


async def test_what_is_kept_tells_no_secret(store: Store) -> None:
    one = District(settings(store.url))
    await one.start()
    kept = store.read_now(lambda c: c.values(KeyValue.select(KeyValue.value)))
    await one.stop()
    assert ONE not in repr(kept)
    assert "Chicago" not in repr(kept)


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


async def test_a_process_of_this_machine_that_was_killed_holds_up_nobody(store: Store, gone: int) -> None:
    one = District(settings(store.url))
    await one.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: gone)
        await store.write(one.agreement._renew)
    assert store.read_now(lambda c: agreement.findings(c, settings(store.url, jwt=OTHER))) == []
    await one.stop()


@pytest.fixture
def running(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[dict[str, str]]:
    """The environment of a `homeroom worker` that runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOMEROOM_")}
    given = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "JWT_SECRET_KEY": ONE, "ENCRYPTION_KEY": ONE}
    environment = {**kept, **given}
    worker = subprocess.Popen(
        [sys.executable, "-m", "homeroom", "worker"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert "worker runs" in worker.stdout.readline()
    yield environment
    worker.terminate()
    worker.wait(timeout=SECONDS)
    worker.stdout.close()


def test_a_server_with_another_secret_ends_with_one_clear_line(tmp_path: Path, running: dict[str, str]) -> None:
    for name, told in (("JWT_SECRET_KEY", "give every process the same one"), ("ENCRYPTION_KEY", "put the key back")):
        done = subprocess.run(
            [sys.executable, "-m", "homeroom", "serve", "--port", "0"],
            cwd=tmp_path,
            env={**running, name: OTHER},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == 1, done.stderr
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert f"{name} is" in line
        assert told in line
        assert "Traceback" not in done.stderr
        assert OTHER not in done.stderr
