"""Checks what a school's Homeroom log has promised, without Homeroom: this one file and a Python from 3.9 on are all.

    python verifier.py receipt.json --key "KEY THAT THE DISTRICT HAS PUBLISHED"
    python verifier.py receipt.json --key FILE-WITH-ITS-KEYS.txt

It takes receipts (one attendance record in the log), signed checkpoints and whole witness files, and proofs that a
later checkpoint continues an earlier one. It asks nobody on the network. Exit code 0: all of it holds; 1: something
does not; 2: it was called wrongly.

The log is a Merkle tree as in RFC 9162 (SHA-256; 0x00 before a leaf, 0x01 before a node), a checkpoint is a signed
note (https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note), a signature is Ed25519 (RFC 8032).
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

RECEIPT = "homeroom-receipt/1"
CONSISTENCY = "homeroom-consistency/1"
JOURNAL = "homeroom.journal.1"
JOURNAL_COLUMNS = (
    *("id", "at", "kind", "actor_id", "class_id", "session_id", "student_id", "subject_id"),
    *("purpose", "basis", "request_id", "data"),
)

_HASH = 32
_SIGNATURE = 64
_KEY_ID = 4
_ED25519 = b"\x01"
_LONGEST_PATH = 64
_DIGITS = 20
_LINES = 64
_DASH = "\u2014 "
_NOTHING = hashlib.sha256(b"").digest()


class Problem(Exception):
    """Why something does not hold, in plain words."""


class Key(NamedTuple):
    """A public key, the name of the log that signs with it, and the numbers of the checkpoints that it signs.

    Without `until` it signs still. At `until` it hands the log on, in a checkpoint that the next key signs, too.
    """

    name: str
    key_id: bytes
    public: bytes
    since: int = 0
    until: int | None = None


class Checkpoint(NamedTuple):
    """A checkpoint as signed: how many entries the log held, and the hash that stands for all of them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...]
    body: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...]  # name, key id, signature

    def extension(self, name: str) -> str | None:
        """What the line `NAME VALUE` of the checkpoint says, or None."""
        found = [line for line in self.extensions if line.startswith(name + " ")]
        return found[0][len(name) + 1 :] if len(found) == 1 else None


# The tree


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two neighbours."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Return when the entry with hash `leaf` is number `index` (from 0) of the `size` under `root`.

    RFC 9162 2.1.3.2. Raises Problem.
    """
    if not 0 <= index < size:
        raise Problem(f"entry {index} cannot be in a log of {size}")
    fn, sn, found = index, size - 1, leaf
    for one in path:
        if sn == 0:
            raise Problem("the proof is longer than it may be")
        if fn & 1 or fn == sn:
            found = node_hash(one, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, one)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise Problem("the proof is shorter than it must be")
    if found != root:
        raise Problem("the proof does not lead to the checkpoint: the entry, its place or the proof was changed")


def check_consistency(old: tuple[int, bytes], new: tuple[int, bytes], path: Sequence[bytes]) -> None:
    """Return when the log of `new` (size, root) begins with all of the log of `old`.

    RFC 9162 2.1.4.2. Raises Problem.
    """
    (first, first_root), (second, second_root) = old, new
    if not 0 <= first <= second:
        raise Problem(f"a log of {second} cannot continue one of {first}")
    if first in (0, second):
        if first_root != (second_root if first else _NOTHING) or path:
            raise Problem("two checkpoints of the same log do not fit together")
        return
    steps = [first_root, *path] if first & (first - 1) == 0 else list(path)
    before, after = _climbed(first - 1, second - 1, steps)
    if before != first_root or after != second_root:
        raise Problem("the later checkpoint does not continue the earlier one: the log was rewritten")


def _climbed(fn: int, sn: int, steps: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of the earlier and the later log that a consistency proof leads to."""
    if not steps:
        raise Problem("the proof is shorter than it must be")
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    before = after = steps[0]
    for one in steps[1:]:
        if sn == 0:
            raise Problem("the proof is longer than it may be")
        if fn & 1 or fn == sn:
            before, after = node_hash(one, before), node_hash(one, after)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            after = node_hash(after, one)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise Problem("the proof is shorter than it must be")
    return before, after


# Keys and checkpoints


