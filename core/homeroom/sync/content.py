"""A record in its comparable form: canonical JSON in which addresses stand only as keyed lookups.

Whatever is unset is left out, so the same facts always give the same bytes. When a source last touched a record
(`modified`) is no fact about it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

import orjson

from homeroom.records import (
    AcademicSession,
    Class,
    Course,
    Enrollment,
    Noun,
    Org,
    Record,
    User,
    UserRole,
    facts_of,
)
from homeroom.store import iso
from homeroom.store.cipher import Cipher
from homeroom.sync.mapping import ADMINISTRATORS

CONTACTS = ("email", "phone", "sms")

_RECORDS: tuple[type[Record], ...] = (Org, AcademicSession, Course, Class, User, Enrollment)
_NOT_KEPT = {"enrollment": {"school"}}  # the class has one

FIELDS: dict[Noun, tuple[str, ...]] = {
    one.noun: tuple(name for name in facts_of(one) if name not in _NOT_KEPT.get(one.noun, ())) for one in _RECORDS
}

_VALUES: dict[Noun, Callable[[Any], tuple[Any, ...]]] = {noun: attrgetter(*names) for noun, names in FIELDS.items()}

_EMPTY: tuple[Any, ...] = ((), [])

MODIFIED = "@modified"
"""When the source last touched a record: it goes along to the comparison, and is no fact about it."""


class Unusable(ValueError):
    """A record that cannot be kept; the text says why and holds no personal value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A record's canonical JSON, the hash that tells it from others, and its addresses in clear."""

    text: str
    hash: str
    addresses: Mapping[str, str] = field(default_factory=dict, repr=False)

    def sealed(self, cipher: Cipher, sourced_id: str) -> str | None:
        """The addresses as they are staged; None where there are none."""
        if not self.addresses:
            return None
        return cipher.seal(orjson.dumps(self.addresses).decode(), seal_context(sourced_id))


def content_of(record: Record, cipher: Cipher, base: str | None = None, *, administrators: bool = False) -> Content:
    """The comparable form of a record.

    `administrators` is the setting: where it matters to a record, changing it makes the record another one. `base` is
    what the source said before: a record of changes (`User.only`) is laid over it. Raises Unusable when there
    is none, or when the record holds characters that no database keeps.
    """
    told = zip(FIELDS[record.noun], _VALUES[record.noun](record), strict=True)
    facts = {name: value for name, value in told if value is not None and value not in _EMPTY}
    addresses: dict[str, str] = {}
    if isinstance(record, User):
        addresses = {kind: facts[kind].strip() for kind in CONTACTS if facts.get(kind, "").strip()}
        facts |= {kind: cipher.lookup(kind, value) for kind, value in addresses.items()}
        facts["agents"] = sorted(set(record.agents))
        facts["roles"] = sorted(_role(role) for role in record.roles if role.status == "active")
        if tells_changes(record):
            only = FIELDS["user"] if record.only is None else record.only
            facts = _laid_over(record, only, facts, base)
            addresses = {kind: value for kind, value in addresses.items() if kind in only}
        facts = {name: value for name, value in facts.items() if value not in _EMPTY}
    try:
        text = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    except TypeError as exc:
        raise Unusable("it holds characters that are not valid text") from exc
    if b"\\u0000" in text:
        raise Unusable("it holds a NUL character")
    return Content(text=text.decode(), hash=_hash(text, facts, administrators=administrators), addresses=addresses)


def tells_changes(record: Record) -> bool:
    """Whether a record is to be laid over what its source said before."""
    return isinstance(record, User) and (record.only is not None or not record.roles_complete)


def hash_of(content: str, *, administrators: bool = False) -> str:
    """The hash of content that was kept, under today's setting (see `content_of`)."""
    facts = {name: value for name, value in orjson.loads(content).items() if name != MODIFIED}
    return _hash(canonical(facts).encode(), facts, administrators=administrators)


def _hash(text: bytes, facts: Mapping[str, Any], *, administrators: bool) -> str:
    is_affected = administrators and any(role[0] in ADMINISTRATORS for role in facts.get("roles", ()))
    return digest(text + b"+" * is_affected)


def stamped(text: str, modified: datetime | None) -> str:
    """Content with the moment at which the source last touched the record, where it says so."""
    return text if modified is None else canonical({**orjson.loads(text), MODIFIED: iso(modified)})


def digest(text: bytes) -> str:
    """The hash by which contents are compared."""
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def canonical(facts: Mapping[str, Any]) -> str:
    """Facts, back in canonical form."""
    return orjson.dumps(dict(facts), option=orjson.OPT_SORT_KEYS).decode()


def seal_context(sourced_id: str) -> str:
    """What the addresses of a staged row are bound to."""
    return f"staged_rows.sealed.{sourced_id}"


def _role(role: UserRole) -> list[Any]:
    begins_on = role.begins_on.isoformat() if role.begins_on else ""
    ends_on = role.ends_on.isoformat() if role.ends_on else ""
    return [role.role, role.org, role.primary, begins_on, ends_on]


def _laid_over(record: User, told: Sequence[str], facts: Mapping[str, Any], base: str | None) -> dict[str, Any]:
    """What is known of the person after a record of changes: the base with the told fields replaced."""
    known: dict[str, Any] = orjson.loads(base) if base else {}
    if not base and not {"given_name", "family_name"} <= set(told):
        raise Unusable("it only changes a person, who is not known yet")
    merged = {name: value for name, value in known.items() if name not in told}
    merged |= {name: value for name, value in facts.items() if name in told}
    if "roles" in told and not record.roles_complete:
        merged["roles"] = _joined(known.get("roles", []), record.roles)
    return merged


def _joined(known: Sequence[Sequence[Any]], changes: Sequence[UserRole]) -> list[list[Any]]:
    roles = {(role[0], role[1]): list(role) for role in known}
    for change in changes:
        roles.pop((change.role, change.org), None)
        if change.status == "active":
            roles[change.role, change.org] = _role(change)
    return sorted(roles.values())
