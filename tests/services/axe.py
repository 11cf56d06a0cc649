"""axe-core, which finds what shuts people out of a page: names, contrast, order, landmarks."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Page

from tests.services import npm
from tests.services.run import once

PACKAGE = "axe-core@4.11.0"
_ALL = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_CONTRAST = {"type": "rule", "values": ["color-contrast"]}
_RUN = """async (which) => (await axe.run(document, {runOnly: which})).violations
  .map((one) => `${one.id}: ${one.help} (${one.nodes.map((node) => node.html).join("; ")})`)"""


def source() -> str:
    """The script. Raises NotHere with the reason where it cannot be had."""
    path = once("axe", lambda: str(npm.installed("Axe", PACKAGE) / "axe-core" / "axe.min.js"))
    return Path(path).read_text(encoding="utf-8")


async def violations(page: Page, script: str) -> list[str]:
    """What is wrong with the page as it stands, each with the elements: all of it in light, the contrast in dark too.

    Only colours differ between the two, so the page is neither loaded anew nor searched for the rest again.
    """
    await page.evaluate(script)
    await page.emulate_media(color_scheme="light")
    found: list[str] = await page.evaluate(_RUN, _ALL)
    await page.emulate_media(color_scheme="dark")
    dark: list[str] = await page.evaluate(_RUN, _CONTRAST)
    await page.emulate_media(color_scheme="light")
    return [*found, *(f"in dark: {one}" for one in dark)]
