"""The one question before data is shown: a failure denies, and our own database being away is said as such."""

from __future__ import annotations

from typing import Any

import pytest

from homeroom import gate
from homeroom.host.calls import Answer
from homeroom.store import Refused, Unavailable
from homeroom.types import AccessRequest

ASKED = AccessRequest(action="student.read", identity=None, student_ids=frozenset({"ann"}))


class Plugins:
    """A host whose one plugin fails in `authorize`; what it is told to enter is kept."""

    required = frozenset[str]()
    lasting: dict[str, gate.Granted]

    def __init__(self, error: Exception) -> None:
        self.lasting = {}
        self.entered: list[Any] = []
        self._error = error

    def implements(self, hook: str) -> bool:
        del hook
        return True

    async def ask_all(self, hook: str, **arguments: Any) -> list[Answer]:
        if hook == "authorize":
            return [Answer(plugin="p", error=self._error)]
        self.entered.append(arguments["outcome"])
        return []


async def test_a_plugin_that_cannot_say_denies_for_good_reason() -> None:
    host = Plugins(ValueError("broken"))
    with pytest.raises(Refused) as refused:
        await gate.ask(host, ASKED)
    assert (refused.value.status, refused.value.problem) == (403, "not-allowed")
    assert [outcome.reason for outcome in host.entered] == ["not-checked"]


async def test_one_that_cannot_reach_our_database_denies_for_a_moment() -> None:
    host = Plugins(Unavailable("the database does not answer"))
    with pytest.raises(Unavailable):
        await gate.ask(host, ASKED)
    assert [outcome.allowed for outcome in host.entered] == [False]
    assert not host.lasting
