"""Where the source and this database disagree: what stays, what is asked, what is listed, and what nobody loses."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom import sync, testing
from homeroom.field_policy import FieldPolicy, Rule
from homeroom.host import Host, PluginsConfig
from homeroom.records import Conflict, Enrollment, Org, Record, Resolution, User, UserRole
from homeroom.roster import classes, people
from homeroom.roster.names import display_name, legal_name
from homeroom.runs.resolving import resolver
from homeroom.store import ORIGIN, Origin, Refused, Store, new_id, now_utc
from homeroom.store import models as m
from homeroom.sync import Guard, QueuedConflict, RunResult
from homeroom.sync.policy import compare
from homeroom.types import RoleAt
from tests.hostile_plugin.install import pretend_installed
from tests.services.scripted_sis import BIOLOGY, ScriptedSis, everything, journal, person, small_district

TODAY = date(2026, 9, 15)
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what is decided before any database is asked; the rest runs on both."""

BEN = person("ben", "student", agents=("gus",), email="ben@example.org")


def _ana(**more: Any) -> User:
    """Ana, as the source has her at first."""
    return person("ana", "student", **{"agents": ("gus",), "email": "ana@example.org", **more})


def _place(**more: Any) -> Enrollment:
    return Enrollment(**{"sourced_id": "e-ana", "user": "ana", "class_": "bio", "role": "student", **more})


def _with(*changed: Record, without: Sequence[str] = ()) -> list[Record]:
    """The small district with some records replaced or added, and some left out."""
    new = {record.sourced_id: record for record in changed}
    kept = [new.pop(record.sourced_id, record) for record in small_district()]
    return [record for record in [*kept, *new.values()] if record.sourced_id not in without]


async def _run(store: Store, records: Sequence[Record], **options: Any) -> RunResult:
    policy = FieldPolicy(options.pop("policy", None))
    result = await sync.run(store, "sis", ScriptedSis(list(records)), policy=policy, **options)
    assert result.status == "done", result.reason
    return result


async def _user(store: Store, sourced_id: str) -> m.User:
    row = await store.read(lambda c: c.one(m.User.select().where(m.User.sourced_id == sourced_id)))
    assert row is not None
    return row


async def _enrollment(store: Store, sourced_id: str = "e-ana") -> m.Enrollment:
    row = await store.read(lambda c: c.one(m.Enrollment.select().where(m.Enrollment.sourced_id == sourced_id)))
    assert row is not None
    return row


async def _edit(store: Store, sourced_id: str, **changes: Any) -> None:
    """A correction made here by the registrar."""
    row = await _user(store, sourced_id)
    await _as_registrar(store, lambda tx: people.patch_person(tx, row.id, changes))


async def _as_registrar(store: Store, unit: Any) -> Any:
    token = ORIGIN.set(Origin(actor_id="registrar"))
    try:
        return await store.write(unit)
    finally:
        ORIGIN.reset(token)


async def _queue(store: Store, state: Any = "open") -> list[QueuedConflict]:
    return await store.read(lambda c: sync.conflicts(c, connector="sis", state=state))


async def _settle(store: Store, resolution: Any, value: str | None = None, why: str = "the family says so") -> None:
    [asked] = await _queue(store)
    await _as_registrar(
        store, lambda tx: sync.settle(tx, asked.id, resolution=resolution, value=value, why=why, by="registrar")
    )


async def _corrections(store: Store) -> list[tuple[str, str, str | None, str | None]]:
    found = await store.read(lambda c: sync.corrections(c, "sis"))
    return [(one.about, one.field, one.ours, one.theirs) for one in found]


async def _addresses(store: Store, sourced_id: str) -> set[str]:
    row = await _user(store, sourced_id)
    return {one.value for one in await store.read(lambda c: people.contacts_of(c, row.id))}


async def _clash(store: Store, **options: Any) -> None:
    """Both sides change the same birth date, differently."""
    await _run(store, _with(_ana(birth_date=date(2012, 1, 1))))
    await _edit(store, "ana", birth_date=date(2012, 1, 2))
    await _run(store, _with(_ana(birth_date=date(2012, 1, 3))), **options)


async def test_a_correction_stays_while_the_source_says_what_it_always_said_and_is_listed(store: Store) -> None:
    await _run(store, _with(_ana(birth_date=date(2012, 1, 1))))
    await _edit(store, "ana", birth_date=date(2012, 1, 2))

    await _run(store, _with(_ana(birth_date=date(2012, 1, 1), grades=("09",))))

    ana = await _user(store, "ana")
    assert (ana.birth_date, ana.grades) == (date(2012, 1, 2), ["09"])
    assert await _queue(store) == []
    [one] = await store.read(lambda c: sync.corrections(c, "sis"))
    assert (one.noun, one.about, one.field, one.ours, one.theirs, one.who) == (
        "user",
        "Ana Ruiz",
        "birth_date",
        "2012-01-02",
        "2012-01-01",
        "registrar",
    )
    assert timedelta(0) <= now_utc() - one.since < timedelta(minutes=5)


@ON_SQLITE
async def test_a_correction_is_off_the_list_once_the_source_has_it_too(store: Store) -> None:
    await _run(store, _with(_ana(birth_date=date(2012, 1, 1))))
    await _edit(store, "ana", birth_date=date(2012, 1, 2))

    await _run(store, _with(_ana(birth_date=date(2012, 1, 2))))

    assert await _corrections(store) == []
    assert await store.read(lambda c: c.sql("SELECT count(*) FROM local_edits")) == [(0,)]
    await _run(store, _with(_ana(birth_date=date(2012, 1, 5))))
    assert (await _user(store, "ana")).birth_date == date(2012, 1, 5)  # both had agreed: this is news


