"""How fast the page for checking in is on a slow phone; times are printed and not judged, for machines differ."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page

from tests.browser.test_student import Phone, school  # noqa: F401 - a fixture
from tests.services.server import Server

SLOWER = 4
ROUND_TRIP_MS = 150
BYTES_A_SECOND = 1_600_000 / 8
FIRST_PAGE = 60 * 1024
WARM = 5

_READY = """() => {
  const [page] = performance.getEntriesByType("navigation");
  return page.domContentLoadedEventEnd;
}"""


async def _slow(context: BrowserContext) -> tuple[Page, list[float]]:
    """A page on a slow phone, and the bytes of what it fetches."""
    page = await context.new_page()
    devtools = await context.new_cdp_session(page)
    taken: list[float] = []
    devtools.on("Network.loadingFinished", lambda told: taken.append(told["encodedDataLength"]))
    line = {"downloadThroughput": BYTES_A_SECOND, "uploadThroughput": BYTES_A_SECOND, "latency": ROUND_TRIP_MS}
    await devtools.send("Network.enable")
    await devtools.send("Network.emulateNetworkConditions", {"offline": False, **line})
    await devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    return page, taken


async def _ready(page: Page, url: str) -> float:
    """After how many milliseconds a page that is visited can be used, its scripts too."""
    await page.goto(url, wait_until="load")
    return float(await page.evaluate(_READY))


async def test_the_page_for_checking_in_is_small_and_soon_ready_on_a_slow_phone(
    school: Server,  # noqa: F811 - the fixture
    chromium: Browser,
    record_property: Callable[[str, object], None],
) -> None:
    setting = f"{SLOWER}x slower processor, {ROUND_TRIP_MS} ms, 1.6 Mbit/s"
    known = await chromium.new_context()
    await Phone(await known.new_page(), school).signs_in("dan")
    state: Any = await known.storage_state()
    sizes = []
    for workers in ("block", "allow"):
        context = await chromium.new_context(storage_state=state, service_workers=workers)
        page, taken = await _slow(context)
        cold = await _ready(page, f"{school.url}/check-in")
        size = sum(taken)
        sizes.append(size)
        if workers == "allow":
            await page.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
        warm = statistics.median([await _ready(page, f"{school.url}/check-in") for _ in range(WARM)])
        name = "with" if workers == "allow" else "without"
        told = f"ready after {cold:.0f} ms cold, {warm:.0f} ms warm; {size / 1024:.1f} KiB at first"
        record_property("figure", f"check-in page {name} service worker ({setting}): {told}")
    assert min(sizes) > 0
    assert max(sizes) < FIRST_PAGE
