"""Errors as the contract shapes them: RFC 9457 `application/problem+json`, never a stack trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from pydantic import BaseModel, Field, ValidationError
from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.exceptions import NotFound as RoutingNotFound

from homeroom.store import Refused, StoreError, Unavailable

log = structlog.get_logger("homeroom.api")

_SOON = 2  # seconds, where a 503 names no time of its own
TYPE_PREFIX = "https://homeroom.dev/problems/"

PROBLEMS: Mapping[int, str] = {
    400: "malformed",
    401: "not-signed-in",
    403: "not-allowed",
    404: "not-found",
    405: "method-not-allowed",
    408: "too-slow",
    409: "conflict",
    412: "changed-meanwhile",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid",
    428: "precondition-required",
    429: "too-many-requests",
    500: "internal",
    503: "unavailable",
}


class FieldError(BaseModel):
    """One field that is wrong, and how."""

    field: str
    message: str


class Problem(BaseModel):
    """What every error answers (RFC 9457)."""

    type: str = Field(examples=[f"{TYPE_PREFIX}not-found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no such class, or you may not see it."])
    errors: list[FieldError] | None = None


class Invalid(Exception):
    """A request whose shape or values are wrong: 400 when it cannot be read at all, else 422."""

    def __init__(self, errors: Sequence[FieldError], *, status: int = 422, detail: str | None = None) -> None:
        super().__init__(detail or "invalid")
        self.errors = errors
        self.status = status
        self.detail = detail or "Some of what was sent is not valid; see `errors`."

    @classmethod
    def of(cls, exc: ValidationError) -> Invalid:
        """The answer to what pydantic found."""
        found = exc.errors(include_url=False, include_context=False, include_input=False)
        if any(error["type"] == "json_invalid" for error in found):
            return cls([], status=400, detail="The body is not valid JSON.")
        # Values are left out on purpose: they may be somebody's data.
        return cls(
            [FieldError(field=".".join(str(part) for part in e["loc"]) or "body", message=e["msg"]) for e in found]
        )


def problem(
    status: int,
    detail: str,
    *,
    kind: str | None = None,
    errors: Sequence[FieldError] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem+json response; `kind` ends its `type`."""
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + (kind or PROBLEMS.get(status, "error")),
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = [error.model_dump() for error in errors]
    response = Response(orjson.dumps(body), status, content_type="application/problem+json")
    response.headers.update(headers or {})
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="homeroom"'
    return response


def answer_for(exc: Exception) -> Response:
    """The response to an exception; one that nobody foresaw is logged by its type and place, and answered 500."""
    match exc:
        case Invalid():
            return problem(exc.status, exc.detail, errors=exc.errors)
        case Refused():
            soon = _SOON if exc.status == HTTPStatus.SERVICE_UNAVAILABLE else None
            wait = soon if exc.retry_after is None else exc.retry_after
            headers = {"Retry-After": str(wait)} if wait is not None else None
            return problem(exc.status, exc.detail, kind=exc.problem, headers=headers)
        case Unavailable():
            detail = f"{str(exc).capitalize()}. Nothing was changed that you were not told of; please try again."
            return problem(503, detail, headers={"Retry-After": str(exc.retry_after)})
        case HTTPException():
            return _http(exc)
        case StoreError():
            log.error("store_error", error=str(exc))
            return problem(503, "The database could not do this.", headers={"Retry-After": str(_SOON)})
    # The message of a foreign exception may hold data; its type and place do not.
    last = exc.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    place = f"{last.tb_frame.f_globals.get('__name__')}:{last.tb_lineno}" if last else "unknown"
    log.error("unexpected_error", error=type(exc).__name__, place=place)
    return problem(500, "Something went wrong on our side. It has been noted; please try again.")


def _http(exc: HTTPException) -> Response:
    status = exc.code or 500
    details = {
        400: "The request could not be read.",
        404: "There is nothing here.",
        405: "This address does not take that method.",
        408: "The request took too long to arrive.",
        413: "The request is larger than this server takes.",
    }
    headers = {}
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(getattr(exc, "valid_methods", None) or []))
    return problem(status, details.get(status, exc.description or exc.name), headers=headers)


def install(app: Quart) -> None:
    """Make every error of `app` answer in this shape."""

    async def handle(exc: Exception) -> Response:
        if exc is request.routing_exception and isinstance(exc, RoutingNotFound) and not request.path.endswith("/"):
            # werkzeug forgives a missing slash only for a method that the route has
            methods = list(app.url_map.bind("").allowed_methods(f"{request.path}/"))
            exc = MethodNotAllowed(valid_methods=methods) if methods else exc
        return answer_for(exc)

    app.register_error_handler(Exception, handle)
