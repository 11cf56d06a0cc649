"""How a collection is asked for, what an answer holds, and a cursor from which asking goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from homeroom import Reply, SourceError
from homeroom_oneroster.walk import Answer, Position

SMALL = 100  # OneRoster's own default: no server's cap is lower


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a collection is asked for: what a server refuses is left out the next time."""

    limit: int
    sort: bool = True
    filtered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A cursor: no two pages of one reading have the same `number`."""

    filtered: bool
    position: Position = field(default_factory=Position)
    number: int = 0

    def next(self, position: Position, *, filtered: bool) -> Place:
        """The place behind the next page."""
        return Place(filtered=filtered, position=position, number=self.number + 1)

    def text(self) -> str:
        """The cursor as text, for `read`."""
        return orjson.dumps({"filtered": self.filtered, "number": self.number, **self.position.told()}).decode()

    @classmethod
    def read(cls, text: str) -> Place:
        """The place that `text` says. Raises SourceError for one of another connector."""
        try:
            told = orjson.loads(text)
            filtered, number = bool(told.pop("filtered")), int(told.pop("number"))
            return cls(filtered=filtered, number=number, position=Position(**told))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise SourceError("the place to read on from is not one of this connector; start a new run") from None


def ever_less(wish: Wish, *, may_read_all: bool) -> list[Wish]:
    """The wish, then without what servers are known to refuse, dearest last."""
    found = []
    for filtered in (True, False) if wish.filtered and may_read_all else (wish.filtered,):
        for limit in (wish.limit, SMALL) if wish.limit > SMALL else (wish.limit,):
            found += [
                Wish(limit=limit, sort=sort, filtered=filtered) for sort in ((True, False) if wish.sort else (False,))
            ]
    return found


def answer_of(reply: Reply, collection: str) -> Answer:
    """The rows of an answer and what it tells about the rest. Raises SourceError where there is no list of them."""
    found = reply.data.get(collection) if isinstance(reply.data, dict) else reply.data
    if not isinstance(found, list):
        raise SourceError(f"the answer holds no list of {collection}; check that base_url is OneRoster's")
    total = reply.headers.get("x-total-count", "")
    return Answer(
        rows=found,
        total=int(total) if total.isascii() and total.isdecimal() else None,
        more=reply.next is not None,
        revision=reply.headers.get("x-perm-rev"),
    )
