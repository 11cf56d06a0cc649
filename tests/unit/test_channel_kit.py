"""The conformance kit for channels passes a good one, and fails a bad one for exactly what is bad about it."""

from __future__ import annotations

import inspect
import re
import sys

import pytest
from quart import Response

from homeroom.testing import channel_tests
from tests.hostile_channel.plugin import Hostile
from tests.hostile_channel.simulator import PlainSimulator

TestHonest = channel_tests(Hostile, simulator=PlainSimulator)

BAD = {
    "health finds faults": ("health_is_good_with_good_settings", "although the settings work: Something may be"),
    "health sends": ("health_is_good_with_good_settings", r"health\(\) sent a message"),
    "health says nothing": ("health_names_the_fix_for_a_wrong_secret", "nothing wrong with a wrong api_key"),
    "health has no fix": ("health_names_the_fix_for_a_wrong_secret", "does not say what to do about a wrong api_key"),
    "health raises": ("health_tells_of_a_vendor_that_cannot_be_reached", r"health\(\) raised ConnectError"),
    "health trusts pages": ("health_tells_of_a_vendor_that_cannot_be_reached", "all is well although a page came"),
    "sends twice": ("a_message_is_taken_once", r"one deliver\(\) was 2 messages"),
    "names nothing": ("a_message_is_taken_once", "the vendor calls the message 'plain-1' and the receipt None"),
    "writes in Latin letters": ("the_text_arrives_as_it_was_written", "another text than message.body"),
    "remembers the family before": ("each_family_has_a_message_of_its_own", "addresses of two families"),
    "mixes up": ("each_family_has_a_message_of_its_own", "sent at once were mixed up"),
    "tags the address": ("nothing_but_the_address_and_the_text_leaves", "the address stands in 2 places"),
    "repeats the text": ("nothing_but_the_address_and_the_text_leaves", "the text stands in 2 places"),
    "address in the path": ("nothing_but_the_address_and_the_text_leaves", "in the address or a header of a request"),
    "keeps a reference of its own": ("nothing_but_the_address_and_the_text_leaves", "another reference than"),
    "answers for pigeons": ("another_channels_message_is_not_its_business", r"deliver\(\) answered for a message"),
    "raises for bad addresses": ("an_address_that_is_none_is_answered", "raised Unknown for ''"),
    "tries bad addresses again": ("an_address_that_is_none_is_answered", "would try '' again and again"),
    "gives up when throttled": ("throttling_is_tried_again_later", "'refused' under '429'"),
    "is at a loss when throttled": ("throttling_is_tried_again_later", "raised Unknown after 429"),
    "forgets the wait": ("a_named_wait_is_handed_on", "named 40 s and the receipt says None"),
    "waits itself": ("a_named_wait_is_handed_on", r"slept 40 s in deliver\(\), which may take 15"),
    "tries refusals again": ("a_refusal_is_final", "answered 'retry' for a message that was refused for good"),
    "takes a failure for a yes": ("a_failure_of_the_vendor_loses_no_message", "'accepted' under '500'.*never taken"),
    "takes a page for a yes": ("a_page_in_place_of_an_answer_is_unknown", "'accepted' under 'html'.*never taken"),
    "takes a page for a no": ("a_page_in_place_of_an_answer_is_unknown", "answered 'retry' by a page of HTML"),
    "sends again after a page": ("a_page_in_place_of_an_answer_is_unknown", "sent a message again after an answer"),
    "follows redirects": ("an_outage_is_never_taken_for_an_answer", "it followed a redirect"),
    "takes silence for a no": ("a_message_that_was_taken_without_an_answer_is_unknown", "would hear twice"),
    "takes silence for a yes": ("a_message_that_was_taken_without_an_answer_is_unknown", "without the vendor's word"),
    "sends again after silence": ("a_message_that_was_taken_without_an_answer_is_unknown", "was 2 messages under"),
    "takes a broken line for a no": ("a_message_whose_answer_was_lost_is_unknown", "'retry' under ReadError"),
    "takes silence for a yes, again": ("a_message_whose_answer_was_lost_is_unknown", "'accepted' although ReadError"),
    "takes a proxy for a no": ("a_message_whose_answer_was_lost_is_unknown", "'retry' under 'take-and-break'"),
    "takes half an answer for a no": ("an_answer_that_was_cut_off_is_no_refusal", "'refused' under 'truncated'"),
    "wants a length": ("a_slow_answer_is_waited_for", "raised Unknown for an answer that was only slow"),
    "never tries again": ("a_vendor_that_cannot_be_reached_is_tried_again", "raised Unknown although no connection"),
    "blames the family for its key": ("a_wrong_secret_loses_no_message", "'refused' under a wrong secret"),
    "finds nothing": ("what_was_taken_is_found", "answered NotSent for a message that the vendor has taken"),
    "finds the first": ("what_was_taken_is_found", "found another message"),
    "finds the first, again": ("what_was_not_taken_is_not_found", "took an earlier message"),
    "sends when it is asked": ("what_was_not_taken_is_not_found", "it only asks"),
    "guesses": ("not_sent_is_never_guessed", "answered NotSent although the line breaks"),
    "raises when it is asked": ("not_sent_is_never_guessed", "raised ReadError where the line breaks"),
    "reports the last message": ("callbacks_tell_of_the_right_message", "nothing was reported of 1 of 2"),
    "reports nothing": ("callbacks_tell_of_the_right_message", "nothing was reported of 2 of 2"),
    "is called elsewhere": ("callbacks_tell_of_the_right_message", "told to call elsewhere.example"),
    "asks for no calls": ("callbacks_tell_of_the_right_message", "nothing was called back"),
    "fails when it is called": ("callbacks_tell_of_the_right_message", "as the vendor sends it was answered 500"),
    "checks no signature": ("a_forged_callback_changes_nothing", "with a changed body was believed"),
    "checks signatures that are there": ("a_forged_callback_changes_nothing", "with no signature was believed"),
    "answers forgeries kindly": ("a_forged_callback_changes_nothing", "with a changed body was answered 204"),
    "wants them in order": ("callbacks_out_of_order_and_twice_do_no_harm", "'delivered' was not reported"),
    "takes everything": ("an_oversized_callback_is_refused", "of 8 MiB was answered 200"),
    "reads everything": ("an_oversized_callback_is_refused", "it read 8 MiB of a callback"),
    "hears nobody": ("an_opt_out_is_heard_of_that_address_only", "nobody heard that an address wants no more"),
    "hears everybody": ("an_opt_out_is_heard_of_that_address_only", "heard of other addresses too"),
    "keeps writing to who left": ("an_opt_out_is_heard_of_that_address_only", "'retry' for somebody who opted out"),
    "suppresses everybody": ("suppressions_name_who_opted_out_and_nobody_else", "named 2 addresses after one of two"),
    "knows one name": ("a_second_instance_has_routes_of_its_own", "its routes are at /plugins/plain whatever"),
    "secret in its repr": ("what_is_private_stays_out_of_reprs_logs_errors_and_addresses", "api_key stands in a repr"),
    "secret in the log": ("what_is_private_stays_out_of_reprs_logs_errors_and_addresses", "api_key .*was logged"),
    "secret on paper": ("what_is_private_stays_out_of_reprs_logs_errors_and_addresses", "api_key .*or printed"),
    "secret in an error": (
        "what_is_private_stays_out_of_reprs_logs_errors_and_addresses",
        "api_key stands in an error",
    ),
    "secret in the address": ("what_is_private_stays_out_of_reprs_logs_errors_and_addresses", "address of a request"),
    "address in the log": ("what_is_private_stays_out_of_reprs_logs_errors_and_addresses", "address .*was logged"),
    "address in its answer": ("what_is_private_stays_out_of_reprs_logs_errors_and_addresses", "in what it answered"),
    "text in an error": ("what_is_private_stays_out_of_reprs_logs_errors_and_addresses", "text .*stands in an error"),
    "blocks": ("the_event_loop_is_never_blocked", r"held the event loop for \d+ ms at tests.hostile_channel.plugin:"),
    "deaf": ("a_cancelled_delivery_ends_at_once", "went on after it was cancelled"),
    "takes cancelling for an error": ("a_cancelled_delivery_ends_at_once", "took the cancellation for something else"),
    "answers before it asks": ("a_cancelled_delivery_ends_at_once", "before it had asked the vendor"),
}


