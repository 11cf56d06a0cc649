"""Signing in and out: passwords, tokens, one's own sessions, and tickets for WebSockets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from quart import Blueprint, Response, request

from homeroom.api.operation import PUBLIC, Answer, Body, Call, operation
from homeroom.api.peer import client_address
from homeroom.api.problem import FieldError, Invalid
from homeroom.auth import accounts, sessions, sign_in
from homeroom.auth.authenticator import TICKET_SECONDS
from homeroom.roster.names import display_name
from homeroom.roster.people import SELF_ASSERTED
from homeroom.store import Refused, Transaction, new_id, not_found, now_utc
from homeroom.store import models as m
from homeroom.types import Credentials, PasswordSet

auth = Blueprint("auth", __name__, url_prefix="/api/v1/auth")
tickets = Blueprint("tickets", __name__, url_prefix="/api/v1/ws-tickets")

Email = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]
Password = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Registration(Body):
    """A new account. Without an invitation it is refused unless the district has opened registration."""

    email: Email = Field(examples=["ada@example.org"])
    password: Password
    name: Name = Field(examples=["Ada Lovelace"])
    invitation: str | None = Field(default=None, max_length=200)


class Registered(Answer):
    """The account that was made."""

    id: str
    name: str


class Login(Body):
    """`code` is that of the second factor, for whoever has set one up."""

    email: Annotated[str, StringConstraints(strip_whitespace=True, max_length=254)]
    password: Password
    code: str | None = Field(default=None, max_length=20)


class Refresh(Body):
    """The newest refresh token of a session."""

    refresh_token: str = Field(max_length=500)


class Tokens(Answer):
    """A short-lived access token, and the refresh token that gets the next pair: it works once."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: int = Field(description="The access token's life in seconds.", examples=[1800])


class PasswordChange(Body):
    """The address and present password that one signs in with, and the password that is to replace it."""

    email: Email
    password: Password
    new_password: Password
    code: str | None = Field(default=None, max_length=20)


class Held(Answer):
    """One role; `org_id` is the school's, null for a role that holds everywhere."""

    role: str
    org_id: str | None = None


class Me(Answer):
    """Who is signed in."""

    id: str
    name: str
    roles: list[Held]
    session_id: str | None = None


class SignInHere(Answer):
    """One sign-in on one device."""

    id: str
    device: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool


class SignInList(Answer):
    """One's own live sessions, the last used one first."""

    items: list[SignInHere]
    next: str | None = None


class Ticket(Answer):
    """A ticket for `?ticket=`: good once, for `expires_in` seconds."""

    ticket: str
    expires_in: int = TICKET_SECONDS


@auth.post("/register")
@operation(PUBLIC, body=Registration, answers={201: Registered}, problems=(403, 409, 429, 503))
async def register(call: Call, body: Registration) -> tuple[Registered, int]:
    """Set up the account that an invitation is for, or a new one without any role where registration is open."""
    limiter, client = call.district.limiter, address(call)
    await sign_in.guard(limiter, client)
    if body.invitation is None:
        return await _open_registration(call, body), 201
    token = body.invitation
    try:
        invited = await call.write(lambda tx: accounts.claim(tx, token=token, email=body.email))
    except Refused:
        await sign_in.count_failure(limiter, client)
        raise
    try:
        password_kept(await sign_in.set_password(call.district.host, invited.user_id, **_login_of(body)))
        await call.write(lambda tx: accounts.keep_address(tx, invited.user_id, body.email))
    except BaseException:  # also when the client has gone: the invitation must not be lost with it
        await call.write(lambda tx: accounts.release(tx, invited.id))
        raise
    await _end_sessions(call, invited.user_id, "account set up anew")
    return Registered(id=invited.user_id, name=await _name(call, invited.user_id)), 201


@auth.post("/login")
@operation(PUBLIC, body=Login, answers=Tokens, problems=(401, 403, 429, 503))
async def login(call: Call, body: Login) -> Tokens:
    """Sign in with e-mail and password."""
    user_id = await sign_in.who_is(door(call), _credentials(call, body))
    return await tokens_for(call, user_id)


@auth.post("/refresh")
@operation(PUBLIC, body=Refresh, answers=Tokens, problems=(401, 429, 503))
async def refresh(call: Call, body: Refresh) -> Tokens:
    """The next pair of tokens. A refresh token that is used a second time ends its whole session."""
    days = call.district.settings.auth.refresh_token_days
    pair = await sign_in.refreshed(door(call), body.refresh_token, days=days, address=address(call))
    return Tokens.model_validate(pair)


@auth.post("/logout")
@operation("account.self", answers={204: None})
async def logout(call: Call) -> Response:
    """End the session that this request was made with."""
    session_id = call.me.session_id or ""
    await call.write(lambda tx: sessions.end(tx, session_id, reason="signed out"))
    call.district.authenticator.end(session_id)
    return Response(status=204)


