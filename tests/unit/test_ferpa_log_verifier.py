"""The verifier: one file on a bare Python, which takes what is genuine and nothing that was touched."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom.store import Store
from homeroom.store.cipher import Cipher
from homeroom_ferpa.log import notes, receipts, table, verifier
from homeroom_ferpa.log.notes import LogKey
from homeroom_ferpa.log.verifier import Problem, check_file, ed25519_verify, parse_key
from tests.services.sealed import ORIGIN, Sealing, fill, mark, sealing, with_tables

VECTORS = (  # RFC 8032 section 7.1: public key, message, signature
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        (
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        ),
        (
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
            "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
        ),
    ),
)
L = 2**252 + 27742317777372353535851937790883648493
PROGRAM = Path(verifier.__file__)


@pytest.fixture
def place(sqlite_url: str, cipher: Cipher) -> Iterator[Sealing]:
    with Store(with_tables(sqlite_url), cipher=cipher) as store:
        yield sealing(store)


async def a_receipt(place: Sealing, record: str = "record-x", *, versions: int = 2) -> dict[str, Any]:
    """The receipt of a record in a log of some hundred entries."""
    await fill(place, rounds=4)
    for _ in range(versions):
        await place.services.store.submit(lambda tx: mark(tx, 7, record=record))
        await fill(place, rounds=2, seed=3)
    found = await receipts.receipt(place.services, place.log.sealer, record)
    assert found is not None
    return found


def keys_of(place: Sealing) -> list[verifier.Key]:
    return [parse_key(key.published) for key in place.store.read_now(table.keys)]


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_the_vectors_of_the_rfc_hold_and_fail_with_any_bit_changed(public: str, message: str, signature: str) -> None:
    key, text, signed = (bytes.fromhex(part) for part in (public, message, signature))
    assert ed25519_verify(key, text, signed)
    for at in range(0, 512, 37):
        assert not ed25519_verify(key, text, flip(signed, at))
    assert not ed25519_verify(key, text + b"x", signed)
    assert not ed25519_verify(flip(key, 3), text, signed)
    twin = signed[:32] + (int.from_bytes(signed[32:], "little") + L).to_bytes(32, "little")
    assert not ed25519_verify(key, text, twin)
    assert not ed25519_verify(key, text, signed[:-1])
    assert not ed25519_verify(b"\xff" * 32, text, signed)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
@settings(max_examples=25)
def test_signatures_of_another_implementation_are_taken(secret: bytes, message: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(secret)
    assert ed25519_verify(key.public_key().public_bytes_raw(), message, key.sign(message))


async def test_a_receipt_shows_every_version_of_the_record(place: Sealing) -> None:
    receipt = await a_receipt(place, versions=3)
    checkpoint, entries = verifier.check_receipt(receipt, keys_of(place))
    assert checkpoint.origin == ORIGIN
    assert [entry["data"]["status"] for entry in entries] == ["present"] * 3
    assert {entry["student_id"] for entry in entries} == {"u-7"}


async def test_a_receipt_outlives_a_change_of_keys_for_whoever_has_the_old_key(place: Sealing) -> None:
    await fill(place, rounds=2)
    old = keys_of(place)
    await place.log.sealer.rotate()
    await place.log.sealer.rotate()
    receipt = await a_receipt(place)
    assert len(receipt["key_changes"]) == 2
    assert verifier.check_receipt(receipt, old)
    with pytest.raises(Problem):
        verifier.check_receipt(receipt | {"key_changes": receipt["key_changes"][1:]}, old)


def a_lie(place: Sealing, secret: int, number: int, **more: Any) -> dict[str, Any]:
    """A receipt over a tree of one invented entry, signed with one of the log's keys, oldest first."""
    columns = ["2026-09-01T14:00:00.000000Z", "attendance.recorded", "t-1", "c-1", "s-1", "u-7", "record-x"]
    leaf = json.dumps(["homeroom.journal.1", 1, *columns, None, None, None, '{"status":"absent"}'])
    keys = place.store.read_now(partial(table.keys, secret=True))
    root = verifier.leaf_hash(leaf.encode())
    at = place.log.sealer.last.at
    note = notes.checkpoint(origin=ORIGIN, size=1, root=root, number=number, at=at, keys=[keys[secret]], **more)
    entries = [{"index": 0, "leaf": leaf, "proof": []}]
    return {
        "format": "homeroom-receipt/1",
        "record_id": "record-x",
        "checkpoint": note,
        "key_changes": [],
        "entries": entries,
    }


