"""Where somebody who is signed in sets up, and gives up, the second factor."""

from __future__ import annotations

from functools import partial

from pydantic import Field
from quart import Blueprint

from homeroom import Answer, Body, Call, Refused, Services, operation
from homeroom_accounts import table, totp
from homeroom_accounts.table import Credential

_TRIES = 10
_WINDOW_SECONDS = 15 * 60


class Code(Body):
    """What the authenticator app shows."""

    code: str = Field(min_length=6, max_length=20, examples=["123456"])


class SecondFactorState(Answer):
    """Whether a code is asked for at sign-in, and whether a password is kept here at all."""

    on: bool
    has_password: bool


class Proposal(Answer):
    """A secret for the authenticator app, as text and as the link that its QR code holds."""

    secret: str
    uri: str


class SecondFactor:
    """The routes of one instance of the plugin. `issuer` is what the authenticator app shows beside the code."""

    def __init__(self, services: Services, issuer: str) -> None:
        self.services = services
        self.issuer = issuer

    def blueprint(self) -> Blueprint:
        """All of them, below the plugin's prefix."""
        pages = Blueprint("accounts", __name__)

        @pages.get("/second-factor")
        @operation("account.self", answers=SecondFactorState)
        async def read_second_factor(call: Call) -> SecondFactorState:
            """Whether the caller has a second factor."""
            found = await self._credential(call.me.subject)
            return SecondFactorState(on=found is not None and found.second_factor, has_password=found is not None)

        @pages.post("/second-factor")
        @operation("account.self", answers={201: Proposal}, problems=(409,))
        async def propose_second_factor(call: Call) -> tuple[Proposal, int]:
            """A secret for the authenticator app; it counts once its first code was sent to `confirm`."""
            return await self._propose(call.me.subject), 201

        @pages.post("/second-factor/confirm")
        @operation("account.self", body=Code, answers={204: None}, problems=(409,))
        async def confirm_second_factor(call: Call, body: Code) -> tuple[None, int]:
            """Ask for a code at every sign-in from now on."""
            await self._confirm(call.me.subject, body.code)
            return None, 204

        @pages.post("/second-factor/disable")
        @operation("account.self", body=Code, answers={204: None}, problems=(409,))
        async def disable_second_factor(call: Call, body: Code) -> tuple[None, int]:
            """Ask for no code any more; only with a code, and a password long enough to stand alone."""
            await self._disable(call.me.subject, body.code)
            return None, 204

        return pages

    async def _propose(self, user_id: str) -> Proposal:
        found, secret = await self._credential(user_id), totp.new_secret()
        if found is None:
            raise _conflict("You do not sign in with a password here, so there is nothing to add to.")
        if found.second_factor:
            raise _conflict("You have a second factor already. Switch it off first.")
        await self.services.store.submit(partial(table.propose_totp, user_id=user_id, secret=secret))
        return Proposal(secret=secret, uri=totp.uri(secret, self.issuer))

    async def _confirm(self, user_id: str, code: str) -> None:
        secret = await self.services.store.read(partial(table.pending_totp, user_id=user_id))
        if secret is None:
            raise _conflict("Begin with a new secret first.")
        step = await self._step(user_id, secret, code)
        await self.services.store.submit(partial(table.confirm_totp, user_id=user_id, step=step))

    async def _disable(self, user_id: str, code: str) -> None:
        found = await self._credential(user_id)
        secret = await self.services.store.read(partial(table.totp_of, found=found)) if found else None
        if found is None or secret is None:
            raise _conflict("You have no second factor.")
        step = await self._step(user_id, secret, code, after=found.totp_step)
        if not await self.services.store.submit(partial(table.remove_totp, user_id=user_id, step=step)):
            raise _conflict("Your password is too short to stand alone. Choose a longer one first.")

    async def _credential(self, user_id: str) -> Credential | None:
        return await self.services.store.read(partial(table.of_user, user_id=user_id))

    async def _step(self, user_id: str, secret: str, code: str, *, after: int = 0) -> int:
        """The time step of the code, which is right; else a refusal. Few wrong ones are borne."""
        key = f"totp:{user_id}"
        allowance = await self.services.limiter.hit(key, _TRIES, _WINDOW_SECONDS)
        if not allowance.allowed:
            text = "Too many wrong codes. Please wait."
            raise Refused(429, "too-many-requests", text, retry_after=allowance.retry_after)
        step = totp.step_of(secret, code, self.services.clock.now(), after=after)
        if step is None:
            text = "This code is wrong, or was used already. Please take the next one."
            raise Refused(422, "code-wrong", text)
        await self.services.limiter.forget(key)
        return step


def _conflict(detail: str) -> Refused:
    return Refused(409, "conflict", detail)
