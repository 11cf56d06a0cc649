"""An event loop on which waiting takes a hundredth of its time: tests meet pauses without sitting through them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_HASTE = 100
_SLEEP = "_set_result_unless_cancelled"  # what asyncio.sleep calls when it is over


class HurriedLoop(asyncio.SelectorEventLoop):
    """Shortens `asyncio.sleep`, and keeps in `slept` the seconds that were asked for; deadlines stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back after `delay` seconds; a sleeper is woken a hundred times sooner."""
        if getattr(callback, "__name__", "") == _SLEEP:
            self.slept.append(delay)
            delay /= _HASTE
        return super().call_later(delay, callback, *args, context=context)


def hurried(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, on a loop of its own that hurries."""
    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        return runner.run(work)