async def test_a_third_value_in_the_source_is_asked_about_and_ours_stays_meanwhile(store: Store) -> None:
    await _clash(store)

    assert (await _user(store, "ana")).birth_date == date(2012, 1, 2)
    [asked] = await _queue(store)
    assert (asked.noun, asked.sourced_id, asked.field, asked.about) == ("user", "ana", "birth_date", "Ana Ruiz")
    assert (asked.base, asked.ours, asked.theirs) == ("2012-01-01", "2012-01-02", "2012-01-03")
    assert await store.read(sync.open_conflicts) == {"sis": 1}
    assert await _corrections(store) == []  # it is asked about, so it is not for the registrar to enter


async def test_the_same_conflict_is_asked_once_and_an_unchanged_district_is_left_alone(store: Store) -> None:
    await _clash(store)
    [asked] = await _queue(store)
    before = await store.read(everything)

    for _ in range(2):
        result = await _run(store, _with(_ana(birth_date=date(2012, 1, 3))))
        assert (result.added, result.changed, result.ended) == (0, 0, 0)

    assert await _queue(store) == [asked]
    assert await store.read(everything) == before


@ON_SQLITE
async def test_when_the_source_moves_on_the_question_follows_it(store: Store) -> None:
    await _clash(store)
    [asked] = await _queue(store)

    await _run(store, _with(_ana(birth_date=date(2012, 1, 4))))

    [moved] = await _queue(store)
    assert (moved.id, moved.base, moved.ours, moved.theirs) == (asked.id, "2012-01-01", "2012-01-02", "2012-01-04")


@ON_SQLITE
@pytest.mark.parametrize(
    ("ours", "theirs", "holds"),
    [
        (date(2012, 1, 3), date(2012, 1, 3), date(2012, 1, 3)),  # we came round
        (date(2012, 1, 2), date(2012, 1, 2), date(2012, 1, 2)),  # they did
        (date(2012, 1, 2), date(2012, 1, 1), date(2012, 1, 2)),  # they went back: it is a correction again
        (date(2012, 1, 1), date(2012, 1, 3), date(2012, 1, 3)),  # we went back: theirs is the only change
    ],
)
async def test_a_question_closes_by_itself_when_only_one_side_differs_or_none(
    store: Store, ours: date, theirs: date, holds: date
) -> None:
    await _clash(store)
    await _edit(store, "ana", birth_date=ours)

    await _run(store, _with(_ana(birth_date=theirs)))

    assert await _queue(store) == []
    assert [one.field for one in await _queue(store, "gone")] == ["birth_date"]
    assert (await _user(store, "ana")).birth_date == holds


async def test_theirs_is_taken_over_with_an_entry_and_who_and_why_are_kept(store: Store) -> None:
    await _clash(store)
    before = len(await store.read(journal))

    await _settle(store, "theirs", why="the passport says so")

    ana = await _user(store, "ana")
    assert ana.birth_date == date(2012, 1, 3)
    [settled] = await _queue(store, "settled")
    assert (settled.chosen, settled.who, settled.why) == ("theirs", "registrar", "the passport says so")
    entries = (await store.read(journal))[before:]
    assert [(entry.kind, entry.student_id, entry.actor_id) for entry in entries] == [
        ("user.changed", ana.id, "registrar"),
        ("sync.conflict_settled", ana.id, "registrar"),
    ]
    assert "2012" not in str([entry.data for entry in entries])
    assert await _corrections(store) == []
    await _run(store, _with(_ana(birth_date=date(2012, 1, 3))))
    assert await _queue(store) == []


@ON_SQLITE
async def test_ours_stays_and_is_listed_until_the_source_agrees_and_a_new_value_is_asked_again(store: Store) -> None:
    await _clash(store)

    await _settle(store, "ours")

    await _run(store, _with(_ana(birth_date=date(2012, 1, 3))))
    assert (await _user(store, "ana")).birth_date == date(2012, 1, 2)
    assert await _queue(store) == []
    assert await _corrections(store) == [("Ana Ruiz", "birth_date", "2012-01-02", "2012-01-03")]
    await _run(store, _with(_ana(birth_date=date(2012, 1, 4))))
    [again] = await _queue(store)
    assert (again.base, again.theirs) == ("2012-01-03", "2012-01-04")


@ON_SQLITE
async def test_another_value_may_be_set_and_is_then_ours(store: Store) -> None:
    await _clash(store)

    await _settle(store, "value", "2012-02-02")

    await _run(store, _with(_ana(birth_date=date(2012, 1, 3))))
    assert (await _user(store, "ana")).birth_date == date(2012, 2, 2)
    assert await _corrections(store) == [("Ana Ruiz", "birth_date", "2012-02-02", "2012-01-03")]


@ON_SQLITE
async def test_an_answer_that_does_not_fit_is_refused_and_changes_nothing(store: Store) -> None:
    await _clash(store)
    before = await store.read(everything)
    [asked] = await _queue(store)

    async def refused(conflict_id: int, resolution: Any, value: str | None = None, why: str = "so") -> int:
        with pytest.raises(Refused) as caught:
            await store.write(
                lambda tx: sync.settle(tx, conflict_id, resolution=resolution, value=value, why=why, by="registrar")
            )
        return caught.value.status

    assert await refused(asked.id + 1, "ours") == 404
    assert await refused(asked.id, "ours", why=" ") == 422
    assert await refused(asked.id, "value", "last spring") == 422
    assert await store.read(everything) == before
    await _settle(store, "ours")
    assert await refused(asked.id, "theirs") == 409


