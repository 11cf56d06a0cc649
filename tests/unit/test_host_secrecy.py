"""Secrets among a plugin's settings: shown by a stand-in, kept wherever they stand, and sent nowhere new."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from homeroom.host.secrecy import Keeper, addresses, defaults_of, is_secret, raw_tree, secrets_in, tree_of

KEY = b"k" * 32
ONE, TWO = "canary-number-one", "canary-number-two"


class Endpoint(BaseModel):
    url: str
    secret: SecretStr


class Hooks(BaseModel):
    base_url: str = "https://api.example"
    token: SecretStr | None = None
    endpoints: list[Endpoint] = []
    old_tokens: list[SecretStr] = []


def keeper(**values: Any) -> Keeper:
    return Keeper(tree_of(Hooks.model_validate(values)), KEY)


ENDPOINTS = [{"url": "https://one.example/a", "secret": ONE}, {"url": "https://two.example/b", "secret": TWO}]


def astray(now: Keeper, typed: set[str] | None = None, **values: Any) -> set[str]:
    """The settings whose kept secrets would go elsewhere, were these saved."""
    candidate = tree_of(Hooks.model_validate(values))
    return {name for name, _ in now.astray(candidate, typed or set(), addresses(defaults_of(Hooks)))}


def test_no_secret_is_shown_in_whatever_depth() -> None:
    now = keeper(token=ONE, endpoints=ENDPOINTS, old_tokens=[TWO])
    shown = now.shown()
    assert shown["token"] == "set"
    stand_ins = [one["secret"] for one in shown["endpoints"]] + shown["old_tokens"]
    assert all(text.startswith("set:") for text in stand_ins)
    assert stand_ins[0] != stand_ins[1] == stand_ins[2]
    assert "canary" not in str(shown)
    assert "canary" not in repr(now)
    assert Keeper(now.tree, b"x" * 32).shown()["endpoints"] != shown["endpoints"]


def test_a_kept_secret_follows_its_row_when_another_is_taken_out() -> None:
    now = keeper(endpoints=ENDPOINTS)
    rows = now.shown()["endpoints"]
    assert now.restored(rows[1:], ("endpoints",)) == ENDPOINTS[1:]
    new = {"url": "https://three.example", "secret": "fresh"}
    assert now.restored([*rows, new], ("endpoints",)) == [*ENDPOINTS, new]
    assert now.restored("set:0000000000000000", ("endpoints", 0, "secret")) == "set:0000000000000000"
    assert now.restored("set", ("base_url",)) == "set"


@pytest.mark.parametrize("url", ["https://evil.example/a", "https://one.example:8443/a", "http://one.example/a"])
def test_a_rows_secret_goes_only_where_the_row_leads_now(url: str) -> None:
    now = keeper(endpoints=ENDPOINTS)
    moved = [{"url": url, "secret": ONE}, ENDPOINTS[1]]
    assert astray(now, endpoints=moved) == {"endpoints"}
    assert astray(now, typed={ONE}, endpoints=moved) == set()
    assert astray(now, endpoints=[{**ENDPOINTS[0], "url": "https://one.example/another"}]) == set()


def test_a_secret_is_not_lent_to_another_row() -> None:
    assert astray(keeper(endpoints=ENDPOINTS), endpoints=[{**ENDPOINTS[0], "secret": TWO}]) == {"endpoints"}


def test_a_new_row_asks_nothing_of_the_others() -> None:
    more = [*ENDPOINTS, {"url": "https://three.example", "secret": "fresh"}]
    assert astray(keeper(endpoints=ENDPOINTS), typed={"fresh"}, endpoints=more) == set()


def test_the_address_that_holds_when_nobody_sets_one_is_not_new() -> None:
    now = keeper(token=ONE, base_url="https://api.example.eu")
    assert astray(now, token=ONE) == set()
    assert astray(now, token=ONE, base_url="https://evil.example") == {"token"}


def test_a_kept_secret_is_not_read_where_it_is_none() -> None:
    now = keeper(token=ONE, endpoints=ENDPOINTS)
    assert "settings" in astray(now, token=ONE, base_url=f"https://api.example/?{ONE}")


def test_of_settings_that_are_wrong_secrets_are_hidden_too() -> None:
    given = {"token": ONE, "endpoints": [{"url": 7, "secret": TWO}], "tokn": "canary-misspelt", "old_tokens": [ONE]}
    tree = raw_tree(given, Hooks.model_json_schema(), Hooks)
    assert {text for _, text in secrets_in(tree)} == {ONE, TWO}
    assert "canary" not in str(Keeper(tree, KEY).shown())
    assert tree["base_url"] == "https://api.example"


def test_a_secret_is_known_by_its_schema() -> None:
    schema = Hooks.model_json_schema()
    assert [name for name in Hooks.model_fields if is_secret(schema, name)] == ["token"]


def test_addresses_are_compared_by_where_they_lead() -> None:
    found = addresses(
        {"host": "Mail.Example", "base_url": "https://A.example/x", "from_email": "a@b.example", "port": 1}
    )
    assert found == {"mail.example", "https://a.example:"}
    assert addresses({"token_url": "https://[bad"}) == {"https://[bad"}
