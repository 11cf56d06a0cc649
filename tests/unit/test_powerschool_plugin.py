from __future__ import annotations

import re
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from homeroom import OutgoingMark, Routes
from homeroom.testing import RunningPlugin, plugin_tests, routes_app, running_plugin, services
from homeroom_powerschool import PowerSchool, PowerSchoolSettings, columns, plugin_zip
from homeroom_powerschool.ids import CodeId, EnrollmentId, PeriodId, SchoolNumber, StudentDcid, StudentId, YearId
from homeroom_powerschool.queries import OURS, Query
from homeroom_powerschool.school_day import Code, Meeting, SchoolDay
from homeroom_powerschool.slots import Slot

SETTINGS = {"base_url": "https://district.example", "client_id": "an-id", "client_secret": "a-secret-nobody-knows"}
_NS = {"p": "http://plugin.powerschool.pearson.com"}
_DOCS = Path(__file__).parents[2] / "docs" / "powerschool.md"

TestPlugin = plugin_tests(PowerSchool, SETTINGS, skip=frozenset({"health"}))


def test_the_zip_holds_the_manifest_and_the_queries(tmp_path: Path) -> None:
    plugin_zip.write(tmp_path / "a.zip")
    plugin_zip.write(tmp_path / "b.zip")

    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["plugin.xml", "queries_root/org.homeroom.powerschool.named_queries.xml"]
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_the_manifest_asks_for_exactly_the_columns_of_the_table() -> None:
    fields = ET.fromstring(plugin_zip.plugin_xml()).findall("p:access_request/p:field", _NS)  # noqa: S314 - our own text

    asked = [(field.get("table"), field.get("field"), field.get("access")) for field in fields]
    assert asked == [(table.name, field, table.access) for table in columns.TABLES for field in table.fields]
    assert len(asked) == len(set(asked))


def test_no_column_is_asked_for_that_is_not_used() -> None:
    read = {"COURSES", "ATTENDANCE_CODE", "CALENDAR_DAY"}  # as tables, whole
    written = {name.upper() for slot in (_slot(None), _slot(EnrollmentId(1))) for name in slot.records()[0]}
    unused = [
        f"{table.name}.{field}"
        for table in columns.TABLES
        if table.name not in read
        for field in table.fields
        if not (table.name == "ATTENDANCE" and field in written)
        and not any(_names(query, table.name, field) for query in OURS)
    ]

    assert unused == []
    assert written <= set(columns.fields_of("ATTENDANCE"))


def _names(query: Query, table: str, field: str) -> bool:
    """Whether a query uses a column of a table."""
    sql = query.sql.upper()
    return bool(re.search(rf"\b{table}\b", sql) and re.search(rf"\.{field}\b", sql))


def _slot(enrollment: EnrollmentId | None) -> Slot:
    code = Code(id=CodeId(1), letters="A", present=False)
    mark = OutgoingMark(
        key="1",
        student="student-1",
        school="school-1",
        class_=None,
        school_day=date(2026, 9, 15),
        status="absent",
        recorded_at=datetime(2026, 9, 15, tzinfo=UTC),
    )
    day = SchoolDay(
        number=SchoolNumber(1), day=mark.school_day, year=YearId(36), calendar_day=None, codes={"A": code}, meetings={}
    )
    return Slot(
        marks=(mark,),
        student=StudentDcid(1),
        student_id=StudentId(2),
        day=day,
        code=code,
        earlier=frozenset(),
        enrollment=enrollment,
        meetings=(Meeting(period=PeriodId(1), start=0, end=1),),
    )


def test_only_attendance_may_be_written() -> None:
    assert [table.name for table in columns.TABLES if table.access == "FullAccess"] == ["ATTENDANCE"]


def test_the_page_shows_the_same_columns() -> None:
    assert columns.markdown() in _DOCS.read_text(encoding="utf-8")


def test_every_setting_stands_on_the_page() -> None:
    text = _DOCS.read_text(encoding="utf-8")

    assert [name for name in PowerSchoolSettings.model_fields if name not in text] == []


