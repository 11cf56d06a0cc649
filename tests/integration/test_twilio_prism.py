"""Twilio's own description of its API, through Prism, judges our requests and the simulator's answers.

It is large, so one Prism serves all of it. In one thing it is corrected first: it calls the addresses of a list's pages
whole URIs, but in every example of its own, as in the real answers, they begin with the path.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from homeroom import NotSent
from homeroom_twilio import client
from homeroom_twilio.simulator import TwilioSimulator
from tests.services import prism
from tests.services.judge import judged, on_loopback
from tests.services.run import NotHere
from tests.services.texting import PARENT, PUBLIC, Texting, text, texting

SPECIFICATION = "twilio/twilio_api_v2010.json"
LISTS = ("Messages.json", "IncomingPhoneNumbers.json")
PAGES = ("uri", "first_page_uri", "next_page_uri", "previous_page_uri")


@pytest.fixture
def specification(request: pytest.FixtureRequest) -> Path:
    try:
        path = prism.specification(SPECIFICATION)
        prism.command()
    except NotHere as exc:
        request.node.user_properties.append(("missing", str(exc)))
        pytest.skip(str(exc))
    return path


@pytest.fixture
def corrected(specification: Path, tmp_path: Path) -> Path:
    """The description with the addresses of pages as its own examples have them."""
    described = orjson.loads(specification.read_bytes())
    for name in LISTS:
        path = described["paths"][f"/2010-04-01/Accounts/{{AccountSid}}/{name}"]
        listed = path["get"]["responses"]["200"]["content"]["application/json"]
        for example in listed["examples"].values():
            assert all((example["value"][page] or "/").startswith("/") for page in PAGES)
        for page in PAGES:
            del listed["schema"]["properties"][page]["format"]
    written = tmp_path / specification.name
    written.write_bytes(orjson.dumps(described))
    return written


@contextlib.asynccontextmanager
async def _texting(simulator: TwilioSimulator, url: str, **more: Any) -> AsyncIterator[Texting]:
    async with texting(httpx2.AsyncHTTPTransport(), {**simulator.settings(url), **more}) as plugin:
        yield plugin


async def test_every_request_and_every_answer_keeps_to_twilios_description(
    corrected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    simulator = TwilioSimulator(misbehave={"no-callbacks"})
    simulator.inbound_url = f"{PUBLIC}/plugins/twilio/inbound"
    async with on_loopback(simulator.app) as upstream, judged(upstream, corrected) as url:
        async with _texting(simulator, url, smart_encoded=True) as plugin:
            message = text(body="Maya war heute nicht da. Bitte melden: 中文, العربية", expires_at=_later(plugin))
            receipt = await plugin.deliver(message)
            others = [await plugin.deliver(text(body=f"Text {number}")) for number in range(4)]
            found = await plugin.find(message)
            missing = await plugin.find(text(body="Something else"))
            health = await plugin.plugin.ask("health")
        simulator.service_sid = "MG" + "5c" * 16
        async with _texting(simulator, url) as plugin:
            by_service = await plugin.deliver()
        wrong = await _outside(url, simulator)

    assert {one.state for one in (receipt, *others, by_service)} == {"accepted"}
    assert found.provider_id == receipt.provider_id
    assert missing == NotSent()
    assert health.ok, health
    assert len(simulator.taken) == 6
    assert simulator.taken[0].body == message.body
    assert wrong == {"no To": 422, "a wrong account": 422, "nobody": 401}
    assert {one.path.rpartition("/")[2] for one in simulator.asked} >= {"Messages.json", "IncomingPhoneNumbers.json"}


def test_the_description_says_what_the_plugin_relies_on(specification: Path) -> None:
    described = orjson.loads(specification.read_bytes())
    path = described["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]
    form = path["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]

    assert form["required"] == ["To"]
    assert {"From", "MessagingServiceSid", "Body", "StatusCallback", "ValidityPeriod", "SmartEncoded"} <= set(
        form["properties"]
    )
    assert {"To", "PageSize"} <= {one["name"] for one in path["get"]["parameters"]}
    size = next(one["schema"] for one in path["get"]["parameters"] if one["name"] == "PageSize")
    assert size["maximum"] == client.PAGE


def _later(plugin: Texting) -> Any:
    return plugin.clock.now() + timedelta(hours=2)


async def _outside(url: str, simulator: TwilioSimulator) -> dict[str, int]:
    """What the judge says of requests that break the description: that it judges at all."""
    own = (simulator.account_sid, simulator.auth_token)
    good = f"{url}/2010-04-01/Accounts/{simulator.account_sid}/Messages.json"
    form = {"To": PARENT, "From": simulator.from_number, "Body": "A"}
    async with httpx2.AsyncClient(trust_env=False) as http:
        no_to = await http.post(good, data={"Body": "A"}, auth=own)
        wrong = await http.post(good.replace("AC", "XX"), data=form, auth=own)
        nobody = await http.post(good, data=form)
    return {"no To": no_to.status_code, "a wrong account": wrong.status_code, "nobody": nobody.status_code}
