"""The conformance kit for connectors passes a good one, and fails a bad one for exactly what is bad about it."""

from __future__ import annotations

import pytest

from homeroom import SisConnector
from homeroom.store import Store
from homeroom.sync import RunResult, release, run
from homeroom.testing import connector_tests
from tests.hostile_connector.plugin import Hostile
from tests.hostile_connector.simulator import PlainSimulator

TestHonest = connector_tests(Hostile, simulator=PlainSimulator)

BAD = {
    "check finds faults": ("check_finds_nothing_with_good_settings", "although the settings work: Something may be"),
    "check says nothing": ("check_names_the_fix_for_a_wrong_secret", "nothing wrong with a wrong client_secret"),
    "check raises": ("check_names_the_fix_when_nobody_answers", r"check\(\) raised SourceError"),
    "check has no fix": ("check_tells_an_outage", "down for maintenance but not what to do"),
    "nouns out of order": ("what_it_reads_and_writes_is_stated", "in the order of NOUNS"),
    "gives the wrong noun": ("each_noun_gives_its_own_records", r"pull\(user\) gave records of the type Org"),
    "makes up ids": ("ids_are_stable_and_unique", "ids of enrollment differ between two readings"),
    "gives an id twice": ("ids_are_stable_and_unique", "user ids came twice"),
    "names strangers": ("references_resolve", "enrollment.user names a user that was not read"),
    "counts wrongly": (
        "counts_agree_with_what_was_read",
        r"the pages say \[\d+\] in all and hold \d",
    ),
    "forgets its place": ("reading_resumes_at_every_checkpoint", "on from the cursor of page 1 gave"),
    "has no cursor": ("reading_resumes_at_every_checkpoint", "page 1 of .* has no cursor"),
    "misreads dates": ("asking_for_changes_leaves_nothing_out", "leaves out"),
    "changes each time": ("a_second_run_changes_nothing", "changed [1-9]"),
    "counts wrongly, again": ("what_is_gone_ends_and_what_returns_is_restored", "and 0 records ended .*counts"),
    "hides what comes twice": (
        "rows_that_move_remove_nobody",
        "enrollment records ended after rows moved",
    ),
    "gives up": ("throttling_loses_nobody", "the run under '429' did not end"),
    "hurries": ("a_named_wait_is_kept", "asked again after 0 s although Retry-After named 40 s"),
    "gives up, again": ("failures_lose_nobody", "the run under '500' did not end"),
    "keeps its token": ("the_end_of_a_token_loses_nobody", "'token-expiry' did not end: .*token"),
    "takes a failure for nothing": ("an_outage_removes_nobody", "a run during an outage did not fail"),
    "takes a failure for nothing, again": ("an_answer_that_was_cut_off_loses_nobody", "under 'truncated'"),
    "wants a length": ("a_slow_answer_loses_nobody", "are missing after a run under 'slow-drip'"),
    "trusts no other clock": ("another_clock_loses_nobody", "the run under 'clock-skew' did not end"),
    "knows no other field": ("an_unknown_field_does_no_harm", "are missing after a run under 'unknown-field'"),
    "expects every field": ("a_missing_optional_field_does_no_harm", "are missing after a run under 'removed-field'"),
    "secret in its repr": ("secrets_stay_out_of_reprs_logs_errors_and_addresses", "client_secret stands in a repr"),
    "secret in the address": ("secrets_stay_out_of_reprs_logs_errors_and_addresses", "stands in"),
    "secret in the log": ("secrets_stay_out_of_reprs_logs_errors_and_addresses", "in what was logged"),
    "secret on paper": ("secrets_stay_out_of_reprs_logs_errors_and_addresses", "in what was logged or printed"),
    "secret in an error": ("secrets_stay_out_of_reprs_logs_errors_and_addresses", "stands in an error"),
    "blocks": ("the_event_loop_is_never_blocked", r"held the event loop for \d+ ms at tests.hostile_connector.plugin:"),
    "deaf": ("a_cancelled_read_ends_at_once", "read on after it was cancelled"),
    "takes cancelling for an error": ("a_cancelled_read_ends_at_once", "took the cancellation for something else"),
    "forgets an answer": ("every_mark_has_its_own_answer", "was given 4 marks and gave 3 answers"),
    "takes anybody": ("every_mark_has_its_own_answer", "a mark for an unknown student was taken"),
    "writes each time anew": ("the_same_mark_twice_is_one_record", "3 marks that were sent twice are 6 records"),
    "writes each time anew, again": ("a_mark_whose_answer_was_lost_is_one_record", "sent twice are [4-9] records"),
    "overwrites blindly": ("a_value_that_somebody_else_changed_is_not_overwritten", "had set was overwritten"),
    "is silent about changes": ("a_value_that_somebody_else_changed_is_not_overwritten", "does not say why"),
    "never overwrites": ("a_value_that_somebody_else_changed_is_not_overwritten", "overwrite=True was not written"),
    "does not say what is held": ("a_value_that_somebody_else_changed_is_not_overwritten", "Pushed.held is None"),
    "gives up, once more": ("a_throttled_mark_arrives", "a good mark was not taken: .*slow down"),
}


PAGES = {"hides what comes twice": 36, "keeps its token": 10}
UNGUARDED = {
    "ends what it misses": ("an_empty_answer_removes_nobody", "user records ended after empty answers"),
    "gives no total": ("half_an_answer_removes_nobody", "records ended after lists that ended in the middle"),
    "hides what comes twice": ("a_repeated_page_removes_nobody", "records ended after a page came twice"),
}


def fails(bad: str, rule: str, why: str) -> None:
    kind = bad.partition(",")[0]
    settings = {"bad": kind, "page_size": PAGES.get(kind, 20)}
    tests = connector_tests(Hostile, simulator=PlainSimulator, settings=settings)
    with pytest.raises(pytest.fail.Exception, match=why):
        getattr(tests(), f"test_{rule}")()


@pytest.mark.parametrize("bad", BAD)
def test_the_kit_finds_a_connector_that(bad: str) -> None:
    fails(bad, *BAD[bad])


@pytest.mark.parametrize("bad", UNGUARDED)
def test_the_kit_finds_what_only_the_engines_guard_would_stop(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def waved_through(store: Store, name: str, connector: SisConnector) -> RunResult:
        result = await run(store, name, connector)
        return await release(store, result.run_id, connector, by="nobody") if result.status == "held" else result

    monkeypatch.setattr("homeroom.testing.connector_kit.subject.sync", waved_through)
    fails(bad, *UNGUARDED[bad])


def test_every_rule_has_a_connector_that_fails_it() -> None:
    rules = {name.removeprefix("test_") for name in dir(TestHonest) if name.startswith("test_")}
    assert rules == {rule for rule, _ in (*BAD.values(), *UNGUARDED.values())}
