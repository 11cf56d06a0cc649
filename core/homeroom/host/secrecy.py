"""Secrets among a plugin's settings: what a page shows in their place, and where one that is kept may go.

A secret is never shown. In its place stands a text by which it can be kept: `set` where its path says which one it is,
and `set:` with a keyed hash within a list, where paths change when a row is taken out. A kept secret goes nowhere new:
where the addresses among its settings change, it must be typed again, so that whoever borrows an administrator's
browser cannot have it sent to a server of their own.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined, to_jsonable_python

SET = "set"
Path = tuple[str | int, ...]

_HASHED = f"{SET}:"
_LONG = 6  # a shorter secret may well stand within some other text
_LISTS = (list, tuple, set, frozenset)
_URL = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_NAMES_A_HOST = re.compile(r"(^|_)(host|hostname|server|endpoint|uri|url)s?$", re.IGNORECASE)


def tree_of(model: BaseModel) -> dict[str, Any]:
    """The settings as plain values, in which secrets are still SecretStr."""
    return model.model_dump(by_alias=True)


def raw_tree(values: Mapping[str, Any], schema: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Values that no model was made of, with defaults; secrets are SecretStr, and what the schema has not is left out.

    A misspelt setting may hold a secret, so it is not shown.
    """
    tree = defaults_of(model)
    tree |= {key: value for key, value in values.items() if key in schema.get("properties", {})}
    found = _wrapped(tree, schema, schema.get("$defs", {}), 0)
    assert isinstance(found, dict)  # noqa: S101 - a mapping was given
    return found


def is_secret(schema: Mapping[str, Any], name: str) -> bool:
    """Whether a setting is a secret as a whole."""
    one = schema.get("properties", {}).get(name)
    return isinstance(_wrapped("", one, schema.get("$defs", {}), 0), SecretStr)


def defaults_of(model: type[BaseModel]) -> dict[str, Any]:
    """The value of every setting that has one when nobody sets it."""
    found: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if info.default_factory_takes_validated_data:
            continue
        value = info.get_default(call_default_factory=True)
        if value is not PydanticUndefined:
            found[info.alias or name] = tree_of(value) if isinstance(value, BaseModel) else value
    return found


def secrets_in(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every secret of a tree and where it stands."""
    if isinstance(value, SecretStr):
        if text := value.get_secret_value():
            yield path, text
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from secrets_in(one, (*path, str(key)))
    elif isinstance(value, _LISTS):
        for number, one in enumerate(value):
            yield from secrets_in(one, (*path, number))


@dataclass(frozen=True, slots=True)
class Keeper:
    """The secrets in force. `key` makes the hashes by which they are told apart."""

    tree: Mapping[str, Any] = field(repr=False)
    key: bytes = field(repr=False)

    def shown(self) -> dict[str, Any]:
        """The tree in JSON's values, without any secret."""
        shown: dict[str, Any] = to_jsonable_python(self._shown(self.tree, ()), fallback=str)
        return shown

    def restored(self, value: Any, path: Path) -> Any:
        """What was sent, with each kept secret in the place of the text that stands for it."""
        if isinstance(value, str):
            return self._known(path).get(value, value)
        if isinstance(value, Mapping):
            return {key: self.restored(one, (*path, str(key))) for key, one in value.items()}
        if isinstance(value, list):
            return [self.restored(one, (*path, number)) for number, one in enumerate(value)]
        return value

    def astray(self, candidate: Mapping[str, Any], typed: set[str], allowed: set[str]) -> list[tuple[str, str]]:
        """What is wrong with where kept secrets would stand, as (setting, why); `typed` are those sent in clear."""
        mine = {text for _, text in secrets_in(self.tree)}
        clear = list(_texts(Keeper(candidate, self.key).shown()))
        found = [("settings", _IN_CLEAR) for text in mine - typed if any(_holds(one, text) for one in clear)]
        for path, text in secrets_in(candidate):
            if text in mine and text not in typed:
                before = [addresses(_around(self.tree, place)) for place, one in secrets_in(self.tree) if one == text]
                now = addresses(_around(candidate, path)) - allowed
                if not any(now <= old for old in before):
                    found.append((str(path[0]), _ELSEWHERE))
        return sorted(set(found))

    def _shown(self, value: Any, path: Path) -> Any:
        if isinstance(value, SecretStr):
            return self._stand_in(path, text) if (text := value.get_secret_value()) else ""
        if isinstance(value, Mapping):
            return {str(key): self._shown(one, (*path, str(key))) for key, one in value.items()}
        if isinstance(value, _LISTS):
            return [self._shown(one, (*path, number)) for number, one in enumerate(value)]
        return value

    def _stand_in(self, path: Path, text: str) -> str:
        if not any(isinstance(part, int) for part in path):
            return SET
        return _HASHED + hmac.digest(self.key, text.encode(), "sha256").hex()[:16]

    def _known(self, path: Path) -> dict[str, str]:
        """Which text stands for which secret at one place."""
        return {
            self._stand_in(place, text): text
            for place, text in secrets_in(self.tree)
            if place == path or any(isinstance(part, int) for part in place)
        }


_ELSEWHERE = (
    "It would go to an address that it does not go to now. Type it again; where the environment sets it, "
    "set the address there or in the file, too."
)
_IN_CLEAR = "A kept secret may stand only where it is a secret."


def addresses(scope: Any) -> set[str]:
    """Where settings lead to: the origins of their web addresses, and hosts by name."""
    return set(_addresses(scope, ""))


def _addresses(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, str):
        if _URL.match(value):
            yield _origin(value)
        elif value and _NAMES_A_HOST.search(name):
            yield value.strip().lower()
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _addresses(one, str(key))
    elif isinstance(value, _LISTS):
        for one in value:
            if not isinstance(one, Mapping):  # a row of a list is a scope of its own
                yield from _addresses(one, name)


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}:{parts.port or ''}"
    except ValueError:
        return url.lower()


def _around(tree: Any, path: Path) -> Any:
    """What a secret is sent along with: the row of the list that it stands in, else all settings."""
    scope, value = tree, tree
    for part in path[:-1]:
        value = list(value)[part] if isinstance(part, int) else value[part]
        if isinstance(part, int) and isinstance(value, Mapping):
            scope = value
    return scope


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield str(key)
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def texts_in(value: Any) -> set[str]:
    """Every text of what was sent."""
    return set(_texts(value))


def _holds(text: str, secret: str) -> bool:
    return text == secret or (len(secret) >= _LONG and secret in text)


def _wrapped(value: Any, schema: Any, defs: Mapping[str, Any], depth: int) -> Any:
    """`value` with a SecretStr wherever any branch of the schema says that there is a secret."""
    if not isinstance(schema, Mapping) or depth > 20:  # noqa: PLR2004 - a schema may be its own child
        return value
    if reference := schema.get("$ref"):
        return _wrapped(value, defs.get(str(reference).rpartition("/")[2]), defs, depth + 1)
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        value = _wrapped(value, branch, defs, depth + 1)
    if isinstance(value, str) and (schema.get("writeOnly") or schema.get("format") == "password"):
        return SecretStr(value)
    if isinstance(value, Mapping):
        named, others = schema.get("properties", {}), schema.get("additionalProperties")
        return {key: _wrapped(one, named.get(key, others), defs, depth + 1) for key, one in value.items()}
    if isinstance(value, _LISTS):
        return [_wrapped(one, schema.get("items"), defs, depth + 1) for one in value]
    return value