@ON_SQLITE
@pytest.mark.parametrize(
    ("rule", "holds", "chosen"), [("sis", date(2012, 1, 3), "theirs"), ("ours", date(2012, 1, 2), "ours")]
)
async def test_a_rule_decides_at_once_and_what_it_decided_is_kept(
    store: Store, rule: Rule, holds: date, chosen: str
) -> None:
    await _clash(store, policy={"user.birth_date": rule})

    assert (await _user(store, "ana")).birth_date == holds
    assert await _queue(store) == []
    [kept] = await _queue(store, "settled")
    assert (kept.chosen, kept.who, kept.why) == (chosen, "policy", f"the rule for user.birth_date is {rule}")


@ON_SQLITE
async def test_a_new_rule_settles_the_questions_that_are_open(store: Store) -> None:
    await _clash(store)

    await _run(store, _with(_ana(birth_date=date(2012, 1, 3))), policy={"user.*": "sis"})

    assert (await _user(store, "ana")).birth_date == date(2012, 1, 3)
    assert await _queue(store) == []
    assert len(await _queue(store, "settled")) == 1


@ON_SQLITE
@pytest.mark.parametrize(("hours", "holds"), [(1, date(2012, 1, 3)), (-1, date(2012, 1, 2))])
async def test_the_newest_holds_by_when_each_side_changed(store: Store, hours: int, holds: date) -> None:
    await _run(store, _with(_ana(birth_date=date(2012, 1, 1))))
    await _edit(store, "ana", birth_date=date(2012, 1, 2))
    modified = datetime.now(UTC) + timedelta(hours=hours)

    await _run(store, _with(_ana(birth_date=date(2012, 1, 3), modified=modified)), policy={"*": "newest"})

    assert (await _user(store, "ana")).birth_date == holds


@ON_SQLITE
async def test_without_a_moment_the_newest_is_asked_about(store: Store) -> None:
    await _clash(store, policy={"*": "newest"})

    assert len(await _queue(store)) == 1


@ON_SQLITE
async def test_a_plugin_is_heard_before_the_person_and_outside_any_transaction(store: Store) -> None:
    heard: list[Conflict] = []

    async def resolve(conflict: Conflict) -> Resolution | None:
        heard.append(conflict)
        await store.write(lambda tx: tx.insert(m.KeyValue, plugin="acme", key=new_id(), value=""))  # the writer is free
        return Resolution(value=conflict.theirs, reason="acme: the SIS has seen the papers")

    await _clash(store, resolve=resolve)

    [conflict] = heard
    assert (conflict.base, conflict.ours, conflict.theirs) == ("2012-01-01", "2012-01-02", "2012-01-03")
    assert (await _user(store, "ana")).birth_date == date(2012, 1, 3)
    [kept] = await _queue(store, "settled")
    assert (kept.chosen, kept.who, kept.why) == ("theirs", "plugin", "acme: the SIS has seen the papers")


@contextlib.asynccontextmanager
async def plugins(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, hook: str = "resolve_conflict", behaviour: str = "raise"
) -> AsyncIterator[Host]:
    """A host with a plugin that misbehaves in a hook, and another one that settles every conflict with `theirs`."""
    for one in pretend_installed(folder / "plugins"):
        monkeypatch.syspath_prepend(str(one))
    sections = {"hostile": {"hook": hook, "behaviour": behaviour}}
    config = PluginsConfig(enabled=("hostile", "bystander"), sections=sections)
    host = Host(config, services=lambda name, scopes: testing.services(name, scopes=scopes))
    await host.load()
    await host.start()
    yield host
    await host.stop()


async def handed_out(store: Store) -> list[tuple[Any, ...]]:
    rows = await store.read(lambda c: c.all(m.Journal.select().where(m.Journal.kind == "data.handed_out")))
    return [(row.data["plugin"], row.data["fields"], row.data["student_ids"]) for row in rows]


