"""What a tablet may ask: to be set up, where it stands, and to let somebody in or out. There is nothing else for it.

A tablet's token is no sign-in: no other route knows it.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator
from quart import Blueprint, request

from homeroom import PUBLIC, Answer, Body, Call, Refused, operation
from homeroom_kiosk.desk import NOT_A_TABLET, Desk, Welcome
from homeroom_kiosk.entries import Direction, Try
from homeroom_kiosk.secret_texts import TOKEN_PREFIX, new_id

Outcome = Literal["present", "tardy", "arrived", "left", "left-early"]


class SetUp(Body):
    """The code that the office reads out."""

    code: str = Field(min_length=1, max_length=40, examples=["K7QM-2XPD-9TRA"])


class TabletToken(Answer):
    """What the tablet sends from now on as `Authorization: Bearer`; it is not told again."""

    token: str = Field(examples=["hrt_v3Tq0hYp5w1cJb2m7kR9sXeZ4nLd8aGf6uQiPoWtVyE"])
    place: str = Field(examples=["Main entrance"])


class TabletState(Answer):
    """Where the tablet stands, and what it offers first at this moment."""

    place: str = Field(examples=["Main entrance"])
    direction: Direction


class Proof(Body):
    """A card's text as it was read, or a student number with the PIN."""

    card: str | None = Field(default=None, min_length=4, max_length=200, examples=["0004815162342"])
    number: str | None = Field(default=None, min_length=1, max_length=64)
    pin: str | None = Field(default=None, min_length=1, max_length=20)

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.card is None) == (self.number is None) or (self.number is None) != (self.pin is None):
            raise ValueError("send a card, or a number with its pin")
        return self


class NewEntry(Body):
    """Somebody at the tablet. `once` is a random text of the tablet's own; the same one again is refused."""

    direction: Direction
    once: str = Field(min_length=16, max_length=100, examples=["b1f9d7c0a2e84c55"])
    proof: Proof


class Entered(Answer):
    """What a corridor may see, for a few seconds."""

    first_name: str = Field(examples=["Ana"])
    direction: Direction
    outcome: Outcome
    at: AwareDatetime


def add_routes(blueprint: Blueprint, desk: Desk) -> None:
    """All of them."""

    @blueprint.post("/set-up")
    @operation(PUBLIC, body=SetUp, answers={201: TabletToken})
    async def set_up(call: Call, body: SetUp) -> tuple[TabletToken, int]:  # noqa: ARG001 - every handler takes it
        """Exchange the office's code, once, for the token that this tablet shows from then on."""
        token, tablet = await desk.set_up(body.code)
        return TabletToken(token=token, place=tablet.place), 201

    @blueprint.get("/tablet")
    @operation(PUBLIC, answers=TabletState, problems=(401,))
    async def read_tablet(call: Call) -> TabletState:  # noqa: ARG001 - every handler takes it
        """Where this tablet stands; 401 once the office has switched it off."""
        tablet = await desk.tablet(_token())
        return TabletState(place=tablet.place, direction=desk.offers(tablet))

    @blueprint.post("/entries")
    @operation(PUBLIC, body=NewEntry, answers={201: Entered}, problems=(401, 409))
    async def enter(call: Call, body: NewEntry) -> tuple[Entered, int]:  # noqa: ARG001 - every handler takes it
        """Let a student of this tablet's school in or out. Whatever is wrong with a card or PIN is the same refusal."""
        proof = body.proof
        tried = Try(
            id=new_id(),
            token=_token(),
            direction=body.direction,
            once=body.once,
            card=proof.card,
            number=(proof.number or "").strip(),
            pin=(proof.pin or "").strip(),
        )
        return _entered(await desk.enter(tried)), 201


def _token() -> str:
    """The tablet's token. Raises Refused 401 for everything else that one may sign in with."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.startswith(TOKEN_PREFIX):
        raise Refused(401, "not-signed-in", NOT_A_TABLET)
    return token.strip()


def _entered(welcome: Welcome) -> Entered:
    entry = welcome.entry
    outcome: Outcome = "left-early" if entry.early else "left"
    if entry.direction == "in":
        status = welcome.marks[0].status if welcome.marks else None
        outcome = "tardy" if status == "tardy" else "present" if status == "present" else "arrived"
    return Entered.model_validate(
        {"first_name": welcome.first_name, "direction": entry.direction, "outcome": outcome, "at": entry.at},
        strict=False,
    )
