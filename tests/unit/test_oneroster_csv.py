from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import stat
import threading
import zipfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom import (
    Noun,
    OutgoingMark,
    Page,
    Pull,
    RowError,
    SourceError,
    User,
)
from homeroom.testing import services
from homeroom_oneroster import Bundle, Connector, OneRoster, users
from homeroom_oneroster import connector as connector_module
from homeroom_oneroster.facts import BadField
from homeroom_oneroster.table import BadRow, Row, Table

NOW = date(2026, 9, 1)
SMALL: dict[str, list[list[str]]] = {
    "orgs": [["sourcedId", "status", "dateLastModified", "name", "type"], ["s1", "", "", "Cedar", "school"]],
    "users": [
        ["sourcedId", "status", "enabledUser", "givenName", "familyName", "agentSourcedIds", "grades", "email"],
        ["ana", "", "true", "Ana", "Ruiz", "gus", "09,10", " ana@example.org "],
        ["gus", "", "", "Gus", "Ruiz", "ana", "", ""],
    ],
    "roles": [
        ["sourcedId", "status", "userSourcedId", "roleType", "role", "orgSourcedId", "beginDate", "endDate"],
        ["r1", "", "ana", "primary", "student", "s1", "2026-08-01", "2027-06-01"],
        ["r2", "", "gus", "secondary", "PARENT", "s1", "", ""],
    ],
    "demographics": [["sourcedId", "birthDate"], ["ana", "2012-01-31"]],
}


