"""The rotating code: when it is good, what it costs to guess, and what survives the trip through sign-in."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quart import Quart

from homeroom import Attempt, Challenge, ClassSession, Evidence, Verdict
from homeroom.testing import SESSION, FakeClock, plugin_tests, routes_app, running_plugin, services
from homeroom_rotating_code import CodeSettings, RotatingCode, codes

SECRET = b"s" * 32
OPEN = replace(SESSION, methods=("rotating_code",))
START = datetime(2026, 9, 1, 14, 0, tzinfo=UTC)

TestRotatingCode = plugin_tests(RotatingCode, {})


class Lesson:
    """A plugin, the clock it reads, and somebody who tries; the session's code changes at `begin`."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock(START)
        given = services("rotating_code", scopes=RotatingCode.scopes, clock=self.clock)
        self.plugin = RotatingCode(CodeSettings(**settings), given)
        secret, seconds = given.derive_key(f"session:{OPEN.id}"), self.plugin.settings.step_seconds
        self.begin = codes.end_of(secret, codes.step_of(secret, START, seconds), seconds)
        self.clock.move((self.begin - START).total_seconds())

    async def shows(self, session: ClassSession = OPEN) -> Challenge:
        found = await self.plugin.issue_challenge(session)
        assert found is not None
        return found

    async def hears(
        self, code: Any = None, *, student: str = "ann", session: ClassSession = OPEN, **more: Any
    ) -> Evidence | None:
        proof = more.pop("proof", {"code": code} if code is not None else {})
        attempt = Attempt(session=session, student_id=student, at=more.pop("at", self.clock.now()), proof=proof, **more)
        return await self.plugin.verify_check_in(attempt)

    async def says(self, code: Any, **more: Any) -> str:
        found = await self.hears(code, **more)
        assert found is not None
        return found.problem or found.verdict.value

    def app(self) -> Quart:
        return routes_app(self.plugin.routes())

    async def exchanges(self, body: Any) -> tuple[int, Any]:
        answer = await self.app().test_client().post("/plugins/rotating_code/scans", json=body)
        return answer.status_code, await answer.get_json(silent=True)


def token_in(link: str | None) -> str:
    assert link is not None
    return link.partition("&scan=")[2]


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**6:06d}"


@given(
    secret=st.binary(min_size=32, max_size=32),
    made=st.integers(1, 2**40),
    passed=st.integers(-40, 40),
    grace=st.integers(0, 6),
)
def test_a_code_is_good_in_its_own_step_and_the_steps_of_grace_after_it(
    secret: bytes, made: int, passed: int, grace: int
) -> None:
    code = codes.code_of(secret, made, 10)
    age = codes.age_of_code(secret, code, made + passed, grace=grace, remembered=30, digits=10)
    if 0 <= passed <= grace:
        assert age == "good"
    elif grace < passed <= grace + 30:
        assert age == "expired"
    else:
        assert age == "wrong"


@given(secret=st.binary(min_size=32, max_size=32), made=st.integers(1, 2**40), passed=st.integers(-40, 40))
def test_a_scanned_token_is_good_as_long_as_its_code(secret: bytes, made: int, passed: int) -> None:
    age = codes.age_of_token(secret, codes.token_of(secret, made), made + passed, grace=1)
    assert age == ("good" if passed in (0, 1) else "expired")


@given(token=st.text(st.characters(codec="ascii"), max_size=60))
def test_what_was_not_made_here_is_no_token_and_no_receipt(token: str) -> None:
    assert codes.age_of_token(SECRET, token, 5, grace=1) == "wrong"
    assert codes.age_of_receipt(SECRET, token, START) == "wrong"


@given(
    secret=st.binary(min_size=32, max_size=32),
    since=st.timedeltas(timedelta(0), timedelta(days=2000)),
    step=st.integers(5, 300),
)
def test_a_step_ends_when_the_next_one_begins(secret: bytes, since: timedelta, step: int) -> None:
    moment = START + since
    number = codes.step_of(secret, moment, step)
    end = codes.end_of(secret, number, step)
    assert moment < end <= moment + timedelta(seconds=step)
    assert codes.step_of(secret, end, step) == number + 1


def test_the_screens_of_a_school_do_not_all_ask_in_the_same_second() -> None:
    secrets = [b"%032d" % number for number in range(300)]
    ends = Counter(int(codes.end_of(one, codes.step_of(one, START, 10), 10).timestamp()) for one in secrets)
    assert len(ends) == 10
    assert max(ends.values()) < 60


def test_codes_are_spread_evenly_over_all_digits() -> None:
    seen = [codes.code_of(SECRET, step, 6) for step in range(3000)]
    assert all(re.fullmatch(r"[0-9]{6}", code) for code in seen)
    firsts = [sum(code[0] == str(digit) for code in seen) for digit in range(10)]
    assert min(firsts) > 220
    assert max(firsts) < 380


