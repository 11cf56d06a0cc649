"""A sync of a OneRoster bundle in a process of a nursery, which ends itself after so many statements.

With a run's id that run is resumed. The statements are the writer's: a transaction is cut off before, in the middle of
and after its COMMIT. Without a number the run comes to its end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from homeroom import sync
from homeroom.store import Store
from homeroom.store.cipher import Cipher
from homeroom.sync import apply, staging
from homeroom_oneroster import connector

CIPHER = Cipher([bytes(range(32))])
_ROWS = 10  # of a page and of a unit: so that a small district has many of both


class _Counted:
    """Counts the statements of one database's writer, and ends the process at the last one it may make."""

    def __init__(self, store: Store, most: int | None) -> None:
        self.done = 0
        self._most = most
        self._execute: Callable[..., Any] = store.database.execute_sql
        store.database.execute_sql = self._one  # type: ignore[method-assign] # it sees every statement

    def _one(self, *given: Any, **named: Any) -> Any:
        if threading.current_thread().name == "homeroom-writer":
            self.done += 1
            if self.done == self._most:
                os.kill(os.getpid(), signal.SIGKILL)
        return self._execute(*given, **named)


async def _sync(url: str, bundle: str, run_id: str | None, after: int | None) -> int:
    connector.PAGE = _ROWS
    for module in (apply, staging):
        vars(module)["UNIT"] = _ROWS
    with Store(url, cipher=CIPHER) as store:
        counted = _Counted(store, after)
        source = connector.Connector(Path(bundle))
        if run_id is None:
            result = await sync.run(store, "oneroster", source)
        else:
            result = await sync.resume(store, run_id, source)
    assert result.status == "done", result.reason
    return counted.done


def live(*, url: str, bundle: str, run_id: str | None, after: int | None, told: str) -> None:
    """Be one of them; the number of statements is written to the file `told`."""
    Path(told).write_text(str(asyncio.run(_sync(url, bundle, run_id, after))))
