"""One CSV file, row by row: bounded in memory whatever it holds, and each bad row told by its line."""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from homeroom import SourceError
from homeroom_oneroster.facts import Facts

_LONGEST = 1024 * 1024  # bytes of one line


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no row: `sourced_id` where it can still be made out."""

    where: str
    reason: str
    sourced_id: str | None = None


class Row(Facts):
    """One row, its values by column name. `where` is the file and line."""

    __slots__ = ("_columns", "_values")

    def __init__(self, columns: dict[str, int], values: list[str], where: str) -> None:
        self._columns = columns
        self._values = values
        self.where = where

    def text(self, column: str) -> str | None:
        """The value without surrounding blanks; None when it is empty or there is no such column."""
        position = self._columns.get(column.casefold())
        return None if position is None else self._values[position].strip() or None

    def listed(self, column: str) -> tuple[str, ...]:
        """The parts of a value that is a list with commas."""
        value = self.text(column)
        return tuple(part for part in (one.strip() for one in value.split(",")) if part) if value else ()


class Table:
    """A CSV file that is being read; `columns` holds each column's place by its folded name, the first of two alike.

    Spreadsheets put commas behind the last column, and lines of commas below the last row: neither means anything.
    """

    def __init__(self, raw: IO[bytes], name: str) -> None:
        self.name = name
        self._lines = _Lines(raw, name)
        self._reader = csv.reader(self._lines, strict=True)
        header = self._header()
        self._width = len(header)
        self.columns = {name: position for position, name in reversed(list(enumerate(header))) if name}
        self._needed = 1 + max(self.columns.values(), default=-1)

    def _header(self) -> list[str]:
        try:
            return [column.strip().casefold() for column in next(self._reader, [])]
        except csv.Error as exc:
            raise unreadable(self.name, exc) from None

    def __iter__(self) -> Iterator[Row | BadRow]:
        """Every row, good or bad, in the order of the file."""
        while True:
            first = self._lines.number + 1
            try:
                values = next(self._reader)
            except StopIteration:
                yield from self._lines.taken()
                return
            except csv.Error:
                yield from self._lines.taken()
                yield BadRow(f"{self.name}:{first}", "its quotation marks or fields cannot be made out")
                continue
            if self._lines.bad:
                yield from self._lines.taken()
                first = self._lines.number
            if not any(map(str.strip, values)):
                continue
            where = f"{self.name}:{first}"
            if len(values) < self._needed or any(map(str.strip, values[self._width :])):
                reason = f"it has {len(values)} fields where the header has {self._width}"
                yield BadRow(where, reason, values[0].strip() if self._begins_with_id else None)
            elif "\x00" in "".join(values):
                yield BadRow(where, "it holds a NUL character", None)
            else:
                yield Row(self.columns, values, where)

    @property
    def _begins_with_id(self) -> bool:
        return self.columns.get("sourcedid") == 0


class _Lines:
    """The lines of a file as text. Those that are too long or not UTF-8 are set aside, to be told as bad rows."""

    def __init__(self, raw: IO[bytes], name: str) -> None:
        self._raw = raw
        self._name = name
        self.number = 0
        self.bad: list[BadRow] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        while True:
            line = self._read()
            self.number += 1
            if self.number == 1:
                line = self._without_mark(line)
            if not line.endswith(b"\n") and len(line) >= _LONGEST:
                while not line.endswith(b"\n") and line:
                    line = self._read_on()
                self._set_aside("the line is longer than a megabyte")
                continue
            try:
                return line.decode()
            except UnicodeDecodeError:
                self._set_aside("it is not valid UTF-8", _first_field(line))

    def taken(self) -> list[BadRow]:
        """The bad rows since they were last asked for."""
        bad, self.bad = self.bad, []
        return bad

    def _set_aside(self, reason: str, sourced_id: str | None = None) -> None:
        self.bad.append(BadRow(f"{self._name}:{self.number}", reason, sourced_id))

    def _read(self) -> bytes:
        line = self._read_on()
        if not line:
            raise StopIteration
        return line

    def _read_on(self) -> bytes:
        try:
            return self._raw.readline(_LONGEST)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as exc:
            raise unreadable(self._name, exc) from None

    def _without_mark(self, line: bytes) -> bytes:
        if line.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise SourceError(f"{self._name} is UTF-16; save it as UTF-8")
        return line.removeprefix(b"\xef\xbb\xbf")


def unreadable(name: str, exc: BaseException) -> SourceError:
    """The error for a file that cannot be read, in plain words."""
    if isinstance(exc, OSError) and exc.strerror:
        return SourceError(f"{name} cannot be read: {exc.strerror}")
    return SourceError(f"{name} is damaged or was cut off; send it again")


def _first_field(line: bytes) -> str | None:
    """The id at the beginning of a line that is not wholly readable, if it is readable itself."""
    try:
        return line.split(b",", 1)[0].decode("ascii").strip().strip('"') or None
    except UnicodeDecodeError:
        return None
