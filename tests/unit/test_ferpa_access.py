"""The decision of the plugin ferpa, without a database: what beats what, for every combination of what is on file."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom import AccessRequest, Identity, RoleAt
from homeroom_ferpa.access import decisions
from homeroom_ferpa.access.catalogue import FieldClass, parsed
from homeroom_ferpa.access.directory import Policy
from homeroom_ferpa.access.facts import Child, Consent, Party, is_adult
from homeroom_ferpa.access.ledger import consent_of, exempt_by

GUARDIAN = Identity(subject="p", roles=(RoleAt(role="guardian"),))
RECORDS = st.frozensets(st.sampled_from(decisions.RECORDS), min_size=1)
CONSENTS = st.builds(
    lambda records, purpose: Consent(id="c", student_id="a", records=records, purpose=purpose),
    RECORDS,
    st.sampled_from(("education", "attendance")),
)
CHILDREN = st.builds(
    lambda passed, order, exceptions, consents, as_staff: Child(
        id="a", passed=passed, order=order, exceptions=tuple(exceptions), consents=tuple(consents), as_staff=as_staff
    ),
    st.sampled_from((None, "age", "postsecondary")),
    st.sampled_from((None, "o")),
    st.lists(st.sampled_from((("dependent", "d"), ("emergency", "e"))), max_size=2),
    st.lists(CONSENTS, max_size=2),
    st.booleans(),
)
ACTIONS = st.sampled_from(("student.read", "attendance.history", "class.watch", "guardian.notify", "compliance.family"))


def asked(action: str = "student.read", **more: Any) -> AccessRequest:
    values: dict[str, Any] = {"identity": GUARDIAN, "student_ids": frozenset({"a"}), **more}
    return AccessRequest(action=action, **values)


@given(CHILDREN, ACTIONS)
def test_an_order_beats_all_but_staff_and_a_transfer_all_but_what_is_on_file(child: Child, action: str) -> None:
    request = asked(action)
    decision = decisions.for_family(request, {"a": child})
    covered = any(one.covers(decisions.records_of(request), request.purpose) for one in child.consents)
    expected = child.as_staff or (child.order is None and (child.passed is None or bool(child.exceptions) or covered))
    assert decision.allow is expected
    assert decision.basis
    assert decision.allow or decision.reason


@given(CHILDREN, ACTIONS)
def test_a_list_leaves_out_exactly_whom_a_request_by_name_would_be_denied(child: Child, action: str) -> None:
    named = decisions.for_family(asked(action), {"a": child})
    listed = decisions.for_family(asked(action, student_ids=frozenset()), {"a": child})
    assert listed.allow
    assert ("a" in listed.without) is not named.allow


@given(st.lists(CONSENTS, max_size=3), st.booleans(), RECORDS)
def test_a_party_gets_nothing_that_neither_agreement_nor_consent_names(
    consents: list[Consent],
    official: bool,  # noqa: FBT001 - drawn
    categories: frozenset[str],
) -> None:
    request = asked("data.handed_out", fields=("given_name", "status"))
    on_file = Party(official="o" if official else None, categories=categories, consents=tuple(consents))
    decision = decisions.for_party(request, on_file, "notice")
    wanted = {"roster", "attendance"}
    by_agreement = official and ("all" in categories or wanted <= categories)
    by_consent = any(one.purpose == "education" and ("all" in one.records or wanted <= one.records) for one in consents)
    assert decision.allow is (by_agreement or by_consent)
    assert (decision.notice == "notice") is decision.allow
    both = replace(request, student_ids=request.student_ids | {"somebody-else"}, in_part=True)
    in_part = decisions.for_party(both, on_file, "notice")
    assert in_part.allow is decision.allow
    assert in_part.without == ({"somebody-else"} if by_consent and not by_agreement else frozenset())
    assert decisions.for_party(replace(both, in_part=False), on_file, "notice").allow is by_agreement


@given(st.dates(date(1990, 1, 1), date(2020, 12, 31)), st.dates(date(2000, 1, 1), date(2040, 12, 31)))
def test_somebody_is_of_age_from_one_day_on_and_stays_so(born: date, today: date) -> None:
    year = born.year + 18
    try:
        birthday = born.replace(year=year)
    except ValueError:
        birthday = date(year, 3, 1)
    assert is_adult(born.isoformat(), today) is (today >= birthday)


@given(
    st.none() | st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    st.none() | st.dates(date(2026, 1, 1), date(2026, 12, 31)),
    st.dates(date(2026, 1, 1), date(2026, 12, 31)),
)
def test_nothing_is_released_before_notice_and_the_whole_opt_out_period(
    notice: date | None, until: date | None, today: date
) -> None:
    policy = Policy(items=("name",), notice_on=notice, opt_out_until=until)
    open_now = notice is not None and until is not None and notice <= today and until < today
    assert (policy.refusal("x", "y", today) is None) is open_now
    later = today + timedelta(days=1)
    assert not open_now or policy.refusal("x", "y", later) is None


@pytest.mark.parametrize(
    ("basis", "exempt", "consent"),
    [
        ("99.31(a)(1)(i)(B):o1", "own school official", None),
        ("99.31(a)(1)(i)(A)", "own school official", None),
        ("99.30:c1,c2", "party with consent", "c1,c2"),
        ("99.10", "parent or eligible student", None),
        ("99.31(a)(10):s1", None, None),
        ("no ground on file", None, None),
    ],
)
def test_a_basis_says_whether_the_entry_is_part_of_the_record(
    basis: str, exempt: str | None, consent: str | None
) -> None:
    assert exempt_by(basis) == exempt
    assert consent_of(basis) == consent


def test_an_unknown_field_or_action_counts_as_everything() -> None:
    assert decisions.records_of(asked("data.handed_out", fields=("shoe_size",))) == {"all"}
    gone = asked("data.handed_out", fields=("attendance.recorded", "enrollment.added", "shoes.bought"))
    assert decisions.records_of(gone) == {"attendance", "roster", "all"}
    assert decisions.records_of(asked("compliance.family")) == {"all"}


def test_the_catalogues_form_is_read_as_it_is_written() -> None:
    found = parsed("pets O: id | N: name\n     | X: age weight")
    assert found["pets.name"] is FieldClass.NAME
    assert found["pets.age"] is found["pets.weight"] is FieldClass.INDIRECT
