"""A browser without scripts: it keeps cookies, follows redirects and sends forms."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from quart import Response
from quart.typing import TestClientProtocol

from homeroom import Credentials, PasswordSet
from tests.services.served import Served

PASSWORD = "plum kettle sings on tuesdays"
PLUGINS = ("accounts", "rotating_code", "web")
_FOLLOWED = 5


@dataclass(slots=True)
class Page:
    """What the browser shows."""

    status: int
    path: str
    text: str
    headers: Any = field(repr=False)

    @property
    def heading(self) -> str:
        """The page's first heading."""
        return html.unescape(re.search(r"<h1>(.*?)</h1>", self.text, re.DOTALL)[1].strip())  # type: ignore[index]

    @property
    def words(self) -> str:
        """What is read on the page, without its tags: a name looked for here is not found in a random token."""
        return html.unescape(re.sub(r"<[^>]*>", " ", self.text))

    def value(self, name: str) -> str:
        """The value of a form's field."""
        return html.unescape(re.search(rf'name="{name}"[^>]* value="([^"]*)"', self.text)[1])  # type: ignore[index]


@dataclass(slots=True)
class Browser:
    """One browser; `language` is what it asks for."""

    api: Served
    client: TestClientProtocol
    language: str = "en"

    async def get(self, path: str) -> Page:
        """The page at `path`, wherever that leads."""
        for _ in range(_FOLLOWED):
            answer = await self._ask("GET", path)
            if answer.status_code != 303:
                return await _page(path, answer)
            path = answer.headers["Location"]
        raise AssertionError("it leads round for ever")

    async def post(self, path: str, *, origin: str | None = "http://localhost", **fields: str) -> Page:
        """What follows when a form is sent."""
        answer = await self._ask("POST", path, data=urlencode(fields), origin=origin)
        if answer.status_code == 303:
            return await self.get(answer.headers["Location"])
        return await _page(path, answer)

    async def signs_in(self, user: str, *, onward: str = "/") -> Page:
        """Sign in by the form; the account is made first."""
        email = f"{user}@example.org"
        given = Credentials(kind="password", fields={"email": email, "password": PASSWORD})
        answer = await self.api.district.host.ask("accounts", "set_password", user_id=user, credentials=given)
        assert answer is not None
        assert answer.value == PasswordSet()
        return await self.post("/sign-in", email=email, password=PASSWORD, next=onward)

    async def _ask(self, method: str, path: str, *, data: str | None = None, origin: str | None = None) -> Response:
        headers = {"Accept-Language": self.language}
        if data is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if origin is not None:
            headers["Origin"] = origin
        given: dict[str, Any] = {} if data is None else {"data": data}
        answer = await self.client.open(path, method=method, headers=headers, **given)
        assert isinstance(answer, Response)
        return answer


def browser(api: Served, *, language: str = "en") -> Browser:
    """A fresh browser."""
    return Browser(api, api.app.test_client(), language)


async def _page(path: str, answer: Response) -> Page:
    return Page(answer.status_code, path, await answer.get_data(as_text=True), answer.headers)
