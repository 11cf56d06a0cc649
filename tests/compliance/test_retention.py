"""FERPA's sentences on keeping and letting go: purges that respect who still waits."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from homeroom.attendance.records import COUNTS
from homeroom.attendance.statistics import class_figures
from homeroom.store import Connection, Refused, Store, Transaction, migrate
from homeroom.store import models as m
from homeroom.testing import FakeClock, services
from homeroom_ferpa.rights import Rights, RightsSettings, inspections, retention
from homeroom_ferpa.rights.part import is_due
from homeroom_ferpa.rights.settings import Retention
from tests.services import world
from tests.services.keeping import MIGRATIONS, add_entry, add_message, ask, at, kinds, log_verifies, rows
from tests.services.served import served

LATER = datetime.combine(world.TODAY, datetime.min.time(), tzinfo=UTC) + timedelta(days=800, hours=15)
NIGHT = LATER.replace(hour=3)
SCHEDULE = Retention(attendance=365, messages=180)


@pytest.fixture
def kept(store: Store) -> Store:
    """The small world with the plugin's tables; Ann, Bob and Dan have left every class."""
    return leave(store)


def leave(store: Store) -> Store:
    migrate.upgrade(store.url, {"ferpa": MIGRATIONS})

    def unit(tx: Transaction) -> None:
        world.build(tx)
        for student in ("ann", "bob", "dan"):
            tx.run(m.Enrollment.update(ended=True).where(m.Enrollment.user_id == student))
            add_message(tx, student)
            name = "biology" if student == "bob" else "algebra"
            tx.add(COUNTS, (name, world.TODAY.isoformat(), "north"), (1, 0, 0, 0))

    store.write_now(unit)
    store.write_now(lambda tx: tx.journal("roster.made"))  # something for the log
    return store


async def test_a_purge_passes_by_a_student_whose_record_somebody_waits_to_see(kept: Store) -> None:
    """FERPA 12 §99.10(e): retention purge skips a student with an open inspection request, and says so."""
    ask(kept, "ann")
    there = at(LATER, kept)
    counted = await retention.purge(there, SCHEDULE, dry_run=True)
    done = await retention.purge(there, SCHEDULE, dry_run=False)
    for one in (counted, done):
        assert {(row["student_id"], row["kind"], row["why"]) for row in one.skipped} == {
            ("ann", "attendance", "open-inspection"),
            ("ann", "messages", "open-inspection"),
        }
    assert done.counts == counted.counts
    assert (rows(kept, "attendance_records", "ann"), rows(kept, "notifications", "ann")) == (1, 1)
    assert (rows(kept, "attendance_records", "bob"), rows(kept, "notifications", "bob")) == (0, 0)
    assert kinds(kept, "compliance.purge_skipped") == [("ann", {"why": "open-inspection"})]
    act = {"student_id": "ann", "inspection_id": "inspection_ann", "state": "fulfilled", "act": "a"}
    kept.write_now(lambda tx: inspections.end(tx, **act))
    assert (await retention.purge(there, SCHEDULE, dry_run=False)).skipped == []
    assert rows(kept, "attendance_records", "ann") == 0
    await log_verifies(kept)


async def test_a_request_that_comes_during_a_purge_still_keeps_the_record(kept: Store) -> None:
    """FERPA 12 §99.10(e): an inspection asked after the purge has begun is seen in the deletion's own transaction."""
    there = at(LATER, kept)
    submit = there.store.submit
    begun: list[Any] = []

    async def slow(unit: Any) -> Any:
        if len(begun) == 1:  # the turn is taken: the next unit is the first student's
            ask(kept, "ann")
        begun.append(unit)
        return await submit(unit)

    there.store.submit = slow  # type: ignore[method-assign]
    done = await retention.purge(there, SCHEDULE, dry_run=False)
    assert {row["student_id"] for row in done.skipped} == {"ann"}
    assert rows(kept, "attendance_records", "ann") == 1