@auth.post("/password")
@operation("account.self", body=PasswordChange, answers={204: None}, problems=(429, 503))
async def change_password(call: Call, body: PasswordChange) -> Response:
    """Change one's password; every other session of one's own ends."""
    me = call.me
    if await sign_in.who_is(door(call), _credentials(call, body)) != me.subject:
        raise Refused(403, "not-allowed", "This is somebody else's account.")
    password_kept(await sign_in.set_password(call.district.host, me.subject, password=body.new_password))
    await _end_sessions(call, me.subject, "password changed", but=me.session_id)
    return Response(status=204)


@auth.get("/me")
@operation("account.self", answers=Me)
async def read_me(call: Call) -> Me:
    """Who is signed in, and with which roles."""
    me = call.me
    roles = [Held(role=held.role, org_id=held.org_id) for held in me.roles]
    return Me(id=me.subject, name=await _name(call, me.subject), roles=roles, session_id=me.session_id)


@auth.get("/sessions")
@operation("account.self", answers=SignInList)
async def list_sign_ins(call: Call) -> SignInList:
    """One's own sign-ins."""
    me = call.me
    rows = await call.read(lambda c: sessions.sessions_of(c, me.subject, now_utc()))
    return SignInList(
        items=[
            SignInHere(
                id=row.id,
                device=row.device,
                created_at=row.created_at,
                last_used_at=row.last_used_at,
                expires_at=row.expires_at,
                current=row.id == me.session_id,
            )
            for row in rows
        ]
    )


@auth.delete("/sessions/<session_id>")
@operation("account.self", answers={204: None})
async def end_session(call: Call, session_id: str) -> Response:
    """End one of one's own sign-ins, on whichever device it is."""
    owner = call.me.subject
    if not await call.write(lambda tx: sessions.end(tx, session_id, reason="ended by its owner", owner=owner)):
        raise not_found()
    call.district.authenticator.end(session_id)
    return Response(status=204)


@tickets.post("/")
@operation("account.self", answers=Ticket)
async def issue_ticket(call: Call) -> Ticket:
    """A ticket for opening a WebSocket where headers cannot be set."""
    return Ticket(ticket=await call.district.authenticator.issue_ticket(call.me))


def door(call: Call) -> sign_in.Door:
    """What a sign-in needs of this district."""
    district = call.district
    return sign_in.Door(
        store=district.store, host=district.host, limiter=district.limiter, authenticator=district.authenticator
    )


def address(call: Call) -> str:
    """The client's network address, for limits; it is kept nowhere else."""
    return client_address(request.remote_addr, request.headers, call.district.settings.server.trusted_proxies)


async def tokens_for(call: Call, user_id: str) -> Tokens:
    """The tokens of a new session of this person on the device that calls."""
    device = request.headers.get("User-Agent", "")
    days = call.district.settings.auth.refresh_token_days
    return Tokens.model_validate(await sign_in.begin(door(call), user_id, device=device, days=days))


def password_kept(result: PasswordSet) -> None:
    """Nothing when the password was kept. Raises Invalid (422), or Refused 503 when there was no time for it."""
    if result.refused is None:
        return
    if result.retry_after is not None:
        raise Refused(503, "unavailable", result.refused, retry_after=result.retry_after)
    raise Invalid([FieldError(field=result.field, message=result.refused)])


async def _open_registration(call: Call, body: Registration) -> Registered:
    if call.district.settings.auth.registration != "open":
        await sign_in.count_failure(call.district.limiter, address(call))
        raise Refused(403, "invitation-needed", "You need an invitation from your school to set up an account.")
    user_id = new_id()

    def unit(tx: Transaction) -> None:
        accounts.add_user(tx, user_id=user_id, name=body.name, email=body.email, roles=(), source=SELF_ASSERTED)

    try:
        await call.write(unit)
    except Refused:  # counted, or whoever asks could find out without limit which addresses are known here
        await sign_in.count_failure(call.district.limiter, address(call))
        raise
    try:
        password_kept(await sign_in.set_password(call.district.host, user_id, **_login_of(body)))
    except BaseException:  # also when the client has gone: nobody is left behind without a password
        await call.write(lambda tx: accounts.withdraw(tx, user_id))
        raise
    return Registered(id=user_id, name=body.name)


async def _end_sessions(call: Call, user_id: str, reason: str, *, but: str | None = None) -> None:
    for session_id in await call.write(lambda tx: sessions.end_all(tx, user_id, reason=reason, but=but)):
        call.district.authenticator.end(session_id)


def _login_of(body: Registration) -> dict[str, str]:
    return {"password": body.password, "email": body.email}


def _credentials(call: Call, body: Login | PasswordChange) -> Credentials:
    fields = {"email": body.email, "password": body.password}
    if body.code is not None:
        fields["code"] = body.code
    return Credentials(kind="password", fields=fields, client=address(call))


async def _name(call: Call, user_id: str) -> str:
    person = await call.read(lambda c: c.get(m.User, user_id))
    return display_name(person) if person is not None else ""
