"""Spreadsheets' files: what is read as what, what is refused, and that no cell becomes a formula."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom_web.office.sheets import MOST_BYTES, MOST_ROWS, Unreadable, neutral, original, read, written

ROWS = "Número;Estado;Nota\r\n007;tarde;Señor Muñoz dice «sí»\r\n"


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("cp1252", "Windows-1252"),
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_file_is_read_in_every_encoding_and_with_every_separator(encoding: str, name: str, separator: str) -> None:
    sheet = read(ROWS.replace(";", separator).encode(encoding))
    assert (sheet.encoding, sheet.separator) == (name, separator)
    [line] = sheet.lines
    assert line.number == 2
    assert line.cells == {"number": "007", "status": "tarde", "note": "Señor Muñoz dice «sí»"}


def test_lines_are_numbered_as_an_editor_numbers_them() -> None:
    text = 'sep=;\nnumber;status;note\n\n1;P;"two\nlines"\n;;\n2;A;x\n'
    assert [(line.number, line.cells["number"]) for line in read(text.encode()).lines] == [(4, "1"), (7, "2")]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b" \r\n ", "empty"),
        (b"number,name\n1,x\n", "no column for the mark"),
        (b"status,name\nP,x\n", "no column for the student"),
        (b"number,identifier,status\n1,1,P\n", "mean the same"),
        (b'number,status\n1,"P\n', "Line {line} cannot be read"),
        (b"number,status\n1," + b"P" * 5000 + b"\n", "too long"),
        (b"number,status\n" + b"1,P\n" * (MOST_ROWS + 1), "more than {most} lines"),
        (b"number,status\n" + b"x" * MOST_BYTES, "larger than"),
        (b"number,status\n1,\x81\n", "letters cannot be read"),
        (b"number,status\n1,P\x00" + b"y" * 600, "no text has"),
        (b"\xff\xfen\x00u", "letters cannot be read"),
        (b"\xff\xfen\x00u\x00", "no column"),
    ],
)
def test_what_is_no_sheet_is_refused_in_plain_words(data: bytes, why: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read(data)
    assert why in refused.value.text


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1", "x;=1", "x\n=1", "'=1"])
def test_no_cell_becomes_a_formula(cell: str) -> None:
    safe = neutral(cell)
    starts = [safe, *(part for sign in ";\t\r\n" for part in safe.split(sign)[1:])]
    assert not any(part.startswith(tuple("=+-@\t\r\uff1d")) for part in starts if part)
    assert original(safe) == cell


@given(st.text(alphabet="=+-@'\t\r\n;, ax\u200f\u05d0"))
def test_what_is_made_harmless_comes_back_as_it_was(cell: str) -> None:
    assert original(neutral(cell)) == cell


def test_marks_of_direction_stay_and_excel_is_told_the_encoding() -> None:
    data = written(["name"], [["\u200f\u05d3\u05e0\u05d4\u200f"], [None], ['a "b", c']])
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert rows == [["name"], ["\u200f\u05d3\u05e0\u05d4\u200f"], [""], ['a "b", c']]
