"""The one question before data is shown or handed out: denials and failures deny, and entries come first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from homeroom import AccessRequest, Decision, Identity, Refused, Release, RoleAt, gate
from homeroom.limits import MemoryLimiter
from homeroom.services import Services, make_services
from homeroom.store import Store, Transaction, Unavailable
from homeroom.store import models as m
from homeroom.testing import KeptMessages


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A plugin's answer, as the host gives it."""

    plugin: str = "law"
    value: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Plugins:
    """Stands where the plugin host does. `asked` is what it was asked, in order, with what lay in the journal then."""

    store: Store | None = None
    decision: Said = field(default_factory=lambda: Said(value=Decision(allow=True)))
    kept: Said = field(default_factory=Said)
    required: frozenset[str] = frozenset({"law"})
    asked: list[tuple[str, dict[str, Any], int]] = field(default_factory=list)
    lasting: dict[str, gate.Granted] = field(default_factory=dict)

    def implements(self, _hook: str) -> bool:
        """Whether anybody would be asked."""
        return True

    async def ask_all(self, hook: str, **arguments: Any) -> list[Said]:
        """The answer."""
        rows = self.store.read_now(lambda c: len(c.all(m.Journal.select()))) if self.store else 0
        self.asked.append((hook, arguments, rows))
        return [self.decision if hook == "authorize" else self.kept]


def given(store: Store, host: Plugins | None) -> Services:
    scopes = frozenset({"student.given_name", "attendance.status"})
    return make_services(
        "acme", scopes, store=store, limiter=MemoryLimiter(), messages=KeptMessages(), host=lambda: host
    )


@pytest.fixture
def school(sqlite_store: Store) -> Store:
    """A store with one student."""

    def unit(tx: Transaction) -> None:
        tx.insert(m.User, id="ann", given_name="Ann", family_name="Lee", sort_name="lee ann", changed_at=tx.now)
        tx.insert(m.RoleAssignment, user_id="ann", role="student", org_id="north")

    sqlite_store.write_now(unit)
    return sqlite_store


async def test_a_hand_out_is_asked_entered_and_journaled_before_it_is_made(school: Store) -> None:
    host = Plugins(school, Said(value=Decision(allow=True, basis="agreement")))
    [ann] = await given(school, host).roster.students(["ann", "nobody"])
    assert ann.given_name == "Ann"
    assert [(hook, rows) for hook, _, rows in host.asked] == [("authorize", 0), ("audit", 0)]
    asked = host.asked[0][1]["request"]
    assert asked == AccessRequest(
        action="data.handed_out",
        identity=None,
        student_ids=frozenset({"ann"}),
        recipient="acme",
        fields=("given_name",),
    )
    outcome = host.asked[1][1]["outcome"]
    assert (outcome.allowed, outcome.fields, outcome.rows, outcome.basis) == (True, ("given_name",), 1, "agreement")
    [row] = school.read_now(lambda c: c.all(m.Journal.select()))
    assert (row.kind, row.basis) == ("data.handed_out", "agreement")


@pytest.mark.parametrize(
    ("decision", "why"),
    [
        (Said(value=Decision(allow=False, reason="not on file")), "not on file"),
        (Said(value=Decision(allow=False)), "You may not do this"),
        (Said(error=TimeoutError()), "could not be checked"),
    ],
)
async def test_a_denied_hand_out_leaves_nothing_but_the_denials_entry(school: Store, decision: Said, why: str) -> None:
    host = Plugins(school, decision)
    with pytest.raises(Refused, match=why):
        await given(school, host).roster.students(["ann"])
    assert [hook for hook, _, _ in host.asked] == ["authorize", "audit"]
    assert host.asked[1][1]["outcome"].allowed is False
    assert school.read_now(lambda c: c.all(m.Journal.select())) == []


async def test_one_that_cannot_reach_our_own_database_denies_for_a_moment(school: Store) -> None:
    host = Plugins(school, Said(error=Unavailable("the database does not answer")))
    with pytest.raises(Unavailable):
        await given(school, host).roster.students(["ann"])
    assert [hook for hook, _, _ in host.asked] == ["authorize", "audit"]
    assert host.asked[1][1]["outcome"].allowed is False
    assert school.read_now(lambda c: c.all(m.Journal.select())) == []


async def test_what_a_required_plugin_cannot_enter_is_not_handed_out(school: Store) -> None:
    host = Plugins(school, kept=Said(error=TimeoutError()))
    with pytest.raises(Refused, match="audit log"):
        await given(school, host).roster.students(["ann"])
    host.required = frozenset()
    assert len(await given(school, host).roster.students(["ann"])) == 1


async def test_ids_alone_are_no_hand_out_and_ask_nobody(school: Store) -> None:
    host = Plugins(school, Said(value=Decision(allow=False)))
    assert len(await given(school, host).roster.students(["ann"], fields=[])) == 1
    assert await given(school, host).roster.students(["nobody"]) == []
    assert host.asked == []


