"""The texts of `homeroom plugins new`."""

from __future__ import annotations

from string import Template

from homeroom.host import templates_sis

PYPROJECT = Template("""\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$dist"
version = "0.1.0"
description = "A plugin for Homeroom."
requires-python = ">=3.11"
dependencies = ["homeroom-core"]

[project.entry-points."homeroom.plugins"]
$name = "$package:$cls"
$simulators
[dependency-groups]
dev = ["homeroom-core[testing]"]

[tool.hatch.build.targets.wheel]
packages = ["$package"]

[tool.pytest.ini_options]
addopts = "--import-mode=importlib"
pythonpath = ["."]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
filterwarnings = ["error"]
$sources""")

SIMULATORS = Template("""
[project.entry-points."homeroom.simulators"]
$name = "$package.simulator:${cls}Simulator"
""")

SOURCES = Template("""
[tool.uv.sources]
homeroom-core = { path = "$core", editable = true }
""")

README = Template("""\
# $dist

A plugin for Homeroom. Try it:

    uv run pytest

In the folder of a Homeroom installation, with `"$name"` among `enabled` in homeroom.toml:

    uv run --with-editable PATH/TO/$dist homeroom plugins list
    uv run --with-editable PATH/TO/$dist homeroom serve

`homeroom plugins check $name` looks for mistakes that tests do not find.
""")

_CHECKIN = Template('''\
"""Check-in with a word of the day, which the teacher says aloud."""

from __future__ import annotations

import hmac
from datetime import timedelta

from homeroom import Attempt, Challenge, ClassSession, Evidence, Services, Verdict, hookimpl
from pydantic import BaseModel, ConfigDict, Field


class ${cls}Settings(BaseModel):
    """What a district may set in [plugins.$name]."""

    model_config = ConfigDict(extra="forbid")

    minutes: int = Field(default=10, ge=1, le=240, description="how long the word is shown")


class $cls:
    """Shows a word to the teacher, and accepts it from the students of that session."""

    hook_api = 1
    scopes = frozenset({"proof.code"})
    Settings = ${cls}Settings

    def __init__(self, settings: ${cls}Settings, services: Services) -> None:
        self.settings = settings
        self.services = services

    @hookimpl
    async def issue_challenge(self, session: ClassSession) -> Challenge | None:
        """The word that the teacher's screen shows now."""
        until = self.services.clock.now() + timedelta(minutes=self.settings.minutes)
        return Challenge(kind="$name", code=self._word(session.id), expires_at=until)

    @hookimpl
    async def verify_check_in(self, attempt: Attempt) -> Evidence | None:
        """Whether the student knows the word; None when nothing was sent."""
        code = attempt.proof.get("code")
        if not isinstance(code, str) or not code:
            return None
        given, word = code.strip().casefold(), self._word(attempt.session.id)
        if hmac.compare_digest(given.encode(errors="replace"), word.encode()):
            return Evidence(method="$name", verdict=Verdict.ACCEPT)
        return Evidence(method="$name", verdict=Verdict.REJECT, reason="another word", problem="code-wrong")

    def _word(self, session_id: str) -> str:
        words = ("apple", "cedar", "comet", "delta", "ember", "fjord", "maple", "ocean", "panda", "river")
        key = self.services.derive_key(f"session:{session_id}")
        return f"{words[key[0] % len(words)]} {words[key[1] % len(words)]}"
''')

_CHECKIN_TEST = Template("""\
from dataclasses import replace

from homeroom import Attempt, Verdict
from homeroom.testing import SESSION, plugin_tests, running_plugin

from $package import $cls

Test$cls = plugin_tests($cls)

ATTEMPT = Attempt(session=SESSION, student_id="student-1", at=SESSION.starts_at)


async def test_the_word_that_is_shown_is_accepted() -> None:
    async with running_plugin($cls) as plugin:
        challenge = await plugin.ask("issue_challenge", session=SESSION)
        evidence = await plugin.ask("verify_check_in", attempt=replace(ATTEMPT, proof={"code": challenge.code}))
    assert evidence.verdict is Verdict.ACCEPT


async def test_the_word_of_another_session_is_rejected() -> None:
    async with running_plugin($cls) as plugin:
        challenge = await plugin.ask("issue_challenge", session=SESSION)
        other = replace(ATTEMPT, session=replace(SESSION, id="session-2"), proof={"code": challenge.code})
        evidence = await plugin.ask("verify_check_in", attempt=other)
    assert evidence.verdict is Verdict.REJECT
""")

