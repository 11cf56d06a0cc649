"""The page of the tablet at the door: a card is scanned or a PIN typed, and a big answer is shown for a few seconds."""

from __future__ import annotations

import contextlib
import secrets
from typing import Any

from quart import Blueprint, Response, request

from homeroom_web.forms import field
from homeroom_web.kiosk.tablets import COOKIE, PATH, Tablets, Told
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import COOKIE as PERSON
from homeroom_web.visitors import Failed, NotSignedIn
from homeroom_web.words import to_say

DIRECTIONS = ("in", "out")
OUTCOMES = {
    "present": to_say("You are in."),
    "arrived": to_say("You are in."),
    "tardy": to_say("You are in, and recorded as late."),
    "left": to_say("You have left. Goodbye!"),
    "left-early": to_say("You have left, and the office is told the time."),
}
REFUSALS = {
    409: to_say("This was sent before. Please start again."),
    422: to_say("That was not recognized. Please try again, or go to the office."),
    429: to_say("There were too many wrong tries. Please go to the office."),
}
_ELSE = to_say("This did not work, and nothing was recorded. Please go to the office.")


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/kiosk` and what is below it."""
    door = _Door(pages)
    blueprint.get(PATH, endpoint="kiosk")(door.start)
    blueprint.get(f"{PATH}/pin", endpoint="kiosk_pin")(door.pin)
    blueprint.post(PATH, endpoint="kiosk_entry")(door.enter)
    blueprint.post(f"{PATH}/set-up", endpoint="kiosk_set_up")(door.set_up)


class _Door:
    """The tablet's pages."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._tablets = Tablets(pages.services, secure=pages.secure)

    async def start(self) -> Response:
        """Where cards are scanned."""
        return await self._shown("kiosk/start.html")

    async def pin(self) -> Response:
        """Where a number and a PIN are typed."""
        return await self._shown("kiosk/pin.html")

    async def enter(self) -> Response:
        """The start again, with the answer to what was shown above it: the next one may scan at once."""
        proof = {name: value for name in ("card", "number", "pin") if (value := await field(name))}
        try:
            told = await self._tablets.enter(await field("direction"), await field("once"), proof)
        except Failed as refusal:
            return self._away(refusal.status, refusal.detail)
        return await self._shown("kiosk/start.html", told=_answer(told))

    async def set_up(self) -> Response:
        """The start, where the office's code is right."""
        code = await field("code")
        try:
            told = await self._tablets.set_up(code)
        except Failed as refusal:
            return self._away(refusal.status, refusal.detail)
        if not told.went_well:
            wrong = told.body.get("detail", "")
            return self._pages.render("kiosk/set_up.html", status=told.status, wrong=wrong, off=False, code=code)
        response = go(PATH)
        self._tablets.keep(response, told.body["token"])
        await self._nobody_stays_signed_in(response)
        return response

    async def _shown(self, template: str, *, told: dict[str, Any] | None = None) -> Response:
        """A page of the tablet; the one to set it up where this browser is none."""
        try:
            state = await self._tablets.state()
        except Failed as refusal:
            return self._away(refusal.status, refusal.detail)
        if state is None:
            off = bool(request.cookies.get(COOKIE))
            response = self._pages.render("kiosk/set_up.html", wrong=None, off=off, code="")
            self._tablets.forget(response)
            return response
        if not state.went_well:
            return self._away(state.status, state.body.get("detail", ""))
        once = secrets.token_urlsafe(18)
        return self._pages.render(template, told=told, once=once, directions=DIRECTIONS, **state.body)

    def _away(self, status: int, detail: str) -> Response:
        return self._pages.render("kiosk/away.html", status=status, detail=detail)

    async def _nobody_stays_signed_in(self, response: Response) -> None:
        """Whoever set the tablet up does not leave their own rights in the corridor."""
        visitor = await self._pages.visitors.find(request.cookies.get(PERSON))
        if visitor is not None:
            with contextlib.suppress(NotSignedIn, Failed):
                await self._pages.visitors.see_off(visitor)
        response.delete_cookie(PERSON)


def _answer(told: Told) -> dict[str, Any]:
    """What the corridor sees: a first name and the outcome, or why there is none."""
    if told.went_well:
        return {"good": True, "name": told.body["first_name"], "text": OUTCOMES[told.body["outcome"]]}
    return {"good": False, "name": "", "text": REFUSALS.get(told.status, _ELSE)}
