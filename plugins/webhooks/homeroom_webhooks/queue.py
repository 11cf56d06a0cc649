"""The plugin's tables, and every statement on them.

`plugin` is the name of the instance; `mine` is that with the name of an endpoint. Moments are passed in, because a unit
of work reads no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from homeroom import Connection, Event, Transaction
from homeroom_webhooks.event import body_of, message_id, told_by
from homeroom_webhooks.settings import Endpoint

COUNTED = 10_000
"""More than so many that wait are not counted one by one."""

_AT_ONCE = 50
_ROWS = 100  # in one INSERT
_GIVEN_UP_AT_ONCE = 5_000
_STATE = (
    "failures, failing_since, problem, retry_at, succeeded_at, gone_at, given_up, given_up_at, leased_until, holder"
)
_OF = "plugin = ? AND name = ?"
_IN = "plugin = ? AND endpoint = ?"

_KNOW = """
INSERT INTO webhooks_endpoints (plugin, name, since, address) VALUES (?, ?, ?, ?)
ON CONFLICT (plugin, name) DO UPDATE SET address = excluded.address, gone_at = NULL, retry_at = NULL
WHERE webhooks_endpoints.address <> excluded.address
"""
_LEASE = f"""
UPDATE webhooks_endpoints SET holder = ?, leased_until = ?
WHERE {_OF} AND (holder IS NULL OR holder = ? OR leased_until < ?) RETURNING name
"""  # noqa: S608 - constants
_GIVE_UP = f"""
DELETE FROM webhooks_queue WHERE {_IN} AND id IN (
SELECT id FROM webhooks_queue WHERE {_IN} AND kept_at < ? ORDER BY id LIMIT {_GIVEN_UP_AT_ONCE}) RETURNING id
"""  # noqa: S608 - constants
_WITHHOLD = """
INSERT INTO webhooks_withheld (plugin, endpoint, events, at) VALUES (?, ?, ?, ?)
ON CONFLICT (plugin, endpoint) DO UPDATE SET events = webhooks_withheld.events + excluded.events, at = excluded.at
"""

Mine = tuple[str, str]
"""The instance of the plugin, and the endpoint's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One event in a queue."""

    id: int
    message_id: str
    kept_at: datetime
    kind: str
    student_id: str | None
    body: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How an endpoint fares. `failures` are those in a row, `problem` the last of them.

    `withheld` events concerned students whose records may not go there.
    """

    failures: int = 0
    failing_since: datetime | None = None
    problem: str | None = None
    retry_at: datetime | None = None
    succeeded_at: datetime | None = None
    gone_at: datetime | None = None
    given_up: int = 0
    given_up_at: datetime | None = None
    withheld: int = 0
    withheld_at: datetime | None = None
    leased_until: datetime | None = None
    holder: str | None = None


def know(tx: Transaction, plugin: str, addresses: Mapping[str, str], now: datetime) -> None:
    """Begin with endpoints that are new; one whose address or secret is another than before is tried again at once.

    `addresses` holds for each name something that changes with either.
    """
    for name, address in addresses.items():
        tx.write_sql(_KNOW, (plugin, name, _text(now), address))


def forget(tx: Transaction, plugin: str, names: Collection[str], before: datetime) -> None:
    """Delete what has waited since `before` for endpoints that are not among `names` any more."""
    others = "".join(" AND endpoint <> ?" for _ in names)
    tx.write_sql(
        f"DELETE FROM webhooks_queue WHERE plugin = ? AND kept_at < ?{others}",  # noqa: S608 - marks only
        (plugin, _text(before), *names),
    )


def take(tx: Transaction, plugin: str, endpoints: Sequence[Endpoint], events: Sequence[Event], now: datetime) -> None:
    """Put the events into the queues of the endpoints that want them; one that was handed over before is left out."""
    rows = tx.sql("SELECT name, since, taken FROM webhooks_endpoints WHERE plugin = ?", (plugin,))
    known = {name: (_moment(since), taken) for name, since, taken in rows}
    for endpoint in endpoints:
        since, taken = known[endpoint.name]
        new = [one for one in events if one.id > taken and since is not None and one.at >= since]
        kept = [
            (plugin, endpoint.name, one.id, message_id(one), _text(now), body_of(one))
            for one in new
            if endpoint.wants(one.kind)
        ]
        for start in range(0, len(kept), _ROWS):
            some = kept[start : start + _ROWS]
            marks = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(some))
            tx.write_sql(
                f"INSERT INTO webhooks_queue (plugin, endpoint, id, message_id, kept_at, body) VALUES {marks}",  # noqa: S608 - marks only
                [value for row in some for value in row],
            )
        tx.write_sql(
            f"UPDATE webhooks_endpoints SET taken = ? WHERE {_OF} AND taken < ?",  # noqa: S608 - constants
            (events[-1].id, plugin, endpoint.name, events[-1].id),
        )


def standing(connection: Connection, mine: Mine) -> tuple[State, list[Waiting]]:
    """How the endpoint fares, and what is to be sent to it next, in order."""
    rows = connection.sql(
        f"SELECT id, message_id, kept_at, body FROM webhooks_queue WHERE {_IN} ORDER BY id LIMIT {_AT_ONCE}",  # noqa: S608 - constants
        mine,
    )
    return state_of(connection, mine), [_waiting(*row) for row in rows]


def state_of(connection: Connection, mine: Mine) -> State:
    """How the endpoint fares."""
    rows = connection.sql(f"SELECT {_STATE} FROM webhooks_endpoints WHERE {_OF}", mine)  # noqa: S608 - constants
    if not rows:
        return State()
    failures, failing_since, problem, retry_at, succeeded_at, gone_at, given_up, given_up_at, leased_until, holder = (
        rows[0]
    )
    withheld = connection.sql(f"SELECT events, at FROM webhooks_withheld WHERE {_IN}", mine)  # noqa: S608 - constants
    return State(
        failures=failures,
        failing_since=_moment(failing_since),
        problem=problem,
        retry_at=_moment(retry_at),
        succeeded_at=_moment(succeeded_at),
        gone_at=_moment(gone_at),
        given_up=given_up,
        given_up_at=_moment(given_up_at),
        withheld=withheld[0][0] if withheld else 0,
        withheld_at=_moment(withheld[0][1]) if withheld else None,
        leased_until=_moment(leased_until),
        holder=holder,
    )


def lag(connection: Connection, mine: Mine) -> tuple[int, datetime | None]:
    """How many events wait (at most COUNTED and one), and since when the oldest does."""
    count = connection.sql(
        f"SELECT COUNT(*) FROM (SELECT 1 FROM webhooks_queue WHERE {_IN} LIMIT {COUNTED + 1}) AS waiting",  # noqa: S608 - constants
        mine,
    )[0][0]
    oldest = connection.sql(f"SELECT kept_at FROM webhooks_queue WHERE {_IN} ORDER BY id LIMIT 1", mine)  # noqa: S608 - constants
    return count, _moment(oldest[0][0]) if oldest else None


def lease(tx: Transaction, mine: Mine, holder: str, *, now: datetime, until: datetime) -> bool:
    """Whether `holder` may send to the endpoint until then."""
    return bool(tx.write_sql(_LEASE, (holder, _text(until), *mine, holder, _text(now))))


def give_back(tx: Transaction, plugin: str, holder: str) -> None:
    """Let other processes send to the endpoints that `holder` has sent to."""
    tx.write_sql(
        "UPDATE webhooks_endpoints SET holder = NULL, leased_until = NULL WHERE plugin = ? AND holder = ?",
        (plugin, holder),
    )


def arrived(tx: Transaction, mine: Mine, event_id: int, now: datetime) -> None:
    """Take an event that has arrived out of the queue; whatever was wrong with the endpoint is over."""
    tx.write_sql(f"DELETE FROM webhooks_queue WHERE {_IN} AND id = ?", (*mine, event_id))  # noqa: S608 - constants
    tx.write_sql(
        f"UPDATE webhooks_endpoints SET succeeded_at = ?, failures = 0, failing_since = NULL, problem = NULL, "  # noqa: S608 - constants
        f"retry_at = NULL, gone_at = NULL WHERE {_OF}",
        (_text(now), *mine),
    )


def failed(tx: Transaction, mine: Mine, problem: str, *, now: datetime, retry_at: datetime) -> None:
    """Keep that an attempt came to nothing, and when the next one is due."""
    tx.write_sql(
        f"UPDATE webhooks_endpoints SET failures = failures + 1, failing_since = COALESCE(failing_since, ?), "  # noqa: S608 - constants
        f"problem = ?, retry_at = ? WHERE {_OF}",
        (_text(now), problem, _text(retry_at), *mine),
    )


def gone(tx: Transaction, mine: Mine, problem: str, now: datetime) -> None:
    """Keep that the endpoint wants nothing any more."""
    tx.write_sql(
        f"UPDATE webhooks_endpoints SET gone_at = ?, problem = ? WHERE {_OF}",  # noqa: S608 - constants
        (_text(now), problem, *mine),
    )


def give_up(tx: Transaction, mine: Mine, before: datetime, now: datetime) -> int:
    """Delete some of what has waited since `before`, count it, and enter it in the journal; how many that were."""
    ids = [row[0] for row in tx.write_sql(_GIVE_UP, (*mine, *mine, _text(before)))]
    if ids:
        tx.write_sql(
            f"UPDATE webhooks_endpoints SET given_up = given_up + ?, given_up_at = ? WHERE {_OF}",  # noqa: S608 - constants
            (len(ids), _text(now), *mine),
        )
        data = {"endpoint": mine[1], "events": len(ids), "first": min(ids), "last": max(ids)}
        tx.journal("webhooks.given_up", subject_id=mine[0], data=data)
    return len(ids)


def withhold(tx: Transaction, mine: Mine, ids: Sequence[int], now: datetime) -> None:
    """Delete events that may not go to the endpoint, count them, and enter it in the journal."""
    marks = ", ".join("?" * len(ids))
    gone_now = tx.write_sql(f"DELETE FROM webhooks_queue WHERE {_IN} AND id IN ({marks}) RETURNING id", (*mine, *ids))  # noqa: S608 - constants and marks
    if gone_now:
        tx.write_sql(_WITHHOLD, (*mine, len(gone_now), _text(now)))
        numbers = [row[0] for row in gone_now]
        data = {"endpoint": mine[1], "events": len(numbers), "first": min(numbers), "last": max(numbers)}
        tx.journal("webhooks.withheld", subject_id=mine[0], data=data)


def _waiting(event_id: int, sent_id: str, kept_at: str, body: str) -> Waiting:
    kind, student_id = told_by(body)
    kept = datetime.fromisoformat(kept_at)
    return Waiting(id=event_id, message_id=sent_id, kept_at=kept, kind=kind, student_id=student_id, body=body)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
