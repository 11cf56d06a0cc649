"""Rows that could not be taken are kept, and taken again once what was wrong is put right."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from homeroom import sync
from homeroom.records import Class, Course, Enrollment, Org, Record, RowError, UserRole
from homeroom.roster import people
from homeroom.store import Refused, Store
from homeroom.store import models as m
from homeroom.sync import Letter, RunResult, lease
from tests.services.scripted_sis import ScriptedSis, everything, journal, person, small_district

LOST = Enrollment(sourced_id="e-lost", user="ana", class_="chem", role="student")
CHEMISTRY = Class(sourced_id="chem", title="Chemistry", school="s1")


async def _run(store: Store, records: Sequence[Record] | ScriptedSis, **options: Any) -> RunResult:
    sis = records if isinstance(records, ScriptedSis) else ScriptedSis(list(records), page=500)
    return await sync.run(store, "sis", sis, **options)


async def _delta(store: Store, *records: Record) -> RunResult:
    return await _run(store, ScriptedSis(list(records), delta=True), full=False)


async def _letters(store: Store) -> list[Letter]:
    return list(await store.read(lambda c: sync.dead_letters(c, "sis")))


async def _count(store: Store, model: Any, sourced_id: str) -> int:
    return len(await store.read(lambda c: c.all(model.select().where(model.sourced_id == sourced_id, ~model.ended))))


async def test_a_row_is_taken_once_what_it_names_is_there(store: Store) -> None:
    await _run(store, [*small_district(), LOST])
    await _delta(store, CHEMISTRY)
    [letter] = await _letters(store)
    assert (letter.sourced_id, letter.replayable) == ("e-lost", True)
    before = len(await store.read(journal))

    result = await sync.replay(store, "sis", by="admin")

    assert (result.replayed, result.still_dead, result.without_content, result.reason) == (1, 0, 0, None)
    assert await _letters(store) == []
    assert await _count(store, m.Enrollment, "e-lost") == 1
    [entry] = (await store.read(journal))[before:]
    assert (entry.kind, entry.actor_id, entry.request_id) == ("enrollment.added", "admin", result.run_id)


async def test_a_replayed_row_is_the_one_that_the_next_run_finds_unchanged(store: Store) -> None:
    await _run(store, [*small_district(), LOST])
    await _delta(store, CHEMISTRY)
    await sync.replay(store, "sis")

    again = await _run(store, [*small_district(), LOST, CHEMISTRY])

    assert (again.added, again.changed, again.ended, again.dead_letters) == (0, 0, 0, 0)


async def test_what_is_still_wrong_stays_listed_with_the_reason_of_today(store: Store) -> None:
    await _run(store, [*small_district(), LOST])
    [before] = await _letters(store)

    result = await sync.replay(store, "sis")

    [after] = await _letters(store)
    assert (result.replayed, result.still_dead) == (0, 1)
    assert (after.location, after.field, after.reason) == (before.location, before.field, before.reason)
    assert (after.run_id, after.replayable) == (result.run_id, True)
    await _delta(store, CHEMISTRY)
    assert (await sync.replay(store, "sis")).replayed == 1


async def test_one_of_many_is_replayed_and_the_others_stay(store: Store) -> None:
    other = Enrollment(sourced_id="e-other", user="ben", class_="chem", role="student")
    await _run(store, [*small_district(), LOST, other])
    await _delta(store, CHEMISTRY)
    first, second = await _letters(store)

    result = await sync.replay(store, "sis", ids=[second.id])

    assert (result.replayed, await _letters(store)) == (1, [first])
    assert (await _count(store, m.Enrollment, "e-other"), await _count(store, m.Enrollment, "e-lost")) == (1, 0)


async def test_rows_that_name_each_other_are_taken_together(store: Store) -> None:
    lost = Class(sourced_id="chem", title="Chemistry", school="s9")
    await _run(store, [*small_district(), LOST, lost])
    assert len(await _letters(store)) == 2
    await _delta(store, Org(sourced_id="s9", name="Elm", kind="school"))

    assert (await sync.replay(store, "sis")).replayed == 2
    assert await _count(store, m.Enrollment, "e-lost") == 1


async def test_what_was_left_out_of_a_row_is_added_to_it(store: Store) -> None:
    dan = person("dan", "student", agents=("gil",), email="dan@example.org")
    await _run(store, [*small_district(), dan])
    row = await store.read(lambda c: c.one(m.User.select().where(m.User.sourced_id == "dan")))
    assert row is not None
    await _delta(store, person("gil", "parent"))

    result = await sync.replay(store, "sis")

    assert (result.replayed, result.still_dead) == (1, 0)
    guardians = await store.read(lambda c: people.guardians_of(c, row.id))
    assert [one.user.given_name for one in guardians] == ["Gil"]


async def test_an_address_comes_along_and_lies_in_clear_nowhere(store: Store) -> None:
    """A letter keeps the whole row, sealed: whoever is taken later has their address too."""
    nowhere = UserRole(role="student", org="s9")
    records = [*small_district(), person("dan", "student", roles=(nowhere,), email="dan@example.org", agents=("x",))]
    await _run(store, records)
    [kept, *_] = await store.read(lambda c: c.values(m.DeadLetter.select(m.DeadLetter.content)))
    assert "dan" not in kept
    dan = await store.read(lambda c: c.one(m.User.select().where(m.User.sourced_id == "dan")))
    assert dan is not None
    await store.write(lambda tx: tx.run(m.Contact.delete().where(m.Contact.user_id == dan.id)))
    await _delta(store, Org(sourced_id="s9", name="Elm", kind="school"), person("x", "parent"))

    assert (await sync.replay(store, "sis")).replayed == 1

    values = {one.value for one in await store.read(lambda c: people.contacts_of(c, dan.id))}
    assert values == {"dan@example.org"}


async def test_todays_settings_hold(store: Store) -> None:
    elm = UserRole(role="principal", org="s1")
    await _run(store, [*small_district(), person("pat", roles=(elm,), agents=("nobody",))])
    pat = await store.read(lambda c: c.one(m.User.select().where(m.User.sourced_id == "pat")))
    assert pat is not None
    await _delta(store, person("nobody", "parent"))

    await sync.replay(store, "sis", administrators=True)

    assert [role.role for role in await store.read(lambda c: people.roles_of(c, pat.id))] == ["school_admin"]


async def test_rows_that_could_not_even_be_read_are_told_apart(store: Store) -> None:
    bad = RowError(noun="user", where="users.csv:7", reason="unreadable")
    await _run(store, ScriptedSis([*small_district(), LOST], errors=[bad], page=500))
    await _delta(store, CHEMISTRY)

    result = await sync.replay(store, "sis")

    assert (result.replayed, result.without_content) == (1, 1)
    [letter] = await _letters(store)
    assert (letter.location, letter.replayable) == ("users.csv:7", False)
    nothing = await sync.replay(store, "sis", ids=[letter.id])
    assert (nothing.run_id, nothing.replayed, nothing.without_content) == (None, 0, 1)


async def test_an_older_row_never_overwrites_a_newer_one(store: Store) -> None:
    """Once the source has told a row again, the letter about its older form is settled."""
    await _run(store, small_district())
    await _delta(store, Enrollment(sourced_id="e-ana", user="ana", class_="chem", role="student"))
    assert len(await _letters(store)) == 1

    await _delta(store, Enrollment(sourced_id="e-ana", user="ana", class_="bio", role="student", primary=True))

    assert await _letters(store) == []
    assert (await sync.replay(store, "sis")).run_id is None
    row = await store.read(lambda c: c.one(m.Enrollment.select().where(m.Enrollment.sourced_id == "e-ana")))
    assert row is not None
    assert row.primary


async def test_a_row_that_came_back_to_its_old_form_settles_its_letter_too(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    [seat] = [one for one in records if one.sourced_id == "e-ana"]
    await _delta(store, Enrollment(sourced_id="e-ana", user="ana", class_="chem", role="student"))

    await _delta(store, seat)

    assert await _letters(store) == []


async def test_letters_of_a_dry_run_are_nothing_to_replay(store: Store) -> None:
    await _run(store, small_district())
    await _run(store, [*small_district(), LOST], dry_run=True)

    assert (await sync.replay(store, "sis")).run_id is None


async def test_a_letter_that_is_not_open_cannot_be_replayed(store: Store) -> None:
    await _run(store, [*small_district(), LOST])
    [letter] = await _letters(store)
    await _delta(store, CHEMISTRY)
    await sync.replay(store, "sis")

    for name, letter_id in (("sis", letter.id), ("other", letter.id), ("sis", 999)):
        with pytest.raises(Refused, match="no such row"):
            await sync.replay(store, name, ids=[letter_id])


async def test_a_replay_waits_for_its_turn_like_every_run(store: Store) -> None:
    await _run(store, [*small_district(), LOST])
    await store.write(lambda tx: lease.take(tx, "sync.sis", "another"))

    with pytest.raises(Refused, match="under way"):
        await sync.replay(store, "sis")


async def test_a_replay_is_no_success_of_the_source(store: Store) -> None:
    first = await _run(store, [*small_district(), LOST])
    await sync.replay(store, "sis")

    [status] = await store.read(lambda c: sync.status(c, datetime.now(UTC)))
    assert (status.last_success, status.last.kind) == (first.finished_at, "replay")
    sis = ScriptedSis([Course(sourced_id="c9", title="Art")], delta=True)
    await _run(store, sis, full=False)
    assert {pull.since is not None and pull.since < first.started_at for pull in sis.pulls} == {True}


async def test_a_replay_that_was_killed_is_replayed_again_and_doubles_nothing(store: Store) -> None:
    class Killed(BaseException):
        pass

    def die(_: sync.Progress) -> None:
        raise Killed

    await _run(store, [*small_district(), LOST])
    await _delta(store, CHEMISTRY)
    with pytest.raises(Killed):
        await sync.replay(store, "sis", progress=die)
    before = await store.read(everything)

    result = await sync.replay(store, "sis")

    assert (result.replayed, await _letters(store)) == (1, [])
    assert await store.read(everything) == before
