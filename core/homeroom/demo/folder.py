"""The demo's folder: its settings with secrets of its own, a fresh SQLite database, and a generated roster to load."""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from homeroom.settings import Settings, load_settings

PLUGINS = ("accounts", "rotating_code", "oneroster")

_TOML = """\
# A synthetic district made by `homeroom demo`; nobody in it exists.
environment = "development"

[server]
public_base_url = "{url}"
requests_per_minute = 100000

[database]
url = "sqlite:///{database}"

[auth]
secret_key = "{secret}"

[security]
encryption_key = "{key}"

[attendance]
time_zone = "America/New_York"

[log]
level = "warning"

[plugins]
enabled = [{plugins}]

[plugins.oneroster]
source = "{roster}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFolder:
    """Where a demo lives."""

    path: Path

    @property
    def config(self) -> Path:
        """Its homeroom.toml, for other commands: `homeroom doctor --config …`."""
        return self.path / "homeroom.toml"

    @property
    def roster(self) -> Path:
        """The OneRoster bundle that was loaded."""
        return self.path / "roster"


def make_folder(path: Path | None) -> DemoFolder:
    """A new folder at `path`, or one of its own for temporary files. Raises ClickException when `path` is in use."""
    if path is None:
        return DemoFolder(path=Path(tempfile.mkdtemp(prefix="homeroom-demo-")))
    path = path.absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise click.ClickException(f"{path} is not empty; a demo starts afresh, so name a new folder with --dir.")
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return DemoFolder(path=path)


def configure(folder: DemoFolder, url: str) -> Settings:
    """The demo's settings, as any installation's are read: from its homeroom.toml, which is written here."""
    text = _TOML.format(
        url=url,
        database=_quoted(folder.path / "homeroom.db"),
        secret=secrets.token_urlsafe(48),
        key=secrets.token_urlsafe(48),
        plugins=", ".join(f'"{name}"' for name in PLUGINS),
        roster=_quoted(folder.roster),
    )
    descriptor = os.open(folder.config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return load_settings(folder.config, environment={})


def _quoted(path: Path) -> str:
    """A path inside a TOML string."""
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
