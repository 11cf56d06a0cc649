"""Days and moments on the pages: by a school's clock, in the reader's language, never in UTC."""

from __future__ import annotations

from datetime import date

from homeroom_web import times
from homeroom_web.charts import curve


def plain(text: str) -> str:
    """With ordinary blanks for the narrow ones that languages put before `PM`."""
    return " ".join(text.split())


def test_a_day_is_the_same_from_a_date_and_from_a_routes_text() -> None:
    assert times.day("2026-09-14", "en") == times.day(date(2026, 9, 14), "en") == "Sep 14, 2026"
    assert times.day("2026-09-14", "es") == "14 sept 2026"


def test_a_moment_is_told_by_the_clock_of_its_zone_and_may_be_of_the_day_before() -> None:
    assert plain(times.moment("2026-09-14T03:05:00Z", "America/Chicago", "en")) == "Sep 13, 2026, 10:05 PM"
    assert plain(times.moment("2026-09-14T03:05:00Z", "Europe/Madrid", "es")) == "14 sept 2026, 5:05"
    assert plain(times.clock("2026-09-14T15:05:00+00:00", "America/Chicago", "en")) == "10:05 AM"


def test_where_there_is_nothing_a_dash_stands() -> None:
    assert times.day(None, "en") == times.moment(None, "UTC", "en") == "\N{EN DASH}"


def test_a_curve_begins_at_nought_and_shows_a_single_look_as_a_point() -> None:
    [one] = curve("a", "t", "d", [("8:00", 3)]).dots
    assert one.told == "8:00: 3"
    two = curve("a", "t", "d", [("8:00", 0), ("8:01", 4)])
    assert (len(two.paths), two.dots) == (1, ())
    (_, low), (_, high) = (map(float, point.split()) for point in two.paths[0][1:].split(" L"))
    assert (low, high) == (two.rules[0], two.rules[-1])
