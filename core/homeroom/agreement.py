"""Whether every process of one district was set up alike: two that differ would serve two different districts.

Each running process keeps one row in the database, with a keyed fingerprint of each thing that must be equal and never
the thing itself. Whoever starts looks at the others first. A secret that differs is refused, for then people are signed
out at every second request, or a text is sealed that nobody else can open; anything else is told, for a change has to
be rolled out somehow. Which ENCRYPTION_KEY a database was sealed with is remembered for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import orjson
import psutil
import structlog
from pydantic import SecretStr

from homeroom.settings import Settings, encryption_key
from homeroom.store import Connection, Store, StoreError, Transaction, new_id, now_utc
from homeroom.store.models import KeyValue
from homeroom.types import Finding

log = structlog.get_logger("homeroom.agreement")

LOOK_SECONDS = 30.0
_LIVES = timedelta(seconds=90)
_CORE, _PROCESS, _SEALED_WITH = "core", "process:", "sealed_with"
_JWT, _ENCRYPTION = "JWT_SECRET_KEY", "ENCRYPTION_KEY"
_ROTATE = "put the key back, or name it in [security] previous_encryption_keys"


class SettingsDisagree(StoreError):
    """This process must not run beside the others, or on this database; the text says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A process that runs, and the fingerprint of each thing it was set to, by its name."""

    host: str
    pid: int
    marks: Mapping[str, str]

    @property
    def where(self) -> str:
        """What an administrator finds it by."""
        return f"{self.host} (process {self.pid})"

    @property
    def lives(self) -> bool:
        """Whether it may still run: one of this machine that was killed had no time to take its word back."""
        return self.host != platform.node() or psutil.pid_exists(self.pid)


def fingerprints(settings: Settings) -> dict[str, str]:
    """What must be equal in every process: a keyed fingerprint of each, by the name that an administrator knows."""
    key = encryption_key(settings.security.encryption_key.get_secret_value())
    plugins = settings.plugins
    given = {
        "JWT_ALGORITHM": settings.auth.algorithm,
        "PUBLIC_BASE_URL": settings.server.public_base_url,
        "whether there is a REDIS_URL": settings.redis.url is not None,
        "[plugins] enabled": [plugins.enabled, sorted(plugins.required)],
        "[plugins.…]": {name: _resolved(settings, name) for name in plugins.enabled},
        **{f"[{name}]": getattr(settings, name).model_dump(mode="json") for name in ("attendance", "sync", "notify")},
    }
    marks = {
        name: _mark(key, orjson.dumps([name, value], option=orjson.OPT_SORT_KEYS)) for name, value in given.items()
    }
    return {
        _JWT: _jwt(settings.auth.secret_key),
        _ENCRYPTION: _sealing(settings.security.encryption_key),
        **marks,
        "the version of Homeroom": version("homeroom-core"),
    }


def findings(connection: Connection, settings: Settings) -> list[Finding]:
    """What these settings contradict: the key that the database was sealed with, and the processes that run."""
    mine = fingerprints(settings)
    found = []
    if not _opens(connection, settings):
        found.append(Finding(problem=_not_the_key(), fix=f"{_ROTATE[0].upper()}{_ROTATE[1:]}."))
    for name, others in _differences(mine, _members(connection)).items():
        problem = f"{name} is another here than in {_and(others)}, which runs"
        fix = "Give every process the same settings, and restart those that were started with others."
        found.append(Finding(problem=problem, fix=fix))
    return found


def check_backup(connection: Connection, settings: Settings) -> None:
    """Look at what was just restored and not yet committed. Raises SettingsDisagree where its key is another."""
    if not _opens(connection, settings):
        raise SettingsDisagree(f"{_not_the_key('backup')}, and nothing was restored; {_ROTATE}")


class Agreement:
    """This process's word among the others: given at the start, kept up while it runs, taken back at the end."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.disagreeing = 0  # how many other processes were last seen with different settings
        self._settings, self._store = settings, store
        self._key = f"{_PROCESS}{new_id()}"
        self._marks = fingerprints(settings)
        self._told: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def enter(self) -> None:
        """Say what this process was set to. Raises SettingsDisagree when it must not run like that."""
        others = await self._store.write(self._enter)
        self._tell(others)
        self._task = asyncio.create_task(self._keep(), name="agreement")

    async def leave(self) -> None:
        """Take it back, so that what starts next is not compared with a process that has ended."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        with contextlib.suppress(StoreError):
            await self._store.write(lambda tx: _forget(tx, self._key))

    def _enter(self, tx: Transaction) -> list[Member]:
        sealed_with, others = _kept(tx), _members(tx)
        if not _opens(tx, self._settings):
            raise SettingsDisagree(f"{_not_the_key()}; {_ROTATE}")
        accepted = {_jwt(key) for key in (self._settings.auth.secret_key, *self._settings.auth.previous_keys)}
        if strangers := [other.where for other in others if other.marks.get(_JWT) not in accepted]:
            raise SettingsDisagree(
                f"{_JWT} is another here than in {_and(strangers)}, which runs on this database: give every process "
                "the same one, or name the old one in [auth] previous_keys to change it"
            )
        if sealed_with != self._marks[_ENCRYPTION]:
            _forget(tx, _SEALED_WITH)
            tx.insert(KeyValue, plugin=_CORE, key=_SEALED_WITH, value=self._marks[_ENCRYPTION])
        self._renew(tx)
        return others

    def _renew(self, tx: Transaction) -> list[Member]:
        _forget(tx, self._key)
        said = orjson.dumps({"host": platform.node(), "pid": os.getpid(), "marks": self._marks}).decode()
        others = _members(tx)
        tx.insert(KeyValue, plugin=_CORE, key=self._key, value=said, expires_at=tx.now + _LIVES)
        return others

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(StoreError):  # the database is away: others notice, and it is tried again
                self._tell(await self._store.write(self._renew))

    def _tell(self, others: Iterable[Member]) -> None:
        """Log what has begun to differ, once."""
        found = _differences(self._marks, others)
        self.disagreeing = len({where for places in found.values() for where in places})
        for name in found.keys() - self._told:
            log.warning("settings_disagree", setting=name, others=found[name])
        self._told = set(found)


def _kept(connection: Connection) -> str | None:
    mark = (KeyValue.plugin == _CORE) & (KeyValue.key == _SEALED_WITH)
    value = connection.value(KeyValue.select(KeyValue.value).where(mark))
    return None if value is None else str(value)


def _members(connection: Connection) -> list[Member]:
    theirs = (KeyValue.plugin == _CORE) & KeyValue.key.startswith(_PROCESS) & (KeyValue.expires_at >= now_utc())
    said = [Member(**orjson.loads(row.value)) for row in connection.all(KeyValue.select().where(theirs))]
    return [member for member in said if member.lives]


def _forget(tx: Transaction, key: str) -> None:
    tx.run(KeyValue.delete().where((KeyValue.plugin == _CORE) & (KeyValue.key == key)))


def _differences(mine: Mapping[str, str], others: Iterable[Member]) -> dict[str, list[str]]:
    """What differs, and in which processes; nothing else can be compared where the keys of the comparison differ."""
    found: dict[str, list[str]] = {}
    for other in others:
        names = [name for name in mine if mine[name] != other.marks.get(name)]
        for name in [_ENCRYPTION] if _ENCRYPTION in names else names:
            found.setdefault(name, []).append(other.where)
    return found


def _not_the_key(what: str = "database") -> str:
    return f"{_ENCRYPTION} is not the one that this {what} was sealed with"


def _opens(connection: Connection, settings: Settings) -> bool:
    """Whether these settings have the key that this database was sealed with; also where nothing is sealed yet.

    Before a server has run on it, and left the mark, people's keys say so: a sealed text begins with its key's name, so
    the first and the last of them in order differ where there are two.
    """
    if (sealed_with := _kept(connection)) is not None:
        return sealed_with in _openers(settings)
    cipher = settings.cipher()
    ends = connection.sql("SELECT min(sealed_key), max(sealed_key) FROM person_keys")[0]
    return all(sealed is None or cipher.has_key_of(sealed) for sealed in ends)


def _openers(settings: Settings) -> set[str]:
    """The fingerprints of every key that these settings can open texts with."""
    keys = (settings.security.encryption_key, *settings.security.previous_encryption_keys)
    return {_sealing(key) for key in keys}


def _jwt(secret: SecretStr) -> str:
    return _mark(secret.get_secret_value().encode(), _JWT.encode())


def _sealing(secret: SecretStr) -> str:
    return _mark(encryption_key(secret.get_secret_value()), _ENCRYPTION.encode())


def _mark(key: bytes, text: bytes) -> str:
    """A fingerprint that tells nothing to who has not the key; of a secret it is keyed by the secret itself."""
    return hmac.new(key, b"homeroom agreement: " + text, hashlib.sha256).hexdigest()[:24]


def _resolved(settings: Settings, name: str) -> Any:
    """A plugin's settings of file and environment, with what an environment variable holds in the name's place."""
    environment = settings.plugins.environment

    def value(one: Any) -> Any:
        if isinstance(one, Mapping):
            if set(one) == {"env"}:
                return environment.get(str(one["env"]))
            return {key: value(inner) for key, inner in one.items()}
        return [value(inner) for inner in one] if isinstance(one, list | tuple) else str(one)

    return [value(settings.plugins.sections.get(name, {})), settings.plugins.overrides(name)]


def _and(places: list[str]) -> str:
    return " and ".join(sorted(places))
