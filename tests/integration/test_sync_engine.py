from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from homeroom import sync
from homeroom.records import Class, Enrollment, Org, Page, Record, RowError, SourceError, UserRole
from homeroom.roster import classes, people
from homeroom.store import ORIGIN, Refused, Store, new_id
from homeroom.store import models as m
from homeroom.sync import DiffRow, RunResult, lease, pulling, staging, tidy
from homeroom.sync.job import Job
from homeroom.types import RoleAt
from tests.services.scripted_sis import BIOLOGY, ScriptedSis, everything, journal, person, small_district

TODAY = date(2026, 9, 15)


async def _run(store: Store, records: Sequence[Record] | ScriptedSis, **options: Any) -> RunResult:
    sis = records if isinstance(records, ScriptedSis) else ScriptedSis(list(records))
    return await sync.run(store, "sis", sis, **options)


def _counts(result: RunResult) -> tuple[int, int, int, int]:
    return result.added, result.changed, result.ended, result.unchanged


async def _id(store: Store, model: Any, sourced_id: str) -> str:
    return str(await store.read(lambda c: c.value(model.select(model.id).where(model.sourced_id == sourced_id))))


async def _user(store: Store, sourced_id: str) -> m.User:
    row = await store.read(lambda c: c.one(m.User.select().where(m.User.sourced_id == sourced_id)))
    assert row is not None
    return row


async def _letters(store: Store) -> list[tuple[str, str | None, str]]:
    found = await store.read(lambda c: sync.dead_letters(c, "sis"))
    return [(letter.location, letter.field, letter.reason) for letter in found]


def _with(records: Sequence[Record], *changed: Record) -> list[Record]:
    """`records` with some of them replaced by id."""
    new = {(record.noun, record.sourced_id): record for record in changed}
    known = {(record.noun, record.sourced_id) for record in records}
    kept = [new.get((record.noun, record.sourced_id), record) for record in records]
    return [*kept, *(record for record in changed if (record.noun, record.sourced_id) not in known)]


def _without(records: Sequence[Record], *sourced_ids: str) -> list[Record]:
    return [record for record in records if record.sourced_id not in sourced_ids]


async def test_a_first_run_loads_everything_in_whatever_order_it_comes(store: Store) -> None:
    result = await _run(store, small_district())

    assert (result.status, _counts(result), result.dead_letters) == ("done", (15, 0, 0, 0), 0)
    class_id, school_id = await _id(store, m.Class, "bio"), await _id(store, m.Org, "s1")
    roster = await store.read(lambda c: classes.roster_of(c, class_id, TODAY))
    assert [one.name for one in roster.students] == ["Ana Ruiz", "Ben Ruiz", "Cem Ruiz"]
    assert [(one.name, one.primary) for one in roster.teachers] == [("Tia Ruiz", True)]
    assert await _id(store, m.Org, "d") == await store.read(lambda c: c.get(m.Org, school_id).parent_id)  # type: ignore[union-attr]
    gus = await _user(store, "gus")
    assert len(await store.read(lambda c: people.children_of(c, gus.id))) == 3
    ana = await _user(store, "ana")
    assert [one.value for one in await store.read(lambda c: people.contacts_of(c, ana.id))] == ["ana@example.org"]
    term_id = await _id(store, m.AcademicSession, "t1")
    assert await store.read(lambda c: classes.terms_of(c, [class_id])) == {class_id: [term_id]}


async def test_a_second_run_over_the_same_data_touches_no_row_at_all(store: Store) -> None:
    await _run(store, small_district())
    before = await store.read(everything)

    again = await _run(store, small_district())

    assert _counts(again) == (0, 0, 0, 15)
    assert await store.read(everything) == before
    assert await store.read(lambda c: c.sql("SELECT count(*) FROM staged_rows")) == [(0,)]


async def test_each_row_enters_the_journal_once_with_ids_only(store: Store) -> None:
    token = ORIGIN.set(replace(ORIGIN.get(), purpose="roster"))
    result = await _run(store, small_district(), started_by="admin")
    ORIGIN.reset(token)

    entries = await store.read(journal)
    kinds = [entry.kind for entry in entries]
    assert {kind: kinds.count(kind) for kind in sorted(set(kinds))} == {
        "academic_session.created": 2,
        "class.created": 1,
        "course.created": 1,
        "enrollment.added": 4,
        "guardianship.added": 3,
        "org.created": 2,
        "user.created": 5,
    }
    text = " ".join(str(entry.data) for entry in entries)
    assert "Ruiz" not in text
    assert "@" not in text
    assert {(entry.actor_id, entry.purpose, entry.request_id) for entry in entries} == {
        ("admin", "roster", result.run_id)
    }
    ana = await _user(store, "ana")
    [added] = [entry for entry in entries if entry.kind == "enrollment.added" and entry.student_id == ana.id]
    assert added.class_id == await _id(store, m.Class, "bio")


