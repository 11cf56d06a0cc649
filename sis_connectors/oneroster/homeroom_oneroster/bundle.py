"""A bundle: a folder or zip file with a manifest and CSV files, opened so that nothing in it can do harm."""

from __future__ import annotations

import csv
import hashlib
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Literal, cast

from homeroom import SourceError
from homeroom_oneroster.table import Table, unreadable

Mode = Literal["bulk", "delta", "absent"]

FILES = ("orgs", "academicSessions", "courses", "classes", "users", "roles", "demographics", "enrollments")
"""The files that are read, by the name that the manifest gives them; every other one is left alone."""

_COLUMNS = {
    "orgs": ("sourcedId", "name", "type"),
    "academicSessions": ("sourcedId", "title", "type", "startDate", "endDate"),
    "courses": ("sourcedId", "title"),
    "classes": ("sourcedId", "title", "schoolSourcedId"),
    "users": ("sourcedId", "givenName", "familyName"),
    "roles": ("userSourcedId", "role", "orgSourcedId"),
    "demographics": ("sourcedId", "birthDate"),
    "enrollments": ("sourcedId", "classSourcedId", "userSourcedId", "role"),
}
_RATIO = 200  # a CSV file shrinks to a tenth or a thirtieth; a bomb to a thousandth
_MANIFEST = 1024**2  # bytes of manifest.csv that are looked at
_SMALL = 64 * 1024**2  # below this, not even a bomb does harm


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One bundle whose manifest and headers were found good. `fingerprint` changes when any of its files does."""

    source: Path
    version: Literal["1.1", "1.2"]
    modes: dict[str, Mode]
    sizes: dict[str, int]
    fingerprint: str
    members: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, source: Path, *, max_bytes: int) -> Bundle:
        """The bundle at `source`. Raises SourceError with everything that keeps it from being read."""
        files = _files_of(source, max_bytes)
        if "manifest" not in files:
            raise SourceError(f"{source.name} has no manifest.csv; a OneRoster bundle needs one")
        version, modes = _manifest(source, files["manifest"].member)
        present = {name: files[name] for name in FILES if name in files and modes[name] != "absent"}
        bundle = cls(
            source=source,
            version=version,
            modes=modes,
            sizes={name: one.size for name, one in present.items()},
            fingerprint=_fingerprint([files["manifest"], *present.values()]),
            members={name: one.member for name, one in files.items()},
        )
        problems = list(bundle._problems(files))
        if problems:
            raise SourceError("; ".join(problems))
        return bundle

    @contextmanager
    def table(self, name: str) -> Iterator[Table]:
        """One file of the bundle, to be read row by row."""
        with _opened(self.source, self.members[name]) as raw:
            yield Table(raw, f"{name}.csv")

    def is_delta(self, *names: str) -> bool:
        """Whether any of these files holds changes only, or is not there at all."""
        return any(self.modes[name] != "bulk" for name in names)

    def _problems(self, files: Iterable[str]) -> Iterator[str]:
        for name in FILES:
            if self.modes[name] == "absent":
                continue
            if name not in files:
                yield f"{name}.csv is missing, although manifest.csv says that it is there ({self.modes[name]})"
                continue
            needed = [*_COLUMNS[name], *(("status",) if self.modes[name] == "delta" else ())]
            if name == "users" and self.version == "1.1":
                needed += ["role", "orgSourcedIds"]
            with self.table(name) as table:
                lacking = [column for column in needed if column.casefold() not in table.columns]
            if lacking:
                yield f"{name}.csv has a wrong header: {', '.join(lacking)} missing in its first line"


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    member: str
    size: int
    mark: str


def _files_of(source: Path, max_bytes: int) -> dict[str, _File]:
    """The CSV files of a folder or zip by their bare name in the manifest's spelling."""
    try:
        if source.is_dir():
            found = [
                (path.name, _File(member=path.name, size=path.stat().st_size, mark=str(path.stat().st_mtime_ns)))
                for path in sorted(source.iterdir())
                if path.is_file()
            ]
        elif source.is_file():
            found = _zipped(source)
        else:
            raise SourceError(f"there is no folder or file {source.name}")
    except OSError as exc:
        raise unreadable(source.name, exc) from None
    if sum(one.size for _, one in found) > max_bytes:
        raise SourceError(f"{source.name} is larger than the {max_bytes} bytes that max_bytes allows")
    spelled = {f"{name}.csv".casefold(): name for name in ("manifest", *FILES)}
    return {spelled[name.casefold()]: one for name, one in found if name.casefold() in spelled}


def _zipped(source: Path) -> list[tuple[str, _File]]:
    """The files of a zip. Nothing is ever unpacked to disk, but an archive with traps is not one to trust."""
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, struct.error) as exc:
        raise unreadable(source.name, exc) from None
    for info in entries:
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise SourceError(f"{source.name} holds a file that points outside the archive; it is not opened")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise SourceError(f"{source.name} holds a link; it is not opened")
        if info.flag_bits & 1:
            raise SourceError(f"{source.name} is encrypted; send it without a password")
        if info.file_size > _SMALL and info.file_size > _RATIO * max(info.compress_size, 1):
            raise SourceError(f"{source.name} would unpack to far more than its size allows; it is not opened")
    parts = [(info, PurePosixPath(info.filename.replace("\\", "/"))) for info in entries]
    folders = {path.parent for _, path in parts if path.name.casefold() == "manifest.csv"}
    if len(folders) > 1:
        raise SourceError(f"{source.name} holds more than one bundle")
    return [
        (path.name, _File(member=info.filename, size=info.file_size, mark=f"{info.CRC:08x}"))
        for info, path in parts
        if path.parent in folders
    ]


def _manifest(source: Path, member: str) -> tuple[Literal["1.1", "1.2"], dict[str, Mode]]:
    """The version and how each file is given."""
    with _opened(source, member) as raw:
        try:
            text = io.StringIO(raw.read(_MANIFEST).decode("utf-8-sig"))
            values = {row[0].strip().casefold(): row[1].strip() for row in csv.reader(text) if len(row) > 1}
        except (UnicodeDecodeError, csv.Error, zipfile.BadZipFile, zlib.error, EOFError) as exc:
            raise unreadable("manifest.csv", exc) from None
    version = values.get("oneroster.version", "")
    if not version.startswith(("1.1", "1.2")):
        raise SourceError(f"manifest.csv: oneroster.version is {version[:20]!r}; versions 1.1 and 1.2 can be read")
    modes: dict[str, Mode] = {}
    for name in FILES:
        mode = values.get(f"file.{name}".casefold(), "").casefold() or "absent"
        if mode not in ("bulk", "delta", "absent"):
            raise SourceError(f"manifest.csv: file.{name} is {mode[:20]!r}; it must be bulk, delta or absent")
        modes[name] = cast("Mode", mode)
    if version.startswith("1.1"):
        modes["roles"] = "absent"
    return ("1.1" if version.startswith("1.1") else "1.2"), modes


@contextmanager
def _opened(source: Path, member: str) -> Iterator[IO[bytes]]:
    with ExitStack() as stack:
        try:
            if source.is_dir():
                raw: IO[bytes] = stack.enter_context((source / member).open("rb"))
            else:
                archive = stack.enter_context(zipfile.ZipFile(source))
                raw = stack.enter_context(archive.open(member))
        except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as exc:
            raise unreadable(source.name, exc) from None
        yield raw


def _fingerprint(files: Iterable[_File]) -> str:
    told = "|".join(f"{one.member}:{one.size}:{one.mark}" for one in files)
    return hashlib.blake2b(told.encode(errors="replace"), digest_size=8).hexdigest()
