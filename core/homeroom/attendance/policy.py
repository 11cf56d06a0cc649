"""From what the verifiers say to what becomes of a check-in: accepted, kept for review, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from homeroom.store import Refused
from homeroom.types import ClassSession, Evidence, Status, Verdict

SKEW = timedelta(minutes=2)
"""How far ahead of the server a phone's clock may be."""

_TEXTS = {
    "proof-missing": "This check-in needs a proof that was not sent, such as the code that your teacher shows.",
    "code-wrong": "That is not the code. Please look again and type the one that is shown now.",
    "code-expired": "That code was shown a moment ago. Please use the one that is shown now.",
    "outside-area": "You seem to be outside the area where this class checks in.",
    "too-many-attempts": "Too many wrong attempts. Please wait a little, or ask your teacher to mark you.",
}
_TOO_MANY = "too-many-attempts"
_UNCHECKED = "unchecked"


class Answered(Protocol):
    """One verifier's answer, as the plugin host gives it: `error` says why there is no `value`."""

    @property
    def plugin(self) -> str: ...  # noqa: D102 - the plugin's name
    @property
    def value(self) -> Any: ...  # noqa: D102 - Evidence or None
    @property
    def error(self) -> Any: ...  # noqa: D102 - None when it answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """An accepted check-in: what is stored with the record, and whether a person should look."""

    evidence: Sequence[dict[str, Any]]
    needs_review: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a check-in counts from. `offline` when the phone had no network then and sent it later."""

    at: datetime
    offline: bool


def judge(session: ClassSession, answers: Iterable[Answered], *, offline: bool = False) -> Judgement:
    """What the proofs are worth. Raises Refused when they do not suffice.

    Each required method needs one accept. A verifier's None counts as proof missing. One that failed, stayed silent or
    is switched off lets the student through for review, since a child stands at the door. A verifier that is not one of
    the session's methods can ask for a review; its verdict is not kept otherwise.
    """
    if not session.methods:
        raise Refused(422, "proof-missing", "Your teacher takes the roll in this class; nobody checks in here.")
    given = list(answers)
    found = [_of(method, given) for method in session.methods]
    rejects = [evidence for evidence in found if evidence.verdict is Verdict.REJECT]
    if not _enough(session, found, rejects):
        raise _refusal(rejects)
    kept = [_stored(evidence) for evidence in found if evidence.verdict is not Verdict.REJECT]
    kept += _doubts(session, given)
    if offline:
        kept.append({"method": "late-sent", "verdict": "review", "reason": "made without a network, sent later"})
    return Judgement(evidence=kept, needs_review=any(entry["verdict"] == "review" for entry in kept))


def _enough(session: ClassSession, found: Sequence[Evidence], rejects: Sequence[Evidence]) -> bool:
    if session.require == "all":
        return not rejects
    if any(evidence.verdict is Verdict.ACCEPT for evidence in found):
        return True
    # A wrong proof can be given again, rightly; that another method fails just then must not make it good.
    wrong = any(evidence.problem != "proof-missing" for evidence in rejects)
    return any(
        evidence.verdict is Verdict.REVIEW and not (wrong and evidence.problem == _UNCHECKED) for evidence in found
    )


def _of(method: str, answers: Sequence[Answered]) -> Evidence:
    """The best that was said of one method: an accept, else a doubt, else a reject."""
    said = [_evidence(method, answer) for answer in answers if _is_about(method, answer)]
    if not said:
        return Evidence(method=method, verdict=Verdict.REVIEW, problem=_UNCHECKED, reason="this method did not answer")
    order = (Verdict.ACCEPT, Verdict.REVIEW, Verdict.REJECT)
    return min(said, key=lambda evidence: order.index(evidence.verdict))


def _is_about(method: str, answer: Answered) -> bool:
    """Whether this is the answer of the method's own plugin: none can vouch for another."""
    return answer.plugin == method


def _evidence(method: str, answer: Answered) -> Evidence:
    if answer.error is not None:
        return Evidence(method=method, verdict=Verdict.REVIEW, problem=_UNCHECKED, reason="could not be checked")
    if answer.value is None:
        return Evidence(method=method, verdict=Verdict.REJECT, problem="proof-missing")
    found: Evidence = answer.value
    return found


def _doubts(session: ClassSession, answers: Sequence[Answered]) -> list[dict[str, Any]]:
    """What verifiers beyond the session's methods have to say: only doubts and failures count."""
    doubts = []
    for answer in answers:
        if any(_is_about(method, answer) for method in session.methods):
            continue
        if answer.error is not None:
            doubts.append({"method": answer.plugin, "verdict": "review", "reason": "could not be checked"})
        elif isinstance(answer.value, Evidence) and answer.value.verdict is Verdict.REVIEW:
            doubts.append(_stored(answer.value))
    return doubts


def _stored(evidence: Evidence) -> dict[str, Any]:
    return {"method": evidence.method, "verdict": evidence.verdict.value, "reason": evidence.reason}


def _refusal(rejects: Sequence[Evidence]) -> Refused:
    """The most telling reason: a limit first, then a wrong proof, then a missing one."""
    by_problem: dict[str, Evidence] = {}
    for evidence in rejects:
        by_problem.setdefault(evidence.problem or "proof-wrong", evidence)
    if _TOO_MANY in by_problem:
        return Refused(429, _TOO_MANY, _TEXTS[_TOO_MANY], retry_after=by_problem[_TOO_MANY].retry_after or 60)
    problem = next((name for name in by_problem if name != "proof-missing"), "proof-missing")
    detail = _TEXTS.get(problem) or by_problem[problem].reason or "The proof was not accepted."
    return Refused(422, problem, detail)


def moment(now: datetime, occurred_at: datetime | None, *, offline_hours: int) -> Moment:
    """When a check-in counts from: the server's clock, unless it was made without a network.

    Whatever names its own moment was made so, however short the gap was: its code may have ended meanwhile. Raises
    Refused for a moment in the future or longer ago than `offline_hours`.
    """
    if occurred_at is None:
        return Moment(at=now, offline=False)
    if occurred_at - now > SKEW:
        raise Refused(
            422, "occurred-in-future", "`occurred_at` lies in the future. Please check the clock of this device."
        )
    if now - occurred_at > timedelta(hours=offline_hours):
        raise Refused(
            422,
            "occurred-too-long-ago",
            f"A check-in can be sent up to {offline_hours} hours late. Please ask your teacher to mark you.",
        )
    return Moment(at=min(now, occurred_at), offline=True)


def lateness(session: ClassSession, at: datetime) -> tuple[Status, int | None]:
    """Present, or tardy with the whole minutes since the start (at least one).

    Exactly `late_after_minutes` after the start is still in time. Both moments are instants, so a clock change in
    between makes nobody late.
    """
    since = at - session.starts_at
    if since <= timedelta(minutes=session.late_after_minutes):
        return "present", None
    return "tardy", max(1, int(since.total_seconds() // 60))
