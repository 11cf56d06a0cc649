"""Looks at a plugin as `homeroom plugins check` does: what it imports, what it reads, whether its hooks fit."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from homeroom.hookspecs import POLICIES
from homeroom.host import discovery
from homeroom.host.discovery import CannotLoad
from homeroom.host.plugin import checked_class, hooks_of, scopes_of
from homeroom.types import Finding

_OPEN = frozenset({"homeroom", "homeroom.testing"})
_DRIVERS = frozenset(
    {"sqlite3", "psycopg", "psycopg2", "psycopg_pool", "asyncpg", "aiosqlite", "apsw", "sqlalchemy", "pymysql"}
)
_ON_CHECK_IN = ("authorize", "audit", "issue_challenge", "verify_check_in")
_SCOPE_OF = {
    "authenticate": "credentials.KIND",
    "set_password": "credentials.KIND",
    "deliver": "message.CHANNEL",
    "find_delivery": "message.CHANNEL",
}


def check(name: str) -> list[Finding]:
    """Everything that is wrong with an installed plugin, its source first; it is imported, not started."""
    try:
        offer = discovery.the_one(name, discovery.installed())
    except CannotLoad as exc:
        return [Finding(problem=f"{name}: {exc}.", fix="Install it, or see `homeroom plugins list` for the names.")]
    found = [finding for file in source_files(offer.module) for finding in findings_in_source(file)]
    try:
        return [*found, *findings_in_class(discovery.load(name))]
    except CannotLoad as exc:
        return [*found, Finding(problem=f"{exc}.", fix="Until then the server starts without it.")]


def check_all(names: Sequence[str] | None = None) -> dict[str, list[Finding]]:
    """The findings on each of `names`, by default on every installed plugin."""
    return {name: check(name) for name in (names if names is not None else sorted(discovery.installed()))}


def source_files(module: str) -> list[Path]:
    """The Python files of the package that holds `module`; nothing of it is imported."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return sorted(file for place in spec.submodule_search_locations for file in Path(place).rglob("*.py"))
    return [Path(spec.origin)] if spec.origin else []


def findings_in_source(file: str | Path) -> list[Finding]:
    """What one file imports or reads that a plugin should not."""
    path = Path(file)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as exc:
        return [Finding(problem=f"{path.name} cannot be read as Python: {exc}.")]
    return [
        Finding(problem=f"{path.name}:{line}: {problem}", fix=fix) for line, problem, fix in sorted(set(_visit(tree)))
    ]


def findings_in_class(found: object) -> list[Finding]:
    """What keeps a plugin class from being loaded, and hooks of it that would never be asked."""
    try:
        cls = checked_class(found)
        scopes = scopes_of(cls)
    except CannotLoad as exc:
        return [Finding(problem=f"{exc}.", fix="docs/writing-a-plugin.md shows a whole plugin.")]
    findings = [*_unmarked(cls)]
    try:
        hooks = hooks_of(object.__new__(cls), "plugin")  # its __init__ would need settings and services
    except CannotLoad as exc:
        return [*findings, Finding(problem=f"{exc}.", fix="docs/hooks.md lists every hook with its arguments.")]
    for hook, implementation in hooks.items():
        if hook in _ON_CHECK_IN and not inspect.iscoroutinefunction(implementation.function):
            findings.append(
                Finding(
                    problem=f"{hook} is a plain def, which costs a thread on every check-in.",
                    fix="Make it async def.",
                )
            )
        wanted = _SCOPE_OF.get(hook)
        if wanted and not any(scope.startswith(wanted.partition(".")[0] + ".") for scope in scopes):
            findings.append(
                Finding(
                    problem=f"{hook} will never be asked: the class has no scope {wanted}.",
                    fix="Name it in `scopes`.",
                )
            )
    if not hooks:
        findings.append(Finding(problem="it implements no hook.", fix="Mark its methods with @hookimpl."))
    return findings


def _unmarked(cls: type[Any]) -> Iterator[Finding]:
    for hook in POLICIES:
        method = getattr(cls, hook, None)
        if inspect.isroutine(method) and not hasattr(method, "homeroom_impl"):
            yield Finding(
                problem=f"{hook} is named like a hook but is not marked, so it is never called.",
                fix="Write @hookimpl above it.",
            )


def _visit(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield from _imported(node.lineno, alias.name, "")
            case ast.ImportFrom(module=str(module), names=names, level=0):
                for alias in names:
                    yield from _imported(node.lineno, module, alias.name)
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "getenv" | "environb"):
                yield _environment(node.lineno)


def _imported(line: int, module: str, name: str) -> Iterator[tuple[int, str, str]]:
    top = module.partition(".")[0]
    if top == "homeroom" and module not in _OPEN and module.rpartition(".")[0] != "homeroom.testing":
        yield line, f"it imports {module}, which is not for plugins.", "Import from `homeroom` or `homeroom.testing`."
    elif module == "homeroom" and name and name not in _public():
        yield line, f"it imports {name} from homeroom, which is not for plugins.", "See `homeroom.__all__`."
    elif top in _DRIVERS or (top in ("peewee", "playhouse") and name.endswith("Database")):
        yield line, f"it imports {module}, a way to a database.", "Use `services.store` for the plugin's own tables."
    elif module == "os" and name in ("environ", "getenv", "environb"):
        yield _environment(line)


def _environment(line: int) -> tuple[int, str, str]:
    fix = 'Declare a setting; json_schema_extra={"env": "NAME"} lets the environment set it.'
    return line, "it reads the environment.", fix


def _public() -> frozenset[str]:
    import homeroom

    return frozenset(homeroom.__all__) | {"testing"}
