"""FERPA's sentences on erasing a person: nothing is left, here or in an older backup."""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

import homeroom_accounts
from homeroom.cli import main
from homeroom.store import Refused, Store, Transaction, migrate, places
from homeroom.store import models as m
from homeroom.store.backup import back_up
from homeroom.store.cipher import Cipher
from homeroom.store.erasure import EraseList, erased_people, replay
from homeroom_ferpa.rights import erasure, inspections, retention
from tests.services import world
from tests.services.keeping import MIGRATIONS, add_entry, add_message, ask, at, kinds, log_verifies
from tests.services.served import served

SECRET = {
    "given_name": "Qwortlina",
    "middle_name": "Zebedeeah",
    "family_name": "Vexleighton",
    "preferred_given_name": "Qwortie",
    "preferred_family_name": "Vexham",
    "identifier": "STU-7788123",
    "username": "qvexleighton",
    "sourced_id": "sis-qv-998877",
    "sort": "vexleighton qwortlina",
    "born": "2011-02-17",
    "email": "qwortlina@family.example",
    "phone": "+15550198765",
    "note": "Fainted in the corridor beside the fishtank",
    "reason": "Orthodontist told us on Tuesday",
    "message": "Qwortlina was absent in Algebra",
    "device": "Vexleighton family tablet",
    "subject": "idp|vexleighton-77",
    "wish": "Everything about the fishtank incident",
    "statement": "We never agreed about the fishtank",
}


def hide_everywhere(tx: Transaction) -> None:
    """Writes a person into every table that can hold one, in clear or sealed, alone or among others."""
    names = {key: SECRET[key] for key in ("given_name", "middle_name", "family_name", "identifier", "username")}
    names |= {key: SECRET[key] for key in ("preferred_given_name", "preferred_family_name", "sourced_id")}
    born = date.fromisoformat(SECRET["born"])
    values: dict[str, Any] = {**names, "sort_name": SECRET["sort"], "source": "sis", "birth_date": born, "ended": True}
    tx.run(m.User.update(grades=["07"], **values).where(m.User.id == "ann"))
    for kind in ("email", "phone"):
        sealed, lookup = tx.seal_for("ann", SECRET[kind]), tx.cipher.lookup(kind, SECRET[kind])
        tx.insert(m.Contact, id=f"c_{kind}", user_id="ann", kind=kind, value=sealed, lookup=lookup, source="sis")
    tx.run(
        m.AttendanceRecord.update(
            note=tx.seal_for("ann", SECRET["note"]), reason=tx.seal_for("ann", SECRET["reason"])
        ).where(m.AttendanceRecord.id == "record_ann")
    )
    tx.run(
        m.AbsenceReport.update(reason=tx.seal_for("ann", SECRET["reason"])).where(m.AbsenceReport.id == "report_ann")
    )
    add_message(tx, "ann", SECRET["message"])
    tx.insert(m.SignInSession, id="s", user_id="ann", device=SECRET["device"], refresh_hash="r", **_moments(tx))
    tx.insert(m.ExternalLogin, provider="oidc", subject=SECRET["subject"], user_id="ann", created_at=tx.now)
    _hide_in_sync(tx)
    _hide_in_answers(tx)
    new: dict[str, Any] = {"inspection_id": "i", "student_id": "ann", "asked_by": "guardian_ann"}
    inspections.ask(tx, received_on=world.TODAY, days=45, wish=SECRET["wish"], **new)
    inspections.end(tx, student_id="ann", inspection_id="i", state="fulfilled", act="x")
    tx.write_sql(
        "INSERT INTO ferpa_statements (id, hearing_id, student_id, record_id, made_by, made_at, text) "
        "VALUES ('s', 'h', 'ann', 'record_ann', 'guardian_ann', '2026-01-01', ?)",
        (tx.seal_for("ann", SECRET["statement"]),),
    )
    add_entry(tx, "entry", "ann")
    copy = tx.seal_for("ann", SECRET["note"])
    tx.write_sql("UPDATE ferpa_ledger_students SET copy = ? WHERE student_id = 'ann'", (copy,))


