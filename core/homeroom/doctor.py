"""What is wrong with this installation, each thing with its fix: what `homeroom doctor` prints."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from homeroom.settings import DEVELOPMENT_SECRET, Settings
from homeroom.store import Connection, Store, StoreError, Transaction, migrate
from homeroom.store.database import sqlite_path
from homeroom.store.reach import Unreachable, connected
from homeroom.strength import weakness
from homeroom.types import Finding

if TYPE_CHECKING:
    from homeroom.district import District

LEAST_DISK_BYTES = 500 * 1024 * 1024
MOST_SKEW_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at; `findings` is empty when it is fine, `detail` says what was seen."""

    name: str
    detail: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong here."""
        return not self.findings


async def examine(settings: Settings, *, host: str = "127.0.0.1", port: int = 8000) -> AsyncIterator[Check]:
    """Every check, one after the other; one that cannot be made is left out when an earlier one says why."""
    yield secrets(settings)
    yield listening(host, port)
    reachable = database(settings)
    yield reachable
    yield redis(settings)
    if not reachable.ok:
        yield plugins_left_out(settings)
        return
    migrated = migrations(settings)
    yield migrated
    for check in _disk(settings):
        yield check
    if not migrated.ok:
        return
    with Store(settings.database.url, cipher=settings.cipher(), readers=1) as store:
        yield await writable(store)
        yield await settings_elsewhere(store, settings)
        yield await clock(store)
        yield await counters(store)
    async for check in plugins(settings):
        yield check


def secrets(settings: Settings) -> Check:
    """Whether real secrets are set."""
    make = 'Make one with: python -c "import secrets; print(secrets.token_urlsafe(48))" and set it in .env.'
    given = {"JWT_SECRET_KEY": settings.auth.secret_key, "ENCRYPTION_KEY": settings.security.encryption_key}
    findings = []
    for name, secret in given.items():
        text = secret.get_secret_value()
        if text == DEVELOPMENT_SECRET:
            findings.append(Finding(problem=f"{name} is the development secret, which everybody knows", fix=make))
        elif (why := weakness(text)) is not None:
            findings.append(Finding(problem=f"{name} {why}: it can be guessed", fix=make))
    return Check(name="secrets", detail="set", findings=tuple(findings))


def listening(host: str, port: int) -> Check:
    """Whether the port is free, or Homeroom itself is on it."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            taken = f"{_authority(host, port)} cannot be used: {exc.strerror}"
        else:
            return Check(name="port", detail=f"{port} is free")
    if _is_homeroom(host, port):
        return Check(name="port", detail=f"Homeroom serves on {port}")
    fix = "Stop what uses it, or serve with another --port."
    return Check(name="port", findings=(Finding(problem=taken, fix=fix),))


def _is_homeroom(host: str, port: int) -> bool:
    return any(_answers(f"{scheme}://{_authority(host, port)}/health") for scheme in ("http", "https"))


def _answers(url: str) -> bool:
    import httpx2

    try:
        # Unverified: the certificate is for the name that browsers ask for, and nothing secret is sent.
        answer = httpx2.get(url, timeout=2, verify=False)
        return bool(answer.json() == {"status": "ok"})
    except (httpx2.HTTPError, ValueError):
        return False


