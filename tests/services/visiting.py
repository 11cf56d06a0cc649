"""People at real browsers: who may sign in, a window whose complaints are heard, and the form filled in."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, ViewportSize

from homeroom import Credentials, PasswordSet
from tests.services.browsing import PASSWORD
from tests.services.server import Server

PHONE: ViewportSize = {"width": 390, "height": 844}


async def may_sign_in(server: Server, *users: str) -> None:
    """Give each of `users` a password; their address is their id at example.org."""
    for user in users:
        given = Credentials(kind="password", fields={"email": f"{user}@example.org", "password": PASSWORD})
        answer = await server.district.host.ask("accounts", "set_password", user_id=user, credentials=given)
        assert answer is not None
        assert answer.value == PasswordSet()


async def visits(
    chromium: Browser, complaints: list[str], *, phone: bool = False, scripts: bool = True, **device: Any
) -> Page:
    """A fresh window; what its console and any dialog say goes to `complaints`."""
    context = await chromium.new_context(
        viewport=PHONE if phone else None, has_touch=phone, java_script_enabled=scripts, **device
    )
    return heard(await context.new_page(), complaints)


def heard(page: Page, complaints: list[str]) -> Page:
    """The page, whose complaints are heard from now on."""

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    async def asked(dialog: Dialog) -> None:
        complaints.append(dialog.message)
        await dialog.dismiss()

    page.on("console", said)
    page.on("dialog", asked)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return page


async def signs_in(page: Page, user: str, *, at: str | None = None) -> None:
    """Fill in the form, in whatever language it is, at the page that leads to it."""
    if at is not None:
        await page.goto(at)
    await page.locator("#email").fill(f"{user}@example.org")
    await page.locator("#password").fill(PASSWORD)
    await page.locator("main button").click()
