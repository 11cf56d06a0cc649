"""What an administrator does with accounts: invitations, roles and API keys. Secrets are shown once, when made."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field, model_validator
from quart import Blueprint, Response

from homeroom.api.auth import Email, Name
from homeroom.api.operation import Answer, Body, Call, Query, operation
from homeroom.auth import accounts as units
from homeroom.auth.authenticator import KEY_PREFIX
from homeroom.auth.tokens import secret_token
from homeroom.roster import people
from homeroom.store import Refused, Transaction, conflict, new_id
from homeroom.store import models as m
from homeroom.types import RoleAt

accounts = Blueprint("accounts_admin", __name__, url_prefix="/api/v1/auth")

PersonRole = Literal["student", "guardian", "teacher", "school_admin", "district_admin"]


class NewInvitation(Body):
    """Whom to invite: somebody of the roster (`user_id`), or somebody new with an address, a name and a role."""

    user_id: str | None = Field(default=None, examples=["01938f2e6c7d7a10b3c4d5e6f7a8b9c0"])
    email: Email | None = None
    name: Name | None = None
    role: PersonRole | None = None
    school_id: str | None = None
    days: int = Field(default=units.INVITATION_DAYS, ge=1, le=90)

    @model_validator(mode="after")
    def _one_way(self) -> NewInvitation:
        fresh = (self.email, self.name, self.role)
        if (self.user_id is None) == (None in fresh) or (self.user_id is not None and any(fresh)):
            raise ValueError("give either user_id, or email, name and role")
        return self


class Invitation(Answer):
    """An invitation. `token` is shown only here: send it to the person in a link."""

    id: str
    user_id: str
    token: str
    expires_at: datetime


class NewRole(Body):
    """A role to be given; a school administrator's needs a school."""

    role: PersonRole
    school_id: str | None = None


class RoleQuery(Query):
    """At which school the role is held."""

    school_id: str | None = None


class NewKey(Body):
    """An API key to be made, with the scopes it needs and no more."""

    name: Name = Field(examples=["Bus company"])
    scopes: list[str] = Field(min_length=1, max_length=20, examples=[["attendance.read"]])
    expires_at: datetime | None = None


class Key(Answer):
    """An API key, without its secret."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None = None


class KeyMade(Key):
    """A new API key. `key` is shown only here."""

    key: str


class KeyList(Answer):
    """Every API key that was not revoked, the newest first."""

    items: list[Key]
    next: str | None = None


@accounts.post("/invitations")
@operation("users.manage", body=NewInvitation, answers={201: Invitation}, problems=(404, 409))
async def create_invitation(call: Call, body: NewInvitation) -> tuple[Invitation, int]:
    """Invite somebody to set up an account; earlier invitations of the same person end."""
    invitation_id, token, user_id = new_id(), secret_token(), body.user_id or new_id()

    def unit(tx: Transaction) -> datetime:
        if body.role is not None and body.email is not None and body.name is not None:
            role = _role(body.role, body.school_id)
            units.add_user(tx, user_id=user_id, name=body.name, email=body.email, roles=[role])
        return units.invite(tx, invitation_id=invitation_id, token=token, user_id=user_id, days=body.days)

    expires_at = await call.write(unit)
    return Invitation(id=invitation_id, user_id=user_id, token=token, expires_at=expires_at), 201


@accounts.post("/users/<user_id>/roles")
@operation("users.manage", body=NewRole, answers={204: None}, problems=(404,))
async def grant_role(call: Call, user_id: str, body: NewRole) -> Response:
    """Give a person one more role; it holds everywhere at once."""
    await call.write(lambda tx: people.grant_role(tx, user_id, _role(body.role, body.school_id)))
    return Response(status=204)


@accounts.delete("/users/<user_id>/roles/<role>")
@operation("users.manage", query=RoleQuery, answers={204: None}, problems=(404, 409))
async def revoke_role(call: Call, user_id: str, role: PersonRole, query: RoleQuery) -> Response:
    """Take a role away; what it allowed ends everywhere at once. The last district administrator stays."""

    def unit(tx: Transaction) -> None:
        if role == "district_admin" and _is_last_administrator(tx, user_id):
            raise conflict("last-administrator", "This is the last district administrator; name another one first.")
        people.revoke_role(tx, user_id, RoleAt(role=role, org_id=query.school_id))

    await call.write(unit)
    return Response(status=204)


@accounts.get("/api-keys")
@operation("users.manage", answers=KeyList)
async def list_keys(call: Call) -> KeyList:
    """The API keys that work, or have expired."""
    return KeyList(items=[_key(row) for row in await call.read(units.keys)])


@accounts.post("/api-keys")
@operation("users.manage", body=NewKey, answers={201: KeyMade})
async def create_key(call: Call, body: NewKey) -> tuple[KeyMade, int]:
    """Make an API key for an integrator."""
    key_id, key = new_id(), secret_token(KEY_PREFIX)
    if body.expires_at is not None and body.expires_at.tzinfo is None:
        raise Refused(422, "invalid", "expires_at needs a time zone.")

    def unit(tx: Transaction) -> m.ApiKey:
        units.create_key(tx, key_id=key_id, key=key, name=body.name, scopes=body.scopes, expires_at=body.expires_at)
        row = tx.get(m.ApiKey, key_id)
        assert row is not None  # noqa: S101 - it was just inserted in this transaction
        return row

    row = await call.write(unit)
    return KeyMade(**_key(row).model_dump(), key=key), 201


@accounts.delete("/api-keys/<key_id>")
@operation("users.manage", answers={204: None}, problems=(404,))
async def revoke_key(call: Call, key_id: str) -> Response:
    """End an API key everywhere at once."""
    await call.write(lambda tx: units.revoke_key(tx, key_id))
    return Response(status=204)


def _role(role: PersonRole, school_id: str | None) -> RoleAt:
    if role == "school_admin" and school_id is None:
        raise Refused(422, "invalid", "A school administrator needs a school_id.")
    if role == "district_admin" and school_id is not None:
        raise Refused(422, "invalid", "A district administrator holds the role everywhere, without a school_id.")
    return RoleAt(role=role, org_id=school_id)


def _is_last_administrator(tx: Transaction, user_id: str) -> bool:
    table = m.RoleAssignment
    holders = set(tx.values(table.select(table.user_id).where(table.role == "district_admin")))
    return holders == {user_id}


def _key(row: m.ApiKey) -> Key:
    return Key(id=row.id, name=row.name, scopes=row.scopes, created_at=row.created_at, expires_at=row.expires_at)
