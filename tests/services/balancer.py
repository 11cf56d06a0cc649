"""HAProxy before two servers, with the very file that is delivered."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

from tests.services.run import NotHere, folder
from tests.services.server import free_port

FILE = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"


def program() -> str:
    """HAProxy's path. Raises NotHere."""
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NotHere("HAProxy: no haproxy on PATH")
    return found


class Balancer:
    """One that runs between `start` and `stop`; its servers are called "a" and "b". Raises NotHere."""

    def __init__(self, *ports: int) -> None:
        self._program = program()
        self._process: subprocess.Popen[bytes] | None = None
        self._stats = folder() / f"haproxy-{os.getpid()}.sock"
        self._log = folder() / f"haproxy-{os.getpid()}.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        one, other = (f"127.0.0.1:{port}" for port in ports)
        self._environment = {
            **os.environ,
            "HOMEROOM_BIND": f"127.0.0.1:{self.port}",
            "HOMEROOM_A": one,
            "HOMEROOM_B": other,
            "HOMEROOM_STATS": str(self._stats),
        }

    def check(self) -> str:
        """What HAProxy says of the file: empty when it has nothing to say."""
        command = [self._program, "-c", "-f", str(FILE)]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        said = (done.stdout + done.stderr).replace("Configuration file is valid", "").strip()
        return said if done.returncode == 0 else f"{done.returncode}: {said}"

    def status(self, name: str) -> str:
        """How a server stands: UP, DOWN, or on the way ("UP 1/2"); "" before it listens."""
        with socket.socket(socket.AF_UNIX) as asked:
            try:
                asked.connect(str(self._stats))
            except OSError:
                return ""
            asked.sendall(b"show stat\n")
            said = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
        rows = [line.split(",") for line in said.splitlines()]
        at = rows[0].index("status")
        return next(row[at] for row in rows if row[:2] == ["homeroom", name])

    def log(self) -> str:
        """What it has written."""
        return self._log.read_text()

    def __enter__(self) -> Self:
        with self._log.open("w") as log:
            command = [self._program, "-db", "-f", str(FILE)]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=10)
