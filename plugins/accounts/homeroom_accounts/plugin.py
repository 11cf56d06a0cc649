"""The plugin: whose password this is, and keeping a new one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from homeroom import HOOK_API, Credentials, PasswordSet, Routes, Services, SignIn, hookimpl
from homeroom_accounts import routes, rules, table, totp
from homeroom_accounts.hashing import WAITING, Hasher, Overloaded
from homeroom_accounts.table import Credential

_BUSY = "Very many people are signing in at this moment. Please try again in a few seconds."
_BUSY_SECONDS = 2


class AccountsSettings(BaseModel):
    """What a password costs to check, and what authenticator apps show beside the code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory_kib: int = Field(default=19_456, ge=8, le=1_048_576, description="argon2id's memory for one password.")
    passes: int = Field(default=2, ge=1, le=20, description="argon2id's passes over it.")
    waiting: int = Field(default=WAITING, ge=1, le=1000, description="How many sign-ins may wait.")
    issuer: str = Field(default="Homeroom", min_length=1, max_length=60)


class Accounts:
    """Sign-in by e-mail and password, with an optional second factor."""

    hook_api = HOOK_API
    scopes = frozenset({"credentials.password"})
    Settings = AccountsSettings

    def __init__(self, settings: AccountsSettings, services: Services) -> None:
        self.settings = settings
        self.services = services
        self._hasher = Hasher(memory_kib=settings.memory_kib, passes=settings.passes, waiting=settings.waiting)

    @hookimpl
    async def start(self) -> None:
        """Start the threads that hash."""
        self._hasher.start()

    @hookimpl
    async def stop(self) -> None:
        """End them."""
        await self._hasher.stop()

    @hookimpl
    def migrations(self) -> Path:
        """The plugin's one table."""
        return Path(__file__).parent / "migrations"

    @hookimpl
    def routes(self) -> Routes:
        """Where one sets up, and gives up, the second factor."""
        second_factor = routes.SecondFactor(self.services, self.settings.issuer)
        return Routes(prefix=f"/plugins/{self.services.name}", blueprint=second_factor.blueprint())

    @hookimpl
    async def authenticate(self, credentials: Credentials) -> SignIn | None:
        """The person with this address and password; None when there is none, after the same time."""
        email = credentials.fields.get("email", "")
        password = rules.normal(credentials.fields.get("password", ""))
        found = await self.services.store.read(partial(table.by_email, email=email))
        try:
            fits = await self._hasher.verify(found.hash if found else None, password)
        except Overloaded:
            return SignIn(refused=_BUSY, retry_after=_BUSY_SECONDS)
        if not fits or found is None:
            return None
        if found.second_factor and (refusal := await self._second_factor(found, credentials.fields.get("code"))):
            return refusal
        await self._renew(found, email, password)
        return SignIn(user_id=found.user_id)

    @hookimpl
    async def set_password(self, user_id: str, credentials: Credentials) -> PasswordSet:
        """Keep a password. With an e-mail address the sign-in is set up anew, without a second factor."""
        email = credentials.fields.get("email")
        password = rules.normal(credentials.fields.get("password", ""))
        found = await self.services.store.read(partial(table.of_user, user_id=user_id))
        if email is None and found is None:
            return PasswordSet(refused="Please give the e-mail address to sign in with.", field="email")
        second_factor = email is None and found is not None and found.second_factor
        if refused := rules.objection(password, second_factor=second_factor, about=email or ""):
            return PasswordSet(refused=refused)
        try:
            kept = await self._hasher.hash(password)
        except Overloaded:
            return PasswordSet(refused=_BUSY, retry_after=_BUSY_SECONDS)
        if email is None:
            short = len(password) < rules.ALONE
            done = await self.services.store.submit(partial(table.change, user_id=user_id, kept=kept, short=short))
            refusal = PasswordSet(refused="Your second factor is off by now. Please use a longer password.")
        else:
            done = await self.services.store.submit(partial(table.set_up, user_id=user_id, email=email, kept=kept))
            refusal = PasswordSet(refused="This e-mail address cannot be used to sign in with.", field="email")
        return PasswordSet() if done else refusal

    async def _second_factor(self, found: Credential, code: str | None) -> SignIn | None:
        """Why the code does not let this person in, or None when it does; it is used up then."""
        if code is None:
            return SignIn(second_factor=True, refused="Please give the code that your authenticator app shows.")
        secret = await self.services.store.read(partial(table.totp_of, found=found))
        step = totp.step_of(secret, code, self.services.clock.now(), after=found.totp_step) if secret else None
        if step is not None:
            user_id = found.user_id
            if await self.services.store.submit(partial(table.use_step, user_id=user_id, step=step)):
                return None
        return SignIn(second_factor=True, refused="This code is wrong, or was used already. Please take the next one.")

    async def _renew(self, found: Credential, email: str, password: str) -> None:
        """Hash anew with today's costs, now that the password is known, when it was kept with others."""
        if not self._hasher.is_outdated(found.hash):
            return
        try:
            kept = await self._hasher.hash(password)
        except Overloaded:
            return  # the next sign-in will do it
        await self.services.store.submit(partial(table.renew, found=found, email=email, kept=kept))
