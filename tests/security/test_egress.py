"""Requests that somebody would like the server to make: only what the settings name goes out, and no further."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.egress import GuardedEgress, NotAllowedOut
from homeroom_webhooks.settings import Endpoint

NAMED = "https://hooks.example/in"
ELSEWHERE = (
    "http://hooks.example/in",
    "https://hooks.example:8443/in",
    "https://hooks.example./in",
    "https://hooks.example@evil.example/in",
    "https://hooks.example%40evil.example/in",
    "https://evil.example/?hooks.example",
    "https://evil.example#hooks.example",
    "https://sub.hooks.example/",
    "https://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254/latest/meta-data/",
    "https://127.0.0.1/",
    "http://127.0.0.1/",
    "http://0.0.0.0/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://10.0.0.1/",
    "https://localhost/",
)
NOT_HERE = (
    "http://hooks.example/",
    "http://169.254.169.254/",
    "http://10.0.0.1/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://2130706433/",
    "http://localhost.example/",
    "http://localhost@evil.example/",
    "ftp://localhost/",
    "file:///etc/passwd",
    "gopher://localhost/",
    "//hooks.example/",
    "hooks.example",
    "https://",
    "",
)


def _egress(answer: Callable[[httpx2.Request], httpx2.Response] | None = None) -> tuple[GuardedEgress, list[str]]:
    """A plugin's way out that may reach `NAMED` alone, and what has left by it."""
    left: list[str] = []

    def network(request: httpx2.Request) -> httpx2.Response:
        left.append(str(request.url))
        return answer(request) if answer else httpx2.Response(200)

    egress = GuardedEgress(httpx2.MockTransport(network))
    egress.allow(NAMED)
    return egress, left


@pytest.mark.parametrize("url", ELSEWHERE)
async def test_nothing_leaves_but_to_the_scheme_host_and_port_that_are_named(url: str) -> None:
    egress, left = _egress()
    with pytest.raises((NotAllowedOut, ValueError, httpx2.HTTPError, httpx2.InvalidURL)):
        await egress.client.get(url)
    assert left == []
    assert (await egress.client.get(NAMED)).status_code == 200
    assert left == [NAMED]


@pytest.mark.parametrize("url", NOT_HERE)
def test_only_https_can_be_allowed_and_http_for_this_machine_alone(url: str) -> None:
    egress = GuardedEgress(httpx2.MockTransport(lambda _: httpx2.Response(200)))
    with pytest.raises(ValueError, match=r"https://"):
        egress.allow(url)


@pytest.mark.parametrize("target", ["https://evil.example/", "http://169.254.169.254/", "http://hooks.example/"])
async def test_a_redirect_leads_nowhere_else_even_where_it_is_followed(target: str) -> None:
    egress, left = _egress(lambda _: httpx2.Response(302, headers={"Location": target}))
    assert (await egress.client.get(NAMED)).status_code == 302
    with pytest.raises(NotAllowedOut):
        await egress.client.get(NAMED, follow_redirects=True)
    async with httpx2.AsyncClient(transport=egress.transport, follow_redirects=True) as another:
        with pytest.raises(NotAllowedOut):
            await another.get(NAMED)
    assert set(left) == {NAMED}


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can set a variable for another program cannot have requests led through a machine of their own."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    egress, left = _egress()
    assert (await egress.client.get(NAMED)).status_code == 200
    assert left == [NAMED]


async def test_a_name_that_leads_somewhere_else_meets_a_certificate_that_it_has_not() -> None:
    """What DNS answers is not looked at: the name in the settings must be the one in the certificate.

    So whoever rebinds a name to an address within the network reaches a machine that cannot prove to be it.
    """
    egress = GuardedEgress()
    egress.allow("https://hooks.example/")
    transport = egress.transport
    network: Any = transport.handle_async_request
    cells = [cell.cell_contents for cell in network.__closure__]
    inner: Any = next(one for one in cells if isinstance(one, httpx2.AsyncHTTPTransport))
    context = inner._pool._ssl_context
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"
    await egress.close()


@pytest.mark.parametrize("url", [url for url in NOT_HERE if url])
def test_an_endpoint_of_webhooks_is_held_to_the_same(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        Endpoint.model_validate({"name": "one", "url": url, "secret": "whsec_" + "QUJD" * 8})


@given(st.text(max_size=60))
def test_no_text_is_an_address_that_breaks_the_guard(text: str) -> None:
    egress = GuardedEgress(httpx2.MockTransport(lambda _: httpx2.Response(200)))
    try:
        egress.allow(text)
    except ValueError:
        return
    assert text.strip().lower().startswith(("https://", "http://localhost", "http://127.", "http://[::1]"))
