"""Who is calling: from a request's headers or a one-use ticket to an Identity.

Verified tokens, API keys and people's roles are remembered for speed, never for longer than a minute. What ends a right
(a session ended, a role lost, a key revoked) comes through the journal and takes effect in every process at once.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

from werkzeug.datastructures import Headers

from homeroom.auth import sessions
from homeroom.auth.tokens import AccessTokens, RefreshTokens, fingerprint, not_signed_in, secret_token
from homeroom.settings import Settings
from homeroom.store import Connection, Store, Transaction, now_utc
from homeroom.store import models as m
from homeroom.types import Event, Identity, RoleAt

KEY_PREFIX = "hrk_"
TICKET_SECONDS = 30
_REMEMBERED_SECONDS = 60
_REMEMBERED_PEOPLE = 20_000
_REMEMBERED_KEYS = 256
_CHANGES_PEOPLE = ("user.", "role.")
KEY_REVOKED = "api_key.revoked"


@dataclass(slots=True, kw_only=True)
class _Person:
    """What is remembered of one person: the identity in each sign-in session seen alive, until `until`."""

    until: float
    sessions: dict[str, Identity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a request says that it is from, by a token that is genuine; `identity` None is still to be confirmed."""

    subject: str
    session_id: str = ""
    identity: Identity | None = None
    known: _Person | None = None