def _moments(tx: Transaction) -> dict[str, datetime]:
    return {"created_at": tx.now, "last_used_at": tx.now, "expires_at": tx.now + timedelta(days=1)}


def _content(*names: str) -> str:
    return orjson.dumps({name: SECRET.get(name, "x") for name in names}).decode()


def _hide_in_sync(tx: Transaction) -> None:
    sid = SECRET["sourced_id"]
    content = _content("given_name", "family_name", "identifier", "username")
    seat = orjson.dumps({"user": sid, "class_": "c1", "role": "student"}).decode()
    parent = orjson.dumps({"given_name": "Pat", "agents": [sid]}).decode()
    tx.insert(m.SyncRun, id="run", connector="sis", started_at=tx.now)
    for table, first in ((m.SourceState, {"source": "sis"}), (m.StagedRow, {"run_id": "run"})):
        for noun, key, text in (("user", sid, content), ("enrollment", "e1", seat), ("user", "parent", parent)):
            tx.insert(table, noun=noun, sourced_id=key, content_hash="h", content=text, **first)
    addresses = tx.cipher.seal(_content("email", "phone"), f"staged_rows.sealed.{sid}")
    tx.run(m.StagedRow.update(row_id="ann", sealed=addresses).where(m.StagedRow.sourced_id == sid))
    letter = tx.cipher.seal(orjson.dumps({"record": SECRET["family_name"], "of": sid}).decode(), places.DEAD_LETTER)
    for letter_of in (sid, None):
        about = {"connector": "sis", "run_id": "run", "noun": "user", "location": "users.csv:3", "reason": "no school"}
        tx.insert(m.DeadLetter, sourced_id=letter_of, content=letter, **about)
    values = {"base": tx.seal_for("ann", SECRET["given_name"]), "ours": tx.seal_for("ann", SECRET["family_name"])}
    named = {"connector": "sis", "noun": "user", "sourced_id": sid, "row_id": "ann", "field": "given_name"}
    tx.insert(m.SyncConflict, **values, **named, found_at=tx.now, changed_at=tx.now)
    diff = tx.cipher.seal(orjson.dumps([{"name": SECRET["given_name"], "id": sid}]).decode(), places.diff("run", 0))
    tx.insert(m.SyncDiff, run_id="run", part=0, content=diff)
    wish = {"key": "w", "mark_id": "o", "connector": "sis", "version": 1, "wish": "x", "started_at": tx.now}
    tx.insert(m.OutgoingWrite, content={"student": sid}, **wish)
    mark: dict[str, Any] = {"id": "o", "connector": "sis", "student_id": "ann", "school_id": "north"}
    mark |= {"school_day": world.TODAY, "student_sourced_id": sid, "school_sourced_id": "n", "recorded_at": tx.now}
    tx.insert(m.OutgoingMark, wish="x", waiting_since=tx.now, **mark)
    tx.insert(m.OutgoingChoice, mark_id="o", version=1, choice="keep", why=tx.seal_for("ann", "x"), chosen_at=tx.now)


def _hide_in_answers(tx: Transaction) -> None:
    answer = _content("given_name", "family_name")
    sealed = tx.cipher.seal(answer, places.idempotent_answer("admin", "key"))
    tx.insert(
        m.IdempotencyKey, owner="admin", key="key", request_hash="h", status=201, answer=sealed, created_at=tx.now
    )
    digest = tx.cipher.seal(orjson.dumps({"email": "Absent: Qwortlina Vexleighton"}).decode(), places.message("digest"))
    values: dict[str, Any] = {"id": "digest", "key": "digest", "rule_id": "r", "rule_version": 1, "kind": "daily"}
    values |= {"purpose": "staff", "school_id": "north", "recipient_id": "admin_north", "audience": "staff"}
    values |= dict.fromkeys(("due_at", "expires_at", "created_at", "changed_at"), tx.now)
    tx.insert(m.Notification, content=digest, language="en", **values)


