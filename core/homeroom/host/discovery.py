"""Finds installed plugins without importing any, and imports one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from stevedore import NamedExtensionManager
from stevedore.extension import error_on_conflict

GROUP = "homeroom.plugins"


class CannotLoad(Exception):
    """Why a plugin is left out, in plain words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """An entry point of an installed distribution; nothing of it has been imported."""

    name: str
    target: str
    distribution: str | None = None
    version: str | None = None

    @property
    def module(self) -> str:
        """The module that the entry point names."""
        return self.target.partition(":")[0].strip()


class _Fresh(NamedExtensionManager[object]):
    """Stevedore's manager, which looks at what is installed now: its cache on disk may be minutes old."""

    def list_entry_points(self) -> list[EntryPoint]:
        return list(entry_points(group=self.namespace))


def installed(group: str = GROUP) -> dict[str, list[Installed]]:
    """Every plugin that is installed, by name; a name that several distributions offer has several entries."""
    found: dict[str, list[Installed]] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        metadata = entry.dist.metadata if entry.dist is not None else None
        offer = Installed(
            name=entry.name,
            target=entry.value,
            distribution=metadata["Name"] if metadata is not None and "Name" in metadata else None,
            version=metadata["Version"] if metadata is not None and "Version" in metadata else None,
        )
        if offer not in found.setdefault(entry.name, []):
            found[entry.name].append(offer)
    return found


def the_one(name: str, offers: Mapping[str, list[Installed]]) -> Installed:
    """The only offer of `name`. Raises CannotLoad when there is none or more than one: nothing is imported then."""
    match offers.get(name, []):
        case [offer]:
            return offer
        case []:
            raise CannotLoad(f"no installed distribution offers a plugin named {name}")
        case several:
            names = ", ".join(sorted(offer.distribution or offer.target for offer in several))
            raise CannotLoad(f"several installed distributions offer a plugin named {name}: {names}")


def load(name: str, group: str = GROUP) -> object:
    """What the entry point `name` names, imported. Raises CannotLoad, whatever the import does.

    Stevedore lets AssertionError and SystemExit through, which would end the server.
    """
    errors: list[BaseException] = []
    try:
        found = _Fresh(
            group,
            [name],
            on_load_failure_callback=lambda _manager, _entry, error: errors.append(error),
            on_missing_entrypoints_callback=None,
            conflict_resolver=error_on_conflict,
        )
        loaded = found[name].plugin if name in found else None
    except BaseException as exc:  # noqa: BLE001 - SystemExit at import must not end the server
        errors.append(exc)
    if errors:
        raise CannotLoad(f"it cannot be imported: {type(errors[0]).__name__}: {errors[0]}".rstrip(": "))
    if loaded is None:
        raise CannotLoad(f"no installed distribution offers a plugin named {name}")
    return loaded
