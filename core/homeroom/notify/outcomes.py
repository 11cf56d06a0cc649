"""What became of a message: of an attempt that was answered, of one that was not, and of what a vendor tells later.

A state only moves forward: what is delivered stays delivered, whatever comes late. "unknown" is never sent again on a
guess; only a vendor that knows of no such message, or the district's own choice, lets it go once more.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeroom.notify import budget
from homeroom.notify import standing as s
from homeroom.notify.schools import Schools
from homeroom.settings import Settings
from homeroom.store import Transaction, iso
from homeroom.types import DeliveryReport, NotSent, Receipt

NOBODY_SENDS = timedelta(minutes=5)
"""How soon a message is tried again for whose channels there is no plugin."""

_LONGEST_WAIT = 86_400.0
_REPORTED = ("accepted", "delivered", "failed")
_RESENDABLE = ("unknown", "failed", "held", "expired")
_BY_PROVIDER = """
SELECT message_id FROM notification_attempts WHERE plugin = ? AND provider_id = ? ORDER BY started_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one attempt. `reached` is False when the plugin's code was not run: then nothing has left.

    `receipt` None with `reached` means that nobody knows; `plugin` None that no plugin serves the channel.
    """

    plugin: str | None = None
    receipt: Receipt | None = None
    reached: bool = True
    reason: str = ""


def settle(tx: Transaction, settings: Settings, message_id: str, number: int, answer: Answer) -> str | None:
    """The state of a message after this answer to an attempt; None when it has moved on without it."""
    standing, attempt = s.standing_of(tx, message_id), s.attempt_of(tx, message_id, number)
    if standing is None or attempt is None:
        return None
    if answer.receipt is not None:
        wait = wait_of(answer.receipt)
        return _learned(tx, settings, standing, attempt, s.news_of(answer.receipt, answer.plugin), wait=wait)
    if not answer.reached:
        news = s.News(outcome="not_sent", plugin=answer.plugin, reason=answer.reason or "plugin_failed")
        return _learned(tx, settings, standing, attempt, news)
    if answer.plugin is None:
        return _nobody_sends(tx, settings, standing, attempt)
    s.no_news(tx, message_id, attempt, answer.plugin, answer.reason or "no_answer")
    if standing.attempts != number or standing.state != "sending":
        return None
    ask_after = settings.notify.ask_after_seconds
    return s.become_unknown(tx, message_id, answer.reason or "no_answer", ask_after=ask_after)


def found(
    tx: Transaction,
    settings: Settings,
    message_id: str,
    number: int,
    said: Receipt | NotSent | None,
    *,
    plugin: str | None,
    wait: float,
) -> str | None:
    """The state of an unknown message after a vendor was asked; None when it has moved on meanwhile.

    `said` None leaves it unknown, and it is asked about again after `wait` seconds.
    """
    standing, attempt = s.standing_of(tx, message_id), s.attempt_of(tx, message_id, number)
    if standing is None or attempt is None or standing.attempts != number or standing.state != "unknown":
        return None
    if isinstance(said, NotSent):
        news = s.News(outcome="not_sent", plugin=plugin, reason="not_sent")
        return _learned(tx, settings, standing, attempt, news, wait=timedelta(0))
    if said is None or said.state == "retry" or _is_anothers(tx, message_id, plugin, said):
        text = "UPDATE notifications SET asked = asked + 1, due_at = ? WHERE id = ?"
        tx.write_sql(text, (iso(tx.now + timedelta(seconds=wait)), message_id))
        return "unknown"
    return _learned(tx, settings, standing, attempt, s.news_of(said, plugin))


def take(tx: Transaction, settings: Settings, plugin: str, channels: Collection[str], report: DeliveryReport) -> bool:
    """Take over what a vendor tells of a message; whether it is one that this plugin sent."""
    message_id, attempt = _named(tx, plugin, channels, report)
    standing = s.standing_of(tx, message_id) if message_id is not None else None
    if standing is None or attempt is None or report.state not in _REPORTED:
        return False
    _learned(tx, settings, standing, attempt, s.news_of(report, plugin))
    return True


def send_again(tx: Transaction, message_id: str, reason: str, *, until: datetime | None = None) -> bool:
    """Let a message of unknown state, or one that failed, was held or expired, go once more; whether it could.

    It is of use as long as it was before, or `until` then where that is later. What has failed begins with its first
    channel.
    """
    standing = s.standing_of(tx, message_id)
    if standing is None or standing.state not in _RESENDABLE:
        return False
    channels = standing.channels
    if standing.state == "failed":
        tried = [one.channel for one in reversed(s.attempts_of(tx, message_id))]
        channels = list(dict.fromkeys([*tried, *channels]))
    if not channels:
        return False
    expires_at = max(standing.expires_at, until or standing.expires_at)
    tx.write_sql("UPDATE notifications SET expires_at = ?, asked = 0 WHERE id = ?", (iso(expires_at), message_id))
    s.again(tx, standing, tx.now, channels=channels, reason=reason, code=None, tries=0)
    s.tell(tx, standing, "resent", reason=reason)
    return True


def wait_of(receipt: Receipt) -> timedelta | None:
    """How long a vendor asks to wait, within reason; None where it does not say."""
    if receipt.retry_after is None:
        return None
    return timedelta(seconds=min(receipt.retry_after, _LONGEST_WAIT) if receipt.retry_after > 0 else 0.0)


def _learned(
    tx: Transaction,
    settings: Settings,
    standing: s.Standing,
    attempt: s.Attempt,
    news: s.News,
    *,
    wait: timedelta | None = None,
) -> str | None:
    """The state of a message after news of an attempt; None when they are none, or it has moved on without them."""
    if not s.learn(tx, standing.id, attempt, news):
        return None
    if (was := attempt.outcome not in s.UNTAKEN) != (news.outcome not in s.UNTAKEN):
        _count(tx, settings, standing, attempt, left=not was)
    if standing.is_claimed and standing.attempts == attempt.number + 1 and news.outcome not in ("retry", "not_sent"):
        standing = s.unclaim(tx, standing)  # it was about to go once more
    if standing.attempts != attempt.number:
        return None
    reason = news.reason or news.outcome
    if news.outcome in s.TAKEN:
        return s.sent(tx, standing, attempt, news)
    if news.outcome in s.FOR_GOOD:
        waits_for_it = standing.state == "waiting" and standing.channels[:1] == [attempt.channel]
        if standing.state in (*s.OPEN, "accepted") or waits_for_it:
            return s.next_channel(tx, standing, reason, news.code)
        return None
    return s.retry(tx, standing, wait, reason, news.code) if standing.state in s.OPEN else None


def _nobody_sends(tx: Transaction, settings: Settings, standing: s.Standing, attempt: s.Attempt) -> str | None:
    """Nothing was tried, for no plugin serves the channel: the others have their turn, and after them it waits."""
    if attempt.outcome is not None or standing.attempts != attempt.number or standing.state not in s.OPEN:
        return None
    _count(tx, settings, standing, attempt, left=False)
    standing = s.forget(tx, standing, attempt)
    first, *others = standing.channels
    channels, everybody = [*others, first], standing.tries > len(others)
    due = tx.now + (NOBODY_SENDS if everybody else timedelta(0))
    if due >= standing.expires_at:
        return s.ended(tx, standing, "expired", "no_plugin", None)
    tries = 0 if everybody else standing.tries
    return s.again(tx, standing, due, channels=channels, reason="no_plugin", code=None, tries=tries)


def _count(tx: Transaction, settings: Settings, standing: s.Standing, attempt: s.Attempt, *, left: bool) -> None:
    """Count an attempt for its day, or take it back, as it turns out that a message has left or has not."""
    day = Schools(tx, settings)[standing.school_id].today(attempt.started_at)
    change = budget.count if left else budget.take_back
    change(tx, settings.notify, (standing.school_id, day, attempt.channel), standing.segments or 1)


def _is_anothers(tx: Transaction, message_id: str, plugin: str | None, said: Receipt) -> bool:
    """Whether the vendor has shown us a message that is known to be another one of ours, with the same words."""
    rows = tx.sql(_BY_PROVIDER, (plugin, said.provider_id)) if said.provider_id is not None else []
    return bool(rows) and rows[0][0] != message_id


def _named(
    tx: Transaction, plugin: str, channels: Collection[str], report: DeliveryReport
) -> tuple[str | None, s.Attempt | None]:
    """The message and the attempt that a report is about; None for what this plugin cannot have sent."""
    message_id = report.message_id
    by_provider = tx.sql(_BY_PROVIDER, (plugin, report.provider_id)) if report.provider_id is not None else []
    if by_provider and message_id not in (None, by_provider[0][0]):
        return None, None
    message_id = by_provider[0][0] if by_provider else message_id
    if message_id is None:
        return None, None
    attempts = [
        one for one in s.attempts_of(tx, message_id) if one.channel in channels and one.plugin in (None, plugin)
    ]
    # An attempt without the vendor's id was not answered, so a report with an id that nobody knows is about that one.
    for wanted in (report.provider_id, None) if report.provider_id is not None else ():
        for one in attempts:
            if one.provider_id == wanted:
                return message_id, one
    return message_id, attempts[0] if attempts else None
