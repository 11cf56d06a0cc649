"""The demo's folder: its settings with secrets of its own, and a fresh SQLite database."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from homeroom.cli.simulate import toml_value
from homeroom.demo import sis as sises
from homeroom.host import discovery
from homeroom.settings import Settings, load_settings

if TYPE_CHECKING:
    from homeroom.demo.vendors import Vendor

BUNDLE = "oneroster"
"""The connector that reads a generated bundle, where PowerSchool's is not installed."""

PAGES = "web"
"""The plugin with pages for people."""
REPORTS = "reports"
"""The plugin that counts attendance for them."""

_SEND_SECONDS = 2  # less than a district waits for corrections, so that marks are seen to arrive

_TOML = """\
# A synthetic district made by `homeroom demo`; nobody in it exists.
environment = "development"

[server]
public_base_url = "{url}"
requests_per_minute = 100000

[database]
url = {database}

[auth]
secret_key = "{secret}"

[security]
encryption_key = "{key}"

[attendance]
time_zone = "America/New_York"

[notify]
quiet_from = 00:00:00
quiet_until = 00:00:00
ask_after_seconds = 5

[log]
level = "warning"

[plugins]
enabled = {enabled}

"""
_FROM_SIS = """\
[sync]
attendance_out = {names}
attendance_delay_seconds = {delay}

# {title} was a simulator, which ended with the demo. To go on in this folder, start it again (its marks are gone):
#   homeroom simulate {name} --port {port} --students {students}
[plugins.{name}]
"""
_FROM_BUNDLE = """\
[plugins.{name}]
source = {roster}
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
    def database_url(self) -> str:
        """Its database."""
        return f"sqlite:///{self.path / 'homeroom.db'}"

    @property
    def roster(self) -> Path:
        """The OneRoster bundle that was loaded, where there is no SIS."""
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


def has_pages() -> bool:
    """Whether pages for people are part of this installation."""
    return PAGES in discovery.installed()


def configure(
    folder: DemoFolder, url: str, sis: Vendor | None = None, *, students: int = 0, channels: Sequence[Vendor] = ()
) -> Settings:
    """The demo's settings, as any installation's are read: from its homeroom.toml, which is written here.

    Rosters come from `sis`, made for so many students, and marks go there; without one the folder's bundle is read.
    Families are told through `channels`.
    """
    text = _TOML.format(
        url=url,
        database=toml_value(folder.database_url),
        secret=secrets.token_urlsafe(48),
        key=secrets.token_urlsafe(48),
        enabled=toml_value(
            [
                *("accounts", "rotating_code", BUNDLE if sis is None else sises.CONNECTOR),
                *(name for name in (PAGES, REPORTS) if name in discovery.installed()),
                *(channel.name for channel in channels),
            ]
        ),
    )
    text += _from_sis(sis, students) if sis else _FROM_BUNDLE.format(name=BUNDLE, roster=toml_value(folder.roster))
    for channel in channels:
        text += f"\n[plugins.{channel.name}]\n" + _lines(channel)
    descriptor = os.open(folder.config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return load_settings(folder.config, environment={})


def _from_sis(sis: Vendor, students: int) -> str:
    head = _FROM_SIS.format(
        names=toml_value([sises.CONNECTOR]),
        delay=_SEND_SECONDS,
        title=sises.TITLE,
        name=sises.CONNECTOR,
        port=urlsplit(sis.url).port,
        students=students,
    )
    return head + _lines(sis)


def _lines(vendor: Vendor) -> str:
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in vendor.settings.items())
