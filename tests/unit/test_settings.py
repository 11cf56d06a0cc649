"""What is wrong with a setting is told where the settings are read, with its place and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeroom.cli.toml_file import add_enabled
from homeroom.settings import SettingsError, load_settings


def told(tmp_path: Path, lines: str) -> list[str]:
    """Each problem that a homeroom.toml of these lines has, without the file's name."""
    file = tmp_path / "homeroom.toml"
    file.write_text(lines)
    with pytest.raises(SettingsError) as caught:
        load_settings(file, {})
    return [str(problem).removeprefix(f"{file}: ") for problem in caught.value.problems]


@pytest.mark.parametrize("wrong", ["proxy.example", "10.0.0.5/33", ""])
def test_a_trusted_proxy_that_is_no_network_is_told(tmp_path: Path, wrong: str) -> None:
    (problem,) = told(tmp_path, f'[server]\ntrusted_proxies = ["127.0.0.1/32", "{wrong}"]')
    assert problem.startswith("server.trusted_proxies.1: this is no network")
    assert '"10.0.0.5/32"' in problem


def test_trusted_proxies_are_addresses_or_networks() -> None:
    given = ["127.0.0.1", "::1/128", "10.0.0.5/8"]
    loaded = load_settings(None, {"HOMEROOM__SERVER__TRUSTED_PROXIES": ", ".join(given)})
    assert loaded.server.trusted_proxies == given


@pytest.mark.parametrize("wrong", ["CST", "America", "", "/etc/passwd"])
def test_a_time_zone_that_there_is_not_is_told_with_the_other_mistakes(tmp_path: Path, wrong: str) -> None:
    first, second = told(tmp_path, f'[attendance]\ntime_zone = "{wrong}"\n[server]\nrequests_per_minute = 0')
    assert first.startswith("server.requests_per_minute: ")
    assert second.startswith("attendance.time_zone: this time zone is not known here")
    assert "America/New_York" in second


@pytest.mark.parametrize("wrong", ["attendance.example", "HTTPS://attendance.example", "https://", "wss://a.example"])
def test_an_address_that_no_browser_goes_to_is_told(tmp_path: Path, wrong: str) -> None:
    (problem,) = told(tmp_path, f'[server]\npublic_base_url = "{wrong}"')
    assert problem.startswith("server.public_base_url: this is no web address")
    assert "https:// before it" in problem


@pytest.mark.parametrize("fine", ["https://attendance.example", "http://127.0.0.1:8000", "https://a.example/homeroom/"])
def test_an_address_is_taken_as_it_is(fine: str) -> None:
    assert load_settings(None, {"PUBLIC_BASE_URL": fine}).server.public_base_url == fine


def test_a_day_that_no_week_has_is_told(tmp_path: Path) -> None:
    (problem,) = told(tmp_path, "[attendance]\nschool_days = [0, 9]")
    assert problem.startswith("attendance.school_days.1: this is no day of the week")
    assert "Sunday is 6" in problem


def test_attendance_that_would_go_to_no_enabled_connector_is_told(tmp_path: Path) -> None:
    plugins = '[plugins]\nenabled = ["powerschool"]\n'
    close, far = told(tmp_path, f'{plugins}[sync]\nattendance_out = ["powerskool", "powerschool", "acme"]')
    assert close.startswith("sync.attendance_out: no enabled plugin has this name")
    assert close.endswith("Did you mean powerschool?")
    assert far.endswith("Add acme to `enabled` in [plugins], or take it out of here.")


def test_what_is_wrong_and_the_fix_are_two_sentences(tmp_path: Path) -> None:
    (unknown,) = told(tmp_path, "[sever]\ndrain_seconds = 5")
    assert unknown == "sever: unknown setting. Did you mean server?"
    (wrong,) = told(tmp_path, "[server]\ndrain_seconds = 500")
    assert wrong.endswith("less than or equal to 300. homeroom.example.toml explains it.")
    (secret, _) = told(tmp_path, 'environment = "production"')
    assert ": this is the development secret. Make one with" in secret
    with pytest.raises(SettingsError, match=r"there is no such file\. Create it from"):
        load_settings(tmp_path / "elsewhere.toml", {})


def test_where_the_secrets_lie_beside_the_file_no_new_one_is_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / ".env").write_text("ENCRYPTION_KEY=a real one\n")
    for problem in told(tmp_path, 'environment = "production"'):
        assert problem.endswith(f"There is no .env here, and one in {tmp_path}: run this there.")


def test_a_byte_order_mark_is_read_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JWT_ALGORITHM", raising=False)
    file = tmp_path / "homeroom.toml"
    file.write_text("[attendance]\nlate_after_minutes = 7\n", encoding="utf-8-sig")
    (tmp_path / ".env").write_text("JWT_ALGORITHM=HS512\n", encoding="utf-8-sig")
    loaded = load_settings(file)
    assert (loaded.attendance.late_after_minutes, loaded.auth.algorithm) == (7, "HS512")
    add_enabled(file, "accounts")
    assert load_settings(file, {}).plugins.enabled == ("accounts",)
