"""Addresses as they are sent to, and what was said of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.notify import consent
from homeroom.notify.addresses import kinds_for, lookup, normal
from homeroom.notify.consent import refusal
from homeroom.store import Store
from homeroom.store import models as m
from homeroom.store.cipher import Cipher
from homeroom.types import AddressNews

NUMBER = "+12125550100"


@pytest.mark.parametrize(
    "written",
    [
        *("(212) 555-0100", "212.555.0100", "+1 212 555 0100", "1-212-555-0100", " 2125550100 ", "tel:+1-212-555-0100"),
        *("\u0662\u0661\u0662\u0665\u0665\u0665\u0660\u0661\u0660\u0660",),
    ],
)
def test_a_number_has_one_form_however_it_is_written(written: str) -> None:
    assert normal("sms", written) == NUMBER
    assert normal("voice", written) == NUMBER


@pytest.mark.parametrize(
    "written", ["", "none", "555-0100", "911", "212555010", "21255501000000", "+1 212 555 010", "0012125550100", "n/a"]
)
def test_what_cannot_be_dialled_from_everywhere_is_no_number(written: str) -> None:
    assert normal("sms", written) is None


def test_a_number_with_an_extension_is_a_switchboard_and_not_somebody_s_own() -> None:
    assert normal("sms", "(212) 555-0100 x12") is None
    assert normal("sms", "212-555-0100 ext. 4") is None


def test_a_number_without_a_country_code_is_of_the_district_s_region() -> None:
    assert normal("sms", "020 7946 0958", "GB") == "+442079460958"
    assert normal("sms", "+44 20 7946 0958", "US") == "+442079460958"


@pytest.mark.parametrize("written", ["mother@example.org", "m.o+school@mail.example.org", "jos\u00e9@example.org"])
def test_an_e_mail_address_stays_as_it_is_written(written: str) -> None:
    assert normal("email", f" {written}\n") == written


@pytest.mark.parametrize(
    "written",
    [
        *("mother", "mother@example", "a@b@example.org", "a b@example.org", "<mother@example.org>", "@example.org"),
        *("mother@example.org, father@example.org", "a@example.org\r\nBcc: b@example.org", "a\x00b@example.org"),
        *("x" * 65 + "@example.org", "a@" + ".".join(["x" * 60] * 5) + ".org", "mother@-example.org"),
    ],
)
def test_what_would_be_more_or_less_than_one_address_is_none(written: str) -> None:
    assert normal("email", written) is None


@given(st.sampled_from(["sms", "voice", "email"]), st.text(max_size=40))
def test_whatever_is_written_is_an_address_or_none_and_an_address_stays_one(channel: str, written: str) -> None:
    found = normal(channel, written)
    assert found is None or normal(channel, found) == found


def test_a_number_not_known_to_take_texts_is_tried_only_where_the_district_says_so() -> None:
    assert kinds_for("sms", text_phones=False) == ("sms",)
    assert kinds_for("sms", text_phones=True) == ("sms", "phone")
    assert kinds_for("post", text_phones=True) == ("post",)


@pytest.mark.parametrize(
    ("told", "first", "why"),
    [
        ({}, [], None),
        ({}, ["sms"], "no_consent"),
        ({"": "given"}, ["sms"], None),
        ({"attendance": "given"}, ["sms"], None),
        ({"news": "given"}, ["sms"], "no_consent"),
        ({"": "withdrawn", "attendance": "given"}, [], "opted_out"),
        ({"": "given", "attendance": "withdrawn"}, [], "opted_out"),
        ({"news": "withdrawn"}, [], None),
        ({"": "unreachable"}, [], "unreachable"),
        ({"": "unreachable", "attendance": "withdrawn"}, [], "opted_out"),
    ],
)
def test_a_refusal_beats_every_consent(told: dict[str, consent.State], first: list[str], why: str | None) -> None:
    assert refusal(told, "sms", "attendance", first) == why


def heard(store: Store, news: str, address: str = NUMBER, channel: str = "sms") -> bool:
    told = AddressNews(channel=channel, address=address, news=news)  # type: ignore[arg-type]
    return store.write_now(lambda tx: consent.hear(tx, told, source="vendor"))


def known(store: Store, *addresses: str, channel: str = "sms") -> list[dict[str, str]]:
    said = store.read_now(lambda c: consent.said(c, channel, addresses))
    return [dict(said.get(one, {})) for one in addresses]


def test_what_is_said_holds_for_that_address_on_that_channel_only(store: Store) -> None:
    assert heard(store, "opted_out")
    assert known(store, NUMBER, "+12125550101") == [{"": "withdrawn"}, {}]
    assert known(store, NUMBER, channel="voice") == [{}]


def test_the_same_thing_said_twice_is_news_once(store: Store) -> None:
    assert [heard(store, "opted_out"), heard(store, "opted_out")] == [True, False]
    kinds = store.read_now(lambda c: c.values(m.Journal.select(m.Journal.kind).order_by(m.Journal.id)))
    assert kinds == ["consent.withdrawn"]


def test_a_start_takes_back_a_stop_but_no_refusal_of_one_purpose(store: Store) -> None:
    store.write_now(lambda tx: consent.say(tx, "sms", NUMBER, "withdrawn", purpose="news", source="person"))
    heard(store, "opted_out")
    heard(store, "opted_in")
    assert known(store, NUMBER) == [{"": "given", "news": "withdrawn"}]


def test_a_number_that_does_not_exist_takes_back_no_stop(store: Store) -> None:
    heard(store, "opted_out")
    assert not heard(store, "unreachable")
    assert known(store, NUMBER) == [{"": "withdrawn"}]


def test_what_is_no_address_says_nothing(store: Store) -> None:
    assert not heard(store, "opted_out", "911")


def test_an_opt_out_holds_for_every_spelling_of_an_address(store: Store) -> None:
    heard(store, "opted_out", "Mother@Example.org", channel="email")
    spellings = ("mother@example.org", "MOTHER@EXAMPLE.ORG", "Mother@Example.org")
    assert known(store, *spellings, channel="email") == [{"": "withdrawn"}] * 3


def test_an_opt_out_outlives_a_new_key_and_can_be_taken_back_under_it(sqlite_url: str) -> None:
    old, new = bytes(range(32)), bytes(range(1, 33))
    with Store(sqlite_url, cipher=Cipher([old])) as store:
        heard(store, "opted_out")
        store.write_now(lambda tx: consent.say(tx, "sms", NUMBER, "withdrawn", purpose="news", source="person"))
    with Store(sqlite_url, cipher=Cipher([new, old])) as store:
        assert known(store, NUMBER) == [{"": "withdrawn", "news": "withdrawn"}]
        heard(store, "opted_in")
        assert known(store, NUMBER) == [{"": "given", "news": "withdrawn"}]
        store.write_now(lambda tx: consent.say(tx, "sms", NUMBER, "given", purpose="news", source="person"))
        assert known(store, NUMBER) == [{"": "given", "news": "given"}]


def test_no_address_is_kept_in_clear(store: Store) -> None:
    heard(store, "opted_out")
    ((kept,),) = store.read_now(lambda c: c.sql("SELECT lookup FROM notification_consents"))
    assert kept == lookup(store.cipher, "sms", NUMBER)
    assert "2125550100" not in kept
