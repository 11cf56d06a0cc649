"""CSV as spreadsheets write and read it: encodings and separators told apart, and no cell that becomes a formula.

Files are written in UTF-8 with a byte order mark: without one, Excel takes them for Windows-1252 and garbles names.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from homeroom_web.words import to_say

MOST_BYTES = 512 * 1024
MOST_ROWS = 5000
_CELL = 4000
_SEPARATORS = (",", ";", "\t")
_SIGNS = "=+\\-@\t\r\uff1d\uff0b\uff0d\uff20"
# Also after a separator of another country's spreadsheets, which would begin a cell there.
_FORMULA = re.compile(rf"(^|[;\t\r\n])(?='*[{_SIGNS}])")
_NEUTRAL = re.compile(rf"(^|[;\t\r\n])'(?='*[{_SIGNS}])")
_UNSEEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_NAMES: Mapping[str, Sequence[str]] = {
    "student_id": ("student_id", "student id", "id"),
    "number": ("number", "student number", "identifier", "número", "numero"),
    "class": ("class", "class_title", "clase"),
    "class_id": ("class_id", "class id"),
    "period": ("period", "período", "periodo"),
    "day": ("day", "date", "school_day", "día", "dia", "fecha"),
    "status": ("status", "mark", "estado"),
    "code": ("code", "código", "codigo"),
    "minutes_late": ("minutes_late", "minutes late", "minutos"),
    "note": ("note", "nota"),
}
_COLUMNS = {name: column for column, names in _NAMES.items() for name in names}


class Unreadable(Exception):
    """A file that is no sheet of ours; the text is one of the pages' own, to be said with `values`."""

    def __init__(self, text: str, **values: object) -> None:
        super().__init__(text)
        self.text = text
        self.values = values


@dataclass(frozen=True, slots=True)
class Line:
    """One line's cells by our names for the columns; `number` is where the line begins in the file, from 1."""

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file holds, and as what it was read."""

    columns: Sequence[str]
    lines: Sequence[Line]
    encoding: str
    separator: str


def written(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A file for spreadsheets. Marks of writing direction stay; a cell that would be a formula begins with `'`."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([neutral("" if cell is None else str(cell)) for cell in row] for row in rows)
    return codecs.BOM_UTF8 + text.getvalue().encode("utf-8", "replace")


def neutral(cell: str) -> str:
    """The cell as text that no spreadsheet takes for a formula."""
    return _FORMULA.sub(r"\1'", cell)


def original(cell: str) -> str:
    """What `neutral` was given."""
    return _NEUTRAL.sub(r"\1", cell)


def key(text: str) -> str:
    """A cell for comparing: without case, blanks around it and the unseen marks that spreadsheets add."""
    return " ".join(_UNSEEN.sub("", text).casefold().split())


def read(data: bytes) -> Sheet:
    """The sheet in a file. Raises Unreadable."""
    if not data.strip():
        raise Unreadable(to_say("The file is empty."))
    if len(data) > MOST_BYTES:
        raise Unreadable(to_say("The file is larger than {most} KB."), most=MOST_BYTES // 1024)
    text, encoding = _decoded(data)
    if "\x00" in text:
        raise Unreadable(to_say("This is no CSV file: it holds characters that no text has."))
    text, separator = _separator(text)
    lines = _lines(text, separator)
    first = next(lines, None)
    if first is None:
        raise Unreadable(to_say("The file is empty."))
    columns = [_COLUMNS.get(key(cell), "") for cell in first[1]]
    _check(columns)
    found: list[Line] = []
    for number, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if len(found) == MOST_ROWS:
            raise Unreadable(to_say("The file has more than {most} lines."), most=MOST_ROWS)
        pairs = zip(columns, cells, strict=False)
        found.append(Line(number, {name: original(cell).strip() for name, cell in pairs if name}))
    return Sheet(columns, found, encoding, separator)


def _check(columns: Sequence[str]) -> None:
    """Raise Unreadable for a first line that does not name what is needed."""
    named = [column for column in columns if column]
    if len(named) != len(set(named)):
        raise Unreadable(to_say("Two columns of the first line mean the same."))
    if "status" not in named and "code" not in named:
        raise Unreadable(to_say("The first line names no column for the mark: call it status, or code."))
    if "student_id" not in named and "number" not in named:
        raise Unreadable(to_say("The first line names no column for the student: call it number, or student_id."))


def _decoded(data: bytes) -> tuple[str, str]:
    """The text, and the encoding by its mark, else by what the bytes can be."""
    if data.startswith(codecs.BOM_UTF8):
        return _as(data, "utf-8-sig", "UTF-8")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _as(data, "utf-16", "UTF-16")
    start = data[:512]
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(start) >= 2 and start[offset::2].count(0) > len(start) // 3:  # noqa: PLR2004 - every other byte is 0
            return _as(data, encoding, "UTF-16")
    try:
        return data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        return _as(data, "cp1252", "Windows-1252")


def _as(data: bytes, encoding: str, name: str) -> tuple[str, str]:
    try:
        return data.decode(encoding), name
    except UnicodeDecodeError:
        raise Unreadable(to_say("The file's letters cannot be read. Save it as CSV in UTF-8.")) from None


def _separator(text: str) -> tuple[str, str]:
    """The text without Excel's own line `sep=`, and what stands between the cells of the first line."""
    first, _, rest = text.partition("\n")
    told = first.strip('\r\n "')
    if told.casefold().startswith("sep=") and len(told) == len("sep=") + 1:
        return "\n" + rest, told[-1]  # the empty line keeps the numbers of the others
    bare = re.sub(r'"[^"]*"', "", first)
    return text, max(_SEPARATORS, key=bare.count)


def _lines(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Every line that holds something, with where it begins. Raises Unreadable."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    begins = 1
    try:
        for cells in reader:
            if any(len(cell) > _CELL for cell in cells):
                raise Unreadable(to_say("Line {line} holds a cell that is too long."), line=begins)
            if cells:
                yield begins, cells
            begins = reader.line_num + 1
    except csv.Error:
        raise Unreadable(to_say("Line {line} cannot be read: its quotation marks do not match."), line=begins) from None
