"""The school office's pages, by links and forms alone, and for nobody but the office."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeroom.store import Transaction
from homeroom.store import models as m
from tests.services import world
from tests.services.browsing import PLUGINS, Browser, Page, browser
from tests.services.front import CHEAP
from tests.services.served import Served, served

BOUNDARY = "----homeroom-test"


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=PLUGINS, sections={"accounts": CHEAP}) as running:
        yield running


async def office(api: Served, who: str = "admin_north") -> Browser:
    visitor = browser(api)
    await visitor.signs_in(who)
    return visitor


async def marks(api: Served, session: str, by: str, *given: dict[str, Any]) -> None:
    answer = await api.call("PUT", f"~/sessions/{session}/attendance", by=by, json={"marks": list(given)})
    assert answer.status_code == 200, await answer.get_data(as_text=True)


async def sends(visitor: Browser, file: bytes, **fields: str) -> Page:
    """What follows when the form with a file is sent."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in {"school": "north", "day": str(world.TODAY), **fields}.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="m.csv"\r\n\r\n'.encode()
    given: dict[str, Any] = {"data": b"".join(parts) + head + file + f"\r\n--{BOUNDARY}--\r\n".encode()}
    answer = await visitor.client.open(
        "/office/files/marks",
        method="POST",
        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Origin": "http://localhost"},
        **given,
    )
    return Page(answer.status_code, "/office/files/marks", await answer.get_data(as_text=True), answer.headers)


async def statuses(api: Served, session: str) -> dict[str, tuple[str, str | None]]:
    found = await (await api.get(f"~/sessions/{session}/attendance", "admin")).get_json()
    return {one["student_id"]: (one["status"], one["note"]) for one in found["items"]}


def table(page: Page) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(page.text.removeprefix("\ufeff"), newline="")))


ALL = (
    *("/office/completion", "/office/today", "/office/search", "/office/files", "/office/files/attendance.csv"),
    *("/office/files/roster.csv", "/office/emergency"),
)


@pytest.mark.parametrize("path", ALL)
async def test_the_offices_pages_are_the_offices(api: Served, path: str) -> None:
    for who in ("bob", "guardian_ann"):
        page = await (await office(api, who)).get(path)
        assert page.status in (403, 404) or path == "/office/search"  # that one finds nobody else for them
        assert "Dan" not in page.words
    assert (await (await office(api)).get(path)).status == 200


@pytest.mark.parametrize("path", ["/office/completion", "/office/today", "/office/files", "/office/emergency"])
async def test_another_schools_office_is_told_there_is_no_such_school(api: Served, path: str) -> None:
    page = await (await office(api)).get(f"{path}?school=south")
    assert page.status == 404
    assert "Chemistry" not in page.text
    assert (await (await office(api, "admin")).get(f"{path}?school=south")).status == 200


async def test_the_rolls_that_are_missing_are_shown_with_their_teachers(api: Served) -> None:
    await api.district.store.write(
        lambda tx: tx.insert(m.Class, id="choir", title="<Choir>", school_id="north", changed_at=tx.now)
    )
    await api.call("PUT", "~/classes/choir/enrollments/ann", by="admin_north", json={})
    visitor = await office(api)
    page = await visitor.get("/office/completion")
    assert re.findall(r'<a href="/classes/(\w+)"', page.text) == ["choir", "algebra", "biology"]
    assert "<bdi>&lt;Choir&gt;</bdi>" in page.text
    assert "<bdi>Teacher A</bdi>" in page.text
    assert [int(one) for one in re.findall(r"<span><b>(\d+)</b>", page.text)] == [1, 1, 1]
    missing = await visitor.get("/office/completion?state=not_taken")
    assert re.findall(r'<a href="/classes/(\w+)"', missing.text) == ["choir"]
    assert (await visitor.get("/classes/choir")).status == 200
    assert (await visitor.get("/office/completion?day=2026-02-31")).status == 422
    paper = await visitor.get("/office/classes/biology/paper")
    assert re.findall(r'<th scope="row"><bdi>(.*?)</bdi>', paper.text) == ["Bob Bob", "Dan Dan"]


