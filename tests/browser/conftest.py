"""Real Chromium, where the machine has it; skipped aloud where it has not."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.services import axe
from tests.services.run import NotHere

Launch = Callable[..., Awaitable[Browser]]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
_FOLDER = "HOMEROOM_SCREENSHOTS"
"""Where pictures of the pages go, for people to look at; without it none are taken."""
_SCHEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")

expect.set_options(timeout=15_000)  # what is waited for may take its time where the machine is busy


@pytest.fixture
async def launch(record_property: Callable[[str, object], None]) -> AsyncIterator[Launch]:
    """Starts a browser of the machine's own, with flags beside the usual ones."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        record_property("missing", "pages in a browser: there is no Chromium here")
        pytest.skip("no Chromium")
    usual = [*_FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright, contextlib.AsyncExitStack() as started:

        async def start(*flags: str) -> Browser:
            browser = await playwright.chromium.launch(executable_path=path, args=[*usual, *flags])
            started.push_async_callback(browser.close)
            return browser

        yield start


@pytest.fixture
async def chromium(launch: Launch) -> Browser:
    """A browser of the machine's own."""
    return await launch()


@pytest.fixture
def axe_script(record_property: Callable[[str, object], None]) -> str:
    """axe-core's script."""
    try:
        return axe.source()
    except NotHere as exc:
        record_property("missing", str(exc))
        pytest.skip(str(exc))


@pytest.fixture
def pictured() -> Callable[[Page, str], object]:
    """Takes pictures of a page in light and in dark where somebody wants to look at them, and else none."""
    given = os.environ.get(_FOLDER)
    folder = Path(given) if given else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)

    async def picture(page: Page, name: str) -> None:
        if folder is None:
            return
        for scheme in _SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            await page.screenshot(path=folder / f"{name}-{scheme}.png", full_page=True)
        await page.emulate_media(color_scheme="light")

    return picture
