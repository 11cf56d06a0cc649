"""A substitute's link opens one class on one day, for whoever holds it, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from quart import Response

from homeroom.auth.access import Place, check
from homeroom.auth.tokens import fingerprint
from homeroom.live.views import Beginning, begin, day_seen, is_of
from homeroom.store import Connection, Refused, now_utc
from homeroom.store import models as m
from homeroom.types import Identity, RoleAt
from tests.services import world
from tests.services.browsing import PLUGINS
from tests.services.front import CHEAP
from tests.services.served import Served, served

TODAY = world.TODAY


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Served]:
    async with served(database_url, enabled=PLUGINS, sections={"accounts": CHEAP}) as running:
        await running.district.store.write(
            lambda tx: tx.run(m.ClassSession.update(state="closed").where(m.ClassSession.id == "session_biology"))
        )
        yield running


async def made(api: Served, *, by: str = "teacher_b", class_id: str = "biology", day: date | None = None) -> Any:
    """A new link, as it is answered to who made it."""
    sent = {"name": "Ms Rivera", **({"day": day.isoformat()} if day else {})}
    answer = await api.post(f"~/classes/{class_id}/substitutes", by, sent)
    assert answer.status_code == 201, await answer.get_data(as_text=True)
    return await answer.get_json()


async def tokens(api: Served, link: Any) -> Any:
    answer = await api.post("~/auth/substitute", json={"token": link["token"]})
    assert answer.status_code == 200, await answer.get_data(as_text=True)
    return await answer.get_json()


class Holder:
    """Somebody who has come in by a link."""

    def __init__(self, api: Served, access: str) -> None:
        self.api = api
        self.headers = {"Authorization": f"Bearer {access}"}

    async def call(self, method: str, path: str, json: Any = None) -> Response:
        return await self.api.call(method, path, headers=self.headers, json=json)

    async def status(self, method: str, path: str, json: Any = None) -> int:
        return (await self.call(method, path, json)).status_code

    async def told(self, method: str, path: str, json: Any = None) -> Any:
        answer = await self.call(method, path, json)
        assert answer.status_code < 300, await answer.get_data(as_text=True)
        return await answer.get_json()


async def holder(api: Served, link: Any) -> Holder:
    return Holder(api, (await tokens(api, link))["access_token"])


async def test_who_holds_the_link_takes_the_roll_under_a_name_of_their_own(api: Served) -> None:
    link = await made(api)
    sub = await holder(api, link)

    session = await sub.told("POST", "~/classes/biology/sessions", {})
    roll = await sub.told("GET", "~/classes/biology/roster")
    assert {one["id"] for one in roll["students"]} == {"bob", "dan"}
    assert await sub.status("GET", f"~/sessions/{session['id']}/challenge") == 200
    marked = await sub.told(
        "PUT", f"~/sessions/{session['id']}/attendance", {"marks": [{"student_id": "dan", "status": "tardy"}]}
    )
    [record] = marked["items"]
    assert (record["recorded_by"], record["origin"]) == (link["user_id"], "teacher")
    assert await sub.status("POST", f"~/sessions/{session['id']}/close", {}) == 200

    history = await (await api.get(f"~/attendance/{record['id']}/history", "teacher_b")).get_json()
    assert history["items"][0]["recorded_by_name"] == "Ms Rivera (substitute for Biology)"

    def entered(connection: Connection) -> list[Any]:
        text = "SELECT kind, actor_id FROM journal WHERE session_id = ? AND student_id = 'dan'"
        return connection.sql(text, (session["id"],))

    assert await api.district.store.read(entered) == [("attendance.recorded", link["user_id"])]


async def test_no_other_class_opens(api: Served) -> None:
    sub = await holder(api, await made(api))
    assert [one["id"] for one in (await sub.told("GET", "~/classes/"))["items"]] == ["biology"]
    for method, path, json in (
        ("GET", "~/classes/algebra", None),
        ("GET", "~/classes/algebra/roster", None),
        ("GET", "~/classes/algebra/sessions", None),
        ("POST", "~/classes/algebra/sessions", {}),
        ("GET", "~/sessions/session_algebra", None),
        ("GET", "~/sessions/session_algebra/attendance", None),
        ("PUT", "~/sessions/session_algebra/attendance", {"marks": [{"student_id": "ann", "status": "absent"}]}),
        ("GET", "~/attendance/?class_id=algebra", None),
        ("GET", "~/attendance/record_ann", None),
        ("GET", "~/students/ann/attendance", None),
    ):
        assert await sub.status(method, path, json) == 404, path


async def test_what_is_no_taking_of_the_roll_is_refused(api: Served) -> None:
    sub = await holder(api, await made(api))
    for method, path, json in (
        ("GET", "~/students/bob", None),
        ("GET", "~/students/search?q=bob", None),
        ("GET", "~/students/bob/guardians", None),
        ("PATCH", "~/attendance/record_bob", {"status": "absent", "reason": "No"}),
        ("GET", "~/attendance/record_bob/history", None),
        ("GET", "~/attendance/stats?class_id=biology", None),
        ("GET", "~/students/bob/absence-reports", None),
        ("POST", "~/absence-reports/report_bob/decision", {"decision": "approve"}),
        ("POST", "~/classes/biology/substitutes", {"name": "A friend"}),
        ("GET", "~/classes/biology/substitutes", None),
        ("PUT", "~/classes/biology/enrollments/ann", {}),
        ("GET", "~/plugins/", None),
    ):
        assert await sub.status(method, path, json) == 403, path


async def test_other_days_of_the_class_stay_shut(api: Served) -> None:
    def before(tx: Any) -> None:
        tx.insert(
            m.ClassSession,
            id="session_before",
            class_id="biology",
            school_id="north",
            school_day=TODAY - timedelta(days=1),
            starts_at=tx.now - timedelta(days=1),
            late_after_minutes=5,
        )
        tx.insert(
            m.AttendanceRecord,
            id="record_before",
            session_id="session_before",
            class_id="biology",
            school_id="north",
            student_id="bob",
            school_day=TODAY - timedelta(days=1),
            status="absent",
            origin="teacher",
            recorded_at=tx.now,
            valid_from=tx.now,
        )

    await api.district.store.write(before)
    sub = await holder(api, await made(api))

    seen = await sub.told("GET", "~/classes/biology/sessions")
    assert [one["id"] for one in seen["items"]] == ["session_biology"]
    listed = await sub.told("GET", "~/classes/?with=latest_session")
    assert listed["items"][0]["latest_session"]["id"] == "session_biology"
    for path in ("~/sessions/session_before", "~/sessions/session_before/attendance", "~/attendance/record_before"):
        assert await sub.status("GET", path) == 404, path
    marks = {"marks": [{"student_id": "bob", "status": "present"}]}
    assert await sub.status("PUT", "~/sessions/session_before/attendance", marks) == 404
    for path in ("~/attendance/?class_id=biology", "~/attendance/", "~/students/bob/attendance"):
        records = await sub.told("GET", path)
        assert [one["id"] for one in records["items"]] == ["record_bob"], path
    roll = await sub.told("GET", f"~/classes/biology/roster?day={TODAY + timedelta(days=1)}")
    assert roll["day"] == TODAY.isoformat()
    begins = {"starts_at": (now_utc() - timedelta(days=1)).isoformat()}
    assert await sub.status("POST", "~/classes/biology/sessions", begins) == 403


async def test_on_the_next_day_nothing_opens_any_more(api: Served) -> None:
    link = await made(api)
    pair = await tokens(api, link)
    with time_machine.travel(now_utc() + timedelta(days=1), tick=True):
        again = await api.post("~/auth/substitute", json={"token": link["token"]})
        assert again.status_code == 403
        assert (await again.get_json())["type"].endswith("link-invalid")
        renewed = await api.post("~/auth/refresh", json={"refresh_token": pair["refresh_token"]})
        assert renewed.status_code == 401
        late = api.district.authenticator.access.issue(user_id=link["user_id"], session_id="sign_in_of_another")
        assert await Holder(api, late).status("GET", "~/classes/biology/roster") == 401


async def test_the_rule_itself_knows_the_day(api: Served) -> None:
    """Also where a sign-in is still remembered a moment after midnight."""
    link = await made(api)
    identity = Identity(subject=link["user_id"], roles=(RoleAt(role="substitute", org_id="north"),))

    def judged(connection: Connection, place: Place, day: date) -> int:
        try:
            check(connection, identity, "attendance.mark", place, today=day)
        except Refused as refusal:
            return refusal.status
        return 200

    for place in (Place(class_id="biology"), Place(session_id="session_biology")):
        for day, status in ((TODAY, 200), (TODAY + timedelta(days=1), 403), (TODAY - timedelta(days=1), 403)):
            assert await api.district.store.read(partial(judged, place=place, day=day)) == status


async def test_the_board_shows_nothing_of_another_day(api: Served) -> None:
    def left_open(tx: Any) -> None:
        before = TODAY - timedelta(days=1)
        tx.run(m.ClassSession.update(state="open", school_day=before).where(m.ClassSession.id == "session_biology"))
        tx.run(m.AttendanceRecord.update(school_day=before).where(m.AttendanceRecord.id == "record_bob"))

    link = await made(api)
    identity = Identity(subject=link["user_id"], roles=(RoleAt(role="substitute", org_id="north"),))
    teacher = world.identity("teacher_b")
    await api.district.store.write(left_open)
    correction = {"status": "absent", "reason": "Was ill"}
    answer = await api.call(
        "PATCH", "~/attendance/record_bob", by="teacher_b", json=correction, headers={"If-Match": '"1"'}
    )
    assert answer.status_code == 200

    async def seen(who: Identity, after: int | None) -> Beginning:
        return await api.district.store.read(lambda c: begin(c, who, "biology", TODAY, after))

    assert [mark["student_id"] for mark in (await seen(teacher, None)).marks] == ["bob"]
    assert ((await seen(identity, None)).session, (await seen(identity, None)).marks) == (None, [])
    [change] = [event for event in (await seen(teacher, 0)).missed or () if event.student_id]
    assert [event for event in (await seen(identity, 0)).missed or () if event.student_id] == []
    assert not is_of(change, day_seen(identity, TODAY))  # nor as it happens
    assert is_of(change, day_seen(teacher, TODAY))


async def test_before_its_day_it_opens_nothing(api: Served) -> None:
    link = await made(api, day=TODAY + timedelta(days=1))
    assert (await api.post("~/auth/substitute", json={"token": link["token"]})).status_code == 403


async def test_a_refreshed_sign_in_ends_with_the_day_all_the_same(api: Served) -> None:
    link = await made(api)
    pair = await tokens(api, link)
    assert (await api.post("~/auth/refresh", json={"refresh_token": pair["refresh_token"]})).status_code == 200
    ends = await api.district.store.read(
        lambda c: c.values(
            m.SignInSession.select(m.SignInSession.expires_at).where(m.SignInSession.user_id == link["user_id"])
        )
    )
    assert [one.isoformat() for one in ends] == [link["ends_at"].replace("Z", "+00:00")]


async def test_a_link_that_was_ended_is_out_at_once(api: Served) -> None:
    link = await made(api)
    pair = await tokens(api, link)
    sub = Holder(api, pair["access_token"])
    assert await sub.status("GET", "~/classes/biology/roster") == 200
    ended = await api.call("DELETE", f"~/classes/biology/substitutes/{link['id']}", by="teacher_b")
    assert ended.status_code == 204
    assert await sub.status("GET", "~/classes/biology/roster") == 401
    assert (await api.post("~/auth/refresh", json={"refresh_token": pair["refresh_token"]})).status_code == 401
    assert (await api.post("~/auth/substitute", json={"token": link["token"]})).status_code == 403
    [listed] = (await (await api.get("~/classes/biology/substitutes", "teacher_b")).get_json())["items"]
    assert listed["revoked_at"] is not None
    assert "token" not in listed


async def test_only_staff_of_the_class_make_list_and_end_links(api: Served) -> None:
    link = await made(api)
    for who in ("teacher_a", "teacher_c", "admin_south", "bob", "guardian_ann"):
        for method, path, json in (
            ("POST", "~/classes/biology/substitutes", {"name": "A friend"}),
            ("GET", "~/classes/biology/substitutes", None),
            ("DELETE", f"~/classes/biology/substitutes/{link['id']}", None),
        ):
            assert (await api.call(method, path, by=who, json=json)).status_code in (403, 404), (who, path)
    other = await api.call("DELETE", f"~/classes/algebra/substitutes/{link['id']}", by="teacher_a")
    assert other.status_code == 404  # not by way of one's own class
    assert (await api.get("~/classes/biology/roster", headers=(await holder(api, link)).headers)).status_code == 200
    assert (await made(api, by="admin_north"))["created_by"] == "admin_north"


async def test_its_person_is_nobody_elses_account(api: Served) -> None:
    link = await made(api)
    sub = await holder(api, link)
    me = await sub.told("GET", "~/auth/me")
    assert me["roles"] == [{"role": "substitute", "org_id": "north"}]
    assert me["id"] == link["user_id"] != (await made(api))["user_id"]
    change = {"email": "teacher_b@example.org", "password": "x", "new_password": "plum kettle sings on mondays"}
    assert await sub.status("POST", "~/auth/password", change) in (401, 403, 422)
    grant = await api.post("~/auth/users/bob/roles", "admin", {"role": "substitute"})
    assert grant.status_code == 422  # nobody is given the role but by a link


async def test_the_secret_is_kept_as_a_hash_and_a_wrong_one_is_told_nothing(api: Served) -> None:
    link = await made(api)
    kept = await api.district.store.read(lambda c: c.sql("SELECT token_hash FROM substitutions", ()))
    assert kept == [(fingerprint(link["token"]),)]
    for token in ("x", link["id"], link["token"][:-1], ""):
        assert (await api.post("~/auth/substitute", json={"token": token})).status_code in (403, 422)


@pytest.mark.parametrize(
    "sent",
    [
        {"name": "   "},
        {"name": "x" * 81},
        {"name": "Ms Rivera", "day": (TODAY - timedelta(days=1)).isoformat()},
        {"name": "Ms Rivera", "day": (TODAY + timedelta(days=61)).isoformat()},
        {"name": "Ms Rivera", "day": "2026-02-31"},
        {"name": "Ms Rivera", "class_id": "algebra"},
    ],
)
async def test_a_link_that_cannot_be_is_refused(api: Served, sent: dict[str, str]) -> None:
    assert (await api.post("~/classes/biology/substitutes", "teacher_b", sent)).status_code == 422


async def test_what_a_substitute_is_shown_is_entered_in_the_audit_under_the_ground_for_staff(sqlite_url: str) -> None:
    plugins = ("accounts", "ferpa")
    async with served(sqlite_url, enabled=plugins, required=("ferpa",), sections={"accounts": CHEAP}) as api:
        link = await made(api)
        sub = await holder(api, link)
        assert await sub.status("GET", "~/classes/biology/roster") == 200

        def entered(connection: Connection) -> list[Any]:
            text = "SELECT action, basis FROM ferpa_audit WHERE actor = ?"
            return connection.sql(text, (link["user_id"],))

        assert await api.district.store.read(entered) == [("class.roster", "99.31(a)(1)(i)(A)")]
