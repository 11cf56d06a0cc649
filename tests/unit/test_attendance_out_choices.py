"""What could not go out by itself is shown with what was there, and a person decides; nothing is written blindly."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from homeroom.attendance_out import choose, problems, retry
from homeroom.records import Pushed
from homeroom.store import Refused, Store, Transaction
from homeroom.store import models as m
from tests.services.classroom import journal
from tests.services.outgoing import SIS, out

TODAY = datetime.now(UTC).date()
PLACE = ("sis-0", "sis-class", TODAY.isoformat())


async def test_only_the_chosen_ones_are_tried_again(store: Store) -> None:
    one = out(store)
    for student in ("sis-0", "sis-1", "sis-2"):
        one.sis.refused[student] = Pushed(key="", error="no")
    one.room.close(one.room.open().id)
    await one.send()
    one.sis.refused.clear()
    chosen = one.problems()[0]
    assert store.write_now(lambda tx: retry(tx, SIS, [])) == 0
    assert store.write_now(lambda tx: retry(tx, SIS, [chosen.id])) == 1
    await one.send()
    assert chosen.id not in {problem.id for problem in one.problems()}
    assert len(one.problems()) == 2


async def test_hazard_29_a_value_that_somebody_changed_in_the_sis_is_shown_and_not_overwritten(store: Store) -> None:
    one = out(store, students=1)
    session = one.room.open()
    one.mark(session, one.students[0], "absent")
    await one.send()
    one.sis.attendance[PLACE] = "by a script"
    one.correct(session, one.students[0], "present")
    await one.send()
    assert one.sis.attendance[PLACE] == "by a script"
    (shown,) = one.problems()
    assert (shown.held, shown.theirs, shown.status) == ("absent", "by a script", "present")
    await one.send()
    assert len(one.sis.pushed) == 2  # nobody asks the SIS again by themselves


async def test_a_person_has_ours_written_over_it_and_the_decision_is_kept_with_who_and_why(store: Store) -> None:
    one = out(store, students=1)
    one.sis.attendance[PLACE] = "by a script"
    one.mark(one.room.open(), one.students[0], "absent")
    await one.send()
    (shown,) = one.problems()
    why = "The script is wrong."
    store.write_now(lambda tx: choose(tx, shown.id, "overwrite", why=why, by="olga", version=shown.version))
    await one.send()
    assert one.sis.attendance[PLACE] == "absent"
    (sent,) = one.sis.pushed[-1]
    assert (sent.overwrite, sent.held) == (True, "by a script")
    assert sent.key != one.sis.pushed[0][0].key
    kept = store.read_now(lambda c: c.one(m.OutgoingChoice.select()))
    assert kept is not None
    assert (kept.choice, kept.theirs, kept.chosen_by) == ("overwrite", "by a script", "olga")
    assert why not in kept.why
    assert store.read_now(lambda c: c.unseal_for(one.students[0], kept.why)) == why
    (entry,) = journal(store, "attendance_out.chosen")
    assert entry.data == {"connector": SIS, "choice": "overwrite", "school_day": TODAY.isoformat()}
    assert not one.row().overwrite


async def test_a_person_lets_theirs_stand_until_the_mark_changes_here_again(store: Store) -> None:
    one = out(store, students=1)
    one.sis.attendance[PLACE] = "by the office"
    session = one.room.open()
    one.mark(session, one.students[0], "absent")
    await one.send()
    store.write_now(lambda tx: choose(tx, one.row().id, "keep", why="They know more.", by="olga"))
    await one.send()
    assert (one.problems(), one.sis.attendance[PLACE]) == ([], "by the office")
    one.correct(session, one.students[0], "excused")
    await one.send()
    assert one.sis.attendance[PLACE] == "excused"


async def test_a_mark_that_changed_in_the_sis_again_is_shown_again(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=1)
    one.sis.attendance[PLACE] = "by the office"
    session = one.room.open()
    one.mark(session, one.students[0], "absent")
    await one.send()
    sqlite_store.write_now(lambda tx: choose(tx, one.row().id, "keep", why="They know more.", by="olga"))
    one.sis.attendance[PLACE] = "by a script"
    one.correct(session, one.students[0], "excused")
    await one.send()
    assert [problem.theirs for problem in one.problems()] == ["by a script"]


async def test_a_correction_here_that_agrees_with_the_sis_settles_a_difference(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=1)
    one.sis.attendance[PLACE] = "excused"
    session = one.room.open()
    one.mark(session, one.students[0], "absent")
    await one.send()
    assert len(one.problems()) == 1
    one.correct(session, one.students[0], "excused")
    await one.send()
    assert (one.problems(), one.sis.writes) == ([], 0)


async def test_nothing_is_chosen_without_a_reason_or_about_what_has_changed_or_is_settled(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=1)
    one.mark(one.room.open(), one.students[0], "absent")
    await one.send()
    row = one.row().id
    for row_id, why, version, status in (
        (row, " ", None, 422),
        (row, "so", 9, 412),
        (row, "so", None, 409),
        ("x", "so", None, 404),
    ):

        def unit(tx: Transaction, row_id: str = row_id, why: str = why, version: int | None = version) -> None:
            choose(tx, row_id, "overwrite", why=why, by=None, version=version)

        with pytest.raises(Refused) as refused:
            sqlite_store.write_now(unit)
        assert refused.value.status == status


async def test_a_failed_mark_can_be_taken_off_the_list_but_not_written_over_anything(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=1)
    one.sis.refused["sis-0"] = Pushed(key="", error="no such student")
    one.mark(one.room.open(), one.students[0], "absent")
    await one.send()
    row = one.row().id
    with pytest.raises(Refused, match="nothing to choose"):
        sqlite_store.write_now(lambda tx: choose(tx, row, "overwrite", why="so", by=None))
    sqlite_store.write_now(lambda tx: choose(tx, row, "keep", why="Entered there by hand.", by="olga"))
    assert one.problems() == []


async def test_hazard_24_what_was_there_before_each_write_is_kept(store: Store) -> None:
    one = out(store, students=1)
    session = one.room.open()
    one.mark(session, one.students[0], "absent")
    await one.send()
    one.correct(session, one.students[0], "tardy")
    await one.send()
    one.sis.attendance[PLACE] = "by a script"
    one.correct(session, one.students[0], "present")
    await one.send()
    store.write_now(lambda tx: choose(tx, one.row().id, "overwrite", why="so", by="olga"))
    await one.send()
    found = [(write.version, write.held_before, write.held_after, write.outcome) for write in one.writes()]
    assert found == [
        (1, None, "absent", "confirmed"),
        (2, "absent", "tardy", "confirmed"),
        (3, "tardy", "by a script", "differs"),
        (4, "by a script", "present", "confirmed"),
    ]
    assert one.writes()[0].content["student"] == "sis-0"


async def test_the_list_comes_in_pages(sqlite_store: Store) -> None:
    one = out(sqlite_store, students=5)
    for number in range(5):
        one.sis.refused[f"sis-{number}"] = Pushed(key="", error="no")
    one.room.close(one.room.open().id)
    await one.send()
    seen: list[str] = []
    after = None
    for _ in range(3):
        page, after = sqlite_store.read_now(lambda c, at=after: problems(c, SIS, limit=2, after=at))  # type: ignore[misc]
        seen += [problem.student_id for problem in page]
    assert (sorted(seen), after) == (sorted(one.students), None)
