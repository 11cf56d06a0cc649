"""What every page shares: who visits, in which language, and how an answer is made of a template."""

from __future__ import annotations

import functools
import hmac
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from babel.dates import format_date
from jinja2 import Environment, StrictUndefined
from quart import Response, redirect, request

from homeroom import Services
from homeroom_web import times
from homeroom_web.kept import Kept, may_hold_secrets
from homeroom_web.menu import TOP, is_at, room_of, shown
from homeroom_web.settings import WebSettings
from homeroom_web.static_files import StaticFiles, VersionedTemplates
from homeroom_web.visitors import COOKIE, Failed, NotSignedIn, Visitor, Visitors
from homeroom_web.words import Words, to_say, words_for

Handler = Callable[..., Awaitable[Response]]

SEE_OTHER, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 303, 401, 403, 404
_PERSON = "homeroom_person"
_REMEMBERED = 30 * 86400  # longer than a session, so that a form that is sent after its end is known to be somebody's


async def kept_form() -> Kept | None:
    """The form that travels along with this one."""
    kept = Kept.carried(await request.form)
    return kept if is_ours(kept.path) else None


class Pages:
    """Makes pages of templates, for whoever is signed in at the browser."""

    def __init__(self, settings: WebSettings, services: Services, visitors: Visitors, *, secure: bool) -> None:
        self.settings = settings
        self.services = services
        self.visitors = visitors
        self.secure = secure
        self.files = StaticFiles()
        self._environment = Environment(
            loader=VersionedTemplates(Path(__file__).parent / "templates", self.files),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters["translated"] = _translated
        self._environment.filters["twice"] = lambda codes: [(code, code) for code in codes]

    def render(
        self,
        template: str,
        *,
        visitor: Visitor | None = None,
        status: int = 200,
        refusal: Failed | None = None,
        **values: Any,
    ) -> Response:
        """A page in the browser's language. What a route has refused is the page's status, too.

        In templates `when(moment)` and `on_day(day)` write what a route has told, by the district's clock.
        """
        words, zone = language(), self.services.time_zone
        text = self._environment.get_template(template).render(
            title=self.settings.title,
            visitor=visitor,
            words=words,
            _=words.say,
            top=shown(TOP, visitor) if visitor else [],
            room=room_of(request.path),
            shown=shown,
            is_at=lambda link: is_at(link, request.path),
            day_name=lambda day: format_date(day, "EEE", locale=words.language),
            long_day=lambda day: format_date(day, "full", locale=words.language),
            on_day=lambda day: times.day(day, words.language),
            when=lambda told: times.moment(told, zone, words.language),
            refusal=refusal,
            **values,
        )
        return Response(text, refusal.status if refusal else status, content_type="text/html; charset=utf-8")

    def for_visitors(self, handler: Handler) -> Handler:
        """A page for those who are signed in; all others sign in first, and then come to it."""

        @functools.wraps(handler)
        async def view(**path: Any) -> Response:
            visitor = await self.visitors.find(request.cookies.get(COOKIE))
            if visitor is None:
                return await self._to_sign_in()
            try:
                return await handler(visitor, **path)
            except NotSignedIn:
                return await self._to_sign_in()
            except Failed as refusal:
                return self.problem(refusal, visitor)

        return view

    def let_in(self, response: Response, cookie: str, user_id: str) -> None:
        """Let the browser keep who is signed in, and for longer a key for whom that was. No script can read either."""
        seconds = int(self.visitors.seconds)
        for name, value, most in ((COOKIE, cookie, seconds), (_PERSON, self.person(user_id), _REMEMBERED)):
            response.set_cookie(name, value, max_age=most, httponly=True, secure=self.secure, samesite="Lax")

    def person(self, user_id: str) -> str:
        """A key for somebody that a device may keep: it says nothing to whoever finds it."""
        key = self.services.derive_key("whose check-ins wait on a device")
        return hmac.digest(key, user_id.encode(), "sha256").hex()[:32]

    async def _to_sign_in(self) -> Response:
        """The form to sign in with; what was filled in on another form goes along and is not lost."""
        if request.method == "GET":
            return go(f"/sign-in?next={quote(request.full_path.rstrip('?'), safe='')}")
        fields = list((await request.form).items(multi=True))
        files = [(name, str(file.filename)) for name, file in (await request.files).items(multi=True) if file.filename]
        if may_hold_secrets(fields):
            notice = to_say("You were signed out meanwhile. What you filled in may hold secrets, so it was not kept.")
            return self.sign_in(status=UNAUTHORIZED, notice=notice)
        owner = request.cookies.get(_PERSON, "")
        kept = Kept(path=request.path, fields=fields, files=files, owner=owner)
        notice = to_say("You were signed out meanwhile. What you filled in is kept: please sign in.")
        return self.sign_in(status=UNAUTHORIZED, notice=notice, kept=kept)

    def sign_in(
        self,
        *,
        status: int = 200,
        onward: str = "/",
        email: str = "",
        wrong: str | None = None,
        notice: str | None = None,
        kept: Kept | None = None,
    ) -> Response:
        """The form to sign in with. `wrong` is why that failed, `notice` what happened before."""
        values: dict[str, Any] = {"onward": onward, "email": email, "wrong": wrong, "notice": notice, "kept": kept}
        return self.render("sign_in.html", status=status, **values)

    def problem(self, refusal: Failed, visitor: Visitor | None = None) -> Response:
        """Why something cannot be, in the route's own words."""
        return self.render("problem.html", visitor=visitor, status=refusal.status, detail=refusal.detail)

    async def nowhere(self, _error: Exception) -> Response:
        """There is no page at this address."""
        return self.problem(Failed(NOT_FOUND, language().say("There is no page at this address.")))

    async def check_origin(self) -> Response | None:
        """Refuse a change that another site's page has sent; a `before_request` of every page."""
        if request.method in ("GET", "HEAD") or _is_from_us():
            return None
        refusal = Failed(FORBIDDEN, language().say("This came from another site's page, so nothing was done."))
        return self.problem(refusal)


def _translated(words: Mapping[str, str], say: Callable[[str], str]) -> list[tuple[str, str]]:
    """What can be chosen, each code with its word in the browser's language."""
    return [(code, say(word)) for code, word in words.items()]


def language() -> Words:
    """The language of the browser that asks."""
    return words_for([name for name, _ in request.accept_languages])


def go(path: str) -> Response:
    """On to another page of ours, by GET; any other target leads home."""
    response = redirect(path if is_ours(path) else "/", SEE_OTHER)
    assert isinstance(response, Response)  # noqa: S101 - Quart's, not Werkzeug's
    return response


def is_ours(path: str) -> bool:
    """Whether a link leads to a page of ours and nowhere else.

    Browsers take a backslash for a slash and leave out tabs and line breaks, so that these may make a host of a path.
    """
    parts = urlsplit(path)
    is_path = not parts.scheme and not parts.netloc and path.startswith("/") and not path.startswith("//")
    return is_path and path.isprintable() and "\\" not in path


def _is_from_us() -> bool:
    """Whether the browser says that one of our own pages sent this. All of today's browsers say it with a POST."""
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc == request.host
