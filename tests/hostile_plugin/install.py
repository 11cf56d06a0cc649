"""Makes the hostile plugins look installed, without installing anything: a dist-info folder, as pip leaves one."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

HERE = Path(__file__).parent


def pretend_installed(folder: Path, *, name: str | None = None) -> list[Path]:
    """Write the distribution's metadata below `folder`; gives what must be on sys.path. `name` makes it another one."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    given = name or project["name"]
    info = folder / f"{given.replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.3\nName: {given}\nVersion: {project['version']}\n")
    lines = [
        f"[{group}]\n" + "".join(f"{entry} = {target}\n" for entry, target in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    importlib.invalidate_caches()
    return [folder, HERE]