@pytest.mark.parametrize("query", OURS, ids=lambda query: query.name.rpartition(".")[2])
def test_a_query_uses_only_columns_that_are_asked_for(query: Query) -> None:
    assert [column for _, column in query.columns if not columns.is_known(column)] == []
    assert {table for _, table in re.findall(r"(FROM|JOIN)\s+([a-z]\w*)", query.sql)} <= {
        table.name.lower() for table in columns.TABLES
    }


@pytest.mark.parametrize("query", OURS, ids=lambda query: query.name.rpartition(".")[2])
def test_a_query_selects_what_it_names_and_declares_its_arguments(query: Query) -> None:
    selected = re.sub(r"\s+", " ", query.sql).strip().removeprefix("SELECT ")
    depth, count = 0, 1
    for word in re.findall(r"[(),]|\bFROM\b", selected):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == "FROM" and depth == 0:
            break
        count += word == "," and depth == 0

    assert count == len(query.columns)
    assert set(re.findall(r"(?<!:):([a-z_]+)", query.sql)) == {arg.name for arg in query.args}


def test_the_queries_are_well_formed() -> None:
    found = ET.fromstring(plugin_zip.queries_xml()).findall("query")  # noqa: S314 - our own text

    assert [query.get("name") for query in found] == [query.name for query in OURS]
    assert all(query.get("flattened") == "true" for query in found)
    assert all(query.findtext("sql", "").strip().startswith("SELECT") for query in found)


def test_the_command_writes_the_zip_where_it_is_told_and_needs_no_client_id(tmp_path: Path) -> None:
    plugin = PowerSchool(PowerSchoolSettings(base_url="https://district.example"), services("powerschool"))

    result = CliRunner().invoke(
        plugin.commands(), ["powerschool", "plugin-zip", "--out", str(tmp_path / "x" / "p.zip")]
    )

    assert result.exit_code == 0, result.output
    assert zipfile.is_zipfile(tmp_path / "x" / "p.zip")
    assert "Data Provider Configuration" in result.output


@pytest.mark.parametrize("url", ["http://district.example", "district.example", "ftp://district.example", ""])
def test_an_address_without_encryption_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="https://"):
        PowerSchoolSettings(base_url=url)


def test_a_school_s_own_code_comes_first_then_the_code_s_then_the_status_s() -> None:
    settings = PowerSchoolSettings(
        base_url="https://district.example",
        codes={"absent": "U", "MED": "M"},
        codes_by_school={"1042": {"present": "P", "MED": "X"}},
    )

    assert settings.letters(1000, "absent", None) == "U"
    assert settings.letters(1000, "tardy", None) == "T"
    assert settings.letters(1000, "excused", "MED") == "M"
    assert settings.letters(1042, "excused", "MED") == "X"
    assert settings.letters(1042, "excused", "unknown") == "E"
    assert (settings.letters(1000, "present", None), settings.letters(1042, "present", None)) == ("", "P")


def _secret_of(plugin: RunningPlugin) -> str:
    assert isinstance(plugin.instance, PowerSchool)
    return plugin.instance._events.secret


async def test_the_address_for_events_is_a_secret_and_only_that_one_is_heard() -> None:
    hints: list[str] = []

    async def hint() -> None:
        hints.append("sync soon")

    given = services("powerschool", hint=hint)
    async with running_plugin(PowerSchool, {**SETTINGS, "events": True}, services=given, start=False) as plugin:
        routes = await plugin.ask("routes")
        assert isinstance(routes, Routes)
        client = routes_app(routes).test_client()
        secret = _secret_of(plugin)

        heard = await client.post(f"/plugins/powerschool/events/{secret}", data=b"<anything/>")
        other = await client.post("/plugins/powerschool/events/guessed")

    assert (heard.status_code, other.status_code) == (204, 404)
    assert hints == ["sync soon"]
    assert len(secret) == 40


async def test_without_events_there_is_no_address() -> None:
    async with running_plugin(PowerSchool, SETTINGS, start=False) as plugin:
        assert await plugin.ask("routes") is None


async def test_health_says_that_the_client_id_is_missing() -> None:
    async with running_plugin(PowerSchool, {"base_url": "https://district.example"}, start=False) as plugin:
        health = await plugin.ask("health")

    assert not health.ok
    assert "client_id" in health.detail
