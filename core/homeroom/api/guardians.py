"""Guardians of a student, and what each may: for the office, which has the court orders and the parents' word."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field
from quart import Blueprint

from homeroom.api.operation import Answer, Body, Call, Target, operation
from homeroom.roster import people
from homeroom.roster.names import display_name
from homeroom.store import Connection, Transaction
from homeroom.store import models as m

guardians = Blueprint("guardians", __name__, url_prefix="/api/v1/students")


class Guardian(Answer):
    """One guardian of a student. `ends_on` is the first day on which the guardianship no longer holds."""

    user_id: str
    name: str
    relationship: str = Field(examples=["guardian"])
    blocked: bool
    data_access: bool
    notify: bool
    begins_on: date | None = None
    ends_on: date | None = None


class GuardianList(Answer):
    """The guardians of a student."""

    items: list[Guardian]


class ContactOf(Answer):
    """One way to reach somebody."""

    kind: Literal["email", "phone", "sms"]
    value: str = Field(examples=["+15550100199"])


class GuardianContacts(Answer):
    """How to reach one guardian. One who is blocked is named, so that nobody calls them, but not reached."""

    user_id: str
    name: str
    relationship: str = Field(examples=["guardian"])
    blocked: bool
    contacts: list[ContactOf]


class GuardianContactList(Answer):
    """How to reach the guardians of a student."""

    items: list[GuardianContacts]


class GuardianChanges(Body):
    """What of a guardianship changes; what is left out stays.

    `blocked` is for a court order, a statute or a binding document (34 CFR 99.4): it beats everything else.
    """

    blocked: bool | None = None
    data_access: bool | None = None
    notify: bool | None = None
    begins_on: date | None = None
    ends_on: date | None = None


_NEVER_EMPTY = frozenset({"blocked", "data_access", "notify"})


@guardians.get("/<student_id>/guardians")
@operation("guardian.read", of=Target(student_id="student_id"), answers=GuardianList)
async def list_guardians(call: Call, student_id: str) -> GuardianList:
    """The student's guardians and what each may."""
    found = await call.read(lambda c: [_guardian(c, row) for row in people.guardianships_of(c, student_id)])
    call.discloses([student_id], fields=("guardians",), rows=len(found))
    return GuardianList(items=found)


@guardians.get("/<student_id>/guardians/contacts")
@operation("guardian.contact", of=Target(student_id="student_id"), answers=GuardianContactList)
async def list_contacts(call: Call, student_id: str) -> GuardianContactList:
    """How to reach the student's guardians, for the office."""

    def read(connection: Connection) -> list[GuardianContacts]:
        return [_reached(connection, row) for row in people.guardianships_of(connection, student_id)]

    found = await call.read(read)
    call.discloses([student_id], fields=("guardians", "email", "phone"), rows=len(found))
    return GuardianContactList(items=found)


@guardians.patch("/<student_id>/guardians/<guardian_id>")
@operation("guardian.edit", of=Target(student_id="student_id"), body=GuardianChanges, answers=Guardian)
async def edit_guardian(call: Call, student_id: str, guardian_id: str, body: GuardianChanges) -> Guardian:
    """Change what a guardian may; it holds at once, for messages that wait and for who is signed in."""
    changes = {
        key: value
        for key, value in body.model_dump(exclude_unset=True).items()
        if value is not None or key not in _NEVER_EMPTY
    }

    def unit(tx: Transaction) -> Guardian:
        return _guardian(tx, people.grant_to_guardian(tx, guardian_id, student_id, changes))

    answer = await call.write(unit)
    call.discloses([student_id], fields=("guardians",), rows=1)
    return answer


def _guardian(connection: Connection, row: m.Guardianship) -> Guardian:
    person = connection.get(m.User, row.guardian_id)
    return Guardian(
        user_id=row.guardian_id,
        name=display_name(person) if person is not None else "",
        relationship=row.relationship,
        blocked=row.blocked,
        data_access=row.data_access,
        notify=row.notify,
        begins_on=row.begins_on,
        ends_on=row.ends_on,
    )


def _reached(connection: Connection, row: m.Guardianship) -> GuardianContacts:
    person = connection.get(m.User, row.guardian_id)
    addresses = [] if row.blocked else people.contacts_of(connection, row.guardian_id)
    return GuardianContacts(
        user_id=row.guardian_id,
        name=display_name(person) if person is not None else "",
        relationship=row.relationship,
        blocked=row.blocked,
        contacts=[ContactOf(kind=one.kind, value=one.value) for one in addresses],
    )
