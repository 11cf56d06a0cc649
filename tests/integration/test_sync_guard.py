"""A run that would do harm stops and asks: what holds it, what does not, and what an administrator can do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest

from homeroom import sync
from homeroom.records import (
    AcademicSession,
    Class,
    Enrollment,
    Noun,
    Org,
    Page,
    Pull,
    Record,
    SourceError,
    User,
    UserRole,
)
from homeroom.store import Refused, Store, now_utc
from homeroom.store import models as m
from homeroom.sync import Guard, RunResult
from tests.services.scripted_sis import ScriptedSis, everything, journal, person

TODAY = now_utc().date()
DAY = timedelta(days=1)


def _district(
    students: int = 40, *, classes: int = 4, ends_on: date = TODAY + 60 * DAY, terms: tuple[str, ...] = ("t",)
) -> list[Record]:
    """Two schools; the students are spread over the classes, half of which are at each school."""
    schools = [Org(sourced_id=f"s{number}", name=f"School {number}", kind="school") for number in (1, 2)]
    term = AcademicSession(sourced_id="t", title="Term", kind="term", begins_on=TODAY - 90 * DAY, ends_on=ends_on)
    groups = [
        Class(sourced_id=f"c{number}", title=f"Class {number}", school=f"s{number % 2 + 1}", terms=terms)
        for number in range(classes)
    ]
    people = [person(f"p{number}", "student", given_name=_word(number)) for number in range(students)]
    seats = [
        Enrollment(sourced_id=f"e{number}", user=f"p{number}", class_=f"c{number % classes}", role="student")
        for number in range(students)
    ]
    return [*schools, term, *groups, *people, *seats]


def _word(number: int) -> str:
    """A given name of its own for each number."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number)).title()


async def _run(store: Store, records: Sequence[Record] | ScriptedSis, **options: Any) -> RunResult:
    sis = records if isinstance(records, ScriptedSis) else ScriptedSis(list(records), page=500)
    return await sync.run(store, "sis", sis, **options)


def _numbered(noun: Noun, record: Record) -> int:
    return int(record.sourced_id[1:]) if record.noun == noun and record.sourced_id[1:].isdigit() else -1


def _without_seats(records: Sequence[Record], count: int) -> list[Record]:
    """The district after `count` enrolments are gone."""
    return [one for one in records if not 0 <= _numbered("enrollment", one) < count]


def _with_seats(records: Sequence[Record], **changes: Any) -> list[Record]:
    """The district with every enrolment changed."""
    return [replace(one, **changes) if isinstance(one, Enrollment) else one for one in records]


def _kinds(result: RunResult) -> list[str]:
    return [alarm.kind for alarm in result.findings]


async def _current(store: Store) -> int:
    rows = await store.read(lambda c: c.sql("SELECT count(*) FROM enrollments WHERE NOT ended"))
    return int(rows[0][0])


async def test_a_run_that_ends_too_many_enrolments_is_held_before_it_changes_anything(store: Store) -> None:
    records = _district()
    await _run(store, records)
    before = await store.read(everything)

    result = await _run(store, _without_seats(records, 10))

    assert (result.status, result.ended) == ("held", 0)
    [alarm] = result.findings
    assert (alarm.kind, alarm.count, alarm.of) == ("exodus", 10, 40)
    assert result.reason == alarm.found == "10 of 40 current enrolments would end."
    assert alarm.look_at.startswith("See whether the source gave its whole list")
    assert await store.read(everything) == before


@pytest.mark.parametrize(("gone", "status"), [(8, "done"), (9, "held")])
async def test_a_fifth_may_end_and_more_may_not(sqlite_store: Store, gone: int, status: str) -> None:
    records = _district()
    await _run(sqlite_store, records)

    assert (await _run(sqlite_store, _without_seats(records, gone))).status == status


async def test_a_handful_may_always_leave(sqlite_store: Store) -> None:
    records = _district(8)
    await _run(sqlite_store, records)

    assert (await _run(sqlite_store, _without_seats(records, 4))).status == "done"


async def test_the_share_is_a_setting(sqlite_store: Store) -> None:
    records = _district()
    await _run(sqlite_store, records)

    assert (await _run(sqlite_store, _without_seats(records, 9), guard=Guard(share=0.5))).status == "done"


async def test_half_of_the_people_missing_is_an_exodus_even_where_their_enrolments_stay(store: Store) -> None:
    records = _district()
    await _run(store, records)

    result = await _run(store, [one for one in records if _numbered("user", one) < 20])

    assert (result.status, _kinds(result)) == ("held", ["exodus"])
    assert result.findings[0].count == 20


