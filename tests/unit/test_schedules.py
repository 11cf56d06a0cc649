"""What a line of `[sync.schedules]` means: when a run is due, on days when clocks change too, and in plain words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.schedules import parse
from homeroom.settings import SettingsError, load_settings

NEW_YORK = "America/New_York"
NOON = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def starts(text: str, first: datetime, last: datetime, zone: str = NEW_YORK) -> list[datetime]:
    """When runs begin if somebody looks every ten minutes."""
    schedule, served, found = parse(text), first, []
    now = first
    while now < last:
        if schedule.is_due(served, now, zone):
            served = now
            found.append(now)
        now += timedelta(minutes=10)
    return found


def test_an_interval_counts_from_the_last_start() -> None:
    schedule = parse("every 15 minutes")
    assert schedule.is_due(None, NOON, NEW_YORK)
    assert not schedule.is_due(NOON - timedelta(minutes=14), NOON, NEW_YORK)
    assert schedule.is_due(NOON - timedelta(minutes=15), NOON, NEW_YORK)
    assert schedule.next_start(NOON - timedelta(minutes=5), NOON, NEW_YORK) == NOON + timedelta(minutes=10)


def test_hourly_begins_every_hour() -> None:
    assert len(starts("hourly", NOON, NOON + timedelta(hours=12))) == 11


def test_a_time_of_day_that_nobody_missed_waits_for_its_day() -> None:
    schedule = parse("daily 02:30")
    assert not schedule.is_due(None, NOON, NEW_YORK)
    assert schedule.next_start(NOON, NOON, NEW_YORK) == at("2026-11-24 07:30")


def test_a_time_of_day_is_the_districts_unless_it_names_a_zone() -> None:
    day = (at("2026-11-24 00:00"), at("2026-11-25 00:00"))
    assert starts("daily 02:30", *day) == [at("2026-11-24 07:30")]
    assert starts("daily 02:30 America/Denver", *day) == [at("2026-11-24 09:30")]


def test_days_that_were_missed_are_made_up_for_once() -> None:
    schedule = parse("daily 02:30")
    back = at("2026-11-27 15:00")
    assert schedule.is_due(at("2026-11-23 07:30"), back, NEW_YORK)
    assert not schedule.is_due(back, back + timedelta(minutes=1), NEW_YORK)
    assert schedule.next_start(back, back, NEW_YORK) == at("2026-11-28 07:30")


def test_a_time_that_the_clocks_skip_runs_once_when_they_have_skipped_it() -> None:
    found = starts("daily 02:30", at("2026-03-07 12:00"), at("2026-03-10 12:00"))
    assert found == [at("2026-03-08 07:30"), at("2026-03-09 06:30"), at("2026-03-10 06:30")]


def test_a_time_that_the_clocks_show_twice_runs_once() -> None:
    found = starts("daily 01:30", at("2026-10-31 12:00"), at("2026-11-03 12:00"))
    assert found == [at("2026-11-01 05:30"), at("2026-11-02 06:30"), at("2026-11-03 06:30")]


@given(
    minute=st.integers(0, 1439),
    zone=st.sampled_from([NEW_YORK, "Pacific/Apia", "Australia/Lord_Howe", "Africa/Cairo", "America/St_Johns", "UTC"]),
    year=st.integers(2011, 2027),
)
def test_every_day_of_any_zone_has_one_run(minute: int, zone: str, year: int) -> None:
    schedule = parse(f"daily {minute // 60:02}:{minute % 60:02}")
    now, end, found = at(f"{year}-01-01 12:00"), at(f"{year + 1}-01-01 12:00"), 0
    while True:
        following = schedule.next_start(now, now, zone)
        assert following is not None
        assert following > now
        if following >= end:
            break
        assert schedule.is_due(now, following, zone)
        assert not schedule.is_due(now, following - timedelta(minutes=1), zone)
        now, found = following, found + 1
    assert abs(found - (end - at(f"{year}-01-01 12:00")).days) <= 1  # Samoa crossed the date line in 2011


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hourly", "every hour"),
        ("Hourly full", "every hour, in full"),
        ("every 15 minutes", "every 15 minutes"),
        ("every 120 minutes", "every 2 hours"),
        ("every hour", "every hour"),
        ("daily  02:30", "daily at 02:30 (America/New_York)"),
        ("daily 2:05 America/Denver full", "daily at 02:05 (America/Denver), in full"),
        ("off", "only when somebody asks for it"),
    ],
)
def test_a_schedule_reads_as_words(text: str, words: str) -> None:
    assert parse(text).words(NEW_YORK) == words


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nightly", "is no schedule"),
        ("daily 25:00", "is no time of day"),
        ("daily 02:30 Mars/Base", "is no time zone"),
        ("every 0 minutes", "would never rest"),
        ("off full", "is no schedule"),
        ("", "is no schedule"),
    ],
)
def test_what_is_no_schedule_is_told_with_what_would_be_one(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text)


def settings(tmp_path: Path, lines: str, **environment: str) -> object:
    file = tmp_path / "homeroom.toml"
    file.write_text(f'[plugins]\nenabled = ["oneroster"]\n[sync.schedules]\n{lines}\n')
    return load_settings(file, environment).sync.schedules


def test_settings_take_one_schedule_or_several(tmp_path: Path) -> None:
    several = (parse("hourly"), parse("daily 02:30 full"))
    assert settings(tmp_path, 'oneroster = "hourly"') == {"oneroster": several[:1]}
    assert settings(tmp_path, 'oneroster = ["hourly", "daily 02:30 full"]') == {"oneroster": several}
    variable = {"HOMEROOM__SYNC__SCHEDULES__ONEROSTER": "hourly, daily 02:30 full"}
    assert settings(tmp_path, "", **variable) == {"oneroster": several}


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('oneroster = "sometimes"', "is no schedule; write"),
        ('oneroster = ["hourly", "off"]', "stands alone"),
        ("oneroster = 15", "sync.schedules.oneroster"),
        ('onerooster = "hourly"', "Did you mean oneroster?"),
        ('sftp = "hourly"', "Add sftp to `enabled`"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_a_problem_at_the_start(tmp_path: Path, lines: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, lines)
    assert says in str(caught.value)