async def test_a_days_absences_are_shown_and_corrected_with_a_reason(api: Served) -> None:
    await marks(api, "session_biology", "teacher_b", {"student_id": "dan", "status": "absent", "note": "<i>ill</i>"})
    await marks(api, "session_chemistry", "teacher_c", {"student_id": "cy", "status": "absent"})
    visitor = await office(api)
    page = await visitor.get("/office/today")
    assert re.findall(r'href="/office/students/(\w+)"', page.text) == ["dan"]
    assert "&lt;i&gt;ill" in page.text
    assert "no message" in page.text
    assert 'href="/office/students/' not in (await visitor.get("/office/today?class=algebra")).text
    assert len(re.findall(r'href="/attendance/', (await visitor.get("/office/today?status=all")).text)) == 4

    record = re.search(r'href="(/attendance/\w+)"', page.text)[1]  # type: ignore[index]
    form = await visitor.get(record)
    given = {"version": form.value("version"), "status": "excused", "code": "", "note": "ill"}
    refused = await visitor.post(record, **given, reason="")
    assert refused.status == 422
    assert 'role="alert"' in refused.text
    assert refused.value("note") == "ill"
    done = await visitor.post(record, **given, reason="The doctor's slip")
    assert done.status == 200
    assert "The doctor&#39;s slip" in done.text
    assert "<bdi>Admin North</bdi>" in done.text
    stale = await visitor.post(record, **given, reason="Again")
    assert stale.status == 412
    assert stale.value("reason") == "Again"
    assert (await statuses(api, "session_biology"))["dan"] == ("excused", "ill")
    assert (await (await office(api, "admin_south")).get(record)).status == 404


async def test_a_student_is_found_without_a_name_in_any_address(api: Served) -> None:
    visitor = await office(api)
    page = await visitor.post("/office/search", q="DÁN")
    assert page.path == "/office/search"
    assert re.findall(r'href="(/office/students/\w+)"', page.text) == ["/office/students/dan"]
    assert not re.search(r'(href|action)="[^"]*[dD]an\b(?<!students/dan)', page.text)
    assert "Nobody is found" in (await visitor.post("/office/search", q="cy")).text
    assert (await visitor.post("/office/search", q="")).status == 422
    assert (await visitor.post("/office/search", q="x" * 101)).status == 422
    assert (await visitor.get("/office/students/cy")).status == 404


async def test_a_students_page_shows_as_much_as_one_may_know(api: Served) -> None:
    def unit(tx: Transaction) -> None:
        tx.run(m.User.update(identifier="N-17").where(m.User.id == "ann"))
        tx.run(m.Guardianship.update(blocked=True).where(m.Guardianship.guardian_id == "teacher_parent"))
        value, lookup = tx.seal_for("guardian_ann", "+15550100199"), tx.cipher.lookup("sms", "+15550100199")
        tx.insert(m.Contact, user_id="guardian_ann", kind="sms", value=value, lookup=lookup)

    await api.district.store.write(unit)
    page = await (await office(api)).get("/office/students/ann")
    assert "N-17" in page.text
    assert 'href="tel:+15550100199"' in page.text
    assert "Blocked by an order" in page.text
    assert 'href="/classes/algebra"' in page.text
    teacher = await (await office(api, "teacher_a")).get("/office/students/ann")
    assert teacher.status == 200
    assert "5550100199" not in teacher.text
    assert "N-17" not in teacher.text
    assert "Excuse an absence" not in teacher.text


async def test_the_office_excuses_an_absence_and_what_is_refused_stays_typed(api: Served) -> None:
    visitor = await office(api)
    path = "/office/students/ann/absence"
    day = world.TOMORROW.isoformat()
    wrong = await visitor.post(path, first_day=day, last_day=world.TODAY.isoformat(), reason="Trip")
    assert wrong.status == 422
    assert wrong.value("reason") == "Trip"
    page = await visitor.post(path, first_day=day, last_day="", reason="Trip")
    assert (page.status, page.path) == (200, "/office/students/ann")
    told = (await (await api.get("~/students/ann/absence-reports", "admin_north")).get_json())["items"]
    assert [(one["first_day"], one["state"]) for one in told if one["first_day"] == day] == [(day, "approved")]
    assert (await (await office(api, "admin_south")).post(path, first_day=day, last_day="", reason="")).status == 404


