"""What proofs are worth, which moment counts, and who is late."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.attendance.policy import judge, lateness, moment
from homeroom.store import Refused
from homeroom.types import ClassSession, Verdict
from tests.services.classroom import Answered, at, says

NOW = at("2026-11-23T14:00:00+00:00")


def session(*methods: str, require: Literal["any", "all"] = "any", **more: Any) -> ClassSession:
    values: dict[str, Any] = {"starts_at": NOW, "late_after_minutes": 5, **more}
    return ClassSession(
        id="s", class_id="c", school_id="o", school_day=date(2026, 11, 23), methods=methods, require=require, **values
    )


def accepts(method: str) -> Answered:
    return says(method, Verdict.ACCEPT)


def rejects(method: str, problem: str = "code-wrong", **more: Any) -> Answered:
    return says(method, Verdict.REJECT, problem, **more)


def doubts(method: str) -> Answered:
    return says(method, Verdict.REVIEW, reason="not sure")


def fails(method: str) -> Answered:
    return Answered(method, error=TimeoutError())


def silent(method: str) -> Answered:
    return Answered(method)


def problem(found: Any) -> str:
    refused: Refused = found.value
    return refused.problem


def test_one_accept_is_enough_when_any_method_will_do() -> None:
    judged = judge(session("code", "place"), [silent("code"), accepts("place")])
    assert not judged.needs_review
    assert judged.evidence == [{"method": "place", "verdict": "accept", "reason": ""}]


def test_every_method_needs_an_accept_when_all_are_required() -> None:
    both = session("code", "place", require="all")
    assert not judge(both, [accepts("code"), accepts("place")]).needs_review
    with pytest.raises(Refused) as refused:
        judge(both, [accepts("code"), rejects("place", "outside-area")])
    assert (problem(refused), refused.value.status) == ("outside-area", 422)


@pytest.mark.parametrize("require", ["any", "all"])
def test_a_verifier_that_finds_none_of_its_kind_counts_as_proof_missing(require: Literal["any", "all"]) -> None:
    with pytest.raises(Refused) as refused:
        judge(session("code", require=require), [silent("code")])
    assert problem(refused) == "proof-missing"


@pytest.mark.parametrize("require", ["any", "all"])
@pytest.mark.parametrize("answers", [[fails("code")], []], ids=["failed", "switched off"])
def test_a_verifier_that_fails_or_is_away_lets_the_student_through_for_review(
    answers: list[Answered], require: Literal["any", "all"]
) -> None:
    assert judge(session("code", require=require), answers).needs_review


def test_a_wrong_proof_is_not_made_good_by_another_method_that_fails() -> None:
    with pytest.raises(Refused) as refused:
        judge(session("code", "place"), [rejects("code"), fails("place")])
    assert problem(refused) == "code-wrong"


def test_a_missing_proof_beside_a_failed_verifier_is_left_to_a_person() -> None:
    assert judge(session("code", "place"), [silent("code"), fails("place")]).needs_review


def test_an_accept_beside_a_failure_is_kept_for_review() -> None:
    judged = judge(session("code", "place"), [accepts("code"), fails("place")])
    assert judged.needs_review
    assert [entry["verdict"] for entry in judged.evidence] == ["accept", "review"]


def test_a_doubt_keeps_the_record_and_asks_a_person() -> None:
    assert judge(session("place"), [doubts("place")]).needs_review


def test_a_verifier_beyond_the_methods_can_only_ask_for_a_review() -> None:
    of_code = session("code")
    assert not judge(of_code, [accepts("code"), rejects("place", "outside-area")]).needs_review
    assert judge(of_code, [accepts("code"), doubts("pattern")]).needs_review
    assert judge(of_code, [accepts("code"), fails("pattern")]).needs_review
    with pytest.raises(Refused):
        judge(of_code, [rejects("code"), accepts("place")])


def test_too_many_attempts_comes_first_and_says_when_to_return() -> None:
    answers = [rejects("place", "outside-area"), rejects("code", "too-many-attempts", retry_after=17)]
    with pytest.raises(Refused) as refused:
        judge(session("place", "code"), answers)
    assert (refused.value.status, problem(refused), refused.value.retry_after) == (429, "too-many-attempts", 17)


def test_a_wrong_proof_is_told_before_a_missing_one() -> None:
    with pytest.raises(Refused) as refused:
        judge(session("place", "code", require="all"), [silent("place"), rejects("code", "code-expired")])
    assert problem(refused) == "code-expired"


def test_a_plugins_own_problem_is_told_in_its_own_words() -> None:
    with pytest.raises(Refused) as refused:
        judge(session("badge"), [rejects("badge", "badge-lost", reason="This badge was reported lost.")])
    assert (problem(refused), refused.value.detail) == ("badge-lost", "This badge was reported lost.")


def test_a_session_without_methods_takes_no_check_ins() -> None:
    with pytest.raises(Refused) as refused:
        judge(session(), [accepts("code")])
    assert problem(refused) == "proof-missing"


def test_no_plugin_can_vouch_for_the_method_of_another() -> None:
    forged = Answered("other", accepts("code").value)
    assert judge(session("code"), [forged]).needs_review
    with pytest.raises(Refused):
        judge(session("code"), [forged, rejects("code", "code-wrong")])


def test_a_late_sent_check_in_is_always_reviewed_and_says_so() -> None:
    judged = judge(session("code"), [accepts("code")], offline=True)
    assert judged.needs_review
    assert judged.evidence[-1]["method"] == "late-sent"


def test_without_a_moment_of_its_own_a_check_in_counts_now() -> None:
    assert moment(NOW, None, offline_hours=24).at == NOW


@pytest.mark.parametrize("seconds", [0, 15, 120])
def test_a_phone_whose_clock_is_a_little_ahead_counts_from_now(seconds: int) -> None:
    found = moment(NOW, NOW + timedelta(seconds=seconds), offline_hours=24)
    assert (found.at, found.offline) == (NOW, True)


@pytest.mark.parametrize("seconds", [1, 14, 60])
def test_a_network_that_was_away_for_a_moment_only_was_away(seconds: int) -> None:
    found = moment(NOW, NOW - timedelta(seconds=seconds), offline_hours=24)
    assert (found.at, found.offline) == (NOW - timedelta(seconds=seconds), True)


def test_a_clock_ten_minutes_ahead_is_told_so() -> None:
    with pytest.raises(Refused) as refused:
        moment(NOW, NOW + timedelta(minutes=10), offline_hours=24)
    assert (refused.value.status, problem(refused)) == (422, "occurred-in-future")


def test_a_check_in_made_without_a_network_counts_from_then() -> None:
    then = NOW - timedelta(hours=3)
    found = moment(NOW, then, offline_hours=24)
    assert (found.at, found.offline) == (then, True)


def test_a_check_in_from_too_long_ago_is_refused() -> None:
    assert moment(NOW, NOW - timedelta(hours=24), offline_hours=24).offline
    with pytest.raises(Refused) as refused:
        moment(NOW, NOW - timedelta(hours=24, seconds=1), offline_hours=24)
    assert problem(refused) == "occurred-too-long-ago"


@given(
    late_after=st.integers(0, 240),
    since=st.timedeltas(min_value=timedelta(hours=-2), max_value=timedelta(hours=8)),
)
def test_tardy_begins_right_after_the_last_minute_that_is_in_time(late_after: int, since: timedelta) -> None:
    status, minutes = lateness(session("code", late_after_minutes=late_after), NOW + since)
    if since <= timedelta(minutes=late_after):
        assert (status, minutes) == ("present", None)
    else:
        assert status == "tardy"
        assert minutes is not None
        assert minutes >= 1
        assert minutes in {1, since // timedelta(minutes=1)}


def test_exactly_the_last_moment_is_still_in_time() -> None:
    edge = NOW + timedelta(minutes=5)
    assert lateness(session("code"), edge) == ("present", None)
    assert lateness(session("code"), edge + timedelta(microseconds=1)) == ("tardy", 5)


@given(
    zone=st.sampled_from(["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]),
    day=st.dates(date(2026, 3, 1), date(2026, 11, 10)),
    minutes=st.integers(0, 180),
)
def test_a_clock_change_makes_nobody_late(zone: str, day: date, minutes: int) -> None:
    """Lessons that span a change of clocks: what counts is the time that has really passed."""
    starts = datetime(day.year, day.month, day.day, 1, 30, tzinfo=ZoneInfo(zone))
    arrives = (starts.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(ZoneInfo(zone))
    status, late = lateness(session("code", starts_at=starts.astimezone(UTC), late_after_minutes=90), arrives)
    assert (status, late) == (("present", None) if minutes <= 90 else ("tardy", minutes))
