"""The outbox: drafts become rows, each once by its key, in the transaction that closes the cases they came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from homeroom.notify.days import Key
from homeroom.notify.judging import Draft, Judged
from homeroom.notify.rules import RULE_OFF
from homeroom.notify.told import UNSENT
from homeroom.notify.wording import Wording, parts_for
from homeroom.store import Connection, Transaction, iso, new_id, places
from homeroom.store.bulk import select_in, upsert, write_in

State = Literal[
    "waiting", "held", "sending", "unknown", "accepted", "delivered", "failed", "expired", "cancelled", "withheld"
]
STATES: tuple[State, ...] = (
    *("waiting", "held", "sending", "unknown", "accepted"),
    *("delivered", "failed", "expired", "cancelled", "withheld"),
)

NOT_TRUE = "not_true"
"""Why a message was cancelled that is sent after all if it becomes true again."""

_COLUMNS = (
    *("id", "key", "rule_id", "rule_version", "kind", "purpose", "school_id", "school_day", "student_id"),
    *("recipient_id", "audience", "language", "channels", "channel", "why", "content", "state", "reason"),
    *("due_at", "expires_at", "created_at", "changed_at", "tries", "attempts", "asked", "corrects"),
)
_UNSENT = ", ".join(f"'{state}'" for state in UNSENT)
_RENEWABLE = (NOT_TRUE, RULE_OFF)
_RENEW = f"""
ON CONFLICT (key) DO UPDATE SET
  rule_version = excluded.rule_version, purpose = excluded.purpose, audience = excluded.audience,
  school_day = excluded.school_day, language = excluded.language, channels = excluded.channels,
  channel = excluded.channel, why = excluded.why, content = excluded.content, state = excluded.state,
  reason = excluded.reason, due_at = excluded.due_at, expires_at = excluded.expires_at,
  changed_at = excluded.changed_at, tries = 0
WHERE notifications.state IN ({_UNSENT})
  OR (notifications.state = 'cancelled' AND notifications.reason IN ({", ".join(f"'{one}'" for one in _RENEWABLE)}))
"""
_KNOWN = "SELECT key, state, reason, rule_version, why, channels FROM notifications WHERE key IN ({})"
_CANCEL = f"""
UPDATE notifications SET state = 'cancelled', reason = ?, changed_at = ? WHERE state IN ({_UNSENT}) AND id IN ({{}})
RETURNING id, student_id
"""  # noqa: S608 - constants
_NEVER_AGAIN = """
UPDATE notifications SET expires_at = ? WHERE expires_at > ? AND state IN ('sending', 'unknown', 'accepted')
AND id IN ({})
"""
_REVISIONS = """
SELECT student_id, school_id, school_day, revision FROM notification_cases WHERE student_id IN ({})
"""
_CASE = ("student_id", "school_id", "school_day", "state", "revision", "due_at", "began_at", "changed_at")
_SETTLE = """
ON CONFLICT (student_id, school_id, school_day) DO UPDATE SET state = excluded.state, due_at = excluded.due_at
WHERE notification_cases.revision = excluded.revision
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worded:
    """A draft with what it says, as JSON (None where nothing may be sent), and in which language.

    `id` is its own where it is new; a message that is there keeps the one it has.
    """

    id: str
    draft: Draft
    content: str | None = field(repr=False)
    language: str


@dataclass(slots=True, kw_only=True)
class Prepared:
    """Drafts with their words: all that costs time was done before the writer is asked."""

    judged: Judged
    rows: list[Worded] = field(default_factory=list)

    @property
    def messages(self) -> int:
        """How many messages are new or changed."""
        return len(self.rows)


def prepare(connection: Connection, judged: Judged) -> Prepared:
    """The drafts that are new, or say something else than what waits in the outbox, put into words."""
    keys = sorted({draft.key for draft in judged.drafts})
    known = {row[0]: row[1:] for row in select_in(connection, _KNOWN, (), keys)}
    wording = Wording(connection) if judged.drafts else None
    prepared = Prepared(judged=judged)
    for draft in judged.drafts:
        if wording is None or _is_kept(draft, known.get(draft.key)):
            continue
        content, language = _content(draft, wording)
        prepared.rows.append(Worded(id=new_id(), draft=draft, content=content, language=language))
    return prepared


def put(tx: Transaction, prepared: Prepared) -> int:
    """Keep what was found about cases that have not changed meanwhile, and close them; gives how many messages."""
    judged = prepared.judged
    current = _current(tx, judged)
    rows = [row for row in prepared.rows if row.draft.case is None or row.draft.case in current]
    if rows:
        upsert(tx, "notifications", _COLUMNS, list(_rows(tx, rows)), on_conflict=_RENEW)
    _never_again(tx, sorted({row.draft.corrects for row in rows if row.draft.corrects is not None}))
    untrue = {message_id: key for message_id, key in judged.untrue.items() if key in current}
    gone = cancel(tx, untrue, NOT_TRUE)
    left = {key for message_id, key in untrue.items() if message_id not in gone}  # sent meanwhile: to be corrected
    now = iso(tx.now)
    settled = [
        (*case.key, state, case.revision, due, now, now)
        for case in judged.cases
        if case.key in current
        for state, due in [("waiting", now) if case.key in left else _next(judged, case.key, now)]
    ]
    if settled:
        upsert(tx, "notification_cases", _CASE, settled, on_conflict=_SETTLE)
    return len(rows)