async def test_the_screen_shows_the_code_of_now_and_until_when() -> None:
    lesson = Lesson()
    lesson.clock.move(3)
    shown = await lesson.shows()
    assert re.fullmatch(r"[0-9]{6}", shown.code)
    assert shown.expires_at == lesson.begin + timedelta(seconds=10)
    lesson.clock.move(7)
    assert (await lesson.shows()).code != shown.code


async def test_the_picture_is_an_svg_of_the_link_without_any_style() -> None:
    shown = await Lesson().shows()
    assert shown.qr is not None
    assert ET.fromstring(shown.qr).tag.endswith("svg")  # noqa: S314 - our own picture
    assert "style" not in shown.qr
    assert shown.link is not None
    assert shown.link.startswith("https://homeroom.example/check-in?session=session-1&scan=")
    assert shown.code not in shown.link


async def test_a_code_is_accepted_while_it_is_shown_and_one_step_longer() -> None:
    lesson = Lesson()
    code = (await lesson.shows()).code
    assert await lesson.says(code) == "accept"
    lesson.clock.move(19.9)
    assert await lesson.says(code) == "accept"
    lesson.clock.move(0.1)
    assert await lesson.says(code) == "code-expired"
    lesson.clock.move(600)
    assert await lesson.says(code) == "code-wrong"


async def test_a_future_code_is_wrong() -> None:
    lesson = Lesson()
    later = Lesson()
    later.clock.move(10)
    assert await lesson.says((await later.shows()).code) == "code-wrong"


async def test_a_code_of_another_session_is_wrong() -> None:
    lesson = Lesson()
    other = replace(OPEN, id="session-2")
    code = (await lesson.shows(other)).code
    assert await lesson.says(code) == "code-wrong"
    assert await lesson.says(code, session=other) == "accept"


async def test_a_code_may_be_typed_in_groups() -> None:
    lesson = Lesson()
    code = (await lesson.shows()).code
    assert await lesson.says(f" {code[:3]}-{code[3:]} ") == "accept"


@pytest.mark.parametrize(
    "bad", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "12345\ud800", 123456, ["1"], {"a": 1}, True]
)
async def test_what_is_no_code_is_wrong_and_raises_nothing(bad: Any) -> None:
    assert await Lesson().says(bad) == "code-wrong"


@pytest.mark.parametrize("bad", ["", "r.", "r.zz.x", "ü.ü", "f" * 40 + ".x", 7, None.__class__, ["r."]])
async def test_what_is_no_scan_is_wrong_and_raises_nothing(bad: Any) -> None:
    assert await Lesson().says(None, proof={"scan": bad}) == "code-wrong"


async def test_it_says_nothing_without_a_proof_or_where_it_is_not_asked_for() -> None:
    lesson = Lesson()
    assert await lesson.hears() is None
    elsewhere = replace(OPEN, methods=("geofence",))
    assert await lesson.hears("123456", session=elsewhere) is None
    assert await lesson.plugin.issue_challenge(elsewhere) is None


async def test_an_offline_check_in_is_judged_by_the_code_of_its_time() -> None:
    lesson = Lesson()
    code = (await lesson.shows()).code
    lesson.clock.move(7200)
    assert await lesson.says(code, at=lesson.begin, offline=True) == "accept"
    assert await lesson.says(code, at=lesson.begin - timedelta(seconds=10), offline=True) == "accept"
    assert await lesson.says(code, at=lesson.begin - timedelta(seconds=20), offline=True) == "code-wrong"
    assert await lesson.says(code, at=lesson.begin + timedelta(seconds=10), offline=True) == "accept"
    assert await lesson.says(code, at=lesson.begin + timedelta(seconds=20), offline=True) == "code-expired"


async def test_five_wrong_codes_in_a_minute_lock_one_student_out_and_nobody_else() -> None:
    lesson = Lesson()
    code = (await lesson.shows()).code
    for _ in range(5):
        assert await lesson.says(wrong(code)) == "code-wrong"
    blocked = await lesson.hears(code)
    assert blocked is not None
    assert blocked.problem == "too-many-attempts"
    assert blocked.retry_after is not None
    assert 0 < blocked.retry_after <= 60
    assert await lesson.says(code, student="bob") == "accept"
    lesson.clock.move(blocked.retry_after)
    assert await lesson.says((await lesson.shows()).code) == "accept"


async def test_right_codes_are_not_counted() -> None:
    lesson = Lesson(attempts_per_student=1, attempts_per_session=1)
    code = (await lesson.shows()).code
    for _ in range(20):
        assert await lesson.says(code) == "accept"


async def test_many_students_who_guess_together_are_stopped_too() -> None:
    lesson = Lesson(attempts_per_session=8)
    code = (await lesson.shows()).code
    found = [await lesson.says(wrong(code), student=f"s{number}") for number in range(10)]
    assert found == ["code-wrong"] * 8 + ["too-many-attempts"] * 2


