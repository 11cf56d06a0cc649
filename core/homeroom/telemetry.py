"""Seeing inside: the log, and the figures that Prometheus collects. Neither ever holds personal data or a secret."""

from __future__ import annotations

import logging
import sys
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from homeroom.runs.metrics import SyncCollector, SyncFigures
from homeroom.types import Event

if TYPE_CHECKING:
    from homeroom.district import District
    from homeroom.live.tail import Tail
    from homeroom.settings import Settings
    from homeroom.store import Store

_SENSITIVE = ("password", "secret", "token", "authorization", "cookie", "email", "phone", "name_of", "body", "proof")
_SENSITIVE_EXACTLY = frozenset({"code", "ticket", "note", "to", "params", "given_name", "family_name"})
_LEFT_OUT = "[left out]"
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_STATEMENTS = {"SELECT": "select", "INSERT": "insert", "UPDATE": "update", "DELETE": "delete", "COMMIT": "commit"}


def configure_logging(settings: Settings) -> None:
    """Log to standard error: JSON in production, readable in development, with the request's id on every line."""
    as_json = settings.log.format == "json" or (settings.log.format == "auto" and settings.production)
    colors = sys.stderr.isatty()
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=colors)
    level = logging.getLevelNamesMapping()[settings.log.level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            without_messages,
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _Libraries)]
    root.addHandler(_Libraries(max(level, logging.WARNING)))


