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

from quart import Request
from werkzeug.datastructures import Headers

from homeroom.auth import access, sessions
from homeroom.auth.tokens import AccessTokens, RefreshTokens, fingerprint, not_signed_in, secret_token
from homeroom.roster import people
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


class Authenticator:
    """Tells who is calling. `start` loads what has ended lately; `heard` takes each new row of the journal."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings.auth
        self.zone = settings.attendance.time_zone
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

    async def identify(self, request: Request) -> Identity:
        """Who sent `request`. Raises Refused 401 when it does not say, or not in a way to be believed."""
        return await self.identify_headers(request.headers)

    async def identify_headers(self, headers: Headers | Mapping[str, str]) -> Identity:
        """Who sent these headers (a WebSocket's, for example). Raises Refused 401."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise not_signed_in()
        if token.startswith(KEY_PREFIX):
            return await self._key(token)
        claims = self.access.verify(token, time.time())
        return await self.person(claims.user_id, claims.session_id)

    async def person(self, user_id: str, session_id: str) -> Identity:
        """This person as signed in by this session. Raises Refused 401 when either has ended."""
        if session_id in self._ended:
            raise not_signed_in("This sign-in was ended. Please sign in again.")
        known = self._people.get(user_id)
        if known is None or known.until <= time.monotonic():
            known = self._people[user_id] = _Person(until=time.monotonic() + _REMEMBERED_SECONDS)
            if len(self._people) > _REMEMBERED_PEOPLE:
                self._people.popitem(last=False)
        self._people.move_to_end(user_id)
        return known.sessions.get(session_id) or await self._look_up(user_id, session_id, known)

    async def _look_up(self, user_id: str, session_id: str, known: _Person) -> Identity:
        """Read who this is, and remember it in `known`: a change heard meanwhile has put that out of use."""
        now = now_utc()
        today = access.today_in(self.zone)
        roles = await self.store.read(lambda c: _signed_in_roles(c, user_id, session_id, now, today))
        if roles is None:
            raise not_signed_in("This sign-in has ended. Please sign in again.")
        identity = Identity(subject=user_id, roles=roles, session_id=session_id)
        known.sessions[session_id] = identity
        return identity

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


def _signed_in_roles(
    connection: Connection, user_id: str, session_id: str, now: datetime, today: date
) -> tuple[RoleAt, ...] | None:
    """The person's roles, or None when the person or the session has ended."""
    alive = connection.sql(
        "SELECT s.expires_at FROM sign_in_sessions s JOIN users u ON u.id = s.user_id "
        "WHERE s.id = ? AND u.id = ? AND s.ended_at IS NULL AND u.enabled AND NOT u.ended",
        (session_id, user_id),
    )
    if not alive or datetime.fromisoformat(alive[0][0]) <= now:
        return None
    return people.roles_of(connection, user_id, today)