async def test_a_delta_that_ends_everybody_is_held_like_a_full_run(store: Store) -> None:
    records = _district()
    await _run(store, records)
    ends: list[Record] = [replace(one, status="tobedeleted") for one in records if isinstance(one, Enrollment)]

    result = await _run(store, ScriptedSis(ends, delta=True, page=500), full=False)

    assert (result.status, _kinds(result)) == ("held", ["exodus", "empty_school", "empty_class"])


async def test_hazard_12_an_emptied_school_is_held_and_named(store: Store) -> None:
    records = _district()
    await _run(store, records)
    second = {"c1", "c3"}

    result = await _run(
        store,
        [one for one in records if not (isinstance(one, Enrollment) and one.class_ in second)],
        guard=Guard(share=0.9),
    )

    assert (result.status, _kinds(result)) == ("held", ["empty_school", "empty_class"])
    assert [alarm.subjects for alarm in result.findings] == [("s2",), ("c1", "c3")]
    assert result.findings[0].found == "1 school that has students now would have none (20 students; s2)."


async def test_a_class_that_loses_all_of_its_students_is_held(store: Store) -> None:
    records = _district(100, classes=20)
    await _run(store, records)

    result = await _run(store, [one for one in records if not (isinstance(one, Enrollment) and one.class_ == "c7")])

    assert (result.status, _kinds(result)) == ("held", ["empty_class"])
    assert (result.findings[0].subjects, result.findings[0].of) == (("c7",), 20)


async def test_a_class_that_is_closed_while_its_students_move_to_another_is_daily_life(store: Store) -> None:
    records = _district(100, classes=20)
    await _run(store, records)
    moved = [
        replace(one, sourced_id=f"moved-{one.sourced_id}", class_="c9")
        if isinstance(one, Enrollment) and one.class_ == "c7"
        else one
        for one in records
        if one.sourced_id != "c7"
    ]

    result = await _run(store, moved)

    assert (result.status, result.findings) == ("done", ())


async def test_a_class_of_two_may_be_emptied(sqlite_store: Store) -> None:
    records = _district(40, classes=20)
    await _run(sqlite_store, records)

    result = await _run(
        sqlite_store, [one for one in records if not (isinstance(one, Enrollment) and one.class_ == "c7")]
    )

    assert (result.status, result.ended) == ("done", 2)


async def test_hazard_4_after_the_last_day_of_term_everybody_may_leave(store: Store) -> None:
    records = _district(ends_on=TODAY)
    await _run(store, records)

    rolled_over = await _run(store, _without_seats(records, 39))

    assert (rolled_over.status, rolled_over.ended, rolled_over.findings) == ("done", 39, ())


async def test_enrolments_past_their_own_last_day_may_all_go(sqlite_store: Store) -> None:
    records = _with_seats(_district(), ends_on=TODAY)
    await _run(sqlite_store, records)

    assert (await _run(sqlite_store, _without_seats(records, 39))).status == "done"


async def test_a_class_without_terms_is_over_with_the_year_that_has_begun(sqlite_store: Store) -> None:
    records = _district(ends_on=TODAY, terms=())
    await _run(sqlite_store, records)

    assert (await _run(sqlite_store, _without_seats(records, 39))).status == "done"


async def test_a_year_that_is_closed_some_days_early_is_no_exodus(sqlite_store: Store) -> None:
    records = _district(ends_on=TODAY + 6 * DAY)
    await _run(sqlite_store, records)

    result = await _run(sqlite_store, _with_seats(records, ends_on=TODAY))

    assert (result.status, result.changed) == ("done", 40)


@pytest.mark.parametrize("ends_on", [TODAY - 30 * DAY, TODAY, TODAY + 5 * DAY])
async def test_hazard_4_a_withdrawal_stamped_on_everybody_in_the_middle_of_term_is_held(
    sqlite_store: Store, ends_on: date
) -> None:
    records = _district()
    await _run(sqlite_store, records)

    result = await _run(sqlite_store, _with_seats(records, ends_on=ends_on))

    assert (result.status, result.findings[0].kind, result.findings[0].count) == ("held", "exodus", 40)


async def test_people_who_go_when_the_last_week_of_term_is_not_over_are_missed(sqlite_store: Store) -> None:
    records = _district(ends_on=TODAY + 3 * DAY)
    await _run(sqlite_store, records)

    assert (await _run(sqlite_store, _without_seats(records, 39))).status == "held"


