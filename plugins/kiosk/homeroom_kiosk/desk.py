"""What tablets and the office ask of the plugin, apart from how they ask it (REST, the command line)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from homeroom import Connection, Mark, Refused, Services, Transaction
from homeroom_kiosk import entries, keys, tablets
from homeroom_kiosk.entries import Direction, Entry, Try
from homeroom_kiosk.keys import Given, NewCard
from homeroom_kiosk.secret_texts import code_as_typed, new_code, new_id, new_token
from homeroom_kiosk.settings import KioskSettings
from homeroom_kiosk.tablets import Tablet

NOT_A_TABLET = "This tablet is not set up, or the office has switched it off."
_REFUSALS: dict[entries.Refusal, tuple[int, str]] = {
    "switched-off": (401, NOT_A_TABLET),
    "used-already": (409, "This was sent before. Please start again."),
    "too-many-attempts": (429, "There were too many wrong tries. Please go to the office."),
    "not-recognized": (422, "That was not recognized. Please try again, or go to the office."),
}
_MOST_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """An entry, with the little that a corridor may see of it."""

    entry: Entry
    first_name: str
    marks: Sequence[Mark]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A card to be given to the student with a number."""

    student_number: str
    card: str = field(repr=False)


class Desk:
    """Sets up tablets, lets students in and out, and gives out cards."""

    def __init__(self, settings: KioskSettings, services: Services) -> None:
        self.settings = settings
        self.services = services
        self.zone = ZoneInfo(services.time_zone)

    async def make(self, school_id: str, place: str, by: str) -> tuple[str, str, datetime]:
        """A new tablet's id, with the code to set it up and when that ends."""
        tablet_id = new_id()
        code, until = self._code()

        def unit(tx: Transaction) -> None:
            tablets.make(tx, tablet_id, school_id, place, by)
            tablets.give_code(tx, tablet_id, code_as_typed(code), until)

        await self.services.store.submit(unit)
        return tablet_id, code, until

    async def code_again(self, school_id: str, tablet_id: str) -> tuple[str, str, datetime]:
        """A tablet's id, with a new code and when that ends. Raises Refused 404."""
        code, until = self._code()

        def unit(tx: Transaction) -> None:
            tablets.give_code(tx, tablets.one(tx, school_id, tablet_id).id, code_as_typed(code), until)

        await self.services.store.submit(unit)
        return tablet_id, code, until

    async def set_up(self, code: str) -> tuple[str, Tablet]:
        """The token of the tablet that this code sets up, once. Raises Refused 422."""
        token = new_token()
        found = await self.services.store.submit(partial(tablets.set_up, code=code_as_typed(code), token=token))
        if found is None:
            raise Refused(422, "code-wrong", "This code is wrong, was used already or has expired.")
        return token, found

    async def tablet(self, token: str) -> Tablet:
        """The tablet with this token. Raises Refused 401."""
        found = await self.services.store.read(partial(tablets.of_token, token=token))
        if found is None:
            raise Refused(401, "not-signed-in", NOT_A_TABLET)
        return found

    def offers(self, tablet: Tablet) -> Direction:
        """What the tablet offers first at this moment."""
        return entries.offered(self.services.clock.now(), tablet.school_id, self.settings, self.zone)

    async def enter(self, tried: Try) -> Welcome:
        """Let somebody in or out. Raises Refused 401, 409, 422 and 429, and then nothing is entered."""
        tablet = await self.tablet(tried.token)
        asked = await self.services.store.read(partial(_candidates, tried=tried))
        belonging = await self.services.entrance.students(tablet.school_id, ids=asked, numbers=[tried.number])
        known = replace(tried, belonging=belonging)
        judged = await self.services.store.submit(
            lambda tx: entries.judge(tx, known, self.settings, self.zone),
        )
        if isinstance(judged, entries.Refused):
            status, text = _REFUSALS[judged.why]
            raise Refused(status, judged.why, text, retry_after=judged.wait or None)
        marks = await self.check_in(judged) if judged.direction == "in" else []
        return Welcome(entry=judged, first_name=await self._first_name(judged.student_id), marks=marks)

    async def check_in(self, entry: Entry) -> list[Mark]:
        """Hand in the check-ins that an arrival stands for; none where that is denied: the entry holds all the same."""
        try:
            return await self.services.entrance.check_in(
                entry.student_id,
                school_id=entry.school_id,
                at=datetime.fromisoformat(entry.at),
                by=entry.tablet_id,
                early=timedelta(minutes=self.settings.early_minutes),
                proof={"entrance": self.receipt(entry.id, entry.student_id)},
            )
        except Refused as refusal:
            self.services.log.warning("check_in_denied", problem=refusal.problem)
            return []

    def receipt(self, entry_id: str, student_id: str) -> str:
        """What shows that a check-in comes from an entry: nobody else can make it, and it never leaves the server."""
        key = self.services.derive_key("receipt")
        return f"{entry_id}.{hmac.digest(key, f'{entry_id} {student_id}'.encode(), 'sha256').hex()}"

    async def give(self, student_id: str, card: str, by: str) -> str:
        """The id of a card that is the student's from now on, a blocked one too. Raises Refused 409."""
        new = NewCard(id=new_id(), student_id=student_id, card=card)

        def unit(tx: Transaction) -> tuple[Given, str]:
            given = keys.give(tx, new, by, found_again=True)
            known = keys.find_card(tx, card)
            return given, known.id if known is not None else ""

        given, card_id = await self.services.store.submit(unit)
        if given == "somebody-elses":
            raise Refused(409, "conflict", "Somebody else has this card. Block it there first.")
        return card_id

    async def give_many(self, school_id: str, rows: Sequence[Row], by: str) -> list[Given | str]:
        """What became of each row: a student who is not there is "unknown-student"; all others are taken all the same.

        A repeat changes nothing.
        """
        numbers = {row.student_number.strip() for row in rows}
        found = await self.services.entrance.students(school_id, numbers=numbers)
        became: list[Given | str] = []
        for start in range(0, len(rows), _MOST_AT_ONCE):
            some = [
                NewCard(id=new_id(), student_id=found.get(row.student_number.strip(), ""), card=row.card)
                for row in rows[start : start + _MOST_AT_ONCE]
            ]
            became += await self.services.store.submit(partial(_give_all, new=some, by=by))
        return became

    def _code(self) -> tuple[str, datetime]:
        return new_code(), self.services.clock.now() + timedelta(minutes=self.settings.code_minutes)

    async def _first_name(self, student_id: str) -> str:
        """The name that somebody goes by; none where a plugin denies that it is handed out."""
        try:
            found = await self.services.roster.students([student_id], fields=("preferred_name", "given_name"))
        except Refused:
            return ""
        return next((one.preferred_name or one.given_name or "" for one in found), "")


def _candidates(connection: Connection, tried: Try) -> list[str]:
    """Whose card it may be; for an unknown one an id that nobody has, so that what follows is the same."""
    card = keys.find_card(connection, tried.card or "")
    return [card.student_id if card is not None else "nobody"]


def _give_all(tx: Transaction, new: Iterable[NewCard], by: str) -> list[Given | str]:
    return [keys.give(tx, one, by, found_again=False) if one.student_id else "unknown-student" for one in new]
