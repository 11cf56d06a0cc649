"""Days in a row, held against the plainest way to count them."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from homeroom.notify.windows import crossed, run_around

FIRST = date(2026, 8, 3)
calendars = st.lists(st.sampled_from(["missed", "present", "unmarked", "no school"]), min_size=1, max_size=40)


def naive(days: dict[str, str], day: str) -> list[str]:
    """The stretch around a day that no day at school breaks: everything missed in it."""
    stretches: list[list[str]] = [[]]
    for one, what in days.items():
        if what == "present":
            stretches.append([])
        elif what == "missed":
            stretches[-1].append(one)
    return next((stretch for stretch in stretches if day in stretch), [])


@given(calendars, st.data())
def test_a_run_is_the_stretch_that_no_day_at_school_breaks(kinds: list[str], data: st.DataObject) -> None:
    days = {(FIRST + timedelta(days=number)).isoformat(): what for number, what in enumerate(kinds)}
    day = data.draw(st.sampled_from(sorted(days)))
    missed = {one for one, what in days.items() if what == "missed"}
    present = {one for one, what in days.items() if what == "present"}
    held = [one for one, what in days.items() if what != "no school"]
    assert run_around(missed, present, day, held) == naive(days, day)


@given(calendars)
def test_every_day_of_a_run_has_the_same_run(kinds: list[str]) -> None:
    days = [(FIRST + timedelta(days=number)).isoformat() for number in range(len(kinds))]
    missed = {day for day, what in zip(days, kinds, strict=True) if what == "missed"}
    present = {day for day, what in zip(days, kinds, strict=True) if what == "present"}
    for day in missed:
        run = run_around(missed, present, day, days)
        assert day in run
        assert all(run_around(missed, present, other, days) == run for other in run)


@given(st.floats(0, 300), st.lists(st.integers(1, 200), max_size=5))
def test_the_threshold_is_the_largest_that_was_reached(value: float, thresholds: list[int]) -> None:
    found = crossed(value, thresholds)
    reached = [one for one in thresholds if one <= value]
    assert found == (max(reached) if reached else None)
