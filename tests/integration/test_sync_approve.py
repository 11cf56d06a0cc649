"""A dry run that an administrator has looked at is taken over exactly as it was shown, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from homeroom import sync
from homeroom.records import Enrollment, Record, SourceError
from homeroom.roster import people
from homeroom.store import Refused, Store, now_utc
from homeroom.store import models as m
from homeroom.sync import DiffRow, RunResult
from tests.services.scripted_sis import BIOLOGY, ScriptedSis, everything, journal, person, small_district


async def _run(store: Store, sis: ScriptedSis, **options: Any) -> RunResult:
    return await sync.run(store, "sis", sis, **options)


def _counts(result: RunResult) -> tuple[int, int, int, int]:
    return result.added, result.changed, result.ended, result.unchanged


def _later(records: Sequence[Record]) -> list[Record]:
    """The district after a class was renamed, a student came and an enrolment went."""
    kept = [one for one in records if one.sourced_id not in ("bio", "e-ben")]
    dan = Enrollment(sourced_id="e-dan", user="dan", class_="bio", role="student")
    return [*kept, replace(BIOLOGY, title="Botany"), person("dan", "student"), dan]


@pytest.fixture
async def sis(store: Store) -> ScriptedSis:
    """A source that has changed since its last run."""
    source = ScriptedSis(small_district(), page=500)
    await _run(store, source)
    source.records = _later(source.records)
    return source


async def _changes(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Everything but the journal, which says that somebody asked."""
    rows = await store.read(everything)
    del rows["journal"]
    return rows


async def test_an_approved_dry_run_is_taken_over_as_it_was_shown(store: Store, sis: ScriptedSis) -> None:
    shown: list[DiffRow] = []
    done: list[DiffRow] = []
    dry = await _run(store, sis, dry_run=True, on_diff=shown.append)

    result = await sync.approve(store, dry.run_id, sis, by="admin", on_diff=done.append)

    assert (result.status, _counts(result), _counts(dry)) == ("done", (2, 1, 1, 13), (2, 1, 1, 13))
    assert (result.approves, result.started_by, result.dry_run) == (dry.run_id, "admin", False)
    assert done == shown
    entries = [entry for entry in await store.read(journal) if entry.request_id == result.run_id]
    assert (entries[0].kind, entries[0].data["dry_run_id"]) == ("sync.approved", dry.run_id)
    assert {entry.actor_id for entry in entries} == {"admin"}
    assert _counts(await _run(store, sis)) == (0, 0, 0, 16)


async def test_a_source_that_has_changed_since_fails_the_approval_and_changes_nothing(
    store: Store, sis: ScriptedSis
) -> None:
    dry = await _run(store, sis, dry_run=True)
    before = await _changes(store)
    sis.records = [one for one in sis.records if one.sourced_id != "e-cem"] + [person("eve", "student")]

    result = await sync.approve(store, dry.run_id, sis, by="admin")

    assert (result.status, result.reason) == (
        "failed",
        "The source has changed since the dry run (1 user, 1 enrollment). Nothing was taken over. Make a new dry run.",
    )
    assert await _changes(store) == before


@pytest.mark.parametrize(
    "changed",
    [
        replace(BIOLOGY, title="Zoology"),
        replace(person("ana", "student", agents=("gus",)), email="new@example.org"),
        Enrollment(sourced_id="e-ana", user="", class_="", role="", status="tobedeleted"),
    ],
    ids=["another title", "another address", "ended"],
)
async def test_one_row_that_differs_is_enough(store: Store, sis: ScriptedSis, changed: Record) -> None:
    dry = await _run(store, sis, dry_run=True)
    sis.records = [changed if one.sourced_id == changed.sourced_id else one for one in sis.records]

    assert (await sync.approve(store, dry.run_id, sis, by="admin")).status == "failed"


async def test_a_row_that_was_changed_here_meanwhile_is_not_overwritten(store: Store, sis: ScriptedSis) -> None:
    told = person("ben", "student", agents=("gus",), email="ben@example.org", given_name="Benno")
    sis.records = [told if one.sourced_id == "ben" else one for one in sis.records]
    dry = await _run(store, sis, dry_run=True)
    ben = await store.read(lambda c: c.one(m.User.select().where(m.User.sourced_id == "ben")))
    assert ben is not None
    await store.write(lambda tx: people.patch_person(tx, ben.id, {"preferred_given_name": "Benny"}))

    result = await sync.approve(store, dry.run_id, sis, by="admin")

    assert (result.status, result.reason) == (
        "failed",
        "1 of the rows were changed here since the dry run. Nothing was taken over. Make a new dry run.",
    )


async def test_another_run_in_between_makes_the_dry_run_worthless(store: Store, sis: ScriptedSis) -> None:
    dry = await _run(store, sis, dry_run=True)
    await _run(store, sis)

    assert (await sync.approve(store, dry.run_id, sis, by="admin")).status == "failed"


