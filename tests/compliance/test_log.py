"""FERPA on what is written down: every read, every denial, and that nobody can change it afterwards unseen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeroom.store import now_utc
from homeroom.testing import FakeClock
from homeroom_ferpa.log.verify import verify
from tests.services.sealed import sealing
from tests.services.served import Served, served


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    """The small world with the plugin on, once on SQLite and once on PostgreSQL."""
    async with served(database_url, enabled=("ferpa",), required=("ferpa",)) as running:
        yield running


async def entries(api: Served, kind: str) -> list[tuple[Any, ...]]:
    text = "SELECT actor, action, student_ids, basis, reason FROM ferpa_audit WHERE kind = ? ORDER BY id"
    found: list[tuple[Any, ...]] = await api.district.store.read(lambda c: c.sql(text, (kind,)))
    return found


async def test_a_foreign_student_is_an_answer_without_data_and_a_row_in_the_log(api: Served) -> None:
    """FERPA 26 §99.31(a)(1)(i)(A): ids outside a teacher's current sections give 404 or 403 and a log row."""
    for student in ("bob", "cy", "dan"):
        answer = await api.get(f"~/students/{student}", "teacher_a")
        assert answer.status_code in (403, 404)
    assert [(who, student) for who, _, student, _, reason in await entries(api, "denied") if reason] == [
        ("teacher_a", f'["{student}"]') for student in ("bob", "cy", "dan")
    ]


async def test_reads_of_school_officials_are_logged_though_they_need_no_place_in_the_record(api: Served) -> None:
    """FERPA 42 §99.32(d): the system logs own officials, parents and students internally, with their basis."""
    for who in ("teacher_a", "guardian_ann", "ann"):
        assert (await api.get("~/students/ann", who)).status_code == 200
    told = await entries(api, "read")
    assert [(who, student) for who, _, student, _, _ in told] == [
        (who, '["ann"]') for who in ("teacher_a", "guardian_ann", "ann")
    ]
    assert all(basis for *_, basis, _ in told)
    ledger = await api.district.store.read(lambda c: c.sql("SELECT count(*) FROM ferpa_ledger"))
    assert ledger == [(0,)]


async def test_an_entry_that_was_changed_afterwards_is_found(api: Served) -> None:
    """FERPA 37 §99.32(a)(1): what was entered stays as it was entered; a change, also by hand, shows."""
    assert (await api.get("~/students/ann", "teacher_a")).status_code == 200
    await sealing(api.district.store, clock=FakeClock(now_utc())).log.sealer.seal()
    report = await verify(api.district.store.read)
    assert (report.problems, report.pending) == ([], 0)
    await api.district.store.write(lambda tx: tx.write_sql("UPDATE ferpa_audit SET actor = 'teacher_b' WHERE id = 1"))
    (problem,) = (await verify(api.district.store.read)).problems
    assert problem.startswith("audit row 1 ")
    assert problem.endswith("is not what was sealed")
