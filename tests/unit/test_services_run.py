"""A test run leaves no server behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.services import run

RUN = """
import signal, subprocess, sys
from tests.services import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts us may have switched it off
base = run.begin()
server = subprocess.Popen(["sleep", "300"], start_new_session=True)
(base / "server.pid").write_text(str(server.pid))
print(base, server.pid, flush=True)
if sys.argv[1] == "end":
    run.end()
else:
    signal.pause()
"""


@pytest.mark.parametrize("how", ["end", "SIGTERM", "SIGKILL", "SIGINT"])
def test_whatever_ends_a_run_its_servers_end_with_it(how: str) -> None:
    root = Path(__file__).parents[2]
    one = subprocess.Popen(
        [sys.executable, "-c", RUN, how], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert one.stdout is not None
    base, pid = one.stdout.readline().split()
    if how != "end":
        os.kill(one.pid, signal.Signals[how])
    one.wait(timeout=30)
    one.stdout.close()
    deadline = time.monotonic() + 20
    while (Path(base.decode()).exists() or run.lives(int(pid))) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(base.decode()).exists()
    assert not run.lives(int(pid))


def test_what_cannot_be_had_is_told_to_every_worker_alike() -> None:
    calls: list[str] = []

    def missing() -> str:
        calls.append("asked")
        raise run.NotHere("there is none")

    for _ in range(2):
        with pytest.raises(run.NotHere, match="there is none"):
            run.once("test-missing", missing)
    assert calls == ["asked"]
