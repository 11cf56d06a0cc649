"""Whole examples for OpenAPI: of every body and every answer, put together from the examples of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from homeroom.api.problem import PROBLEMS, TYPE_PREFIX

_ID = "01938f2e6c7d7a10b3c4d5e6f7a8b9c0"
_FORMATS = {
    "date-time": "2026-11-23T14:03:12Z",
    "date": "2026-11-23",
    "time": "09:03:12",
    "email": "ana.ruiz@example.org",
    "uri": "https://homeroom.example/",
    "binary": "",
}
_NAMED = {
    "access_token": "eyJhbGciOi…",
    "refresh_token": "hrr_…",
    "password": "four plain words together",
    "email": "ana.ruiz@example.org",
    "name": "Ana Ruiz",
    "title": "Biology 10, section B",
    "reason": "The bus was late.",
    "why": "The office has seen the form.",
    "next": None,
    "role": "teacher",
    "given_name": "Ana",
    "family_name": "Ruiz",
    "grade": "10",
    "period": "A2",
    "device": "Firefox on Android",
    "key": "hrk_…",
    "token": "…",
    "ticket": "…",
    "secret": "…",
    "scan": "…",
    "new_password": "four other plain words",
    "connector": "powerschool",
    "noun": "user",
}


def add_examples(document: dict[str, Any]) -> None:
    """Give every JSON body and answer of the document its example, in place."""
    schemas = document["components"]["schemas"]
    for methods in document["paths"].values():
        for operation in methods.values():
            if "requestBody" in operation:
                _fill(operation["requestBody"]["content"], schemas, whole=False)
            for code, answer in operation["responses"].items():
                content = answer.get("content", {})
                if "application/problem+json" in content:
                    content["application/problem+json"]["example"] = _problem(int(code), answer["description"])
                else:
                    _fill(content, schemas, whole=True)


def _fill(content: Mapping[str, Any], schemas: Mapping[str, Any], *, whole: bool) -> None:
    for kind, media in content.items():
        if kind == "application/json":
            media["example"] = _Composer(schemas, whole=whole).of(media["schema"])


def _problem(code: int, description: str) -> dict[str, Any]:
    return {
        "type": TYPE_PREFIX + PROBLEMS.get(code, "error"),
        "title": HTTPStatus(code).phrase,
        "status": code,
        "detail": description,
    }


class _Composer:
    """Makes one example. `whole` shows every field, as an answer has it; else what is required or has an example."""

    def __init__(self, schemas: Mapping[str, Any], *, whole: bool) -> None:
        self._schemas = schemas
        self._whole = whole

    def of(self, schema: Mapping[str, Any], name: str = "", depth: int = 0) -> Any:
        """The example of one schema; `name` is the field's, which often says more than its type."""
        if "$ref" in schema:
            schema = {**self._schemas[schema["$ref"].rpartition("/")[2]], **schema}
        if schema.get("examples"):
            return schema["examples"][0]
        for key in ("const", "example"):
            if key in schema:
                return schema[key]
        if schema.get("enum"):
            return schema["enum"][0]
        if "allOf" in schema:
            return self.of(schema["allOf"][0], name, depth)
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return self._of_options(schema, options, name, depth)
        return self._of_type(schema, name, depth)

    def _of_options(self, schema: Mapping[str, Any], options: list[Any], name: str, depth: int) -> Any:
        kept = [one for one in options if one.get("type") != "null"]
        is_optional = len(kept) < len(options)
        if is_optional and schema.get("default", ...) is None and self._whole and not name.endswith(("_id", "_at")):
            return None
        return self.of(kept[0], name, depth) if kept else None

    def _of_type(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                return [self.of(schema["items"], name.removesuffix("s"), depth + 1)] if "items" in schema else []
            case "integer" | "number":
                return schema.get("default") or schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
            case "boolean":
                return schema.get("default", True)
            case "string":
                return self._text(schema, name)
        return schema.get("default", {})

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        return {
            name: self.of(one, name, depth + 1)
            for name, one in schema.get("properties", {}).items()
            if self._whole or name in required or "examples" in one
        }

    def _text(self, schema: Mapping[str, Any], name: str) -> str | None:
        if "format" in schema:
            return _FORMATS.get(schema["format"], "…")
        if schema.get("default"):
            return str(schema["default"])
        if name == "id" or name.endswith(("_id", "_ids")):
            return _ID
        if name in _NAMED:
            return _NAMED[name]
        return "text"