def _with_guardians(records: Sequence[Record]) -> list[Record]:
    """The district with one guardian, who is every student's."""
    told = [replace(one, agents=("gus",)) if isinstance(one, User) else one for one in records]
    return [*told, person("gus", "parent", given_name="Gus")]


async def test_an_export_that_lost_its_roles_is_held_and_goes_on_only_when_it_is_released(store: Store) -> None:
    records = _with_guardians(_district())
    await _run(store, records)
    before = await store.read(everything)
    bare = [replace(one, roles=(), agents=()) if isinstance(one, User) else one for one in records]

    sis = ScriptedSis(bare, page=500)
    result = await _run(store, sis)

    assert (result.status, _kinds(result)) == ("held", ["roles", "guardians"])
    assert [alarm.found for alarm in result.findings] == [
        "41 of 41 current roles would be taken from people who stay.",
        "40 of 40 current guardianships would end.",
    ]
    assert "roles.csv" in result.findings[0].look_at
    assert await store.read(everything) == before
    assert (await sync.release(store, result.run_id, sis, by="admin")).status == "done"
    assert await store.read(lambda c: c.sql("SELECT count(*) FROM role_assignments")) == [(0,)]


async def test_guardians_who_are_kept_out_are_not_missed_and_stay_when_the_source_names_them_no_more(
    store: Store,
) -> None:
    records = _with_guardians(_district())
    await _run(store, records)
    await store.write(lambda tx: tx.run(m.Guardianship.update(blocked=True)))
    without = [replace(one, agents=()) if isinstance(one, User) else one for one in records]

    result = await _run(store, without)

    assert (result.status, result.changed) == ("done", 0)
    assert await store.read(lambda c: c.sql("SELECT count(*) FROM guardianships WHERE NOT ended")) == [(40,)]
    assert (await _run(store, records)).changed == 0
    assert await store.read(lambda c: c.sql("SELECT count(*) FROM guardianships WHERE blocked")) == [(40,)]


@pytest.mark.parametrize(("gone", "status"), [(8, "done"), (9, "held")])
async def test_a_fifth_of_the_roles_may_go_and_more_may_not(sqlite_store: Store, gone: int, status: str) -> None:
    records = _district()
    await _run(sqlite_store, records)
    cut = [
        replace(one, roles=()) if isinstance(one, User) and _numbered("user", one) < gone else one for one in records
    ]

    assert (await _run(sqlite_store, cut)).status == status


def _with_roles(records: Sequence[Record], **values: Any) -> list[Record]:
    """The district with these values on the role of everybody."""
    return [
        replace(one, roles=tuple(replace(role, **values) for role in one.roles)) if isinstance(one, User) else one
        for one in records
    ]


@pytest.mark.parametrize("values", [{"ends_on": TODAY - 2 * DAY}, {"ends_on": TODAY}, {"begins_on": TODAY + DAY}])
async def test_hazard_4_an_end_stamped_on_the_role_of_everybody_in_the_middle_of_term_is_held(
    store: Store, values: dict[str, Any]
) -> None:
    records = _district()
    await _run(store, records)

    result = await _run(store, _with_roles(records, **values))

    assert (result.status, _kinds(result), result.findings[0].count) == ("held", ["roles"], 40)


async def test_roles_may_end_with_the_year(sqlite_store: Store) -> None:
    records = _district(ends_on=TODAY + 3 * DAY)
    await _run(sqlite_store, records)

    assert (await _run(sqlite_store, _with_roles(records, ends_on=TODAY))).status == "done"


async def test_of_two_times_in_one_role_the_one_that_follows_counts_too(sqlite_store: Store) -> None:
    records = _district()
    await _run(sqlite_store, records)
    both = [
        replace(one, roles=(replace(one.roles[0], ends_on=TODAY - DAY), replace(one.roles[0], begins_on=TODAY)))
        if isinstance(one, User)
        else one
        for one in records
    ]

    assert (await _run(sqlite_store, both)).status == "done"


async def test_everybody_may_have_the_same_role_at_another_school(sqlite_store: Store) -> None:
    records = _district()
    await _run(sqlite_store, records)
    moved = (UserRole(role="student", org="s2"),)

    result = await _run(sqlite_store, [replace(one, roles=moved) if isinstance(one, User) else one for one in records])

    assert (result.status, result.changed, result.findings) == ("done", 40, ())


