"""Single sign-on over HTTP: the list of providers, the way there, and the way back."""

from __future__ import annotations

from quart import Blueprint, Response, request

from homeroom.api.auth import Tokens, address, door, tokens_for
from homeroom.api.operation import PUBLIC, Answer, Call, operation
from homeroom.auth import external, sign_in
from homeroom.store import Refused

providers = Blueprint("providers", __name__, url_prefix="/api/v1/auth/providers")

COOKIE = "homeroom_sign_in"
_PATH = "/api/v1/auth/providers"


class Provider(Answer):
    """One way to sign in: `label` is what its button says, `start` where the button leads."""

    name: str
    label: str
    start: str


class ProviderList(Answer):
    """The single sign-on providers of this district."""

    items: list[Provider]
    next: str | None = None


@providers.get("/")
@operation(PUBLIC, answers=ProviderList)
async def list_providers(call: Call) -> ProviderList:
    """The ways to sign in besides a password."""
    found = await external.providers(call.district.host)
    return ProviderList(
        items=[Provider(name=name, label=one.label, start=f"{_PATH}/{name}/start") for name, one in found.items()]
    )


@providers.get("/<name>/start")
@operation(PUBLIC, answers={302: None}, problems=(404, 429, 503))
async def start_sign_in(call: Call, name: str) -> Response:
    """To the provider's own page; the cookie ties the way back to this browser."""
    await sign_in.count_start(call.district.limiter, address(call))
    browser = request.cookies.get(COOKIE)
    redirect_uri = _redirect_uri(call, name)
    beginning = await external.begin(door(call), name, redirect_uri=redirect_uri, browser=browser)
    response = Response(status=302, headers={"Location": beginning.url})
    response.set_cookie(
        COOKIE,
        beginning.browser,
        max_age=external.MINUTES * 60,
        path=_PATH,
        secure=redirect_uri.startswith("https:"),
        httponly=True,
        samesite="Lax",  # the provider sends the browser back from its own site
    )
    return response


@providers.get("/<name>/callback")
@operation(PUBLIC, answers={200: Tokens, 302: None}, problems=(403, 404, 429, 503))
async def finish_sign_in(call: Call, name: str) -> Tokens | Response:
    """Where the provider sends the browser back to; answers the tokens of a new session.

    A launch from a provider's own portal (Clever's) comes without a state of ours: it goes round once more.
    """
    if "code" in request.args and "state" not in request.args:
        return Response(status=302, headers={"Location": f"{_PATH}/{name}/start"})
    limiter, client = call.district.limiter, address(call)
    await sign_in.guard(limiter, client)
    answer = {key: value for key, value in request.args.items() if len(value) < 4096}  # noqa: PLR2004 - no code is longer
    try:
        user_id = await external.finish(door(call), name, answer, browser=request.cookies.get(COOKIE))
    except Refused:
        await sign_in.count_failure(limiter, client)
        raise
    return await tokens_for(call, user_id)


def _redirect_uri(call: Call, name: str) -> str:
    base = call.district.settings.server.public_base_url or request.host_url
    return f"{base.rstrip('/')}{_PATH}/{name}/callback"