def churn(store: Store) -> None:
    """Moves rows between pages, so that older copies of them may lie in the gaps."""
    for start in range(0, 600, 100):

        def unit(tx: Transaction, start: int = start) -> None:
            for number in range(start, start + 100):
                name = f"f{number * 7919 % 600:03}"
                tx.insert(
                    m.User, id=name, given_name="x" * 90, family_name="y", sort_name=f"ve{name}", changed_at=tx.now
                )

        store.write_now(unit)
    store.write_now(lambda tx: tx.run(m.User.delete().where(m.User.id.startswith("f"))))


def files_of(url: str) -> bytes:
    path = Path(url.removeprefix("sqlite:///"))
    names = [path.with_name(path.name + end) for end in ("", "-wal", "-shm", "-journal")]
    return b"".join(name.read_bytes() for name in names if name.exists())


def inside(backup: Path) -> bytes:
    with zipfile.ZipFile(backup) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


def clear(data: bytes, *, without: Sequence[str] = ()) -> list[str]:
    """Which of the secrets can be read in these bytes."""
    return sorted(name for name, text in SECRET.items() if name not in without and text.encode() in data)


def sealed_texts(store: Store) -> list[str]:
    """Everything that is sealed under the person's key, as it lies in the database."""
    queries = (
        "SELECT value FROM contacts WHERE user_id = 'ann'",
        "SELECT note FROM attendance_records WHERE student_id = 'ann'",
        "SELECT content FROM notifications WHERE student_id = 'ann'",
        "SELECT text FROM ferpa_statements WHERE student_id = 'ann'",
        "SELECT copy FROM ferpa_ledger_students WHERE student_id = 'ann'",
        "SELECT ours FROM sync_conflicts WHERE row_id = 'ann'",
    )
    return [row[0] for text in queries for row in store.read_now(lambda c, text=text: c.sql(text)) if row[0]]  # type: ignore[misc]


def opened(store: Store, texts: Sequence[str]) -> set[str]:
    found = (store.read_now(lambda c, text=text: c.unseal_for("ann", text)) for text in texts)  # type: ignore[misc]
    return {text for text in found if text is not None}


@pytest.fixture
def peopled(sqlite_url: str, cipher: Cipher) -> Iterator[Store]:
    accounts = Path(homeroom_accounts.__path__[0]) / "migrations"
    migrate.upgrade(sqlite_url, {"ferpa": MIGRATIONS, "accounts": accounts})
    with Store(sqlite_url, cipher=cipher) as store:
        store.write_now(world.build)
        store.write_now(hide_everywhere)
        for user in ("ann", "bob"):
            values = (user, store.cipher.lookup("login", user))
            text = "INSERT INTO accounts_credentials (user_id, login, hash, changed_at) VALUES (?, ?, 'h', '')"
            store.write_now(lambda tx, text=text, values=values: tx.write_sql(text, values))  # type: ignore[misc]
        churn(store)
        yield store


