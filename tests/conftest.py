"""What every test may ask for: real databases, migrated and thrown away, and a summary of which ones were used."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from homeroom.store import Store
from homeroom.store.cipher import Cipher
from homeroom.store.migrate import upgrade
from tests.services import compliance_results, postgres, postgres_pool, redis, run
from tests.services.families import Families, on_monday
from tests.services.routing import remember_rules

_USED: dict[str, set[str]] = defaultdict(set)
_MISSING: set[str] = set()
_FIGURES: list[str] = []
_SERVICES = ("SQLite", "PostgreSQL", "Redis")
# The same examples every time; no test fails because a machine is busy; a fixture may be shared by a test's examples.
settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("suite")
FOLDERS = ("performance", "security", "compliance", "browser", "chaos")


def pytest_configure(config: pytest.Config) -> None:
    remember_rules()
    if not hasattr(config, "workerinput"):
        run.begin()
        if path := os.environ.get(compliance_results.VARIABLE):
            config.pluginmanager.register(compliance_results.Results(Path(path)))


def pytest_unconfigure(config: pytest.Config) -> None:
    postgres_pool.drop_free()
    if not hasattr(config, "workerinput") and run.VARIABLE in os.environ:
        postgres.drop_base()
        run.end()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three workers for two cores: a third of a test's time is spent waiting, for databases, browsers and processes."""
    return max(1, (os.cpu_count() or 1) * 3 // 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The markers of pyproject.toml follow the folders."""
    for item in items:
        for name in FOLDERS:
            if name in item.path.parts:
                item.add_marker(name)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for key, value in report.user_properties:
        if key == "ran_on" and report.when == "call":
            _USED[str(value)].add(report.nodeid)
        elif key == "missing":
            _MISSING.add(str(value))
        elif key == "figure" and report.when == "call":
            _FIGURES.append(str(value))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = ", ".join(f"{len(_USED[name])} on {name}" for name in _SERVICES)
    terminalreporter.write_line(f"tests that ran on a real service: {counts}")
    for figure in _FIGURES:
        terminalreporter.write_line(f"measured: {figure}")
    for reason in sorted(_MISSING):
        terminalreporter.write_line(f"left out: {reason}", yellow=True)


def _ran_on(request: pytest.FixtureRequest, service: str) -> None:
    request.node.user_properties.append(("ran_on", service))


def _missing(request: pytest.FixtureRequest, reason: run.NotHere) -> None:
    request.node.user_properties.append(("missing", str(reason)))
    pytest.skip(str(reason))


@pytest.fixture(autouse=True)
def logs_as_delivered() -> Iterator[None]:
    """An application sets up the process's logging; the next test finds it as structlog has it."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def cipher() -> Cipher:
    """A cipher with one key that is the same in every test."""
    return Cipher([bytes(range(32))])


def _sqlite_base() -> str:
    path = run.folder() / "base.db"
    upgrade(f"sqlite:///{path}")
    return str(path)


@pytest.fixture
def sqlite_url(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The URL of a fresh SQLite database with every migration applied."""
    path = tmp_path / "homeroom.db"
    shutil.copyfile(run.once("sqlite-base", _sqlite_base), path)
    _ran_on(request, "SQLite")
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a fresh PostgreSQL database with every migration applied."""
    try:
        url = postgres_pool.take()
    except run.NotHere as exc:
        _missing(request, exc)
    _ran_on(request, "PostgreSQL")
    yield url
    postgres_pool.give_back(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database's URL, once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        _ran_on(request, "SQLite")
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    try:
        url = postgres.empty_database()
    except run.NotHere as exc:
        _missing(request, exc)
    _ran_on(request, "PostgreSQL")
    yield url
    postgres.drop_database(url)


@pytest.fixture
def store(database_url: str, cipher: Cipher) -> Iterator[Store]:
    """An open store, once on SQLite and once on PostgreSQL."""
    with Store(database_url, cipher=cipher) as opened:
        yield opened


@pytest.fixture
def sqlite_store(sqlite_url: str, cipher: Cipher) -> Iterator[Store]:
    """An open store on SQLite, for what does not differ between databases."""
    with Store(sqlite_url, cipher=cipher) as opened:
        yield opened


@pytest.fixture
def postgres_store(postgres_url: str, cipher: Cipher) -> Iterator[Store]:
    """An open store on PostgreSQL."""
    with Store(postgres_url, cipher=cipher) as opened:
        yield opened


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """The URL of an emptied database of a real Redis."""
    try:
        url = redis.fresh_redis()
    except run.NotHere as exc:
        _missing(request, exc)
    _ran_on(request, "Redis")
    return url


@pytest.fixture
def families(store: Store) -> Iterator[Families]:
    """A school on a Monday morning with families who can be told, once on SQLite and once on PostgreSQL."""
    with on_monday(store) as there:
        yield there
