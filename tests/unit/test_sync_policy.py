"""Which of three versions holds: the comparison, the rules of a district, and what they look like in its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.field_policy import KEYS, FieldPolicy, Rule, UnknownKey, UnknownRule, checked
from homeroom.records import Conflict, Noun, Resolution
from homeroom.settings import SettingsError, load_settings
from homeroom.sync.merge import is_somebody_else
from homeroom.sync.policy import Judge, as_text, compare, from_text, ruled

VALUES = st.one_of(st.none(), st.sampled_from(["", "a", "b", "c"]), st.booleans(), st.lists(st.sampled_from("ab")))
RULES: st.SearchStrategy[Rule] = st.sampled_from(["sis", "ours", "newest", "ask"])
MOMENTS = st.one_of(st.none(), st.sampled_from(["2026-09-01T00:00:00.000000Z", "2026-09-02T00:00:00.000000Z"]))


VERSIONS = st.tuples(VALUES, VALUES, VALUES)
DECIDING = st.tuples(RULES, MOMENTS, MOMENTS)


def _merge(base: Any, ours: Any, theirs: Any, deciding: tuple[Rule, str | None, str | None]) -> Any:
    """The value that a field holds afterwards."""
    rule, modified, edited_at = deciding
    verdict = compare(base, ours, theirs)
    if verdict == "clash":
        verdict = "theirs" if ruled(rule, modified=modified, edited_at=edited_at) == "theirs" else "ours"
    return theirs if verdict == "theirs" else ours


@given(VERSIONS, DECIDING)
def test_merging_again_what_was_merged_changes_nothing(versions: tuple[Any, Any, Any], deciding: Any) -> None:
    base, ours, theirs = versions
    once = _merge(base, ours, theirs, deciding)
    assert _merge(base, once, theirs, deciding) == once
    assert _merge(theirs, once, theirs, deciding) == once  # the source has been heard by then


@given(VALUES, VALUES)
def test_sides_that_agree_never_clash(base: Any, both: Any) -> None:
    assert compare(base, both, both) == "same"


@given(VALUES, VALUES)
def test_a_side_that_has_not_moved_never_clashes(base: Any, moved: Any) -> None:
    assert _merge(base, moved, base, ("ask", None, None)) == moved
    assert _merge(base, base, moved, ("ask", None, None)) == moved


@given(VALUES, VALUES, VALUES)
def test_where_both_have_moved_the_rule_sis_ends_equal_to_theirs_and_ours_equal_to_ours(
    base: Any, ours: Any, theirs: Any
) -> None:
    if compare(base, ours, theirs) == "clash":
        assert _merge(base, ours, theirs, ("sis", None, None)) == theirs
        assert _merge(base, ours, theirs, ("ours", None, None)) == ours


@given(VERSIONS, DECIDING)
def test_nothing_holds_that_neither_side_has_said(versions: tuple[Any, Any, Any], deciding: Any) -> None:
    base, ours, theirs = versions
    assert _merge(base, ours, theirs, deciding) in (ours, theirs)


def test_the_newest_is_whoever_changed_last_and_unknown_moments_are_asked_about() -> None:
    early, late = "2026-09-01T00:00:00.000000Z", "2026-09-02T00:00:00.000000Z"
    assert ruled("newest", modified=late, edited_at=early) == "theirs"
    assert ruled("newest", modified=early, edited_at=late) == "ours"
    assert ruled("newest", modified=None, edited_at=late) is None
    assert ruled("newest", modified=late, edited_at=None) is None


def test_a_precise_key_goes_before_a_noun_and_a_noun_before_everything() -> None:
    policy = FieldPolicy({"user.email": "sis", "user.*": "ours", "*": "newest"})

    assert policy.rule("user", "email") == "sis"
    assert policy.rule("user", "phone") == "ours"
    assert policy.rule("enrollment", "begins_on") == "newest"
    assert policy.rule("class", "title") == "newest"  # a wide rule of the district is wider than any default


@pytest.mark.parametrize(
    ("noun", "field", "rule"),
    [
        ("user", "birth_date", "ask"),
        ("user", "preferred_given_name", "ask"),
        ("user", "ended", "sis"),
        ("enrollment", "ends_on", "ask"),
        ("enrollment", "ended", "ask"),
        ("class", "title", "sis"),
        ("academicSession", "ends_on", "sis"),
    ],
)
def test_by_default_people_and_enrolments_are_asked_about_and_the_rest_is_the_sources(
    noun: Noun, field: str, rule: Rule
) -> None:
    assert FieldPolicy().rule(noun, field) == rule
    assert FieldPolicy({"user.email": "sis"}).rule(noun, field) == rule


def test_every_field_of_every_noun_can_be_named() -> None:
    assert {"user.email", "user.roles", "enrollment.ends_on", "class.*", "org.ended", "*"} <= set(KEYS)
    assert "user.sourced_id" not in KEYS
    assert checked(dict.fromkeys(KEYS, "ask")).keys() == set(KEYS)


def test_keys_may_be_nested_and_in_any_case() -> None:
    assert checked({"user": {"Email": "sis"}, "ACADEMICSESSION.*": "ours"}) == {
        "user.email": "sis",
        "academicSession.*": "ours",
    }


def test_an_unknown_key_is_told_with_the_nearest_one() -> None:
    with pytest.raises(UnknownKey) as caught:
        FieldPolicy({"user.emial": "sis"})
    assert caught.value.close == "user.email"
    with pytest.raises(UnknownRule, match=r"user\.email is to be one of sis, ours, newest, ask"):
        FieldPolicy({"user.email": "always"})  # type: ignore[dict-item]  # what the test is about


def test_the_settings_take_a_policy_and_tell_a_wrong_key_with_the_fix(tmp_path: Path) -> None:
    file = tmp_path / "homeroom.toml"
    file.write_text('[sync.policy]\n"user.email" = "sis"\nenrollment.ends_on = "ours"\n')
    loaded = load_settings(file, {})
    assert loaded.sync.policy == {"user.email": "sis", "enrollment.ends_on": "ours"}
    by_name = load_settings(file, {"HOMEROOM__SYNC__POLICY__USER__PHONE": "newest"})
    assert by_name.sync.policy["user.phone"] == "newest"

    file.write_text('[sync.policy]\n"user.birthdate" = "sis"\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(file, {})
    [problem] = caught.value.problems
    assert (problem.field, problem.message) == ("sync.policy", "there is no field user.birthdate")
    assert problem.fix == "Did you mean user.birth_date?"
    file.write_text('[sync.policy]\n"user.email" = "no"\n')
    with pytest.raises(SettingsError, match="is to be one of"):
        load_settings(file, {})


@pytest.mark.parametrize(
    ("noun", "field", "value", "text"),
    [
        ("user", "given_name", "Ana", "Ana"),
        ("user", "preferred_given_name", None, None),
        ("user", "grades", ["09", "10"], "09, 10"),
        ("user", "grades", [], ""),
        ("user", "enabled", False, "false"),
        ("user", "birth_date", "2012-01-02", "2012-01-02"),
        ("academicSession", "school_year", 2027, "2027"),
    ],
)
def test_a_value_reads_back_as_it_was_told(noun: Noun, field: str, value: Any, text: str | None) -> None:
    assert as_text(value) == text
    assert from_text(noun, field, text) == value


@pytest.mark.parametrize(
    ("noun", "field", "text"),
    [
        ("user", "enabled", "perhaps"),
        ("user", "birth_date", "2.1.2012"),
        ("user", "family_name", ""),
        ("user", "roles", "teacher"),
        ("class", "school", "s1"),
        ("academicSession", "ends_on", None),
    ],
)
def test_a_text_that_is_no_value_of_the_field_is_refused(noun: Noun, field: str, text: str | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_text(noun, field, text)


TOLD = Conflict(noun="user", sourced_id="ana", field="given_name", base="Ana", ours="Anna", theirs="Anne")


@pytest.mark.parametrize(
    ("answer", "chosen", "value"),
    [
        ("Anna", "ours", "Anna"),
        ("Anne", "theirs", "Anne"),
        ("Annika", "value", "Annika"),
        ("", None, "Anna"),  # nobody's name is empty, so this is no answer
    ],
)
def test_a_plugins_answer_holds_when_it_is_a_value_of_the_field(answer: str, chosen: str | None, value: str) -> None:
    judge = Judge(policy=FieldPolicy(), answers={TOLD: Resolution(value=answer, reason="so it is")})

    clash = judge.decide(TOLD, ("Ana", "Anna", "Anne"))

    assert (clash.chosen, clash.value) == (chosen, value)
    assert clash.who == ("plugin" if chosen else None)


def test_a_rule_is_heard_before_any_plugin() -> None:
    judge = Judge(policy=FieldPolicy({"user.given_name": "sis"}), answers={})

    clash = judge.decide(TOLD, ("Ana", "Anna", "Anne"))

    assert (clash.chosen, clash.who, clash.why) == ("theirs", "policy", "the rule for user.given_name is sis")
    assert judge.unasked == []


def test_an_answer_to_other_versions_does_not_hold() -> None:
    earlier = Conflict(noun="user", sourced_id="ana", field="given_name", base="Ana", ours="Anna", theirs="Anja")
    judge = Judge(policy=FieldPolicy(), answers={earlier: Resolution(value="Anja", reason="so it is")})

    assert judge.decide(TOLD, ("Ana", "Anna", "Anne")).chosen is None
    assert judge.unasked == [TOLD]


def test_no_version_of_a_conflict_stands_in_its_repr() -> None:
    clash = Judge(policy=FieldPolicy()).decide(TOLD, ("Ana", "Anna", "Anne"))

    assert "Ann" not in repr(TOLD) + repr(clash) + repr(Resolution(value="Anna", reason="Anna's mother called"))


def test_a_married_name_or_a_new_number_is_the_same_person_and_all_of_it_is_not() -> None:
    ana = {"given_name": "Ana", "family_name": "Ruiz", "birth_date": "2012-01-02", "identifier": "7"}

    assert not is_somebody_else(ana, {**ana, "family_name": "Cole"})
    assert not is_somebody_else(ana, {**ana, "identifier": "8", "given_name": "Anna"})
    assert not is_somebody_else(ana, {"given_name": "Bo", "family_name": "Cole"})  # nothing else can be compared
    assert is_somebody_else(ana, {**ana, "given_name": "Bo", "family_name": "Cole", "birth_date": "2013-03-04"})
    assert is_somebody_else(ana, {**ana, "given_name": "Bo", "family_name": "Cole", "identifier": "8"})