class Authenticator:
    """Tells who is calling. `start` loads what has ended lately; `heard` takes each new row of the journal."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings.auth
        self.zone = ZoneInfo(settings.attendance.time_zone)
        self.store = store
        self.access = AccessTokens(settings.auth)
        self.refresh = RefreshTokens(store.cipher.derive("refresh tokens"))
        self._people: OrderedDict[str, _Person] = OrderedDict()
        self._keys: OrderedDict[str, tuple[Identity, datetime | None, float]] = OrderedDict()
        self._ended: OrderedDict[str, float] = OrderedDict()

    async def start(self) -> None:
        """Load the sessions that were ended while their access tokens are still good. Listen to the journal first."""
        since = now_utc() - timedelta(seconds=self.access.lifetime)
        for session_id in await self.store.read(lambda c: sessions.ended_since(c, since)):
            self.end(session_id)

    def heard(self, event: Event) -> None:
        """Forget what this change of the journal has ended."""
        if event.kind == sessions.ENDED:
            self.end(str(event.data["session"]))
        elif event.kind.startswith(_CHANGES_PEOPLE):
            for person in (event.subject_id, event.student_id):
                self._people.pop(person or "", None)
        elif event.kind == KEY_REVOKED:
            self._keys.clear()

    def end(self, session_id: str) -> None:
        """Refuse the access tokens of this session from now on, in this process."""
        now = time.monotonic()
        self._ended[session_id] = now + self.access.lifetime
        while self._ended and next(iter(self._ended.values())) < now:
            self._ended.popitem(last=False)

    def is_ended(self, session_id: str | None) -> bool:
        """Whether this process knows the session to have ended."""
        return session_id in self._ended

    async def identify_headers(self, headers: Headers | Mapping[str, str]) -> Identity:
        """Who sent these headers (a WebSocket's, for example). Raises Refused 401."""
        return await self.identify(await self.caller(headers))

    async def caller(self, headers: Headers | Mapping[str, str]) -> Caller:
        """Who the headers say. Raises Refused 401 when they do not, or not in a way to be believed."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise not_signed_in()
        if token.startswith(KEY_PREFIX):
            identity = await self._key(token)
            return Caller(subject=identity.subject, identity=identity)
        claims = self.access.verify(token, time.time())
        return self._signed_in(claims.user_id, claims.session_id)

    async def person(self, user_id: str, session_id: str) -> Identity:
        """This person as signed in by this session. Raises Refused 401 when either has ended."""
        return await self.identify(self._signed_in(user_id, session_id))

    async def identify(self, caller: Caller) -> Identity:
        """The caller, confirmed. Raises Refused 401 when the person or the sign-in has ended."""
        if caller.identity is not None:
            return caller.identity
        return await self.store.read(lambda c: self.confirm(c, caller))

    def confirm(self, connection: Connection, caller: Caller) -> Identity:
        """Like `identify`, for a read that asks for more besides: one trip to the database in place of two.

        What is found is kept in `caller.known`: a change heard meanwhile has put that out of use.
        """
        if caller.identity is not None:
            return caller.identity
        now = now_utc()
        roles = _signed_in_roles(connection, caller, now, now.astimezone(self.zone).date())
        if roles is None:
            raise not_signed_in("This sign-in has ended. Please sign in again.")
        identity = Identity(subject=caller.subject, roles=roles, session_id=caller.session_id)
        if caller.known is not None:
            caller.known.sessions[caller.session_id] = identity
        return identity

    def _signed_in(self, user_id: str, session_id: str) -> Caller:
        if session_id in self._ended:
            raise not_signed_in("This sign-in was ended. Please sign in again.")
        known = self._people.get(user_id)
        if known is None or known.until <= time.monotonic():
            known = self._people[user_id] = _Person(until=time.monotonic() + _REMEMBERED_SECONDS)
            if len(self._people) > _REMEMBERED_PEOPLE:
                self._people.popitem(last=False)
        self._people.move_to_end(user_id)
        return Caller(subject=user_id, session_id=session_id, identity=known.sessions.get(session_id), known=known)

    async def _key(self, key: str) -> Identity:
        key_hash = fingerprint(key)
        identity, expires_at, until = self._keys.get(key_hash, (None, None, 0.0))
        if identity is None or until <= time.monotonic():
            row = await self.store.read(lambda c: c.one(m.ApiKey.select().where(m.ApiKey.key_hash == key_hash)))
            if row is None or row.revoked:
                raise not_signed_in("This API key is not valid.")
            identity = Identity(
                subject=row.id, kind="service", roles=(RoleAt(role="service"),), scopes=frozenset(row.scopes)
            )
            expires_at = cast("datetime | None", row.expires_at)
            self._keys[key_hash] = (identity, expires_at, time.monotonic() + _REMEMBERED_SECONDS)
            if len(self._keys) > _REMEMBERED_KEYS:
                self._keys.popitem(last=False)
        if expires_at is not None and expires_at <= now_utc():
            raise not_signed_in("This API key has expired.")
        return identity

    async def issue_ticket(self, identity: Identity, *, purpose: str = "websocket") -> str:
        """A ticket that stands once, within TICKET_SECONDS, for this sign-in: for clients that cannot set headers."""
        ticket = secret_token()

        def unit(tx: Transaction) -> None:
            expires_at = tx.now + timedelta(seconds=TICKET_SECONDS)
            tx.insert_new(
                m.Ticket,
                token_hash=fingerprint(ticket),
                purpose=purpose,
                user_id=identity.subject,
                session_id=identity.session_id,
                expires_at=expires_at,
            )

        await self.store.write(unit)
        return ticket

    async def redeem_ticket(self, ticket: str, *, purpose: str = "websocket") -> Identity:
        """Whose ticket this is; it is good for nothing after. Raises Refused 401."""
        row = await self.store.write(lambda tx: _redeem(tx, fingerprint(ticket), purpose))
        if row is None:
            raise not_signed_in("This ticket was used already, or has expired.")
        user_id, session_id = row
        return await self.person(user_id, session_id)


def _redeem(tx: Transaction, token_hash: str, purpose: str) -> tuple[str, str] | None:
    table = m.Ticket
    good = (table.token_hash == token_hash) & (table.purpose == purpose)
    good &= (table.uses_left > 0) & (table.expires_at > tx.now)
    row: Any = tx.one(table.select().where(good))
    if row is None:
        return None
    tx.run(table.update(uses_left=table.uses_left - 1).where(table.token_hash == token_hash))
    return row.user_id, row.session_id or ""


_SIGNED_IN = """
SELECT s.expires_at, r.role, r.org_id FROM sign_in_sessions s JOIN users u ON u.id = s.user_id
LEFT JOIN role_assignments r ON r.user_id = u.id
  AND (r.begins_on IS NULL OR r.begins_on <= ?) AND (r.ends_on IS NULL OR r.ends_on > ?)
WHERE s.id = ? AND u.id = ? AND s.ended_at IS NULL AND u.enabled AND NOT u.ended
"""


def _signed_in_roles(connection: Connection, caller: Caller, now: datetime, today: date) -> tuple[RoleAt, ...] | None:
    """The person's roles today, or None when the person or the session has ended.

    One plain statement: it is asked at everybody's first request, in the morning's busiest minute.
    """
    day = today.isoformat()
    rows = connection.sql(_SIGNED_IN, (day, day, caller.session_id, caller.subject))
    if not rows or datetime.fromisoformat(rows[0][0]) <= now:
        return None
    return tuple(RoleAt(role=role, org_id=org_id or None) for _, role, org_id in sorted(rows) if role is not None)