async def test_an_open_amendment_and_an_undecided_hearing_keep_the_record_too(kept: Store) -> None:
    """FERPA 12 §99.10(e): a purge takes nothing about which a request or a hearing is open."""

    def unit(tx: Transaction) -> None:
        common = ("x", "2026-01-01", "2026-02-01")
        tx.write_sql(
            "INSERT INTO ferpa_amendments (id, student_id, record_id, record_version, asked_by, received_on, due_on, "
            "why, state) VALUES ('a', 'ann', 'record_ann', 1, ?, ?, ?, '', 'open')",
            common,
        )
        tx.write_sql(
            "INSERT INTO ferpa_hearings (id, amendment_id, student_id, record_id, asked_by, asked_on, due_on, state) "
            "VALUES ('h', 'b', 'bob', 'record_bob', ?, ?, ?, 'asked')",
            common,
        )

    kept.write_now(unit)
    done = await retention.purge(at(LATER, kept), Retention(attendance=365), dry_run=False)
    assert {row["student_id"]: row["why"] for row in done.skipped} == {"ann": "open-amendment", "bob": "open-hearing"}
    assert done.students == 1


async def test_a_legal_hold_keeps_one_record_or_all_until_it_is_lifted(kept: Store) -> None:
    """FERPA 12 §99.10(e): what is asked for in court is kept as what a parent asks for is."""
    there = at(LATER, kept)
    kept.write_now(lambda tx: retention.hold(tx, hold_id="h1", student_id="ann", reference="Docket 1"))
    counted = await retention.purge(there, SCHEDULE, dry_run=True)
    assert {row["student_id"] for row in counted.skipped} == {"ann"}
    kept.write_now(lambda tx: retention.hold(tx, hold_id="h2", student_id=retention.EVERYBODY, reference="Docket 2"))
    done = await retention.purge(there, SCHEDULE, dry_run=False)
    assert (done.students, {row["why"] for row in done.skipped}) == (0, {"legal-hold"})
    for hold_id in ("h1", "h2"):
        kept.write_now(lambda tx, hold_id=hold_id: retention.lift(tx, hold_id))  # type: ignore[misc]
    assert (await retention.purge(there, SCHEDULE, dry_run=False)).students == 3


async def test_a_legal_hold_on_nobody_is_refused(sqlite_url: str) -> None:
    async with served(sqlite_url, enabled=("ferpa",)) as api:
        for student_id in ("anm", ""):
            body = {"student_id": student_id, "reference": "Docket 1"}
            answer = await api.post("~/compliance/holds", "admin", body)
            assert answer.status_code == 422
            assert (student_id == "") == ("errors" in await answer.get_json())
        assert (await (await api.get("~/compliance/holds", "admin")).get_json())["items"] == []
        for body in ({"student_id": "ann", "reference": "Docket 1"}, {"reference": "Docket 2"}):
            assert (await api.post("~/compliance/holds", "admin", body)).status_code == 201


async def test_who_looks_at_the_legal_holds_is_entered(sqlite_url: str) -> None:
    async with served(sqlite_url, enabled=("ferpa",)) as api:
        for body in ({"student_id": "ann", "reference": "Docket 1"}, {"reference": "Docket 2"}):
            assert (await api.post("~/compliance/holds", "admin", body)).status_code == 201
        assert len((await (await api.get("~/compliance/holds", "admin")).get_json())["items"]) == 2
        query = "SELECT actor, action, student_ids, fields, rows FROM ferpa_audit"
        [(actor, action, students, fields, count)] = await api.district.store.read(lambda c: c.sql(query))
        assert (actor, action, count) == ("admin", "compliance.manage", 1)
        assert (students, fields) == ('["ann"]', '["holds"]')


async def test_each_of_many_legal_holds_can_be_seen_and_lifted(kept: Store) -> None:
    """FERPA 12 §99.10(e): a hold is in force until it is lifted, and can be, however many there are."""
    ids = [f"h{number:04}" for number in range(1001)]

    def unit(tx: Transaction) -> None:
        for hold_id in ids:
            retention.hold(tx, hold_id=hold_id, student_id="ann", reference="Docket")

    kept.write_now(unit)
    seen, before = [], None
    while page := kept.read_now(lambda c, before=before: retention.holds(c, before=before)):  # type: ignore[misc]
        seen += [row["id"] for row in page]
        before = seen[-1]
    assert seen == ids[::-1]
    for hold_id in (ids[0], ids[500], ids[-1]):
        assert kept.write_now(lambda tx, hold_id=hold_id: retention.lift(tx, hold_id))["lifted_at"]  # type: ignore[misc]
    assert len(kinds(kept, "compliance.hold_lifted")) == 3
    with pytest.raises(Refused):
        kept.write_now(lambda tx: retention.lift(tx, "nothing"))