async def test_what_the_guard_has_found_is_told_and_holds_nothing_once_approved(store: Store) -> None:
    students = [f"p{number:02d}" for number in range(20)]
    sis = ScriptedSis(small_district(students), page=500)
    await _run(store, sis)
    sis.records = [one for one in sis.records if not one.sourced_id.startswith("e-p")]
    dry = await _run(store, sis, dry_run=True)
    assert [alarm.kind for alarm in dry.findings] == ["exodus", "empty_school", "empty_class"]

    result = await sync.approve(store, dry.run_id, sis, by="admin")

    assert (result.status, result.ended, result.findings) == ("done", 20, dry.findings)


async def test_rows_that_could_not_be_taken_stand_in_no_ones_way(store: Store) -> None:
    bad = Enrollment(sourced_id="e-x", user="nobody", class_="bio", role="student")
    sis = ScriptedSis([*small_district(), bad], page=500)
    dry = await _run(store, sis, dry_run=True)

    result = await sync.approve(store, dry.run_id, sis, by="admin")

    assert (result.status, result.added, result.dead_letters) == ("done", 15, 1)


async def test_an_approval_that_was_cut_off_can_be_resumed(store: Store, sis: ScriptedSis) -> None:
    dry = await _run(store, sis, dry_run=True)
    sis.failures = {("user", 0): [SourceError("the line was cut")]}
    failed = await sync.approve(store, dry.run_id, sis, by="admin")
    assert failed.status == "failed"

    result = await sync.resume(store, failed.run_id, sis)

    assert (result.status, _counts(result), result.approves) == ("done", (2, 1, 1, 13), dry.run_id)


async def test_a_resumed_approval_still_looks_whether_the_source_has_changed(store: Store, sis: ScriptedSis) -> None:
    dry = await _run(store, sis, dry_run=True)
    sis.failures = {("user", 0): [SourceError("the line was cut")]}
    failed = await sync.approve(store, dry.run_id, sis, by="admin")
    sis.records = [*sis.records, person("eve", "student")]

    result = await sync.resume(store, failed.run_id, sis)

    assert (result.status, (result.reason or "")[:22]) == ("failed", "The source has changed")


class _Killed(BaseException):
    """The end of the process."""


async def test_an_approval_that_was_killed_while_it_applied_is_carried_to_its_end(
    store: Store, sis: ScriptedSis
) -> None:
    dry = await _run(store, sis, dry_run=True)

    def die(progress: sync.Progress) -> None:
        if (progress.phase, progress.noun) == ("applying", "user"):
            raise _Killed

    with pytest.raises(_Killed):
        await sync.approve(store, dry.run_id, sis, by="admin", progress=die)
    [run] = await store.read(lambda c: sync.runs(c, "sis", limit=1))

    result = await sync.resume(store, run.run_id, sis)

    assert (result.status, _counts(result)) == ("done", (2, 1, 1, 13))


async def test_only_the_last_dry_run_that_came_to_its_end_can_be_approved(store: Store, sis: ScriptedSis) -> None:
    real = await _run(store, ScriptedSis(small_district(), page=500))
    first = await _run(store, sis, dry_run=True)
    second = await _run(store, sis, dry_run=True)
    cut = await _run(store, ScriptedSis(failures={("org", 0): [SourceError("closed")]}), dry_run=True)

    refused = {
        real.run_id: "Only a dry run",
        cut.run_id: "Only a dry run",
        first.run_id: "later dry run",
        "no": "no such",
    }
    for run_id, words in refused.items():
        with pytest.raises(Refused, match=words):
            await sync.approve(store, run_id, sis, by="admin")
    assert (await sync.approve(store, second.run_id, sis, by="admin")).status == "done"


async def test_a_dry_run_of_yesterday_must_be_made_again(store: Store, sis: ScriptedSis) -> None:
    dry = await _run(store, sis, dry_run=True)
    old = now_utc() - timedelta(hours=25)
    await store.write(lambda tx: tx.run(m.SyncRun.update(started_at=old).where(m.SyncRun.id == dry.run_id)))

    with pytest.raises(Refused, match="more than a day old"):
        await sync.approve(store, dry.run_id, sis, by="admin")


async def test_only_the_last_dry_runs_rows_are_kept_and_only_for_a_day(store: Store, sis: ScriptedSis) -> None:
    async def staged() -> set[str]:
        return {row[0] for row in await store.read(lambda c: c.sql("SELECT DISTINCT run_id FROM staged_rows"))}

    first = await _run(store, sis, dry_run=True)
    assert await staged() == {first.run_id}
    second = await _run(store, sis, dry_run=True)
    assert await staged() == {second.run_id}
    await _run(store, sis)
    assert await staged() == {second.run_id}
    old = now_utc() - timedelta(hours=25)
    await store.write(lambda tx: tx.run(m.SyncRun.update(started_at=old).where(m.SyncRun.id == second.run_id)))
    await _run(store, sis)
    assert await staged() == set()
