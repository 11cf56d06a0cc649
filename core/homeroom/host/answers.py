"""Whether a plugin's answer is of the type that the hook's spec declares, and how an error is told."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

from homeroom.host.threads import NoThreadFree, TriedToExit


class HookFailed(Exception):
    """A plugin did not answer as it should; the text is for an administrator and holds no data."""


class TimedOut(HookFailed):
    """No answer within the hook's deadline."""


class Quarantined(HookFailed):
    """The plugin's breaker for this hook is open, so it was not asked."""


class NotRunning(HookFailed):
    """A plugin that the district requires is not running, so its consent or record cannot be had."""


class WrongAnswer(HookFailed):
    """The answer is of another type than the hook's."""


_OURS = (HookFailed, NoThreadFree, TriedToExit)


def checker(spec: Callable[..., Any]) -> Callable[[Any], None]:
    """A function that raises WrongAnswer for a value that `spec` does not allow."""
    annotation = typing.get_type_hints(spec)["return"]
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    allowed = tuple(_test(one) for one in (typing.get_args(annotation) if union else (annotation,)))
    wanted = " or ".join(name for name, _ in allowed)

    def check(value: Any) -> None:
        if not any(test(value) for _, test in allowed):
            raise WrongAnswer(f"it answered with {type(value).__name__}, not {wanted}")

    return check


def _test(annotation: Any) -> tuple[str, Callable[[Any], bool]]:
    if annotation is type(None):
        return "None", lambda value: value is None
    name = annotation.__name__
    if getattr(annotation, "_is_protocol", False):
        members = _members(annotation)
        return name, lambda value: value is not None and all(_has(value, one) for one in members)
    if annotation is int:
        return name, lambda value: isinstance(value, int) and not isinstance(value, bool)
    return name, lambda value: isinstance(value, annotation)


def _members(protocol: type) -> tuple[str, ...]:
    return tuple(name for name in vars(protocol) if not name.startswith("_"))


def _has(value: object, name: str) -> bool:
    return name in getattr(value, "__dict__", {}) or hasattr(type(value), name)


def describe(error: BaseException, *, secrets: Iterable[str] = (), text: bool = False) -> str:
    """An error in one line, fit for logs and pages.

    A plugin's own message may hold somebody's data, so only its type and place are told, unless `text` says that the
    call carried none; then `secrets` are masked in it.
    """
    if isinstance(error, _OURS):
        return f"it tried to end the process ({error})" if isinstance(error, TriedToExit) else str(error)
    if text:
        message = " ".join(str(error).split())[:300]
        for secret in secrets:
            message = message.replace(secret, "***")
        return f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"{type(error).__name__} at {place(error)}"


def place(error: BaseException) -> str:
    """The module and line that raised `error`."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return "an unknown place" if last is None else f"{last.tb_frame.f_globals.get('__name__')}:{last.tb_lineno}"
