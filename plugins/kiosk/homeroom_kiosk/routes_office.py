"""What the office does: tablets of its schools, cards and PINs of its students, and who left early."""

from __future__ import annotations

from datetime import date, datetime
from functools import partial
from typing import Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint

from homeroom import Answer, Body, Call, Connection, Query, Target, Transaction, operation
from homeroom_kiosk import entries, keys, tablets, tries
from homeroom_kiosk.desk import Desk, Row
from homeroom_kiosk.entries import Direction
from homeroom_kiosk.secret_texts import new_pin

_SCHOOL, _STUDENT = Target(school_id="school_id"), Target(student_id="student_id")
_MANAGE = "kiosk.manage"
_MOST_ENTRIES = 500


class School(Answer):
    """A school whose tablets the caller looks after."""

    id: str
    name: str


class SchoolList(Answer):
    """Schools, by name."""

    items: list[School]


class NewTablet(Body):
    """Where a tablet is to stand."""

    place: str = Field(min_length=1, max_length=60, examples=["Main entrance"])


class SetUpCode(Answer):
    """The code that is typed on the tablet, once; it is not told again."""

    tablet_id: str
    code: str = Field(examples=["K7QM-2XPD-9TRA"])
    expires_at: AwareDatetime


class Tablet(Answer):
    """One tablet; `locked` says that it had too many wrong tries."""

    id: str
    place: str
    made_at: AwareDatetime
    seen_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None
    set_up: bool
    locked: bool


class TabletList(Answer):
    """A school's tablets."""

    items: list[Tablet]


class EntryQuery(Query):
    """Which day (today by default), and whether only those who left early."""

    day: date | None = None
    early: bool = False


class Entry(Answer):
    """Somebody came in or left, where and when."""

    id: str
    student_id: str
    place: str
    direction: Direction
    at: AwareDatetime
    early: bool


class EntryList(Answer):
    """Entries, the latest first."""

    items: list[Entry]


class Card(Answer):
    """A student's card, without its number, which is not kept."""

    id: str
    given_at: AwareDatetime
    blocked_at: AwareDatetime | None = None


class StudentKeys(Answer):
    """What a student can show at a tablet; `locked` says that there were too many wrong PINs."""

    cards: list[Card]
    pin_made_at: AwareDatetime | None = None
    locked: bool


class NewCard(Body):
    """A card's text as a scanner types it."""

    card: str = Field(min_length=4, max_length=200, pattern=r"\S", examples=["0004815162342"])


class CardGiven(Answer):
    """The card's name in later requests."""

    id: str


class CardRow(NewCard):
    """A card for the student with this number."""

    student_number: str = Field(min_length=1, max_length=64, examples=["100234"])


class CardRows(Body):
    """Many cards."""

    rows: list[CardRow] = Field(min_length=1, max_length=5000)


class RowOutcome(Answer):
    """What became of a row, counted from 1."""

    row: int
    outcome: Literal["given", "unchanged", "somebody-elses", "blocked", "unknown-student"]


class CardsTaken(Answer):
    """How many cards were given out and how many were known; each row that was not taken, with the reason."""

    given: int
    unchanged: int
    refused: list[RowOutcome]


class NewPin(Answer):
    """A student's PIN; it is not told again."""

    pin: str = Field(examples=["402917"])


def add_routes(blueprint: Blueprint, desk: Desk) -> None:
    """All of them."""

    @blueprint.get("/schools")
    @operation(_MANAGE, answers=SchoolList)
    async def list_schools(call: Call) -> SchoolList:
        """The schools whose tablets the caller looks after."""
        found = await desk.services.entrance.schools(call.me, _MANAGE)
        return SchoolList(items=[School(id=school_id, name=name) for school_id, name in found.items()])

    _add_tablets(blueprint, desk)
    _add_cards(blueprint, desk)
    _add_pins(blueprint, desk)


def _add_tablets(blueprint: Blueprint, desk: Desk) -> None:
    @blueprint.get("/schools/<school_id>/tablets")
    @operation(_MANAGE, of=_SCHOOL, answers=TabletList)
    async def list_tablets(call: Call, school_id: str) -> TabletList:
        """A school's tablets, those that were switched off last."""

        def read(connection: Connection) -> list[Tablet]:
            now = desk.services.clock.now()
            found = tablets.of_school(connection, school_id)
            return [_told(one, locked=tries.locked(connection, one.id, now)) for one in found]

        return TabletList(items=await call.read(read))

    @blueprint.post("/schools/<school_id>/tablets")
    @operation(_MANAGE, of=_SCHOOL, body=NewTablet, answers={201: SetUpCode})
    async def make_tablet(call: Call, school_id: str, body: NewTablet) -> tuple[SetUpCode, int]:
        """Make a tablet for one place of a school; the answer holds the code to set it up."""
        return _code(*await desk.make(school_id, body.place.strip(), call.me.subject)), 201

    @blueprint.post("/schools/<school_id>/tablets/<tablet_id>/code")
    @operation(_MANAGE, of=_SCHOOL, answers={201: SetUpCode}, problems=(404,))
    async def give_code(call: Call, school_id: str, tablet_id: str) -> tuple[SetUpCode, int]:  # noqa: ARG001 - alike
        """A new code for a tablet; once it is typed, whatever was set up before is good for nothing."""
        return _code(*await desk.code_again(school_id, tablet_id)), 201

    @blueprint.post("/schools/<school_id>/tablets/<tablet_id>/release")
    @operation(_MANAGE, of=_SCHOOL, answers={204: None}, problems=(404,))
    async def release_tablet(call: Call, school_id: str, tablet_id: str) -> tuple[None, int]:
        """Let a tablet that had too many wrong tries take cards and PINs again."""
        await call.write(lambda tx: tries.release(tx, tablets.one(tx, school_id, tablet_id).id))
        return None, 204

    @blueprint.delete("/schools/<school_id>/tablets/<tablet_id>")
    @operation(_MANAGE, of=_SCHOOL, answers={204: None}, problems=(404,))
    async def revoke_tablet(call: Call, school_id: str, tablet_id: str) -> tuple[None, int]:
        """Switch a tablet off for good, at once."""
        await call.write(lambda tx: tablets.revoke(tx, tablets.one(tx, school_id, tablet_id)))
        return None, 204

    @blueprint.get("/schools/<school_id>/entries")
    @operation(_MANAGE, of=_SCHOOL, query=EntryQuery, answers=EntryList)
    async def list_entries(call: Call, school_id: str, query: EntryQuery) -> EntryList:
        """Who came in and who left at a school's tablets on one day, at most 500, the latest first."""
        day = (query.day or desk.services.today()).isoformat()
        found = await call.read(partial(_of_day, school_id=school_id, day=day, early=query.early))
        call.discloses({one.student_id for one in found}, fields=("place", "direction", "at"), rows=len(found))
        return EntryList(items=found)


