"""The plugin: what the teacher's screen shows, and what a student's code is worth."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any

import segno
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from quart import Blueprint

from homeroom import (
    HOOK_API,
    PUBLIC,
    Answer,
    Attempt,
    Body,
    Call,
    Challenge,
    ClassSession,
    Evidence,
    Refused,
    Routes,
    Services,
    Verdict,
    hookimpl,
    operation,
)
from homeroom_rotating_code import codes

_MINUTE = 60
_SECRETS = 4096
_PICTURES = 512
_MOST_BLOCKED = 50_000


class CodeSettings(BaseModel):
    """How often codes change and how many wrong ones are borne."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step_seconds: int = Field(default=10, ge=5, le=300, description="How long one code is shown.")
    grace_steps: int = Field(default=1, ge=0, le=6, description="How many codes before the current one still count.")
    digits: int = Field(default=6, ge=4, le=10)
    attempts_per_student: int = Field(default=5, ge=1, le=100, description="Wrong codes of one student in a minute.")
    attempts_per_session: int = Field(default=200, ge=1, description="Wrong codes of a whole session in a minute.")
    scan_minutes: int = Field(default=5, ge=1, le=30, description="How long somebody who scanned may take to sign in.")


class Scan(Body):
    """What a phone sends as soon as it has scanned the picture, before anybody signs in."""

    session_id: str = Field(min_length=1, max_length=64)
    token: str = Field(min_length=1, max_length=64)


class ScanReceipt(Answer):
    """What the phone keeps while its owner signs in, and then sends as `proof.scan`."""

    scan: str
    expires_at: AwareDatetime