_CHANNEL = Template('''\
"""Hands e-mails to a vendor's HTTP API."""

from __future__ import annotations

import httpx2
from homeroom import Finding, Health, Message, Receipt, Services, hookimpl
from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ${cls}Settings(BaseModel):
    """What a district sets in [plugins.$name]."""

    model_config = ConfigDict(extra="forbid")

    base_url: str = Field(description="the vendor's API, https://…")
    api_key: SecretStr


class $cls:
    """Delivers messages of the channel "email"."""

    hook_api = 1
    scopes = frozenset({"message.email"})
    Settings = ${cls}Settings

    def __init__(self, settings: ${cls}Settings, services: Services) -> None:
        self.settings = settings
        self.services = services
        services.allow_host(settings.base_url)

    @hookimpl
    async def deliver(self, message: Message) -> Receipt | None:
        """Hand one message over. The vendor sees its id, so that a repeat is not sent twice."""
        answer = await self.services.http.post(
            f"{self.settings.base_url}/messages",
            json={"to": message.to, "subject": message.subject, "text": message.body},
            headers={"Authorization": self._authorization(), "Idempotency-Key": message.id},
        )
        if answer.status_code == httpx2.codes.TOO_MANY_REQUESTS or answer.is_server_error:
            return Receipt(state="retry", code=str(answer.status_code))
        if answer.is_error:
            return Receipt(state="refused", code=str(answer.status_code))
        return Receipt(state="accepted", provider_id=str(answer.json()["id"]))

    @hookimpl
    async def health(self) -> Health:
        """Whether the vendor knows our key."""
        answer = await self.services.http.get(
            f"{self.settings.base_url}/account", headers={"Authorization": self._authorization()}
        )
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            fix = "Set api_key to a valid key."
            return Health(ok=False, findings=(Finding(problem="The vendor does not know this key.", fix=fix),))
        return Health(ok=answer.is_success, detail=f"HTTP {answer.status_code}")

    def _authorization(self) -> str:
        return f"Bearer {self.settings.api_key.get_secret_value()}"
''')

_CHANNEL_TEST = Template("""\
from datetime import UTC, datetime

import pytest
from homeroom import Message, Services
from homeroom.testing import plugin_tests, running_plugin, services
from quart import Quart, request

from $package import $cls

SETTINGS = {"base_url": "https://vendor.example", "api_key": "made-up"}
AT = datetime(2026, 9, 1, tzinfo=UTC)
MESSAGE = Message(id="message-1", channel="email", to="a@example.org", subject="Hello", body="Hi", created_at=AT)

vendor = Quart("vendor")


@vendor.post("/messages")
async def take() -> tuple[dict[str, str], int]:
    body = await request.get_json()
    known = request.headers["Authorization"] == "Bearer made-up"
    return ({"id": "vendor-1"}, 202) if known and body["to"] == "a@example.org" else ({}, 400)


@vendor.get("/account")
async def account() -> dict[str, str]:
    return {"name": "A school"}


def with_vendor() -> Services:
    return services("$name", scopes={"message.email"}, http=vendor)


Test$cls = plugin_tests($cls, SETTINGS, services=with_vendor)


async def test_a_message_is_handed_to_the_vendor() -> None:
    async with running_plugin($cls, SETTINGS, services=with_vendor()) as plugin:
        receipt = await plugin.ask("deliver", message=MESSAGE)
    assert (receipt.state, receipt.provider_id) == ("accepted", "vendor-1")


@pytest.mark.parametrize("channel", ["sms", "fax"])
async def test_other_channels_are_not_its_business(channel: str) -> None:
    message = Message(id="2", channel=channel, to="+15550100", body="Hi", created_at=AT)
    async with running_plugin($cls, SETTINGS, services=with_vendor()) as plugin:
        assert await plugin.ask("deliver", message=message) is None
""")

