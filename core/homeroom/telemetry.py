"""Seeing inside: the log, and the figures that Prometheus collects. Neither ever holds personal data or a secret."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from homeroom.district import District
    from homeroom.settings import Settings

_SENSITIVE = ("password", "secret", "token", "authorization", "cookie", "email", "phone", "name_of", "body", "proof")
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def configure_logging(settings: Settings) -> None:
    """Log to standard error: JSON in production, readable in development, with the request's id on every line."""
    as_json = settings.log.format == "json" or (settings.log.format == "auto" and settings.production)
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log.level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def redact(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The entry without the values of fields whose names say that they are nobody's business."""
    for key in entry:
        if any(word in key.lower() for word in _SENSITIVE):
            entry[key] = "[left out]"
    return entry


def bind_request(request_id: str) -> None:
    """Put the request's id on every line that is logged while it is served."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)


class Metrics:
    """The figures of one process, in a registry of its own. Labels are routes, plugins and schools' ids, not people."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Histogram(
            "homeroom_request_seconds",
            "Time to answer a request",
            ["method", "route"],
            buckets=_FAST,
            registry=registry,
        )
        self._errors = Counter(
            "homeroom_request_errors", "Answers of 400 and above", ["method", "route", "status"], registry=registry
        )
        self._queries = Histogram(
            "homeroom_database_seconds", "Time in the database", ["kind"], buckets=_FAST, registry=registry
        )
        self._marks = Counter(
            "homeroom_attendance", "Attendance records written", ["status", "school"], registry=registry
        )
        self._check_ins = Counter("homeroom_check_ins", "Check-ins by what came of them", ["result"], registry=registry)
        self._hooks = Histogram(
            "homeroom_hook_seconds", "Time in plugins' hooks", ["plugin", "hook"], buckets=_FAST, registry=registry
        )
        self._failures = Counter(
            "homeroom_hook_failures", "Failed calls of plugins' hooks", ["plugin", "hook"], registry=registry
        )
        self._rows = Counter(
            "homeroom_sync_rows", "Roster rows by what became of them", ["connector", "change"], registry=registry
        )
        self._lag = Gauge("homeroom_sync_lag_seconds", "Since the last good run", ["connector"], registry=registry)
        self._messages = Counter(
            "homeroom_messages", "Messages by channel and result", ["channel", "result"], registry=registry
        )
        self._sockets = Gauge("homeroom_sockets", "Live WebSockets", registry=registry)
        self._queue = Gauge("homeroom_queue_depth", "What waits", ["queue"], registry=registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered; `route` is the pattern, never the path."""
        self._requests.labels(method, route).observe(seconds)
        if status >= 400:  # noqa: PLR2004 - errors
            self._errors.labels(method, route, str(status)).inc()

    def database(self, kind: str, seconds: float) -> None:
        """One commit ("write") or one read ("read") took this long."""
        self._queries.labels(kind).observe(seconds)

    def mark(self, status: str, school_id: str) -> None:
        """One attendance record was written or corrected to `status`."""
        self._marks.labels(status, school_id).inc()

    def check_in(self, result: str) -> None:
        """One check-in: "recorded", "repeated", or the end of the problem's type."""
        self._check_ins.labels(result).inc()

    def hook(self, plugin: str, hook: str, seconds: float, *, failed: bool) -> None:
        """One call of one plugin's hook."""
        self._hooks.labels(plugin, hook).observe(seconds)
        if failed:
            self._failures.labels(plugin, hook).inc()

    def sync(self, connector: str, change: str, rows: int) -> None:
        """Rows of a sync run that were added, changed, ended, unchanged or dead."""
        self._rows.labels(connector, change).inc(rows)

    def sync_lag(self, connector: str, seconds: float) -> None:
        """How long ago a connector's last good run ended."""
        self._lag.labels(connector).set(seconds)

    def message(self, channel: str, result: str) -> None:
        """One message reached a state."""
        self._messages.labels(channel, result).inc()

    def render(self, district: District) -> tuple[bytes, str]:
        """All figures in Prometheus' text format, and its content type."""
        self._sockets.set(district.boards.sockets)
        self._queue.labels("writes").set(district.store.waiting)
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