async def test_shred_proof_nothing_of_an_erased_student_can_be_read_in_the_files(
    peopled: Store, tmp_path: Path
) -> None:
    """FERPA 38 §99.32(a)(2): erasure: no clear text in the database, its WAL, or a backup made afterwards."""
    listed = tmp_path / "elsewhere" / "erased.txt"
    listed.parent.mkdir()
    sealed_before = ("email", "phone", "note", "reason", "message", "wish", "statement")
    assert clear(files_of(peopled.url)) == sorted(set(SECRET) - set(sealed_before))  # so the search can find them
    texts = sealed_texts(peopled)
    assert len(opened(peopled, texts)) >= 6
    key = peopled.read_now(lambda c: c.sql("SELECT sealed_key FROM person_keys WHERE user_id = 'ann'"))[0][0]
    back_up(peopled.url, tmp_path / "before.zip")
    await log_verifies(peopled)

    done = await erasure.erase(at(datetime.now(UTC), peopled, listed), "ann", why="Board resolution 26-14")

    wanted: tuple[str, ...] = (
        "users",
        "person_keys",
        "contacts",
        "source_states",
        "staged_rows",
        "dead_letters",
        "sync_diffs",
    )
    wanted += ("idempotency_keys", "sync_conflicts", "outgoing_writes", "external_logins", "notifications")
    assert set(wanted) <= set(done)
    data = files_of(peopled.url)
    assert clear(data) == []
    assert key.encode() not in data
    assert peopled.read_now(lambda c: c.sql("SELECT user_id FROM accounts_credentials")) == [("bob",)]
    assert b"Board resolution" not in data
    back_up(peopled.url, tmp_path / "after.zip")
    assert clear(inside(tmp_path / "after.zip")) == []
    assert opened(peopled, texts) == set()  # whatever of them is left, here or elsewhere, opens no more
    assert (await asyncio.to_thread(listed.read_text)).split()[1:] == ["ann"]
    await log_verifies(peopled)
    record = peopled.read_now(lambda c: c.one(m.AttendanceRecord.select().where(m.AttendanceRecord.id == "record_ann")))
    assert record is not None  # the figures of the past stay
    assert (record.status, record.note) == ("present", None)
    others = peopled.read_now(lambda c: c.sql("SELECT sourced_id FROM source_states ORDER BY sourced_id"))
    assert others == []  # the parent's and the seat's named the student; they come anew with the next run


@pytest.mark.parametrize("table", [m.Enrollment, m.User])
async def test_an_erasure_leaves_the_end_of_a_seat_or_its_person_that_ended_long_before(
    peopled: Store, tmp_path: Path, table: type[m.Enrollment | m.User]
) -> None:
    """The figures of months past rest on it."""
    october = datetime(2025, 10, 3, tzinfo=UTC)
    seat = m.Enrollment.user_id == "ann"
    whose = seat if table is m.Enrollment else m.User.id == "ann"
    peopled.write_now(lambda tx: tx.run(table.update(ended=True, changed_at=october).where(whose)))

    await erasure.erase(at(datetime.now(UTC), peopled, tmp_path / "erased.txt"), "ann", why="Board resolution 26-14")

    ends = peopled.read_now(lambda c: c.values(m.Enrollment.select(m.Enrollment.changed_at).where(seat)))
    assert set(ends) == {october}


async def test_an_older_backup_is_made_safe_before_anybody_is_served(
    peopled: Store, tmp_path: Path, cipher: Cipher
) -> None:
    """FERPA 38 §99.32(a)(2): a backup from before the erasure is restored without the person."""
    from homeroom.store.backup import restore

    listed, old = tmp_path / "erased.txt", tmp_path / "before.zip"
    back_up(peopled.url, old)
    assert clear(inside(old)) != []
    await erasure.erase(at(datetime.now(UTC), peopled, listed), "ann", why="x")
    new = f"sqlite:///{tmp_path / 'restored.db'}"
    restore(new, old, plugins={"ferpa": MIGRATIONS, "accounts": Path(homeroom_accounts.__path__[0]) / "migrations"})
    with Store(new, cipher=cipher) as store:
        assert await asyncio.to_thread(replay, store, EraseList(listed)) == ["ann"]
        assert clear(files_of(new)) == []
        assert store.read_now(erased_people) == ["ann"]
        assert await asyncio.to_thread(replay, store, EraseList(listed)) == []
        await log_verifies(store)