def write(path: Path, files: dict[str, list[list[str]]], version: str = "1.2", **modes: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    manifest = [["propertyName", "value"], ["oneroster.version", version]]
    manifest += [[f"file.{name}", modes.get(name, "bulk")] for name in {**files, **modes}]
    for name, rows in {**files, "manifest": manifest}.items():
        with (path / f"{name}.csv").open("w", newline="", encoding="utf-8") as opened:
            csv.writer(opened).writerows(rows)
    return path


async def pages(source: Path, noun: Noun, cursor: str | None = None, **options: Any) -> list[Page]:
    return [page async for page in Connector(source, **options).pull(Pull(noun=noun, cursor=cursor))]


async def read(source: Path, noun: Noun, **options: Any) -> tuple[list[Any], list[RowError]]:
    found = await pages(source, noun, **options)
    return [r for page in found for r in page.records], [e for page in found for e in page.errors]


def rows_of(text: bytes) -> list[Row | BadRow]:
    return list(Table(io.BytesIO(text), "users.csv"))


def told(rows: Sequence[Row | BadRow]) -> list[tuple[str, str | None]]:
    return [(row.where, row.sourced_id if isinstance(row, BadRow) else row.text("sourcedId")) for row in rows]


def reasons(rows: Sequence[Row | BadRow]) -> list[str]:
    return [row.reason for row in rows if isinstance(row, BadRow)]


async def test_a_person_is_joined_from_three_files(tmp_path: Path) -> None:
    [ana, gus], errors = await read(write(tmp_path, SMALL), "user")

    assert errors == []
    assert (ana.given_name, ana.grades, ana.email, ana.birth_date) == (
        "Ana",
        ("09", "10"),
        "ana@example.org",
        date(2012, 1, 31),
    )
    assert [(one.role, one.org, one.begins_on, one.ends_on) for one in ana.roles] == [
        ("student", "s1", date(2026, 8, 1), date(2027, 6, 1))
    ]
    assert (ana.agents, gus.agents) == (("gus",), ())  # the children on a guardian's own row are no guardians of it
    assert [(one.role, one.primary) for one in gus.roles] == [("parent", False)]
    assert ana.only is None


async def test_inclusive_end_dates_become_exclusive_where_the_setting_says_so(tmp_path: Path) -> None:
    [ana, _], _ = await read(write(tmp_path, SMALL), "user", end_dates="inclusive")

    assert ana.roles[0].ends_on == date(2027, 6, 2)


async def test_a_version_1_1_user_has_one_role_at_each_of_its_orgs(tmp_path: Path) -> None:
    files = {
        "users": [
            ["sourcedId", "status", "orgSourcedIds", "role", "givenName", "familyName"],
            ["ana", "", "s1,s2", "student", "Ana", "Ruiz"],
            ["bob", "", "", "student", "Bob", "Ruiz"],
            ["cem", "", "s1", "wizard", "Cem", "Ruiz"],
        ]
    }

    [ana], errors = await read(write(tmp_path, files, "1.1"), "user")

    assert [(one.role, one.org, one.primary) for one in ana.roles] == [
        ("student", "s1", True),
        ("student", "s2", False),
    ]
    assert ana.only is not None
    assert "birth_date" not in ana.only  # there is no demographics.csv to tell it
    assert [(error.where, error.field, error.sourced_id) for error in errors] == [
        ("users.csv:3", "orgSourcedIds", "bob"),
        ("users.csv:4", "role", "cem"),
    ]


async def test_every_other_file_is_read_field_by_field(tmp_path: Path) -> None:
    files = {
        "orgs": [
            ["sourcedId", "name", "type", "identifier", "parentSourcedId"],
            ["s1", "Cedar", "School", "1001", "d"],
        ],
        "academicSessions": [
            ["sourcedId", "title", "type", "startDate", "endDate", "schoolYear", "parentSourcedId"],
            ["t1", "Fall", "term", "2026-08-01T00:00:00Z", "2027-01-01", "2027", "y"],
            ["t2", "Spring", "term", "", "2027-01-01", "2027", ""],
            ["t3", "Spring", "Grading Period", "2026-08-01", "2027-01-01", "MMXXVII", ""],
            ["t4", "Year", "SCHOOLYEAR", "2026-08-01", "2027-06-01", "2026-2027", ""],
        ],
        "courses": [["sourcedId", "title", "courseCode", "orgSourcedId"], ["c1", "Biology", "BIO", "s1"]],
        "classes": [
            ["sourcedId", "title", "schoolSourcedId", "courseSourcedId", "termSourcedIds", "classType", "periods"],
            ["bio", "Biology A", "s1", "c1", "t1, t2", "HomeRoom", "1,2"],
        ],
        "enrollments": [
            ["sourcedId", "classSourcedId", "userSourcedId", "role", "primary", "beginDate", "endDate"],
            ["e1", "bio", "tia", "teacher", "TRUE", "2026-08-01", "2026-12-24"],
            ["e2", "bio", "tia", "teacher", "maybe", "", ""],
            ["e3", "bio", "tia", "teacher", "", "01/08/2026", ""],
            ["e4", "bio", "tia", "ext:mentor", "", "", ""],
        ],
    }
    source = write(tmp_path, files)

    [school], _ = await read(source, "org")
    assert (school.name, school.kind, school.identifier, school.parent) == ("Cedar", "school", "1001", "d")
    [term, period, year], term_errors = await read(source, "academicSession")
    assert (term.begins_on, term.ends_on, term.school_year) == (date(2026, 8, 1), date(2027, 1, 1), 2027)
    assert [(one.kind, one.school_year) for one in (period, year)] == [("gradingPeriod", None), ("schoolYear", 2027)]
    assert [error.field for error in term_errors] == ["startDate"]
    [course], _ = await read(source, "course")
    assert (course.code, course.org) == ("BIO", "s1")
    [class_], _ = await read(source, "class")
    assert (class_.terms, class_.kind, class_.periods, class_.school) == (("t1", "t2"), "homeroom", ("1", "2"), "s1")
    [first, mentor], errors = await read(source, "enrollment")
    assert (first.role, first.primary, first.ends_on) == ("teacher", True, date(2026, 12, 24))
    assert mentor.role == "ext:mentor"
    assert [(error.where, error.field) for error in errors] == [
        ("enrollments.csv:3", "primary"),
        ("enrollments.csv:4", "beginDate"),
    ]
    assert all("01/08/2026" not in error.reason and "maybe" not in error.reason for error in errors)


@pytest.mark.parametrize(
    ("file", "noun"),
    [
        ("orgs", "org"),
        ("academicSessions", "academicSession"),
        ("courses", "course"),
        ("classes", "class"),
        ("users", "user"),
        ("enrollments", "enrollment"),
    ],
)
async def test_a_row_to_be_deleted_needs_no_more_than_its_id(tmp_path: Path, file: str, noun: Noun) -> None:
    header = {
        "orgs": ["name", "type"],
        "academicSessions": ["title", "type", "startDate", "endDate"],
        "courses": ["title"],
        "classes": ["title", "schoolSourcedId"],
        "users": ["givenName", "familyName"],
        "enrollments": ["classSourcedId", "userSourcedId", "role"],
    }[file]
    rows = [["sourcedId", "status", *header], ["x", "tobedeleted", *[""] * len(header)]]
    rows += [["y", "inactive", *[""] * len(header)], ["z", "perhaps", *[""] * len(header)]]

    found, errors = await read(write(tmp_path, {file: rows}, **{file: "delta"}), noun)

    assert [(record.sourced_id, record.status) for record in found] == [("x", "tobedeleted"), ("y", "tobedeleted")]
    assert [(error.sourced_id, error.field) for error in errors] == [("z", "status")]


async def test_a_delta_says_so_on_every_page_even_when_it_is_empty(tmp_path: Path) -> None:
    source = write(tmp_path, {"orgs": [*SMALL["orgs"][:1]]}, orgs="delta")

    assert [page.delta for page in await pages(source, "org")] == [True]
    assert [page.delta for page in await pages(source, "course")] == [True]  # not there at all: nothing is gone


async def test_changes_of_roles_alone_reach_people_whom_users_csv_does_not_name(tmp_path: Path) -> None:
    files = {
        **SMALL,
        "users": [SMALL["users"][0], SMALL["users"][2]],
        "roles": [
            SMALL["roles"][0],
            ["r1", "tobedeleted", "ana", "primary", "student", "s1", "", ""],
            ["r3", "active", "ana", "primary", "student", "s2", "", ""],
        ],
        "demographics": [["sourcedId", "status", "birthDate"], ["ana", "active", "2012-01-31"]],
    }

    [gus, ana], errors = await read(write(tmp_path, files, users="delta", roles="delta", demographics="delta"), "user")

    assert errors == []
    assert (ana.only, ana.roles_complete) == (("roles", "birth_date"), False)
    assert [(one.org, one.status) for one in ana.roles] == [("s1", "tobedeleted"), ("s2", "active")]
    assert gus.only is not None
    assert not {"roles", "birth_date"} & set(gus.only)


async def test_side_rows_about_nobody_and_bad_side_rows_hide_nobody(tmp_path: Path) -> None:
    files = {
        **SMALL,
        "roles": [
            *SMALL["roles"],
            ["r4", "", "nobody", "primary", "student", "s1", "", ""],
            ["r5", "", "ana", "primary", "teacher", "s1", "soon", ""],
            ["r6", "", "", "primary", "teacher", "s1", "", ""],
            ["r7"],
        ],
        "demographics": [["sourcedId", "birthDate"], ["ana", "yesterday"], ["nobody2", "2012-01-01"], ["x"]],
    }

    [ana, gus], errors = await read(write(tmp_path, files), "user")

    assert {error.where for error in errors} == {
        *(f"roles.csv:{line}" for line in (4, 5, 6, 7)),
        *(f"demographics.csv:{line}" for line in (2, 3, 4)),
    }
    assert all(error.part for error in errors)
    assert not ana.roles_complete  # one of her roles could not be read: none of the known ones ends
    assert not gus.roles_complete  # and one line could have been his
    assert "birth_date" not in (ana.only or ())


async def test_a_list_of_all_roles_that_holds_none_says_nothing_of_roles_and_guardians(tmp_path: Path) -> None:
    people, [error] = await read(write(tmp_path, {**SMALL, "roles": SMALL["roles"][:1]}), "user")

    assert (error.where, error.part) == ("roles.csv", True)
    for one in people:
        assert not one.roles_complete
        assert not {"roles", "agents"} & set(one.only)
        assert "grades" in one.only


async def test_people_of_files_larger_than_memory_are_read_in_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 300
    header = ["sourcedId", "status", "userSourcedId", "role", "orgSourcedId"]
    files = {
        "users": [["sourcedId", "givenName", "familyName"], *[[f"u{n}", "A", "B"] for n in range(count)]],
        "roles": [header, *[[f"r{n}", "", f"u{n}", "student", f"s{n}"] for n in reversed(range(count))]],
    }
    source = write(tmp_path, files)
    monkeypatch.setattr(users, "SHARE", 1000)
    monkeypatch.setattr(connector_module, "PAGE", 7)

    found = await pages(source, "user")

    people = [record for page in found for record in page.records]
    assert users.People(Bundle.open(source, max_bytes=10**6), 0).rounds > 5
    assert sorted(person.sourced_id for person in people) == sorted(f"u{n}" for n in range(count))
    assert all(isinstance(one, User) and one.roles[0].org == f"s{one.sourced_id[1:]}" for one in people)
    for position in (0, 3, len(found) - 1):
        rest = await pages(source, "user", found[position].cursor)
        assert [page.cursor for page in rest] == [page.cursor for page in found[position + 1 :]]


async def test_reading_on_in_a_bundle_that_has_changed_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, SMALL)
    [page] = await pages(source, "org")
    write(tmp_path, {**SMALL, "orgs": [*SMALL["orgs"], ["s2", "", "", "Maple", "school"]]})

    with pytest.raises(SourceError, match="has changed since"):
        await pages(source, "org", page.cursor)
    with pytest.raises(SourceError, match="place to read on"):
        await pages(source, "org", "not-a-cursor")


