"""Unusual reading and exports are flagged, once, with the evidence; somebody says what it was."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from homeroom.api.peer import network_of
from homeroom.store import Store, Transaction, migrate, now_utc
from homeroom.store import models as m
from homeroom.store.cipher import Cipher
from homeroom.testing import FakeClock, services
from homeroom_ferpa.log import rows as log_rows
from homeroom_ferpa.log.verify import verify
from homeroom_ferpa.rights import retention
from homeroom_ferpa.rights.settings import Retention
from homeroom_ferpa.watch import Watch, WatchSettings, anomalies, look
from homeroom_ferpa.watch.sightings import rows_after
from tests.services.lawful import ENTRY, new_key
from tests.services.sealed import MIGRATIONS, sealing, with_tables
from tests.services.served import Served, served

NIGHT = datetime(2026, 10, 7, 2, 0, tzinfo=UTC)  # the evening of Tuesday the 6th in New York
DAY = datetime(2026, 10, 7, 15, 0, tzinfo=UTC)
CHOSEN = WatchSettings(night_students=40, bulk_students=60, exports=3)
STAFF = "99.31(a)(1)(i)(A)"
HERE, THERE, ABROAD = "4.k.aaaa", "4.k.bbbb", "6.k.cccc"
_FACTS = (
    "id, kind, who, credential, span, state, began_at, last_at, rows, students, first_id, last_id, entries"  # not when
)


@pytest.fixture
def store(database_url: str, cipher: Cipher) -> Iterator[Store]:
    with Store(with_tables(database_url), cipher=cipher) as opened:
        opened.write_now(look.begin)
        yield opened


@pytest.fixture
def lite(sqlite_url: str, cipher: Cipher) -> Iterator[Store]:
    """The same on SQLite alone, for what does not differ."""
    with Store(with_tables(sqlite_url), cipher=cipher) as opened:
        opened.write_now(look.begin)
        yield opened


def watching(store: Store, *, at_once: int = 500, clock: FakeClock | None = None, **more: Any) -> Watch:
    given_services = services("ferpa", store=store, clock=clock or FakeClock(DAY), time_zone="America/New_York")
    return Watch(CHOSEN.model_copy(update=more), given_services, inside=("reports",), at_once=at_once)


def entry(at: datetime, who: str | None = "teacher", students: Iterable[str] = (), **more: Any) -> dict[str, Any]:
    """An audit row of a member of staff, or of the API key that `credential` names."""
    return {
        "at": log_rows.text_of(at),
        "actor": who,
        "kind": "read",
        "action": "attendance.read",
        "basis": STAFF,
        "student_ids": json.dumps(sorted(students)),
        "fields": "[]",
        "rows": 1,
        "credential": f"session:of_{who}",
        **more,
    }


def by_key(at: datetime, place: str = HERE, students: Iterable[str] = ("s1",)) -> dict[str, Any]:
    return entry(at, "key-1", students, credential="key:key-1", basis="99.31(a)(1)(i)(B):x", place=place)


def enter(store: Store, entries: Sequence[dict[str, Any]]) -> None:
    def unit(tx: Transaction) -> None:
        for number, one in enumerate(entries):
            row = {"key": f"{tx.at}-{number}-{random.random()}", **one}
            marks = ", ".join("?" * len(row))
            tx.write_sql(f"INSERT INTO ferpa_audit ({', '.join(row)}) VALUES ({marks})", list(row.values()))  # noqa: S608

    store.write_now(unit)


def pupils(first: int, last: int) -> list[str]:
    return [f"s{number}" for number in range(first, last)]


def flags(store: Store) -> list[dict[str, Any]]:
    names = _FACTS.split(", ")
    text = f"SELECT {_FACTS} FROM ferpa_anomalies ORDER BY first_id, id"  # noqa: S608
    return [dict(zip(names, row, strict=True)) for row in store.read_now(lambda c: c.sql(text))]


def journal(store: Store, kind: str) -> list[dict[str, Any]]:
    text = "SELECT data FROM journal WHERE kind = ? ORDER BY id"
    return [json.loads(row[0]) for row in store.read_now(lambda c: c.sql(text, (kind,)))]


# Many students at night


async def test_a_person_who_reads_many_students_at_night_is_flagged_once_with_the_evidence(store: Store) -> None:
    minutes = range(50)
    enter(store, [entry(NIGHT + timedelta(minutes=n), students=pupils(n * 8, n * 8 + 8)) for n in minutes])
    await watching(store).look()
    await watching(store).look()
    (night,) = [one for one in flags(store) if one["kind"] == "night_reading"]
    assert (night["who"], night["state"], night["students"], night["rows"]) == ("person:teacher", "open", 400, 50)
    assert (night["first_id"], night["last_id"], night["span"]) == (1, 50, "2026-10-06")
    assert json.loads(night["entries"]) == list(range(1, 51))
    told = [one for one in journal(store, "compliance.anomaly_found") if one["kind"] == "night_reading"]
    assert [(one["who"], one["first_entry"]) for one in told] == [("person:teacher", 1)]


async def test_the_same_reading_in_school_hours_or_of_the_same_students_is_not(lite: Store) -> None:
    by_day = [entry(DAY + timedelta(minutes=n), students=pupils(n * 5, n * 5 + 5)) for n in range(10)]
    the_same = [entry(NIGHT + timedelta(minutes=n), "coach", pupils(0, 39)) for n in range(200)]
    messages = [entry(NIGHT, None, [f"s{n}"], action="guardian.notify", recipient="twilio") for n in range(90)]
    inside = [entry(NIGHT, None, pupils(0, 90), kind="hand_out", recipient="reports")]
    denied = [entry(NIGHT, "curious", pupils(0, 90), kind="denied")]
    enter(lite, [*by_day, *the_same, *messages, *inside, *denied])
    await watching(lite).look()
    assert flags(lite) == []


async def test_days_off_and_the_settings_hours_count_in_the_districts_zone(lite: Store) -> None:
    saturday = datetime(2026, 10, 10, 16, 0, tzinfo=UTC)  # noon in New York
    early = datetime(2026, 10, 7, 9, 59, tzinfo=UTC)  # 05:59
    enter(lite, [entry(saturday, "a", pupils(0, 40)), entry(early, "b", pupils(0, 40))])
    enter(lite, [entry(early + timedelta(minutes=1), "c", pupils(0, 40))])
    await watching(lite).look()
    assert [(one["who"], one["span"]) for one in flags(lite)] == [
        ("person:a", "2026-10-10"),
        ("person:b", "2026-10-06"),
    ]


# Bulk and exports


async def test_a_key_or_vendor_that_takes_many_students_in_an_hour_is_flagged_unless_it_is_expected(
    lite: Store,
) -> None:
    burst = [by_key(DAY + timedelta(minutes=25 * n), students=pupils(n * 30, n * 30 + 30)) for n in range(2)]
    handed = [entry(DAY, None, pupils(0, 60), kind="hand_out", recipient="acme", credential=None, basis="x")]
    slow = [entry(DAY + timedelta(hours=2 * n), "slow", pupils(n * 30, n * 30 + 30)) for n in range(4)]
    enter(lite, [*burst, *handed, *slow])
    await watching(lite).look()
    assert [(one["kind"], one["who"], one["students"]) for one in flags(lite)] == [
        ("bulk_reading", "key:key-1", 60),
        ("bulk_reading", "plugin:acme", 60),
    ]
    other = lite.read_now(lambda c: c.sql("SELECT max(id) FROM ferpa_audit"))[0][0]
    enter(lite, [by_key(DAY + timedelta(days=1), students=pupils(0, 90))])
    await watching(lite, expected=frozenset({"key:key-1"})).look()
    assert not [one for one in flags(lite) if one["first_id"] > other]


async def test_a_storm_of_exports_is_one_flag_that_grows(lite: Store) -> None:
    watch = watching(lite)

    def export(tx: Transaction) -> None:
        tx.journal("data.exported", data={"party": None, "purpose": None, "files": []})

    for _ in range(5):
        lite.write_now(export)
    events = [event for event in exported(lite) for _ in range(2)]  # a consumer may be told twice
    await watch.heard(events[:4])
    assert flags(lite) == []
    await watch.heard(events)
    await watch.heard(events)
    (storm,) = flags(lite)
    assert (storm["kind"], storm["who"], storm["rows"]) == ("export_storm", "command line", 5)
    incident = await watch.incident(what="Somebody copied the district.", anomaly_ids=[storm["id"]])
    assert incident["everybody"]


def exported(store: Store) -> list[Any]:
    from homeroom import Event

    rows = store.read_now(lambda c: c.sql("SELECT id, at FROM journal WHERE kind = 'data.exported' ORDER BY id"))
    return [Event(id=row_id, at=datetime.fromisoformat(at), kind="data.exported") for row_id, at in rows]


# Two places


async def test_a_key_used_from_two_networks_within_an_hour_is_flagged_and_grows(store: Store) -> None:
    enter(store, [by_key(DAY), by_key(DAY + timedelta(minutes=5), THERE)])
    await watching(store).look()
    (flag,) = flags(store)
    assert (flag["kind"], flag["who"], flag["credential"], flag["rows"]) == (
        "two_places",
        "key:key-1",
        "key:key-1",
        1,
    )
    assert json.loads(flag["entries"]) == [1, 2]
    enter(store, [by_key(DAY + timedelta(minutes=9))])
    await watching(store).look()
    (flag,) = flags(store)
    assert (flag["rows"], json.loads(flag["entries"])) == (2, [1, 2, 3])


async def test_moving_with_time_another_kind_of_address_and_families_are_not_flagged(lite: Store) -> None:
    moved = [by_key(DAY), by_key(DAY + timedelta(minutes=61), THERE)]
    both = [by_key(DAY + timedelta(minutes=62), ABROAD), by_key(DAY + timedelta(minutes=63), THERE)]
    family = [entry(DAY, "mum", ["s1"], basis="99.10", place=place) for place in (HERE, THERE, HERE, THERE)]
    enter(lite, [*moved, *both, *family])
    await watching(lite).look()
    assert flags(lite) == []


async def test_a_sign_in_may_move_but_not_be_back_at_once(lite: Store) -> None:
    enter(lite, [entry(DAY, students=["s1"], place=HERE)])
    enter(lite, [entry(DAY + timedelta(minutes=2), students=["s1"], place=THERE)])
    await watching(lite).look()
    assert flags(lite) == []
    enter(lite, [entry(DAY + timedelta(minutes=4), students=["s1"], place=HERE)])
    await watching(lite).look()
    (flag,) = flags(lite)
    assert (flag["who"], flag["credential"]) == ("person:teacher", "session:of_teacher")
    assert json.loads(flag["entries"]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("unknown", "None"),
    ],
)
def test_a_place_is_a_network_and_not_an_address(address: str, network: str) -> None:
    assert str(network_of(address)) == network


# Looking


def reading(dice: random.Random) -> list[dict[str, Any]]:
    """Some days of reading by a few people, keys and plugins; now and then the clock goes back."""
    at, made = NIGHT, []
    for _ in range(dice.randrange(40, 140)):
        at += timedelta(seconds=dice.choice([1, 30, 200, 900, 5000, -400, -9000]))
        students = {f"s{dice.randrange(160)}" for _ in range(dice.choice([1, 3, 30]))}
        place = dice.choice([None, HERE, HERE, THERE, ABROAD])
        kind = dice.randrange(4)
        if kind == 0:
            made.append(by_key(at, place or THERE, students))
        elif kind == 1:
            made.append(entry(at, None, students, kind="hand_out", recipient="acme", credential=None))
        else:
            made.append(entry(at, dice.choice(["t1", "t2"]), students, place=place))
    return made


def begin_anew(tx: Transaction) -> None:
    for name in ("anomalies", "watch_tallies", "watch_places"):
        tx.write_sql(f"DELETE FROM ferpa_{name}")  # noqa: S608
    tx.write_sql("UPDATE ferpa_watch_positions SET position = 0")


class Killed(Exception):
    """The process ended."""


async def look_in_portions(store: Store, dice: random.Random) -> None:
    """Look in portions of any size, by several processes; some looks die before they are committed."""
    while True:
        watch = watching(store, at_once=dice.choice([1, 2, 7, 40]))
        before, rows = store.read_now(
            lambda c: (look.position(c, "audit"), rows_after(c, look.position(c, "audit"), watch._at_once))  # noqa: B023
        )
        if not rows:
            return
        seen = [one for one in map(watch.watched.of_row, rows) if one is not None]

        def unit(tx: Transaction, *, dies: bool) -> bool:
            done = look.take(tx, watch.watched, "audit", seen, before=before, upto=rows[-1][0])  # noqa: B023
            if dies:
                raise Killed
            return done

        if dice.random() < 0.3:
            with pytest.raises(Killed):
                store.write_now(lambda tx: unit(tx, dies=True))
        assert store.write_now(lambda tx: unit(tx, dies=False))
        assert not store.write_now(lambda tx: unit(tx, dies=False))


@examples(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_what_is_flagged_does_not_depend_on_when_and_in_which_portions_one_looks(lite: Store, seed: int) -> None:
    import asyncio

    dice = random.Random(seed)
    lite.write_now(begin_anew)
    lite.write_now(lambda tx: tx.write_sql("DELETE FROM ferpa_audit"))
    enter(lite, reading(dice))
    asyncio.run(watching(lite, at_once=100_000).look())
    at_once = flags(lite)
    lite.write_now(begin_anew)
    asyncio.run(look_in_portions(lite, dice))
    assert flags(lite) == at_once


async def test_what_is_kept_for_looking_stays_small(lite: Store) -> None:
    for day in range(30):
        enter(lite, [entry(NIGHT + timedelta(days=day, minutes=n), students=pupils(0, 9)) for n in range(5)])
    await watching(lite).look()
    kept = lite.read_now(lambda c: c.sql("SELECT kind, count(*) FROM ferpa_watch_tallies GROUP BY kind ORDER BY kind"))
    assert kept == [("bulk_reading", 3), ("night_reading", 2)]


# Settling


async def test_a_flag_is_explained_with_a_reason_and_then_counted_from_nothing(lite: Store) -> None:
    watch = watching(lite)
    enter(lite, [entry(NIGHT, students=pupils(0, 45))])
    await watch.look()
    (flag,) = flags(lite)
    settled = await watch.explain(flag["id"], "Grades were due.")
    assert (settled["state"], settled["reason"], settled["settled_by"]) == ("explained", "Grades were due.", None)
    assert "Grades" not in str(lite.read_now(lambda c: c.sql("SELECT * FROM ferpa_anomalies")))
    enter(lite, [entry(NIGHT + timedelta(minutes=1), students=pupils(0, 10))])
    await watch.look()
    assert len(flags(lite)) == 1
    enter(lite, [entry(NIGHT + timedelta(minutes=2), students=pupils(10, 50))])
    await watch.look()
    first, second = flags(lite)
    assert (first["rows"], second["state"], second["students"]) == (1, "open", 50)
    with pytest.raises(Exception, match="settled already"):
        await watch.explain(flag["id"], "Once more.")


async def test_audit_rows_behind_an_open_flag_outlive_the_schedule(lite: Store) -> None:
    watch = watching(lite)
    enter(lite, [entry(NIGHT, students=pupils(0, 45)), entry(DAY, "coach", ["s1"])])
    await watch.look()
    old = services("ferpa", store=lite, clock=FakeClock(NIGHT + timedelta(days=900)))
    done = await retention.purge(old, Retention(audit=30), dry_run=False)
    assert done.counts["audit"] == 1
    assert done.skipped == [{"student_id": "", "kind": "audit", "why": "open-anomaly"}]
    await watch.explain(flags(lite)[0]["id"], "Grades were due.")
    assert (await retention.purge(old, Retention(audit=30), dry_run=False)).counts["audit"] == 1


async def test_where_from_is_sealed_in_the_log_like_everything_else(lite: Store) -> None:
    log = sealing(lite, clock=FakeClock(now_utc()))
    enter(lite, [by_key(DAY), entry(DAY, credential=None)])
    await log.seal()
    assert (await verify(lite.read)).problems == []
    for change in ("place = NULL, credential = NULL", "place = '4.k.dddd'"):
        before = lite.read_now(lambda c: c.sql("SELECT place, credential FROM ferpa_audit WHERE id = 1"))[0]
        log.sql(f"UPDATE ferpa_audit SET {change} WHERE id = 1")  # noqa: S608
        assert len((await verify(lite.read)).problems) == 1
        log.sql("UPDATE ferpa_audit SET place = ?, credential = ? WHERE id = 1", *before)
    log.sql("UPDATE ferpa_audit SET place = '4.k.dddd' WHERE id = 2")
    assert len((await verify(lite.read)).problems) == 1


def test_the_watch_begins_with_what_is_new(sqlite_url: str, cipher: Cipher) -> None:
    migrate.upgrade(sqlite_url, {"ferpa": MIGRATIONS}, only={"core": [], "ferpa": ["0004_reports"]})
    columns = "key, at, kind, action, student_ids, fields, rows"
    insert = f"INSERT INTO ferpa_audit ({columns}) VALUES ('k', 'x', 'r', 'a', '', '', 1)"  # noqa: S608
    with Store(sqlite_url, cipher=cipher) as store:
        store.write_now(lambda tx: tx.write_sql(insert))
    migrate.upgrade(sqlite_url, {"ferpa": MIGRATIONS})
    with Store(sqlite_url, cipher=cipher) as store:
        for _ in range(2):
            store.write_now(look.begin)
            assert store.read_now(lambda c: look.position(c, "audit")) == 1


# Over HTTP


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=("ferpa",), required=("ferpa",)) as running:
        yield running


async def test_a_real_key_in_two_networks_shows_in_the_list_and_no_address_is_kept(api: Served) -> None:
    key = {"Authorization": f"Bearer {await new_key(api)}"}
    entry_of_key = ENTRY | {"recipient": "key:key-1", "categories": ["all"]}
    assert (await api.post("~/compliance/officials", "admin", entry_of_key)).status_code == 201
    for peer in ("203.0.113.9", "198.51.100.4"):
        assert (await api.call("GET", "~/students/ann", headers=key, peer=peer)).status_code == 200
    now = services("ferpa", store=api.district.store, clock=FakeClock(now_utc()))
    await Watch(WatchSettings(), now).look()
    (flag,) = (await (await api.get("~/compliance/anomalies?state=open", "admin")).get_json())["items"]
    assert (flag["kind"], flag["who"], len(flag["entries"])) == ("two_places", "key:key-1", 2)
    assert [task["kind"] for task in await tasks(api)] == ["anomaly"]
    for table in ("ferpa_audit", "ferpa_watch_places", "ferpa_anomalies", "journal"):
        held = await api.district.store.read(lambda c, table=table: c.sql(f"SELECT * FROM {table}"))  # type: ignore[misc]  # noqa: S608
        assert "203.0.113" not in str(held)
    path = f"~/compliance/anomalies/{flag['id']}"
    assert (await api.get(path, "admin_north")).status_code == 403
    assert (await api.post(f"{path}/explain", "admin", {"reason": " "})).status_code == 422
    answer = await api.post(f"{path}/explain", "admin", {"reason": "The library moved its server."})
    assert (await answer.get_json())["item"]["settled_by"] == "admin"
    assert (await api.post(f"{path}/explain", "admin", {"reason": "Again."})).status_code == 409
    assert await tasks(api) == []
    kept = await api.district.store.read(
        lambda c: c.all(m.Journal.select().where(m.Journal.kind == "compliance.anomaly_settled"))
    )
    assert [(one.actor_id, one.subject_id) for one in kept] == [("admin", flag["id"])]


async def tasks(api: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await (await api.get("~/compliance/tasks", "admin")).get_json())["items"]
    return found


def test_every_kind_says_what_it_means() -> None:
    assert {kind for kind, says in anomalies.SAYS.items() if says.endswith(".")} == {
        "night_reading",
        "bulk_reading",
        "export_storm",
        "two_places",
    }