async def test_a_database_put_back_by_hand_is_made_safe_at_the_start(sqlite_url: str, tmp_path: Path) -> None:
    """FERPA 38 §99.32(a)(2): whoever copies an old file back has the erased out before the first answer."""
    listed = tmp_path / "erased.txt"
    async with served(sqlite_url, enabled=["ferpa"]) as first:
        named = {"given_name": SECRET["given_name"], "family_name": SECRET["family_name"], "sort_name": SECRET["sort"]}
        await first.district.store.write(lambda tx: tx.run(m.User.update(**named).where(m.User.id == "ann")))
    EraseList(listed).add(["ann"])
    from homeroom.app import create_app
    from homeroom.settings import DatabaseSettings, Settings

    app = create_app(Settings(database=DatabaseSettings(url=sqlite_url, erasure_list=listed)))
    async with app.test_app():
        store: Store = app.extensions["homeroom"].store
        assert await store.read(erased_people) == ["ann"]
        assert clear(files_of(sqlite_url)) == []


def test_a_crash_before_the_list_is_written_is_mended(peopled: Store, tmp_path: Path) -> None:
    """FERPA 38 §99.32(a)(2): an erasure that was committed is on the list after the next look, whatever died."""
    from homeroom.store.erasure import erase

    peopled.write_now(lambda tx: erase(tx, "ann"))
    people = EraseList(tmp_path / "erased.txt")
    assert people.ids() == []
    assert replay(peopled, people) == []
    assert people.ids() == ["ann"]
    assert oct((tmp_path / "erased.txt").stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize("reason", ["inspection", "hold", "sis", "staff", "no list", "broken list", "no why"])
async def test_an_erasure_that_may_not_be_is_refused_with_the_reason_and_changes_nothing(
    peopled: Store, tmp_path: Path, reason: str
) -> None:
    """FERPA 12 §99.10(e): nobody is erased whose record is held, asked for, or would come back; the refusal is kept."""
    listed: Path | None = tmp_path / "erased.txt"
    person, why, problem = "ann", "x", ""
    match reason:
        case "inspection":
            ask(peopled, "ann")
            problem = "open-inspection"
        case "hold":
            peopled.write_now(lambda tx: retention.hold(tx, hold_id="h", student_id="ann", reference="Docket"))
            problem = "legal-hold"
        case "sis":
            peopled.write_now(lambda tx: tx.run(m.User.update(ended=False).where(m.User.id == "ann")))
            problem = "still-in-sis"
        case "staff":
            person, problem = "teacher_a", "staff"
        case "no list":
            listed, problem = None, "no-erasure-list"
        case "broken list":
            listed, problem = tmp_path / "nowhere" / "erased.txt", "erasure-list-unusable"
        case "no why":
            why, problem = " ", "not-written"
    with pytest.raises(Refused) as refused:
        await erasure.erase(at(datetime.now(UTC), peopled, listed), person, why=why)
    assert refused.value.problem == problem
    assert kinds(peopled, "compliance.refused") == [(person, {"problem": problem})]
    assert peopled.read_now(erased_people) == []
    assert len(sealed_texts(peopled)) >= 6
    assert listed is None or not listed.exists() or EraseList(listed).ids() == []


async def test_only_a_district_administrator_erases_and_repeats_the_id(sqlite_url: str, tmp_path: Path) -> None:
    """FERPA 38 §99.32(a)(2): the route asks for the id twice, and for the right."""
    async with served(sqlite_url, enabled=["ferpa"], erasure_list=tmp_path / "erased.txt") as place:
        path, body = "~/compliance/people/ann/erase", {"why": "x", "confirm": "ann"}
        for other in ("admin_north", "teacher_a", "guardian_ann", "ann"):
            assert (await place.post(path, other, body)).status_code == 403
        assert (await place.post(path, "admin", {**body, "confirm": "bob"})).status_code == 422
        answer = await place.post(path, "admin", body)
        told = (await answer.get_json())["item"]
        assert (answer.status_code, told["guardians_left"]) == (200, ["guardian_ann", "guardian_lost"])
        shown = await (await place.get("~/students/ann", "admin")).get_json()
        assert (shown["given_name"], shown["family_name"]) == ("Erased", "Erased")
        assert (await place.get("~/students/ann/attendance", "admin")).status_code == 200
        assert (await place.get("~/students/ann", "guardian_ann")).status_code in (403, 404)
        assert (await (await place.post(path, "admin", body)).get_json())["item"]["rows"] == {}


def test_erasing_takes_the_same_out_of_postgresql(postgres_store: Store) -> None:
    """FERPA 38 §99.32(a)(2): on PostgreSQL the same rows go; its WAL archives are the district's to expire."""
    migrate.upgrade(postgres_store.url, {"ferpa": MIGRATIONS})
    postgres_store.write_now(world.build)
    postgres_store.write_now(hide_everywhere)
    from homeroom.store.erasure import erase

    postgres_store.write_now(lambda tx: erase(tx, "ann"))
    tables = postgres_store.read_now(
        lambda c: c.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()")
    )
    for (table,) in tables:
        found = postgres_store.read_now(lambda c, t=table: c.sql(f'SELECT * FROM "{t}"'))  # type: ignore[misc] # noqa: S608
        assert clear(repr(found).encode()) == [], table


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    import structlog

    (tmp_path / "homeroom.toml").write_text(
        f'[database]\nurl = "sqlite:///{tmp_path / "d.db"}"\nerasure_list = "{tmp_path / "erased.txt"}"\n'
        '[plugins]\nenabled = ["ferpa"]\n[plugins.ferpa.rights.retention]\nattendance = 1\nmessages = 1\n'
    )
    for name in ("HOMEROOM_CONFIG", "DATABASE_URL", "REDIS_URL", "ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert run("db", "upgrade").exit_code == 0
    yield tmp_path
    structlog.reset_defaults()


def run(*args: str, stdin: str | None = None) -> Any:
    return CliRunner().invoke(main, list(args), input=stdin)


def write(unit: Any) -> None:
    from homeroom.settings import load_settings

    settings = load_settings()
    with Store(settings.database.url, cipher=settings.cipher()) as store:
        store.write_now(unit)


def test_the_commands_count_purge_erase_and_a_restore_brings_nobody_back(installed: Path) -> None:
    """FERPA 38 §99.32(a)(2): dry run, purge and erasure by command; `db restore` erases again before serving."""

    def unit(tx: Transaction) -> None:
        world.build(tx)
        hide_everywhere(tx)
        long_ago = world.TODAY - timedelta(days=30)
        tx.run(m.Enrollment.update(ended=True).where(m.Enrollment.user_id == "bob"))
        tx.run(m.AttendanceRecord.update(school_day=long_ago).where(m.AttendanceRecord.student_id == "bob"))

    write(unit)
    told = json.loads(run("compliance", "retention", "--dry-run", "--json").stdout)
    assert (told["dry_run"], told["students"], told["counts"]["attendance_records"]) == (True, 1, 1)
    assert run("compliance", "retention", "--dry-run").stdout.count("Would delete") == len(told["counts"])
    done = run("compliance", "retention")
    assert (done.exit_code, "attendance_records" in done.stdout) == (0, True)
    assert json.loads(run("compliance", "retention", "--json").stdout)["counts"] == {}
    assert run("db", "backup", "old.zip").exit_code == 0

    assert run("compliance", "erase", "ann", "--why", "x", stdin="n\n").exit_code == 1
    assert clear(files_of(f"sqlite:///{installed / 'd.db'}")) != []
    erased = run("compliance", "erase", "ann", "--why", "Board", "--yes", "--json")
    assert json.loads(erased.stdout)["rows"]["users"] == 1
    assert clear(files_of(f"sqlite:///{installed / 'd.db'}")) == []
    nobody = run("compliance", "erase", "nobody-here", "--why", "x", "--yes")
    assert (nobody.exit_code, "no such person" in nobody.output) == (1, True)

    for name in ("d.db", "d.db-wal", "d.db-shm"):
        (installed / name).unlink(missing_ok=True)
    restored = run("db", "restore", "old.zip", "--json")
    assert json.loads(restored.stdout)["erased_again"] == 1
    assert clear(files_of(f"sqlite:///{installed / 'd.db'}")) == []