async def test_a_key_that_was_replaced_signs_nothing_any_more(place: Sealing) -> None:
    early = await a_receipt(place)
    await place.log.sealer.rotate()
    last = place.store.read_now(table.newest).number
    late = await a_receipt(place)
    lines = notes.published_keys(place.store.read_now(table.keys))
    assert [line.split()[1:] for line in lines] == [["since=1", f"until={last}"], [f"since={last}"]]
    keys = verifier.parse_keys(lines)
    check_file(json.dumps(late | {"key_changes": []}), keys)
    _, told = check_file(json.dumps(late), keys)
    assert "replaced since" not in str(told)
    _, told = check_file(json.dumps(early), keys)
    assert "a key that the district has replaced since" in str(told)
    stranger = LogKey(name=ORIGIN, public=bytes(32), since=last)
    for lie in (
        a_lie(place, 0, 999_999),
        a_lie(place, 0, last),
        a_lie(place, 1, last - 1),
        a_lie(place, 0, last, following=stranger),
    ):
        with pytest.raises(Problem):
            check_file(json.dumps(lie), keys)
    with pytest.raises(Problem):  # nor with only the first key, where the receipt itself says that it was replaced
        check_file(json.dumps(a_lie(place, 0, 999_999) | {"key_changes": late["key_changes"]}), keys[:1])
    _, told = check_file(
        json.dumps(a_lie(place, 0, 1)), keys
    )  # what it could have signed in its time is not told apart
    assert "could have signed this, too" in str(told)


async def test_a_key_that_was_replaced_hands_the_log_to_nobody_else(place: Sealing) -> None:
    await fill(place, rounds=2)
    await place.log.sealer.rotate()
    await fill(place, rounds=2, seed=2)
    keys = verifier.parse_keys(notes.published_keys(place.store.read_now(table.keys)))
    chain = place.notes()
    check_file("\n".join(chain), keys)
    check_file("\n".join([*chain[:3], chain[2], *chain[3:]]), keys)
    old, _ = place.store.read_now(partial(table.keys, secret=True))
    secret = Ed25519PrivateKey.generate()
    public = secret.public_key().public_bytes_raw()
    thief = LogKey(name=ORIGIN, public=public, since=3, secret=secret.private_bytes_raw())
    first = verifier.parse_note(chain[1])
    for number in (2, 3):
        stolen = notes.checkpoint(
            origin=ORIGIN,
            size=first.size,
            root=first.root,
            number=number,
            at=place.log.sealer.last.at,
            keys=[old, thief],
            following=thief,
        )
        check_file("\n".join([chain[0], stolen]), [parse_key(old.published)])  # who knows no better
        with pytest.raises(Problem, match="another key than the district"):
            check_file("\n".join([chain[0], stolen]), keys)


async def test_several_keys_without_a_word_on_when_each_signs_are_refused(place: Sealing, tmp_path: Path) -> None:
    receipt = await a_receipt(place)
    await place.log.sealer.rotate()
    found = place.store.read_now(table.keys)
    bare, spans = [key.published for key in found], notes.published_keys(found)
    for lines in (bare, [spans[0], bare[1]], [bare[0], spans[1]], [*spans, bare[0][:-2]]):
        with pytest.raises(Problem):
            verifier.parse_keys(lines)
    assert verifier.parse_keys([*bare, *spans]) == verifier.parse_keys(spans)
    assert verifier.parse_keys([bare[1]]) == [parse_key(bare[1])]
    for wrong in ("until=", "since=x", "since=1 since=2", "from=1", "until", "until=-1"):
        with pytest.raises(Problem):
            parse_key(f"{bare[0]} {wrong}")
    (tmp_path / "receipt.json").write_text(json.dumps(receipt), encoding="utf-8")
    (tmp_path / "key.txt").write_text("\n".join(bare), encoding="utf-8")
    done = run(str(tmp_path / "receipt.json"), "--key", str(tmp_path / "key.txt"))
    assert (done.returncode, "several keys of one log" in done.stderr) == (2, True)
    (tmp_path / "key.txt").write_text("\n".join(spans), encoding="utf-8")
    assert run(str(tmp_path / "receipt.json"), "--key", str(tmp_path / "key.txt")).returncode == 0
    assert run(str(tmp_path / "receipt.json"), "--key", spans[0], "--key", spans[1]).returncode == 0