async def test_files_hold_ones_own_school_and_no_formula(api: Served) -> None:
    note = '=HYPERLINK("https://evil.example","\u200fhi")'
    await marks(api, "session_biology", "teacher_b", {"student_id": "dan", "status": "tardy", "note": note})
    visitor = await office(api)
    page = await visitor.get(f"/office/files/attendance.csv?from={world.TODAY}&to={world.TODAY}")
    assert page.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert page.headers["Content-Disposition"].startswith("attachment;")
    assert page.text.startswith("\ufeff")
    rows = table(page)
    assert {row["student"] for row in rows} == {"Ann Ann", "Bob Bob", "Dan Dan"}
    [dan] = [row for row in rows if row["class_id"] == "biology" and row["student_id"] == "dan"]
    assert dan["note"] == f"'{note}"
    roster = table(await visitor.get("/office/files/roster.csv?class=biology"))
    assert [(row["class_title"], row["student"]) for row in roster] == [("Biology", "Bob Bob"), ("Biology", "Dan Dan")]
    assert (await visitor.get("/office/files/roster.csv?school=south")).status == 404
    assert (await visitor.get("/office/files/roster.csv?class=chemistry")).status == 404
    assert (await visitor.get("/office/files/attendance.csv?from=2026-02-03&to=2026-02-01")).status == 422


async def _numbered(api: Served) -> None:
    def unit(tx: Transaction) -> None:
        for student in world.STUDENTS:
            tx.run(m.User.update(identifier=f"N-{student}").where(m.User.id == student))

    await api.district.store.write(unit)


async def test_a_file_is_shown_first_and_then_written_as_it_was_shown(api: Served) -> None:
    await _numbered(api)
    visitor = await office(api)
    text = "Number;Class;Status;Note\r\n\u200eN-bob;biology;present;\r\nn-DAN;Biology;Absent;Señora M. rang\r\n"
    page = await sends(visitor, text.encode("cp1252", "ignore"))
    assert (page.status, page.heading) == (200, "What would change")
    assert "Windows-1252" in page.text
    assert "1 lines say what is recorded already." in page.text
    shown = re.findall(
        r'<tr><td>(\d+)</td><th scope="row"><bdi>(.*?)</bdi></th><td>(.*?)</td><td class="(\w+)"', page.text
    )
    assert shown == [("3", "Dan Dan", "\u2013", "absent")]
    assert "dan" not in await statuses(api, "session_biology")
    assert "Señora" not in page.value("receipt")

    done = await visitor.post("/office/files/marks/apply", receipt=page.value("receipt"))
    assert "1 marks written" in done.text
    assert (await statuses(api, "session_biology"))["dan"] == ("absent", "Señora M. rang")
    again = await visitor.post("/office/files/marks/apply", receipt=page.value("receipt"))
    assert again.status == 410


async def test_one_wrong_line_keeps_its_whole_class_from_being_written_and_no_other(api: Served) -> None:
    await _numbered(api)
    visitor = await office(api)
    lines = [
        "number,class,status,code,minutes_late,note,day",
        "N-ann,Algebra,absent,,,,",
        "N-bob,Biology,absent,,,,",
        "N-dan,Biology,gone,,,,",
        "N-dan,Biology,,NOPE,,,",
        "N-cy,Biology,absent,,,,",
        "N-cy,Chemistry,absent,,,,",
        "N-bob,Biology,tardy,,x,,",
        "N-ann,Algebra,absent,,,,2020-01-01",
    ]
    page = await sends(visitor, "\n".join(lines).encode())
    said = dict(re.findall(r"<li>Line (\d+) (.*?)</li>", page.text))
    assert {int(line): html.unescape(text) for line, text in said.items()} == {
        4: "the mark is none of present, tardy, absent, excused",
        5: "names a student whom an earlier line names already",
        6: "names nobody who sits in this class on that day",
        7: "names a class that your school has not on that day",
        8: "names a student whom an earlier line names already",
        9: f"is of another day than {world.TODAY}",
    }
    done = await visitor.post("/office/files/marks/apply", receipt=page.value("receipt"))
    assert "<bdi>Algebra</bdi>" in done.text
    assert "Biology" not in done.text
    assert (await statuses(api, "session_algebra"))["ann"] == ("absent", None)
    assert (await statuses(api, "session_biology"))["bob"] == ("present", None)


