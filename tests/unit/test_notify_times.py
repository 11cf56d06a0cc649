"""When a message may go: by the school's own clock, whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.notify.times import Quiet, after_quiet, at, window

NEW_YORK = ZoneInfo("America/New_York")
NIGHT = Quiet(begins=time(21), ends=time(7))
NONE = Quiet(begins=time(0), ends=time(0))
EVENING = time(20)
MONDAY = date(2026, 9, 14)

ZONES = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("posix", "right", "Etc")))
zones = st.sampled_from(ZONES).map(ZoneInfo)
moments = st.datetimes(datetime(2010, 1, 1), datetime(2037, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001
hours = st.times().map(lambda hour: hour.replace(second=0, microsecond=0))
nights = st.builds(
    Quiet,
    begins=st.times(time(17), time(23, 59)).map(lambda hour: hour.replace(second=0, microsecond=0)),
    ends=st.times(time(0), time(10)).map(lambda hour: hour.replace(second=0, microsecond=0)),
)


def local(moment: datetime, zone: ZoneInfo = NEW_YORK) -> tuple[date, time]:
    there = moment.astimezone(zone)
    return there.date(), there.time()


def on_monday(hour: int, minute: int = 0) -> datetime:
    return at(MONDAY, time(hour, minute), NEW_YORK)


def test_what_is_decided_by_day_goes_at_once_and_is_of_no_use_after_its_hour() -> None:
    found = window(on_monday(10), EVENING, NIGHT, NEW_YORK)
    assert found.due_at == on_monday(10)
    assert local(found.expires_at) == (MONDAY, EVENING)


@pytest.mark.parametrize("hour", [20, 21, 22, 23])
def test_what_is_decided_in_the_evening_goes_the_next_morning(hour: int) -> None:
    found = window(on_monday(hour), EVENING, NIGHT, NEW_YORK)
    assert local(found.due_at) == (date(2026, 9, 15), time(7))
    assert local(found.expires_at) == (date(2026, 9, 15), EVENING)


def test_what_is_decided_before_dawn_goes_the_same_morning() -> None:
    found = window(on_monday(3), EVENING, NIGHT, NEW_YORK)
    assert local(found.due_at) == (MONDAY, time(7))


def test_the_last_minute_before_the_quiet_hours_is_not_quiet_and_the_first_after_them_is_not() -> None:
    assert after_quiet(on_monday(20, 59), NIGHT, NEW_YORK) == on_monday(20, 59)
    assert after_quiet(on_monday(7), NIGHT, NEW_YORK) == on_monday(7)
    assert after_quiet(on_monday(6, 59), NIGHT, NEW_YORK) == on_monday(7)


@pytest.mark.parametrize("until", [time(0), time(0, 30), time(6)])
def test_an_hour_after_midnight_is_of_the_night_that_follows(until: time) -> None:
    found = window(on_monday(10), until, NIGHT, NEW_YORK)
    assert found.due_at == on_monday(10)
    assert local(found.expires_at) == (date(2026, 9, 15), until)


def test_an_hour_after_midnight_that_has_not_passed_yet_is_of_the_night_that_is() -> None:
    found = window(on_monday(0, 15), time(0, 30), NONE, NEW_YORK)
    assert (found.due_at, found.expires_at) == (on_monday(0, 15), on_monday(0, 30))


def test_without_quiet_hours_what_is_too_late_still_waits_for_the_morning_and_not_for_midnight() -> None:
    found = window(on_monday(20, 30), EVENING, NONE, NEW_YORK)
    assert local(found.due_at) == (date(2026, 9, 15), time(7))


def test_quiet_hours_at_noon_put_off_but_begin_no_day() -> None:
    lunch = Quiet(begins=time(12), ends=time(13))
    assert window(on_monday(12, 30), EVENING, lunch, NEW_YORK).due_at == on_monday(13)
    assert local(window(on_monday(22), EVENING, lunch, NEW_YORK).due_at) == (date(2026, 9, 15), time(7))


def test_an_hour_within_the_quiet_ones_gives_the_day_after_them() -> None:
    found = window(on_monday(10), time(8), Quiet(begins=time(5), ends=time(12)), NEW_YORK)
    assert local(found.due_at) == (date(2026, 9, 15), time(12))
    assert found.expires_at - found.due_at == timedelta(days=1)


def test_quiet_hours_that_end_in_an_hour_the_clocks_repeat_end_twice_and_the_day_is_not_lost() -> None:
    quiet, fall = Quiet(begins=time(22), ends=time(1, 30)), date(2026, 11, 1)
    again = at(fall, time(1, 15), NEW_YORK, fold=1)
    assert after_quiet(again, quiet, NEW_YORK) == at(fall, time(1, 30), NEW_YORK, fold=1)
    assert after_quiet(at(fall, time(1, 15), NEW_YORK), quiet, NEW_YORK) == at(fall, time(1, 30), NEW_YORK)


def test_quiet_hours_that_end_in_an_hour_the_clocks_skip_end_after_it() -> None:
    quiet, spring = Quiet(begins=time(22), ends=time(2, 30)), date(2026, 3, 8)
    found = after_quiet(at(spring, time(1), NEW_YORK), quiet, NEW_YORK)
    assert local(found) == (spring, time(3, 30))


def test_a_zone_that_skips_midnight_begins_its_day_an_hour_later() -> None:
    cairo, day = ZoneInfo("Africa/Cairo"), date(2026, 4, 24)
    assert local(at(day, time(0), cairo), cairo) == (day, time(1))
    found = window(at(date(2026, 4, 23), time(22), cairo), time(20), Quiet(begins=time(21), ends=time(0)), cairo)
    assert local(found.due_at, cairo) == (day, time(7))


def test_a_zone_that_left_out_a_day_is_told_on_the_next_one() -> None:
    samoa = ZoneInfo("Pacific/Apia")  # there was no 30 December 2011
    found = window(at(date(2011, 12, 29), time(22), samoa), EVENING, NIGHT, samoa)
    assert local(found.due_at, samoa) == (date(2011, 12, 31), time(7))


@given(moments, hours, nights, zones)
def test_a_message_is_never_due_in_quiet_hours_and_is_of_no_use_after_two_days(
    moment: datetime, until: time, quiet: Quiet, zone: ZoneInfo
) -> None:
    found = window(moment, until, quiet, zone)
    assert moment <= found.due_at < found.expires_at
    assert not quiet.covers(local(found.due_at, zone)[1])
    extra = timedelta(days=1) if zone.key in ("Pacific/Apia", "Pacific/Fakaofo") else timedelta(hours=2)
    assert found.expires_at - moment <= timedelta(days=2) + extra  # clocks are put back, and two zones left out a day


@given(moments, hours, st.builds(Quiet, begins=hours, ends=hours), zones)
def test_however_odd_the_hours_a_message_is_due_outside_the_quiet_ones_and_before_it_is_of_no_use(
    moment: datetime, until: time, quiet: Quiet, zone: ZoneInfo
) -> None:
    found = window(moment, until, quiet, zone)
    assert moment <= found.due_at < found.expires_at
    assert not quiet.covers(local(found.due_at, zone)[1])


@given(moments, nights, zones)
def test_nothing_waits_for_longer_than_the_quiet_hours_last(moment: datetime, quiet: Quiet, zone: ZoneInfo) -> None:
    due = after_quiet(moment, quiet, zone)
    if not quiet.covers(local(moment, zone)[1]):
        assert due == moment
    else:
        step = moment
        while quiet.covers(local(step, zone)[1]):
            step += timedelta(minutes=1)
        assert step - timedelta(minutes=1) < due <= step + timedelta(hours=2)