def redact(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The entry without the values of fields whose names say that they are nobody's business."""
    for key, value in entry.items():
        if _is_sensitive(key):
            entry[key] = _LEFT_OUT
        elif isinstance(value, Mapping):
            entry[key] = redact(None, "", dict(value))
    return entry


def without_messages(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The entry with an exception's type and place; its message may quote what somebody entered."""
    raised = entry.pop("exc_info", None)
    if raised:
        exc = raised if isinstance(raised, BaseException) else sys.exc_info()[1]
        if exc is not None:
            entry["error"] = type(exc).__name__
            entry["place"] = " < ".join(_places(exc))
    return entry


def bind_request(request_id: str) -> None:
    """Put the request's id on every line that is logged while it is served."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)


def _is_sensitive(key: str) -> bool:
    folded = key.lower()
    return folded in _SENSITIVE_EXACTLY or any(word in folded for word in _SENSITIVE)


def _places(exc: BaseException) -> list[str]:
    """Where an exception was raised, innermost first."""
    found: list[str] = []
    frame = exc.__traceback__
    while frame is not None:
        found.append(f"{frame.tb_frame.f_globals.get('__name__', '?')}:{frame.tb_lineno}")
        frame = frame.tb_next
    return found[:-6:-1]


class _Libraries(logging.Handler):
    """Takes what libraries log into our own log, without the arguments of their messages."""

    def emit(self, record: logging.LogRecord) -> None:
        """Enter one record."""
        raised = record.exc_info[1] if record.exc_info else None
        log = structlog.get_logger(record.name)
        log.log(record.levelno, "library", logger=record.name, message=str(record.msg), exc_info=raised)


class _QueryTimes(Collector):
    """Time in the database by kind of statement; each thread counts by itself, so that counting needs no lock."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._threads: list[dict[str, list[float]]] = []

    def observe(self, text: str, seconds: float) -> None:
        """One statement took this long."""
        rows: dict[str, list[float]] | None = getattr(self._mine, "rows", None)
        if rows is None:
            rows = self._mine.rows = {}
            self._threads.append(rows)
        kind = _STATEMENTS.get(text.lstrip()[:6].upper(), "other")
        row = rows.setdefault(kind, [0.0] * (len(_FAST) + 2))
        row[bisect_left(_FAST, seconds)] += 1
        row[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        """The sums over all threads, as a histogram."""
        family = HistogramMetricFamily("homeroom_database_seconds", "Time of database statements", labels=["statement"])
        for kind in sorted({kind for rows in self._threads for kind in tuple(rows)}):
            total = [
                sum(column) for column in zip(*(rows[kind] for rows in self._threads if kind in rows), strict=True)
            ]
            below, buckets = 0.0, []
            for bound, count in zip((*map(str, _FAST), "+Inf"), total, strict=False):
                below += count
                buckets.append((bound, below))
            family.add_metric([kind], buckets, total[-1])
        yield family


class Metrics:
    """The figures of one process, in a registry of its own. Labels are routes, plugins and schools' ids, not people."""

    def __init__(self) -> None:
        self.requests = self.failed_requests = 0
        self.registry = registry = CollectorRegistry()
        self._queries, self._syncs = _QueryTimes(), SyncCollector()
        registry.register(self._queries)
        registry.register(self._syncs)
        ProcessCollector(registry=registry)

        def timed(name: str, text: str, labels: Sequence[str]) -> Histogram:
            return Histogram(name, text, labels, buckets=_FAST, registry=registry)

        def counted(name: str, text: str, labels: Sequence[str]) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self._requests = timed("homeroom_request_seconds", "Time to answer a request", ["method", "route"])
        self._errors = counted("homeroom_request_errors", "Answers of 400 and above", ["method", "route", "status"])
        self._marks = counted("homeroom_attendance", "Attendance recorded or corrected", ["status", "school"])
        self._check_ins = counted("homeroom_check_ins", "Check-ins by what came of them", ["result"])
        self._hooks = timed("homeroom_hook_seconds", "Time in plugins' hooks", ["plugin", "hook"])
        self._failures = counted("homeroom_hook_failures", "Failed calls of plugins' hooks", ["plugin", "hook"])
        self._messages = counted("homeroom_messages", "Messages by channel and result", ["channel", "result"])
        self._sockets = Gauge("homeroom_sockets", "Live WebSockets", registry=registry)
        self._disagreeing = Gauge(
            "homeroom_settings_disagreeing", "Other processes that were set up differently", registry=registry
        )
        self._queue = Gauge("homeroom_queue_depth", "What waits", ["queue"], registry=registry)

    def follow(self, store: Store, tail: Tail) -> None:
        """Measure every statement of `store`, and count the attendance that the journal tells of, of all processes."""
        store.database.query_hooks.append(lambda event: self._queries.observe(event.sql, event.duration))
        tail.listen(self._heard)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered; `route` is the pattern, never the path."""
        self._requests.labels(method, route).observe(seconds)
        self.requests += 1
        self.failed_requests += status >= 500  # noqa: PLR2004 - ours, not the caller's
        if status >= 400:  # noqa: PLR2004 - errors
            self._errors.labels(method, route, str(status)).inc()

    def check_in(self, result: str) -> None:
        """One check-in: "recorded", "repeated", or the end of the problem's type."""
        self._check_ins.labels(result).inc()

    def hook(self, plugin: str, hook: str, seconds: float, *, failed: bool) -> None:
        """One call of one plugin's hook."""
        self._hooks.labels(plugin, hook).observe(seconds)
        if failed:
            self._failures.labels(plugin, hook).inc()

    def message(self, channel: str, result: str) -> None:
        """One message reached a state."""
        self._messages.labels(channel, result).inc()

    def render(
        self, district: District, syncs: Sequence[SyncFigures] = (), outbox: Mapping[str, int] | None = None
    ) -> tuple[bytes, str]:
        """All figures in Prometheus' text format, and its content type; `outbox` counts messages that wait."""
        self.look(district, syncs, outbox)
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def look(
        self, district: District, syncs: Sequence[SyncFigures] = (), outbox: Mapping[str, int] | None = None
    ) -> None:
        """Take up what is not counted as it happens."""
        self._sockets.set(district.boards.sockets)
        self._disagreeing.set(district.agreement.disagreeing)
        self._queue.labels("writes").set(district.store.waiting)
        for state, count in (outbox or {}).items():
            self._queue.labels(f"messages_{state}").set(count)
        self._syncs.figures = syncs

    def go_on(self, family: Metric) -> None:
        """Count what the journal tells of from here, where other workers are, and not from nothing."""
        counter = {"homeroom_attendance": self._marks, "homeroom_messages": self._messages}[family.name]
        for sample in family.samples:
            if sample.name.endswith("_total"):
                counter.labels(**sample.labels).inc(sample.value)

    def _heard(self, event: Event) -> None:
        if event.kind in ("attendance.recorded", "attendance.corrected"):
            status, school = event.data.get("status"), event.data.get("school_id")
            self._marks.labels(str(status), str(school)).inc()
        elif event.kind.startswith("notification.") and (channel := event.data.get("channel")):
            self.message(str(channel), event.kind.partition(".")[2])