def _add_cards(blueprint: Blueprint, desk: Desk) -> None:
    @blueprint.get("/students/<student_id>")
    @operation(_MANAGE, of=_STUDENT, answers=StudentKeys)
    async def read_keys(call: Call, student_id: str) -> StudentKeys:
        """A student's cards, and whether there is a PIN."""
        call.discloses([student_id], fields=("cards", "pin"), rows=1)
        now = desk.services.clock.now()
        return await call.read(lambda c: _keys(c, student_id, locked=tries.locked(c, student_id, now)))

    @blueprint.post("/students/<student_id>/cards")
    @operation(_MANAGE, of=_STUDENT, body=NewCard, answers={201: CardGiven}, problems=(409,))
    async def give_card(call: Call, student_id: str, body: NewCard) -> tuple[CardGiven, int]:
        """Give a student a card; one that was blocked is good again. 409 when somebody else has it."""
        return CardGiven(id=await desk.give(student_id, body.card, call.me.subject)), 201

    @blueprint.delete("/students/<student_id>/cards/<card_id>")
    @operation(_MANAGE, of=_STUDENT, answers={204: None}, problems=(404,))
    async def block_card(call: Call, student_id: str, card_id: str) -> tuple[None, int]:
        """Block a lost card, at once and at every tablet."""
        await call.write(partial(keys.block, student_id=student_id, card_id=card_id))
        return None, 204

    @blueprint.post("/schools/<school_id>/cards")
    @operation(_MANAGE, of=_SCHOOL, body=CardRows, answers=CardsTaken)
    async def give_cards(call: Call, school_id: str, body: CardRows) -> CardsTaken:
        """Give out many cards; rows that cannot be taken keep no other from it. A repeat changes nothing."""
        rows = [Row(student_number=one.student_number, card=one.card) for one in body.rows]
        became = await desk.give_many(school_id, rows, call.me.subject)
        refused = [
            RowOutcome.model_validate({"row": number, "outcome": outcome})
            for number, outcome in enumerate(became, 1)
            if outcome not in ("given", "unchanged")
        ]
        return CardsTaken(given=became.count("given"), unchanged=became.count("unchanged"), refused=refused)


def _add_pins(blueprint: Blueprint, desk: Desk) -> None:
    @blueprint.put("/students/<student_id>/pin")
    @operation(_MANAGE, of=_STUDENT, answers=NewPin)
    async def set_pin(call: Call, student_id: str) -> NewPin:
        """A new random PIN for a student, in place of the one before; locks are released."""
        pin = new_pin(desk.settings.pin_digits)

        def unit(tx: Transaction) -> None:
            keys.set_pin(tx, student_id, pin, call.me.subject)
            tries.release(tx, student_id)

        await call.write(unit)
        return NewPin(pin=pin)

    @blueprint.delete("/students/<student_id>/pin")
    @operation(_MANAGE, of=_STUDENT, answers={204: None})
    async def remove_pin(call: Call, student_id: str) -> tuple[None, int]:
        """Take a student's PIN away."""
        await call.write(partial(keys.remove_pin, student_id=student_id))
        return None, 204

    @blueprint.post("/students/<student_id>/release")
    @operation(_MANAGE, of=_STUDENT, answers={204: None})
    async def release_student(call: Call, student_id: str) -> tuple[None, int]:
        """Let a student whose PIN was locked use it again."""
        await call.write(partial(tries.release, subject_id=student_id))
        return None, 204


def _of_day(connection: Connection, school_id: str, day: str, *, early: bool) -> list[Entry]:
    found = entries.of_day(connection, school_id, day, early=early, limit=_MOST_ENTRIES)
    return [Entry.model_validate(one, strict=False) for one in found]


def _keys(connection: Connection, student_id: str, *, locked: bool) -> StudentKeys:
    cards = [Card.model_validate(one, strict=False) for one in keys.cards_of(connection, student_id)]
    made_at = keys.pin_made_at(connection, student_id)
    return StudentKeys.model_validate({"cards": cards, "pin_made_at": made_at, "locked": locked}, strict=False)


def _told(tablet: tablets.Tablet, *, locked: bool) -> Tablet:
    values = {name: getattr(tablet, name) for name in ("id", "place", "made_at", "seen_at", "revoked_at", "set_up")}
    return Tablet.model_validate({**values, "locked": locked}, strict=False)


def _code(tablet_id: str, code: str, until: datetime) -> SetUpCode:
    return SetUpCode(tablet_id=tablet_id, code=code, expires_at=until)