@pytest.mark.parametrize("bad", BAD)
def test_the_kit_finds_a_channel_that(bad: str) -> None:
    rule, why = BAD[bad]
    tests = channel_tests(Hostile, simulator=PlainSimulator, settings={"bad": bad.partition(",")[0]})
    with pytest.raises(pytest.fail.Exception, match=why):
        getattr(tests(), f"test_{rule}")()


def test_every_rule_has_a_channel_that_fails_it() -> None:
    rules = {name.removeprefix("test_") for name in dir(TestHonest) if name.startswith("test_")}
    assert rules == {rule for rule, _ in BAD.values()}


def test_every_way_to_be_bad_is_tried() -> None:
    source = inspect.getsource(sys.modules[Hostile.__module__])
    ways = set(re.findall(r'(?:case|self\.bad [!=]=) "([^"]+)"', source))
    assert ways == {bad.partition(",")[0] for bad in BAD}


class Obliging(PlainSimulator):
    """Forgets to misbehave once it has taken a message."""

    async def spoil(self) -> Response | None:
        return None


class Silent(PlainSimulator):
    """Of a vendor that tells nothing by itself, and where nobody can opt out."""

    calls_back = False
    kinds = {kind: why for kind, why in PlainSimulator.kinds.items() if "callbacks" not in kind and kind != "html"}
    opt_out = PlainSimulator.__mro__[1].opt_out  # type: ignore[attr-defined] # as if it had none

    def tell(self, *events: object) -> None:
        pass


