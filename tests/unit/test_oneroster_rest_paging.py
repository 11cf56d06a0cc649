"""Hazards 8, 12 and 13: going through a collection of a server that clamps, leaves headers out, or moves its rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom import SourceError
from homeroom_oneroster.walk import Answer, Position, Sheet, mark, walk


@dataclass
class Server:
    """A collection, and what its server does with `limit` and `offset`; `meanwhile` happens after each answer."""

    rows: list[str]
    limit: int = 10
    links: bool = False
    totals: bool = False
    loops: bool = False
    revisions: list[str] = field(default_factory=list)
    meanwhile: Callable[[Server], None] = lambda _: None
    asked: list[int] = field(default_factory=list)

    async def ask(self, offset: int) -> Answer:
        self.asked.append(offset)
        rows = self.choose(offset)
        answer = Answer(
            rows=[{"sourcedId": row} for row in rows],
            total=len(self.rows) if self.totals else None,
            more=self.loops or (self.links and offset + len(rows) < len(self.rows)),
            revision=self.revisions.pop(0) if len(self.revisions) > 1 else next(iter(self.revisions), None),
        )
        self.meanwhile(self)
        return answer

    def choose(self, offset: int) -> Sequence[str]:
        return self.rows[offset : offset + self.limit]


class Repeating(Server):
    """Gives its first page whatever it is asked for."""

    def choose(self, offset: int) -> Sequence[str]:  # noqa: ARG002 - that is the point
        return self.rows[: self.limit]


async def read(server: Server, position: Position | None = None) -> list[Sheet]:
    return [sheet async for sheet in walk(server.ask, position or Position())]


def ids(sheets: Sequence[Sheet]) -> list[str]:
    return [row["sourcedId"] for sheet in sheets for row in sheet.rows]


def names(count: int) -> list[str]:
    return [f"id-{number:04}" for number in range(count)]


@given(
    count=st.integers(0, 60), limit=st.integers(2, 25), links=st.booleans(), totals=st.booleans(), loops=st.booleans()
)
async def test_every_row_comes_once_in_order_whatever_the_server_tells_about_its_pages(
    *, count: int, limit: int, links: bool, totals: bool, loops: bool
) -> None:
    server = Server(names(count), limit=limit, links=links, totals=totals, loops=loops)

    sheets = await read(server)

    assert ids(sheets) == names(count)
    assert [sheet.is_last for sheet in sheets] == [False] * (len(sheets) - 1) + [True]
    assert not any(sheet.doubt for sheet in sheets)
    assert len(server.asked) <= count // (limit - 1) + 2


async def test_a_server_that_tells_its_count_is_not_asked_once_more() -> None:
    server = Server(names(30), totals=True)

    await read(server)

    assert server.asked == [0, 9, 18, 27]


async def test_a_server_whose_last_page_names_no_next_one_is_not_asked_once_more() -> None:
    server = Server(names(25), links=True)

    await read(server)

    assert server.asked == [0, 9, 18]


@given(count=st.integers(0, 60), limit=st.integers(2, 25), stop=st.integers(0, 40))
async def test_reading_goes_on_behind_any_sheet_after_a_restart_of_the_process(
    count: int, limit: int, stop: int
) -> None:
    whole = await read(Server(names(count), limit=limit))
    stop = min(stop, len(whole) - 1)
    told = orjson.loads(orjson.dumps(whole[stop].position.told()))

    rest = await read(Server(names(count), limit=limit), Position(**told))

    assert ids(rest) == ids(whole[stop + 1 :])


@given(
    count=st.integers(20, 60),
    seed=st.integers(0, 1000),
    takes_away=st.booleans(),
    links=st.booleans(),
    totals=st.booleans(),
)
async def test_no_row_that_stays_is_skipped_when_others_come_and_go_while_they_are_read(
    *, count: int, seed: int, takes_away: bool, links: bool, totals: bool
) -> None:
    chance = random.Random(seed)

    def meanwhile(server: Server) -> None:
        if chance.random() < 0.4:
            return
        if takes_away:
            server.rows.pop(chance.randrange(len(server.rows)))
        else:
            server.rows.append(f"id-{chance.randrange(count):04}-new")
        server.rows.sort()

    server = Server(names(count), meanwhile=meanwhile, links=links, totals=totals)

    sheets = await read(server)

    always = set(names(count)) & set(server.rows)
    assert always <= set(ids(sheets)) or sheets[-1].doubt or _is_short(sheets)


def _is_short(sheets: Sequence[Sheet]) -> bool:
    """Whether the server's own count shows that something is missing."""
    total = sheets[-1].total
    return total is not None and len(set(ids(sheets))) != total


async def test_a_page_that_comes_twice_by_mishap_is_asked_for_again() -> None:
    class Stumbling(Server):
        def choose(self, offset: int) -> Sequence[str]:
            return super().choose(0 if len(self.asked) == 2 else offset)

    sheets = await read(Stumbling(names(35)))

    assert ids(sheets) == names(35)
    assert sheets[-1].doubt is None


async def test_a_server_that_knows_no_offset_ends_and_nobody_is_taken_for_gone() -> None:
    sheets = await read(Repeating(names(35)))

    assert ids(sheets) == names(10)
    assert sheets[-1].doubt is not None


async def test_a_server_that_gives_all_its_rows_each_time_and_counts_them_is_believed() -> None:
    sheets = await read(Repeating(names(8), totals=True))

    assert ids(sheets) == names(8)
    assert sheets[-1].doubt is None


@given(count=st.integers(0, 60), limit=st.integers(2, 25))
async def test_a_server_that_counts_the_rows_of_its_page_alone_is_read_to_the_end(count: int, limit: int) -> None:
    server = Server(names(count), limit=limit)

    async def ask(offset: int) -> Answer:
        answer = await server.ask(offset)
        return replace(answer, total=len(answer.rows), full=len(answer.rows) == limit)

    sheets = [sheet async for sheet in walk(ask, Position())]

    assert ids(sheets) == names(count)


async def test_a_next_page_that_names_itself_ends() -> None:
    server = Repeating(names(1), loops=True)

    assert ids(await read(server)) == names(1)
    assert len(server.asked) == 2


async def test_a_change_of_what_we_may_see_starts_again_from_the_first_row() -> None:
    server = Server(names(25), revisions=["a", "a", "b"])

    sheets = await read(server)

    assert ids(sheets) == names(19) + names(25)
    assert server.asked[:4] == [0, 9, 18, 0]


async def test_a_server_that_never_keeps_its_order_is_read_to_its_end_and_doubted() -> None:
    chance = random.Random(4)
    server = Server(names(40), meanwhile=lambda server: chance.shuffle(server.rows))

    sheets = await read(server)

    assert sheets[-1].doubt is not None
    assert sheets[-1].total is None


async def test_a_server_that_goes_in_circles_is_left_with_a_reason() -> None:
    class Circling(Server):
        def choose(self, offset: int) -> Sequence[str]:
            return [f"id-{(offset + number) % 70}" for number in range(10)]

    with pytest.raises(SourceError, match="again and again"):
        await read(Circling([]), replace(Position(), steady=False))


async def test_rows_without_an_id_are_told_apart_by_what_is_in_them() -> None:
    class Nameless(Server):
        async def ask(self, offset: int) -> Answer:
            rows: list[Any] = [{"sourcedId": "", "title": str(number)} for number in range(25)]
            return Answer(rows=rows[offset : offset + 10])

    sheets = await read(Nameless([]))

    assert [row["title"] for sheet in sheets for row in sheet.rows] == [str(number) for number in range(25)]
    assert mark("no object at all").startswith("?")
