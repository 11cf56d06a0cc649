"""New rows are planned before the writer is asked: what changes meanwhile still counts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from homeroom import sync
from homeroom.records import Class, Enrollment, Noun, Page, Record
from homeroom.store import Store
from homeroom.store import models as m
from homeroom.sync import lease, staging
from homeroom.sync.apply import apply_next, plan_ahead
from homeroom.sync.job import Job
from tests.services.scripted_sis import BIOLOGY, ScriptedSis, small_district

JOB = Job(run_id="r", source="sis", dry_run=False, full=False, administrators=False, holder="h")
NEW = Enrollment(sourced_id="new", user="ana", class_="bio", role="student")


async def _staged(store: Store, noun: Noun, records: Sequence[Record]) -> None:
    await sync.run(store, "sis", ScriptedSis(small_district()))
    await store.write(lambda tx: lease.take(tx, JOB.lease, JOB.holder))
    await store.write(lambda tx: staging.begin_noun(tx, JOB, noun))
    prepared = await store.read(lambda c: staging.prepare(c, JOB, noun, Page(records=list(records))))
    await store.write(lambda tx: staging.stage(tx, JOB, prepared))


async def _enrolled(store: Store) -> bool:
    query = m.Enrollment.select().where(m.Enrollment.sourced_id == "new")
    return await store.read(lambda c: c.one(query)) is not None


async def test_a_plan_that_was_made_ahead_is_carried_out(store: Store) -> None:
    await _staged(store, "enrollment", [NEW])
    planned = await store.read(lambda c: plan_ahead(c, JOB, "enrollment", ""))
    assert planned is not None
    assert planned.last == "new"
    assert await store.read(planned.holds)

    applied = await store.write(lambda tx: apply_next(tx, JOB, "enrollment", "", planned=planned))

    assert (applied.rows, applied.after, await _enrolled(store)) == (1, "new", True)
    assert await store.read(lambda c: plan_ahead(c, JOB, "enrollment", "new")) is None


@pytest.mark.parametrize("model", [m.Class, m.User], ids=["class", "person"])
async def test_a_row_whose_class_or_person_ended_after_it_was_planned_is_set_aside(
    store: Store, model: type[m.Class | m.User]
) -> None:
    await _staged(store, "enrollment", [NEW])
    planned = await store.read(lambda c: plan_ahead(c, JOB, "enrollment", ""))
    sourced_id = "bio" if model is m.Class else "ana"
    await store.write(lambda tx: tx.run(model.update(ended=True).where(model.sourced_id == sourced_id)))
    await store.write(lambda tx: tx.journal("class.ended" if model is m.Class else "user.ended"))

    await store.write(lambda tx: apply_next(tx, JOB, "enrollment", "", planned=planned))

    assert not await _enrolled(store)
    letters = await store.read(lambda c: sync.dead_letters(c, "sis"))
    assert [letter.sourced_id for letter in letters] == ["new"]


async def test_rows_that_the_roster_has_are_planned_where_they_are_changed(store: Store) -> None:
    """Somebody may edit the row between the plan and the change."""
    changed = Class(sourced_id="bio", title="Biology II", school="s1", terms=BIOLOGY.terms)
    await _staged(store, "class", [changed, Class(sourced_id="chem", title="Chemistry", school="s1")])

    assert await store.read(lambda c: plan_ahead(c, JOB, "class", "")) is None

    await store.write(lambda tx: apply_next(tx, JOB, "class", ""))
    rows = await store.read(lambda c: c.all(m.Class.select().where(m.Class.source == "sis")))
    assert {row.title for row in rows} >= {"Biology II", "Chemistry"}
