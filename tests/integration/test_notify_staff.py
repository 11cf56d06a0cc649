"""What staff hear of: rolls that were not taken, trouble with the place itself, and the digest of a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from homeroom.notify.rules import change_rule
from homeroom.notify.troubles import note_quarantined
from homeroom.roster.calendar import set_calendar_day
from homeroom.roster.people import add_contact
from homeroom.store import Transaction, new_id, now_utc
from homeroom.store import models as m
from tests.services.families import TODAY, Families, Vendor, settings
from tests.services.roll import at_hour, rows, school, texts, told

TOMORROW = TODAY + timedelta(days=1)


@dataclass(slots=True)
class Plant(Vendor):
    """A vendor beside a connector, which can be unwell, too."""

    connectors: tuple[str, ...] = ("powerschool",)

    def implementers(self, hook: str) -> tuple[str, ...]:
        """Who answers a hook."""
        return self.connectors if hook == "sis_connector" else Vendor.implementers(self, hook)


def with_connector(families: Families) -> Plant:
    plant = Plant()
    families.vendor = plant
    families.start()
    return plant


def person(families: Families, name: str, *, classes: tuple[str, ...] = (), office: str | None = None) -> None:
    """Somebody of the staff, with an e-mail address."""

    def unit(tx: Transaction) -> None:
        tx.insert(m.User, id=name, given_name=name, family_name="T", sort_name=name, changed_at=tx.now)
        add_contact(tx, name, "email", f"{name}@example.org")
        for one in classes:
            tx.insert(m.Enrollment, user_id=name, class_id=one, role="teacher", changed_at=tx.now)
        if office is not None:
            tx.insert(m.RoleAssignment, user_id=name, role="school_admin", org_id=office)

    families.store.write_now(unit)


def sync_run(families: Families, state: str, *, hours_ago: float = 0.1, **values: Any) -> str:
    run_id = new_id()
    started = now_utc() - timedelta(hours=hours_ago)
    finished = started + timedelta(minutes=1) if state in ("done", "failed") else None
    families.store.write_now(
        lambda tx: tx.insert(
            m.SyncRun,
            id=run_id,
            connector="powerschool",
            state=state,
            started_at=started,
            finished_at=finished,
            **values,
        )
    )
    return run_id


def untaken(families: Families) -> dict[str, list[str]]:
    """Who hears of which classes without a roll."""
    return {row.recipient_id: row.why["class_ids"] for row in families.messages() if row.kind == "roll_not_taken"}


# Rolls that were not taken


async def test_a_teacher_without_a_roll_is_told_once_a_day_when_it_is_time(families: Families) -> None:
    at_hour(families, 13, 0)  # nine in New York
    families.rule("roll_not_taken")
    families.student("ann", "mother")
    await families.tick()
    assert families.sent() == []
    await families.move(31)
    assert told(families) == [("roll_not_taken", "teacher", "accepted")]
    assert "No roll has been taken yet on Monday, September 14, 2026 in: Homeroom." in texts(families)[0]
    for _ in range(5):
        await families.move(60)
    assert len(families.sent()) == 1
    at_hour(families, 14, day=TOMORROW)
    await families.tick()
    assert len(families.sent()) == 2


async def test_a_roll_that_was_begun_or_closed_is_taken_and_an_open_door_is_none(families: Families) -> None:
    families.rule("roll_not_taken", class_kinds=["homeroom", "scheduled"])
    families.student("ann", "mother", classes=("homeroom", "algebra", "biology"))
    families.mark(families.open("homeroom"), ann="present")
    families.close(families.open("algebra"))
    families.open("biology")
    await families.move(1)
    assert untaken(families) == {"teacher": ["biology"]}


async def test_a_teacher_of_several_classes_gets_one_message_and_co_teachers_one_each(families: Families) -> None:
    families.rule("roll_not_taken", class_kinds=["homeroom", "scheduled"])
    families.student("ann", "mother", classes=("homeroom", "algebra"))
    person(families, "co_teacher", classes=("algebra",))
    await families.move(1)
    assert untaken(families) == {"teacher": ["algebra", "homeroom"], "co_teacher": ["algebra"]}
    assert sum("Algebra, Homeroom" in text for text in texts(families)) == 1


async def test_the_office_hears_of_all_of_them_in_one_message(families: Families) -> None:
    families.rule("roll_not_taken", audience=["teacher", "office"], class_kinds=["homeroom", "scheduled"])
    families.student("ann", "mother", classes=("homeroom", "algebra"))
    await families.move(1)
    assert untaken(families) == {"teacher": ["algebra", "homeroom"], "principal": ["algebra", "homeroom"]}


async def test_a_class_that_does_not_meet_has_no_roll_to_take(families: Families) -> None:
    def unit(tx: Transaction) -> None:
        values = {"school_id": "north", "kind": "homeroom", "changed_at": tx.now}
        tx.insert(m.Class, id="empty", title="Empty", **values)
        tx.insert(m.Class, id="archived", title="Archived", archived=True, **values)
        tx.insert(m.Class, id="later", title="Later", **values)
        tx.insert(
            m.AcademicSession,
            id="spring",
            title="Spring",
            kind="gradingPeriod",
            begins_on=TODAY + timedelta(days=100),
            ends_on=TODAY + timedelta(days=200),
            changed_at=tx.now,
        )
        tx.insert(m.ClassTerm, class_id="later", term_id="spring")

    families.store.write_now(unit)
    families.rule("roll_not_taken", audience=["office"])
    families.student("ann", "mother", classes=("homeroom", "archived", "later"))
    await families.move(1)
    assert untaken(families) == {"principal": ["homeroom"]}


async def test_no_roll_is_missed_on_a_holiday_or_a_weekend(families: Families) -> None:
    families.rule("roll_not_taken")
    families.student("ann", "mother")
    families.store.write_now(lambda tx: set_calendar_day(tx, "north", TODAY, in_session=False))
    await families.move(1)
    at_hour(families, 14, day=TODAY + timedelta(days=5))  # a Saturday
    await families.tick()
    assert rows(families, "notifications") == 0


async def test_each_school_is_asked_at_its_own_hour(families: Families) -> None:
    west = school(families, "west", zone="America/Los_Angeles")
    person(families, "west_teacher", classes=(west,))
    families.rule("roll_not_taken")
    families.student("ann", "mother")
    families.student("bob", "bob_mother", classes=(west,))
    await families.move(1)
    assert set(untaken(families)) == {"teacher"}
    at_hour(families, 16, 31)  # half past nine in Los Angeles
    await families.tick()
    assert set(untaken(families)) == {"teacher", "west_teacher"}


async def test_a_server_that_wakes_after_hours_asks_for_no_roll_any_more(families: Families) -> None:
    families.rule("roll_not_taken", until="15:00")
    families.student("ann", "mother")
    at_hour(families, 19, 30)  # half past three in New York
    await families.tick()
    assert rows(families, "notifications") == 0


# Trouble


async def test_a_sync_that_failed_is_told_to_the_district_once_a_day(families: Families) -> None:
    with_connector(families)
    families.rule("sync_failed")
    sync_run(families, "failed", reason="The password was not taken.")
    await families.tick()
    sync_run(families, "failed", reason="The password was not taken.", hours_ago=0.05)
    await families.move(5)
    assert told(families) == [("sync_failed", "admin", "accepted")]
    assert "The password was not taken." in texts(families)[0]
    at_hour(families, 14, day=TOMORROW)
    await families.tick()
    assert len(families.sent()) == 1  # nothing has run since
    sync_run(families, "failed")
    await families.move(5)
    assert len(families.sent()) == 2


async def test_a_dry_run_neither_fails_nor_hides_that_the_run_before_did(families: Families) -> None:
    with_connector(families)
    families.rule("sync_failed")
    sync_run(families, "done", hours_ago=2)
    sync_run(families, "failed", dry_run=True, hours_ago=1)
    await families.tick()
    assert rows(families, "notifications") == 0
    sync_run(families, "failed", hours_ago=0.5)
    sync_run(families, "done", dry_run=True)
    await families.move(5)
    assert told(families) == [("sync_failed", "admin", "accepted")]


async def test_a_sync_on_hold_is_told_once_with_what_to_look_at(families: Families) -> None:
    with_connector(families)
    families.rule("sync_held")
    alarm = {
        "kind": "exodus",
        "count": 40,
        "of": 50,
        "subjects": [],
        "found": "40 of 50 enrolments would end.",
        "look_at": "Is the export whole?",
    }
    sync_run(families, "held", findings=[alarm])
    await families.tick()
    at_hour(families, 14, day=TOMORROW)
    await families.tick()
    assert told(families) == [("sync_held", "admin", "accepted")]
    assert "40 of 50 enrolments would end. Is the export whole?" in texts(families)[0]


async def test_a_sync_is_late_once_its_hours_are_over(families: Families) -> None:
    with_connector(families)
    families.rule("sync_late", late_hours=26)
    sync_run(families, "done", hours_ago=25)
    await families.tick()
    assert families.sent() == []
    await families.move(70)
    assert told(families) == [("sync_late", "admin", "accepted")]
    assert "26 hours ago" in texts(families)[0]


async def test_a_connector_that_is_not_installed_any_more_is_nobody_s_trouble(families: Families) -> None:
    with_connector(families).connectors = ()
    families.rule("sync_failed")
    sync_run(families, "failed")
    await families.tick()
    assert rows(families, "notifications") == 0


async def test_one_failed_health_check_is_a_stumble_and_two_in_a_row_are_told(families: Families) -> None:
    plant = with_connector(families)
    plant.channels, well = ("email",), plant.health
    families.rule("connector_unhealthy")
    await families.tick()
    ill = {"ok": False, "detail": "", "findings": [{"problem": "It answers with HTML.", "fix": ""}]}
    plant.health = ill
    await families.move(6)
    plant.health = well
    await families.move(6)
    plant.health = ill
    await families.move(6)
    assert families.sent() == []
    await families.move(6)
    assert sorted(row.why["name"] for row in families.messages()) == ["post", "powerschool"]
    assert all("It answers with HTML." in text for text in texts(families))
    await families.move(60)
    assert len(families.sent()) == 2


async def test_a_plugin_that_is_taken_out_while_it_is_unwell_is_not_told_of_for_ever(families: Families) -> None:
    plant = with_connector(families)
    families.rule("connector_unhealthy")
    plant.health = {"ok": False, "detail": "gone", "findings": []}
    await families.move(6)
    plant.connectors = ()
    await families.move(6)
    assert {row.why["name"] for row in families.messages()} == {"post"}


async def test_a_quarantined_plugin_is_told_with_its_reason_for_as_long_as_it_is_one(families: Families) -> None:
    info = SimpleNamespace(name="geofence", state="quarantined", reason="It raised three times.")
    host: Any = SimpleNamespace(plugins=[info])
    noted: dict[str, Any] = {}
    families.rule("plugin_quarantined")
    await note_quarantined(families.store, host, noted)
    await families.tick()
    assert told(families) == [("plugin_quarantined", "admin", "accepted")]
    assert "It raised three times." in texts(families)[0]
    for _ in range(6):  # longer than one note is kept
        families.clock.shift(timedelta(minutes=10))
        await note_quarantined(families.store, host, noted)
    families.rule("plugin_quarantined", audience=["office"])
    await families.tick()
    assert len(families.sent()) == 2
    host.plugins = []
    await note_quarantined(families.store, host, noted)
    families.clock.shift(timedelta(days=1))
    await families.tick()
    assert (len(families.sent()), noted) == (2, {})


async def test_messages_on_hold_are_told_to_the_district_and_to_the_school_whose_they_are(families: Families) -> None:
    school(families, "south")
    person(families, "south_principal", office="south")
    families.settings = settings(school_day_limit=1, channels=["sms"])
    families.start()
    families.rule("messages_held")
    for org in ("north", "south"):
        families.rule("messages_held", org_id=org)
    families.rule("absence", delay_minutes=0)
    for name in ("ann", "bob"):
        families.student(name, f"{name}_mother")
    await families.tick()
    families.mark(families.open(), ann="absent", bob="absent")
    await families.move(1)
    await families.move(1)
    found = [row.recipient_id for row in families.messages() if row.kind == "messages_held"]
    assert sorted(found) == ["admin", "principal"]
    assert any("North School has reached its limit on sms." in text for text in texts(families))


async def test_two_schools_over_their_limits_are_two_troubles(families: Families) -> None:
    school(families, "south")

    def unit(tx: Transaction) -> None:
        for org in ("north", "south"):
            tx.insert(m.NotificationCount, school_id=org, day=TODAY, channel="sms", alarmed_at=tx.now)

    families.store.write_now(unit)
    families.rule("messages_held")
    await families.tick()
    assert sorted(row.why["name"] for row in families.messages()) == ["sms", "sms"]
    found = "\n".join(texts(families))
    assert "North School has reached" in found
    assert "South School has reached" in found


async def test_trouble_is_told_at_any_hour_and_a_roll_only_by_day(families: Families) -> None:
    with_connector(families)
    at_hour(families, 6)  # two at night in New York
    families.rule("sync_failed")
    families.rule("roll_not_taken", at="01:00")
    families.student("ann", "mother")
    sync_run(families, "failed")
    await families.tick()
    assert {(row.kind, row.state) for row in families.messages()} == {
        ("sync_failed", "accepted"),
        ("roll_not_taken", "waiting"),
    }
    at_hour(families, 11)
    await families.tick()
    assert families.states() == ["accepted", "accepted"]


async def test_the_hour_of_the_district_is_that_of_its_own_clock(families: Families) -> None:
    families.set(m.Org, {"time_zone": "Pacific/Auckland"}, m.Org.id == "district")
    with_connector(families)
    families.rule("sync_failed")
    sync_run(families, "failed")
    await families.tick()
    (message,) = families.messages()
    assert message.school_day == TOMORROW  # it is two at night there


# The digest


async def test_a_school_s_day_comes_in_one_message_after_school(families: Families) -> None:
    families.rule("digest")
    families.rule("absence", delay_minutes=0)
    families.student("ann", "mother")
    families.student("bob", "bob_mother")
    families.set(m.Guardianship, {"blocked": True}, m.Guardianship.guardian_id == "bob_mother")
    await families.tick()
    families.mark(families.open(), ann="absent", bob="absent")
    await families.move(1)
    assert [kind for kind, _, _ in told(families)] == ["absence", "absence"]
    at_hour(families, 19, 30)
    await families.tick()
    digest = families.messages()[-1]
    assert (digest.kind, digest.recipient_id, digest.state) == ("digest", "principal", "accepted")
    assert {state: count for state, count in digest.why.items() if count and state != "rule"} == {
        "accepted": 1,
        "withheld": 1,
    }
    text = texts(families)[-1]
    assert "Sent: 1" in text
    assert "Nothing needs to be looked at." in text
    await families.move(60)
    assert len(families.sent()) == 2


async def test_a_digest_holds_the_messages_of_its_own_school_and_day(families: Families) -> None:
    south = school(families, "south")
    person(families, "south_principal", office="south")
    families.rule("absence", delay_minutes=0)
    families.student("ann", "mother")
    await families.tick()
    families.mark(families.open(), ann="absent")
    await families.move(1)
    at_hour(families, 19, 30, day=TOMORROW)
    families.rule("digest")
    await families.tick()
    digests = {row.recipient_id: row.why for row in families.messages() if row.kind == "digest"}
    assert set(digests) == {"principal", "south_principal"}
    assert all(not count for why in digests.values() for state, count in why.items() if state != "rule")
    assert south


async def test_a_rule_of_staff_that_is_switched_off_tells_nothing(families: Families) -> None:
    rule = families.rule("roll_not_taken")
    families.student("ann", "mother")
    families.store.write_now(lambda tx: change_rule(tx, rule.id, enabled=False))
    await families.move(1)
    assert rows(families, "notifications") == 0


@pytest.mark.parametrize("org_id", ["", "north"])
async def test_staff_of_the_district_and_of_a_school_are_told_each_by_their_own_rule(
    families: Families, org_id: str
) -> None:
    with_connector(families)
    families.rule("sync_failed", org_id=org_id)
    sync_run(families, "failed")
    await families.tick()
    assert [row.recipient_id for row in families.messages()] == ["principal" if org_id else "admin"]
