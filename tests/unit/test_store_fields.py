"""Ids, moments, JSON and sealed texts come back as they went in, and nothing else opens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.store import Connection, Store, Transaction, iso, new_id, now_utc
from homeroom.store.cipher import CannotOpen, Cipher
from homeroom.store.models import ApiKey, KeyValue, Org, PersonKey

OLD, NEW = bytes(range(32)), bytes(range(100, 132))


def test_ids_sort_by_the_moment_they_were_made_in_and_are_never_alike() -> None:
    ids = [new_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert {len(one) for one in ids} == {28}
    assert [one[:12] for one in ids] == sorted(one[:12] for one in ids)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)), st.integers(-12 * 60, 14 * 60))  # noqa: DTZ001 - a zone is added
def test_text_order_is_time_order_whatever_the_zone(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    later = aware + timedelta(microseconds=1)
    assert iso(aware) < iso(later)
    assert datetime.fromisoformat(iso(aware)) == aware


async def test_moments_and_json_round_trip(store: Store) -> None:
    moment = datetime(2026, 3, 8, 1, 59, 59, 123456, tzinfo=timezone(timedelta(hours=-5)))

    def unit(tx: Transaction) -> None:
        tx.insert(Org, id="o", name="Öst-Schule 学校", kind="school", settings={"rule": ["any", 1]}, changed_at=moment)
        tx.insert(ApiKey, id="k", name="n", key_hash="h", created_at=tx.now, expires_at=None)

    await store.write(unit)
    org = await store.read(lambda c: c.get(Org, "o"))
    key = await store.read(lambda c: c.get(ApiKey, "k"))
    assert org is not None
    assert key is not None
    assert org.changed_at == moment
    assert org.changed_at.tzinfo is UTC or org.changed_at.utcoffset() == timedelta(0)
    assert (org.name, org.settings) == ("Öst-Schule 学校", {"rule": ["any", 1]})
    assert key.expires_at is None
    assert abs(now_utc() - key.created_at) < timedelta(minutes=1)
    assert await store.read(lambda c: c.value(Org.select(Org.changed_at))) == moment
    assert await store.read(lambda c: c.one(Org.select().where(Org.changed_at > moment))) is None


async def test_a_moment_without_a_zone_is_refused(store: Store) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the point
    with pytest.raises(ValueError, match="without a time zone"):
        await store.write(lambda tx: tx.insert(Org, id="o", name="n", kind="school", changed_at=naive))


async def test_the_small_ways_to_ask(store: Store) -> None:
    def unit(tx: Transaction) -> tuple[int, list[tuple[object, ...]]]:
        for n in range(3):
            tx.insert(KeyValue, plugin="test", key=str(n), value=f"v{n}")
        changed = tx.run(KeyValue.update(value="new").where(KeyValue.key < "2"))
        return changed, tx.write_sql("DELETE FROM key_values WHERE key = ? RETURNING value", ("2",))

    assert await store.write(unit) == (2, [("v2",)])

    def ask(connection: Connection) -> tuple[object, ...]:
        query = KeyValue.select(KeyValue.key, KeyValue.value).order_by(KeyValue.key)
        return (
            connection.tuples(query),
            connection.values(query),
            connection.value(query),
            connection.value(query.where(KeyValue.key == "none")),
            connection.get(Org, "none"),
            connection.sql("SELECT value FROM key_values WHERE key = ?", ("1",)),
        )

    assert await store.read(ask) == ([("0", "new"), ("1", "new")], ["0", "1"], "0", None, None, [("new",)])


@given(st.text(max_size=200), st.text(max_size=40))
def test_what_was_sealed_opens_in_its_context_only(text: str, context: str) -> None:
    cipher = Cipher([OLD])
    sealed = cipher.seal(text, context)
    assert cipher.unseal(sealed, context) == text
    with pytest.raises(CannotOpen, match="changed or moved"):
        cipher.unseal(sealed, context + "x")


def test_the_same_text_is_never_sealed_alike() -> None:
    cipher = Cipher([OLD])
    assert cipher.seal("a", "c") != cipher.seal("a", "c")


def test_a_rotated_key_still_opens_and_the_new_one_seals() -> None:
    sealed = Cipher([OLD]).seal("text", "c")
    rotated = Cipher([NEW, OLD])
    assert rotated.unseal(sealed, "c") == "text"
    assert rotated.seal("text", "c").startswith(rotated.key_id)
    assert rotated.key_id != Cipher([OLD]).key_id
    with pytest.raises(CannotOpen, match="not configured"):
        Cipher([NEW]).unseal(sealed, "c")


@pytest.mark.parametrize(
    "change", [lambda s: s[:-4] + "AAAA", lambda s: s[:20], lambda s: s + "!", lambda s: s.replace(".", ".A")]
)
def test_a_sealed_text_that_was_changed_does_not_open(change: object) -> None:
    cipher = Cipher([OLD])
    with pytest.raises(CannotOpen):
        cipher.unseal(change(cipher.seal("a text of some length", "c")), "c")  # type: ignore[operator]


def test_addresses_are_found_by_hashes_that_fold_case_and_survive_rotation() -> None:
    old, rotated = Cipher([OLD]), Cipher([NEW, OLD])
    assert old.lookup("email", " Ada@School.example ") == old.lookup("email", "ada@school.EXAMPLE")
    assert old.lookup("email", "a") != old.lookup("phone", "a")
    assert old.lookup("email", "a") in rotated.lookups("email", "a")
    assert rotated.lookup("email", "a") != old.lookup("email", "a")


def test_no_key_is_shown_and_each_purpose_has_its_own() -> None:
    cipher = Cipher([OLD])
    assert OLD.hex() not in repr(cipher)
    assert cipher.derive("a") != cipher.derive("b")
    assert cipher.derive("a") == Cipher([OLD, NEW]).derive("a")


async def test_destroying_a_persons_key_erases_what_was_sealed_under_it(store: Store) -> None:
    sealed = await store.write(lambda tx: [tx.seal_for("ada", "secret"), tx.seal_for("ada", "other")])
    assert "secret" not in sealed[0]
    assert await store.read(lambda c: [c.unseal_for("ada", one) for one in sealed]) == ["secret", "other"]
    assert await store.read(lambda c: c.unseal_for("ada", None)) is None
    with pytest.raises(CannotOpen):
        await store.write(lambda tx: tx.seal_for("bob", "x") and tx.unseal_for("bob", sealed[0]))
    await store.write(lambda tx: tx.run(PersonKey.delete().where(PersonKey.user_id == "ada")))
    assert await store.read(lambda c: c.unseal_for("ada", sealed[0])) is None