def _rekeyed(records: Sequence[Record], count: int, **changes: Any) -> list[Record]:
    """The district after the vendor gave the first `count` people new ids."""

    def new(record: Record) -> Record:
        if isinstance(record, User) and _numbered("user", record) < count:
            return replace(record, sourced_id=f"guid-{record.sourced_id}", **changes)
        if isinstance(record, Enrollment) and _numbered("enrollment", record) < count:
            return replace(record, user=f"guid-{record.user}")
        return record

    return [new(record) for record in records]


async def test_hazard_10_new_ids_under_known_names_are_held(store: Store) -> None:
    records = _district()
    await _run(store, records)

    result = await _run(store, _rekeyed(records, 40), guard=Guard(share=1))

    assert (result.status, "rekeyed" in _kinds(result)) == ("held", True)
    [alarm] = [alarm for alarm in result.findings if alarm.kind == "rekeyed"]
    assert (alarm.count, alarm.of) == (40, 40)
    assert alarm.subjects[0].startswith("guid-")
    assert "Ruiz" not in str(result)


async def test_hazard_10_new_ids_beside_the_old_ones_are_held_too(store: Store) -> None:
    records = _district()
    await _run(store, records)
    twins = [one for one in _rekeyed(records, 12) if one not in records and isinstance(one, User)]

    result = await _run(store, [*records, *twins])

    assert (result.status, _kinds(result)) == ("held", ["rekeyed"])


async def test_hazard_10_a_preferred_name_that_an_upgrade_brings_hides_nobody(store: Store) -> None:
    records = _district()
    await _run(store, records)
    twins = [
        one for one in _rekeyed(records, 12, preferred_given_name="Sam") if one not in records and isinstance(one, User)
    ]

    assert _kinds(await _run(store, [*records, *twins])) == ["rekeyed"]


async def test_nine_people_who_come_back_under_new_ids_are_not_worth_a_question(sqlite_store: Store) -> None:
    records = _district()
    await _run(sqlite_store, records)
    twins = [one for one in _rekeyed(records, 9) if one not in records and isinstance(one, User)]

    assert (await _run(sqlite_store, [*records, *twins])).status == "done"


@pytest.mark.parametrize(("fact", "theirs"), [("birth_date", date(2011, 5, 6)), ("identifier", "another")])
async def test_people_of_the_same_name_who_are_plainly_others_are_let_in(
    sqlite_store: Store, fact: str, theirs: Any
) -> None:
    known: dict[str, Any] = {"birth_date": date(2012, 1, 2), "identifier": "number"}
    records = [replace(one, **{fact: known[fact]}) if isinstance(one, User) else one for one in _district()]
    await _run(sqlite_store, records)
    others = [one for one in _rekeyed(records, 40, **{fact: theirs}) if one not in records and isinstance(one, User)]

    assert (await _run(sqlite_store, [*records, *others])).status == "done"


async def test_a_first_load_is_never_held(sqlite_store: Store) -> None:
    assert (await _run(sqlite_store, _district(60))).status == "done"


async def test_a_dry_run_is_judged_and_goes_on(store: Store) -> None:
    records = _district()
    await _run(store, records)

    result = await _run(store, _without_seats(records, 10), dry_run=True)

    assert (result.status, result.ended, _kinds(result)) == ("done", 10, ["exodus"])
    kept = await store.read(lambda c: sync.result_of(c, result.run_id))
    assert kept is not None
    assert kept.findings == result.findings
    assert result.as_json()["findings"][0]["found"] == "10 of 40 current enrolments would end."


async def test_a_held_run_is_released_as_it_was_read_and_the_person_is_kept(store: Store) -> None:
    records = _district()
    await _run(store, records)
    sis = ScriptedSis(_without_seats(records, 10), page=500)
    held = await _run(store, sis)
    before = len(await store.read(journal))
    sis.pulls.clear()

    result = await sync.release(store, held.run_id, sis, by="admin")

    assert (result.status, result.ended, result.released_by, _kinds(result)) == ("done", 10, "admin", ["exodus"])
    assert sis.pulls == []
    entries = (await store.read(journal))[before:]
    assert (entries[0].kind, entries[0].actor_id) == ("sync.released", "admin")
    assert [entry.kind for entry in entries[1:]] == ["enrollment.ended"] * 10
    assert await store.read(lambda c: c.sql("SELECT count(*) FROM staged_rows")) == [(0,)]


