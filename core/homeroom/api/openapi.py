"""OpenAPI from the code: quart-schema reads the declared models; what all routes share is added here, in one place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from quart import Quart
from quart_schema import Info, QuartSchema
from quart_schema.conversion import model_schema
from quart_schema.openapi import OpenAPIProvider
from werkzeug.routing import Rule

from homeroom.api.examples import add_examples
from homeroom.api.operation import OPERATION, PUBLIC, Operation, Target
from homeroom.api.problem import Problem

_PARAMETER = re.compile(r"<(?:[^:>]*:)?([^>]+)>")
_TITLES = {
    400: "The request cannot be read.",
    401: "Not signed in, or the sign-in has ended.",
    403: "Signed in, but not allowed.",
    404: "No such thing, or not yours to know of.",
    405: "Another method.",
    409: "The present state forbids it.",
    412: "Changed meanwhile; read it again.",
    413: "The body is too large.",
    415: "Not JSON.",
    422: "Understood, but not valid; `errors` names each field.",
    428: "Send If-Match.",
    429: "Too many requests; Retry-After says when to come back.",
    503: "For the moment it cannot be done; Retry-After says when to come back.",
}


class Provider(OpenAPIProvider):
    """Quart-schema's reading of one app, with the answers that every operation shares."""

    def generate_rules(self) -> Iterable[Rule]:
        """The routes that declare an operation; the rest are pages and files."""
        for rule in super().generate_rules():
            if hasattr(self._app.view_functions[rule.endpoint], OPERATION):
                yield rule

    def build_paths(self, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
        """The paths of one route, with shared errors and what a sign-in needs."""
        paths, components = super().build_paths(rule)
        declared: Operation = getattr(self._app.view_functions[rule.endpoint], OPERATION)
        for methods in paths.values():
            for operation in methods.values():
                _complete(operation, declared)
        # quart-schema's own pattern takes `<of>/<int:entry_id>` for one parameter, and names a path that there is not
        (methods,) = paths.values()
        return {_PARAMETER.sub(r"{\1}", rule.rule): methods}, components

    def operation_id(self, method: str, path: str, func: Callable[..., Any]) -> str:  # noqa: ARG002 - quart-schema's shape
        """The handler's own name: `read_class`; plugins' are prefixed by their app."""
        return func.__name__ if self._app.name == "homeroom" else f"{self._app.name}_{func.__name__}"


def _complete(operation: dict[str, Any], declared: Operation) -> None:
    operation["description"] = operation.get("description", "").strip()
    answers = operation["responses"] = {str(code): answer for code, answer in operation["responses"].items()}
    for code, model in declared.answers.items():
        if model is None:
            answers[str(code)] = {"description": "Done; there is nothing to say."}
        elif isinstance(model, str):
            answers[str(code)] = {"description": "Done.", "content": {model: {"schema": {"type": "string"}}}}
    for answer in answers.values():
        answer["description"] = answer.get("description") or "Done."
    for code in sorted(_shared(operation, declared)):
        answers[str(code)] = _problem(code)
    if declared.body is not None:
        operation["requestBody"]["required"] = True
    for parameter in operation["parameters"]:
        parameter["required"] = parameter["in"] == "path"
    operation["security"] = [] if declared.action == PUBLIC else [{"bearer": []}]
    operation["x-action"] = declared.action


def _shared(operation: dict[str, Any], declared: Operation) -> set[int]:
    codes = {429, 503, *declared.problems}
    if declared.action != PUBLIC:
        codes |= {401, 403}
    if declared.of != Target() or any(parameter["in"] == "path" for parameter in operation["parameters"]):
        codes.add(404)
    if declared.body is not None:
        codes |= {400, 413, 415, 422}
    if declared.query is not None or declared.idempotent:
        codes.add(422)
    return codes


def _problem(code: int) -> dict[str, Any]:
    return {
        "description": _TITLES[code],
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def describe(app: Quart, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of `app` and of its plugins' apps."""
    schema: dict[str, Any] = _of(app)
    for plugin in app.extensions["homeroom"].mounts.apps():
        other = _of(plugin)
        schema["paths"].update(other["paths"])
        schema["components"]["schemas"].update(other["components"]["schemas"])
    problem = model_schema(Problem)
    schema["components"]["schemas"].update(problem.pop("$defs", {}))
    schema["components"]["schemas"]["Problem"] = problem
    schema["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    schema["info"] = {
        "title": "Homeroom",
        "version": version,
        "description": "Attendance for school districts. Times are UTC (RFC 3339), school days are dates in the "
        "school's own time zone, ids are opaque. /api/v1 only grows.",
        "license": {"name": "MIT", "identifier": "MIT"},
    }
    add_examples(schema)
    return schema


def install(app: Quart) -> None:
    """Let quart-schema describe `app`; nothing of it runs while requests are served."""
    app.config["QUART_SCHEMA_CONVERT_CASING"] = False
    app.config["QUART_SCHEMA_CONVERSION_PREFERENCE"] = "pydantic"


def _of(app: Quart) -> dict[str, Any]:
    return Provider(app, QuartSchema(info=Info(title="Homeroom", version="1"))).schema()