async def test_a_door_without_a_host_still_enters_the_journal(school: Store) -> None:
    assert len(await given(school, None).roster.students(["ann"])) == 1
    assert len(school.read_now(lambda c: c.all(m.Journal.select()))) == 1


@pytest.mark.parametrize("asking", ["authorize", "audit"])
async def test_a_plugin_cannot_be_handed_data_from_within_its_own_answer(school: Store, asking: str) -> None:
    class Curious(Plugins):
        refusals = 0

        async def ask_all(self, hook: str, **arguments: Any) -> list[Said]:
            """Asks for data where it should answer."""
            if hook == asking:
                with pytest.raises(Refused, match="while it answers"):
                    await given(school, self).roster.students(["ann"])
                self.refusals += 1
            return await super().ask_all(hook, **arguments)

    host = Curious(school)
    assert len(await given(school, host).roster.students(["ann"])) == 1
    assert host.refusals == 1
    assert len(await given(school, host).roster.students(["ann"])) == 1  # the doors are open again


async def test_what_several_plugins_leave_is_joined() -> None:
    class Two(Plugins):
        async def ask_all(self, hook: str, **arguments: Any) -> list[Said]:
            """Three answers, one of them none."""
            del hook, arguments
            one = Decision(allow=True, basis="first", without=frozenset({"a"}))
            two = Decision(allow=True, basis="second", without=frozenset({"b"}), notice="Keep it.")
            return [Said(value=one), Said(value=None), Said(value=two)]

    granted = await gate.ask(Two(), AccessRequest(action="student.search", identity=None))
    assert granted == gate.Granted(basis="first", without=frozenset({"a", "b"}), notice="Keep it.")


@pytest.mark.parametrize(
    ("subject", "decision", "lasts"),
    [
        ("ann", Decision(allow=True, basis="own", lasting=True), True),
        ("ann", Decision(allow=True, basis="own"), False),
        ("ann", None, False),
        ("bob", Decision(allow=True, basis="own", lasting=True), False),
    ],
    ids=["said to last", "not said", "abstained", "somebody else's record"],
)
async def test_an_answer_is_kept_only_for_ones_own_record_and_only_when_it_is_said_to_last(
    subject: str, decision: Decision | None, *, lasts: bool
) -> None:
    host = Plugins(decision=Said(value=decision))
    assert gate.known(host, "attendance.check_in") is None
    identity = Identity(subject=subject, roles=(RoleAt(role="student", org_id="north"),))
    access = AccessRequest(action="attendance.check_in", identity=identity, student_ids=frozenset({"ann"}))

    granted = await gate.ask(host, access)

    assert gate.known(host, "attendance.check_in") == (granted if lasts else None)
    assert gate.known(host, "attendance.read") is None


async def test_what_leaves_is_asked_about_once_and_entered_without_whom_is_left_out(school: Store) -> None:
    decision = Decision(allow=True, basis="consent", without=frozenset({"bob", "eve"}), notice="Do not pass it on.")
    host = Plugins(school, Said(value=decision))
    outside = given(school, host).outside
    released = await outside.release(["ann", "bob"], to="lms", kinds=["attendance.recorded"])
    assert released == Release(students=frozenset({"ann"}), notice="Do not pass it on.")
    assert [(hook, rows) for hook, _, rows in host.asked] == [("authorize", 0), ("audit", 0), ("audit", 0)]
    asked = host.asked[0][1]["request"]
    assert (asked.recipient, asked.fields, asked.in_part) == ("acme.lms", ("attendance.recorded",), True)
    outcomes = [arguments["outcome"] for hook, arguments, _ in host.asked if hook == "audit"]
    assert [(one.allowed, one.student_ids) for one in outcomes] == [(False, {"bob"}), (True, {"ann"})]
    [row] = school.read_now(lambda c: c.all(m.Journal.select()))
    assert (row.kind, row.basis, row.data["plugin"], row.data["student_ids"], row.data["notice"]) == (
        *("data.handed_out", "consent", "acme.lms", ["ann"]),
        True,
    )

    again = await outside.release(["ann"], to="lms", kinds=["attendance.recorded"], again=True)
    assert again.students == {"ann"}
    assert len(school.read_now(lambda c: c.all(m.Journal.select()))) == 1
    assert (await outside.release([], to="lms", kinds=["attendance.recorded"])).students == frozenset()


async def test_nothing_leaves_that_is_denied_and_it_is_told_when_it_cannot_be_said(school: Store) -> None:
    host = Plugins(school, Said(value=Decision(allow=False, reason="not on file")))
    outside = given(school, host).outside
    assert (await outside.release(["ann"], to="lms", kinds=["attendance.recorded"])).students == frozenset()
    host.decision = Said(error=TimeoutError())
    with pytest.raises(Refused, match="could not be checked"):
        await outside.release(["ann"], to="lms", kinds=["attendance.recorded"])
    host.decision, host.kept = Said(value=Decision(allow=True)), Said(error=TimeoutError())
    with pytest.raises(Refused, match="audit log"):
        await outside.release(["ann"], to="lms", kinds=["attendance.recorded"])
    assert school.read_now(lambda c: c.all(m.Journal.select())) == []