async def test_a_released_run_that_was_killed_is_not_judged_again(store: Store) -> None:
    records = _district()
    await _run(store, records)
    sis = ScriptedSis(_without_seats(records, 30), page=500)
    held = await _run(store, sis)

    class Killed(BaseException):
        pass

    def die(_: sync.Progress) -> None:
        raise Killed

    with pytest.raises(Killed):
        await sync.release(store, held.run_id, sis, by="admin", progress=die)
    result = await sync.resume(store, held.run_id, sis)

    assert (result.status, result.released_by, await _current(store)) == ("done", "admin", 10)


async def test_a_discarded_run_takes_nothing_over(sqlite_store: Store) -> None:
    records = _district()
    await _run(sqlite_store, records)
    held = await _run(sqlite_store, _without_seats(records, 10))

    await sync.discard(sqlite_store, held.run_id, by="admin")

    after = await sqlite_store.read(lambda c: sync.result_of(c, held.run_id))
    assert after is not None
    assert (after.status, after.reason) == ("failed", "held, and discarded by an administrator")
    assert await _current(sqlite_store) == 40
    [entry] = [entry for entry in await sqlite_store.read(journal) if entry.kind == "sync.discarded"]
    assert (entry.actor_id, entry.data) == ("admin", {"connector": "sis", "run_id": held.run_id})
    with pytest.raises(Refused, match="not held"):
        await sync.release(sqlite_store, held.run_id, ScriptedSis(), by="admin")


async def test_only_a_held_run_can_be_released_or_discarded(sqlite_store: Store) -> None:
    done = await _run(sqlite_store, _district())

    for run_id, words in ((done.run_id, "not held: it is done"), ("unknown", "no such run")):
        with pytest.raises(Refused, match=words):
            await sync.release(sqlite_store, run_id, ScriptedSis(), by="admin")
        with pytest.raises(Refused, match=words):
            await sync.discard(sqlite_store, run_id, by="admin")


async def test_a_held_run_cannot_be_resumed_behind_the_guards_back(sqlite_store: Store) -> None:
    records = _district()
    await _run(sqlite_store, records)
    held = await _run(sqlite_store, _without_seats(records, 10))

    with pytest.raises(Refused, match="Release or discard it"):
        await sync.resume(sqlite_store, held.run_id, ScriptedSis())


async def test_a_new_run_overtakes_a_held_one(sqlite_store: Store) -> None:
    records = _district()
    await _run(sqlite_store, records)
    held = await _run(sqlite_store, _without_seats(records, 10))

    again = await _run(sqlite_store, records)

    before = await sqlite_store.read(lambda c: sync.result_of(c, held.run_id))
    assert before is not None
    assert (again.status, before.status) == ("done", "failed")
    assert before.reason == f"held and never released; run {again.run_id} took its place"


async def test_a_dry_run_leaves_a_held_run_to_be_released(sqlite_store: Store) -> None:
    records = _district()
    await _run(sqlite_store, records)
    sis = ScriptedSis(_without_seats(records, 10), page=500)
    held = await _run(sqlite_store, sis)
    await _run(sqlite_store, records, dry_run=True)

    assert (await sync.release(sqlite_store, held.run_id, sis, by="admin")).status == "done"
    assert await _current(sqlite_store) == 30


async def test_what_was_read_more_than_a_day_ago_must_be_read_again(sqlite_store: Store) -> None:
    records = _district()
    await _run(sqlite_store, records)
    held = await _run(sqlite_store, _without_seats(records, 10))
    old = now_utc() - timedelta(hours=25)
    await sqlite_store.write(lambda tx: tx.run(m.SyncRun.update(started_at=old).where(m.SyncRun.id == held.run_id)))

    with pytest.raises(Refused, match="more than a day ago"):
        await sync.release(sqlite_store, held.run_id, ScriptedSis(), by="admin")


@dataclass
class Pages(ScriptedSis):
    """Gives these enrolment pages as they are, and everything else as it should be."""

    pages: list[Page] = field(default_factory=list)

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        if pull.noun != "enrollment":
            async for page in super().pull(pull):
                yield page
            return
        for page in self.pages:
            yield page


def _seats(records: Sequence[Record], first: int, last: int) -> list[Record]:
    return [one for one in records if first <= _numbered("enrollment", one) < last]


async def test_hazard_13_a_page_that_comes_twice_ends_nobody_who_stood_on_the_other(store: Store) -> None:
    records = _district()
    await _run(store, records)
    first, last = _seats(records, 0, 37), _seats(records, 0, 3)

    result = await _run(store, Pages(records, page=500, pages=[Page(records=first), Page(records=last)]))

    assert (result.status, result.ended) == ("done", 0)
    assert (result.reason or "").startswith(
        "enrollment: nothing was taken for gone, because the source gave 3 of them twice, and others may be left out."
    )


