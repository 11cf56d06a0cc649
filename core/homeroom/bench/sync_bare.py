"""The baseline of `homeroom bench sync`: the same pages by the same HTTP client, inserted with nothing around it.

Tables without any index but their key, one `executemany` for each table and page, one transaction for each page, and
on SQLite synchronous FULL as in Homeroom. Reads a Plan from standard input.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2
import orjson

from homeroom.bench.exchange import CannotMeasure, client, say

Rows = dict[str, list[tuple[Any, ...]]]

TABLES: Mapping[str, tuple[str, ...]] = {
    "orgs": ("id", "name", "kind", "identifier", "parent_id", "ended", "changed_at"),
    "academic_sessions": ("id", "title", "kind", "begins_on", "ends_on", "school_year", "parent_id", "changed_at"),
    "courses": ("id", "title", "code", "org_id", "ended", "changed_at"),
    "classes": ("id", "title", "school_id", "course_id", "code", "kind", "periods", "ended", "changed_at"),
    "class_terms": ("class_id", "term_id"),
    "users": (
        *("id", "given_name", "middle_name", "family_name", "preferred_given_name", "identifier", "username"),
        *("grades", "birth_date", "enabled", "ended", "changed_at"),
    ),
    "role_assignments": ("user_id", "role", "org_id", '"primary"', "begins_on", "ends_on"),
    "contacts": ("user_id", "kind", "value"),
    "guardianships": ("guardian_id", "student_id"),
    "enrollments": ("id", "user_id", "class_id", "role", '"primary"', "begins_on", "ends_on", "changed_at"),
}
"""What is inserted: as many rows as Homeroom has afterwards, each with what the source said."""

_KEYS = {"class_terms": 2, "role_assignments": 3, "contacts": 2, "guardianships": 2}
_ROLES = {"student": "student", "teacher": "teacher", "guardian": "guardian"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to get, in order, and where to put it: a SQLite file or a PostgreSQL URL."""

    connector: str
    settings: dict[str, Any]
    url: str
    targets: list[str]
    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds of it all, and of the inserting in it, and how many rows each table has."""

    seconds: float
    inserting: float
    tables: dict[str, int]


class Read(Protocol):
    """Makes rows of what one answer holds, remembering what belongs to a later one."""

    def __call__(self, answer: Any) -> Rows: ...  # noqa: D102 - the class says it


class OneRoster:
    """OneRoster 1.2's JSON as rows."""

    def __init__(self) -> None:
        self._births: dict[str, str] = {}

    def __call__(self, answer: Any) -> Rows:
        """The rows of one page."""
        ((collection, found),) = answer.items()
        rows: Rows = {}
        one: Callable[[Rows, dict[str, Any]], None] = getattr(self, f"_{collection}")
        for row in found:
            one(rows, row)
        return rows

    def _orgs(self, rows: Rows, row: dict[str, Any]) -> None:
        told = (row["sourcedId"], row["name"], row["type"], row.get("identifier"), _ref(row, "parent"))
        rows.setdefault("orgs", []).append((*told, *_end(row)))

    def _academicSessions(self, rows: Rows, row: dict[str, Any]) -> None:  # noqa: N802 - OneRoster's name
        told = (row["sourcedId"], row["title"], row["type"], row["startDate"], row["endDate"], int(row["schoolYear"]))
        rows.setdefault("academic_sessions", []).append((*told, _ref(row, "parent"), row["dateLastModified"]))

    def _courses(self, rows: Rows, row: dict[str, Any]) -> None:
        told = (row["sourcedId"], row["title"], row.get("courseCode"), _ref(row, "org"))
        rows.setdefault("courses", []).append((*told, *_end(row)))

    def _classes(self, rows: Rows, row: dict[str, Any]) -> None:
        told = (row["sourcedId"], row["title"], _ref(row, "school"), _ref(row, "course"), row.get("classCode"))
        more = (row["classType"], orjson.dumps(row.get("periods", [])).decode())
        rows.setdefault("classes", []).append((*told, *more, *_end(row)))
        rows.setdefault("class_terms", []).extend((row["sourcedId"], term["sourcedId"]) for term in row["terms"])

    def _demographics(self, _rows: Rows, row: dict[str, Any]) -> None:
        self._births[row["sourcedId"]] = row["birthDate"]

    def _users(self, rows: Rows, row: dict[str, Any]) -> None:
        who = row["sourcedId"]
        names = (row["givenName"], row.get("middleName"), row["familyName"], row.get("preferredFirstName"))
        more = (row.get("identifier"), row.get("username"), orjson.dumps(row.get("grades", [])).decode())
        told = (self._births.pop(who, None), row["enabledUser"] == "true")
        rows.setdefault("users", []).append((who, *names, *more, *told, *_end(row)))
        for role in row["roles"]:
            if (name := _ROLES.get(role["role"])) is not None:
                dates = (role.get("beginDate"), role.get("endDate"))
                held = (who, name, role["org"]["sourcedId"], role["roleType"] == "primary", *dates)
                rows.setdefault("role_assignments", []).append(held)
        rows.setdefault("contacts", []).extend(
            (who, kind, row[kind]) for kind in ("email", "phone", "sms") if kind in row
        )
        agents = row.get("agents", ())
        rows.setdefault("guardianships", []).extend((agent["sourcedId"], who) for agent in agents)

    def _enrollments(self, rows: Rows, row: dict[str, Any]) -> None:
        told = (row["sourcedId"], row["user"]["sourcedId"], row["class"]["sourcedId"], row["role"])
        more = (row.get("primary") == "true", row.get("beginDate"), row.get("endDate"))
        rows.setdefault("enrollments", []).append((*told, *more, row["dateLastModified"]))


