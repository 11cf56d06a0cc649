"""The plugin as the host sees it: it keeps to the rules that every plugin keeps to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from homeroom import Services
from homeroom.store import Store
from homeroom.store.cipher import Cipher
from homeroom.store.migrate import upgrade
from homeroom.testing import plugin_tests, services
from homeroom_ferpa import Ferpa
from tests.services.sealed import MIGRATIONS

_open: list[Store] = []


@pytest.fixture(scope="module", autouse=True)
def one_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A database with the plugin's tables."""
    url = f"sqlite:///{tmp_path_factory.mktemp('ferpa') / 'homeroom.db'}"
    upgrade(url, {"ferpa": MIGRATIONS})
    with Store(url, cipher=Cipher([bytes(range(32))])) as store:
        _open.append(store)
        yield
        _open.clear()


def given_services() -> Services:
    return services("ferpa", store=_open[0])


TestFerpa = plugin_tests(Ferpa, {}, services=given_services)