async def test_a_dry_run_counts_what_the_purge_then_deletes_and_deletes_nothing(kept: Store) -> None:
    """FERPA 38 §99.32(a)(2): the dry run's counts are the purge's, kind by kind."""
    there = at(LATER, kept)
    before = kept.read_now(lambda c: c.sql("SELECT count(*) FROM journal"))
    counted = await retention.purge(there, SCHEDULE, dry_run=True)
    assert kept.read_now(lambda c: c.sql("SELECT count(*) FROM journal")) == before
    assert (counted.students, counted.counts["attendance_records"], counted.counts["messages"]) == (3, 3, 3)
    done = await retention.purge(there, SCHEDULE, dry_run=False)
    assert (done.counts, done.students) == (counted.counts, counted.students)
    assert (await retention.purge(there, SCHEDULE, dry_run=False)).counts == {}


async def test_what_a_sis_was_sent_goes_with_the_record(kept: Store) -> None:
    """FERPA 38 §99.32(a)(2): a purge leaves nothing of the student in the queue to a SIS; another student's stay."""
    for student in ("ann", "cy"):
        kept.write_now(lambda tx, student=student: add_sent(tx, student))  # type: ignore[misc]
    there, tables = at(LATER, kept), ("outgoing_marks", "outgoing_writes", "outgoing_choices")
    counted = await retention.purge(there, SCHEDULE, dry_run=True)
    done = await retention.purge(there, SCHEDULE, dry_run=False)
    assert counted.counts == done.counts
    assert [done.counts.get(table) for table in tables] == [1, 1, 1]
    assert kept.read_now(lambda c: c.sql("SELECT id FROM outgoing_marks")) == [("sis_cy",)]
    for table in tables[1:]:
        assert kept.read_now(lambda c, t=table: c.sql(f"SELECT mark_id FROM {t}")) == [("sis_cy",)]  # type: ignore[misc] # noqa: S608


def add_sent(tx: Transaction, student: str) -> None:
    """Puts a mark into the queue to a SIS, with a write and a choice."""
    key = f"sis_{student}"
    tx.write_sql(
        "INSERT INTO outgoing_queues (connector, sent, confirmed, left_out) VALUES ('sis', 0, 0, 0) "
        "ON CONFLICT DO NOTHING"
    )
    mark: dict[str, Any] = {"id": key, "connector": "sis", "student_id": student, "school_id": "north"}
    mark |= {"school_day": world.TODAY, "student_sourced_id": key, "school_sourced_id": "n", "recorded_at": tx.now}
    tx.insert(m.OutgoingMark, wish="x", waiting_since=tx.now, **mark)
    wish = {"key": key, "mark_id": key, "connector": "sis", "version": 1, "wish": "x", "started_at": tx.now}
    tx.insert(m.OutgoingWrite, content={"student": key}, **wish)
    tx.insert(m.OutgoingChoice, mark_id=key, version=1, choice="keep", why=tx.seal_for(student, "x"), chosen_at=tx.now)


async def test_who_is_at_school_still_is_kept_however_old_the_marks_are(kept: Store) -> None:
    """FERPA 38 §99.32(a)(2): the schedule goes by the state of the record: nothing goes while the student is here."""
    done = await retention.purge(at(LATER, kept), SCHEDULE, dry_run=False)
    assert done.students == 3
    assert rows(kept, "attendance_records", "cy") == 1
    early = at(LATER - timedelta(days=500), kept)
    assert (await retention.purge(early, Retention(attendance=365), dry_run=True)).students == 0


async def test_without_a_schedule_nothing_of_a_student_goes(kept: Store) -> None:
    """FERPA 38 §99.32(a)(2): until the district has written its schedule, records and messages stay."""
    done = await retention.purge(at(LATER, kept), Retention(), dry_run=False)
    assert (done.students, done.skipped) == (0, [])
    assert rows(kept, "attendance_records", "ann") == rows(kept, "notifications", "ann") == 1


