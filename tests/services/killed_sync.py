"""A sync of a OneRoster bundle in a process of its own, which ends itself as `kill -9` would, after so many statements.

    python -m tests.services.killed_sync URL BUNDLE RUN_ID|- STATEMENTS|-

With a run's id that run is resumed. The statements are the writer's: a transaction is cut off before, in the middle of
and after its COMMIT. Without a number the run comes to its end, and the number of its statements is printed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
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


def killed_sync(url: str, bundle: Path, *, run_id: str | None = None, after: int | None = None) -> int | None:
    """Run it in a process of its own: the number of statements, or None when it was killed. Raises when it failed."""
    command = [sys.executable, "-m", "tests.services.killed_sync", url, str(bundle), run_id or "-", str(after or "-")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


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


async def _main(url: str, bundle: str, run_id: str, most: str) -> None:
    connector.PAGE = _ROWS
    for module in (apply, staging):
        vars(module)["UNIT"] = _ROWS
    with Store(url, cipher=CIPHER) as store:
        counted = _Counted(store, None if most == "-" else int(most))
        source = connector.Connector(Path(bundle))
        if run_id == "-":
            result = await sync.run(store, "oneroster", source)
        else:
            result = await sync.resume(store, run_id, source)
    assert result.status == "done", result.reason
    sys.stdout.write(str(counted.done))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
