"""A district's own codes."""

from __future__ import annotations

import pytest

from homeroom.attendance.codes import DEFAULTS, Code, code_at, codes_at, default_code, edfi_category, save_codes
from homeroom.attendance.records import STATUSES
from homeroom.store import Refused, Store
from tests.services.classroom import journal

ZOO = Code(code="Z", title="Zoo", status="present", edfi_category="In Attendance")


def save(store: Store, *codes: Code, school: str = "") -> list[Code]:
    return store.write_now(lambda tx: save_codes(tx, codes, school))


def names(store: Store, school: str = "", *, retired: bool = False) -> set[str]:
    return {code.code for code in store.read_now(lambda c: codes_at(c, school, retired=retired))}


def test_a_district_begins_with_a_code_for_every_status_and_every_ed_fi_category(sqlite_store: Store) -> None:
    codes = sqlite_store.read_now(codes_at)
    assert {code.status for code in codes} == set(STATUSES)
    assert {code.edfi_category for code in codes} == {
        "In Attendance",
        "Excused Absence",
        "Unexcused Absence",
        "Tardy",
        "Early departure",
        "Partial",
    }


def test_a_schools_code_replaces_the_districts_which_replaces_the_default(store: Store) -> None:
    save(store, Code(code="FT", title="Outing", status="excused", edfi_category="Excused Absence"))
    save(
        store, Code(org_id="north", code="FT", title="Trip", status="present", edfi_category="Partial"), school="north"
    )
    found = {
        school: store.read_now(lambda c, s=school: code_at(c, s, "FT"))  # type: ignore[misc]
        for school in ("", "south", "north")
    }
    assert {school: code.title for school, code in found.items() if code} == {
        "": "Outing",
        "south": "Outing",
        "north": "Trip",
    }


def test_a_code_of_one_school_is_unknown_to_another(store: Store) -> None:
    save(store, ZOO, school="north")
    assert "Z" in names(store, "north")
    assert "Z" not in names(store, "south")
    assert "Z" not in names(store)


def test_saving_again_replaces_and_each_time_enters_the_journal(store: Store) -> None:
    save(store, ZOO)
    saved = save(
        store, Code(code="Z", title="Zoo day", status="excused", edfi_category="Excused Absence", needs_document=True)
    )
    [zoo] = [code for code in saved if code.code == "Z"]
    assert (zoo.title, zoo.status, zoo.needs_document) == ("Zoo day", "excused", True)
    assert [row.data["status"] for row in journal(store, "attendance_code.saved")] == ["present", "excused"]


def test_a_retired_code_is_kept_for_reading_only(store: Store) -> None:
    med = next(code for code in DEFAULTS if code.code == "MED")
    save(store, Code(code="MED", title=med.title, status=med.status, edfi_category=med.edfi_category, retired=True))
    assert "MED" not in names(store)
    assert "MED" in names(store, retired=True)


def test_no_status_may_be_left_without_a_code(store: Store) -> None:
    with pytest.raises(Refused) as refused:
        save(store, Code(code="T", title="Tardy", status="tardy", edfi_category="Tardy", retired=True))
    assert (refused.value.status, refused.value.problem) == (422, "status-without-code")
    assert "T" in names(store)


def test_the_first_code_of_a_status_is_the_usual_one(store: Store) -> None:
    assert store.read_now(lambda c: default_code(c, "", "excused")).code == "E"
    late = Code(code="L", title="Late", status="tardy", edfi_category="Tardy")
    save(store, late, Code(code="T", title="Tardy", status="tardy", edfi_category="Tardy", retired=True))
    assert store.read_now(lambda c: default_code(c, "", "tardy")).code == "L"


def test_a_record_maps_to_its_codes_category_else_to_that_of_its_status() -> None:
    assert edfi_category(DEFAULTS, "present", "LE") == "Early departure"
    assert edfi_category(DEFAULTS, "absent", None) == "Unexcused Absence"
    assert edfi_category([], "tardy", "gone") == "Tardy"
