"""The part of a verification that looks at keys, checkpoints and what was kept outside."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Sequence

from homeroom import Connection
from homeroom_ferpa.log import table, verifier
from homeroom_ferpa.log.notes import LogKey, public_of
from homeroom_ferpa.log.report import Report
from homeroom_ferpa.log.table import Sealed
from homeroom_ferpa.log.tree import TreeDamaged

_AT_ONCE = 1000


class Signatures:
    """The keys and checkpoints of a log, up to the checkpoint `last`."""

    def __init__(self, report: Report) -> None:
        self.last = Sealed()
        self._report = report
        self._keys: list[LogKey] = []
        self._checked = Sealed()
        self._ahead: list[Sealed] = []

    def begin(self, connection: Connection, last: Sealed) -> None:
        """Look at the keys, and whether there are as many checkpoints as the last one says."""
        self.last = last
        kept = connection.sql("SELECT count(*) FROM ferpa_log_checkpoints")[0][0]
        if kept != last.number:
            self._report.found(f"the last checkpoint is number {last.number}, and {kept} are kept")
        try:
            self._keys = table.keys(connection)
        except (ValueError, TypeError):
            self._report.found("the log's keys are damaged")
            return
        if not self._keys and last.number:
            self._report.found("the log's keys are gone")
        for key, (since, key_id) in zip(self._keys, table.key_ids(connection), strict=True):
            if key.key_id.hex() != key_id:
                self._report.found(f"the key for checkpoints from {since} on was changed")
        secrets: Sequence[LogKey] = ()
        with contextlib.suppress(Exception):  # whatever keeps one from being opened, it is told below
            secrets = table.keys(connection, secret=True)
        fitting = [key for key in secrets if key.secret is not None and public_of(key.secret) == key.public]
        if len(fitting) < len(self._keys):
            self._report.found("a key that signs cannot be opened, or is not the one that is published")

    def upto(self, connection: Connection, size: int, root: bytes, ends: tuple[int, int]) -> None:
        """Check the checkpoints that count no more than `size` entries, which `root` stands for.

        `ends` are the last audit row and the last journal row among them.
        """
        while (following := self._following(connection)) is not None and following.size <= size:
            self._check(following, size, root, ends)

    def end(self, connection: Connection, size: int, root: bytes, ends: tuple[int, int]) -> None:
        """Check what is left over."""
        while (following := self._following(connection)) is not None:
            self._check(following, size, root, ends)
        if self._checked.number != self.last.number:
            self._report.found(f"the checkpoints after number {self._checked.number} are gone")

    def due(self, connection: Connection, size: int) -> bool:
        """Whether a checkpoint counts no more than `size` entries and was not checked yet."""
        following = self._following(connection)
        return following is not None and following.size <= size

    def witness(self, connection: Connection, name: str, notes: Sequence[str]) -> None:
        """Compare what was kept outside with the log."""
        known = [verifier.Key(key.name, key.key_id, key.public) for key in self._keys]
        for place, note in enumerate(notes, start=self._report.witnessed + 1):
            try:
                kept = verifier.parse_note(note)
                if self._keys and kept.origin != self._keys[0].name:
                    self._report.found(f"{name}, checkpoint {place}: it is of another log ({kept.origin})")
                    continue
                verifier.check_signed(kept, known)
                self._compare(connection, kept)
            except verifier.Problem as problem:
                self._report.found(f"{name}, checkpoint {place}: {problem}")
        self._report.witnessed += len(notes)

    def _compare(self, connection: Connection, kept: verifier.Checkpoint) -> None:
        if kept.size > self.last.size:
            text = f"it counts {kept.size} entries and the log holds {self.last.size}: entries were taken away"
            raise verifier.Problem(text)
        same = table.checkpoints(connection, "size = ? ORDER BY number LIMIT 1", (kept.size,))
        if same and self._report.ok:  # the log's own checkpoints were found to be right, so this one's root is
            root = base64.b64decode(same[0].root)
        else:
            try:
                root = table.tree(connection, kept.size).root()
            except TreeDamaged:
                raise verifier.Problem("the log lacks hashes to compare it with") from None
        if root != kept.root:
            raise verifier.Problem(f"the first {kept.size} entries are not those that it was signed for")

    def _following(self, connection: Connection) -> Sealed | None:
        """The next checkpoint to be checked; many are read at once."""
        if not self._ahead and self._checked.number < self.last.number:
            where = f"number > ? AND number <= ? ORDER BY number LIMIT {_AT_ONCE}"
            self._ahead = table.checkpoints(connection, where, (self._checked.number, self.last.number))
        return self._ahead[0] if self._ahead else None

    def _check(self, kept: Sealed, size: int, root: bytes, ends: tuple[int, int]) -> None:
        before, what = self._checked, f"checkpoint {kept.number}"
        self._checked = kept
        self._ahead.pop(0)
        self._report.checkpoints += 1
        if kept.number != before.number + 1:
            self._report.found(f"checkpoints {before.number + 1} to {kept.number - 1} are gone")
        try:
            note = verifier.parse_note(kept.note)
            self._check_signature(kept.number, note)
        except (verifier.Problem, TypeError, AttributeError) as problem:  # the latter two: it is no text any more
            self._report.found(f"{what}: {problem}")
            return
        said = (note.size, base64.b64encode(note.root).decode(), note.extension("time"), note.extension("number"))
        if said != (kept.size, kept.root, kept.at, str(kept.number)) or note.origin != self._keys[0].name:
            self._report.found(f"{what}: what was signed is not what it is filed as")
        elif kept.size < before.size or kept.at < before.at or kept.size != size:
            self._report.found(f"{what} does not follow the one before it")
        elif note.root != root:
            self._report.found(f"{what}: the entries under it are not those that it was signed for")
        elif (kept.last_audit, kept.last_journal) != ends:
            self._report.found(f"{what} is filed under other rows than it counts")

    def _check_signature(self, number: int, note: verifier.Checkpoint) -> None:
        """Raise Problem unless the key of its time has signed a checkpoint, and every signature under it is right."""
        due = [key for key in self._keys if key.since <= number][-2:]
        if len(due) > 1 and due[-1].since != number:
            due = due[-1:]  # only the checkpoint that hands the log on bears two signatures
        given = []
        for name, key_id, signature in note.signatures:
            mine = [key for key in self._keys if (key.name, key.key_id) == (name, key_id)]
            if not mine:
                raise verifier.Problem("it is signed by a key that is not this log's")
            if not mine[0].has_signed(note.body, signature):
                raise verifier.Problem("the signature is forged, or the checkpoint was changed after it was signed")
            given.append(key_id)
        if not due or given != [key.key_id for key in due]:
            raise verifier.Problem("it is not signed by the key of its time")
