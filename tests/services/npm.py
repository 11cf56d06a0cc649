"""Programs and scripts that come from npm, installed once for a run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.services.run import NotHere, folder


def installed(title: str, package: str) -> Path:
    """The node_modules in which `package` was installed for this run. Raises NotHere with the reason."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NotHere(f"{title}: no node and npm on PATH")
    base = folder() / title.lower()
    base.mkdir(exist_ok=True)
    (base / "package.json").write_text('{"private": true}')
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", package]
    try:
        subprocess.run(command, cwd=base, check=True, capture_output=True, timeout=180)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise NotHere(f"{title}: {package} cannot be installed by npm") from None
    return base / "node_modules"