class RotatingCode:
    """Check-in by a code that changes every few seconds, as digits and as a QR picture.

    A code is computed when it is asked for and never stored or sent ahead. Only the server's clock counts.
    """

    hook_api = HOOK_API
    scopes = frozenset({"proof.code", "proof.scan"})
    Settings = CodeSettings

    def __init__(self, settings: CodeSettings, services: Services) -> None:
        self.settings = settings
        self.services = services
        self.method = services.name  # two instances with different settings are two methods
        self._blocked: dict[str, datetime] = {}
        self._secret: Callable[[str], bytes] = functools.lru_cache(_SECRETS)(
            lambda session_id: services.derive_key(f"session:{session_id}")
        )
        self._picture = functools.lru_cache(_PICTURES)(_svg)

    @hookimpl
    def routes(self) -> Routes:
        """Where a phone shows what it scanned, before anybody has signed in."""
        blueprint = Blueprint("rotating_code", __name__)

        @blueprint.post("/scans")
        @operation(PUBLIC, body=Scan, answers={201: ScanReceipt})
        async def keep_scan(call: Call, body: Scan) -> tuple[ScanReceipt, int]:  # noqa: ARG001 - every handler takes it
            """Exchange a scanned token, at once and without a sign-in, for a receipt that outlasts the sign-in."""
            return self._keep_scan(body), 201

        return Routes(prefix=f"/plugins/{self.services.name}", blueprint=blueprint)

    @hookimpl
    async def issue_challenge(self, session: ClassSession) -> Challenge | None:
        """The code of this moment, and a picture of a link that holds this moment's token."""
        if self.method not in session.methods:
            return None
        secret = self._secret(session.id)
        step = codes.step_of(secret, self.services.clock.now(), self.settings.step_seconds)
        base = (self.services.public_url or "").rstrip("/")
        link = f"{base}/check-in?session={session.id}&scan={codes.token_of(secret, step)}"
        return Challenge(
            kind=self.method,
            code=codes.code_of(secret, step, self.settings.digits),
            expires_at=codes.end_of(secret, step, self.settings.step_seconds),
            qr=self._picture(link),
            link=link,
        )

    @hookimpl
    async def verify_check_in(self, attempt: Attempt) -> Evidence | None:
        """Whether the code or the scan was good at the moment of the attempt."""
        scan, code = attempt.proof.get("scan"), attempt.proof.get("code")
        if self.method not in attempt.session.methods or (scan is None and code is None):
            return None
        limits = self._limits(attempt)
        if self._blocked and (wait := self._wait([key for key, _ in limits])):
            return self._too_many(wait)
        secret = self._secret(attempt.session.id)
        age = self._age_of_scan(secret, scan, attempt) if scan is not None else self._age(secret, code, attempt)
        if age == "good":
            return self._evidence(Verdict.ACCEPT, "scanned in time" if scan is not None else "the code shown then")
        wait = await self._count(limits)
        if wait:
            return self._too_many(wait)
        return self._evidence(Verdict.REJECT, f"{age} code", problem=f"code-{age}")

    def _keep_scan(self, scan: Scan) -> ScanReceipt:
        secret = self._secret(scan.session_id)
        now = self.services.clock.now()
        if self._age_of_token(secret, scan.token, now, offline=False) != "good":
            text = "That picture has changed already. Please scan the one that is shown now."
            raise Refused(422, "code-expired", text)
        until = now + timedelta(minutes=self.settings.scan_minutes)
        return ScanReceipt(scan=codes.receipt_of(secret, int(until.timestamp())), expires_at=until)

    def _age(self, secret: bytes, code: Any, attempt: Attempt) -> codes.Age:
        if not isinstance(code, str):
            return "wrong"
        digits = code.replace(" ", "").replace("-", "")
        if len(digits) != self.settings.digits or not (digits.isascii() and digits.isdigit()):
            return "wrong"
        step = codes.step_of(secret, attempt.at, self.settings.step_seconds)
        grace = self.settings.grace_steps
        if attempt.offline:
            # The phone's clock told the time of this one, and clocks differ both ways.
            step, grace = step + grace, 2 * grace
        remembered = int(codes.REMEMBERED.total_seconds() // self.settings.step_seconds)
        return codes.age_of_code(secret, digits, step, grace=grace, remembered=remembered, digits=self.settings.digits)

    def _age_of_scan(self, secret: bytes, scan: Any, attempt: Attempt) -> codes.Age:
        if not isinstance(scan, str) or not scan.isascii():
            return "wrong"
        if not scan.startswith("r."):
            return self._age_of_token(secret, scan, attempt.at, offline=attempt.offline)
        # A receipt made now must not vouch for a moment before it, which only a late-sent check-in can name.
        lasts = _MINUTE * self.settings.scan_minutes + self._tolerance if attempt.offline else None
        return codes.age_of_receipt(secret, scan, attempt.at, lasts=lasts)

    def _age_of_token(self, secret: bytes, token: str, moment: datetime, *, offline: bool) -> codes.Age:
        if not token.isascii():
            return "wrong"
        step, grace = codes.step_of(secret, moment, self.settings.step_seconds), self.settings.grace_steps
        if offline:
            step, grace = step + grace, 2 * grace
        return codes.age_of_token(secret, token, step, grace=grace)

    @property
    def _tolerance(self) -> int:
        """By how many seconds a phone's clock may differ where it is the one that told the time."""
        return self.settings.step_seconds * self.settings.grace_steps

    def _limits(self, attempt: Attempt) -> list[tuple[str, int]]:
        session = attempt.session.id
        return [
            (f"wrong:{session}:{attempt.student_id}", self.settings.attempts_per_student),
            (f"wrong:{session}", self.settings.attempts_per_session),
        ]

    def _wait(self, keys: list[str]) -> int:
        """How many seconds those who are blocked have to wait; 0 for all others."""
        now = self.services.clock.now()
        until = max((self._blocked[key] for key in keys if key in self._blocked), default=now)
        return max(0, int((until - now).total_seconds() + 0.999))

    async def _count(self, limits: list[tuple[str, int]]) -> int:
        """Count one wrong attempt; gives the seconds to wait when there have been too many.

        The shared limiter counts across workers. Who is blocked is kept here too, so that a right code needs no look at
        it: another worker learns of a block at the next wrong code.
        """
        wait = 0
        limiter = self.services.limiter
        for key, most in limits:
            found = await limiter.hit(key, most, _MINUTE)
            ahead = await limiter.peek(key, most, _MINUTE) if found.allowed else found
            if not ahead.allowed:
                self._block(key, max(1, ahead.retry_after))
            if not found.allowed:
                wait = max(wait, found.retry_after, 1)
        return wait

    def _block(self, key: str, seconds: int) -> None:
        now = self.services.clock.now()
        if len(self._blocked) > _MOST_BLOCKED:
            self._blocked = {name: until for name, until in self._blocked.items() if until > now}
        self._blocked[key] = now + timedelta(seconds=seconds)

    def _evidence(self, verdict: Verdict, reason: str, *, problem: str | None = None) -> Evidence:
        return Evidence(method=self.method, verdict=verdict, reason=reason, problem=problem)

    def _too_many(self, wait: int) -> Evidence:
        return Evidence(
            method=self.method,
            verdict=Verdict.REJECT,
            reason="too many wrong codes",
            problem="too-many-attempts",
            retry_after=wait,
        )


def _svg(link: str) -> str:
    """A QR picture as SVG with attributes only: a strict Content-Security-Policy allows no style in it.

    A fixed mask is as readable on a screen, and searching for the best one would cost four times as much.
    """
    out = BytesIO()
    segno.make(link, micro=False, error="l", mask=3, boost_error=False).save(
        out,
        kind="svg",
        xmldecl=False,
        svgclass=None,
        lineclass=None,
        omitsize=True,
        border=2,
        dark="#000",
        light="#fff",
    )
    return out.getvalue().decode()
