"""Who is told and who is not: custody, access, dates, consent, addresses, wishes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from homeroom.notify import consent
from homeroom.notify.addresses import normal
from homeroom.notify.audience import REASONS, Book, Recipient, Wanted
from homeroom.roster.people import add_contact, remove_contact
from homeroom.store import Transaction
from homeroom.store import models as m
from homeroom.types import AddressNews
from tests.services.families import TODAY, Families, number_of, settings
from tests.services.roll import at_hour, marked_on, school, texts

YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)


async def told_of_ann(families: Families) -> dict[str, str]:
    """Ann is absent; what became of the message to each person: its channel, or why there is none."""
    families.rule("absence", delay_minutes=0)
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.move(1)
    return outcome(families)


def outcome(families: Families) -> dict[str, str]:
    return {
        row.recipient_id: str(row.channel if row.state == "accepted" else row.reason) for row in families.messages()
    }


def link(families: Families, guardian: str, **values: Any) -> None:
    families.set(m.Guardianship, values, m.Guardianship.guardian_id == guardian)


def contact(families: Families, person: str, kind: Any, value: str) -> None:
    families.store.write_now(lambda tx: add_contact(tx, person, kind, value))


def forget(families: Families, person: str, kind: Any, value: str) -> None:
    assert families.store.write_now(lambda tx: remove_contact(tx, person, kind, value))


def wish(families: Families, person: str, *, language: str | None = None, channels: Sequence[str] = ()) -> None:
    families.store.write_now(
        lambda tx: tx.insert(
            m.NotificationPreference, user_id=person, language=language, channels=list(channels), changed_at=tx.now
        )
    )


def heard(families: Families, news: Any, address: str, channel: str = "sms") -> None:
    said = AddressNews(channel=channel, address=address, news=news)
    families.store.write_now(lambda tx: consent.hear(tx, said, source="vendor"))


# Custody, access, dates


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"blocked": True}, "blocked"),
        ({"data_access": False}, "no_access"),
        ({"notify": False}, "not_wanted"),
        ({"begins_on": TOMORROW}, "not_now"),
        ({"ends_on": TODAY}, "not_now"),
        ({"blocked": True, "data_access": True, "notify": True, "ends_on": TODAY}, "blocked"),
        ({"data_access": False, "notify": False}, "no_access"),
    ],
)
async def test_a_guardian_who_may_not_know_is_not_told_and_it_says_why(
    families: Families, values: dict[str, Any], why: str
) -> None:
    families.student("ann", "mother", "father")
    link(families, "father", **values)
    assert await told_of_ann(families) == {"mother": "sms", "father": why}
    assert why in REASONS
    assert [message.to for message in families.vendor.taken] == [normal("sms", number_of("mother"))]


async def test_a_guardianship_holds_from_its_first_day_to_before_its_last(families: Families) -> None:
    families.student("ann", "mother", "father")
    link(families, "mother", begins_on=TODAY, ends_on=TOMORROW)
    link(families, "father", begins_on=YESTERDAY, ends_on=TODAY)
    assert await told_of_ann(families) == {"mother": "sms", "father": "not_now"}


async def test_a_guardianship_ends_by_the_school_s_calendar_and_not_by_that_of_london(families: Families) -> None:
    families.student("ann", "mother")
    link(families, "mother", ends_on=TOMORROW)
    families.rule("absence", delay_minutes=0, until="23:00")
    await families.tick()
    at_hour(families, 0, 30, day=TOMORROW)  # half past eight in the evening of today in New York
    families.mark(families.open(hour=13), ann="absent")
    await families.move(5)
    assert outcome(families) == {"mother": "sms"}


async def test_a_link_that_has_ended_tells_nobody(families: Families) -> None:
    families.student("ann", "mother", "father")
    link(families, "father", ended=True)
    assert await told_of_ann(families) == {"mother": "sms"}


async def test_who_has_left_or_is_switched_off_is_not_told(families: Families) -> None:
    families.student("ann", "mother", "father", "aunt")
    families.set(m.User, {"ended": True}, m.User.id == "father")
    families.set(m.User, {"enabled": False}, m.User.id == "aunt")
    assert await told_of_ann(families) == {"mother": "sms", "father": "left", "aunt": "left"}


async def test_a_block_holds_whatever_else_somebody_is_to_the_school(families: Families) -> None:
    families.student("ann", "mother")
    families.store.write_now(
        lambda tx: tx.insert(m.Guardianship, guardian_id="teacher", student_id="ann", blocked=True, changed_at=tx.now)
    )
    families.rule("absence", delay_minutes=0, audience=["teacher", "office"])
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.move(1)
    assert outcome(families) == {"teacher": "blocked", "principal": "email"}


async def test_an_address_that_a_blocked_guardian_has_too_is_not_used(families: Families) -> None:
    families.student("ann", "mother", "father")
    link(families, "father", blocked=True)
    contact(families, "father", "phone", number_of("mother"))
    assert await told_of_ann(families) == {"mother": "email", "father": "blocked"}
    assert [message.to for message in families.vendor.taken] == ["mother@example.org"]


async def test_where_a_blocked_guardian_would_read_everything_nothing_is_sent(families: Families) -> None:
    families.student("ann", "mother", "father")
    link(families, "father", blocked=True)
    contact(families, "father", "sms", number_of("mother"))
    contact(families, "father", "email", "MOTHER@example.org")
    assert await told_of_ann(families) == {"mother": "blocked_address", "father": "blocked"}
    assert families.sent() == []


async def test_a_block_for_one_child_leaves_the_other_alone(families: Families) -> None:
    families.student("ann", "mother", "father")
    families.student("bob", "mother", "father")
    families.set(
        m.Guardianship,
        {"blocked": True},
        (m.Guardianship.guardian_id == "father") & (m.Guardianship.student_id == "ann"),
    )
    families.rule("absence", delay_minutes=0)
    await families.tick()
    families.mark(families.open(), ann="absent", bob="absent")
    await families.move(1)
    found = {(row.student_id, row.recipient_id): row.state for row in families.messages()}
    assert found == {
        ("ann", "mother"): "accepted",
        ("ann", "father"): "withheld",
        ("bob", "mother"): "accepted",
        ("bob", "father"): "accepted",
    }
    assert all("Bob" in text for to, text in families.sent() if to == normal("sms", number_of("father")))


async def test_a_block_that_comes_while_a_message_waits_holds(families: Families) -> None:
    families.student("ann", "mother", "father")
    families.rule("absence", delay_minutes=0)
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.notifier.look()
    link(families, "father", blocked=True)
    await families.tick()
    assert outcome(families) == {"mother": "sms", "father": "blocked"}


# Consent and addresses


async def test_an_opt_out_on_one_address_leaves_the_other_channel(families: Families) -> None:
    families.student("ann", "mother")
    heard(families, "opted_out", number_of("mother"))
    assert await told_of_ann(families) == {"mother": "email"}


async def test_who_wants_nothing_anywhere_gets_nothing(families: Families) -> None:
    families.student("ann", "mother")
    heard(families, "opted_out", number_of("mother"))
    heard(families, "opted_out", "mother@example.org", "email")
    assert await told_of_ann(families) == {"mother": "opted_out"}


async def test_an_opt_out_from_one_purpose_leaves_the_others(families: Families) -> None:
    families.student("ann", "mother")
    address = normal("sms", number_of("mother")) or ""
    families.store.write_now(
        lambda tx: consent.say(tx, "sms", address, "withdrawn", purpose="progress", source="person")
    )
    families.rule("absence", delay_minutes=0, channels=["sms"], purpose="progress")
    assert await told_of_ann(families)
    by_purpose = {row.purpose: (row.state, row.reason) for row in families.messages()}
    assert by_purpose == {"progress": ("withheld", "opted_out"), "attendance": ("accepted", None)}


async def test_a_number_that_two_people_share_is_silent_for_both(families: Families) -> None:
    families.student("ann", "mother", "father")
    forget(families, "father", "sms", number_of("father"))
    contact(families, "father", "sms", number_of("mother"))
    heard(families, "opted_out", number_of("mother"))
    assert await told_of_ann(families) == {"mother": "email", "father": "email"}


async def test_a_person_s_second_number_is_used_where_the_first_is_none(families: Families) -> None:
    families.student("ann", "mother")
    forget(families, "mother", "sms", number_of("mother"))
    contact(families, "mother", "sms", "555-0100")
    contact(families, "mother", "sms", "(212) 555-0188")
    assert await told_of_ann(families) == {"mother": "sms"}
    assert [message.to for message in families.vendor.taken] == ["+12125550188"]


@pytest.mark.parametrize(
    ("news", "why"), [("opted_out", "opted_out"), ("unreachable", "unreachable"), ("opted_in", "sms")]
)
async def test_what_is_known_of_an_address_is_what_staff_read(families: Families, news: str, why: str) -> None:
    families.student("ann", "mother")
    forget(families, "mother", "email", "mother@example.org")
    heard(families, news, number_of("mother"))
    assert await told_of_ann(families) == {"mother": why}


async def test_who_has_no_address_and_whose_address_is_none_are_told_apart(families: Families) -> None:
    families.student("ann", "mother", "father")
    for person in ("mother", "father"):
        forget(families, person, "sms", number_of(person))
        forget(families, person, "email", f"{person}@example.org")
    contact(families, "father", "email", "father at example")
    assert await told_of_ann(families) == {"mother": "no_address", "father": "bad_address"}


async def test_an_address_holds_only_from_its_first_day_to_before_its_last(families: Families) -> None:
    families.student("ann", "mother")
    families.set(m.Contact, {"ends_on": TODAY}, (m.Contact.user_id == "mother") & (m.Contact.kind == "sms"))
    families.set(m.Contact, {"begins_on": TODAY}, (m.Contact.user_id == "mother") & (m.Contact.kind == "email"))
    assert await told_of_ann(families) == {"mother": "email"}


async def test_where_consent_comes_first_nothing_is_sent_without_it(families: Families) -> None:
    families.settings = settings(consent_first=["sms"], channels=["sms"])
    families.start()
    families.student("ann", "mother", "father")
    heard(families, "opted_in", number_of("father"))
    assert await told_of_ann(families) == {"mother": "no_consent", "father": "sms"}


async def test_a_telephone_is_texted_only_where_the_district_says_so(families: Families) -> None:
    families.student("ann", "mother")
    forget(families, "mother", "sms", number_of("mother"))
    contact(families, "mother", "phone", "(212) 555-0188")
    assert await told_of_ann(families) == {"mother": "email"}
    families.settings = settings(text_phones=True)
    families.start()
    families.mark(families.open("algebra", hour=13), ann="absent")
    families.rule("absence", delay_minutes=0, of="class")
    await families.move(5)
    assert "sms" in [message.channel for message in families.vendor.taken]


async def test_an_address_that_two_people_share_is_told_once(families: Families) -> None:
    families.student("ann", "mother", "father")
    for kind, own, shared in (
        ("sms", number_of("father"), number_of("mother")),
        ("email", "father@example.org", "Mother@Example.org"),
    ):
        forget(families, "father", kind, own)
        contact(families, "father", kind, shared)
    found = await told_of_ann(families)
    assert sorted(found.values()) == ["same_address", "sms"]
    assert len(families.sent()) == 1


async def test_who_shares_a_number_but_has_an_e_mail_of_their_own_is_told_there(families: Families) -> None:
    families.student("ann", "mother", "father")
    forget(families, "father", "sms", number_of("father"))
    contact(families, "father", "sms", number_of("mother"))
    assert sorted((await told_of_ann(families)).values()) == ["email", "sms"]
    assert len({message.to for message in families.vendor.taken}) == 2


async def test_who_is_texted_does_not_keep_another_from_the_e_mail_that_both_have(families: Families) -> None:
    families.student("ann", "aunt", "mother")
    forget(families, "mother", "sms", number_of("mother"))
    forget(families, "mother", "email", "mother@example.org")
    contact(families, "mother", "email", "aunt@example.org")
    assert await told_of_ann(families) == {"aunt": "sms", "mother": "email"}


# Wishes


async def test_everybody_is_told_in_their_own_language_on_the_channel_that_they_chose(families: Families) -> None:
    families.student("ann", "mother", "father", "aunt")
    wish(families, "mother", language="es", channels=["email", "sms"])
    wish(families, "father", language="vi")
    found = await told_of_ann(families)
    assert found == {"mother": "email", "father": "sms", "aunt": "sms"}
    assert {row.recipient_id: row.language for row in families.messages()} == {
        "mother": "es",
        "father": "vi",
        "aunt": "en",
    }
    assert len(set(texts(families))) == 3


async def test_a_language_that_nobody_has_written_is_said_in_english(families: Families) -> None:
    families.student("ann", "mother")
    wish(families, "mother", language="tlh")
    await told_of_ann(families)
    assert [row.language for row in families.messages()] == ["en"]
    assert "was marked absent today" in texts(families)[0]


async def test_the_channels_of_a_rule_come_before_what_somebody_wishes(families: Families) -> None:
    families.student("ann", "mother")
    wish(families, "mother", channels=["sms"])
    families.rule("absence", delay_minutes=0, channels=["email"])
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.move(1)
    assert outcome(families) == {"mother": "email"}


# Students and staff


async def test_a_student_hears_of_their_own_day(families: Families) -> None:
    families.rule("absence", delay_minutes=0, audience=["student"])
    families.student("ann", "mother")
    contact(families, "ann", "email", "ann@example.org")
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.move(1)
    assert outcome(families) == {"ann": "email"}


async def test_every_teacher_of_the_class_that_was_missed_is_told_and_no_other(families: Families) -> None:
    families.rule("absence", delay_minutes=0, audience=["teacher"], of="class")

    def unit(tx: Transaction) -> None:
        for name, group, values in (
            ("co_teacher", "algebra", {}),
            ("former", "algebra", {"ends_on": TODAY}),
            ("next", "algebra", {"begins_on": TOMORROW}),
            ("gone", "algebra", {"ended": True}),
            ("other", "biology", {}),
        ):
            tx.insert(m.User, id=name, given_name=name, family_name="T", sort_name=name, changed_at=tx.now)
            add_contact(tx, name, "email", f"{name}@example.org")
            tx.insert(m.Enrollment, user_id=name, class_id=group, role="teacher", changed_at=tx.now, **values)

    families.store.write_now(unit)
    families.student("ann", "mother")
    await families.tick()
    families.mark(families.open("homeroom"), ann="present")
    families.mark(families.open("algebra", hour=13), ann="absent")
    await families.move(1)
    assert outcome(families) == {"teacher": "email", "co_teacher": "email"}


async def test_the_office_is_that_of_the_student_s_school(families: Families) -> None:
    south = school(families, "south")
    families.rule("absence", delay_minutes=0, audience=["office"])
    families.student("ann", "mother", classes=(south,))
    await families.tick()
    marked_on(families, TODAY, south, ann="absent")
    await families.move(1)
    assert families.messages() == []

    def unit(tx: Transaction) -> None:
        tx.insert(m.RoleAssignment, user_id="principal", role="school_admin", org_id="south")

    families.store.write_now(unit)
    families.mark(families.open(south, hour=13), ann="absent")
    await families.move(5)
    assert outcome(families) == {"principal": "email"}


async def test_who_is_meant_twice_is_told_once(families: Families) -> None:
    families.student("ann", "mother")
    families.store.write_now(
        lambda tx: tx.insert(m.Guardianship, guardian_id="teacher", student_id="ann", changed_at=tx.now)
    )
    families.rule("absence", delay_minutes=0, audience=["guardian", "teacher"])
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.move(1)
    assert sorted((row.recipient_id, row.audience) for row in families.messages()) == [
        ("mother", "guardian"),
        ("teacher", "guardian"),
    ]


async def test_no_two_families_are_ever_in_one_message(families: Families) -> None:
    families.student("ann", "mother")
    families.student("bob", "mother")
    families.student("cy", "cy_mother")
    families.rule("absence", delay_minutes=0)
    await families.tick()
    families.mark(families.open(), ann="absent", bob="absent", cy="absent")
    await families.move(1)
    names = ("Ann", "Bob", "Cy")
    assert sorted(sum(name in text for name in names) for text in texts(families)) == [1, 1, 1]
    assert len({(row.student_id, row.recipient_id) for row in families.messages()}) == 3


def test_what_a_book_shows_of_itself_holds_no_address_and_no_name(families: Families) -> None:
    families.student("ann", "mother")
    wanted = Wanted(audience=["guardian"], student_id="ann", school_id="north", purpose="attendance")

    def shown(connection: Any) -> list[Recipient]:
        return Book(connection, families.settings.notify, [wanted], TODAY).recipients(wanted)

    (recipient,) = families.store.read_now(shown)
    assert recipient.ways
    assert "212) 555" not in repr(recipient)
    assert "212555" not in repr(recipient)
    assert "example.org" not in repr(recipient)