async def test_a_changed_field_is_one_changed_row_and_one_entry(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    before = len(await store.read(journal))
    ana = await _user(store, "ana")

    result = await _run(
        store, _with(records, person("ana", "student", agents=("gus",), email="ana@example.org", grades=("09",)))
    )

    assert _counts(result) == (0, 1, 0, 14)
    [entry] = (await store.read(journal))[before:]
    assert (entry.kind, entry.student_id, entry.data) == ("user.changed", ana.id, {"fields": ["grades"]})
    changed = await _user(store, "ana")
    assert (changed.grades, changed.version) == (["09"], 2)


async def test_when_the_source_touches_a_row_without_changing_it_nothing_happens(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    touched = [replace(record, modified=datetime(2026, 9, 2, tzinfo=UTC)) for record in records]

    assert _counts(await _run(store, touched)) == (0, 0, 0, 15)


async def test_an_edit_made_here_outlives_changes_to_other_fields(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    ana = await _user(store, "ana")
    await store.write(lambda tx: people.patch_person(tx, ana.id, {"preferred_given_name": "Anni"}))

    await _run(
        store, _with(records, person("ana", "student", agents=("gus",), email="ana@example.org", grades=("09",)))
    )

    changed = await _user(store, "ana")
    assert (changed.preferred_given_name, changed.grades) == ("Anni", ["09"])
    assert changed.sort_name == "ruiz anni | ruiz ana"


async def test_what_a_full_run_no_longer_holds_is_ended_and_nothing_is_deleted(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    before = await store.read(everything)

    result = await _run(store, _without(records, "ben", "e-ben"))

    assert _counts(result) == (0, 0, 2, 13)
    after = await store.read(everything)
    assert {name: len(rows) for name, rows in after.items() if name != "journal"} == {
        name: len(rows) for name, rows in before.items() if name != "journal"
    }
    ben = await _user(store, "ben")
    assert ben.ended
    entries = (await store.read(journal))[len(before["journal"]) :]
    assert [(entry.kind, entry.student_id) for entry in entries] == [
        ("enrollment.ended", ben.id),
        ("user.ended", ben.id),
    ]
    assert _counts(await _run(store, _without(records, "ben", "e-ben"))) == (0, 0, 0, 13)


async def test_a_return_restores_the_same_rows(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    ben = await _user(store, "ben")
    await _run(store, _without(records, "ben", "e-ben"))

    result = await _run(store, records)

    assert _counts(result) == (0, 2, 0, 13)
    back = await _user(store, "ben")
    assert (back.id, back.ended) == (ben.id, False)
    kinds = [entry.kind for entry in await store.read(journal)][-2:]
    assert kinds == ["user.restored", "enrollment.restored"]
    class_id = await _id(store, m.Class, "bio")
    roster = await store.read(lambda c: classes.roster_of(c, class_id, TODAY))
    assert len(roster.students) == 3


async def test_a_record_marked_to_be_deleted_ends_what_it_names_in_a_delta(store: Store) -> None:
    await _run(store, small_district())
    gone: list[Record] = [
        Enrollment(sourced_id="e-ben", user="", class_="", role="", status="tobedeleted"),
        Enrollment(sourced_id="never-seen", user="", class_="", role="", status="tobedeleted"),
    ]

    first = await _run(store, ScriptedSis(gone, delta=True))
    second = await _run(store, ScriptedSis(gone, delta=True))

    assert _counts(first) == (0, 0, 1, 1)
    assert _counts(second) == (0, 0, 0, 2)


async def test_a_delta_takes_nothing_for_gone(store: Store) -> None:
    await _run(store, small_district())

    result = await _run(store, ScriptedSis([person("ana", "student", agents=("gus",))], delta=True))

    assert result.ended == 0
    assert result.reason is None


async def test_asking_only_for_changes_takes_nothing_for_gone(store: Store) -> None:
    await _run(store, small_district())
    sis = ScriptedSis([person("dan", "student")])

    result = await _run(store, sis, full=False)

    assert _counts(result) == (1, 0, 0, 0)
    assert all(pull.since is not None for pull in sis.pulls)


async def test_a_source_that_gives_everything_although_asked_for_changes_may_end_rows(store: Store) -> None:
    records = small_district()
    await _run(store, records)

    result = await _run(store, ScriptedSis(_without(records, "e-ben"), whole=True), full=False)

    assert result.ended == 1


async def test_an_empty_answer_is_never_read_as_everybody_left(store: Store) -> None:
    await _run(store, small_district())
    before = await store.read(everything)

    result = await _run(store, [])

    assert (result.status, result.ended) == ("done", 0)
    assert result.reason is not None
    assert "enrollment: nothing was taken for gone" in result.reason
    assert await store.read(everything) == before


async def test_when_counts_disagree_nothing_is_taken_for_gone(store: Store) -> None:
    records = small_district()
    await _run(store, records)

    short = await _run(store, ScriptedSis(_without(records, "e-ben"), totals={"enrollment": 4}))
    agreed = await _run(store, ScriptedSis(_without(records, "e-ben"), totals={"enrollment": 3}))

    assert (short.ended, agreed.ended) == (0, 1)
    assert short.reason == (
        "enrollment: nothing was taken for gone, because the source counts 4 and gave 3. "
        "Put that right in the source, then: homeroom sync run sis --full"
    )


async def test_a_row_that_could_not_be_read_is_not_taken_for_gone(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    bad = RowError(noun="user", where="users.csv:7", reason="this is empty", field="familyName", sourced_id="ben")

    result = await _run(store, ScriptedSis(_without(records, "ben"), errors=[bad]))

    assert _counts(result) == (0, 0, 0, 14)
    assert await _letters(store) == [("users.csv:7", "familyName", "this is empty")]


async def test_with_a_row_that_could_be_anybodys_nobody_is_taken_for_gone(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    bad = RowError(noun="user", where="users.csv:7", reason="unreadable")

    result = await _run(store, ScriptedSis(_without(records, "ben", "e-ben"), errors=[bad]))

    assert _counts(result) == (0, 0, 1, 13)  # enrolments were all readable, so that one has ended
    assert (result.reason or "").startswith(
        "user: nothing was taken for gone, because 1 rows could not be told apart. "
    )


async def test_a_part_that_could_not_be_read_hides_nobody(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    bad = RowError(noun="user", where="roles.csv:7", reason="no role", part=True)

    result = await _run(store, ScriptedSis(_without(records, "ben", "e-ben"), errors=[bad]))

    assert (result.ended, result.dead_letters) == (2, 1)


async def test_rows_that_name_what_nobody_knows_are_kept_with_the_reason_while_the_rest_loads(store: Store) -> None:
    records = [
        *small_district(),
        Enrollment(sourced_id="e-x", user="ana", class_="no-such-class", role="student"),
        Enrollment(sourced_id="e-y", user="nobody", class_="bio", role="student"),
        Class(sourced_id="lost", title="Lost", school="no-such-school"),
        Enrollment(sourced_id="e-z", user="ana", class_="lost", role="student"),
    ]

    result = await _run(store, records)

    assert (result.added, result.dead_letters) == (15, 4)
    assert sorted(await _letters(store)) == [
        ("class lost", "school", "it names a school or district that is not known"),
        ("enrollment e-x", "class_", "it names a class that is not known"),
        ("enrollment e-y", "user", "it names a person who is not known"),
        ("enrollment e-z", "class_", "it names a class that is not known"),
    ]
    again = await _run(store, records)
    assert (_counts(again), again.dead_letters) == ((0, 0, 0, 15), 4)
    assert len(await _letters(store)) == 4  # only what the last run could not take


async def test_what_was_left_out_is_taken_as_soon_as_it_can_be(store: Store) -> None:
    records = _without(small_district(), "gus", "t1", "c1")
    first = await _run(store, records)
    assert (first.added, first.dead_letters) == (12, 5)  # three agents, a term and a course

    second = await _run(store, small_district())

    assert (second.added, second.changed, second.dead_letters) == (3, 4, 0)
    class_id = await _id(store, m.Class, "bio")
    row = await store.read(lambda c: c.get(m.Class, class_id))
    assert row is not None
    assert row.course_id == await _id(store, m.Course, "c1")
    assert _counts(await _run(store, small_district())) == (0, 0, 0, 15)


async def test_an_unknown_reference_does_not_erase_a_known_one(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    course_id = await _id(store, m.Course, "c1")

    await _run(store, _with(records, replace(BIOLOGY, title="Botany", course="no-such-course")))

    row = await store.read(lambda c: c.one(m.Class.select()))
    assert row is not None
    assert (row.title, row.course_id) == ("Botany", course_id)


async def test_records_that_no_database_can_keep_are_told_one_by_one(store: Store) -> None:
    records = [
        *small_district(),
        person("nul", "student", given_name="A\x00B"),
        person("half", "student", given_name="\ud800"),
        Org(sourced_id="", name="No id", kind="school"),
        person("bad\x00id", "student"),
    ]

    result = await _run(store, records)

    assert (result.status, result.added, result.dead_letters) == ("done", 15, 4)
    reasons = sorted(reason for _, _, reason in await _letters(store))
    assert reasons == [
        "it has no usable id",
        "it has no usable id",
        "it holds a NUL character",
        "it holds characters that are not valid text",
    ]


async def test_a_term_without_dates_is_left_out(store: Store) -> None:
    records = small_district()
    bad = replace(records[2], begins_on=None)  # type: ignore[arg-type]

    result = await _run(store, _with(records, bad))

    assert ("academicSession t1", "begins_on", "this is missing") in await _letters(store)
    assert result.status == "done"


async def test_roles_come_and_go_but_those_given_here_stay(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    ana = await _user(store, "ana")
    school_id = await _id(store, m.Org, "s1")
    here = RoleAt(role="guardian", org_id=school_id)
    await store.write(lambda tx: people.grant_role(tx, ana.id, here))

    later = person("ana", "teacher", agents=("gus",), email="ana@example.org")
    result = await _run(store, _with(records, later))

    assert result.changed == 1
    held = await store.read(lambda c: people.roles_of(c, ana.id))
    assert sorted(role.role for role in held) == ["guardian", "teacher"]


async def test_a_role_keeps_its_days(store: Store) -> None:
    records = small_district()
    dated = UserRole(role="student", org="s1", begins_on=date(2026, 9, 1), ends_on=date(2026, 10, 1))
    await _run(store, _with(records, person("ana", agents=("gus",), roles=(dated,))))
    ana = await _user(store, "ana")

    assert await store.read(lambda c: people.roles_of(c, ana.id, date(2026, 10, 1))) == ()
    assert len(await store.read(lambda c: people.roles_of(c, ana.id, TODAY))) == 1
    longer = replace(dated, ends_on=date(2026, 11, 1))
    assert (await _run(store, _with(records, person("ana", agents=("gus",), roles=(longer,))))).changed == 1
    assert len(await store.read(lambda c: people.roles_of(c, ana.id, date(2026, 10, 1)))) == 1


@pytest.mark.parametrize("name", ["administrator", "principal", "siteAdministrator"])
async def test_a_roster_makes_nobody_an_administrator_unless_the_district_says_so(store: Store, name: str) -> None:
    records = [*small_district(), person("pat", name)]
    district = UserRole(role=name, org="d")
    records.append(person("sam", roles=(district,)))

    await _run(store, records)
    pat, sam = await _user(store, "pat"), await _user(store, "sam")
    assert await store.read(lambda c: people.roles_of(c, pat.id)) == ()

    await _run(store, records, administrators=True)
    assert [role.role for role in await store.read(lambda c: people.roles_of(c, pat.id))] == ["school_admin"]
    assert await store.read(lambda c: people.roles_of(c, sam.id)) == ()  # a district is no school

    await _run(store, records)
    assert await store.read(lambda c: people.roles_of(c, pat.id)) == ()


async def test_a_role_at_an_unknown_org_is_left_out_and_the_person_taken(store: Store) -> None:
    roles = (UserRole(role="student", org="s1"), UserRole(role="student", org="no-such-org"))

    result = await _run(store, [*small_district(), person("dan", roles=roles)])

    assert result.dead_letters == 1
    dan = await _user(store, "dan")
    assert len(await store.read(lambda c: people.roles_of(c, dan.id))) == 1


async def test_an_address_that_somebody_gave_for_themselves_is_vouched_for_once_the_source_has_it_too(
    store: Store,
) -> None:
    records = _with(small_district(), person("ana", "student", agents=("gus",)))
    await _run(store, records)
    ana = await _user(store, "ana")
    await store.write(
        lambda tx: people.add_contact(tx, ana.id, "email", "ana@home.example", source=people.SELF_ASSERTED)
    )
    told = _with(records, person("ana", "student", agents=("gus",), email="ana@home.example"))
    assert (await _run(store, told)).changed == 1
    kept = await store.read(lambda c: people.contacts_of(c, ana.id))
    assert [(one.value, one.source) for one in kept] == [("ana@home.example", "sis")]
    assert (await _run(store, told)).changed == 0


async def test_addresses_are_replaced_and_those_given_here_stay(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    ana = await _user(store, "ana")
    await store.write(lambda tx: people.add_contact(tx, ana.id, "email", "here@example.org"))

    moved = person("ana", "student", agents=("gus",), email=" New@example.org ", sms="+12025550100")
    assert (await _run(store, _with(records, moved))).changed == 1

    values = {one.value for one in await store.read(lambda c: people.contacts_of(c, ana.id))}
    assert values == {"New@example.org", "+12025550100", "here@example.org"}
    await _run(store, _with(records, person("ana", "student", agents=("gus",))))
    values = {one.value for one in await store.read(lambda c: people.contacts_of(c, ana.id))}
    assert values == {"here@example.org"}


async def test_no_address_lies_in_clear_anywhere_in_the_database(sqlite_store: Store, sqlite_url: str) -> None:
    from homeroom.store.database import sqlite_path

    bad = Enrollment(sourced_id="e-x", user="nobody", class_="bio", role="student")
    await _run(sqlite_store, [*small_district(), bad])
    sqlite_store.close()

    for path in sqlite_path(sqlite_url).parent.glob("homeroom.db*"):
        assert b"ana@example.org" not in path.read_bytes()


async def test_guardians_change_and_one_unlinked_here_is_not_linked_again(store: Store) -> None:
    records = [*small_district(), person("gil", "guardian")]
    await _run(store, records)
    ana, gus, gil = [await _user(store, one) for one in ("ana", "gus", "gil")]

    async def guardians(agents: tuple[str, ...]) -> list[str]:
        told = person("ana", "student", agents=agents, email="ana@example.org")
        await _run(store, _with(records, told))
        return [one.user.id for one in await store.read(lambda c: people.guardians_of(c, ana.id))]

    assert await guardians(("gil",)) == [gil.id]
    assert await guardians(("gil", "gus", "ana")) == [gil.id, gus.id]
    await store.write(lambda tx: people.unlink_guardian(tx, gus.id, ana.id))
    assert await guardians(("gus",)) == []
    kinds = [entry.kind for entry in await store.read(journal)]
    assert kinds.count("guardianship.ended") == 3  # gus, gus again by hand, and gil
    assert len(await store.read(lambda c: c.all(m.Guardianship.select()))) == 4


async def test_terms_of_a_class_change_and_those_given_here_stay(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    class_id = await _id(store, m.Class, "bio")
    await store.write(lambda tx: tx.insert(m.ClassTerm, class_id=class_id, term_id="ours"))

    await _run(store, _with(records, replace(BIOLOGY, terms=("y",))))

    terms = (await store.read(lambda c: classes.terms_of(c, [class_id])))[class_id]
    assert sorted(terms) == sorted(["ours", await _id(store, m.AcademicSession, "y")])


async def test_a_record_of_changes_leaves_what_it_does_not_name(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    changes: list[Record] = [
        replace(person("ana", "teacher"), given_name="", family_name="", only=("roles",), roles_complete=False),
        replace(person("ben"), given_name="Benno", only=("given_name", "family_name", "birth_date"),
                birth_date=date(2012, 1, 2)),
        replace(person("cem"), roles=(UserRole(role="student", org="s1", status="tobedeleted"),), only=("roles",),
                roles_complete=False),
        replace(person("new"), given_name="", family_name="", only=("roles",), roles_complete=False),
    ]  # fmt: skip

    result = await _run(store, ScriptedSis(changes, delta=True))

    assert (_counts(result), result.dead_letters) == ((0, 3, 0, 0), 1)
    ana, ben, cem = [await _user(store, one) for one in ("ana", "ben", "cem")]
    assert ana.given_name == "Ana"
    assert {one.role for one in await store.read(lambda c: people.roles_of(c, ana.id))} == {"student", "teacher"}
    assert len(await store.read(lambda c: people.contacts_of(c, ana.id))) == 1
    assert (ben.given_name, ben.birth_date) == ("Benno", date(2012, 1, 2))
    assert len(await store.read(lambda c: people.guardians_of(c, ben.id))) == 1
    assert await store.read(lambda c: people.roles_of(c, cem.id)) == ()
    assert [reason for _, _, reason in await _letters(store)] == ["it only changes a person, who is not known yet"]


async def test_a_dry_run_tells_every_change_field_by_field_and_changes_nothing(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    before = await store.read(everything)
    rows: list[DiffRow] = []
    changed = _without(
        _with(
            records,
            person("ana", "student", agents=("gus",), email="other@example.org", grades=("09",)),
            replace(BIOLOGY, title="Botany", course=None),
            person("dan", "student"),
            Enrollment(sourced_id="e-dan", user="dan", class_="bio", role="student"),
        ),
        "e-ben",
    )

    result = await _run(store, changed, dry_run=True, on_diff=rows.append)

    assert (result.dry_run, _counts(result), result.dead_letters) == (True, (2, 2, 1, 12), 0)
    assert await store.read(everything) == before
    by_id = {row.sourced_id: row for row in rows}
    assert {key: row.change for key, row in by_id.items()} == {
        "bio": "changed",
        "ana": "changed",
        "dan": "added",
        "e-dan": "added",
        "e-ben": "ended",
    }
    assert by_id["bio"].fields == {"title": ("Biology", "Botany"), "course": ("c1", None)}
    assert by_id["ana"].as_json()["fields"] == {"grades": [[], ["09"]], "email": ["(an address)", "(an address)"]}
    assert "example.org" not in str(rows)
    real = await _run(store, changed)
    assert _counts(real) == _counts(result)


async def test_a_dry_run_on_an_empty_database_resolves_what_it_has_not_written(store: Store) -> None:
    result = await _run(store, small_district(), dry_run=True)

    assert (_counts(result), result.dead_letters) == ((15, 0, 0, 0), 0)
    assert await store.read(lambda c: c.sql("SELECT count(*) FROM users")) == [(0,)]


async def test_progress_is_told_for_every_phase(store: Store) -> None:
    told: list[tuple[str, str, int]] = []

    await _run(store, small_district(), progress=lambda p: told.append((p.phase, p.noun, p.done)))

    assert ("pulling", "user", 2) in told
    assert ("pulling", "user", 5) in told
    assert ("applying", "enrollment", 4) in told


async def test_a_failing_source_leaves_everything_as_it_was_and_says_why(store: Store) -> None:
    records = small_district()
    await _run(store, records)
    before = await store.read(everything)
    failures: dict[Any, list[BaseException]] = {("enrollment", 1): [SourceError("the vendor is closed today")]}

    result = await _run(store, ScriptedSis([person("new", "student")], failures=failures, page=1))
    broken = await _run(store, ScriptedSis(records, failures={("user", 0): [KeyError("Ruiz, Ana")]}))

    assert result.status == "held"  # one page only: the failure was never reached, but everybody else would be gone
    assert (broken.status, broken.reason) == (
        "failed",
        "The connector failed (KeyError). Tell its maker what the server's log says.",
    )
    failed = await _run(store, ScriptedSis(records, failures=failures, page=1))
    assert (failed.status, failed.reason) == (
        "failed",
        "The vendor is closed today. See what to put right with: homeroom sync check sis",
    )
    after = await store.read(everything)
    assert [row[0] for row in after["enrollments"]] == [row[0] for row in before["enrollments"]]


async def test_a_source_that_says_later_is_read_on_from_the_checkpoint(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_LONGEST_WAIT", 0.01)
    failing: dict[Any, list[BaseException]] = {
        ("user", 1): [SourceError("busy", retry_after=60.0), SourceError("busy", retry_after=60.0)]
    }
    sis = ScriptedSis(small_district(), failures=failing)

    result = await _run(store, sis)

    assert (result.status, _counts(result)) == ("done", (15, 0, 0, 0))
    assert [pull.cursor for pull in sis.pulls if pull.noun == "user"] == [None, "2", "2"]


async def test_a_source_that_says_later_for_ever_fails_the_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "_LONGEST_WAIT", 0.01)
    failing: dict[Any, list[BaseException]] = {
        ("user", 1): [SourceError("busy", retry_after=60.0) for _ in range(pulling.ATTEMPTS)]
    }

    result = await _run(store, ScriptedSis(small_district(), failures=failing))

    assert (result.status, result.reason) == (
        "failed",
        f"Busy. Try again later with: homeroom sync resume {result.run_id}",
    )


async def test_a_source_that_says_later_now_and_then_is_read_to_its_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy vendor of a large district says it more often than anybody would count, and gets further each time."""
    monkeypatch.setattr(pulling, "_LONGEST_WAIT", 0.001)
    records = small_district([f"student-{number}" for number in range(pulling.ATTEMPTS + 3)])
    failing: dict[Any, list[BaseException]] = {
        ("user", page): [SourceError("busy", retry_after=60.0)] for page in range(1, pulling.ATTEMPTS + 3)
    }

    result = await _run(store, ScriptedSis(records, page=1, failures=failing))

    assert (result.status, result.reason) == ("done", None)


async def test_a_run_killed_while_it_reads_is_resumed_from_its_checkpoint(store: Store) -> None:
    sis = ScriptedSis(small_district(), failures={("user", 1): [SourceError("the line was cut")]})
    failed = await _run(store, sis)
    sis.pulls.clear()

    result = await sync.resume(store, failed.run_id, sis)

    assert (result.run_id, result.status, _counts(result)) == (failed.run_id, "done", (15, 0, 0, 0))
    assert [(pull.noun, pull.cursor) for pull in sis.pulls] == [("user", "2"), ("enrollment", None)]


async def test_what_is_read_again_is_forgotten_a_little_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check-in waits for no more than one piece, however much was read in vain."""
    pieces: list[int] = []
    delete = tidy._delete

    def counted(tx: Any, run_id: str, noun: str, sourced_ids: Sequence[str]) -> None:
        pieces.append(len(sourced_ids))
        delete(tx, run_id, noun, sourced_ids)

    failing: dict[Any, list[BaseException]] = {("user", 2): [SourceError("the line was cut")]}
    sis = ScriptedSis(small_district(), failures=failing, with_cursors=False)
    failed = await _run(store, sis)
    monkeypatch.setattr(tidy, "_PIECE", 2)
    monkeypatch.setattr(tidy, "_delete", counted)

    result = await sync.resume(store, failed.run_id, sis)

    assert (result.status, _counts(result)) == ("done", (15, 0, 0, 0))
    assert pieces[:3] == [2, 2, 0]


async def test_a_source_without_cursors_is_read_again_from_the_start(store: Store) -> None:
    bad = RowError(noun="user", where="page 1", reason="unreadable")
    failing: dict[Any, list[BaseException]] = {("user", 1): [SourceError("the line was cut")]}
    sis = ScriptedSis(small_district(), errors=[bad], failures=failing, with_cursors=False)
    failed = await _run(store, sis)

    result = await sync.resume(store, failed.run_id, sis)

    assert (_counts(result), result.dead_letters) == ((15, 0, 0, 0), 1)


class _Killed(BaseException):
    """What no error handling may catch, like the end of the process."""


@pytest.mark.parametrize("units", range(6))
async def test_a_run_killed_between_two_units_is_resumed_and_ends_as_if_nothing_had_happened(
    store: Store, units: int
) -> None:
    done = 0

    def die(progress: sync.Progress) -> None:
        nonlocal done
        done += progress.phase == "applying"
        if done > units:
            raise _Killed

    with pytest.raises(_Killed):
        await _run(store, small_district(), progress=die)
    [state] = await store.read(lambda c: sync.runs(c, "sis"))
    assert state.status == "applying"

    result = await sync.resume(store, state.run_id, ScriptedSis(small_district()))

    assert (result.status, _counts(result)) == ("done", (15, 0, 0, 0))
    assert _counts(await _run(store, small_district())) == (0, 0, 0, 15)
    kinds = [entry.kind for entry in await store.read(journal)]
    assert kinds.count("user.created") == 5
    assert kinds.count("enrollment.added") == 4


async def test_a_row_that_could_not_be_taken_before_a_kill_is_not_counted_as_given_twice(store: Store) -> None:
    stray = Enrollment(sourced_id="e-stray", user="nobody", class_="bio", role="student")
    sis = ScriptedSis([*small_district(), stray])

    def die(progress: sync.Progress) -> None:
        if (progress.phase, progress.noun) == ("applying", "enrollment"):
            raise _Killed

    with pytest.raises(_Killed):
        await _run(store, sis, progress=die)
    [state] = await store.read(lambda c: sync.runs(c, "sis"))

    result = await sync.resume(store, state.run_id, sis)

    assert (result.status, result.dead_letters, result.reason) == ("done", 1, None)


async def test_what_a_run_took_over_before_it_was_killed_still_refers_to_what_the_next_one_brings(store: Store) -> None:
    """Students were taken over with a guardian who was not: the new run must bring the very person whom they name."""
    students = [f"p{number:03d}" for number in range(300)]  # more than one unit of people; gus comes in the first
    guardian = person("zoe", "parent")
    records = [*small_district(), guardian, *(person(one, "student", agents=("zoe",)) for one in students)]

    def die(progress: sync.Progress) -> None:
        if (progress.phase, progress.noun) == ("applying", "user"):
            raise _Killed

    with pytest.raises(_Killed):
        await _run(store, ScriptedSis(records, page=500), progress=die)
    assert (await _run(store, records[:-1], dry_run=True)).status == "done"

    result = await _run(store, ScriptedSis(records, page=500))

    assert result.status == "done"
    zoe = await _user(store, "zoe")
    assert len(await store.read(lambda c: people.children_of(c, zoe.id))) == 300


async def test_only_a_run_that_was_not_overtaken_can_be_resumed(store: Store) -> None:
    sis = ScriptedSis(small_district(), failures={("user", 1): [SourceError("the line was cut")]})
    failed = await _run(store, sis)
    done = await _run(store, sis)

    with pytest.raises(Refused, match="later run"):
        await sync.resume(store, failed.run_id, sis)
    with pytest.raises(Refused, match="is done"):
        await sync.resume(store, done.run_id, sis)
    with pytest.raises(Refused, match="no such run"):
        await sync.resume(store, "unknown", sis)
    assert await store.read(lambda c: c.sql("SELECT count(*) FROM staged_rows")) == [(0,)]


async def test_a_run_whose_process_was_killed_is_marked_when_the_next_begins(store: Store) -> None:
    now = datetime.now(UTC)
    await store.write(lambda tx: tx.insert(m.SyncRun, id="dead", connector="sis", state="applying", started_at=now))

    result = await _run(store, small_district())

    dead = await store.read(lambda c: sync.result_of(c, "dead"))
    assert dead is not None
    assert (dead.status, dead.reason) == ("failed", f"interrupted; run {result.run_id} took its place")


async def test_a_second_run_of_the_same_connector_is_refused_while_one_is_under_way(store: Store) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Slow(ScriptedSis):
        async def pull(self, pull: Any) -> Any:
            reached.set()
            await go_on.wait()
            async for page in super().pull(pull):
                yield page

    first = asyncio.create_task(_run(store, Slow(small_district())))
    await reached.wait()
    with pytest.raises(Refused, match="under way") as caught:
        await _run(store, small_district())
    assert caught.value.retry_after is not None
    [status] = await store.read(lambda c: sync.status(c, datetime.now(UTC)))
    assert status.running
    go_on.set()
    assert (await first).status == "done"
    assert (await _run(store, small_district())).status == "done"


async def test_a_run_that_lost_its_lease_stops_before_it_writes(store: Store) -> None:
    class Robbed(ScriptedSis):
        async def pull(self, pull: Any) -> Any:
            async for page in super().pull(pull):
                if pull.noun == "user":
                    await store.write(lambda tx: tx.run(m.Lease.update(holder="another")))
                yield page

    result = await _run(store, Robbed(small_district()))

    assert (result.status, result.reason) == ("failed", "Another run of this connector has taken over.")
    assert await store.read(lambda c: c.sql("SELECT count(*) FROM orgs")) == [(0,)]
    held = await store.read(lambda c: c.get(m.Lease, "sync.sis"))
    assert held is not None
    assert held.holder == "another"


async def test_a_run_that_another_process_has_gone_on_with_is_left_to_that_one(store: Store) -> None:
    """A process that slept wakes up: what it says of the run must not undo that it is held."""

    class Asleep(ScriptedSis):
        async def pull(self, pull: Any) -> Any:
            async for page in super().pull(pull):
                if pull.noun == "user":
                    await store.write(lambda tx: tx.run(m.Lease.update(holder="another")))
                    await store.write(lambda tx: tx.run(m.SyncRun.update(state="held", reason="Look.")))
                yield page

    asleep = await _run(store, Asleep(small_district()))

    assert (asleep.status, asleep.reason) == ("failed", "Another run of this connector has taken over.")
    kept = await store.read(lambda c: sync.result_of(c, asleep.run_id))
    assert kept is not None
    assert (kept.status, kept.reason) == ("held", "Look.")


async def test_a_lease_is_taken_by_one_and_free_again_when_it_runs_out(store: Store) -> None:
    assert await store.write(lambda tx: lease.take(tx, "x", "a"))
    assert not await store.write(lambda tx: lease.take(tx, "x", "b"))
    past = datetime.now(UTC) - timedelta(seconds=1)
    await store.write(lambda tx: tx.run(m.Lease.update(until=past)))
    assert await store.write(lambda tx: lease.take(tx, "x", "b"))
    await store.write(lambda tx: lease.give_back(tx, "x", "a"))
    assert await store.read(lambda c: lease.is_held(c, "x", "b"))


async def test_a_slow_source_does_not_cost_the_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SECONDS", 0.3)

    class Slow(ScriptedSis):
        async def pull(self, pull: Any) -> Any:
            if pull.noun == "org":
                first = await store.read(lambda c: lease.until(c, "sync.sis"))
                deadline = asyncio.get_running_loop().time() + 10
                while await store.read(lambda c: lease.until(c, "sync.sis")) == first:
                    assert asyncio.get_running_loop().time() < deadline, "the lease was never renewed"
                    await asyncio.sleep(0.02)
            async for page in super().pull(pull):
                yield page

    assert (await _run(store, Slow(small_district()))).status == "done"


async def test_the_status_tells_the_last_run_the_last_success_and_what_was_left_out(store: Store) -> None:
    assert await store.read(lambda c: sync.status(c, datetime.now(UTC))) == []
    bad = Enrollment(sourced_id="e-x", user="nobody", class_="bio", role="student")
    good = await _run(store, [*small_district(), bad])
    dry = await _run(store, [*small_district(), bad], dry_run=True)
    failed = await _run(store, ScriptedSis(failures={("org", 0): [SourceError("closed")]}))

    [status] = await store.read(lambda c: sync.status(c, datetime.now(UTC)))

    assert (status.connector, status.running, status.last.run_id) == ("sis", False, failed.run_id)
    assert status.last_success == good.finished_at
    assert status.dead_letters == 1
    newest = await store.read(sync.runs)
    assert [one.run_id for one in newest] == [failed.run_id, dry.run_id, good.run_id]
    assert good.as_json()["added"] == 15
    [letter] = await store.read(lambda c: sync.dead_letters(c, "sis", run_id=good.run_id))
    assert await store.read(lambda c: sync.dead_letters(c, "sis", run_id=good.run_id, after=letter.id)) == []


async def test_two_connectors_do_not_touch_each_others_rows(store: Store) -> None:
    await _run(store, small_district())
    before = await store.read(lambda c: c.sql("SELECT count(*) FROM users WHERE NOT ended"))

    other = await sync.run(store, "hr", ScriptedSis([Org(sourced_id="s1", name="Other", kind="school")]))

    assert other.added == 1
    assert await store.read(lambda c: c.sql("SELECT count(*) FROM users WHERE NOT ended")) == before


async def test_check_ins_pass_between_the_units_of_a_large_run(store: Store) -> None:
    students = [f"p{number:04d}" for number in range(900)]
    passed = 0

    async def check_in() -> None:
        nonlocal passed
        while True:
            await store.write(lambda tx: tx.insert(m.KeyValue, plugin="test", key=new_id(), value=""))
            passed += 1

    task = asyncio.create_task(check_in())
    during: list[int] = []
    sis = ScriptedSis(small_district(students), page=500)
    await _run(store, sis, progress=lambda p: during.append(passed) if p.phase == "applying" else None)
    task.cancel()

    assert len(set(during)) > len(during) * 0.5  # most units had a write of somebody else before them


async def test_a_page_that_is_staged_twice_counts_once(store: Store) -> None:
    """The writer runs a unit again when the connection was lost during COMMIT: the first may have been kept."""
    job = Job(run_id="r", source="sis", dry_run=False, full=True, administrators=False, holder="h")
    bad = RowError(noun="user", where="users.csv:7", reason="unreadable")
    page = Page(records=[person("ana", "student")], errors=[bad], cursor="1")
    await store.write(lambda tx: lease.take(tx, job.lease, job.holder))
    await store.write(lambda tx: staging.begin_noun(tx, job, "user"))
    prepared = await store.read(lambda c: staging.prepare(c, job, "user", page))

    for _ in range(2):
        await store.write(lambda tx: staging.stage(tx, job, prepared))

    point = await store.read(lambda c: staging.checkpoint(c, job, "user"))
    assert point is not None
    assert (point.pulled, point.unreadable, point.cursor) == (2, 1, "1")
    assert len(await _letters(store)) == 1
