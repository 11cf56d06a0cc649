"""Prometheus' own checker, of this machine or out of Debian's package, which is unpacked and not installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.services.run import NotHere, folder, once


def program() -> str:
    """The path of promtool. Raises NotHere."""
    return shutil.which("promtool") or once("promtool", _unpacked)


def _unpacked() -> str:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NotHere("promtool: neither on PATH nor to be had, for this is no Debian")
    place = folder() / "promtool"
    place.mkdir()
    got = subprocess.run(
        ["apt-get", "download", "prometheus"], cwd=place, capture_output=True, check=False, timeout=120
    )
    packages = list(place.glob("*.deb"))
    if got.returncode or not packages:
        raise NotHere("promtool: not on PATH, and Debian's package prometheus cannot be had here")
    subprocess.run(["dpkg-deb", "--extract", packages[0], place], check=True, capture_output=True)
    packages[0].unlink()
    found = Path(place / "usr/bin/promtool")
    if not found.exists():
        raise NotHere("promtool: it is not in Debian's package prometheus")
    return str(found)
