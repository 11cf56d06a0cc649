"""Looking into the log over REST: who looked at whom, by index and page by page, with proofs; and who may not."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeroom.store import Transaction
from homeroom_ferpa.log import finding, search, verifier
from homeroom_ferpa.log.rows import purge
from homeroom_ferpa.log.sealing import Sealer
from homeroom_ferpa.log.search import Wanted
from tests.services import world
from tests.services.lawful import vendor
from tests.services.served import Served, served


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=("ferpa",), required=("ferpa",)) as running:
        yield running


@pytest.fixture
async def small_api(sqlite_url: str) -> AsyncIterator[Served]:
    """For what does not differ between databases."""
    async with served(sqlite_url, enabled=("ferpa",), required=("ferpa",)) as running:
        yield running


async def looked(api: Served) -> None:
    """Some reads and a denial, and everything sealed."""
    for path, by in (("ann", "teacher_a"), ("bob", "teacher_b"), ("ann", "guardian_ann"), ("bob", "teacher_a")):
        await api.get(f"~/students/{path}", by)
    await sealed(api)


async def sealed(api: Served) -> None:
    """Return when all of that is under a checkpoint."""
    await Sealer(vendor(api, "ferpa"), None).seal()


async def entries(api: Served, query: str = "", by: str = "admin") -> list[dict[str, Any]]:
    answer = await api.get(f"~/compliance/log/entries?{query}", by)
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    return list((await answer.get_json())["items"])


async def test_reads_are_found_by_who_whom_what_and_ground(api: Served) -> None:
    await looked(api)
    mine = await entries(api, "actor=teacher_a&action=student.read")
    assert [(one["kind"], one["student_ids"], one["actor_name"]) for one in mine] == [
        ("denied", ["bob"], "Teacher A"),
        ("read", ["ann"], "Teacher A"),
    ]
    assert mine[0]["reason"]
    of_ann = await entries(api, "student_id=ann&action=student.read")
    assert [one["actor"] for one in of_ann] == ["guardian_ann", "teacher_a"]
    assert {one["kind"] for one in await entries(api, "kind=denied")} == {"denied"}
    grounds = {one["basis"] for one in of_ann}
    for ground in grounds:
        assert ground is not None
        found = await entries(api, f"student_id=ann&basis={ground.partition(':')[0]}")
        assert ground in {one["basis"] for one in found}
    assert await entries(api, "basis=99.99") == []
    assert await entries(api, "student_id=a%25n") == []
    day = world.TODAY.isoformat()
    assert len(await entries(api, f"actor=teacher_a&since={day}&until={day}")) == 2
    assert await entries(api, f"actor=teacher_a&until={world.YESTERDAY.isoformat()}") == []
    assert await entries(api, f"actor=teacher_a&since={world.TOMORROW.isoformat()}") == []


async def test_a_students_reads_are_the_same_with_and_without_the_index(api: Served) -> None:
    await looked(api)
    store = api.district.store
    before = await store.read(lambda c: search.search(c, Wanted(student_id="ann"), "UTC"))
    assert await store.read(finding.READS.upto) == 0
    await finding.keep_up(vendor(api, "ferpa"), least=1)
    upto = await store.read(finding.READS.upto)
    assert upto > 0
    after = await store.read(lambda c: search.search(c, Wanted(student_id="ann"), "UTC"))
    assert [row["id"] for row in after.rows if row["id"] <= upto] == [r["id"] for r in before.rows if r["id"] <= upto]
    await api.get("~/students/ann", "teacher_a")
    again = await store.read(lambda c: search.search(c, Wanted(student_id="ann"), "UTC"))
    assert again.rows[0]["id"] > upto
    assert len(again.rows) > len(before.rows)
    gone = [row["id"] for row in after.rows if row["id"] <= upto]
    await store.write(lambda tx: purge(tx, gone))
    left = await store.read(lambda c: c.sql("SELECT entry_id FROM ferpa_audit_students WHERE student_id = 'ann'"))
    assert not {row[0] for row in left} & set(gone)


async def test_pages_follow_one_another_without_a_gap_also_where_no_index_leads(
    small_api: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        await small_api.get("~/students/ann", "teacher_a")
    store = small_api.district.store
    whole = await store.read(lambda c: search.search(c, Wanted(actor="teacher_a"), "UTC"))
    for far in (search.FAR, 2):
        monkeypatch.setattr(search, "FAR", far)
        seen: list[int] = []
        before: int | None = None
        for _ in range(50):
            wanted = Wanted(kind="read", limit=2, before=before)
            page = await store.read(lambda c, wanted=wanted: search.search(c, wanted, "UTC"))  # type: ignore[misc]
            seen += [row["id"] for row in page.rows if row["actor"] == "teacher_a"]
            before = page.before
            if before is None:
                break
        assert seen == [row["id"] for row in whole.rows]


async def test_changes_are_found_too(small_api: Served) -> None:
    body = {"first_day": world.TODAY.isoformat(), "reason": "secret words"}
    assert (await small_api.post("~/students/ann/absence-reports", "guardian_ann", body)).status_code == 201
    (found,) = await entries(small_api, "of=changes&student_id=ann&actor=guardian_ann")
    assert found["kind"].startswith("absence")
    assert "secret words" not in str(found)
    assert found["actor_name"] == "Guardian Ann"


async def test_changes_that_list_their_students_are_found_with_and_without_the_index(api: Served) -> None:
    def unit(tx: Transaction) -> None:
        for kind in ("data.handed_out", "attendance_out.handed_over"):
            for students in (["ann", "bob"], ["bob"]):
                tx.journal(kind, subject_id="sis", data={"plugin": "sis", "fields": [], "student_ids": students})
        for students, one in ((["ann", "bob"], None), (["ann"], "ann")):
            data = {"party": "party:press", "students": students, "fields": ["name"]}
            tx.journal("compliance.disclosed", student_id=one, data=data)
        tx.journal("compliance.disclosure_refused", data={"students": ["a_n", "x"]})

    store = api.district.store
    await store.write(unit)
    wanted = "of=changes&student_id=ann"
    before = await entries(api, wanted)
    assert [(one["kind"], one["student_ids"]) for one in before] == [
        ("compliance.disclosed", ["ann"]),
        ("compliance.disclosed", ["ann", "bob"]),
        ("attendance_out.handed_over", ["ann", "bob"]),
        ("data.handed_out", ["ann", "bob"]),
    ]
    await sealed(api)
    await finding.keep_up(vendor(api, "ferpa"), least=1)
    assert await store.read(finding.EVENTS.upto) >= before[0]["id"]
    assert await entries(api, wanted) == before
    seen: list[int] = []
    following: int | None = None
    while len(seen) < 10:
        wish = Wanted(of="changes", student_id="ann", limit=1, before=following)
        page = await store.read(lambda c, wish=wish: search.search(c, wish, "UTC"))  # type: ignore[misc]
        seen += [row["id"] for row in page.rows]
        following = page.before
        if following is None:
            break
    assert seen == [one["id"] for one in before]
    assert [one["kind"] for one in await entries(api, "of=changes&student_id=a_n")] == ["compliance.disclosure_refused"]
    assert len(await entries(api, f"{wanted}&kind=data.handed_out")) == 1


async def test_the_journal_is_taken_in_portion_by_portion(small_api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def unit(tx: Transaction) -> None:
        for _ in range(30):
            tx.journal("data.handed_out", data={"student_ids": ["ann", "bob"]})
            tx.journal("attendance.recorded", student_id="bob")
        tx.journal("data.handed_out", data={"student_ids": None})

    store = small_api.district.store
    await store.write(unit)
    await sealed(small_api)
    monkeypatch.setattr(search, "FAR", 3)
    found: list[int] = []
    before: int | None = None
    for _ in range(50):  # what no index holds is looked through in portions, too
        wish = Wanted(of="changes", student_id="ann", before=before)
        page = await store.read(lambda c, wish=wish: search.search(c, wish, "UTC"))  # type: ignore[misc]
        found += [row["id"] for row in page.rows]
        before = page.before
        if before is None:
            break
    assert len(found) == 30
    sealed_upto = (await store.read(finding.EVENTS.waiting))[1]
    for portion in range(1, 4):
        await finding.keep_up(vendor(small_api, "ferpa"), portions=1, least=1)
        kept = await store.read(lambda c: c.sql("SELECT count(*) FROM ferpa_journal_students"))
        assert kept == [(min(20 * portion, 30) * 2,)]
    assert await store.read(finding.EVENTS.upto) == sealed_upto
    page = await store.read(lambda c: search.search(c, Wanted(of="changes", student_id="ann"), "UTC"))
    assert [row["id"] for row in page.rows] == found


async def test_an_entry_is_shown_with_a_proof_that_the_verifiers_own_words_take(api: Served) -> None:
    await looked(api)
    for of in ("reads", "changes"):
        newest = (await entries(api, f"of={of}"))[-1]
        answer = await (await api.get(f"~/compliance/log/entries/{of}/{newest['id']}", "admin")).get_json()
        proof = answer["proof"]
        assert proof["holds"] is True
        note = verifier.parse_note(proof["checkpoint"])
        path = [base64.b64decode(one) for one in proof["hashes"]]
        verifier.check_inclusion(verifier.leaf_hash(proof["leaf"].encode()), proof["index"], note.size, path, note.root)
    assert (await api.get("~/compliance/log/entries/reads/999999", "admin")).status_code == 404
    assert (await api.get("~/compliance/log/entries/gossip/1", "admin")).status_code == 404


async def test_a_changed_row_is_shown_with_a_proof_that_does_not_hold(small_api: Served) -> None:
    await looked(small_api)
    (one,) = [row for row in await entries(small_api, "actor=teacher_b") if row["action"] == "student.read"]
    await small_api.district.store.write(
        lambda tx: tx.write_sql("UPDATE ferpa_audit SET actor = 'nobody' WHERE id = ?", (one["id"],))
    )
    shown = await (await small_api.get(f"~/compliance/log/entries/reads/{one['id']}", "admin")).get_json()
    assert shown["proof"]["holds"] is False
    found = await (await small_api.post("~/compliance/log/verify", "admin")).get_json()
    assert (found["ok"], bool(found["problems"])) == (False, True)


async def test_looking_into_the_log_is_itself_in_it(small_api: Served) -> None:
    await looked(small_api)
    await entries(small_api, "student_id=ann")
    await entries(small_api, "actor=no-such-person")
    mine = await entries(small_api, "actor=admin")
    assert [(one["action"], one["fields"], one["student_ids"]) for one in mine[:2]] == [
        ("compliance.manage", ["audit"], []),
        ("compliance.manage", ["audit"], ["ann"]),
    ]


async def test_the_state_says_how_far_it_is_sealed_and_a_look_at_all_says_that_it_holds(small_api: Served) -> None:
    await looked(small_api)
    state = await (await small_api.get("~/compliance/log/state", "admin")).get_json()
    assert (state["ok"], state["can_verify"], state["size"] > 0) == (True, True, True)
    found = await (await small_api.post("~/compliance/log/verify", "admin")).get_json()
    assert (found["ok"], found["problems"]) == (True, [])


@pytest.mark.parametrize("by", ["teacher_a", "guardian_ann", "ann", "admin_north"])
async def test_nobody_else_looks_into_the_log(small_api: Served, by: str) -> None:
    for path in ("entries", "entries/reads/1", "state"):
        assert (await small_api.get(f"~/compliance/log/{path}", by)).status_code == 403
    assert (await small_api.post("~/compliance/log/verify", by)).status_code == 403


@pytest.mark.parametrize(
    "query",
    [
        *("before=0", "limit=0", "limit=500", "of=all", "since=yesterday", "colour=red"),
        *("since=0001-01-01", "until=9999-12-31", "since=9999-12-31", "until=0001-01-01"),
    ],
)
async def test_what_cannot_be_looked_for_is_said(small_api: Served, query: str) -> None:
    assert (await small_api.get(f"~/compliance/log/entries?{query}", "admin")).status_code == 422


async def test_an_entry_beyond_every_id_is_not_there(api: Served) -> None:
    for of in ("reads", "changes"):
        for entry_id in (0, 2**62, 2**63, 10**20 - 1):
            answer = await api.get(f"~/compliance/log/entries/{of}/{entry_id}", "admin")
            assert answer.status_code == 404, (of, entry_id)