async def test_entries_of_the_ledger_live_exactly_as_long_as_the_record(kept: Store) -> None:
    """FERPA 38 §99.32(a)(2): purging a record purges its entries, and not before; another student's stay.

    So do those of the whole district, whomever they name; and what was passed on goes with the entry and not before.
    """

    def unit(tx: Transaction) -> None:
        add_entry(tx, "alone", "ann")
        add_entry(tx, "both", "ann", "cy")
        add_entry(tx, "everybody", "ann", whole_district=True)

    kept.write_now(unit)
    ask(kept, "ann")
    there = at(LATER, kept)
    await retention.purge(there, SCHEDULE, dry_run=False)
    assert rows(kept, "ferpa_ledger_students", "ann") == 3
    act = {"student_id": "ann", "inspection_id": "inspection_ann", "state": "withdrawn", "act": "a"}
    kept.write_now(lambda tx: inspections.end(tx, **act))
    done = await retention.purge(there, SCHEDULE, dry_run=False)
    assert done.counts["ledger"] == 3
    assert rows(kept, "ferpa_ledger_students", "ann") == 0
    assert rows(kept, "ferpa_inspections", "ann") == 0
    stay = [("both",), ("everybody",)]
    assert kept.read_now(lambda c: c.sql("SELECT id FROM ferpa_ledger ORDER BY id")) == stay
    assert kept.read_now(lambda c: c.sql("SELECT entry_id FROM ferpa_redisclosures ORDER BY entry_id")) == stay
    assert rows(kept, "ferpa_ledger_students", "cy") == 1


async def test_entries_of_who_left_without_any_attendance_go_by_the_same_schedule(kept: Store) -> None:
    """FERPA 38 §99.32(a)(2): who left and never had a mark keeps entries for as long as others, and not for good."""
    now, long_ago = LATER, LATER - timedelta(days=500)
    seats: dict[str, dict[str, Any]] = {
        "left": {"ended": True, "changed_at": long_ago},
        "over": {"ends_on": long_ago.date(), "changed_at": now},
        "told_of": {"ended": True, "changed_at": long_ago},
        "lately": {"ended": True, "changed_at": now},
        "held": {"ended": True, "changed_at": long_ago},
        "asked": {"ended": True, "changed_at": long_ago},
        "here": {"changed_at": long_ago},
    }

    def unit(tx: Transaction) -> None:
        for student in (*seats, "to_come"):
            names = {"given_name": "Eve", "family_name": "Roe", "sort_name": student}
            tx.insert(m.User, id=student, changed_at=long_ago, **names)
            add_entry(tx, f"of_{student}", student)
        tx.write_sql("UPDATE ferpa_ledger SET at = ? WHERE id <> 'of_told_of'", (long_ago.isoformat(),))
        tx.write_sql("UPDATE ferpa_ledger SET at = ? WHERE id = 'of_told_of'", (now.isoformat(),))
        for student, seat in seats.items():
            tx.insert(m.Enrollment, user_id=student, class_id="algebra", role="student", **seat)

    kept.write_now(unit)
    ask(kept, "held")
    lately = {"at": now, "kind": "compliance.inspection_fulfilled", "student_id": "asked"}
    kept.write_now(lambda tx: tx.insert(m.Journal, **lately))
    there = at(LATER, kept)
    counted = await retention.purge(there, SCHEDULE, dry_run=True)
    done = await retention.purge(there, SCHEDULE, dry_run=False)
    assert (counted.counts["ledger"], done.counts["ledger"]) == (2, 2)
    left = {student for student in (*seats, "to_come") if rows(kept, "ferpa_ledger_students", student)}
    assert left == {"told_of", "lately", "held", "asked", "here", "to_come"}
    assert {row["student_id"] for row in done.skipped} == {"held"}
    assert {student for student, _ in kinds(kept, "compliance.purged")} >= {"left", "over"}
    await log_verifies(kept)


async def test_the_record_of_special_education_access_lives_as_long_as_the_record(kept: Store) -> None:
    """FERPA 49 §300.614: the record of access is kept with the child's record, and goes with it."""
    from homeroom_ferpa.rights import special

    new: dict[str, Any] = {"student_id": "ann", "party": "Dr. Lind", "accessed_on": world.TODAY, "purpose": "x"}
    kept.write_now(lambda tx: special.enter(tx, access_id="s", **new))
    await retention.purge(at(LATER, kept), Retention(), dry_run=False)
    assert rows(kept, "ferpa_special_access", "ann") == 1
    done = await retention.purge(at(LATER, kept), SCHEDULE, dry_run=False)
    assert done.counts["special_access"] == 1


async def test_an_access_of_long_ago_is_entered_however_many_came_since(kept: Store) -> None:
    """FERPA 49 §300.614: a back-dated entry beyond those that are shown is kept, too."""
    from homeroom_ferpa.rights import special

    def unit(tx: Transaction) -> str:
        new: dict[str, Any] = {"student_id": "ann", "party": "Dr. Lind", "purpose": "x"}
        for number in range(500):
            special.enter(tx, access_id=f"s{number}", accessed_on=world.TODAY, **new)
        return str(special.enter(tx, access_id="old", accessed_on=world.TODAY - timedelta(days=99), **new)["id"])

    assert kept.write_now(unit) == "old"
    assert rows(kept, "ferpa_special_access", "ann") == 501