def parse_key(text: str) -> Key:
    """A public key as the district publishes it: NAME+ID+KEY, and where it has had several, since=N and until=N."""
    whole, *spans = text.split() or [""]
    name, _, rest = whole.partition("+")
    short, _, body = rest.partition("+")
    raw = _decoded(body, "the key")
    key_id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:_KEY_ID]
    if not name or raw[:1] != _ED25519 or len(raw) != 1 + _HASH or short != key_id.hex():
        raise Problem("the key is not whole; copy it anew, from the first letter to the last")
    said = {word: _number(value) for word, _, value in (one.partition("=") for one in spans)}
    if len(said) < len(spans) or not said.keys() <= {"since", "until"} or None in said.values():
        raise Problem("what follows the key is not whole; copy it anew, from the first letter to the last")
    return Key(name, key_id, raw[1:], said.get("since") or 0, said.get("until"))


def parse_keys(texts: Iterable[str]) -> list[Key]:
    """Several keys, each once and with the narrowest span that is said of it.

    Raises Problem also where several of one log are given and it is not said which of them signs when.
    """
    found: dict[tuple[str, bytes], Key] = {}
    for key in map(parse_key, texts):
        known = found.get((key.name, key.public), key)
        ends = [one.until for one in (key, known) if one.until is not None]
        narrow = key._replace(since=max(key.since, known.since), until=min(ends) if ends else None)
        found[key.name, key.public] = narrow
    keys = sorted(found.values(), key=lambda key: (key.name, key.since))
    for place, new in enumerate(keys[1:]):
        old = keys[place]
        if old.name == new.name and (old.until is None or old.until > new.since):
            raise Problem(
                "these are several keys of one log, and nothing says which of them signs when, so one that was "
                "replaced would count for ever; get all of them anew from the district, or give its newest one alone"
            )
    return keys


def parse_note(text: str) -> Checkpoint:
    """A checkpoint and its signatures."""
    body, gap, rest = text.partition("\n\n")
    lines = body.split("\n")
    if not gap or len(lines) < 3 or not all(lines):  # noqa: PLR2004 - origin, size, root
        raise Problem("this is no checkpoint")
    size = lines[1]
    if not (size.isascii() and size.isdigit() and len(size) <= _DIGITS) or str(int(size)) != size:
        raise Problem("the checkpoint's size is no number")
    root = _decoded(lines[2], "the checkpoint's root")
    if len(root) != _HASH:
        raise Problem("the checkpoint's root is no hash")
    if not rest.endswith("\n"):
        raise Problem("the checkpoint's end is missing")
    signatures = []
    for line in rest[:-1].split("\n"):
        dash, _, named = line.partition(" ")
        name, _, given = named.rpartition(" ")
        raw = _decoded(given, "a signature")
        if dash != _DASH[0] or not name or len(raw) <= _KEY_ID:
            raise Problem("a signature line is damaged")
        signatures.append((name, raw[:_KEY_ID], raw[_KEY_ID:]))
    return Checkpoint(lines[0], int(size), root, tuple(lines[3:]), body.encode() + b"\n", tuple(signatures))


def notes(lines: Iterable[str]) -> Iterator[str]:
    """Each checkpoint of a witness file, given by its lines; an empty one stands between two."""
    kept: list[str] = []
    signed = False
    for line in lines:
        if kept and ((signed and not line.startswith(_DASH)) or len(kept) == _LINES):
            yield "\n".join(kept) + "\n"
            kept, signed = [], False
        if kept or line:
            kept.append(line)
            signed = line.startswith(_DASH)
    if kept:
        yield "\n".join(kept)


def check_signed(checkpoint: Checkpoint, keys: Sequence[Key]) -> Key:
    """The key, one of `keys`, that has signed.

    A signature by one of them that is wrong, or that was not its to give any more, is never passed over.
    """
    signer = None
    for name, key_id, signature in checkpoint.signatures:
        for key in keys:
            if (key.name, key.key_id) != (name, key_id):
                continue
            if not ed25519_verify(key.public, checkpoint.body, signature):
                raise Problem("the signature is forged, or the checkpoint was changed after it was signed")
            _check_span(checkpoint, key)
            signer = signer or key
    if signer is None:
        raise Problem("it is not signed by the key that you have given: another log's, or a foreigner's")
    if signer.name != checkpoint.origin:
        raise Problem("it is signed for another log than it names")
    return signer