def test_a_simulator_that_only_claims_to_misbehave_is_found() -> None:
    tests = channel_tests(Hostile, simulator=Obliging)
    with pytest.raises(pytest.fail.Exception, match=r"misbehaves by 'take-and-hang' and never did.*spoil"):
        tests().test_a_message_that_was_taken_without_an_answer_is_unknown()


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("a_page_in_place_of_an_answer_is_unknown", "its simulator never misbehaves by 'html'"),
        ("callbacks_out_of_order_and_twice_do_no_harm", "its simulator never misbehaves by 'shuffled-callbacks'"),
        ("a_forged_callback_changes_nothing", "its vendor calls nothing back"),
        ("an_opt_out_is_heard_of_that_address_only", "nobody can opt out at its simulator"),
    ],
)
def test_a_rule_that_does_not_apply_is_left_out_aloud(rule: str, why: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=why):
        getattr(channel_tests(Hostile, simulator=Silent)(), f"test_{rule}")()


def test_rules_are_left_out_by_name_and_reason() -> None:
    name = "test_a_refusal_is_final"
    with pytest.raises(pytest.skip.Exception, match="it never refuses"):
        getattr(channel_tests(Hostile, simulator=PlainSimulator, skip={name: "it never refuses"})(), name)()
    with pytest.raises(TypeError, match="no rule test_nothing"):
        channel_tests(Hostile, simulator=PlainSimulator, skip={"test_nothing": "why not"})


def test_a_plugin_that_serves_no_channel_is_not_tested_as_one() -> None:
    class Deaf(Hostile):
        scopes = frozenset()

    with pytest.raises(TypeError, match=r"the scopes of Deaf do not name message.CHANNEL"):
        channel_tests(Deaf, simulator=PlainSimulator)
    with pytest.raises(TypeError, match=r"the scopes of Hostile do not name message.email"):
        channel_tests(Hostile, simulator=PlainSimulator, serves="email")
