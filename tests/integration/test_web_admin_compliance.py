"""The pages of compliance and the audit log, without any script; whom they refuse; and what they say without ferpa."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from babel.dates import format_date

from homeroom.store import Transaction
from homeroom_ferpa.rights import retention
from tests.services import world
from tests.services.browsing import PLUGINS, Browser, browser
from tests.services.front import CHEAP
from tests.services.office import asked
from tests.services.served import Served, served

DISTRICTS = ("anomalies", "incidents", "keeping", "notice", "studies", "report")


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=(*PLUGINS, "ferpa"), sections={"accounts": CHEAP}) as running:
        yield running


async def signed_in(api: Served, user: str) -> Browser:
    someone = browser(api)
    await someone.signs_in(user)
    return someone


async def test_a_request_to_see_the_record_goes_from_the_queue_to_the_family(api: Served) -> None:
    one = await asked(api, "/students/ann/inspections", "guardian_ann", {"wish": 'All of "it" & <b>'})
    desk = await signed_in(api, "admin_north")
    queue = await desk.get("/admin/compliance")
    assert "Asks to see the record" in queue.text
    assert "<bdi>Ann Ann</bdi>" in queue.text
    assert "Nothing waits." in (await desk.get("/admin/compliance?school_id=north&kind=hearing")).text
    path = "/admin/compliance/students/ann"
    case = await desk.get(path)
    assert "All of &#34;it&#34; &amp; &lt;b&gt;" in case.text
    file = await desk.get(f"{path}/inspections/{one['id']}/file")
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert "Ann" in file.text
    done = await desk.post(path, step="end", id=one["id"], state="fulfilled")
    assert "made available" in done.text
    again = await desk.post(path, step="end", id=one["id"], state="withdrawn")
    assert (again.status, "ended already" in again.text) == (409, True)
    letter = re.search(r'name="step" value="sent"><input type="hidden" name="id" value="([^"]+)"', done.text)
    assert letter
    assert "(by_hand)" in (await desk.post(path, step="sent", id=letter[1], how="by_hand")).text
    assert (await desk.post(path, step="gossip", id="x")).status == 404


async def test_a_change_is_refused_and_the_hearing_decided(api: Served) -> None:
    body = {"record_id": "record_ann", "why": "She was at the dentist.", "status": "excused"}
    one = await asked(api, "/students/ann/amendments", "guardian_ann", body)
    desk, path = await signed_in(api, "admin_north"), "/admin/compliance/students/ann"
    wordless = await desk.post(path, step="amend", id=one["id"], accept="no", decision="")
    assert (wordless.status, "lacks: decision" in wordless.text) == (422, True)
    refused = await desk.post(path, step="amend", id=one["id"], accept="no", decision="The teacher saw otherwise.")
    assert "refused" in refused.text
    hearing = await asked(api, f"/students/ann/amendments/{one['id']}/hearing", "guardian_ann", {})
    day = world.TODAY.isoformat()
    set_day = {"step": "notice", "id": hearing["id"], "held_on": day, "place": "Room 4, 3 pm", "notice_on": day}
    assert "Room 4, 3 pm" in (await desk.post(path, **set_day)).text
    record = {**set_day, "step": "decide", "officer": "B. Lind", "disinterested": "on", "evidence": "The gate's list."}
    lacking = await desk.post(path, **record, outcome="keep", reasons="", decision="It stays.")
    assert (lacking.status, "reasons" in lacking.text, "B. Lind" in lacking.text) == (422, True, True)
    assert "It stays." in lacking.text
    decided = await desk.post(path, **record, outcome="keep", reasons="The list.", decision="It stays.")
    assert (decided.status, "decided" in decided.text) == (200, True)


async def test_holds_and_retention(api: Served) -> None:
    desk, path = await signed_in(api, "admin"), "/admin/compliance/keeping"
    empty = await desk.post(f"{path}/holds", reference="", student_id="ann")
    assert (empty.status, empty.value("student_id")) == (422, "ann")
    mistyped = await desk.post(f"{path}/holds", reference="Docket 26-1187", student_id="anm")
    assert (mistyped.status, mistyped.value("student_id")) == (422, "anm")
    held = await desk.post(f"{path}/holds", reference="Docket 26-1187", student_id="ann")
    assert "Docket 26-1187" in held.text
    assert "<bdi>Ann Ann</bdi>" in held.text
    counted = await desk.post(f"{path}/run", do="count")
    assert "Nothing was deleted. This would be:" in counted.text
    unsure = await desk.post(f"{path}/run", do="delete")
    assert "say first that you are sure" in unsure.text
    assert "This was deleted:" in (await desk.post(f"{path}/run", do="delete", sure="on")).text
    lift = re.search(r'action="(/admin/compliance/keeping/holds/\w+/lift)"', held.text)
    assert lift
    assert "Docket 26-1187" not in (await desk.post(lift[1])).text


async def test_the_oldest_of_many_holds_is_found_and_lifted(api: Served) -> None:
    def unit(tx: Transaction) -> None:
        for number in range(501):
            retention.hold(tx, hold_id=f"h{number:03}", student_id="ann", reference=f"Docket {number:03}")

    await api.district.store.write(unit)
    desk, path = await signed_in(api, "admin"), "/admin/compliance/keeping"
    newest = await desk.get(path)
    assert ("Docket 500" in newest.text, "Docket 000" in newest.text) == (True, False)
    older = re.search(rf'href="({path}\?before=\w+)"', newest.text)
    assert older
    assert "Docket 000" in (await desk.get(older[1])).text
    await desk.post(f"{path}/holds/h000/lift")
    assert "There are none." in (await desk.get(older[1])).text


async def test_an_incident_is_opened_met_and_closed(api: Served) -> None:
    desk, path = await signed_in(api, "admin"), "/admin/compliance/incidents"
    wrong = await desk.post(path, what="A laptop is gone.", student_ids="nobody-here")
    assert wrong.status == 422
    assert "A laptop is gone." in wrong.text
    page = await desk.post(path, what="A laptop is gone.", student_ids="ann bob", **{"state.NY": "on"})
    assert page.heading.startswith("Incident of ")
    assert "<bdi>Bob Bob</bdi>" in page.text
    open_still = await desk.post(f"{page.path}/close", closing="All told.")
    assert (open_still.status, "All told." in open_still.text) == (409, True)
    clocks = re.findall(rf'action="{page.path}/tasks/(\w+)"', page.text)
    assert clocks
    empty = await desk.post(f"{page.path}/tasks/{clocks[0]}", how="", outcome="done")
    assert empty.status == 422
    for clock in clocks:
        await desk.post(f"{page.path}/tasks/{clock}", how="Letter of today.", outcome="done")
    closed = await desk.post(f"{page.path}/close", closing="All told.")
    assert (closed.status, "closed" in closed.text) == (200, True)


async def test_a_flag_is_explained(api: Served) -> None:
    def flag(tx: Transaction) -> None:
        names = "id, kind, who, span, state, found_at, began_at, last_at, rows, students, first_id, last_id, entries"
        at = "2026-09-14T03:00:00.000000Z"
        values = ("a1", "bulk_reading", "person:teacher_a", "x", "open", at, at, at, 900, 300, 1, 2, "[1, 2]")
        tx.write_sql(f"INSERT INTO ferpa_anomalies ({names}) VALUES ({', '.join('?' * 13)})", values)  # noqa: S608

    await api.district.store.write(flag)
    desk, path = await signed_in(api, "admin"), "/admin/compliance/anomalies"
    assert "person:teacher_a" in (await desk.get(path)).text
    assert "Unusual reading" in (await desk.get("/admin/compliance")).text
    assert (await desk.post(f"{path}/a1", reason=" ")).status == 422
    assert "There are none." in (await desk.post(f"{path}/a1", reason="Grades were due.")).text
    assert "Grades were due." in (await desk.get(f"{path}?state=explained")).text
    assert (await desk.post(f"{path}/a1", reason="Again.")).status == 409


async def test_the_notice_the_studies_and_the_report(api: Served) -> None:
    desk = await signed_in(api, "admin")
    page = await desk.get("/admin/compliance/notice?year=2026-27")
    assert "guardian_ann" in page.text
    told = {"year": "2026-27", "language": "en", "how": "paper", "delivered_on": world.TODAY.isoformat()}
    wrong = await desk.post("/admin/compliance/notice", guardian_id="bob", **told)
    assert (wrong.status, wrong.value("guardian_id")) == (422, "bob")
    kept = await desk.post("/admin/compliance/notice", guardian_id="guardian_ann", **told)
    assert f"{format_date(world.TODAY, locale='en')}, paper, en" in kept.text
    assert "register of agreements" in (await desk.get("/admin/compliance/studies")).text
    report = await desk.get("/admin/compliance/report")
    assert "99.32" in report.text
    assert "not legal advice" in report.text


async def test_the_log_is_searched_by_a_form_and_each_entry_has_its_proof(api: Served) -> None:
    await api.get("~/students/ann", "teacher_a")
    await api.get("~/students/bob", "teacher_a")
    desk = await signed_in(api, "admin")
    page = await desk.post("/admin/audit", of="reads", student="Ann Ann", action="student.read")
    assert page.path == "/admin/audit"
    rows = re.findall(r'href="(/admin/audit/reads/\d+)"', page.text)
    assert rows
    assert "<bdi>Teacher A</bdi>" in page.text
    assert "denied" in (await desk.post("/admin/audit", actor="teacher_a", kind="denied")).text
    entry = await desk.get(rows[-1])
    assert entry.heading == "Entry of the audit log"
    assert "It is in the log as it was made" in entry.text or "It is not sealed yet" in entry.text
    several = await desk.post("/admin/audit", student="nobody of this name")
    assert "There are none." in several.text
    wrong = await desk.post("/admin/audit", actor="teacher_a", since="yesterday")
    assert (wrong.status, wrong.value("actor")) == (422, "teacher_a")
    assert "The log holds" in (await desk.post("/admin/audit/verify")).text
    assert (await desk.get("/admin/audit/reads/999999")).status == 404
    assert "<bdi>Admin Admin</bdi>" in (await desk.post("/admin/audit", actor="admin")).text


@pytest.mark.parametrize("user", ["teacher_a", "guardian_ann", "ann"])
async def test_others_are_refused(api: Served, user: str) -> None:
    one = await asked(api, "/students/ann/inspections", "guardian_ann", {})
    someone = await signed_in(api, user)
    for path in ("compliance", *(f"compliance/{name}" for name in DISTRICTS), "audit"):
        assert (await someone.get(f"/admin/{path}")).status == 403, path
    step = await someone.post("/admin/compliance/students/ann", step="end", id=one["id"], state="fulfilled")
    assert step.status == 403
    assert (await someone.post("/admin/audit", actor="teacher_a")).status == 403
    assert (await someone.post("/admin/compliance/keeping/run", do="delete", sure="on")).status == 403


async def test_a_school_sees_its_own_queue_and_nothing_of_the_districts(api: Served) -> None:
    one = await asked(api, "/students/cy/inspections", "guardian_cy", {})
    someone = await signed_in(api, "admin_north")
    assert "Nothing waits." in (await someone.get("/admin/compliance")).text
    assert (await someone.get("/admin/compliance?school_id=south")).status in (403, 404)
    assert (await someone.get("/admin/compliance/students/cy")).status in (403, 404)
    step = await someone.post("/admin/compliance/students/cy", step="end", id=one["id"], state="fulfilled")
    assert step.status in (403, 404)
    for path in (*(f"compliance/{name}" for name in DISTRICTS), "audit"):
        assert (await someone.get(f"/admin/{path}")).status == 403, path


async def test_without_ferpa_the_pages_say_so_kindly(sqlite_url: str) -> None:
    async with served(sqlite_url, enabled=PLUGINS, sections={"accounts": CHEAP}) as api:
        desk = await signed_in(api, "admin")
        for path in ("compliance", *(f"compliance/{name}" for name in DISTRICTS), "audit"):
            page = await desk.get(f"/admin/{path}")
            assert (page.status, page.heading) == (404, "Compliance is not switched on"), path
        assert (await desk.post("/admin/audit", actor="ann")).heading == "Compliance is not switched on"