async def test_a_bundle_that_is_still_being_written_while_it_is_read_is_never_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nightly export is half copied: whoever is not in the file yet would be taken for gone."""
    monkeypatch.setattr(connector_module, "PAGE", 1)
    reading = Connector(write(tmp_path, SMALL)).pull(Pull(noun="user"))
    await anext(reading)
    write(tmp_path, {**SMALL, "users": [*SMALL["users"], ["ben", "", "", "Ben", "Ruiz", "", "", ""]]})
    with pytest.raises(SourceError, match="changed while it was read"):
        _ = [page async for page in reading]


async def test_ending_in_the_middle_of_a_long_round_keeps_the_loop_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, told = threading.Event(), threading.Event(), []

    def slowly(*_: Any) -> Any:
        begun.set()
        told.append(go_on.wait(5))
        yield from ()

    monkeypatch.setattr(connector_module, "_records", slowly)
    source = write(tmp_path, SMALL)
    reading = asyncio.create_task(pages(source, "org"))
    await asyncio.to_thread(begun.wait)
    reading.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    go_on.set()  # too late where the loop waits for the round
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert told == [True]


async def test_a_wrong_header_is_one_error_that_names_every_file_and_column(tmp_path: Path) -> None:
    files = {**SMALL, "orgs": [["id", "name"]], "users": [["sourcedId", "familyName"]]}

    with pytest.raises(SourceError) as caught:
        await read(write(tmp_path, files), "enrollment")

    assert str(caught.value) == (
        "orgs.csv has a wrong header: sourcedId, type missing in its first line; "
        "users.csv has a wrong header: givenName missing in its first line"
    )
    [finding] = await Connector(tmp_path).check()
    assert "wrong header" in finding.problem


async def test_columns_may_stand_in_any_order_and_spelling_with_others_between(tmp_path: Path) -> None:
    files = {"orgs": [["TYPE", "metadata.x", "Name", " SourcedID "], ["school", "!", "Cedar", "s1"]]}

    [school], _ = await read(write(tmp_path, files), "org")

    assert (school.sourced_id, school.name, school.kind) == ("s1", "Cedar", "school")


async def test_a_class_has_its_term_also_where_the_column_is_named_for_one(tmp_path: Path) -> None:
    files = {"classes": [["sourcedId", "title", "schoolSourcedId", "termSourcedId"], ["bio", "Biology", "s1", "t1"]]}

    [class_], _ = await read(write(tmp_path, files, "1.1"), "class")

    assert class_.terms == ("t1",)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ([["oneroster.version", "2.0"]], "versions 1.1 and 1.2 can be read"),
        ([["oneroster.version", "1.2"], ["file.orgs", "some"]], "must be bulk, delta or absent"),
        ([["oneroster.version", "1.2"], ["file.orgs", "bulk"]], "orgs.csv is missing, although manifest.csv says"),
        ([], "oneroster.version is ''"),
    ],
)
async def test_a_manifest_that_makes_no_sense_is_explained(
    tmp_path: Path, manifest: list[list[str]], message: str
) -> None:
    with (tmp_path / "manifest.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([["propertyName", "value"], *manifest])

    with pytest.raises(SourceError, match=message):
        await read(tmp_path, "org")


async def test_no_source_a_missing_one_and_one_without_a_manifest_are_told_apart(tmp_path: Path) -> None:
    assert "no source is set" in (await Connector(None).check())[0].problem
    assert "no folder or file" in (await Connector(tmp_path / "none").check())[0].problem
    assert "no manifest.csv" in (await Connector(tmp_path).check())[0].problem
    assert await Connector(None).with_source(write(tmp_path, SMALL)).check() == []
    (tmp_path / "manifest.csv").write_bytes(b"\xff\xfe\x00")
    assert "damaged" in (await Connector(tmp_path).check())[0].problem


async def test_a_bundle_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="larger than the 100 bytes"):
        await read(write(tmp_path, SMALL), "org", max_bytes=100)


async def test_files_that_the_manifest_calls_absent_are_left_alone(tmp_path: Path) -> None:
    found, _ = await read(write(tmp_path, SMALL, orgs="absent"), "org")

    assert found == []


async def test_a_file_of_which_the_manifest_says_nothing_is_left_alone(tmp_path: Path) -> None:
    found, _ = await read(write(tmp_path, SMALL, orgs=""), "org")

    assert found == []


def zip_of(path: Path, source: Path, folder: str = "", method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(source.iterdir()):
            archive.write(file, f"{folder}{file.name}")
    return path


@pytest.mark.parametrize("folder", ["", "export/", "export\\"])
async def test_a_zip_is_read_like_its_folder_also_one_level_down(tmp_path: Path, folder: str) -> None:
    source = write(tmp_path / "b", SMALL)

    found, _ = await read(zip_of(tmp_path / "b.zip", source, folder), "user")

    assert found == (await read(source, "user"))[0]


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
async def test_a_torn_zip_is_told_in_plain_words(tmp_path: Path, kept: float) -> None:
    whole = zip_of(tmp_path / "b.zip", write(tmp_path / "b", SMALL)).read_bytes()
    (tmp_path / "torn.zip").write_bytes(whole[: int(len(whole) * kept)])

    with pytest.raises(SourceError, match="damaged or was cut off"):
        await read(tmp_path / "torn.zip", "user")


@given(st.data())
async def test_a_zip_with_a_flipped_byte_gives_the_right_rows_or_a_plain_error(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        whole = bytearray(zip_of(path / "b.zip", write(path / "b", SMALL)).read_bytes())
        position = data.draw(st.integers(0, len(whole) - 1))
        whole[position] ^= data.draw(st.integers(1, 255))
        (path / "b.zip").write_bytes(whole)
        found: list[Any] = []
        with contextlib.suppress(SourceError):
            found, _ = await read(path / "b.zip", "user")
        assert [one.sourced_id for one in found] in (["ana", "gus"], [])


@pytest.mark.parametrize("name", ["../manifest.csv", "/manifest.csv", "a/../../manifest.csv", "C:\\manifest.csv"])
async def test_a_zip_that_points_outside_itself_is_not_opened(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr(name, "propertyName,value\n")

    with pytest.raises(SourceError, match="outside the archive"):
        await read(tmp_path / "b.zip", "org")


async def test_a_zip_with_a_link_a_password_or_two_bundles_is_not_opened(tmp_path: Path) -> None:
    source = write(tmp_path / "b", SMALL)
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        info = zipfile.ZipInfo("manifest.csv")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceError, match="holds a link"):
        await read(tmp_path / "link.zip", "org")

    whole = bytearray(zip_of(tmp_path / "b.zip", source).read_bytes())
    start = 0
    while (start := whole.find(b"PK\x01\x02", start)) >= 0:
        whole[start + 8] |= 1
        start += 4
    (tmp_path / "locked.zip").write_bytes(whole)
    with pytest.raises(SourceError, match="encrypted"):
        await read(tmp_path / "locked.zip", "org")

    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.write(source / "manifest.csv", "a/manifest.csv")
        archive.write(source / "manifest.csv", "b/manifest.csv")
    with pytest.raises(SourceError, match="more than one bundle"):
        await read(tmp_path / "two.zip", "org")


async def test_a_decompression_bomb_is_not_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.csv", "propertyName,value\n")
        with archive.open("users.csv", "w") as bomb:
            for _ in range(65):
                bomb.write(b"\0" * 1024 * 1024)

    with pytest.raises(SourceError, match="far more than its size allows"):
        await read(tmp_path / "b.zip", "user")


def test_bad_rows_are_told_by_line_while_the_rest_is_read() -> None:
    rows = rows_of(
        b"\xef\xbb\xbfsourcedId,name\r\n"
        b"a,Ana\r\n"
        b"b,B\xff\r\n"  # not UTF-8, but the id can be made out
        b"\xff,C\r\n"
        b"c\r\n"
        b"d,D,D\r\n"
        b"\r\n"
        b'e,"E\r\nstill e"\r\n'
        b'f,"F"x\r\n'
        b"g,G\x00\r\n"
        b'h,H\r\n"open'
    )

    assert told(rows) == [
        ("users.csv:2", "a"),
        ("users.csv:3", "b"),
        ("users.csv:4", None),
        ("users.csv:5", "c"),
        ("users.csv:6", "d"),
        ("users.csv:8", "e"),
        ("users.csv:10", None),
        ("users.csv:11", None),
        ("users.csv:12", "h"),
        ("users.csv:13", None),
    ]
    assert set(reasons(rows)) == {
        "it is not valid UTF-8",
        "it has 1 fields where the header has 2",
        "it has 3 fields where the header has 2",
        "it holds a NUL character",
        "its quotation marks or fields cannot be made out",
    }


def test_commas_that_a_spreadsheet_has_added_cost_no_row() -> None:
    rows = rows_of(b"sourcedId,name,,\r\na,Ana,,\r\nb,Ben\r\nc,Cem,,,,\r\n,,,\r\n , ,\r\n")

    assert told(rows) == [("users.csv:2", "a"), ("users.csv:3", "b"), ("users.csv:4", "c")]
    assert reasons(rows) == []


def test_of_two_columns_of_one_name_the_first_counts() -> None:
    [row] = rows_of(b"sourcedId,name,metadata.x,METADATA.X,Name\na,Ana,1,2,other\n")

    assert isinstance(row, Row)
    assert (row.text("name"), row.text("metadata.x")) == ("Ana", "1")


def test_a_bad_last_line_is_told_too() -> None:
    assert told(rows_of(b"sourcedId,name\na,A\nb,\xff\n")) == [("users.csv:2", "a"), ("users.csv:3", "b")]


def test_a_line_without_end_does_not_fill_memory() -> None:
    rows = rows_of(b"sourcedId,name\na,A\n" + b"x" * 3_000_000 + b"\nb,B\n")

    assert told(rows) == [("users.csv:2", "a"), ("users.csv:3", None), ("users.csv:4", "b")]
    assert reasons(rows) == ["the line is longer than a megabyte"]
    assert [row.where for row in rows_of(b"sourcedId\n" + b"x" * 3_000_000)] == ["users.csv:2"]


def test_a_field_without_end_is_one_bad_row() -> None:
    rows = rows_of(b'sourcedId,name\na,"' + b"x\n" * 100_000 + b"b,B\n")

    assert reasons(rows)[0] == "its quotation marks or fields cannot be made out"


def test_utf_16_is_named() -> None:
    with pytest.raises(SourceError, match="UTF-16"):
        rows_of("sourcedId\n".encode("utf-16"))


def test_an_unreadable_header_and_an_empty_file_have_no_columns() -> None:
    with pytest.raises(SourceError, match="damaged"):
        rows_of(b'"a"b\n')
    assert Table(io.BytesIO(b""), "x.csv").columns == {}


@given(st.lists(st.lists(st.text(max_size=8), min_size=3, max_size=3), max_size=8))
def test_whatever_csv_a_program_writes_is_read_back_as_it_was(rows: list[list[str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["sourcedId", "b", "c"], *rows])

    read_back = rows_of(buffer.getvalue().encode("utf-8", "surrogatepass"))

    good = [row for row in rows if not any("\ud800" <= c <= "\udfff" or c == "\0" for c in "".join(row))]
    found = [[row.text(c) for c in ("sourcedId", "b", "c")] for row in read_back if isinstance(row, Row)]
    if len(good) == len(rows):
        stripped = [[value.strip() or None for value in row] for row in rows]
        assert found == [row for row in stripped if any(row)]


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise_anything_but_a_plain_error(noise: bytes) -> None:
    try:
        rows_of(b"sourcedId,name\n" + noise)
    except SourceError:
        raise AssertionError("only a broken file is one") from None


@given(st.text(max_size=12))
def test_no_value_makes_a_field_raise_anything_but_a_plain_refusal(value: str) -> None:
    row = Row({"a": 0}, [value], "users.csv:2")
    for ask in (
        lambda: row.day("a", later=1),
        lambda: row.flag("a", default=True),
        row.status,
    ):
        with contextlib.suppress(BadField):
            ask()


async def test_attendance_cannot_be_written_and_says_so() -> None:
    from datetime import UTC, datetime

    mark = OutgoingMark(
        key="k",
        student="s",
        class_="c",
        school="o",
        school_day=NOW,
        status="absent",
        recorded_at=datetime(2026, 9, 1, tzinfo=UTC),
    )

    [answer] = await Connector(None).push([mark])

    assert (answer.key, answer.error) == ("k", "OneRoster CSV takes no attendance")


@pytest.mark.parametrize(("source", "ok"), [(None, True), (".", True), ("/no/such/place", False)])
async def test_the_plugin_gives_its_connector_and_says_whether_its_source_is_there(
    source: str | None, ok: Literal[True, False]
) -> None:
    settings = OneRoster.Settings(source=None if source is None else Path(source), end_dates="inclusive")
    plugin = OneRoster(settings, services())

    assert plugin.health().ok is ok
    connector = plugin.sis_connector()
    assert connector.attendance_out == "none"
    assert list(connector.nouns) == ["org", "academicSession", "course", "class", "user", "enrollment"]
