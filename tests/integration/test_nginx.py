"""deploy/nginx.conf, as it stands but for addresses and certificate: nginx takes it, and a board comes through it."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import websockets

from homeroom.settings import ServerSettings
from tests.services import certificate, world
from tests.services.marks import mark
from tests.services.server import free_port, heard, serving, settings_for
from tests.services.waiting import until

FILE = Path(__file__).parents[2] / "deploy" / "nginx.conf"
WHERE = "/etc/letsencrypt/live/attendance.district.example"
PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class Nginx:
    """One with the delivered file, before a server that is not there yet."""

    def __init__(self, folder: Path) -> None:
        assert PROGRAM is not None
        self.port, self.behind = free_port(), free_port()
        self.cert, key = certificate.write(folder)
        site = FILE.read_text()
        for old, new in (
            ("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
            ("    listen [::]:443 ssl;\n", ""),
            ("127.0.0.1:8000", f"127.0.0.1:{self.behind}"),
            (f"{WHERE}/fullchain.pem", str(self.cert)),
            (f"{WHERE}/privkey.pem", str(key)),
        ):
            assert old in site
            site = site.replace(old, new)
        temporary = "".join(
            f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        who = "user root;\n" if os.geteuid() == 0 else ""  # a worker that may read the test's folder
        around = (
            f"{who}daemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n"
        )
        (folder / "nginx.conf").write_text(f"{around}{temporary}{site}}}\n")
        self._command = [PROGRAM, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
        self.process: subprocess.Popen[bytes] | None = None

    def check(self) -> str:
        """What it says of its settings."""
        done = subprocess.run([*self._command, "-t"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def start(self) -> None:
        """Start it."""
        self.process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=10)


@pytest.fixture
def nginx(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Nginx]:
    if PROGRAM is None:
        request.node.user_properties.append(("missing", "nginx: none on PATH"))
        pytest.skip("nginx: none on PATH")
    one = Nginx(tmp_path)
    yield one
    one.stop()


async def test_a_request_and_a_board_come_through_nginx(nginx: Nginx, sqlite_url: str) -> None:
    said = nginx.check()
    assert "warn" not in said, said
    settings = settings_for(sqlite_url, server=ServerSettings(trusted_proxies=["127.0.0.1/32"]))
    async with serving(settings, port=nginx.behind) as server:
        await server.district.store.write(world.build)
        token = await server.token("teacher_a")
        nginx.start()
        context = ssl.create_default_context(cafile=nginx.cert)
        url = f"https://localhost:{nginx.port}"
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "127.0.0.1"}
        async with httpx2.AsyncClient(base_url=url, verify=context, timeout=20) as client:
            await until(lambda: _listens(nginx.port))
            answer = await client.get("/api/v1/classes/algebra", headers=headers)
            assert answer.status_code == 200, answer.text
            for inside in ("/metrics", "/health/detailed", "/health/history"):
                assert (await client.get(inside, headers=headers)).status_code == 404
        address = f"wss://localhost:{nginx.port}/ws/class/algebra"
        async with websockets.connect(address, additional_headers=headers, ssl=context) as board:
            assert (await heard(board))["type"] == "hello"
            await server.district.store.write(mark("algebra", "dan", "tardy"))
            assert (await heard(board))["student_id"] == "dan"
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((OSError, ssl.SSLError)):
            await websockets.connect(address, additional_headers=headers, ssl=context)


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
