"""Rules on `pull()`: the same ids each time, references that resolve, and reading that goes on from any page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from homeroom.records import NOUNS, Class, Course, Enrollment, Noun, Org, Page, Record, User
from homeroom.testing.connector_kit.subject import Reading, Rules, nouns_of, read, read_all, records_of

_TRIED = 6  # cursors of one noun
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class ReadingRules(Rules):
    """What a well-behaved server is read as."""

    def test_what_it_reads_and_writes_is_stated(self) -> None:
        """The engine asks for nouns in the order in which they refer to each other; the admin page shows the rest."""

        async def look() -> None:
            async with self.subject.open(self.subject.server()) as opened:
                connector = opened.connector
                nouns = tuple(connector.nouns)
                if nouns != tuple(nouns_of(connector)) or not {"org", "user"} <= set(nouns):
                    pytest.fail(f"nouns is {nouns}; name org, user and what else it reads, in the order of NOUNS")
                if connector.attendance_out not in ("api", "file", "none"):
                    pytest.fail(f'attendance_out is {connector.attendance_out!r}; it is "api", "file" or "none"')
                if connector.attendance_level not in ("class", "day"):
                    pytest.fail(f'attendance_level is {connector.attendance_level!r}; it is "class" or "day"')

        self.run(look())

    def test_each_noun_gives_its_own_records(self) -> None:
        """A record of another noun would be staged under the wrong name."""
        for noun, pages in self._reading().items():
            if wrong := {type(record).__name__ for record in records_of(pages) if record.noun != noun}:
                pytest.fail(
                    f"pull({noun}) gave records of the type {min(wrong)}; give only those of the noun asked for"
                )

    def test_ids_are_stable_and_unique(self) -> None:
        """An id that changes makes a new person of everybody; one that is given twice makes one person of two."""
        first, again = self._reading(), self._reading()
        for noun in first:
            ids = [record.sourced_id for record in records_of(first[noun])]
            if not all(isinstance(one, str) and one and one == one.strip() for one in ids):
                pytest.fail(f"a {noun} has an id that is empty or no text; use the vendor's own, as text")
            if twice := [one for one, count in Counter(ids).items() if count > 1]:
                pytest.fail(f"{len(twice)} {noun} ids came twice, such as {twice[0]}; an id is unique within its noun")
            if set(ids) != {record.sourced_id for record in records_of(again[noun])}:
                pytest.fail(f"the ids of {noun} differ between two readings; take them from the vendor, make none up")

    def test_references_resolve(self) -> None:
        """A class of an unknown school, or an enrollment of an unknown student, cannot be taken over."""
        reading = self._reading()
        known = {noun: {record.sourced_id for record in records_of(pages)} for noun, pages in reading.items()}
        dangling: Counter[str] = Counter()
        for pages in reading.values():
            for record in records_of(pages):
                for field, noun, sourced_id in _references(record):
                    if noun in known and sourced_id not in known[noun]:
                        dangling[f"{record.noun}.{field} names a {noun} that was not read, such as {sourced_id}"] += 1
        if dangling:
            [(text, _)] = dangling.most_common(1)
            pytest.fail(f"{text}; use the same kind of id in both places")

    def test_counts_agree_with_what_was_read(self) -> None:
        """Where a total is given, a full run takes nothing for gone unless it agrees."""
        for noun, pages in self._reading().items():
            totals = {page.total for page in pages if page.total is not None}
            read_ = len({record.sourced_id for record in records_of(pages)}) + sum(len(page.errors) for page in pages)
            if totals and totals != {read_}:
                pytest.fail(
                    f"{noun}: the pages say {sorted(totals)} in all and hold {read_}; leave total out if unsure"
                )

    def test_reading_resumes_at_every_checkpoint(self) -> None:
        """A run that was killed goes on from its last page's cursor, in another process."""
        tried = self.run(self._resumed())
        if not tried:
            pytest.skip("everything fits on one page; give a setting that makes pages smaller")

    def test_asking_for_changes_leaves_nothing_out(self) -> None:
        """What changed since the year 2000 is everything: a date in the wrong form finds nothing, or fails."""

        async def since() -> Reading:
            async with self.subject.open(self.subject.server()) as opened:
                connector = opened.connector
                return {noun: await read(connector, noun, since=_LONG_AGO) for noun in nouns_of(connector)}

        everything, changed = self._reading(), self.run(since())
        for noun in everything:
            missing = _ids(everything[noun]) - _ids(changed[noun])
            if missing:
                pytest.fail(
                    f"pull({noun}, since=2000) leaves out {len(missing)} records; see how the vendor reads dates"
                )

    async def _resumed(self) -> int:
        """How many cursors were tried."""
        server, tried = self.subject.server(), 0
        async with self.subject.open(server) as opened:
            reading = await read_all(opened.connector)
        for noun, pages in reading.items():
            if len(pages) < 2:  # noqa: PLR2004 - nothing follows
                continue
            for position in _some(len(pages) - 1):
                cursor, rest = pages[position].cursor, records_of(pages[position + 1 :])
                if cursor is None:
                    pytest.fail(
                        f"page {position + 1} of {noun} has no cursor; give one from which the next page follows"
                    )
                async with self.subject.open(server) as opened:
                    again = records_of(await read(opened.connector, noun, cursor=cursor))
                if again != rest:
                    pytest.fail(
                        f"reading {noun} on from the cursor of page {position + 1} gave {len(again)} records, not the "
                        f"{len(rest)} that followed it; keep the whole place in the cursor, and nothing in memory"
                    )
                tried += 1
        return tried

    def _reading(self) -> Reading:
        async def go() -> Reading:
            async with self.subject.open(self.subject.server()) as opened:
                return await read_all(opened.connector)

        return self.run(go())


def _ids(pages: list[Page]) -> set[str]:
    return {record.sourced_id for record in records_of(pages)}


def _some(count: int) -> list[int]:
    """Some positions, the first and the last among them."""
    step = max(1, count // _TRIED)
    return sorted({*range(0, count, step), count - 1})


def _references(record: Record) -> Iterator[tuple[str, Noun, str]]:
    """The field, noun and id of what a record names; those that are None or have ended are left out."""
    named: list[tuple[str, Noun, str | None]] = []
    match record:
        case Org():
            named = [("parent", "org", record.parent)]
        case Course():
            named = [("org", "org", record.org)]
        case Class():
            terms = [("terms", NOUNS[1], term) for term in record.terms]
            named = [("school", "org", record.school), ("course", "course", record.course), *terms]
        case User():
            roles = [("roles", NOUNS[0], role.org) for role in record.roles if role.status == "active"]
            named = [*roles, *(("agents", NOUNS[4], agent) for agent in record.agents)]
        case Enrollment():
            named = [
                ("user", "user", record.user),
                ("class_", "class", record.class_),
                ("school", "org", record.school),
            ]
    if record.status == "active":
        yield from ((field, noun, sourced_id) for field, noun, sourced_id in named if sourced_id is not None)
