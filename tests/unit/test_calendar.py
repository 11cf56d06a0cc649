from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.roster import calendar
from homeroom.store import Refused, Store
from homeroom.store.models import AcademicSession, Journal, Org

ZONES = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("posix", "right", "Etc")))
zones = st.sampled_from(ZONES).map(ZoneInfo)
# From 2015 on no zone repeats an hour that itself crosses midnight.
moments = st.datetimes(datetime(2015, 1, 1), datetime(2037, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001
NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)


@given(moments, zones)
def test_every_moment_lies_within_the_bounds_of_its_school_day(moment: datetime, where: ZoneInfo) -> None:
    begin, end = calendar.bounds(calendar.school_day(moment, where), where)

    assert begin <= moment < end


@given(moments, zones)
def test_a_school_day_has_between_22_and_26_hours(moment: datetime, where: ZoneInfo) -> None:
    begin, end = calendar.bounds(calendar.school_day(moment, where), where)

    assert timedelta(hours=22) <= end - begin <= timedelta(hours=26)


@given(moments, zones)
def test_the_day_changes_exactly_at_midnight(moment: datetime, where: ZoneInfo) -> None:
    begin = calendar.midnight(calendar.school_day(moment, where), where)

    assert calendar.school_day(begin, where) == calendar.school_day(moment, where)
    assert calendar.school_day(begin - timedelta(microseconds=1), where) < calendar.school_day(moment, where)


@given(st.lists(moments, min_size=2, max_size=2).map(sorted), zones)
def test_school_days_never_go_backwards(two: list[datetime], where: ZoneInfo) -> None:
    begin = calendar.midnight(calendar.school_day(two[1], where), where)

    assert calendar.school_day(two[0], where) <= calendar.school_day(two[1], where) or two[1] < begin


def test_the_evening_in_new_york_is_still_the_same_school_day_after_midnight_utc() -> None:
    assert calendar.school_day(datetime(2026, 11, 24, 3, tzinfo=UTC), NEW_YORK) == date(2026, 11, 23)


def test_the_days_when_clocks_change_have_23_and_25_hours() -> None:
    spring, autumn = (calendar.bounds(day, NEW_YORK) for day in (date(2026, 3, 8), date(2026, 11, 1)))

    assert spring[1] - spring[0] == timedelta(hours=23)
    assert autumn[1] - autumn[0] == timedelta(hours=25)


def test_where_clocks_skip_midnight_the_day_begins_at_one() -> None:
    beirut = ZoneInfo("Asia/Beirut")
    begin = calendar.midnight(date(2024, 3, 31), beirut)

    assert begin.astimezone(beirut).hour == 1
    assert calendar.school_day(begin, beirut) == date(2024, 3, 31)


def test_both_sides_of_the_date_line_have_their_own_day() -> None:
    moment = datetime(2026, 9, 1, 10, 30, tzinfo=UTC)

    assert calendar.school_day(moment, ZoneInfo("Pacific/Kiritimati")) == date(2026, 9, 2)
    assert calendar.school_day(moment, ZoneInfo("Pacific/Pago_Pago")) == date(2026, 8, 31)


def test_a_naive_moment_and_an_unknown_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="no school day"):
        calendar.school_day(datetime(2026, 9, 1), NEW_YORK)  # noqa: DTZ001 - the point
    with pytest.raises(ValueError, match="no time zone"):
        calendar.zone("America/Nowhere")


def test_days_between_leaves_the_end_out() -> None:
    days = list(calendar.days_between(date(2026, 2, 27), date(2026, 3, 2)))

    assert days == [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1)]
    assert list(calendar.days_between(date(2026, 3, 2), date(2026, 3, 2))) == []


def _org(store: Store, org_id: str, **values: object) -> None:
    store.write_now(
        lambda tx: tx.insert(Org, **{"id": org_id, "name": org_id, "kind": "school", "changed_at": NOW, **values})
    )


