"""What every page shares: who visits, in which language, and how an answer is made of a template."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from babel.dates import format_date
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from quart import Response, redirect, request

from homeroom_web.settings import WebSettings
from homeroom_web.visitors import COOKIE, Failed, NotSignedIn, Visitor, Visitors
from homeroom_web.words import Words, words_for

Handler = Callable[..., Awaitable[Response]]

FORBIDDEN, NOT_FOUND, SEE_OTHER = 403, 404, 303


class Pages:
    """Makes pages of templates, for whoever is signed in at the browser."""

    def __init__(self, settings: WebSettings, visitors: Visitors, *, secure: bool) -> None:
        self.settings = settings
        self.visitors = visitors
        self.secure = secure
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def render(self, template: str, *, visitor: Visitor | None = None, status: int = 200, **values: Any) -> Response:
        """A page in the browser's language."""
        words = language()
        text = self._environment.get_template(template).render(
            title=self.settings.title,
            visitor=visitor,
            words=words,
            _=words.say,
            day_name=lambda day: format_date(day, "EEE", locale=words.language),
            **values,
        )
        return Response(text, status, content_type="text/html; charset=utf-8")

    def for_visitors(self, handler: Handler) -> Handler:
        """A page for those who are signed in; all others sign in first, and then come to it."""

        @functools.wraps(handler)
        async def view(**path: Any) -> Response:
            visitor = await self.visitors.find(request.cookies.get(COOKIE))
            if visitor is None:
                return _to_sign_in()
            try:
                return await handler(visitor, **path)
            except NotSignedIn:
                return _to_sign_in()
            except Failed as refusal:
                return self.problem(refusal, visitor)

        return view

    def problem(self, refusal: Failed, visitor: Visitor | None = None) -> Response:
        """Why something cannot be, in the route's own words."""
        return self.render("problem.html", visitor=visitor, status=refusal.status, detail=refusal.detail)

    async def nowhere(self, _error: Exception) -> Response:
        """There is no page at this address."""
        return self.problem(Failed(NOT_FOUND, language().say("There is no page at this address.")))

    async def check_origin(self) -> Response | None:
        """Refuse a change that another site's page has sent; a `before_request` of every page."""
        if request.method == "GET" or _is_ours():
            return None
        refusal = Failed(FORBIDDEN, language().say("This came from another site's page, so nothing was done."))
        return self.problem(refusal)


def language() -> Words:
    """The language of the browser that asks."""
    return words_for([name for name, _ in request.accept_languages])


def go(path: str) -> Response:
    """On to another page of ours, by GET; any other target leads home."""
    parts = urlsplit(path)
    ours = not parts.scheme and not parts.netloc and path.startswith("/") and not path.startswith(("//", "/\\"))
    response = redirect(path if ours else "/", SEE_OTHER)
    assert isinstance(response, Response)  # noqa: S101 - Quart's, not Werkzeug's
    return response


def _to_sign_in() -> Response:
    here = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return go(f"/sign-in?next={quote(here, safe='')}")


async def field(name: str) -> str:
    """One field of the form that was sent, without blanks around it; empty when there is none."""
    return (await field_as_typed(name)).strip()


async def field_as_typed(name: str) -> str:
    """One field with every blank that was typed, as a password has them."""
    return str((await request.form).get(name, ""))


def _is_ours() -> bool:
    """Whether the browser says that one of our own pages sent this. All of today's browsers say it with a POST."""
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc == request.host