async def test_nothing_of_a_receipt_can_be_changed(place: Sealing) -> None:
    await fill(place, rounds=1)
    await place.log.sealer.rotate()
    receipt = await a_receipt(place)
    text, keys, dice = json.dumps(receipt), keys_of(place)[:1], random.Random(5)
    check_file(text, keys)
    tried = 0
    for _ in range(400):
        at = dice.randrange(len(text))
        put = dice.choice(["", text[at] * 2, chr(ord(text[at]) ^ 1 << dice.randrange(6)), dice.choice('0Aa+/=\\" ')])
        changed = text[:at] + put + text[at + 1 :]
        try:
            same = json.loads(changed) == receipt and changed.count('"format"') == 1
        except ValueError:
            same = False
        if same:
            continue
        tried += 1
        with pytest.raises(Problem):
            check_file(changed, keys)
    assert tried > 300


@pytest.mark.parametrize(
    "change",
    [
        {"record_id": "record-y"},
        {"entries": []},
        {"entries": {}},
        {"checkpoint": None},
        {"checkpoint": "\ud800"},
        {"key_changes": ["nothing"]},
        {"more": 1},
        {"format": "homeroom-receipt/2"},
    ],
)
async def test_a_receipt_that_says_something_else_is_refused(place: Sealing, change: dict[str, Any]) -> None:
    receipt = await a_receipt(place, versions=1)
    with pytest.raises(Problem):
        check_file(json.dumps(receipt | change), keys_of(place))


async def test_a_receipt_of_another_record_does_not_prove_this_one(place: Sealing) -> None:
    receipt = await a_receipt(place, versions=2)
    other = await a_receipt(place, "record-z", versions=1)
    first, second = receipt["entries"]
    for entries in (
        [second, first],
        [first, first],
        [first | {"index": second["index"]}],
        [first | {"proof": second["proof"]}],
        [first | {"leaf": second["leaf"]}],
        other["entries"],
        [first | {"index": True}],
        [first | {"index": float(first["index"])}],
    ):
        with pytest.raises(Problem):
            verifier.check_receipt(receipt | {"entries": entries}, keys_of(place))
    with pytest.raises(Problem):
        verifier.check_receipt(receipt | {"checkpoint": place.notes()[1]}, keys_of(place))


async def test_a_chain_of_checkpoints_holds_and_one_with_a_step_back_does_not(place: Sealing) -> None:
    await fill(place, rounds=6)
    notes, keys = place.notes(), keys_of(place)
    check_file("\n".join(notes), keys)
    check_file("\n".join([*notes, notes[-1]]), keys)  # two processes may have carried out the same one
    for wrong in (
        [notes[1], notes[0]],
        [notes[0], notes[1].replace("number 2", "number 3")],
        [notes[0], notes[1].replace(ORIGIN, "other.example/log")],
        [notes[0], "no checkpoint\n\n\u2014 x y\n"],
    ):
        with pytest.raises(Problem):
            check_file("\n".join(wrong), keys)
    with pytest.raises(Problem):
        check_file("", keys)