_AUTH = Template('''\
"""Sign-in with a list of people in the settings: where to begin for a directory of your own."""

from __future__ import annotations

import hashlib
import hmac

from homeroom import Credentials, Services, SignIn, hookimpl
from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Person(BaseModel):
    """One person who may sign in, and the id that the roster has for them."""

    model_config = ConfigDict(extra="forbid")

    user_id: str
    password: SecretStr


class ${cls}Settings(BaseModel):
    """What a district sets in [plugins.$name]."""

    model_config = ConfigDict(extra="forbid")

    people: dict[str, Person] = Field(default={}, description="by e-mail address")
    attempts_per_minute: int = Field(default=5, ge=1)


class $cls:
    """Knows the people of its settings."""

    hook_api = 1
    scopes = frozenset({"credentials.password"})
    Settings = ${cls}Settings

    def __init__(self, settings: ${cls}Settings, services: Services) -> None:
        self.settings = settings
        self.services = services

    @hookimpl
    async def authenticate(self, credentials: Credentials) -> SignIn | None:
        """Who these credentials belong to; None when they are wrong or of another kind."""
        email = credentials.fields.get("email", "").casefold()
        allowed = await self.services.limiter.hit(email, self.settings.attempts_per_minute, 60)
        if not allowed.allowed:
            return SignIn(refused="Too many attempts. Please wait a little.", retry_after=allowed.retry_after)
        person = self.settings.people.get(email)
        known = person.password.get_secret_value() if person else ""
        same = hmac.compare_digest(_digest(credentials.fields.get("password", "")), _digest(known))
        return SignIn(user_id=person.user_id) if person and same else None


def _digest(text: str) -> bytes:
    """Compared in place of the text, so that the time taken tells nothing about it."""
    return hashlib.sha256(text.encode(errors="replace")).digest()
''')

_AUTH_TEST = Template("""\
from homeroom import Credentials, SignIn
from homeroom.testing import plugin_tests, running_plugin

from $package import $cls

SETTINGS = {"people": {"ada@example.org": {"user_id": "user-1", "password": "a long made-up one"}}}

Test$cls = plugin_tests($cls, SETTINGS)


def password(text: str, email: str = "ada@example.org") -> Credentials:
    return Credentials(kind="password", fields={"email": email, "password": text})


async def test_the_right_password_signs_in() -> None:
    async with running_plugin($cls, SETTINGS) as plugin:
        assert await plugin.ask("authenticate", credentials=password("a long made-up one")) == SignIn(user_id="user-1")


async def test_a_wrong_password_and_an_unknown_person_get_the_same_answer() -> None:
    async with running_plugin($cls, SETTINGS) as plugin:
        assert await plugin.ask("authenticate", credentials=password("wrong")) is None
        assert await plugin.ask("authenticate", credentials=password("", "nobody@example.org")) is None


async def test_guessing_is_slowed_down() -> None:
    async with running_plugin($cls, SETTINGS) as plugin:
        answers = [await plugin.ask("authenticate", credentials=password(str(n))) for n in range(6)]
    assert answers[:5] == [None] * 5
    assert answers[5].refused
""")

PLUGINS = {"sis": templates_sis.PLUGIN, "channel": _CHANNEL, "checkin": _CHECKIN, "auth": _AUTH}
TESTS = {"sis": templates_sis.TEST, "channel": _CHANNEL_TEST, "checkin": _CHECKIN_TEST, "auth": _AUTH_TEST}
MORE = {
    "sis": {
        "connector": templates_sis.CONNECTOR,
        "rows": templates_sis.ROWS,
        "simulator": templates_sis.SIMULATOR,
    }
}
"""The further modules of a kind, by name."""
