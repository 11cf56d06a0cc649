"""What a conformance kit overhears of a plugin, and how it ends one that does not end by itself."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import structlog

Told = list[tuple[str, str]]
"""Texts that a plugin let out, each with where it stood."""


@contextlib.contextmanager
def listening(told: Told) -> Iterator[None]:
    """Keep all that is logged or printed meanwhile, at every level."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.addFilter(_by_the_plugin)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with (
            structlog.testing.capture_logs() as entries,
            contextlib.redirect_stdout(text),
            contextlib.redirect_stderr(text),
        ):
            yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        told.extend([("what was logged or printed", text.getvalue()), ("what was logged", repr(entries))])


def end(task: asyncio.Task[Any]) -> None:
    """End a task that is deaf to its cancellation: the end of the event loop would wait for it without limit."""
    with contextlib.suppress(BaseException):
        task.get_coro().close()
    task.cancel()


def _by_the_plugin(record: logging.LogRecord) -> bool:
    """Whether a line is the plugin's own; a server takes over only warnings of the HTTP client, without arguments."""
    return not record.name.startswith(("httpx2", "httpcore")) or record.levelno >= logging.WARNING
