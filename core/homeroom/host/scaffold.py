"""A new plugin's project, small and whole: its tests pass at once."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

import homeroom
from homeroom.host import templates

Kind = Literal["sis", "channel", "checkin", "auth"]

KINDS: tuple[Kind, ...] = ("sis", "channel", "checkin", "auth")

_NAME = re.compile(r"[a-z][a-z0-9_]{1,40}")


class CannotCreate(Exception):
    """Why no project was written, in plain words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project that was written, and the files in it."""

    folder: Path
    files: tuple[Path, ...]


def new_plugin(name: str, kind: Kind, folder: Path, *, core: Path | None = None) -> Project:
    """Write the project of a plugin `name` into `folder / homeroom-NAME`. Raises CannotCreate.

    `core` is the checkout of homeroom-core to build on (default: the one that runs, if it is a checkout); without one
    the installed release is used.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise CannotCreate(
            f"{name!r} cannot name a plugin: use 2 to 41 lower-case letters, digits and _, a letter first"
        )
    target = folder / f"homeroom-{name.replace('_', '-')}"
    if target.exists():
        raise CannotCreate(f"{target} exists already; choose another name or remove it")
    core = core or _checkout()
    words = {
        "name": name,
        "env": name.upper(),
        "dist": f"homeroom-{name.replace('_', '-')}",
        "package": f"homeroom_{name}",
        "cls": "".join(part.capitalize() for part in name.split("_")),
        "simulators": "",
        "sources": templates.SOURCES.substitute(core=core.as_posix()) if core else "",
    }
    more = templates.MORE.get(kind, {})
    if "simulator" in more:
        words["simulators"] = templates.SIMULATORS.substitute(words)
    contents: dict[str, Template] = {
        "pyproject.toml": templates.PYPROJECT,
        "README.md": templates.README,
        f"{words['package']}/__init__.py": templates.PLUGINS[kind],
        **{f"{words['package']}/{module}.py": template for module, template in more.items()},
        f"{words['package']}/py.typed": Template(""),
        f"tests/test_{name}.py": templates.TESTS[kind],
    }
    for file, template in contents.items():
        path = target / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(template.substitute(words), encoding="utf-8")
    return Project(folder=target, files=tuple(target / file for file in contents))


def _checkout() -> Path | None:
    """The folder of homeroom-core's own project, when it runs from a checkout."""
    folder = Path(homeroom.__file__).resolve().parent.parent
    return folder if (folder / "pyproject.toml").is_file() else None
