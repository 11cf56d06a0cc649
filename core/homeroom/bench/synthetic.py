"""A district to measure on: made-up people, classes and sessions written through the store in a few big units."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from homeroom.auth.tokens import AccessTokens
from homeroom.bench.processes import BenchFailed, homeroom
from homeroom.settings import FIXED, Settings, load_settings
from homeroom.store import Store, Transaction, now_utc
from homeroom.store import models as m

SCHOOL = "school"
_ROWS = 400
_PLUGINS = ("accounts", "rotating_code")
_CONFIG = """
environment = "production"

[plugins]
enabled = %s

[server]
requests_per_minute = 100_000_000  # one client stands for a whole district here

[auth]
access_token_minutes = 1440  # nobody signs in anew in the course of a run

[attendance]
time_zone = "UTC"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """An installation of its own in `folder`; `environment` is what its server is started with."""

    folder: Path
    environment: Mapping[str, str]
    settings: Settings

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        """Its database, for the bench's own reads and writes."""
        with Store(self.settings.database.url, cipher=self.settings.cipher()) as opened:
            yield opened

    def tokens(self, *people: str) -> list[str]:
        """Access tokens of these people, issued as the server itself issues them."""
        access = AccessTokens(self.settings.auth)
        return [access.issue(user_id=person, session_id=_sign_in(person)) for person in people]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One class: its students and teachers by id, and the session that is open in it now."""

    id: str
    students: list[str]
    teachers: list[str]
    session_id: str


@contextlib.contextmanager
def installation(
    folder: Path,
    database: str | None = None,
    *,
    redis: str | None = None,
    plugins: Mapping[str, Mapping[str, Any]] | None = None,
    modules: Path | None = None,
) -> Iterator[Installation]:
    """A fresh, migrated installation, with `plugins` (their settings by name) beside those that every bench needs.

    `modules` is a folder where Python finds plugins that are not installed. `database` names a PostgreSQL server
    by a URL of any of its databases: one of our own is made there, and dropped at the end. By default it is a SQLite
    file in `folder`. `redis` names an empty database of a Redis, emptied again at the end. Raises BenchFailed.
    """
    with fresh_database(folder, database) as url, _empty_redis(redis):
        config = folder / "homeroom.toml"
        config.write_text(_config(plugins or {}), encoding="utf-8")
        environment = {
            **{k: v for k, v in os.environ.items() if k not in FIXED and not k.startswith("HOMEROOM")},
            "HOMEROOM_CONFIG": str(config),
            "DATABASE_URL": url,
            "JWT_SECRET_KEY": secrets.token_urlsafe(48),
            "ENCRYPTION_KEY": secrets.token_urlsafe(48),
        }
        if redis is not None:
            environment["REDIS_URL"] = redis
        if modules is not None:
            paths = (str(modules), environment.get("PYTHONPATH"))
            environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        settings = load_settings(config, environment)
        _migrate(folder, environment)
        yield Installation(folder=folder, environment=environment, settings=settings)


def _config(plugins: Mapping[str, Mapping[str, Any]]) -> str:
    """homeroom.toml; a text, number or list in JSON is one in TOML, too."""
    parts = [_CONFIG % json.dumps([*_PLUGINS, *plugins])]
    for name, settings in plugins.items():
        parts += [f"[plugins.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items()), ""]
    return "\n".join(parts)


@contextlib.contextmanager
def fresh_database(folder: Path, server: str | None, *, file: str = "homeroom.db") -> Iterator[str]:
    """The URL of an empty database, a SQLite file in `folder` or one of our own on `server`, dropped at the end."""
    if server is None:
        yield f"sqlite:///{folder / file}"
        return
    if not server.startswith(("postgresql://", "postgres://")):
        raise BenchFailed("--database takes a postgresql:// URL; without it the bench runs on SQLite.")
    import psycopg

    name = f"homeroom_bench_{secrets.token_hex(6)}"
    try:
        connection = psycopg.connect(server, autocommit=True)
    except psycopg.OperationalError:
        raise BenchFailed("The PostgreSQL server of --database cannot be reached.") from None
    with connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextlib.contextmanager
def _empty_redis(url: str | None) -> Iterator[None]:
    """See that nobody else uses this database of a Redis, and leave it empty."""
    if url is None:
        yield
        return
    from redis import Redis, RedisError

    with Redis.from_url(url) as redis:
        try:
            kept = redis.dbsize()
        except RedisError:
            raise BenchFailed("The Redis of --redis cannot be reached.") from None
        if kept:
            raise BenchFailed("The database of --redis is not empty; name another, as redis://localhost/9.")
        try:
            yield
        finally:
            redis.flushdb()


def _migrate(folder: Path, environment: Mapping[str, str]) -> None:
    """Every migration, the plugins' included, applied as an operator does it."""
    done = subprocess.run(  # noqa: S603 - our own command
        [*homeroom(), "db", "upgrade"], cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchFailed(f"The database could not be made: {done.stderr.strip()[-500:]}")


def populate(store: Store, *, classes: int, students: int, teachers: int = 1, first: int | None = None) -> list[Group]:
    """Classes with their students and teachers, each with an open session that began just now; everybody is signed in.

    `students` in all are spread evenly over `classes`; the first class takes `first` of them when that is given.
    """
    names = [f"s{number:06d}" for number in range(students)]
    head = [names[:first]] if first is not None else []
    rest, left = names[first or 0 :], classes - len(head)
    seats = [*head, *(rest[number::left] for number in range(left))]
    groups = [
        Group(
            id=f"c{number:04d}",
            students=seated,
            teachers=[f"t{number:04d}x{n:02d}" for n in range(teachers)],
            session_id=f"n{number:06d}",
        )
        for number, seated in enumerate(seats)
    ]
    store.write_now(lambda tx: _write_people(tx, groups))
    store.write_now(lambda tx: _write_classes(tx, groups))
    return groups


def _write_people(tx: Transaction, groups: list[Group]) -> None:
    org = {"source": None, "sourced_id": None, "changed_at": tx.now, "time_zone": "UTC"}
    tx.insert(m.Org, id="district", name="Measured district", kind="district", **org)
    tx.insert(m.Org, id=SCHOOL, name="Measured school", kind="school", parent_id="district", **org)
    people = [(person, "student") for group in groups for person in group.students]
    people += [(person, "teacher") for group in groups for person in group.teachers]
    _insert(
        tx,
        m.User,
        [
            {"id": who, "given_name": "Sam", "family_name": who, "sort_name": f"{who} sam", "changed_at": tx.now}
            for who, _ in people
        ],
    )
    _insert(tx, m.RoleAssignment, [{"user_id": who, "role": role, "org_id": SCHOOL} for who, role in people])
    _insert(
        tx,
        m.SignInSession,
        [_signed_in(who, tx.now) for who, _ in people],
    )


def _write_classes(tx: Transaction, groups: list[Group]) -> None:
    _insert(
        tx,
        m.Class,
        [{"id": group.id, "title": group.id, "school_id": SCHOOL, "changed_at": tx.now} for group in groups],
    )
    seats = [
        (group.id, who, role)
        for group in groups
        for role, people in (("student", group.students), ("teacher", group.teachers))
        for who in people
    ]
    _insert(
        tx,
        m.Enrollment,
        [
            {"id": f"{group}-{who}", "user_id": who, "class_id": group, "role": role, "changed_at": tx.now}
            for group, who, role in seats
        ],
    )
    _insert(tx, m.ClassSession, [_session(group.id, group.session_id, tx.now) for group in groups])


def _session(class_id: str, session_id: str, starts_at: datetime, state: str = "open") -> dict[str, Any]:
    return {
        "id": session_id,
        "class_id": class_id,
        "school_id": SCHOOL,
        "school_day": starts_at.date(),
        "starts_at": starts_at,
        "late_after_minutes": 30,
        "methods": ["rotating_code"],
        "state": state,
    }


def administrator(store: Store, who: str) -> None:
    """Somebody who may do everything in the district, signed in."""

    def unit(tx: Transaction) -> None:
        tx.insert(m.User, id=who, given_name="Sam", family_name=who, sort_name=f"{who} sam", changed_at=tx.now)
        tx.insert(m.RoleAssignment, user_id=who, role="district_admin", org_id="district")
        tx.insert(m.SignInSession, **_signed_in(who, tx.now))

    store.write_now(unit)


def remember(store: Store, groups: list[Group], days: int) -> tuple[int, list[date]]:
    """Attendance of every class on the last `days` weekdays, with its counters; gives the rows written and the days."""
    past = _weekdays_before(now_utc().date(), days)

    def write(tx: Transaction) -> int:
        sessions = [
            _session(group.id, f"n{number * days + n + 1_000_000:07d}", datetime.combine(day, time(9), UTC), "closed")
            for number, group in enumerate(groups)
            for n, day in enumerate(past)
        ]
        _insert(tx, m.ClassSession, sessions)
        tx.write_sql(_RECORDS)
        tx.write_sql(_COUNTS)
        return int(tx.sql("SELECT count(*) FROM attendance_records")[0][0])

    return store.write_now(write), past


# A made-up but fixed spread by the last digits of session and student: a tenth absent, a twentieth tardy or excused.
_RECORDS = """
INSERT INTO attendance_records (id, session_id, class_id, school_id, student_id, school_day, status, needs_review,
  evidence, origin, recorded_at, version, valid_from)
SELECT s.id || '-' || e.user_id, s.id, s.class_id, s.school_id, e.user_id, s.school_day,
  CASE WHEN substr(s.id, 8, 1) = substr(e.user_id, 7, 1) THEN 'absent'
    WHEN substr(s.id, 8, 1) || substr(e.user_id, 7, 1) IN ('05', '16', '27', '38', '49') THEN 'tardy'
    WHEN substr(s.id, 8, 1) || substr(e.user_id, 7, 1) IN ('50', '61', '72', '83', '94') THEN 'excused'
    ELSE 'present' END,
  FALSE, '[]', 'teacher', s.starts_at, 1, s.starts_at
FROM class_sessions s JOIN enrollments e ON e.class_id = s.class_id
WHERE s.state = 'closed' AND e.role = 'student'
"""
_COUNTS = """
INSERT INTO attendance_counts (class_id, school_day, school_id, present, tardy, absent, excused)
SELECT class_id, school_day, school_id, SUM(CASE WHEN status = 'present' THEN 1 ELSE 0 END),
  SUM(CASE WHEN status = 'tardy' THEN 1 ELSE 0 END), SUM(CASE WHEN status = 'absent' THEN 1 ELSE 0 END),
  SUM(CASE WHEN status = 'excused' THEN 1 ELSE 0 END)
FROM attendance_records GROUP BY class_id, school_day, school_id
"""


def _weekdays_before(today: date, count: int) -> list[date]:
    days: list[date] = []
    day = today
    while len(days) < count:
        day -= timedelta(days=1)
        if day.weekday() < 5:  # noqa: PLR2004 - Monday is 0
            days.append(day)
    return days[::-1]


def _insert(tx: Transaction, model: type[m.Table], rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), _ROWS):
        tx.run(model.insert_many(rows[start : start + _ROWS]))


def _signed_in(who: str, now: datetime) -> dict[str, Any]:
    return {
        "id": _sign_in(who),
        "user_id": who,
        "created_at": now,
        "last_used_at": now,
        "expires_at": now + timedelta(days=1),
        "refresh_hash": f"none-{who}",
    }


def _sign_in(person: str) -> str:
    return f"signed-in-{person}"