async def test_a_roll_that_changed_after_the_preview_is_left_alone(api: Served) -> None:
    visitor = await office(api)
    page = await sends(visitor, b"student_id,status\nbob,absent\ndan,absent\n", **{"class": "biology"})
    await marks(api, "session_biology", "teacher_b", {"student_id": "dan", "status": "present"})
    done = await visitor.post("/office/files/marks/apply", receipt=page.value("receipt"))
    assert "Somebody changed this roll after the preview" in done.text
    assert {name: status for name, (status, _) in (await statuses(api, "session_biology")).items()} == {
        "bob": "present",
        "dan": "present",
    }


async def test_nobody_else_can_write_what_was_shown_to_the_office(api: Served) -> None:
    page = await sends(await office(api), b"student_id,status\nbob,absent\n", **{"class": "biology"})
    for who in ("admin_south", "admin", "admin_north"):  # another browser of the same person is another one
        answer = await (await office(api, who)).post("/office/files/marks/apply", receipt=page.value("receipt"))
        assert answer.status == 410
    assert (await statuses(api, "session_biology"))["bob"] == ("present", None)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"", "The file is empty."),
        (b"hello", "names no column for the mark"),
        (b"number,status\n" + b"x" * 600_000, "larger than 512 KB"),
        (b"number,status\n" + b"x" * 2_000_000, "larger than 512 KB"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_on_the_page(api: Served, file: bytes, why: str) -> None:
    page = await sends(await office(api), file)
    assert (page.status, page.heading) == (422, "Files")
    assert why in html.unescape(page.text)


async def test_a_closed_or_missing_roll_takes_no_file(api: Served) -> None:
    visitor = await office(api)
    await api.post("~/sessions/session_biology/close", "teacher_b")
    page = await sends(visitor, b"student_id,status\nbob,absent\n", **{"class": "biology"})
    assert "roll is closed" in page.text
    before = await sends(visitor, b"student_id,status\nbob,absent\n", day=str(world.YESTERDAY), **{"class": "biology"})
    assert "has no roll on that day" in before.text
    assert 'name="receipt"' not in before.text


async def test_the_emergency_roll_is_kept_by_two_people_without_any_script(api: Served) -> None:
    desk, teacher = await office(api), await office(api, "teacher_a")
    assert "The school office begins one" in (await teacher.get("/office/emergency")).text
    roll = await desk.post("/office/emergency/north", kind="drill")
    assert roll.heading == "Emergency roll"
    assert [int(one) for one in re.findall(r"<b>(\d+)</b>", roll.text)] == [4, 0, 0]
    assert "Chemistry" not in roll.text
    assert f'href="{roll.path}"' in (await teacher.get("/office/emergency")).text

    said = await teacher.post(f"{roll.path}/words", student="bob", state="with_guardian", show="not_accounted")
    assert said.path == f"{roll.path}?show=not_accounted#roll"
    assert 'id="student-bob"' not in (await teacher.get(f"{roll.path}?show=not_accounted")).text
    seen = await desk.get(roll.path)
    row = re.search(r'id="student-bob".*?</tr>', seen.text, re.DOTALL)[0]  # type: ignore[index]
    assert "left with guardian" in row
    assert "<bdi>Teacher A</bdi>" in row
    assert re.search(r"<bdi>Biology</bdi>, \d?\d:\d\d", row)
    assert [int(one) for one in re.findall(r"<b>(\d+)</b>", seen.text)] == [3, 1, 0]
    assert (await desk.post("/office/emergency/north", kind="drill")).status == 409

    assert (await teacher.post(f"{roll.path}/end")).status == 403
    report = await desk.post(f"{roll.path}/end")
    assert (report.path, report.status) == (f"{roll.path}/report", 200)
    assert "<bdi>Bob Bob</bdi>" in report.text
    assert re.findall(r"<li><bdi>(.*?)</bdi>", report.text) == ["Ann Ann", "Dan Dan", "Eve Eve"]
    assert (await teacher.post(f"{roll.path}/words", student="ann", state="here")).status == 409


async def test_another_schools_people_see_no_emergency_roll(api: Served) -> None:
    roll = await (await office(api)).post("/office/emergency/north", kind="emergency")
    for who in ("admin_south", "teacher_c", "bob", "guardian_ann"):
        visitor = await office(api, who)
        for path in (roll.path, f"{roll.path}/report", f"{roll.path}/news?after=0"):
            page = await visitor.get(path)
            assert page.status in (403, 404)
            assert "Ann Ann" not in page.text
        assert (await visitor.post(f"{roll.path}/words", student="ann", state="here")).status in (403, 404)
