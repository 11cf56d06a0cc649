"""Signing in with a password: the limits on guessing, whom the plugins recognise, and the session that begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from homeroom.auth import sessions
from homeroom.store import Connection, Refused, Transaction, new_id, now_utc
from homeroom.store import models as m
from homeroom.types import Credentials, PasswordSet, SignIn

if TYPE_CHECKING:
    from homeroom.auth.authenticator import Authenticator
    from homeroom.host import Host
    from homeroom.services import Limiter
    from homeroom.store import Store

WINDOW_SECONDS = 15 * 60
PER_ACCOUNT_HERE = 10
"""Failures for one e-mail address from one network address in WINDOW_SECONDS."""
PER_ACCOUNT = 60
"""The same from anywhere: higher, so that a stranger cannot lock somebody out from afar at little cost."""
PER_ADDRESS = 500
"""Failures from one network address: a whole school may sit behind one."""
DEAD_REFRESHES = 3000
"""Refresh tokens of no live session from one network address in WINDOW_SECONDS."""
STARTS = 6000
"""Single sign-ons begun from one network address: a district may leave by one, all in the same quarter of an hour."""

_WRONG = "The e-mail address or the password is not right."
_ENDED = "This sign-in has ended. Please sign in again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What a sign-in hands out. `expires_in` is the access token's life in seconds."""

    session_id: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What a sign-in needs of a district."""

    store: Store
    host: Host
    limiter: Limiter
    authenticator: Authenticator


async def who_is(door: Door, credentials: Credentials) -> str:
    """The id of the person whose credentials these are.

    Raises Refused: 401 with one text for an unknown address and a wrong password, 429 after too many failures, 503
    while the plugin is overloaded.
    """
    account = door.store.cipher.lookup("sign-in", credentials.fields.get("email", ""))
    address = credentials.client or "unknown"
    await guard(door.limiter, address)
    mine = [(f"sign-in:{account}:{address}", PER_ACCOUNT_HERE), (f"sign-in:{account}", PER_ACCOUNT)]
    for key, limit in mine:
        # Counted before the answer is known, so that many tries at once are no way around it.
        allowance = await door.limiter.hit(key, limit, WINDOW_SECONDS)
        if not allowance.allowed:
            raise _too_many(allowance.retry_after)
    user_id = await _recognised(door, credentials)
    if user_id is None:
        await count_failure(door.limiter, address)
        raise Refused(401, "not-signed-in", _WRONG)
    for key, _ in mine:
        await door.limiter.forget(key)
    return user_id


async def guard(limiter: Limiter, address: str) -> None:
    """Raise Refused 429 when too much has failed from this network address."""
    allowance = await limiter.peek(f"sign-in-from:{address}", PER_ADDRESS, WINDOW_SECONDS)
    if not allowance.allowed:
        raise _too_many(allowance.retry_after)


async def count_failure(limiter: Limiter, address: str) -> None:
    """Count something that failed from this network address."""
    await limiter.hit(f"sign-in-from:{address}", PER_ADDRESS, WINDOW_SECONDS)


async def begin(door: Door, user_id: str, *, device: str, days: int) -> Pair:
    """A new session of this person, and its tokens."""
    session_id = new_id()
    refresh_token = door.authenticator.refresh.make(session_id)

    def unit(tx: Transaction) -> None:
        sessions.start(
            tx, session_id=session_id, user_id=user_id, refresh_token=refresh_token, device=device, days=days
        )

    await door.store.write(unit)
    return pair(door, user_id, session_id, refresh_token)


def pair(door: Door, user_id: str, session_id: str, refresh_token: str) -> Pair:
    """The tokens of a session that has just begun or was refreshed."""
    access = door.authenticator.access
    return Pair(
        session_id=session_id,
        access_token=access.issue(user_id=user_id, session_id=session_id),
        refresh_token=refresh_token,
        expires_in=access.lifetime,
    )


async def count_start(limiter: Limiter, address: str) -> None:
    """Count a single sign-on that begins. Raises Refused 429 when too many did from this network address."""
    allowance = await limiter.hit(f"start-from:{address}", STARTS, WINDOW_SECONDS)
    if not allowance.allowed:
        raise _too_many(allowance.retry_after, "Too many sign-ins have begun here.")


async def refreshed(door: Door, token: str, *, days: int, address: str) -> Pair:
    """A new pair for a refresh token. Raises Refused 401; a token used twice has then ended its session.

    Raises Refused 429 after too many tokens of no live session from this network address.
    """
    tokens = door.authenticator.refresh
    session_id, genuine = tokens.session_of(token), tokens.is_ours(token)
    if not await door.store.read(lambda c: sessions.is_live(c, session_id, now_utc())):
        # Only these are limited: a phone behind a school's one address must not pay for another's.
        allowance = await door.limiter.hit(f"refresh-from:{address}", DEAD_REFRESHES, WINDOW_SECONDS)
        if not allowance.allowed:
            raise _too_many(allowance.retry_after)
        raise Refused(401, "not-signed-in", _ENDED)
    new_token = tokens.make(session_id)

    def unit(tx: Transaction) -> sessions.Rotation:
        return sessions.rotate(tx, token=token, genuine=genuine, session_id=session_id, new_token=new_token, days=days)

    rotation = await door.store.write(unit)
    if rotation.outcome == "reused":
        door.authenticator.end(session_id)
        raise Refused(401, "session-ended", "This was used before, so the sign-in was ended. Please sign in again.")
    if rotation.outcome != "rotated" or rotation.user_id is None:
        raise Refused(401, "not-signed-in", _ENDED)
    return pair(door, rotation.user_id, session_id, new_token)


async def set_password(host: Host, user_id: str, *, password: str, email: str | None = None) -> PasswordSet:
    """What came of giving this person a password, and with `email` the address to sign in with."""
    fields = {"password": password} if email is None else {"password": password, "email": email}
    answer = await host.ask_first(
        "set_password", user_id=user_id, credentials=Credentials(kind="password", fields=fields)
    )
    if answer is None or answer.value is None:
        raise Refused(503, "no-passwords", "Passwords cannot be set now. Please tell your office.", retry_after=60)
    result: PasswordSet = answer.value
    return result


async def _recognised(door: Door, credentials: Credentials) -> str | None:
    answer = await door.host.ask_first("authenticate", credentials=credentials)
    found: SignIn | None = answer.value if answer is not None else None
    if found is None:
        return None
    if found.second_factor:
        raise Refused(401, "second-factor-needed", found.refused or "Please give your second factor's code.")
    if found.refused is not None:
        status = 503 if found.retry_after is not None else 403
        raise Refused(status, "sign-in-refused", found.refused, retry_after=found.retry_after)
    user_id = found.user_id
    if user_id is None or not await door.store.read(lambda c: _may_come_in(c, user_id)):
        return None
    return user_id


def _may_come_in(connection: Connection, user_id: str) -> bool:
    person = connection.get(m.User, user_id)
    return person is not None and person.enabled and not person.ended


def _too_many(retry_after: int, what: str = "Too many sign-ins have failed.") -> Refused:
    text = f"{what} Please wait a little, then try again."
    return Refused(429, "too-many-requests", text, retry_after=max(1, retry_after))
