"""How people come to have an account: invitations, registration, single sign-on joined once; and integrators' API keys.

Units take ids and tokens from outside, made before them, because a unit may run more than once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeroom.auth.authenticator import KEY_REVOKED
from homeroom.auth.rules import SCOPES
from homeroom.auth.tokens import fingerprint
from homeroom.roster import people
from homeroom.store import Connection, Refused, Transaction, conflict, not_found
from homeroom.store import models as m
from homeroom.types import ExternalIdentity, RoleAt

INVITATION_DAYS = 14
_TAKEN = "This e-mail address cannot be used here."
_NO_INVITATION = "This invitation is not valid any more. Please ask your school for a new one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """An invitation that can still be accepted, and whom it is for."""

    id: str
    user_id: str


def add_user(
    tx: Transaction, *, user_id: str, name: str, email: str, roles: Sequence[RoleAt], source: str | None = None
) -> None:
    """A new person with an e-mail address (from `source`) and roles; the password is set by the hook `set_password`.

    Raises Refused 409 when the address is somebody's already.
    """
    if tx.get(m.User, user_id) is not None:
        return
    if people.people_with(tx, "email", email):
        raise conflict("email-taken", _TAKEN)
    given, _, family = name.strip().rpartition(" ")
    names = (given.strip(), family) if given else (family, "")
    people.create_person(tx, person_id=user_id, roles=roles, given_name=names[0], family_name=names[1])
    people.add_contact(tx, user_id, "email", email, source=source, quiet=True)


def invite(tx: Transaction, *, invitation_id: str, token: str, user_id: str, days: int = INVITATION_DAYS) -> datetime:
    """An invitation for a person of the roster to set up an account; gives when it expires.

    `token` is what the person is sent; only its hash is kept. Earlier invitations of the person end.
    """
    person = tx.get(m.User, user_id)
    if person is None or person.ended:
        raise not_found("There is no such person.")
    expires_at = tx.now + timedelta(days=days)
    table = m.Invitation
    mine = (table.user_id == user_id) & table.used_at.is_null() & (table.id != invitation_id)
    tx.run(table.update(expires_at=tx.now).where(mine & (table.expires_at > tx.now)))
    fresh = tx.insert_new(
        table,
        id=invitation_id,
        token_hash=fingerprint(token),
        user_id=user_id,
        created_by=tx.origin.actor_id,
        created_at=tx.now,
        expires_at=expires_at,
    )
    if fresh:
        tx.journal("invitation.created", subject_id=user_id, data={"invitation": invitation_id})
    return expires_at


def claim(tx: Transaction, *, token: str, email: str) -> Invited:
    """Use an invitation up. Raises Refused 403 when it is not good, 422 when the address is not the invited one's.

    Whom the school has no address of may choose one that is nobody else's; `keep_address` keeps it.
    """
    table = m.Invitation
    row = tx.one(table.select().where(table.token_hash == fingerprint(token)))
    if row is None or row.used_at is not None or row.expires_at <= tx.now:
        raise Refused(403, "invitation-invalid", _NO_INVITATION)
    person = tx.get(m.User, row.user_id)
    if person is None or person.ended or not person.enabled:
        raise Refused(403, "invitation-invalid", _NO_INVITATION)
    owners = people.people_with(tx, "email", email)
    if not _has_address(tx, person.id):
        if set(owners) - {person.id}:
            raise Refused(422, "invalid", _TAKEN)
    elif person.id not in owners:
        raise Refused(422, "invalid", "Please use the e-mail address that your school has for you.")
    tx.run(table.update(used_at=tx.now).where(table.id == row.id))
    tx.journal("invitation.accepted", subject_id=person.id, data={"invitation": row.id})
    return Invited(id=row.id, user_id=person.id)


def keep_address(tx: Transaction, user_id: str, email: str) -> None:
    """Keep the address that somebody has set up their account with, in place of what they gave for themselves before.

    Nothing is kept where the school has an address of the person.
    """
    if _has_address(tx, user_id):
        return
    for address in people.contacts_of(tx, user_id):
        if address.kind == "email" and address.value != email:
            people.remove_contact(tx, user_id, "email", address.value)
    people.add_contact(tx, user_id, "email", email, source=people.SELF_ASSERTED)


def release(tx: Transaction, invitation_id: str) -> None:
    """Let an invitation be used again, because setting the account up did not succeed."""
    tx.run(m.Invitation.update(used_at=None).where(m.Invitation.id == invitation_id))


def withdraw(tx: Transaction, user_id: str) -> None:
    """Undo a registration whose password was refused: the person never was."""
    tx.run(m.RoleAssignment.delete().where(m.RoleAssignment.user_id == user_id))
    tx.run(m.Contact.delete().where(m.Contact.user_id == user_id))
    tx.run(m.PersonKey.delete().where(m.PersonKey.user_id == user_id))
    tx.run(m.User.delete().where(m.User.id == user_id))
    tx.journal("user.withdrawn", subject_id=user_id)


def join(tx: Transaction, external: ExternalIdentity) -> str:
    """The person behind a single sign-on account, by provider and subject.

    The first time, a verified e-mail address (or the SIS id that the provider tells) may join exactly one person who
    has no account there yet. Raises Refused 403 when it joins nobody.
    """
    login = m.ExternalLogin
    row = tx.one(login.select().where((login.provider == external.provider) & (login.subject == external.subject)))
    user_id = row.user_id if row is not None else _joined_now(tx, external)
    person = tx.get(m.User, user_id) if user_id else None
    if person is None or person.ended or not person.enabled:
        raise Refused(403, "no-account", "You have no account here yet. Please ask your school's office.")
    return person.id


def create_key(
    tx: Transaction, *, key_id: str, key: str, name: str, scopes: Sequence[str], expires_at: datetime | None = None
) -> None:
    """An API key for an integrator; only its hash is kept. Raises Refused 422 for a scope that there is not."""
    unknown = sorted(set(scopes) - SCOPES)
    if unknown or not scopes:
        raise Refused(422, "invalid", f"Name one or more of the scopes {', '.join(sorted(SCOPES))}.")
    if expires_at is not None and expires_at <= tx.now:
        raise Refused(422, "invalid", "The key would have expired already.")
    fresh = tx.insert_new(
        m.ApiKey,
        id=key_id,
        name=name,
        key_hash=fingerprint(key),
        scopes=sorted(set(scopes)),
        created_by=tx.origin.actor_id,
        created_at=tx.now,
        expires_at=expires_at,
    )
    if fresh:
        tx.journal("api_key.created", subject_id=key_id, data={"scopes": sorted(set(scopes))})


def revoke_key(tx: Transaction, key_id: str) -> None:
    """End an API key in every process. Raises Refused 404 when there is none."""
    row = tx.get(m.ApiKey, key_id)
    if row is None:
        raise not_found()
    if not row.revoked:
        tx.run(m.ApiKey.update(revoked=True).where(m.ApiKey.id == key_id))
        tx.journal(KEY_REVOKED, subject_id=key_id)


def keys(connection: Connection) -> list[m.ApiKey]:
    """Every API key that was not revoked, the newest first."""
    return connection.all(m.ApiKey.select().where(~m.ApiKey.revoked).order_by(m.ApiKey.id.desc()))


def _has_address(connection: Connection, user_id: str) -> bool:
    """Whether the school has an e-mail address of the person, which is more than what they gave themselves."""
    table = m.Contact
    query = table.select(table.id).where(table.user_id == user_id, table.kind == "email", people.is_vouched_for())
    return connection.value(query) is not None


def _joined_now(tx: Transaction, external: ExternalIdentity) -> str | None:
    found: list[str] = []
    if external.email:
        # What people say of themselves joins nobody: a student may have given a teacher's address.
        found = people.people_with(tx, "email", external.email, vouched_for=True)
    if not found and external.user_sourced_id:
        table = m.User
        found = tx.values(table.select(table.id).where((table.sourced_id == external.user_sourced_id) & ~table.ended))
    if len(found) != 1:
        return None
    (user_id,) = found
    login = m.ExternalLogin
    if tx.one(login.select().where((login.provider == external.provider) & (login.user_id == user_id))) is not None:
        return None  # the address has moved to another account there; a person has to look at that
    tx.insert_new(login, provider=external.provider, subject=external.subject, user_id=user_id, created_at=tx.now)
    tx.journal("user.joined", subject_id=user_id, data={"provider": external.provider})
    return user_id