async def test_a_later_log_is_proven_to_continue_an_earlier_one(place: Sealing) -> None:
    await fill(place, rounds=3)
    old, keys = place.notes()[1], keys_of(place)
    await place.log.sealer.rotate()
    await fill(place, rounds=30, seed=2)
    proof = place.store.read_now(partial(receipts.continuation, old=old))
    chain = verifier.check_continuation(proof, keys)
    assert (len(chain), chain[-1].size) == (3, place.log.sealer.last.size)
    for at, path in enumerate(proof["proofs"]):
        for step in range(len(path)):
            proofs = json.loads(json.dumps(proof["proofs"]))
            proofs[at].pop(step)
            with pytest.raises(Problem):
                verifier.check_continuation(proof | {"proofs": proofs}, keys)
    with pytest.raises(Problem):
        verifier.check_continuation(proof | {"proofs": proof["proofs"][:-1]}, keys)


def test_a_key_copied_in_part_is_told() -> None:
    whole = "district.example/log+0badc0de+AQ=="
    for text in (whole, "", "x+y", "x+00000000+" + "A" * 44):
        with pytest.raises(Problem):
            parse_key(text)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program on a Python without any package."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM), *arguments], capture_output=True, text=True, check=False
    )


async def test_the_file_alone_on_a_bare_python_tells_a_parent_what_holds(place: Sealing, tmp_path: Path) -> None:
    receipt = await a_receipt(place)
    witness = tmp_path / "witness.txt"
    witness.write_text("\n".join(place.notes()), encoding="utf-8")
    (tmp_path / "receipt.json").write_text(json.dumps(receipt, indent=1), encoding="utf-8")
    key = place.store.read_now(table.keys)[0].published
    (tmp_path / "key.txt").write_text(key + "\n", encoding="utf-8")
    done = run(str(tmp_path / "receipt.json"), str(witness), "--key", key)
    assert (done.returncode, done.stderr) == (0, "")
    assert "recorded as present, student u-7" in done.stdout
    assert done.stdout.endswith("All of it holds.\n")
    assert run(str(witness), "--key", str(tmp_path / "key.txt")).returncode == 0
    text = (tmp_path / "receipt.json").read_text(encoding="utf-8").replace("present", "excused", 1)
    (tmp_path / "forged.json").write_text(text, encoding="utf-8")
    forged = run(str(tmp_path / "forged.json"), str(witness), "--key", key)
    assert (forged.returncode, forged.stderr) == (1, "")
    assert "This does not hold: the proof does not lead to the checkpoint" in forged.stdout
    assert "1 checkpoints" not in forged.stdout
    assert "NOT ALL OF IT HOLDS" in forged.stdout
    nowhere = run(str(witness), str(tmp_path / "nowhere.json"), "--key", key)
    assert (nowhere.returncode, nowhere.stdout) == (2, "")  # a mistyped name says nothing about the log
    assert "nothing was checked" in nowhere.stderr
    assert run(str(witness)).returncode == 2
    assert run(str(witness), "--key", key[:-3]).returncode == 2


async def test_two_files_that_contradict_each_other_show_two_faces(place: Sealing, tmp_path: Path) -> None:
    from homeroom_ferpa.log.notes import checkpoint

    await fill(place, rounds=2)
    signed = place.store.read_now(partial(table.keys, secret=True))[0]
    size = place.log.sealer.last.size
    lie = checkpoint(origin=ORIGIN, size=size, root=bytes(32), number=2, at=place.log.sealer.last.at, keys=[signed])
    for name, note in (("a.txt", place.notes()[-1]), ("b.txt", lie)):
        (tmp_path / name).write_text(note, encoding="utf-8")
    done = run(str(tmp_path / "a.txt"), str(tmp_path / "b.txt"), "--key", signed.published)
    assert done.returncode == 1
    assert "two faces" in done.stdout


def test_it_needs_nothing_but_the_standard_library() -> None:
    lines = PROGRAM.read_text(encoding="utf-8").splitlines()
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported <= sys.stdlib_module_names


def flip(raw: bytes, bit: int) -> bytes:
    at, shift = divmod(bit % (len(raw) * 8), 8)
    return raw[:at] + bytes([raw[at] ^ 1 << shift]) + raw[at + 1 :]
