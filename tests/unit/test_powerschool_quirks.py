from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom import SourceError
from homeroom_powerschool import quirks
from homeroom_powerschool.quirks import Unreadable, as_day, as_flag, as_list, as_number, as_object, as_text
from homeroom_powerschool.simulator import shapes

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_ITEMS = st.lists(st.dictionaries(st.text(min_size=1), st.integers(), min_size=1), max_size=5)


@given(_ITEMS)
def test_a_list_of_one_none_or_many_is_the_same_list(items: list[Any]) -> None:
    data = shapes.envelope("students", "student", items)

    assert quirks.collection(data, "students", "student") == items


@given(_ITEMS)
def test_the_rows_of_a_query_are_the_same_list_with_or_without_record(items: list[Any]) -> None:
    assert quirks.records(shapes.record(items)) == items


@pytest.mark.parametrize("data", [{"students": ""}, {"students": {"@expansions": ""}}, {"students": {"student": ""}}])
def test_an_empty_element_is_an_empty_list(data: Any) -> None:
    assert quirks.collection(data, "students", "student") == []


@pytest.mark.parametrize("data", [None, "", [], {}, {"message": "no"}, "<html>"])
def test_an_answer_that_is_no_list_is_never_taken_for_an_empty_one(data: Any) -> None:
    with pytest.raises(SourceError, match="not taken for an empty list"):
        quirks.collection(data, "students", "student")


@pytest.mark.parametrize("data", [None, "", [], "<html>"])
def test_an_answer_without_a_body_is_never_taken_for_no_rows(data: Any) -> None:
    with pytest.raises(SourceError, match="not taken for an empty list"):
        quirks.records(data)


@given(st.text(alphabet="0123456789", min_size=1, max_size=12), st.integers(0, 15))
def test_a_number_that_lost_its_zeros_gets_them_back_and_no_others(text: str, digits: int) -> None:
    arrived = shapes.digits(text)

    assert as_text(arrived, digits=len(text)) == text
    assert as_text(arrived, digits=digits) == str(int(text)).zfill(digits)


@given(st.text(min_size=1).filter(lambda text: not text.strip().isdecimal()), st.integers(0, 15))
def test_a_text_that_is_no_number_is_never_filled_up(text: str, digits: int) -> None:
    assert as_text(text, digits=digits) == (text.strip() or None)


@given(st.integers(min_value=-(10**17), max_value=10**17))
def test_a_number_is_the_same_as_a_number_and_as_a_text(number: int) -> None:
    assert as_number({"id": number}, "id") == number
    assert as_number({"id": str(number)}, "id") == number
    assert as_number({"id": f" {number}.0 "}, "id") == number


@given(_JSON)
def test_whatever_arrives_is_read_or_refused_by_the_field_s_name(value: Any) -> None:
    row = {"field": value}
    refused: list[Unreadable] = []
    as_list(value), as_object(value), as_flag(value), as_text(value)
    for reading in (as_number, as_day):
        try:
            reading(row, "field")
        except Unreadable as exc:
            refused.append(exc)

    assert all(exc.field == "field" for exc in refused)


@pytest.mark.parametrize(
    ("value", "told"), [(True, True), ("1", True), (1, True), ("true", True), ("0", False), ("", False), (None, False)]
)
def test_a_flag_is_read_in_every_way_it_is_written(value: Any, told: bool) -> None:  # noqa: FBT001 - a table of values
    assert as_flag(value) is told


@pytest.mark.parametrize("text", ["0003-09-01", "2173-09-01", "31.12.2026", "tomorrow"])
def test_hazard_17_a_nonsense_year_is_refused_and_not_kept(text: str) -> None:
    with pytest.raises(Unreadable):
        as_day({"entry_date": text}, "entry_date")


def test_hazard_17_a_day_is_a_day_and_no_moment() -> None:
    assert as_day({"day": "2026-09-01T00:00:00-04:00"}, "day") == date(2026, 9, 1)


@pytest.mark.parametrize("data", [{"resource": {"count": 4}}, {"count": 4}, {"count": "4"}])
def test_a_count_is_read_in_both_its_shapes(data: Any) -> None:
    assert quirks.count_of(data) == 4


@pytest.mark.parametrize("data", [None, {}, {"count": ""}, [4]])
def test_an_answer_without_a_count_is_no_count_of_zero(data: Any) -> None:
    with pytest.raises(SourceError, match="no count"):
        quirks.count_of(data)


_GOOD = {"status": "SUCCESS", "success_message": {"id": 1}}
_BAD = {"status": "ERROR", "error_message": {"error": {"field": "ATT_DATE", "error_code": "REQUIRED"}}}


@pytest.mark.parametrize(
    "data",
    [
        {"insert_count": 1, "update_count": 0, "result": _GOOD},
        {"insert_count": 0, "update_count": 1, "result": [{"status": "WARNING"}]},
        {"results": {"insert_count": "1", "result": _GOOD}},
    ],
)
def test_a_write_is_sure_when_every_result_and_the_counts_say_so(data: Any) -> None:
    assert quirks.verdicts(data, 1).sure


@pytest.mark.parametrize(
    "data",
    [
        {"insert_count": 0, "update_count": 0, "result": _BAD},
        {"insert_count": 1, "update_count": 0, "result": [_GOOD, _BAD]},
        {"insert_count": 0, "update_count": 0, "result": _GOOD},
        {"insert_count": 1},
        {},
        None,
    ],
)
def test_hazard_28_a_200_with_an_error_inside_is_no_success(data: Any) -> None:
    assert not quirks.verdicts(data, 1).sure


def test_a_refusal_names_the_fields_and_no_values() -> None:
    [verdict] = quirks.verdicts({"result": _BAD}, 1).each

    assert verdict.reason == "ATT_DATE: REQUIRED"