def test_a_school_takes_its_zone_from_itself_then_the_district_then_the_default(store: Store) -> None:
    _org(store, "d", kind="district", time_zone="America/Denver")
    _org(store, "s1", parent_id="d", time_zone="America/Phoenix")
    _org(store, "s2", parent_id="d")
    _org(store, "s3")

    zones = [
        str(store.read_now(lambda c, s=school: calendar.zone_of(c, s, "America/Chicago")))  # type: ignore[misc]
        for school in ("s1", "s2", "s3", "unknown")
    ]

    assert zones == ["America/Phoenix", "America/Denver", "America/Chicago", "America/Chicago"]


def test_orgs_in_a_circle_do_not_hang_the_search_for_a_zone(store: Store) -> None:
    _org(store, "a", parent_id="b")
    _org(store, "b", parent_id="a")

    assert str(store.read_now(lambda c: calendar.zone_of(c, "a", "America/Chicago"))) == "America/Chicago"


def test_a_time_zone_can_be_set_and_a_wrong_one_is_refused(store: Store) -> None:
    _org(store, "s")

    store.write_now(lambda tx: calendar.set_time_zone(tx, "s", "Asia/Tokyo"))

    assert str(store.read_now(lambda c: calendar.zone_of(c, "s", "UTC"))) == "Asia/Tokyo"
    with pytest.raises(Refused, match="no time zone"):
        store.write_now(lambda tx: calendar.set_time_zone(tx, "s", "Mars/Base"))


def _days(store: Store, first: date, end: date, school: str = "s") -> list[int]:
    return [day.day for day in store.read_now(lambda c: calendar.school_days(c, school, first, end))]


def test_without_terms_every_weekday_is_a_school_day(store: Store) -> None:
    _org(store, "s")

    assert _days(store, date(2026, 9, 4), date(2026, 9, 9)) == [4, 7, 8]


def test_a_district_may_teach_on_other_weekdays_and_a_school_on_its_own(store: Store) -> None:
    _org(store, "d", settings={"school_days": [6, 0]})
    _org(store, "s", parent_id="d")
    _org(store, "t", parent_id="d", settings={"school_days": [5]})

    assert _days(store, date(2026, 9, 4), date(2026, 9, 9)) == [6, 7]
    assert _days(store, date(2026, 9, 4), date(2026, 9, 9), "t") == [5]


def test_holidays_and_extra_days_win_over_the_pattern_until_they_are_cleared(store: Store) -> None:
    _org(store, "s")
    labor_day, saturday = date(2026, 9, 7), date(2026, 9, 5)

    store.write_now(lambda tx: calendar.set_calendar_day(tx, "s", labor_day, in_session=False, title="Labor Day"))
    store.write_now(lambda tx: calendar.set_calendar_day(tx, "s", saturday, in_session=False))
    store.write_now(lambda tx: calendar.set_calendar_day(tx, "s", saturday, in_session=True))

    assert _days(store, date(2026, 9, 4), date(2026, 9, 9)) == [4, 5, 8]
    assert not store.read_now(lambda c: calendar.is_school_day(c, "s", labor_day))
    store.write_now(lambda tx: calendar.clear_calendar_day(tx, "s", labor_day))
    store.write_now(lambda tx: calendar.clear_calendar_day(tx, "s", labor_day))
    assert store.read_now(lambda c: calendar.is_school_day(c, "s", labor_day))
    kinds = store.read_now(lambda c: c.values(Journal.select(Journal.kind)))
    assert kinds == ["calendar.changed"] * 4  # clearing what is clear is no change


def test_once_a_term_is_known_only_days_inside_one_count(store: Store) -> None:
    _org(store, "s")
    for sourced_id, kind, begin, end in (
        ("t1", "term", date(2026, 9, 2), date(2026, 9, 4)),
        ("g1", "gradingPeriod", date(2026, 9, 7), date(2026, 9, 9)),
    ):
        store.write_now(
            lambda tx, v=(sourced_id, kind, begin, end): tx.insert(  # type: ignore[misc]
                AcademicSession, id=v[0], title=v[0], kind=v[1], begins_on=v[2], ends_on=v[3], changed_at=NOW
            )
        )

    assert _days(store, date(2026, 9, 1), date(2026, 9, 10)) == [2, 3]  # the end of a term is exclusive
