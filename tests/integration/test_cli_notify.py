"""Messages by command: what would be told, what became of it, and one sent again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeroom.cli.installation import opened_store, settings_of
from homeroom.store import models as m
from homeroom.types import Receipt
from tests.services.commands import facts, installed, run
from tests.services.families import SCHOOL, Families, on_monday
from tests.services.families import Told as Answered


@pytest.fixture
def families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Families]:
    with installed(tmp_path, monkeypatch, '[plugins]\nenabled = ["smtp"]\n'):
        run("db", "upgrade")
        with opened_store(settings_of(None)) as store, on_monday(store) as there:
            yield there


async def failed(families: Families) -> str:
    """A message that its vendor has refused on each channel; gives its id."""
    families.rule("absence", delay_minutes=0)
    families.student("ann", "mother")
    await families.tick()
    families.vendor.answer = lambda _message: Answered(value=Receipt(state="refused", reason="no such number"))
    families.close(families.open())
    await families.tick()
    await families.tick()
    (row,) = families.messages()
    assert row.state == "failed"
    return row.id


def test_a_preview_says_who_would_be_told_and_who_would_not_and_why(families: Families) -> None:
    families.student("ann", "mother", "father")
    families.set(m.Guardianship, {"blocked": True}, m.Guardianship.guardian_id == "father")
    families.close(families.open())

    told = facts(run("notify", "preview", "--school", SCHOOL, "--kind", "absence", "--json"))

    assert (told["school_id"], told["day"], told["more"]) == (SCHOOL, "2026-09-14", False)
    assert [(one["recipient_id"], one["channels"]) for one in told["messages"]] == [("mother", ["sms", "email"])]
    assert [(one["recipient_id"], one["refused"]) for one in told["not_told"]] == [("father", "blocked")]
    assert families.messages() == []
    words = run("notify", "preview", "--school", SCHOOL, "--kind", "absence").stdout
    assert "Mother Park" in words
    assert "a court order or the like" in words


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--school", "nowhere"), "There is no school nowhere"),
        (("--school", SCHOOL, "--kind", "birthday"), "kind: is not one of absence, tardy"),
    ],
)
def test_a_preview_of_nothing_is_wrong_usage(families: Families, arguments: tuple[str, ...], told: str) -> None:
    result = run("notify", "preview", *arguments)

    assert result.exit_code == 2
    assert told in result.stderr
    assert families.messages() == []


async def test_the_status_names_what_to_look_at_and_one_is_sent_again(families: Families) -> None:
    message_id = await failed(families)

    status = run("notify", "status", "--json")
    assert status.exit_code == 1
    told = facts(status)
    assert (told["days"], told["counts"]["failed"]) == (1, 1)
    assert [(one["id"], one["state"], one["reason"]) for one in told["problems"]] == [
        (message_id, "failed", "no such number")
    ]
    assert f"{message_id}  failed, absence: no such number" in run("notify", "status").stdout

    assert facts(run("notify", "resend", message_id, "--json")) == {"id": message_id, "state": "waiting"}
    families.vendor.answer = None
    await families.tick()
    assert families.states() == ["accepted"]
    fine = run("notify", "status")
    assert (fine.exit_code, "       1  accepted" in fine.stdout) == (0, True)
    again = run("notify", "resend", message_id)
    assert again.exit_code != 0
    assert "can be sent again" in again.stderr


def test_the_doctor_names_two_rules_that_would_tell_the_same_people_the_same(families: Families) -> None:
    families.rule("absence")
    assert "both tell" not in run("doctor").output
    families.rule("absence", audience=["office"])
    families.rule("absence", conditions={"grades": ["09"]})
    assert "both tell" not in run("doctor").output

    families.rule("absence", org_id=SCHOOL, delay_minutes=30)

    assert "the rules 'absence' and 'absence' both tell the same people of absence" in run("doctor").output