def _check_span(checkpoint: Checkpoint, key: Key) -> None:
    """Return when it was the key's turn to sign the checkpoint."""
    if key.until is None and not key.since:
        return
    number = _number(checkpoint.extension("number"))
    if number is None:
        raise Problem("it has no number, so nothing shows whether its key was the one that signed then")
    if number < key.since or (key.until is not None and number > key.until):
        raise Problem(f"checkpoint {number} is signed with a key that was not the district's then: it is forged")
    if number == key.until and checkpoint.extension("next-key") is None:
        raise Problem(f"checkpoint {number} does not hand the log on to the next key, which the district's did")


def with_next_key(checkpoint: Checkpoint, keys: Sequence[Key]) -> list[Key]:
    """`keys`, and the one that a checkpoint found to be signed hands the log on to; the one before it ends there."""
    named = checkpoint.extension("next-key")
    if named is None:
        return list(keys)
    following = parse_key(named)
    check_signed(checkpoint, [following])  # the new one must have taken over
    number = _number(checkpoint.extension("number"))
    if number is None:
        raise Problem("it hands the log on and has no number")
    signers = [key_id for _, key_id, _ in checkpoint.signatures]
    following = following._replace(since=number)
    known: list[Key] = []
    expected = False
    for key in keys:
        if (key.name, key.public) == (following.name, following.public):
            expected = key.since == number
            if not expected and key.since:
                raise Problem("it hands the log on to a key that did not begin to sign then")
            following = following._replace(until=key.until)
        else:
            known.append(key)
    for place, key in enumerate(known):
        if key.name == following.name and key.key_id in signers:
            if key.until is not None and not expected:
                raise Problem("it hands the log on to another key than the district has published")
            known[place] = key._replace(until=number)
    return [*known, following]


# Ed25519, RFC 8032 section 5.1

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_1 = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int, int, int]


