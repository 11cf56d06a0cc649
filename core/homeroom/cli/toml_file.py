"""The one change that a command makes to homeroom.toml; everything else in the file stays as it was written."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

import click

_ENABLED = re.compile(r"^(\s*enabled\s*=\s*\[)(.*?)(,?\s*(?:#[^\n]*)?\s*\])", re.MULTILINE | re.DOTALL)
_PLUGINS = re.compile(r"^\[plugins\][^\n]*\n", re.MULTILINE)


def add_enabled(path: Path, name: str) -> None:
    """Add a plugin at the end of `enabled` in `[plugins]`. Raises ClickException where a person must do it by hand."""
    text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    before = tomllib.loads(text)
    changed = _with(text, name)
    wanted = [*before.get("plugins", {}).get("enabled", []), name]
    try:
        after = tomllib.loads(changed)
    except tomllib.TOMLDecodeError:
        after = {}
    # The file is a person's; the change is only written when it is exactly the one that was meant.
    if after != {**before, "plugins": {**before.get("plugins", {}), "enabled": wanted}}:
        raise click.ClickException(f'Please add "{name}" to `enabled` in [plugins] of {path} yourself.')
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(changed, encoding="utf-8")
    if path.exists():
        unfinished.chmod(path.stat().st_mode & 0o777)
    os.replace(unfinished, path)  # noqa: PTH105 - rename() over an existing file is not portable


def _with(text: str, name: str) -> str:
    section = _PLUGINS.search(text)
    if section is None:
        return f"{text.rstrip()}\n\n[plugins]\nenabled = [{json.dumps(name)}]\n".lstrip()
    head, body = text[: section.end()], text[section.end() :]
    end = re.search(r"^\[", body, re.MULTILINE)
    mine, rest = (body[: end.start()], body[end.start() :]) if end else (body, "")
    listed = _ENABLED.search(mine)
    if listed is None:
        return f"{head}enabled = [{json.dumps(name)}]\n{mine}{rest}"
    separator = ", " if listed[2].strip() else ""
    grown = f"{listed[1]}{listed[2].rstrip()}{separator}{json.dumps(name)}{listed[3]}"
    return head + mine[: listed.start()] + grown + mine[listed.end() :] + rest