async def test_the_districts_plugins_are_heard_in_turn_and_one_that_fails_is_passed_over(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = Host(PluginsConfig(), services=lambda name, scopes: testing.services(name, scopes=scopes))
    assert resolver(nobody, sqlite_store) is None
    await _run(sqlite_store, _with(_ana(preferred_given_name="Annie")))
    await _edit(sqlite_store, "ana", preferred_given_name="Alex")
    async with plugins(tmp_path, monkeypatch) as host:
        await _run(sqlite_store, _with(_ana()), resolve=resolver(host, sqlite_store))

    ana = await _user(sqlite_store, "ana")
    assert ana.preferred_given_name is None
    [kept] = await _queue(sqlite_store, "settled")
    assert (kept.chosen, kept.who, kept.why) == ("theirs", "plugin", "bystander: theirs")
    shown = [(name, ["preferred_given_name"], [ana.id]) for name in ("hostile", "bystander")]
    assert await handed_out(sqlite_store) == shown  # one entry for each that was shown it, before it was


async def test_a_plugin_is_not_asked_about_a_field_that_its_scopes_do_not_name(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with plugins(tmp_path, monkeypatch) as host:
        await _clash(sqlite_store, resolve=resolver(host, sqlite_store))  # about a birth date

    assert len(await _queue(sqlite_store)) == 1
    assert await handed_out(sqlite_store) == []


async def test_while_it_cannot_be_said_that_plugins_may_see_it_a_conflict_waits_for_a_person(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _run(sqlite_store, _with(_ana(preferred_given_name="Annie")))
    await _edit(sqlite_store, "ana", preferred_given_name="Alex")
    async with plugins(tmp_path, monkeypatch, hook="authorize") as host:
        await _run(sqlite_store, _with(_ana()), resolve=resolver(host, sqlite_store))

    assert len(await _queue(sqlite_store)) == 1
    assert await handed_out(sqlite_store) == []


@ON_SQLITE
async def test_a_plugin_that_says_nothing_leaves_it_to_a_person(store: Store) -> None:
    async def abstain(_conflict: Conflict) -> Resolution | None:
        return None

    await _clash(store, resolve=abstain)

    assert len(await _queue(store)) == 1


@ON_SQLITE
async def test_a_plugins_own_value_holds_and_is_listed_for_the_registrar(store: Store) -> None:
    async def resolve(_conflict: Conflict) -> Resolution | None:
        return Resolution(value="2012-03-03", reason="acme: the county's register")

    await _clash(store, resolve=resolve)

    assert (await _user(store, "ana")).birth_date == date(2012, 3, 3)
    assert await _corrections(store) == [("Ana Ruiz", "birth_date", "2012-03-03", "2012-01-03")]


@ON_SQLITE
async def test_an_answer_does_not_hold_for_a_row_that_changed_while_the_plugin_thought(store: Store) -> None:
    async def resolve(conflict: Conflict) -> Resolution | None:
        await _edit(store, "ana", birth_date=date(2012, 4, 4))
        return Resolution(value=conflict.theirs, reason="acme: so it is")

    await _clash(store, resolve=resolve)

    assert (await _user(store, "ana")).birth_date == date(2012, 4, 4)
    [asked] = await _queue(store)
    assert asked.ours == "2012-04-04"


@ON_SQLITE
async def test_a_dry_run_asks_nobody_to_decide_and_keeps_nothing(store: Store) -> None:
    await _run(store, _with(_ana(birth_date=date(2012, 1, 1))))
    await _edit(store, "ana", birth_date=date(2012, 1, 2))
    before = await store.read(everything)

    await _run(store, _with(_ana(birth_date=date(2012, 1, 3))), dry_run=True)

    assert await _queue(store, None) == []
    assert await store.read(everything) == before


@ON_SQLITE
async def test_what_a_class_is_called_is_the_sources_to_say_unless_the_district_says_otherwise(store: Store) -> None:
    await _run(store, small_district())
    bio = await store.read(lambda c: c.value(m.Class.select(m.Class.id)))
    await _as_registrar(store, lambda tx: classes.edit_class(tx, bio, {"title": "Life", "code": "L1"}))

    await _run(store, _with(replace(BIOLOGY, title="Botany", code="B1")), policy={"class.code": "ask"})

    row = await store.read(lambda c: c.get(m.Class, bio))
    assert row is not None
    assert (row.title, row.code) == ("Botany", "L1")
    [asked] = await _queue(store)
    assert (asked.about, asked.field, asked.base, asked.ours, asked.theirs) == ("Botany", "code", None, "L1", "B1")
    await _settle(store, "theirs")
    row = await store.read(lambda c: c.get(m.Class, bio))
    assert row is not None
    assert row.code == "B1"


async def test_a_school_chosen_on_both_sides_goes_by_the_sources_ids(store: Store) -> None:
    schools = [Org(sourced_id=one, name=one.upper(), kind="school", parent="d") for one in ("s2", "s3")]
    await _run(store, _with(*schools))
    bio = await store.read(lambda c: c.value(m.Class.select(m.Class.id)))
    ids = dict(await store.read(lambda c: c.tuples(m.Org.select(m.Org.sourced_id, m.Org.id))))
    await _as_registrar(store, lambda tx: classes.edit_class(tx, bio, {"school_id": ids["s2"]}))
    assert await _corrections(store) == [("Biology", "school", "s2", "s1")]

    await _run(store, _with(*schools, replace(BIOLOGY, school="s3")), policy={"class.school": "ask"})

    [asked] = await _queue(store)
    assert (asked.base, asked.ours, asked.theirs) == ("s1", "s2", "s3")
    await _settle(store, "theirs")
    row = await store.read(lambda c: c.get(m.Class, bio))
    assert row is not None
    assert row.school_id == ids["s3"]


async def test_the_dates_of_an_enrolment_corrected_here_stay_and_a_third_value_is_asked(store: Store) -> None:
    await _run(store, _with(_place(begins_on=date(2026, 8, 20))))
    place = await _enrollment(store)
    await _as_registrar(
        store,
        lambda tx: classes.enroll(
            tx, place.class_id, place.user_id, enrollment_id=new_id(), begins_on=date(2026, 8, 24)
        ),
    )
    await _run(store, _with(_place(begins_on=date(2026, 8, 20))))
    assert await _corrections(store) == [("Ana Ruiz, Biology", "begins_on", "2026-08-24", "2026-08-20")]

    await _run(store, _with(_place(begins_on=date(2026, 8, 27))))

    assert (await _enrollment(store)).begins_on == date(2026, 8, 24)
    await _settle(store, "theirs")
    assert (await _enrollment(store)).begins_on == date(2026, 8, 27)
    assert (await store.read(journal))[-2].kind == "enrollment.changed"


async def test_an_address_removed_here_does_not_come_back_and_another_one_is_asked_about(store: Store) -> None:
    await _run(store, _with(_ana()))
    ana = await _user(store, "ana")
    await _as_registrar(store, lambda tx: people.remove_contact(tx, ana.id, "email", "ana@example.org"))

    await _run(store, _with(_ana(grades=("09",))))
    assert await _addresses(store, "ana") == set()
    assert await _corrections(store) == [("Ana Ruiz", "email", None, "(an address)")]

    await _run(store, _with(_ana(grades=("09",), email="secret@example.org")))
    assert await _addresses(store, "ana") == set()
    [asked] = await _queue(store)
    assert (asked.field, asked.base, asked.ours, asked.theirs) == ("email", "(an address)", None, "(another address)")
    assert "secret" not in str(asked.as_json())
    await _settle(store, "theirs")
    assert await _addresses(store, "ana") == {"secret@example.org"}
    await _run(store, _with(_ana(grades=("09",), email="secret@example.org")))
    assert await _addresses(store, "ana") == {"secret@example.org"}


async def test_what_is_in_question_about_a_person_lies_sealed(sqlite_store: Store, sqlite_url: str) -> None:
    from homeroom.store.database import sqlite_path

    await _run(sqlite_store, _with(_ana()))
    ana = await _user(sqlite_store, "ana")
    await _as_registrar(sqlite_store, lambda tx: people.remove_contact(tx, ana.id, "email", "ana@example.org"))
    await _run(sqlite_store, _with(_ana(email="secret@example.org", family_name="Zwetschgenbaum")))
    await _edit(sqlite_store, "ben", preferred_given_name="Bee")
    moved = _with(_ana(email="secret@example.org"), replace(BEN, preferred_given_name="Bumblebee"))
    await _run(sqlite_store, moved)
    rows = await sqlite_store.read(lambda c: c.sql("SELECT * FROM sync_conflicts"))
    assert len(rows) == 2
    assert "Bumblebee" not in str(rows)
    sqlite_store.close()

    for path in sqlite_path(sqlite_url).parent.glob("homeroom.db*"):
        assert b"secret@example.org" not in path.read_bytes()


async def test_a_role_revoked_here_is_not_given_again(store: Store) -> None:
    roles = (UserRole(role="student", org="s1"), UserRole(role="teacher", org="s1"))
    await _run(store, _with(_ana(roles=roles)))
    ana = await _user(store, "ana")
    school_id = await store.read(lambda c: c.value(m.Org.select(m.Org.id).where(m.Org.sourced_id == "s1")))
    await _as_registrar(store, lambda tx: people.revoke_role(tx, ana.id, RoleAt(role="teacher", org_id=school_id)))

    await _run(store, _with(_ana(roles=roles, grades=("09",))))

    assert [role.role for role in await store.read(lambda c: people.roles_of(c, ana.id))] == ["student"]
    assert await _corrections(store) == [("Ana Ruiz", "roles", "student at s1", "student at s1, teacher at s1")]


async def test_terms_and_guardians_taken_away_here_stay_away_and_are_listed(store: Store) -> None:
    await _run(store, small_district())
    bio = await store.read(lambda c: c.value(m.Class.select(m.Class.id)))
    year = await store.read(
        lambda c: c.value(m.AcademicSession.select(m.AcademicSession.id).where(m.AcademicSession.sourced_id == "y"))
    )
    ana, gus = await _user(store, "ana"), await _user(store, "gus")
    await _as_registrar(store, lambda tx: classes.edit_class(tx, bio, {}, term_ids=[year]))
    await _as_registrar(store, lambda tx: people.unlink_guardian(tx, gus.id, ana.id))

    await _run(store, _with(replace(BIOLOGY, title="Botany"), _ana(grades=("09",))))

    assert (await store.read(lambda c: classes.terms_of(c, [bio])))[bio] == [year]
    assert await store.read(lambda c: people.guardians_of(c, ana.id)) == []
    assert sorted(await _corrections(store)) == [("Ana Ruiz", "agents", "", "gus"), ("Botany", "terms", "y", "t1")]


async def test_an_enrolment_made_here_is_listed_until_the_source_has_it(store: Store) -> None:
    records = _with(without=["e-ana"])
    await _run(store, records)
    ana = await _user(store, "ana")
    bio = await store.read(lambda c: c.value(m.Class.select(m.Class.id)))
    await _as_registrar(store, lambda tx: classes.enroll(tx, bio, ana.id, enrollment_id=new_id()))
    await _run(store, records)
    assert await _corrections(store) == [("Ana Ruiz, Biology", "added", "enrolled", None)]

    await _run(store, small_district())

    assert await _corrections(store) == []
    roster = await store.read(lambda c: classes.roster_of(c, bio, TODAY))
    assert [one.name for one in roster.students] == ["Ana Ruiz", "Ben Ruiz", "Cem Ruiz"]


async def test_an_enrolment_corrected_here_and_dropped_there_is_asked_about(store: Store) -> None:
    await _run(store, small_district())
    place = await _enrollment(store)
    day = date(2027, 6, 1)
    await _as_registrar(
        store, lambda tx: classes.enroll(tx, place.class_id, place.user_id, enrollment_id=new_id(), ends_on=day)
    )

    for _ in range(2):
        result = await _run(store, _with(without=["e-ana"]))
        assert result.ended == 0
    [asked] = await _queue(store)
    assert (asked.field, asked.base, asked.ours, asked.theirs) == ("ended", "false", "false", "true")
    await _settle(store, "ours")
    await _run(store, _with(without=["e-ana"]))
    assert not (await _enrollment(store)).ended
    assert await _queue(store) == []
    assert ("Ana Ruiz, Biology", "ended", "active", "ended") in await _corrections(store)

    await _run(store, small_district())  # it is back there, so the answer has done its work
    await _run(store, _with(without=["e-ana"]))
    await _settle(store, "theirs")
    assert (await _enrollment(store)).ended


@ON_SQLITE
async def test_an_enrolment_that_was_ended_on_both_sides_is_nobodys_question(store: Store) -> None:
    await _run(store, small_district())
    place = await _enrollment(store)
    yesterday = now_utc().date() - timedelta(days=1)
    await _as_registrar(store, lambda tx: classes.end_enrollment(tx, place.class_id, place.user_id, day=yesterday))
    await _run(store, small_district())
    assert await _corrections(store) == [("Ana Ruiz, Biology", "ends_on", str(yesterday), None)]

    await _run(store, _with(without=["e-ana"]))

    assert (await _enrollment(store)).ended
    assert await _queue(store) == []
    assert await _corrections(store) == []


async def test_a_person_removed_here_does_not_come_back_silently(store: Store) -> None:
    """Hazard 25: a removed student comes back with the next sync."""
    await _run(store, small_district())
    ana = await _user(store, "ana")
    await _as_registrar(store, lambda tx: people.end_person(tx, ana.id))

    for grades in ((), ("09",)):
        result = await _run(store, _with(_ana(grades=grades)))
        assert (result.added, result.changed) == (0, 0)

    assert (await _user(store, "ana")).ended
    assert (await _enrollment(store)).ended
    assert sorted(await _corrections(store)) == [
        ("Ana Ruiz", "ended", "ended", "active"),
        ("Ana Ruiz, Biology", "ended", "ended", "active"),
    ]


async def test_a_student_who_left_on_both_sides_and_returns_gets_the_same_row_back(store: Store) -> None:
    """Hazard 25, the other way: a return restores, with what was corrected before."""
    await _run(store, small_district())
    ana = await _user(store, "ana")
    await _edit(store, "ana", preferred_given_name="Anni")
    await _as_registrar(store, lambda tx: people.end_person(tx, ana.id))
    await _run(store, _with(without=["ana", "e-ana"]))
    assert await _corrections(store) == []

    result = await _run(store, small_district())

    assert result.changed == 2
    back = await _user(store, "ana")
    assert (back.id, back.ended, back.preferred_given_name) == (ana.id, False, "Anni")


async def test_a_row_that_is_never_taken_hides_nobodys_return(store: Store) -> None:
    stray = Enrollment(sourced_id="e-stray", user="nobody", class_="bio", role="student")
    place = _place(begins_on=TODAY)
    await _run(store, _with(stray, place))
    row = await _enrollment(store)
    await _as_registrar(store, lambda tx: classes.end_enrollment(tx, row.class_id, row.user_id, day=TODAY))
    await _run(store, _with(stray, place))
    assert await _corrections(store) == [("Ana Ruiz, Biology", "ended", "ended", "active")]

    await _run(store, _with(stray, without=["e-ana"]))
    assert await _corrections(store) == []
    await _run(store, _with(stray, place))

    assert not (await _enrollment(store)).ended


async def test_a_person_ended_here_and_marked_deleted_there_is_agreed_on_in_a_delta_too(store: Store) -> None:
    await _run(store, small_district())
    ana = await _user(store, "ana")
    await _as_registrar(store, lambda tx: people.end_person(tx, ana.id))

    gone: list[Record] = [replace(_ana(), status="tobedeleted"), replace(_place(), status="tobedeleted")]
    await sync.run(store, "sis", ScriptedSis(gone, delta=True))

    assert await _corrections(store) == []


async def _mark(store: Store, student_id: str, class_id: str) -> tuple[str, str, str]:
    """One past mark: (class, school, status), as it stands in the database."""
    school_id = await store.read(lambda c: c.value(m.Class.select(m.Class.school_id).where(m.Class.id == class_id)))
    now = now_utc()

    def unit(tx: Any) -> None:
        where = {"class_id": class_id, "school_id": school_id, "school_day": TODAY}
        tx.insert(m.ClassSession, id="session", starts_at=now, late_after_minutes=5, **where)
        tx.insert(
            m.AttendanceRecord,
            id="mark",
            session_id="session",
            student_id=student_id,
            status="absent",
            origin="teacher",
            recorded_at=now,
            valid_from=now,
            **where,
        )

    await store.write(unit)
    return await _marked(store)


async def _marked(store: Store) -> tuple[str, str, str]:
    record = await store.read(lambda c: c.get(m.AttendanceRecord, "mark"))
    assert record is not None
    return record.class_id, record.school_id, record.status


async def test_a_transfer_changes_no_past_attendance(store: Store) -> None:
    """Hazard 6: the old school stays on what happened there."""
    await _run(store, small_district())
    ana = await _user(store, "ana")
    bio = await store.read(lambda c: c.value(m.Class.select(m.Class.id)))
    before = await _mark(store, ana.id, bio)

    other = Org(sourced_id="s2", name="Oak", kind="school", parent="d")
    moved: list[Record] = [
        other,
        replace(BIOLOGY, school="s2"),  # even the class itself goes to another school
        replace(BIOLOGY, sourced_id="chem", title="Chemistry", school="s2", course=None),
        _ana(roles=(UserRole(role="student", org="s2"),)),
        _place(sourced_id="e-new", class_="chem"),
    ]
    await _run(store, _with(*moved, without=["e-ana"]))

    assert await _marked(store) == before
    session = await store.read(lambda c: c.get(m.ClassSession, "session"))
    assert session is not None
    assert session.school_id == before[1]
    roster = await store.read(lambda c: classes.roster_of(c, bio, TODAY))
    assert "Ana Ruiz" not in [one.name for one in roster.students]


@ON_SQLITE
async def test_a_departed_childs_past_attendance_outlives_every_later_run(store: Store) -> None:
    """Hazard 18: a re-sync must not erase what was."""
    await _run(store, small_district())
    ana = await _user(store, "ana")
    bio = await store.read(lambda c: c.value(m.Class.select(m.Class.id)))
    before = await _mark(store, ana.id, bio)

    for records in (_with(without=["ana", "e-ana"]), _with(without=["ana", "e-ana", "bio"]), small_district()):
        await _run(store, records, guard=Guard(share=1.0))
        assert await _marked(store) == before


async def test_the_same_child_under_a_second_id_is_flagged_and_never_merged(store: Store) -> None:
    """Hazard 1: re-enrolled with a new id, and the same student number."""
    ana = _ana(identifier="4711", birth_date=date(2012, 1, 1))
    again = person("ana-2", "student", given_name="Anna", identifier="4711")
    await _run(store, _with(ana))

    await _run(store, _with(ana, again))

    first, second = await _user(store, "ana"), await _user(store, "ana-2")
    assert first.id != second.id
    assert not first.ended
    assert not second.ended
    [asked] = await _queue(store)
    assert (asked.sourced_id, asked.field, asked.ours, asked.theirs) == ("ana-2", "duplicate", "ana", "ana-2")
    with pytest.raises(Refused, match="never merged"):
        await store.write(lambda tx: sync.settle(tx, asked.id, resolution="theirs", why="same child", by="registrar"))
    await _settle(store, "ours", why="twins, the office mistyped the number")
    await _run(store, _with(ana, replace(again, grades=("09",))))
    assert await _queue(store) == []


async def test_a_namesake_born_on_the_same_day_is_flagged_and_one_born_later_is_not(store: Store) -> None:
    ana = _ana(birth_date=date(2012, 1, 1))
    same, other = (person(f"ana-{day}", "student", given_name="Ana", birth_date=date(2012, 1, day)) for day in (1, 2))
    staff = person("staff", "teacher", given_name="Ana", birth_date=date(2012, 1, 1))

    await _run(store, _with(ana, same, other, staff))

    assert [one.field for one in await _queue(store)] == ["duplicate"]


@pytest.mark.parametrize(("many", "asked"), [(5, 4), (6, 0)])
async def test_a_number_that_many_have_stands_for_none_and_flags_nobody(store: Store, many: int, asked: int) -> None:
    named = [person(f"p{n}", "student", given_name=name, identifier="0") for n, name in enumerate("ABCDEF"[:many])]

    await _run(store, [*small_district(), *named])

    assert [one.field for one in await _queue(store)] == ["duplicate"] * asked


@ON_SQLITE
async def test_a_blank_id_is_nobodys(store: Store) -> None:
    """Hazard 11: a blank id must not lock anybody out, or double them."""
    await _run(store, small_district())

    await _run(store, [*small_district(), person(" ", "student"), person("", "student")])

    assert await store.read(lambda c: c.sql("SELECT count(*) FROM users")) == [(5,)]
    letters = await store.read(lambda c: sync.dead_letters(c, "sis"))
    assert {letter.reason for letter in letters} == {"it has no usable id"}


@ON_SQLITE
async def test_a_child_whose_id_changed_keeps_the_old_record_and_is_flagged(store: Store) -> None:
    """Hazard 11: a changed id looks like one child gone and one come."""
    ana = _ana(identifier="4711")
    await _run(store, _with(ana))
    old = await _user(store, "ana")
    bio = await store.read(lambda c: c.value(m.Class.select(m.Class.id)))
    before = await _mark(store, old.id, bio)

    renamed = replace(ana, sourced_id="ana-2")
    await _run(store, _with(renamed, _place(user="ana-2"), without=["ana"]))

    assert (await _user(store, "ana")).ended
    assert (await _user(store, "ana-2")).id != old.id
    assert await _marked(store) == before
    assert [one.field for one in await _queue(store)] == ["duplicate"]


@ON_SQLITE
async def test_an_id_given_to_another_child_changes_nothing_until_a_person_has_looked(store: Store) -> None:
    """Hazard 15: ids are reissued, and one child's attendance must not become another's."""
    ana = _ana(identifier="4711", birth_date=date(2012, 1, 1))
    await _run(store, _with(ana))
    bo = _ana(identifier="5822", birth_date=date(2013, 3, 3), given_name="Bo", family_name="Cole")

    for _ in range(2):
        await _run(store, _with(bo))

    assert display_name(await _user(store, "ana")) == "Ana Ruiz"
    [asked] = await _queue(store)
    assert asked.field == "person"
    await _settle(store, "ours", why="that is another child")
    await _run(store, _with(bo))
    assert display_name(await _user(store, "ana")) == "Ana Ruiz"
    assert await _queue(store) == []


@ON_SQLITE
async def test_an_id_that_is_the_same_childs_after_all_is_taken_over_by_the_next_run(store: Store) -> None:
    ana = _ana(identifier="4711", birth_date=date(2012, 1, 1))
    adopted = _ana(identifier="5822", birth_date=date(2012, 1, 1), given_name="Anne", family_name="Cole")
    await _run(store, _with(ana))
    await _run(store, _with(adopted))

    await _settle(store, "theirs", why="adopted, with a new name and number")
    await _run(store, _with(adopted))

    changed = await _user(store, "ana")
    assert (display_name(changed), changed.identifier) == ("Anne Cole", "5822")


@ON_SQLITE
async def test_an_email_is_nobodys_key(store: Store) -> None:
    """Hazard 15: a family shares an address, and addresses move from one child to another."""
    await _run(store, _with(_ana(email="family@example.org"), replace(BEN, email="family@example.org")))
    ana, ben = await _user(store, "ana"), await _user(store, "ben")

    await _run(store, _with(_ana(email="ben@example.org"), replace(BEN, email="ana@example.org")))

    assert ((await _user(store, "ana")).id, (await _user(store, "ben")).id) == (ana.id, ben.id)
    assert await _addresses(store, "ana") == {"ben@example.org"}
    assert await _addresses(store, "ben") == {"ana@example.org"}
    assert await _queue(store) == []


@ON_SQLITE
async def test_a_student_of_two_schools_and_two_teachers_of_a_class_are_all_there(store: Store) -> None:
    """Hazard 22: the second school and the co-teacher go missing elsewhere."""
    roles = (UserRole(role="student", org="s1"), UserRole(role="student", org="s2", primary=False))
    more: list[Record] = [
        Org(sourced_id="s2", name="Oak", kind="school", parent="d"),
        _ana(roles=roles),
        person("tom", "teacher"),
        Enrollment(sourced_id="e-tom", user="tom", class_="bio", role="teacher"),
    ]

    await _run(store, _with(*more))

    ana = await _user(store, "ana")
    assert len((await store.read(lambda c: people.schools_of(c, [ana.id])))[ana.id]) == 2
    bio = await store.read(lambda c: c.value(m.Class.select(m.Class.id)))
    roster = await store.read(lambda c: classes.roster_of(c, bio, TODAY))
    assert [(one.name, one.primary) for one in roster.teachers] == [("Tia Ruiz", True), ("Tom Ruiz", False)]


@ON_SQLITE
async def test_legal_and_preferred_names_are_kept_and_decided_apart(store: Store) -> None:
    """Hazard 23: what a child is called, and what stands in official papers, are two facts."""
    ours: dict[str, Rule] = {"user.preferred_given_name": "ours"}
    await _run(store, _with(_ana(preferred_given_name="Annie")), policy=ours)
    await _edit(store, "ana", preferred_given_name="Alex")

    await _run(store, _with(_ana(given_name="Anna Maria", preferred_given_name="Ann")), policy=ours)

    ana = await _user(store, "ana")
    assert (display_name(ana), legal_name(ana)) == ("Alex Ruiz", "Anna Maria Ruiz")
    assert await _queue(store) == []
    assert await _corrections(store) == [("Alex Ruiz", "preferred_given_name", "Alex", "Ann")]


async def test_the_queue_comes_in_pages_and_by_connector(store: Store) -> None:
    students = [f"s{number}" for number in range(5)]
    records = small_district(students)
    await _run(store, records)
    for one in students:
        await _edit(store, one, given_name="Here")
    theirs = [
        replace(one, given_name="There") if isinstance(one, User) and one.sourced_id in students else one
        for one in records
    ]
    await _run(store, theirs)

    first = await store.read(lambda c: sync.conflicts(c, limit=3))
    rest = await store.read(lambda c: sync.conflicts(c, limit=3, after=first[-1].id))

    assert [one.sourced_id for one in [*first, *rest]] == students
    assert await store.read(lambda c: sync.conflicts(c, connector="another")) == []


async def test_rows_that_nobody_touched_here_cost_no_query_of_their_own(sqlite_store: Store) -> None:
    """As many questions about edits and conflicts for a unit of fifty rows as for one of five."""
    counts = []
    for number in (5, 50):
        students = [f"s{number}-{one:03d}" for one in range(number)]
        records = small_district(students)
        source = f"sis{number}"
        await sync.run(sqlite_store, source, ScriptedSis(records, page=500))
        changed = [replace(one, grades=("09",)) if isinstance(one, User) else one for one in records]
        async with _counting(sqlite_store) as texts:
            await sync.run(sqlite_store, source, ScriptedSis(changed, page=500))
        counts.append(sum("local_edits" in text or "sync_conflicts" in text for text in texts))
    assert counts[0] == counts[1]


class _counting:  # noqa: N801 - it is used like a function
    """The texts of every statement of the database while it lasts."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.texts: list[str] = []

    async def __aenter__(self) -> list[str]:
        await self.store.write(lambda tx: tx.database.connection().set_trace_callback(self.texts.append))
        return self.texts

    async def __aexit__(self, *_: object) -> None:
        await self.store.write(lambda tx: tx.database.connection().set_trace_callback(None))


STEPS = st.lists(st.tuples(st.sampled_from(["here", "there"]), st.sampled_from([None, "A", "B", "C"])), max_size=7)


@settings(max_examples=15)
@given(STEPS, st.sampled_from(["ask", "sis", "ours"]))
async def test_whatever_both_sides_do_in_turn_every_run_ends_as_three_versions_say(
    sqlite_store: Store, steps: list[tuple[str, str | None]], rule: Rule
) -> None:
    """A model of one field beside the engine; the same run twice changes nothing, and no correction is lost unseen."""
    number = new_id()
    rules: dict[str, Rule] = {"*": rule}

    async def told(value: str | None) -> None:
        record = person(number, "student", preferred_given_name=value)
        school = Org(sourced_id="s1", name="Cedar", kind="school")
        await sync.run(sqlite_store, "sis", ScriptedSis([school, record], delta=True), policy=FieldPolicy(rules))

    async def now() -> tuple[str | None, list[str | None]]:
        asked = [one.theirs for one in await _queue(sqlite_store) if one.sourced_id == number]
        return (await _user(sqlite_store, number)).preferred_given_name, asked

    base = ours = theirs = None
    await told(theirs)
    for side, value in steps:
        if side == "here":
            ours = value
            await _edit(sqlite_store, number, preferred_given_name=value)
            continue
        theirs = value
        clash = compare(base, ours, theirs) == "clash"
        if compare(base, ours, theirs) == "theirs" or (clash and rule == "sis"):
            ours = theirs
        for _ in range(2):
            await told(theirs)
            assert await now() == (ours, [theirs] if clash and rule == "ask" else [])
        base = base if clash and rule == "ask" else theirs
        listed = [
            one for one in await sqlite_store.read(lambda c: sync.corrections(c, "sis")) if one.sourced_id == number
        ]
        assert bool(listed) == (ours != theirs and not (clash and rule == "ask"))
