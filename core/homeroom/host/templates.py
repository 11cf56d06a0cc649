"""The texts of `homeroom plugins new`."""

from __future__ import annotations

from string import Template

from homeroom.host import templates_channel, templates_sis

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

PLUGINS = {"sis": templates_sis.PLUGIN, "channel": templates_channel.PLUGIN, "checkin": _CHECKIN, "auth": _AUTH}
TESTS = {"sis": templates_sis.TEST, "channel": templates_channel.TEST, "checkin": _CHECKIN_TEST, "auth": _AUTH_TEST}
MORE = {
    "sis": {
        "connector": templates_sis.CONNECTOR,
        "rows": templates_sis.ROWS,
        "simulator": templates_sis.SIMULATOR,
    },
    "channel": {"simulator": templates_channel.SIMULATOR},
}
"""The further modules of a kind, by name."""