def _authority(host: str, port: int) -> str:
    """Host and port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def database(settings: Settings) -> Check:
    """Whether the database is there and answers."""
    url = settings.database.url
    kind = "SQLite" if url.startswith("sqlite") else "PostgreSQL"
    if kind == "SQLite" and not sqlite_path(url).exists() and sqlite_path(url).parent.is_dir():
        problem, fix = f"there is no database at {sqlite_path(url)} yet", "Run: homeroom db upgrade"
        return Check(name="database", findings=(Finding(problem=problem, fix=fix),))
    try:
        with connected(url) as connection:
            connection.execute_sql("SELECT 1")
    except Unreachable as exc:
        return Check(name="database", findings=(Finding(problem=exc.problem, fix=f"{exc.fix}."),))
    except StoreError as exc:
        return Check(name="database", findings=(Finding(problem=str(exc), fix="Correct DATABASE_URL."),))
    return Check(name="database", detail=f"{kind} answers")


def migrations(settings: Settings) -> Check:
    """Whether the database is what this code expects."""
    try:
        pending = [entry for entry in migrate.status(settings.database.url) if not entry.applied]
    except migrate.NewerDatabase as exc:
        fix = "Install that version, or set DATABASE_URL to another database and restore an older backup into it."
        return Check(name="migrations", findings=(Finding(problem=str(exc), fix=fix),))
    if pending:
        problem = f"{len(pending)} migrations are pending, the first is {pending[0].name}"
        return Check(name="migrations", findings=(Finding(problem=problem, fix="Run: homeroom db upgrade"),))
    return Check(name="migrations", detail="all applied")


def _disk(settings: Settings) -> Iterator[Check]:
    """What concerns SQLite's own file."""
    if not settings.database.url.startswith("sqlite"):
        return
    path = sqlite_path(settings.database.url).resolve()
    free = shutil.disk_usage(path.parent).free
    findings = []
    if free < LEAST_DISK_BYTES:
        problem = f"only {free // 1024**2} MiB are free where {path.name} lies"
        findings.append(Finding(problem=problem, fix="Make room, or move the database to a larger disk."))
    yield Check(name="disk space", detail=f"{free // 1024**3} GiB free", findings=tuple(findings))
    yield file_rights(path)