async def test_after_a_purge_the_log_verifies_and_the_counters_agree(kept: Store) -> None:
    """FERPA 38 §99.32(a)(2): the journal stays, so the log verifies; the day's figures are those of what is kept."""
    await log_verifies(kept)
    before = kept.read_now(lambda c: c.sql("SELECT count(*) FROM journal"))[0][0]
    await retention.purge(at(LATER, kept), SCHEDULE, dry_run=False)
    await log_verifies(kept)
    assert kept.read_now(lambda c: c.sql("SELECT count(*) FROM journal"))[0][0] > before
    figures = kept.read_now(lambda c: class_figures(c, "algebra", None, None))
    assert figures.present == 0
    assert retention.STAYS in (await retention.purge(at(LATER, kept), SCHEDULE, dry_run=True)).notes


async def test_audit_rows_go_by_their_own_schedule_and_the_log_still_verifies(kept: Store) -> None:
    """FERPA 38 §99.32(a)(2): an audit row that is purged leaves its hash; one about a held student stays."""

    def unit(tx: Transaction) -> None:
        for key, students in (("1", '["ann"]'), ("2", '["cy"]'), ("3", '["ann","cy"]')):
            tx.write_sql(
                "INSERT INTO ferpa_audit (key, at, actor, kind, action, student_ids, fields, rows) "
                "VALUES (?, ?, 'admin', 'read', 'attendance.read', ?, '[]', 1)",
                (key, "2026-01-01T00:00:00.000000Z", students),
            )

    kept.write_now(unit)
    await log_verifies(kept)
    ask(kept, "ann")
    schedule = Retention(audit=30)
    counted = await retention.purge(at(LATER, kept), schedule, dry_run=True)
    done = await retention.purge(at(LATER, kept), schedule, dry_run=False)
    assert (counted.counts["audit"], done.counts["audit"]) == (1, 1)
    assert done.skipped == [{"student_id": "ann", "kind": "audit", "why": "open-inspection"}]
    assert kept.read_now(lambda c: c.sql("SELECT key FROM ferpa_audit ORDER BY id")) == [("1",), ("3",)]
    await log_verifies(kept)


