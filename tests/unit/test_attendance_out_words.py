"""The administrator reads in plain words how attendance goes back."""

from __future__ import annotations

from typing import Literal

import pytest

from homeroom.attendance_out import words
from homeroom.settings import Settings
from tests.services.scripted_sis import ScriptedSis


class Titled(ScriptedSis):
    title = "PowerSchool"


@pytest.mark.parametrize(
    ("way", "level", "text"),
    [
        ("api", "class", "Attendance goes to PowerSchool by its API within a minute, one mark for each class."),
        (
            "file",
            "day",
            (
                "Attendance goes to PowerSchool as a file, one mark for each school day. "
                "Load the file there, or let a scheduled import do it."
            ),
        ),
        (
            "none",
            "day",
            "PowerSchool takes no attendance. Take it over from the attendance file of homeroom db export.",
        ),
    ],
)
def test_each_way_has_its_words(way: Literal["api", "file", "none"], level: Literal["class", "day"], text: str) -> None:
    assert words(Titled(attendance_out=way, attendance_level=level), "powerschool") == text


def test_what_is_not_switched_on_says_how_to_begin() -> None:
    text = words(ScriptedSis(attendance_out="api"), "acme", sending=False)
    assert text == (
        "No attendance goes to acme, because nothing is written to a SIS unasked. "
        'To begin, add "acme" to attendance_out under [sync] in homeroom.toml (one mark for each class).'
    )


def test_a_long_delay_is_told() -> None:
    assert "within 6 minutes" in words(ScriptedSis(attendance_out="api"), "acme", delay_seconds=300)


def test_writing_to_a_sis_is_off_until_a_district_asks_for_it() -> None:
    assert Settings().sync.attendance_out == []
