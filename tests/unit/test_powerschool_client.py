"""Somebody else's client reads the simulator: the PyPI package `powerschool` (TEAMSchools)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

from homeroom.testing import sample_district
from homeroom_powerschool.queries import CODES, ID_MAP, STUDENTS
from homeroom_powerschool.simulator import PowerSchoolSimulator

powerschool: Any = pytest.importorskip(
    "powerschool", reason="the PyPI client `powerschool` is not installed: nobody else's client reads the simulator"
)


@contextlib.contextmanager
def _serving(simulator: PowerSchoolSimulator) -> Iterator[str]:
    """The address of the simulator, served by another thread."""
    started = threading.Event()
    kept: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = Config()
        config.bind = [f"fd://{listening.fileno()}"]
        config.loglevel = "ERROR"

        async def go() -> None:
            stop = asyncio.Event()
            kept.append((asyncio.get_running_loop(), stop))
            started.set()
            await serve(simulator.app, config, shutdown_trigger=stop.wait)

        thread = threading.Thread(target=asyncio.run, args=(go(),), daemon=True)
        thread.start()
        started.wait(10)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            [(loop, stop)] = kept
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)
            listening.detach()  # the server has closed it


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_client_signs_in_and_reads_metadata_tables_and_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    simulator = PowerSchoolSimulator(sample_district(students=40))
    students = simulator.world.students
    with _serving(simulator) as url:
        client = powerschool.PowerSchool("localhost")
        client.base_url = url
        client.authorize((simulator.client_id, simulator.client_secret))
        courses = client.get_schema_table("courses")
        rows = courses.query(projection="dcid,course_name", pagesize=5)
        known = courses.query()  # with the columns that the table's metadata permit
        arguments = {"after": 0, "yearid": 36}
        people = client.get_named_query(STUDENTS.name).query(body=arguments, pagesize=0)
        map_of_ids = client.get_named_query(ID_MAP).query(body={"students_dcid": students.dcids[:2]}, pagesize=0)
        codes = client.get_named_query(CODES).query(body={"schoolid": 1000, "att_date": "2026-09-15"}, pagesize=0)
        with pytest.raises(Exception, match="no such table"):
            client.get_schema_table("nothing").count()

    assert client.metadata.plugin_id == 7
    assert courses.path.endswith("courses")
    assert len(rows) == len(known) == len(simulator.world.courses)
    assert set(known[0]) == {"dcid", "course_number", "course_name"}
    assert {row["dcid"] for row in people} == {str(dcid) for dcid in students.dcids}
    assert [row["id"] for row in map_of_ids] == [str(number) for number in students.ids[:2]]
    assert [row["tables"]["attendance_code"].get("att_code") for row in codes] == [None, "A", "T", "E", "S"]
