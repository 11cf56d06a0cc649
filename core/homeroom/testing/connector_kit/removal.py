"""Rules on what is gone: only a complete reading that agrees with itself may end anybody, and nobody for good."""

from __future__ import annotations

from dataclasses import replace

import pytest

from homeroom.records import Noun
from homeroom.store import Connection, Store
from homeroom.sync import RunResult
from homeroom.testing.connector_kit.subject import (
    TABLES,
    Rules,
    difference,
    district_store,
    sync_into,
    there,
)
from homeroom.testing.sample import SampleDistrict


class RemovalRules(Rules):
    """Through the real engine, on a database of its own."""

    def test_a_second_run_changes_nothing(self) -> None:
        """What differs from run to run would be written, and shown to everybody, each hour."""

        async def twice() -> tuple[RunResult, RunResult, bool]:
            server = self.subject.server()
            with district_store() as store:
                first = _taken(await sync_into(store, self.subject, server))
                before = await _journal(store)
                second = _taken(await sync_into(store, self.subject, server))
                return first, second, before == await _journal(store)

        first, second, quiet = self.run(twice())
        if not first.added:
            pytest.fail("the first run added nothing at all")
        if second.added or second.changed or second.ended or not quiet:
            pytest.fail(
                f"a second run over the same data added {second.added}, changed {second.changed} and ended "
                f"{second.ended} records; give the same values in the same order each time"
            )

    def test_what_is_gone_ends_and_what_returns_is_restored(self) -> None:
        """A student who leaves a class, and one who is put back."""

        async def leaves_and_returns() -> None:
            whole = self.server()
            with district_store() as store:
                _taken(await sync_into(store, self.subject, whole))
                before = await there(store)
                noun: Noun = "enrollment" if before["enrollment"] else "user"
                less = self.server(district=_without_one(noun, whole.district))
                gone = _taken(await sync_into(store, self.subject, less))
                during = await there(store)
                back = _taken(await sync_into(store, self.subject, whole))
                after = await there(store)
            lost = len(before[noun]) - len(during[noun])
            if lost != 1 or gone.ended != 1:
                why = f" ({gone.reason})" if gone.reason else ""
                pytest.fail(
                    f"one {noun} was gone from a complete reading and {gone.ended} records ended{why}; "
                    "a total must count what the pages hold, and ids must not move up"
                )
            if after != before or back.changed + back.added != 1:
                pytest.fail("the record that returned was not restored; give it the id that it had before")

        self.run(leaves_and_returns())

    def test_an_empty_answer_removes_nobody(self) -> None:
        """A server that was just restored, or lost our rights, answers with empty lists."""
        self._removes_nobody("empty", "after empty answers")

    def test_half_an_answer_removes_nobody(self) -> None:
        """A list that ends in the middle looks like any other."""
        self._removes_nobody("half", "after lists that ended in the middle")

    def test_an_outage_removes_nobody(self) -> None:
        """The page that says "back soon" is a failure, not a district without students."""
        result = self._removes_nobody("outage", "during an outage")
        if result.status != "failed":
            pytest.fail("a run during an outage did not fail; an answer that is no data is a SourceError, not no rows")

    def test_a_repeated_page_removes_nobody(self) -> None:
        """The second page is the first one again: what should have been on it is not gone."""
        self._removes_nobody("repeat-page", "after a page came twice")

    def test_rows_that_move_remove_nobody(self) -> None:
        """Rows move between pages while they are read: some come twice, some not at all."""
        self._removes_nobody("moving-rows", "after rows moved between pages")

    def _removes_nobody(self, kind: str, when: str) -> RunResult:
        server = self.server()

        async def bad() -> tuple[RunResult, str, str]:
            with district_store() as store:
                _taken(await sync_into(store, self.subject, server))
                before = await there(store)
                server.misbehave = {kind}
                result = await sync_into(store, self.subject, server)
                lost = difference(before, await there(store))
                server.misbehave = set()
                _taken(await sync_into(store, self.subject, server))
                return result, lost, difference(before, await there(store))

        result, lost, for_good = self.run(bad())
        if lost:
            pytest.fail(f"{lost} ended {when}; give Page.total, or raise SourceError where an answer cannot be whole")
        if for_good:
            pytest.fail(f"{for_good} did not come back {when}")
        return result


def _taken(result: RunResult) -> RunResult:
    if result.status != "done":
        pytest.fail(f"a run on a server that behaves is {result.status}: {result.reason}")
    return result


async def _journal(store: Store) -> list[tuple[object, ...]]:
    def query(connection: Connection) -> list[tuple[object, ...]]:
        counted = [connection.sql(f"SELECT count(*), max(changed_at) FROM {table}") for table in TABLES.values()]  # noqa: S608 - names are ours
        roster = [row for rows in counted for row in rows]
        return [*roster, *connection.sql("SELECT count(*) FROM journal WHERE kind NOT LIKE 'sync.%'")]

    return await store.read(query)


def _without_one(noun: Noun, district: SampleDistrict) -> SampleDistrict:
    """The same district in which the last student has left one class, or the district."""
    seats, users = district.enrollments, district.users
    if noun == "enrollment":
        last = max(n for n, seat in enumerate(seats) if seat.role == "student")
        return replace(district, enrollments=[*seats[:last], *seats[last + 1 :]])
    gone = district.people("student")[-1]
    return replace(
        district,
        users=[user for user in users if user is not gone],
        enrollments=[seat for seat in seats if seat.user != gone.sourced_id],
    )