def file_rights(path: Path) -> Check:
    """Whether others on this machine may read the database."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        problem = f"other users of this machine may read {path.name} (mode {mode:o})"
        return Check(name="file rights", findings=(Finding(problem=problem, fix=f"Run: chmod 600 {path}"),))
    return Check(name="file rights", detail=f"mode {mode:o}")


def redis(settings: Settings) -> Check:
    """Whether Redis answers, where it is used."""
    if settings.redis.url is None:
        return Check(name="redis", detail="not used: one process serves")
    if settings.database.url.startswith("sqlite"):
        problem = "REDIS_URL is set, but SQLite serves one process only, so Redis brings nothing"
        return Check(name="redis", findings=(Finding(problem=problem, fix="Unset REDIS_URL, or use PostgreSQL."),))
    import redis as client

    try:
        with client.Redis.from_url(
            settings.redis.url.get_secret_value(), socket_connect_timeout=3, socket_timeout=3
        ) as asked:
            asked.ping()
    except (client.RedisError, ValueError, OSError) as exc:
        problem = f"Redis does not answer ({type(exc).__name__}); boards of other processes follow half a second late"
        return Check(
            name="redis", findings=(Finding(problem=problem, fix="Start it, and see that REDIS_URL is right."),)
        )
    return Check(name="redis", detail="answers")


async def writable(store: Store) -> Check:
    """Whether a change can be committed; it writes and removes one row of its own."""
    from homeroom.store.models import KeyValue

    def unit(tx: Transaction) -> None:
        tx.insert(KeyValue, plugin="", key="doctor", value="")
        tx.run(KeyValue.delete().where((KeyValue.plugin == "") & (KeyValue.key == "doctor")))

    try:
        await store.write(unit)
    except StoreError as exc:
        fix = "Free disk space, or give the user that runs Homeroom the right to write (file, folder or database role)."
        return Check(name="writing", findings=(Finding(problem=f"nothing can be written: {exc}", fix=fix),))
    return Check(name="writing", detail="works")


async def settings_elsewhere(store: Store, settings: Settings) -> Check:
    """Whether these settings are those of the processes that run, and of whoever sealed this database."""
    from homeroom.agreement import findings

    found = await store.read(lambda connection: findings(connection, settings))
    return Check(name="same settings", detail="no process differs", findings=tuple(found))


async def clock(store: Store) -> Check:
    """Whether this machine and the database agree on the time."""

    def query(connection: Connection) -> float:
        if connection.is_sqlite:
            return 0.0
        seen = connection.sql("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0]
        return abs(float(seen) - datetime.now(UTC).timestamp())

    skew = await store.read(query)
    if skew > MOST_SKEW_SECONDS:
        problem = f"this machine's clock and the database's differ by {skew:.0f} s"
        fix = "Let both follow NTP; lateness and codes are judged by this machine's clock."
        return Check(name="clock", findings=(Finding(problem=problem, fix=fix),))
    return Check(name="clock", detail=f"{skew:.1f} s from the database's")


async def counters(store: Store) -> Check:
    """Whether the counters behind the statistics are what counting the records gives."""
    from homeroom.attendance.statistics import recount

    wrong = await store.read(recount)
    if wrong:
        problem = f"the attendance counters of {len(wrong)} class days differ from the records"
        fix = "Back up the database and tell the maintainers: this should never happen. The records are right."
        return Check(name="counters", findings=(Finding(problem=problem, fix=fix),))
    return Check(name="counters", detail="equal to a recount")


def plugins_left_out(settings: Settings) -> Check:
    """Which enabled plugins are not even installed; all that can be said without a database."""
    from homeroom.host.discovery import installed

    offers = installed()
    missing = [name for name in settings.plugins.enabled if settings.plugins.entry_point(name) not in offers]
    findings = tuple(
        Finding(
            problem=f"{name} is enabled but not installed",
            fix=f"Install it, or take it out of {settings.plugins.source}.",
        )
        for name in missing
    )
    return Check(name="plugins", detail=f"{len(settings.plugins.enabled)} enabled", findings=findings)


async def plugins(settings: Settings) -> AsyncIterator[Check]:
    """Each enabled plugin: whether it loads, and what its own health check says."""
    from homeroom.district import District

    district = District(settings)
    with district.store:
        await district.host.load()
        await district.host.start()
        try:
            for check in [await _plugin(district, name) for name in settings.plugins.enabled]:
                yield check
            yield await messages(district)
        finally:
            await district.host.stop()


async def messages(district: District) -> Check:
    """Whether what rules tell can be sent, and whether somebody should look at messages."""
    from homeroom.notify import reading
    from homeroom.notify.rules import rules
    from homeroom.notify.settings import STUDENT_KINDS
    from homeroom.notify.staff import PROBLEMS
    from homeroom.store import now_utc

    channels, served = district.settings.notify.channels, district.host.channels()
    on = await district.store.read(lambda c: rules(c, enabled=True))
    findings = [
        Finding(
            problem=f"the rule {rule.title!r} has no channel that a plugin serves",
            fix="Enable one in [plugins] (twilio, sendgrid or smtp), or switch the rule off.",
        )
        for rule in on
        if not served & set(rule.settings.channels or channels)
    ]
    findings += [
        Finding(
            problem=f"the rules {one.title!r} and {other.title!r} both tell the same people of {one.kind}",
            fix="Each sends a message of its own. Switch one of them off, or give them different conditions.",
        )
        for one, other in combinations((rule for rule in on if rule.kind in STUDENT_KINDS), 2)
        if one.tells_as(other)
    ]
    since = now_utc() - timedelta(days=1)
    counts = await district.store.read(lambda c: reading.figures(c, since=since))
    troubled = sum(counts[state] for state in PROBLEMS)
    if troubled:
        problem = f"{troubled} messages of the last day did not go as they should"
        findings.append(Finding(problem=problem, fix="Look at them with: homeroom notify status"))
    return Check(name="messages", detail=f"{len(on)} rules are on", findings=tuple(findings))


async def _plugin(district: District, name: str) -> Check:
    info = next(info for info in district.host.plugins if info.name == name)
    title = f"plugin {name}"
    if info.state in ("left_out", "quarantined"):
        fix = f"Put that right, or run: homeroom plugins disable {name}"
        return Check(name=title, findings=(Finding(problem=info.reason or info.state, fix=fix),))
    health = await district.host.health_of(name)
    if health is None or health["ok"]:
        return Check(name=title, detail=(health or {}).get("detail") or info.reason or info.state)
    told = tuple(Finding(problem=one["problem"], fix=one["fix"]) for one in health["findings"])
    red = Finding(problem=health["detail"] or "its health check is red", fix="See its page in the docs.")
    return Check(name=title, findings=told or (red,))
