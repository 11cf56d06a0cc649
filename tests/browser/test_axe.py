"""What judges the pages sees what only one of the two colour schemes has."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from tests.services import axe

_PAGE = """<!doctype html><html lang="en"><head><title>Colours</title><style>
:root {{ color-scheme: light dark }} body {{ background: #fff; color: #000 }}
@media (prefers-color-scheme: dark) {{ body {{ background: #000; color: #fff }} }}
@media (prefers-color-scheme: {scheme}) {{ p {{ color: #777; background: #888 }} }}
</style></head><body><main><h1>Colours</h1><p>Hard to read</p></main></body></html>"""


@pytest.mark.parametrize(("scheme", "begins"), [("dark", "in dark: color-contrast"), ("light", "color-contrast")])
async def test_a_fault_of_one_colour_scheme_is_found_and_named(
    chromium: Browser, axe_script: str, scheme: str, begins: str
) -> None:
    page = await (await chromium.new_context()).new_page()
    await page.set_content(_PAGE.format(scheme=scheme))
    [found] = await axe.violations(page, axe_script)
    assert found.startswith(begins)
    assert "Hard to read" in found
    assert await page.evaluate("matchMedia('(prefers-color-scheme: light)').matches")