def cancel(tx: Transaction, ids: Collection[str], reason: str) -> set[str]:
    """Take back messages that have not been sent, and give their ids; the others stay as they are."""
    gone = dict(write_in(tx, _CANCEL, (reason, iso(tx.now)), sorted(ids)))
    for message_id, student_id in gone.items():
        data = {"state": "cancelled", "reason": reason}
        tx.journal("notification.cancelled", student_id=student_id, subject_id=message_id, data=data)
    return set(gone)


def _never_again(tx: Transaction, ids: Sequence[str]) -> None:
    """Let no retry and no other channel bring what is corrected now: a vendor may yet tell that it did not arrive."""
    now = iso(tx.now)
    write_in(tx, _NEVER_AGAIN, (now, now), ids)


def content_of(connection: Connection, rows: Iterable[tuple[str, str | None, str | None]]) -> list[dict[str, str]]:
    """What messages say by part, each row as (key, student id, sealed content); nothing for one that cannot be opened.

    That is so for a student who was erased: the key is gone.
    """
    rows = list(rows)
    opened = connection.unseal_many([(student, text) if student else ("", None) for _, student, text in rows])
    found: list[dict[str, str]] = []
    for (key, student, sealed), text in zip(rows, opened, strict=True):
        clear = text if student or sealed is None else connection.cipher.unseal(sealed, places.message(key))
        found.append(orjson.loads(clear) if clear is not None else {})
    return found


def _is_kept(draft: Draft, known: tuple[Any, ...] | None) -> bool:
    """Whether the outbox has the message as it would be now, or it cannot be changed any more."""
    if known is None:
        return False
    state, reason, version, why, channels = known
    if state == "cancelled" and reason in _RENEWABLE:
        return False
    if state not in UNSENT:
        return True
    wanted, left = _channels(draft), orjson.loads(channels)
    same = left == wanted or (left and left == wanted[-len(left) :])  # some were tried, and do not lead anywhere
    return bool(same and version == draft.rule.version and orjson.loads(why) == orjson.loads(orjson.dumps(draft.why)))


def _content(draft: Draft, wording: Wording) -> tuple[str | None, str]:
    channels = _channels(draft)
    if not channels:
        return None, draft.recipient.language
    said, language = wording.say(
        draft.kind, draft.recipient.language, parts_for(channels), draft.facts, draft.school.id
    )
    return orjson.dumps(said).decode(), language


def _channels(draft: Draft) -> list[str]:
    return list(dict.fromkeys(way.channel for way in draft.recipient.ways))


def _rows(tx: Transaction, rows: Sequence[Worded]) -> Iterable[tuple[Any, ...]]:
    """The rows of the table; texts about a student are sealed under the student's key."""
    about = [(row.draft.student_id, row.content) for row in rows if row.draft.student_id and row.content is not None]
    sealed = iter(tx.seal_many(about))
    now = iso(tx.now)
    for row in rows:
        draft, content = row.draft, row.content
        if content is not None:
            content = next(sealed) if draft.student_id else tx.cipher.seal(content, places.message(draft.key))
        channels = _channels(draft)
        rule, recipient = draft.rule, draft.recipient
        yield (
            *(row.id, draft.key, rule.id, rule.version, draft.kind, rule.settings.purpose, draft.school.id),
            *(draft.school_day, draft.student_id, recipient.user_id, recipient.audience, row.language),
            *(orjson.dumps(channels).decode(), channels[0] if channels else None),
            *(orjson.dumps(draft.why).decode(), content, "waiting" if channels else "withheld", recipient.refused),
            *(iso(draft.window.due_at), iso(draft.window.expires_at), now, now, 0, 0, 0, draft.corrects),
        )


def _current(tx: Transaction, judged: Judged) -> set[Key]:
    """The cases that are still as they were when they were judged."""
    wanted = {case.key: case.revision for case in judged.cases}
    students = sorted({case.student_id for case in judged.cases})
    rows = select_in(tx, _REVISIONS, (), students)
    found: dict[Key, int] = {(student, school, str(day)): revision for student, school, day, revision in rows}
    return {key for key, revision in wanted.items() if found.get(key) == revision}


def _next(judged: Judged, key: Key, now: str) -> tuple[str, str]:
    later = judged.later.get(key)
    return ("judged", now) if later is None else ("waiting", iso(later))


def by_state(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Counts by state, every state named."""
    found: dict[str, int] = defaultdict(int)
    for state, count in counts:
        found[state] += count
    return {state: found[state] for state in STATES}