READERS: Mapping[str, Callable[[], Read]] = {"oneroster": OneRoster}
"""The connectors that a baseline is known for."""


async def run(plan: Plan) -> Took:
    """Get and insert everything once."""
    read = READERS[plan.connector]()
    with contextlib.closing(connected(plan.database)) as connection, httpx2.Client(base_url=plan.url) as http:
        for name, columns in TABLES.items():
            key = ", ".join(columns[: _KEYS.get(name, 1)])
            kinds = ", ".join(f"{column} {_kind(column)}" for column in columns)
            _do(connection, f"CREATE TABLE bare_{name} ({kinds}, PRIMARY KEY ({key}))")
        inserting = 0.0
        started = time.perf_counter()
        headers = {"Authorization": f"Bearer {_token(http, plan.settings)}", "Accept": "application/json"}
        for number, target in enumerate(plan.targets):
            answer = http.get(target, headers=headers)
            if answer.status_code != 200:  # noqa: PLR2004 - the only good one
                raise CannotMeasure(f"the simulator answered {answer.status_code}")
            rows = read(orjson.loads(answer.content))
            begun = time.perf_counter()
            with transaction(connection):
                _insert(connection, rows)
            inserting += time.perf_counter() - begun
            if number % 10 == 0:
                say({"phase": "baseline", "done": number, "total": len(plan.targets)})
        seconds = time.perf_counter() - started
        tables = {name: _count(connection, name) for name in TABLES}
        return Took(seconds=seconds, inserting=inserting, tables=tables)


def _token(http: httpx2.Client, settings: dict[str, Any]) -> str:
    form = {"grant_type": "client_credentials", "scope": settings.get("scope", _SCOPE)}
    auth = (settings["client_id"], settings["client_secret"])
    return str(http.post(settings["token_url"], data=form, auth=auth).json()["access_token"])


_SCOPE = " ".join(
    f"https://purl.imsglobal.org/spec/or/v1p2/scope/{one}.readonly" for one in ("roster-core", "roster-demographics")
)


def connected(database: str) -> Any:
    """A connection to a SQLite file or a PostgreSQL URL that begins no transaction by itself."""
    if database.startswith("postgresql"):
        import psycopg

        return psycopg.connect(database, autocommit=True)
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("PRAGMA synchronous = full")
    return connection


def _do(connection: Any, text: str) -> None:
    connection.execute(text)


@contextlib.contextmanager
def transaction(connection: Any) -> Iterator[None]:
    """One transaction, kept at the end."""
    connection.execute("BEGIN")
    yield
    connection.execute("COMMIT")


def _insert(connection: Any, rows: Rows) -> None:
    mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"
    for name, some in rows.items():
        marks = ", ".join([mark] * len(TABLES[name]))
        # the first row of a page is the last one of the page before, once more
        text = f"INSERT INTO bare_{name} VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608 - names are ours
        connection.cursor().executemany(text, some)


def _count(connection: Any, name: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM bare_{name}").fetchone()[0])  # noqa: S608 - names are ours


def _kind(column: str) -> str:
    match column:
        case "enabled" | "ended" | '"primary"':
            return "boolean"
        case "begins_on" | "ends_on" | "birth_date":
            return "date"
        case "school_year":
            return "integer"
    return "text"


def _end(row: dict[str, Any]) -> Sequence[Any]:
    return row["status"] != "active", row["dateLastModified"]


def _ref(row: dict[str, Any], name: str) -> str | None:
    found: dict[str, str] | None = row.get(name)
    return None if found is None else found["sourcedId"]


if __name__ == "__main__":
    client(Plan, run)
