"""An answer of `authorize` that lasts: check-ins are not asked about one by one, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeroom.store import models as m
from tests.hostile_plugin.install import pretend_installed
from tests.services.served import Served, served

ACTION = "attendance.check_in"


def _asked(api: Served, plugin: str = "ferpa") -> int:
    """How often the plugin was asked whether something may be."""
    [info] = [one for one in api.district.host.plugins if one.name == plugin]
    return next(one.calls for one in info.figures if one.hook == "authorize")


async def _session(api: Served) -> tuple[str, str]:
    session = await (await api.post("~/classes/biology/sessions", "teacher_b", {})).get_json()
    shown = await (await api.get(f"~/sessions/{session['id']}/challenge", "teacher_b")).get_json()
    return session["id"], shown["code"]


async def _comes(api: Served, student: str, session: str, code: str) -> tuple[int, int]:
    """The status of the answer, and how often the law was asked on the way."""
    before = _asked(api)
    answer = await api.post("~/attendance/checkin", student, {"session_id": session, "proof": {"code": code}})
    return answer.status_code, _asked(api) - before


async def test_the_law_is_asked_about_one_check_in_and_its_ground_goes_with_all(database_url: str) -> None:
    async with served(database_url, enabled=("ferpa", "rotating_code"), required=("ferpa",)) as api:
        session, code = await _session(api)
        assert [await _comes(api, student, session, code) for student in ("bob", "dan")] == [(201, 1), (201, 0)]
        query = m.Journal.select().where(m.Journal.purpose == ACTION).order_by(m.Journal.id)
        first, second = await api.district.store.read(lambda c: [row.basis for row in c.all(query)])
        assert first == second
        assert first

        assert await _comes(api, "cy", session, code) == (404, 0)


async def test_it_is_asked_again_after_a_restart(sqlite_url: str) -> None:
    async with served(sqlite_url, enabled=("ferpa", "rotating_code"), required=("ferpa",)) as api:
        session, code = await _session(api)
        assert await _comes(api, "bob", session, code) == (201, 1)
        await api.district.host.restart("ferpa", {"access": {"purposes": ["research"]}})
        assert await _comes(api, "dan", session, code) == (403, 1)


async def test_one_that_is_not_said_to_last_is_asked_for_each_time(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in pretend_installed(tmp_path / "installed"):
        monkeypatch.syspath_prepend(str(folder))
    async with served(sqlite_url, enabled=("ferpa", "rotating_code", "bystander"), required=("ferpa",)) as api:
        session, code = await _session(api)
        assert [await _comes(api, student, session, code) for student in ("bob", "dan")] == [(201, 1), (201, 1)]