async def test_whose_audit_rows_stay_is_asked_of_many_students_at_once(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FERPA 38 §99.32(a)(2): the purge of the audit asks who is held in a few statements, however many are named."""
    students = [f"student-{number:04}" for number in range(1200)]

    def unit(tx: Transaction) -> None:
        for number in range(0, len(students), 10):
            tx.write_sql(
                "INSERT INTO ferpa_audit (key, at, actor, kind, action, student_ids, fields, rows) "
                "VALUES (?, '2026-01-01T00:00:00.000000Z', 'admin', 'read', 'attendance.read', ?, '[]', 1)",
                (str(number), orjson.dumps(students[number : number + 10]).decode()),
            )
        for number in (7, 1100):
            named = {"given_name": "Ana", "family_name": "Ruiz", "sort_name": "ruiz ana"}
            tx.insert(m.User, id=students[number], changed_at=tx.now, **named)
            retention.hold(tx, hold_id=f"h{number}", student_id=students[number], reference="Docket 1")

    kept.write_now(unit)
    ask(kept, students[7])  # the hold is what is told of this one
    ask(kept, students[615])
    asked: list[str] = []
    real = Connection.sql

    def noted(connection: Connection, text: str, params: Any = ()) -> Any:
        asked.append(text)
        return real(connection, text, params)

    monkeypatch.setattr(Connection, "sql", noted)
    done = await retention.purge(at(LATER, kept), Retention(audit=30), dry_run=False)
    assert {row["student_id"]: row["why"] for row in done.skipped} == {
        **dict.fromkeys((students[7], students[1100]), "legal-hold"),
        students[615]: "open-inspection",
    }
    assert done.counts["audit"] == 117
    assert sum("ferpa_inspections" in text for text in asked) == 3


async def test_sign_ins_and_kept_answers_go_by_age(kept: Store) -> None:
    """FERPA 38 §99.32(a)(2): what is no student's record has a schedule of its own."""

    def unit(tx: Transaction) -> None:
        for name, ended in (("old", tx.now), ("open", None)):
            values = {"created_at": tx.now, "last_used_at": tx.now, "expires_at": tx.now + timedelta(days=5000)}
            tx.insert(m.SignInSession, id=name, user_id="ann", refresh_hash=name, ended_at=ended, **values)
        tx.insert(m.IdempotencyKey, owner="x", key="k", request_hash="h", status=201, answer="a", created_at=tx.now)

    kept.write_now(unit)
    done = await retention.purge(at(LATER, kept), Retention(), dry_run=False)
    assert (done.counts["sign_ins"], done.counts["idempotency"]) == (1, 1)
    assert kept.read_now(lambda c: c.values(m.SignInSession.select(m.SignInSession.id))) == ["open"]


async def test_one_process_purges_at_a_time(kept: Store) -> None:
    """FERPA 38 §99.32(a)(2): a second purge at once is refused and deletes nothing twice."""
    there = at(LATER, kept)
    answers = await asyncio.gather(
        *(retention.purge(there, SCHEDULE, dry_run=False) for _ in range(3)), return_exceptions=True
    )
    done = [one for one in answers if isinstance(one, retention.Purge)]
    assert all(isinstance(one, Refused) and one.problem == "purge-under-way" for one in answers if one not in done)
    assert done
    assert sum(one.counts.get("attendance_records", 0) for one in done) == 3
    await retention.purge(there, SCHEDULE, dry_run=False)  # the turn was given back


async def test_a_purge_lets_a_check_in_wait_for_one_students_rows_and_not_for_everybodys(sqlite_store: Store) -> None:
    """FERPA 38 §99.32(a)(2): no transaction of a purge looks through what is kept of other students."""
    there, others = at(LATER, leave(sqlite_store)), 5000
    sqlite_store.write_now(lambda tx: add_records(tx, "cy", others))
    submit, steps = there.store.submit, [0]

    def one_more() -> None:
        steps[-1] += 1

    async def counted(unit: Any) -> Any:
        def within(tx: Transaction) -> Any:
            steps.append(0)
            tx.database.connection().set_progress_handler(one_more, 1)
            try:
                return unit(tx)
            finally:
                tx.database.connection().set_progress_handler(None, 1)

        return await submit(within)

    there.store.submit = counted  # type: ignore[method-assign]
    assert (await retention.purge(there, SCHEDULE, dry_run=False)).students == 3
    assert 0 < max(steps) < others


def add_records(tx: Transaction, student: str, records: int) -> None:
    """Gives a student more records in chemistry, one in each of as many sessions."""
    common = {"class_id": "chemistry", "school_id": "south", "student_id": student, "school_day": world.TODAY}
    common |= {"status": "present", "origin": "teacher", "recorded_at": tx.now, "valid_from": tx.now}
    values = [{"id": f"record_{n}", "session_id": f"session_{n}", **common} for n in range(records)]
    tx.run(m.AttendanceRecord.insert_many(values))


async def test_the_job_purges_once_a_day_where_the_district_says_so(kept: Store) -> None:
    """FERPA 38 §99.32(a)(2): the purge runs by itself only where it is automatic."""
    for automatic, left in ((False, 1), (True, 0)):
        schedule = SCHEDULE.model_copy(update={"automatic": automatic})
        await Rights(RightsSettings(retention=schedule), at(NIGHT, kept)).look()
        assert rows(kept, "attendance_records", "ann") == left


async def test_the_job_waits_for_the_districts_night(kept: Store) -> None:
    """FERPA 38 §99.32(a)(2): it keeps out of the school day, wherever the district lies."""
    schedule = SCHEDULE.model_copy(update={"automatic": True})
    for hours, left in ((0, 1), (8, 0)):  # on the Pacific it is evening first
        there = services(store=kept, clock=FakeClock(NIGHT + timedelta(hours=hours)), time_zone="America/Los_Angeles")
        await Rights(RightsSettings(retention=schedule), there).look()
        assert rows(kept, "attendance_records", "ann") == left


@pytest.mark.parametrize(
    ("hours_ago", "hour", "due"),
    [
        *((None, 0, True), (None, 4, True), (None, 5, False), (None, 23, False)),
        *((1, 2, False), (20, 0, True), (24, 2, True), (24, 9, False), (6 * 24, 9, False), (7 * 24, 9, True)),
    ],
)
def test_a_purge_is_due_once_a_night_and_after_a_week_without_a_night(
    hours_ago: int | None, hour: int, *, due: bool
) -> None:
    """FERPA 38 §99.32(a)(2): a server that is always off at night purges, too."""
    now = LATER.replace(hour=hour)
    assert is_due(None if hours_ago is None else now - timedelta(hours=hours_ago), now) == due
