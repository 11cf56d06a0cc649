"""Accounts from invitations and single sign-on, and what a provider that misbehaves can do to a sign-in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from homeroom.auth import accounts, external, sign_in
from homeroom.auth.sign_in import Door
from homeroom.host import Answer
from homeroom.limits import MemoryLimiter
from homeroom.roster import people
from homeroom.store import Refused, Store, Transaction
from homeroom.store import models as m
from homeroom.types import Credentials, ExternalIdentity, PasswordSet, RoleAt, SignIn, SignInStart
from tests.services import world


def refused(store: Store, unit: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        store.write_now(unit)
    return caught.value.status, caught.value.problem


@pytest.fixture
def district(store: Store) -> Store:
    world.build_in(store)
    return store


def add(store: Store, user_id: str = "u", name: str = "Ana María Ruiz", email: str = "ana@district.example") -> None:
    store.write_now(lambda tx: accounts.add_user(tx, user_id=user_id, name=name, email=email, roles=()))


def test_a_name_is_taken_apart_at_its_last_space_and_single_names_stay_single(district: Store) -> None:
    add(district)
    add(district, "v", "Madonna", "m@district.example")
    names = district.read_now(
        lambda c: c.tuples(
            m.User.select(m.User.given_name, m.User.family_name).where(m.User.id.in_(["u", "v"])).order_by(m.User.id)
        )
    )
    assert names == [("Ana María", "Ruiz"), ("Madonna", "")]


def test_adding_somebody_runs_again_without_harm_and_refuses_an_address_that_is_taken(district: Store) -> None:
    add(district)
    add(district)
    unit = lambda tx: accounts.add_user(tx, user_id="w", name="W", email="ANA@district.example", roles=())  # noqa: E731
    assert refused(district, unit) == (409, "email-taken")


def test_who_is_not_there_is_not_invited(district: Store) -> None:
    district.write_now(lambda tx: people.end_person(tx, "bob"))
    for user in ("nobody at all", "bob"):
        unit = lambda tx, user=user: accounts.invite(tx, invitation_id="i", token="t", user_id=user)  # noqa: E731
        assert refused(district, unit) == (404, "not-found")


def test_the_first_address_is_taken_from_the_invited_who_has_none(district: Store) -> None:
    district.write_now(lambda tx: accounts.invite(tx, invitation_id="i", token="t", user_id="ann"))
    invited = district.write_now(lambda tx: accounts.claim(tx, token="t", email="ann@district.example"))
    assert invited == accounts.Invited(id="i", user_id="ann")
    owners = lambda c: people.people_with(c, "email", "ann@district.example")  # noqa: E731
    assert district.read_now(owners) == []
    district.write_now(lambda tx: accounts.keep_address(tx, "ann", "ann@district.example"))
    assert district.read_now(owners) == ["ann"]


def test_an_address_of_somebody_else_is_refused_and_the_invitation_stays_good(district: Store) -> None:
    add(district)
    district.write_now(lambda tx: accounts.invite(tx, invitation_id="i", token="t", user_id="ann"))
    unit = lambda tx: accounts.claim(tx, token="t", email="ANA@district.example")  # noqa: E731
    assert refused(district, unit) == (422, "invalid")
    assert district.write_now(lambda tx: accounts.claim(tx, token="t", email="ann@district.example")).user_id == "ann"


def test_a_mistyped_address_is_put_right_with_the_next_invitation(district: Store) -> None:
    for number, email in enumerate(("anm@district.example", "ann@district.example")):
        key = f"t{number}"
        district.write_now(lambda tx, k=key: accounts.invite(tx, invitation_id=k, token=k, user_id="ann"))  # type: ignore[misc]
        district.write_now(lambda tx, k=key, e=email: accounts.claim(tx, token=k, email=e))  # type: ignore[misc]
        district.write_now(lambda tx, e=email: accounts.keep_address(tx, "ann", e))  # type: ignore[misc]
    kept = [one.value for one in district.read_now(lambda c: people.contacts_of(c, "ann"))]
    assert kept == ["ann@district.example"]


def test_an_address_that_the_school_has_stays_when_an_account_is_set_up_with_it(district: Store) -> None:
    add(district)
    district.write_now(lambda tx: accounts.keep_address(tx, "u", "another@district.example"))
    assert [one.source for one in district.read_now(lambda c: people.contacts_of(c, "u"))] == [None]


def test_an_invitation_of_somebody_who_has_left_is_worth_nothing(district: Store) -> None:
    district.write_now(lambda tx: accounts.invite(tx, invitation_id="i", token="t", user_id="ann"))
    district.write_now(lambda tx: people.end_person(tx, "ann"))
    unit = lambda tx: accounts.claim(tx, token="t", email="ann@district.example")  # noqa: E731
    assert refused(district, unit) == (403, "invitation-invalid")


def test_a_withdrawn_registration_leaves_nothing_but_its_trace(district: Store) -> None:
    add(district)
    district.write_now(lambda tx: people.grant_role(tx, "u", RoleAt(role="guardian")))
    district.write_now(lambda tx: accounts.withdraw(tx, "u"))
    for table in (m.User, m.Contact, m.RoleAssignment, m.PersonKey):
        assert "u" not in district.read_now(lambda c, t=table: str(c.tuples(t.select())).split("'"))  # type: ignore[misc]


def joined(store: Store, **values: Any) -> str:
    return store.write_now(lambda tx: accounts.join(tx, ExternalIdentity(provider="p", **values)))


def test_a_sis_id_joins_where_no_address_does(district: Store) -> None:
    district.write_now(lambda tx: tx.run(m.User.update(sourced_id="sis-7").where(m.User.id == "ann")))
    assert joined(district, subject="s", user_sourced_id="sis-7") == "ann"
    assert joined(district, subject="s") == "ann"


def test_an_address_that_somebody_gave_for_themselves_joins_nobody_and_keeps_nobody_out(district: Store) -> None:
    email = "teacher@district.example"
    district.write_now(lambda tx: accounts.keep_address(tx, "ann", email))
    with pytest.raises(Refused, match="no account"):
        joined(district, subject="s", email=email)
    district.write_now(lambda tx: people.add_contact(tx, "teacher_a", "email", email))
    assert joined(district, subject="s", email=email) == "teacher_a"


def test_an_address_that_two_people_share_joins_neither(district: Store) -> None:
    for user in ("guardian_ann", "guardian_cy"):
        district.write_now(lambda tx, user=user: people.add_contact(tx, user, "email", "family@home.example"))  # type: ignore[misc]
    with pytest.raises(Refused, match="no account"):
        joined(district, subject="s", email="family@home.example")


@pytest.mark.parametrize("change", [{"enabled": False}, {"ended": True}])
def test_somebody_joined_who_was_switched_off_or_has_left_stays_outside(
    district: Store, change: dict[str, bool]
) -> None:
    add(district)
    assert joined(district, subject="s", email="ana@district.example") == "u"
    district.write_now(lambda tx: tx.run(m.User.update(change).where(m.User.id == "u")))
    with pytest.raises(Refused, match="no account"):
        joined(district, subject="s", email="ana@district.example")


def test_keys_and_invitations_are_made_once_however_often_a_unit_runs(district: Store) -> None:
    def unit(tx: Transaction) -> None:
        accounts.create_key(tx, key_id="k", key="hrk_k", name="K", scopes=["sync"])
        accounts.invite(tx, invitation_id="i", token="t", user_id="ann")

    district.write_now(unit)
    district.write_now(unit)
    kinds = district.read_now(lambda c: c.values(m.Journal.select(m.Journal.kind)))
    assert (kinds.count("api_key.created"), kinds.count("invitation.created")) == (1, 1)
    for _ in range(2):
        district.write_now(lambda tx: accounts.revoke_key(tx, "k"))
    assert district.read_now(accounts.keys) == []


class Misbehaving:
    """A provider that does one bad thing in `start`."""

    label = "Bad"

    def __init__(self, how: str) -> None:
        self.how = how

    async def start(self, **_: Any) -> Any:
        match self.how:
            case "hangs":
                await asyncio.Event().wait()
            case "holds on":
                while True:
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        if self.how == "done":
                            raise
                        self.how = "done"
            case "raises":
                raise RuntimeError("with somebody's name in it")
            case "exits":
                raise SystemExit(1)
            case "lies":
                return "https://elsewhere.example"
        return SignInStart(url="https://login.example")


def door_of(store: Store, answers: Mapping[str, Any]) -> Door:
    """A door whose host answers each hook with one value."""

    async def ask_all(hook: str, **_: Any) -> list[Answer]:
        return [Answer(plugin="it", value=answers.get(hook))]

    async def ask_first(hook: str, **_: Any) -> Answer | None:
        return Answer(plugin="it", value=answers[hook]) if answers.get(hook) else None

    host: Any = SimpleNamespace(ask_all=ask_all, ask_first=ask_first)
    who: Any = SimpleNamespace()
    return Door(store=store, host=host, limiter=MemoryLimiter(), authenticator=who)


@pytest.mark.parametrize("how", ["hangs", "holds on", "raises", "exits", "lies"])
async def test_a_provider_that_misbehaves_costs_one_sign_in(
    sqlite_store: Store, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "_DEADLINE_SECONDS", 0.05)
    provider = Misbehaving(how)
    door = door_of(sqlite_store, {"sign_in_provider": provider})
    with pytest.raises(Refused) as caught:
        await external.begin(door, "it", redirect_uri="https://here.example", browser=None)
    assert (caught.value.status, caught.value.problem) == (503, "provider-unavailable")
    assert "name" not in caught.value.detail
    await asyncio.sleep(0)  # the provider has now been told to give up
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.done()


def credentials(email: str = "ann@district.example", client: str = "192.0.2.1") -> Credentials:
    return Credentials(kind="password", fields={"email": email, "password": "x"}, client=client)


@pytest.mark.parametrize(
    ("answer", "status", "problem"),
    [
        (None, 401, "not-signed-in"),
        (SignIn(user_id="nobody here"), 401, "not-signed-in"),
        (SignIn(refused="Locked."), 403, "sign-in-refused"),
        (SignIn(refused="Busy.", retry_after=3), 503, "sign-in-refused"),
        (SignIn(second_factor=True), 401, "second-factor-needed"),
    ],
)
async def test_a_plugins_refusal_becomes_the_right_answer(
    sqlite_store: Store, answer: SignIn | None, status: int, problem: str
) -> None:
    with pytest.raises(Refused) as caught:
        await sign_in.who_is(door_of(sqlite_store, {"authenticate": answer}), credentials())
    assert (caught.value.status, caught.value.problem) == (status, problem)


async def test_one_address_that_tries_everybody_is_stopped_and_others_are_not(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "PER_ADDRESS", 5)
    door = door_of(sqlite_store, {})
    statuses = []
    for number in range(7):
        with pytest.raises(Refused) as caught:
            await sign_in.who_is(door, credentials(f"p{number}@district.example"))
        statuses.append(caught.value.status)
    assert statuses == [401] * 5 + [429] * 2
    with pytest.raises(Refused) as caught:
        await sign_in.who_is(door, credentials("p9@district.example", client="192.0.2.2"))
    assert caught.value.status == 401


async def test_sign_ons_that_begin_are_counted_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "STARTS", 2)
    limiter = MemoryLimiter()
    for _ in range(2):
        await sign_in.count_start(limiter, "192.0.2.1")
    with pytest.raises(Refused) as caught:
        await sign_in.count_start(limiter, "192.0.2.1")
    assert (caught.value.status, bool(caught.value.retry_after)) == (429, True)
    await sign_in.count_start(limiter, "192.0.2.2")


async def test_an_account_is_guarded_from_many_addresses_together(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "PER_ACCOUNT", 12)
    door = door_of(sqlite_store, {})
    statuses = []
    for number in range(14):
        with pytest.raises(Refused) as caught:
            await sign_in.who_is(door, credentials(client=f"192.0.2.{number}"))
        statuses.append(caught.value.status)
    assert statuses == [401] * 12 + [429] * 2


async def test_a_password_that_no_plugin_keeps_is_not_taken_for_kept(sqlite_store: Store) -> None:
    with pytest.raises(Refused) as caught:
        await sign_in.set_password(door_of(sqlite_store, {}).host, "u", password="x")
    assert (caught.value.status, caught.value.problem) == (503, "no-passwords")
    kept = door_of(sqlite_store, {"set_password": PasswordSet()})
    assert await sign_in.set_password(kept.host, "u", password="x") == PasswordSet()
