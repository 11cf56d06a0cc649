"""The plugin that counts, by itself, and how its numbers are put together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from homeroom import StudentDays
from homeroom.testing import plugin_tests
from homeroom_reports import Reports, ReportsSettings
from homeroom_reports.absence import is_chronic
from homeroom_reports.asked import mean, share
from homeroom_reports.explanations import chronic_absence, rolls
from homeroom_web.charts import Bar, Series, columns, line, rows

TestReports = plugin_tests(Reports, {})

ONE, TWO = [Series("absent", "absent")], [Series("absent", "absent"), Series("tardy", "tardy")]


def student(enrolled: int, absent: int, excused: int = 0) -> StudentDays:
    return StudentDays(
        student_id="ann", enrolled=enrolled, attended=enrolled - absent - excused, absent=absent, excused=excused
    )


@pytest.mark.parametrize(
    ("days", "chronic"),
    [
        (student(180, 18), True),
        (student(180, 17), False),
        (student(180, 9, 9), True),
        (student(10, 1), True),
        (student(9, 9), False),
        (student(30, 3), True),
        (student(70, 7), True),
    ],
)
def test_a_tenth_of_the_enrolled_days_is_chronic_and_a_day_less_is_not(days: StudentDays, *, chronic: bool) -> None:
    assert is_chronic(days, ReportsSettings()) is chronic


@given(enrolled=st.integers(1, 400), percent=st.integers(1, 100), data=st.data())
def test_a_share_that_is_exactly_the_threshold_is_over_it(enrolled: int, percent: int, data: st.DataObject) -> None:
    missed = data.draw(st.integers(0, enrolled))
    settings = ReportsSettings(chronic_at=percent / 100, minimum_days=1)
    assert is_chronic(student(enrolled, missed), settings) is (missed * 100 >= percent * enrolled)


def test_there_is_no_share_and_no_mean_of_nothing() -> None:
    assert (share(0, 0), mean(0, 0)) == (None, None)
    assert (share(2, 3), mean(10, 3)) == (0.6667, 3.33)


@pytest.mark.parametrize("wrong", [{"chronic_at": 0}, {"chronic_at": 1.5}, {"minimum_days": 0}, {"chronic": 0.1}])
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ReportsSettings.model_validate(wrong)


def test_an_explanation_says_the_districts_own_rule() -> None:
    settings = ReportsSettings(chronic_at=0.15, minimum_days=45, rolls_of_homerooms=True, left_open_hours=1.5)
    assert "15% or more" in chronic_absence(settings).rule
    assert "at least 45 such days" in chronic_absence(settings).rule
    assert rolls(settings).rule.startswith("Every homeroom")
    assert "1.5 hours" in rolls(settings).rule


@given(values=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), max_size=60), rtl=st.booleans())
def test_bars_lie_inside_their_figure_and_are_as_long_as_their_values(
    values: list[tuple[int, int]], *, rtl: bool
) -> None:
    bars = [Bar(str(number), pair) for number, pair in enumerate(values)]
    for chart in (columns("a", "t", "d", bars, TWO, rtl=rtl), rows("a", "t", "d", bars, TWO, rtl=rtl)):
        assert len(chart.boxes) == 2 * len(values)
        sizes = [box.height if chart.is_upright else box.width for box in chart.boxes]
        for box in chart.boxes:
            assert box.x >= -0.01
            assert box.x + box.width <= chart.width + 0.01
            assert box.y >= -0.01
            assert box.y + box.height <= chart.height + 0.01
        flat = [value for pair in values for value in pair]
        unit = next((size / value for size, value in zip(sizes, flat, strict=True) if value), 0)
        assert sizes == pytest.approx([value * unit for value in flat])


def test_a_figure_runs_in_the_direction_of_writing() -> None:
    bars = [Bar("first", [1]), Bar("last", [1])]
    there, back = (columns("a", "t", "d", bars, ONE, rtl=rtl) for rtl in (False, True))
    assert there.boxes[0].x < there.boxes[1].x
    assert back.boxes[0].x > back.boxes[1].x
    assert back.boxes[0].x == there.width - there.boxes[0].x - there.boxes[0].width
    drawn = line("a", "t", "d", [("x", 0.9), ("y", 1.0)], rtl=True)
    assert drawn.dots[0].x > drawn.dots[1].x
    assert drawn.paths[0].startswith(f"M{drawn.dots[0].x:.1f} ")


def test_a_line_is_broken_where_there_is_nothing() -> None:
    drawn = line(
        "a", "t", "d", [("1", 0.95), ("2", 0.96), ("3", None), ("4", 0.5), ("5", None), ("6", 0.7), ("7", 1.0)]
    )
    assert len(drawn.dots) == 5
    assert len(drawn.paths) == 2
    assert min(dot.y for dot in drawn.dots) >= 0
    assert max(dot.y for dot in drawn.dots) <= drawn.height
    assert [dot.y for dot in drawn.dots if dot.told.startswith("7")] < [
        dot.y for dot in drawn.dots if dot.told.startswith("4")
    ]


@pytest.mark.parametrize(("most", "steps"), [(3, "1"), (5, "2"), (17, "5"), (41, "20"), (1001, "500")])
def test_a_scale_is_easy_to_read(most: int, steps: str) -> None:
    chart = columns("a", "t", "d", [Bar("x", [most])], ONE)
    assert [text.text for text in chart.texts][1] == steps