async def test_a_worker_that_has_not_seen_the_wrong_codes_learns_of_the_block_from_the_shared_limiter() -> None:
    lesson = Lesson()
    code = (await lesson.shows()).code
    other = RotatingCode(CodeSettings(), lesson.plugin.services)
    for _ in range(5):
        await lesson.says(wrong(code))
    attempt = Attempt(session=OPEN, student_id="ann", at=lesson.clock.now(), proof={"code": wrong(code)})
    found = await other.verify_check_in(attempt)
    assert found is not None
    assert found.problem == "too-many-attempts"


async def test_blocks_that_are_over_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeroom_rotating_code.plugin._MOST_BLOCKED", 3)
    lesson = Lesson(attempts_per_student=1)
    for number in range(8):
        code = (await lesson.shows()).code
        await lesson.says(wrong(code), student=f"s{number}")
        lesson.clock.move(61)
    assert len(lesson.plugin._blocked) <= 5


async def test_a_scanned_token_counts_like_the_code_beside_it() -> None:
    lesson = Lesson()
    token = token_in((await lesson.shows()).link)
    assert await lesson.says(None, proof={"scan": token}) == "accept"
    lesson.clock.move(20)
    assert await lesson.says(None, proof={"scan": token}) == "code-expired"


async def test_a_scan_shown_in_time_survives_a_slow_sign_in() -> None:
    lesson = Lesson()
    token = token_in((await lesson.shows()).link)
    status, answer = await lesson.exchanges({"session_id": OPEN.id, "token": token})
    assert status == 201
    lesson.clock.move(4 * 60)
    assert await lesson.says(None, proof={"scan": answer["scan"]}) == "accept"
    assert await lesson.says(None, proof={"scan": answer["scan"]}, session=replace(OPEN, id="x")) == "code-wrong"
    lesson.clock.move(61)
    assert await lesson.says(None, proof={"scan": answer["scan"]}) == "code-expired"


async def test_an_offline_scan_is_judged_by_the_picture_of_its_time_whichever_way_a_clock_is_off() -> None:
    lesson = Lesson()
    proof = {"scan": token_in((await lesson.shows()).link)}
    lesson.clock.move(7200)
    told = {
        seconds: await lesson.says(None, proof=proof, at=lesson.begin + timedelta(seconds=seconds), offline=True)
        for seconds in (-20, -10, 0, 10, 20)
    }
    assert told == {-20: "code-expired", -10: "accept", 0: "accept", 10: "accept", 20: "code-expired"}
    assert await lesson.says(None, proof=proof, at=lesson.begin - timedelta(seconds=10)) == "code-expired"


async def test_a_receipt_vouches_for_no_moment_before_it_was_given() -> None:
    lesson = Lesson()
    _, answer = await lesson.exchanges({"session_id": OPEN.id, "token": token_in((await lesson.shows()).link)})
    proof = {"scan": answer["scan"]}
    lesson.clock.move(7200)
    told = {
        seconds: await lesson.says(None, proof=proof, at=lesson.begin + timedelta(seconds=seconds), offline=True)
        for seconds in (-1800, -11, -10, 0, 299, 300)
    }
    assert told == {
        **dict.fromkeys((-1800, -11), "code-wrong"),
        **dict.fromkeys((-10, 0, 299), "accept"),
        300: "code-expired",
    }


async def test_a_receipt_cannot_be_made_longer() -> None:
    lesson = Lesson()
    _, answer = await lesson.exchanges({"session_id": OPEN.id, "token": token_in((await lesson.shows()).link)})
    _, expires, mac = answer["scan"].split(".")
    assert await lesson.says(None, proof={"scan": f"r.{int(expires, 16) + 60:x}.{mac}"}) == "code-wrong"


async def test_a_token_that_was_scanned_too_late_or_never_made_is_not_exchanged() -> None:
    lesson = Lesson()
    token = token_in((await lesson.shows()).link)
    lesson.clock.move(20)
    assert (await lesson.exchanges({"session_id": OPEN.id, "token": token}))[0] == 422
    assert (await lesson.exchanges({"session_id": OPEN.id, "token": "1.x"}))[0] == 422
    assert (await lesson.exchanges({"session_id": OPEN.id, "token": "ü"}))[0] == 422
    assert (await lesson.exchanges({"session_id": OPEN.id}))[0] == 422
    answer = await lesson.app().test_client().post("/plugins/rotating_code/scans", data=b"token=1")
    assert answer.status_code == 415


async def test_two_instances_are_two_methods_with_secrets_of_their_own() -> None:
    clock = FakeClock(START)
    async with running_plugin(
        RotatingCode, {}, services=services("gym", scopes=RotatingCode.scopes, clock=clock)
    ) as gym:
        in_gym = replace(OPEN, methods=("gym",))
        shown = await gym.ask("issue_challenge", session=in_gym)
        assert shown.kind == "gym"
        assert shown.code != (await Lesson().shows()).code
        attempt = Attempt(session=in_gym, student_id="ann", at=clock.now(), proof={"code": shown.code})
        found = await gym.ask("verify_check_in", attempt=attempt)
        assert (found.method, found.verdict) == ("gym", Verdict.ACCEPT)