async def test_a_row_that_comes_twice_does_no_harm_where_the_count_agrees(store: Store) -> None:
    records = _district()
    await _run(store, records)
    pages = [Page(records=_seats(records, 0, 20), total=39), Page(records=_seats(records, 19, 39), total=39)]

    result = await _run(store, Pages(records, page=500, pages=pages))

    assert (result.status, result.ended, result.reason) == ("done", 1, None)


async def test_hazard_13_a_count_that_moves_while_it_is_read_ends_nobody(store: Store) -> None:
    records = _district()
    await _run(store, records)
    pages = [Page(records=_seats(records, 0, 20), total=40), Page(records=_seats(records, 21, 40), total=39)]

    result = await _run(store, Pages(records, page=500, pages=pages))

    assert (result.status, result.ended) == ("done", 0)
    assert (result.reason or "").startswith(
        "enrollment: nothing was taken for gone, because the source's own count changed while it was read."
    )


async def test_a_source_that_leads_round_in_circles_fails_the_run(sqlite_store: Store) -> None:
    records = _district()
    pages = [
        Page(records=_seats(records, 0, 2), cursor="a"),
        Page(records=(), cursor="b"),
        Page(records=(), cursor="a"),
    ]

    result = await _run(sqlite_store, Pages(records, page=500, pages=pages))

    assert (result.status, result.reason) == (
        "failed",
        (
            "The source gives the same page of enrollment records again and again. "
            "Ask its support; nothing here is changed by this."
        ),
    )
    assert await _current(sqlite_store) == 0


async def test_hazard_12_half_an_answer_without_a_word_is_held(store: Store) -> None:
    records = _district()
    await _run(store, records)

    result = await _run(store, [one for one in records if _numbered("enrollment", one) < 20])

    assert (result.status, await _current(store)) == ("held", 40)


async def test_hazard_2_a_second_run_is_refused_while_one_holds_the_lease(sqlite_store: Store) -> None:
    class Again(ScriptedSis):
        async def pull(self, pull: Pull) -> AsyncIterator[Page]:
            with pytest.raises(Refused, match="under way"):
                await _run(sqlite_store, _district())
            async for page in super().pull(pull):
                yield page

    assert (await _run(sqlite_store, Again(_district(), page=500))).status == "done"


async def test_changes_are_asked_for_since_the_last_run_that_took_over_began_to_read(sqlite_store: Store) -> None:
    records = _district()
    first = await _run(sqlite_store, records)
    await _run(sqlite_store, records, dry_run=True)
    await _run(sqlite_store, ScriptedSis(failures={("org", 0): [SourceError("closed")]}))
    held = await _run(sqlite_store, _without_seats(records, 10))
    sis = ScriptedSis(page=500)

    await _run(sqlite_store, sis, full=False)

    assert held.status == "held"
    assert {pull.since for pull in sis.pulls} == {first.started_at - timedelta(minutes=10)}


async def test_a_noun_that_was_never_read_is_asked_for_in_full(sqlite_store: Store) -> None:
    records = _district()
    await _run(sqlite_store, ScriptedSis(records, page=500, nouns=("org", "academicSession", "class", "user")))
    sis = ScriptedSis(records, page=500)

    result = await _run(sqlite_store, sis, full=False)

    assert {pull.noun for pull in sis.pulls if pull.since is None} == {"course", "enrollment"}
    assert (result.added, await _current(sqlite_store)) == (40, 40)


async def test_how_far_a_run_is_can_be_seen_from_outside(store: Store) -> None:
    told: list[RunResult | None] = []

    def look(step: sync.Progress) -> None:
        if (step.phase, step.noun) == ("pulling", "enrollment"):
            told.extend(store.read_now(sync.runs))

    result = await _run(store, ScriptedSis(_district(), page=20, totals={"enrollment": 40}), progress=look)

    assert [(run.phase, run.noun, run.done, run.total, run.rows_read) for run in told if run] == [
        ("pulling", "enrollment", 20, 40, 67),
        ("pulling", "enrollment", 40, 40, 87),
    ]
    assert (result.phase, result.rows_read, result.rows_per_second > 0) == ("applying", 87, True)
    [status] = await store.read(lambda c: sync.status(c, result.started_at + timedelta(seconds=90)))
    assert status.lag_seconds == 90
