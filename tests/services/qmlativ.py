"""A Qmlativ in a test, and the plugin that speaks to its Generic API."""

from __future__ import annotations

from typing import Any

from homeroom import Noun, Page, Pull, Record, SisConnector
from homeroom.testing import services
from homeroom_skyward import Skyward, SkywardSettings
from homeroom_skyward.simulator import SkywardQmlativSimulator

URL = "https://skyward.example"


def connector_to(simulator: SkywardQmlativSimulator, **more: Any) -> SisConnector:
    """The connector, by small pages."""
    settings = SkywardSettings(**{**simulator.settings(URL), "page_size": 40, **more})
    return Skyward(settings, services("skyward", http=simulator.app)).sis_connector()


async def pages_of(connector: SisConnector, noun: Noun, **pull: Any) -> list[Page]:
    """Every page of a noun."""
    return [page async for page in connector.pull(Pull(noun=noun, **pull))]


def records_in(pages: list[Page]) -> dict[str, Record]:
    """The records by id."""
    return {record.sourced_id: record for page in pages for record in page.records}