def _add(p: _Point, q: _Point) -> _Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c = 2 * p[3] * q[3] * _D % _P
    d = 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(number: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = _add(total, point)
        point = _add(point, point)
        number >>= 1
    return total


def _x_of(y: int, sign: int) -> int | None:
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    if square == 0:
        return None if sign else 0
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_1 % _P
    if (x * x - square) % _P:
        return None
    return _P - x if x & 1 != sign else x


def _point(raw: bytes) -> _Point | None:
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    x = _x_of(y, sign)
    return None if x is None else (x, y, 1, x * y % _P)


_G_Y = 4 * pow(5, _P - 2, _P) % _P
_G_X = _x_of(_G_Y, 0) or 0
_G: _Point = (_G_X, _G_Y, 1, _G_X * _G_Y % _P)


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the one of `message` under the public key `public`."""
    if len(public) != _HASH or len(signature) != _SIGNATURE:
        return False
    a, r = _point(public), _point(signature[:_HASH])
    s = int.from_bytes(signature[_HASH:], "little")
    if a is None or r is None or s >= _L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:_HASH] + public + message).digest(), "little") % _L
    left, right = _times(s, _G), _add(r, _times(h, a))
    same_x = (left[0] * right[2] - right[0] * left[2]) % _P == 0
    return same_x and (left[1] * right[2] - right[1] * left[2]) % _P == 0


# Files


def check_receipt(receipt: dict[str, Any], keys: Sequence[Key]) -> tuple[Checkpoint, list[dict[str, Any]]]:
    """The checkpoint of a receipt and the entries that it proves, oldest first."""
    _only(receipt, ("format", "record_id", "checkpoint", "key_changes", "entries"), "the receipt")
    known = list(keys)
    for text in _list(receipt["key_changes"]):
        change = parse_note(_text(text))
        check_signed(change, known)
        known = with_next_key(change, known)
    checkpoint = parse_note(_text(receipt["checkpoint"]))
    check_signed(checkpoint, known)
    with_next_key(checkpoint, known)
    entries: list[dict[str, Any]] = []
    last = -1
    for one in _list(receipt["entries"]):
        _only(one, ("index", "leaf", "proof"), "an entry of the receipt")
        index, leaf = one["index"], _text(one["leaf"])
        if isinstance(index, bool) or not isinstance(index, int) or index <= last:
            raise Problem("the entries of the receipt are not in order")
        check_inclusion(leaf_hash(leaf.encode()), index, checkpoint.size, _path(one["proof"]), checkpoint.root)
        entry = _entry(leaf)
        if entry["subject_id"] != receipt["record_id"]:
            raise Problem("the receipt names another record than the log does")
        entries.append(entry)
        last = index
    if not entries:
        raise Problem("the receipt proves nothing: it holds no entry")
    return checkpoint, entries


def check_chain(found: Sequence[str], keys: Sequence[Key]) -> tuple[list[Checkpoint], list[Key]]:
    """The checkpoints of a witness file, each signed and none taking anything back, and the keys known after them."""
    chain: list[Checkpoint] = []
    known = list(keys)
    if not found:
        raise Problem("there is no checkpoint in it")
    for place, text in enumerate(found, start=1):
        try:
            checkpoint = parse_note(text)
            check_signed(checkpoint, known)
            known = with_next_key(checkpoint, known)
            if chain:
                _follows(chain[-1], checkpoint)
        except Problem as problem:
            raise Problem(f"checkpoint {place} of {len(found)}: {problem}") from None
        chain.append(checkpoint)
    return chain, known


def check_continuation(proof: dict[str, Any], keys: Sequence[Key]) -> list[Checkpoint]:
    """The checkpoints of a consistency proof, each shown to continue the one before it."""
    _only(proof, ("format", "checkpoints", "proofs"), "the proof")
    texts, paths = [_text(one) for one in _list(proof["checkpoints"])], _list(proof["proofs"])
    if len(texts) < 2 or len(paths) != len(texts) - 1:  # noqa: PLR2004 - one proof between two
        raise Problem("there must be one proof between every two checkpoints")
    chain, _ = check_chain(texts, keys)
    for old, new, path in zip(chain, chain[1:], paths):  # noqa: B905 - Python 3.9 runs it
        check_consistency((old.size, old.root), (new.size, new.root), _path(path))
    return chain


def _follows(old: Checkpoint, new: Checkpoint) -> None:
    if new.origin != old.origin:
        raise Problem("it is another log's")
    if new.size < old.size:
        raise Problem(f"it counts {new.size} entries where there were {old.size} before: entries were taken away")
    if new.size == old.size and new.root != old.root:
        raise Problem("it gives another hash for the same entries: the log was rewritten")
    numbers = [one.extension("number") for one in (old, new)]
    if all(one is not None and one.isdigit() for one in numbers):
        before, after = (int(one or 0) for one in numbers)
        if after < before or (after == before and new.size != old.size):
            raise Problem("it stands in the wrong order")


def _entry(leaf: str) -> dict[str, Any]:
    row = _json(leaf)
    if not isinstance(row, list) or len(row) != 1 + len(JOURNAL_COLUMNS) or row[0] != JOURNAL:
        raise Problem("the entry is none of an attendance record")
    entry = dict(zip(JOURNAL_COLUMNS, row[1:]))  # noqa: B905 - Python 3.9 runs it
    data = _json(_text(entry["data"]))
    if not isinstance(data, dict):
        raise Problem("the entry cannot be read")
    entry["data"] = data
    return entry


def _number(text: str | None) -> int | None:
    """The number that a text stands for; None for any other text."""
    plain = text is not None and text.isascii() and text.isdigit() and len(text) <= _DIGITS
    return int(text) if text is not None and plain else None


def _json(text: str) -> Any:
    def whole(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise Problem("the file says one thing twice")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=whole)
    except (ValueError, RecursionError):
        raise Problem("the file is damaged: it is no JSON") from None


def _only(given: Any, names: Sequence[str], what: str) -> None:
    if not isinstance(given, dict) or sorted(given) != sorted(names):
        raise Problem(f"{what} is not in the form that this program knows")


def _list(given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise Problem("the file is damaged: a list is missing")
    return given


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise Problem("the file is damaged: a text is missing")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise Problem("the file is damaged: a text is no text") from None
    return given


def _path(given: Any) -> list[bytes]:
    path = [_decoded(_text(one), "the proof") for one in _list(given)]
    if len(path) > _LONGEST_PATH or any(len(one) != _HASH for one in path):
        raise Problem("the proof is damaged")
    return path


def _decoded(text: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, ValueError):
        raise Problem(f"{what} is damaged") from None
    if base64.b64encode(raw).decode() != text:  # several texts for one value would let a changed one pass
        raise Problem(f"{what} is damaged")
    return raw


# What people read


def check_file(text: str, keys: Sequence[Key]) -> tuple[list[Checkpoint], list[str]]:
    """The checkpoints in a file of any of the three kinds, and what it shows in plain words. Raises Problem."""
    if not text.lstrip().startswith("{"):
        chain, _ = check_chain(list(notes(text.split("\n"))), keys)
        last = chain[-1]
        many = f"{len(chain)} checkpoints" if len(chain) > 1 else "One checkpoint"
        return chain, [f"{many}, all signed and in order. The last: {_when(last, keys)}."]
    given = _json(text)
    kind = given.get("format") if isinstance(given, dict) else None
    if kind == CONSISTENCY:
        chain = check_continuation(given, keys)
        before, last = chain[0].size, chain[-1]
        unchanged = f"The log of {last.size} entries begins with all {before} entries that it had before, unchanged."
        return chain, [unchanged, f"{_when(last, keys)}."]
    if kind != RECEIPT:
        raise Problem("this is neither a receipt nor a proof nor a checkpoint")
    checkpoint, entries = check_receipt(given, keys)
    told = [f"Attendance record {given['record_id']} stands in the log of {checkpoint.origin} as follows:"]
    told += [_line(entry) for entry in entries]
    told.append(f"{_when(checkpoint, keys)}. Nobody can change these entries now without its showing.")
    told.append("The log shows what was recorded and when. Whether it was right, only people can tell.")
    return [checkpoint], told


def _when(checkpoint: Checkpoint, keys: Sequence[Key]) -> str:
    signed = f"{checkpoint.size} entries, signed {checkpoint.extension('time') or 'without a time'}"
    by = [key for key in keys if any((key.name, key.key_id) == one[:2] for one in checkpoint.signatures)]
    if any(key.until is None for key in by) or not any(key.until is not None for key in by):
        return signed
    return (
        f"{signed}, with a key that the district has replaced since. Whoever has come to know that key could have "
        "signed this, too: ask the district for a newer one"
    )


def _line(entry: dict[str, Any]) -> str:
    data, kinds = entry["data"], {"attendance.recorded": "recorded", "attendance.corrected": "corrected"}
    what = f"{kinds.get(entry['kind'], entry['kind'])} as {data.get('status', 'not named')}"
    if entry["kind"] == "attendance.withdrawn":
        what = "taken back"
    was = f" (before: {data['was']})" if data.get("was") else ""
    who = f"student {entry['student_id']}, school day {data.get('school_day', 'not named')}"
    return f"  {entry['at']}: {what}{was}, {who}, by {entry['actor_id'] or 'the system'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the files that are named, and say so; gives the exit code."""
    parser = argparse.ArgumentParser(
        description="Check a receipt, a checkpoint, a witness file or a proof of a school's Homeroom log.",
        epilog="The key is published by the district, and must come from there and not from whoever gave the file.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="what to check")
    parser.add_argument("--key", action="append", required=True, help="the district's key NAME+ID+KEY, or its file")
    options = parser.parse_args(arguments)
    try:
        texts = [given if given.count("+") > 1 else _read(given) for given in options.key]
        keys = parse_keys(line for text in texts for line in text.splitlines() if line.strip())
    except Problem as problem:
        parser.error(f"--key: {problem}")
    if not keys:
        parser.error("--key: there is no key in it")
    for name in options.files:
        if not os.path.isfile(name):  # noqa: PTH113 - nothing that is not needed
            parser.error(f"there is no file {name}; nothing was checked")
    seen: dict[tuple[str, int], bytes] = {}
    results = [_told(name, keys, seen) for name in options.files]
    fine = all(results)
    sys.stdout.write("All of it holds.\n" if fine else "NOT ALL OF IT HOLDS. Keep the file and ask the district why.\n")
    return 0 if fine else 1


def _told(name: str, keys: Sequence[Key], seen: dict[tuple[str, int], bytes]) -> bool:
    """Say what a file shows; whether it holds, also beside the files before it (`seen`)."""
    try:
        checkpoints, told = check_file(_read(name), keys)
        if any(seen.setdefault((one.origin, one.size), one.root) != one.root for one in checkpoints):
            told = ["This does not hold: it contradicts another of these files. The log has shown two faces."]
            checkpoints = []
    except Problem as problem:
        checkpoints, told = [], [f"This does not hold: {problem}."]
    sys.stdout.write("\n".join([f"{name}:", *told]) + "\n")
    return bool(checkpoints)


def _read(name: str) -> str:
    try:
        with open(name, encoding="utf-8", newline="") as file:  # noqa: PTH123 - nothing that is not needed
            return file.read()
    except (OSError, UnicodeDecodeError) as exc:
        raise Problem(f"{name} cannot be read ({type(exc).__name__})") from None


if __name__ == "__main__":
    sys.exit(main())
