"""One decorator for every route: who may call it, what it takes, what it answers, and that it was audited.

    @classes.get("/<class_id>")
    @operation("class.read", of=Target("class_id"), answers=ClassOut)
    async def read_class(call: Call, class_id: str) -> ClassOut:
        \"\"\"A class with its school, terms and teachers.\"\"\"

In order: sign-in, the core's rule (`homeroom.auth.rules`) on the target, the plugins' `authorize`, the body and the
query, the handler, the plugins' `authorize` and `audit` of whose records are in the answer, then the answer. The same
declaration is what OpenAPI and the access matrix are made from, so a route without a rule cannot be written.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from quart import Response, current_app, g, request
from quart_schema import document_headers, document_querystring, document_request, document_response, tag

from homeroom import gate
from homeroom.api.peer import client_address, is_local, network_of
from homeroom.api.problem import FieldError, Invalid
from homeroom.auth.access import Place, check, classes_within, schools_within, today_in
from homeroom.auth.rules import RULES
from homeroom.store import ORIGIN, Connection, Origin, Refused, Transaction, new_id, not_found, places
from homeroom.store import models as m
from homeroom.store.cipher import Cipher
from homeroom.types import AccessRequest, Identity, Outcome

if TYPE_CHECKING:
    from homeroom.auth.authenticator import Caller
    from homeroom.district import District

T = TypeVar("T")
_C = TypeVar("_C", bound=Connection)
Handler = Callable[..., Awaitable[Any]]

OPERATION = "_homeroom_operation"
_LONGEST_KEY = 255
PUBLIC = "public"
"""The action of what anybody may call (sign-in, health); everything else names one of `RULES`."""


class Body(BaseModel):
    """What every request body has in common: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=10_000)


class Query(BaseModel):
    """What every query string has in common: unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=1_000)


class Answer(BaseModel):
    """What every answer has in common."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class IdempotencyHeader(BaseModel):
    """What a POST that creates may be sent with."""

    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Which part of the path (or, with `body`/`query`, of the request) names what the rule is about.

    Each is the name of a path parameter, or "query.NAME", "body.NAME".
    """

    class_id: str | None = None
    student_id: str | None = None
    session_id: str | None = None
    record_id: str | None = None
    report_id: str | None = None
    school_id: str | None = None

    def place(self, path: Mapping[str, Any], body: BaseModel | None, query: BaseModel | None) -> Place:
        """What this call is about."""

        def named(name: str | None) -> str | None:
            if name is None:
                return None
            if name.startswith("body."):
                return getattr(body, name.removeprefix("body."), None)
            if name.startswith("query."):
                return getattr(query, name.removeprefix("query."), None)
            return path.get(name)

        return Place(
            class_id=named(self.class_id),
            student_id=named(self.student_id),
            session_id=named(self.session_id),
            record_id=named(self.record_id),
            report_id=named(self.report_id),
            school_id=named(self.school_id),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A route as declared: what OpenAPI and the access matrix read."""

    action: str
    of: Target
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    answers: Mapping[int, type[BaseModel] | str | None]
    problems: tuple[int, ...]
    idempotent: bool
    local: bool
    late: bool


@dataclass(slots=True, kw_only=True)
class Call:
    """One request, as a handler sees it; a `late` one is admitted with its first read or write.

    `caller` is None where anybody may call.
    """

    district: District
    action: str
    caller: Caller | None
    place: Place
    request_id: str
    late: bool = False
    identity: Identity | None = None
    granted: gate.Granted = field(default_factory=gate.Granted)
    disclosed: set[str] = field(default_factory=set)
    fields: tuple[str, ...] = ()
    rows: int = 0
    _known: Identity | None = None  # who calls, also where the core's rule then forbids it

    @property
    def me(self) -> Identity:
        """Who calls; only for operations that need a sign-in."""
        assert self.identity is not None  # noqa: S101 - the decorator has refused otherwise
        return self.identity

    @property
    def subject(self) -> str:
        """The id of who calls, which the token proves even before the call is admitted."""
        assert self.caller is not None  # noqa: S101 - the decorator has refused otherwise
        return self.caller.subject

    @property
    def access(self) -> AccessRequest:
        """What plugins are told of the call."""
        place = self.place
        return AccessRequest(
            action=self.action,
            identity=self.identity or self._known,
            student_ids=frozenset({place.student_id} if place.student_id else ()),
            class_id=place.class_id,
            request_id=self.request_id,
            network=self.network,
        )

    @property
    def network(self) -> str | None:
        """Where the request came from, as plugins are told it, where one of them keeps that."""
        return _network(self.district) if self.caller and self.district.host.implements("audit") else None

    @property
    def is_admitted(self) -> bool:
        """Whether the sign-in and the core's rule were found to allow the call."""
        return self.caller is None or self.identity is not None

    def admit(self, connection: Connection) -> None:
        """Find out who calls and what the call is about. Raises Refused when the sign-in or the core's rule forbids."""
        if self.caller is None:
            return
        identity = self._known = self.district.authenticator.confirm(connection, self.caller)
        self.place = check(connection, identity, self.action, self.place, today=self.today(), seated_later=self.late)
        self.identity = identity

    async def admitted(self) -> None:
        """Return when the call is admitted; see `admit`. A denial is entered in the audit log."""
        if self.is_admitted:
            return
        try:
            await self.district.store.read(self.admit)
        except Refused as refusal:
            if refusal.status in (403, 404):
                await gate.denied(self.district.host, self.access, refusal.problem)
            raise

    async def read(self, query: Callable[[Connection], T]) -> T:
        """What `query` gives, from a reader."""
        return await self.district.store.read(self._admitting(query))

    async def write(self, unit: Callable[[Transaction], T]) -> T:
        """What `unit` gives, once it is committed."""
        return await self.district.store.write(self._admitting(unit))

    def _admitting(self, work: Callable[[_C], T]) -> Callable[[_C], T]:
        """`work`, or if need be admission and then `work`, on one connection."""
        if self.is_admitted:
            return work

        def both(connection: _C) -> T:
            self.admit(connection)
            return work(connection)

        return both

    def today(self) -> date:
        """The date in the district's time zone, by which enrolments are judged."""
        return today_in(self.district.settings.attendance.time_zone)

    def schools(self, connection: Connection) -> frozenset[str] | None:
        """The ids of the schools whose data the caller reaches with this action; None means all."""
        within = schools_within(self.me, self.action)
        return None if within is None else frozenset(connection.values(within))

    def classes(self, connection: Connection) -> frozenset[str] | None:
        """The ids of the classes whose data the caller reaches with this action now; None means all."""
        within = classes_within(self.me, self.action, self.today())
        return None if within is None else frozenset(connection.values(within))

    async def create(self, unit: Callable[[Transaction], BaseModel], *, status: int = 201) -> Response:
        """The answer of a POST that creates: what `unit` gives, with `status`, once it is committed.

        Sent again under the same `Idempotency-Key`, within a day, it gives the same answer and creates nothing; the
        key is kept in the transaction of the change, so a crash between the two is impossible.
        """
        key = request.headers.get("Idempotency-Key")
        if key is not None and not 1 <= len(key) <= _LONGEST_KEY:
            raise Invalid([FieldError(field="Idempotency-Key", message=f"must be 1 to {_LONGEST_KEY} characters")])
        seen = hashlib.sha256(f"{request.method} {request.path} ".encode() + await _raw()).hexdigest()
        seen = self.district.store.cipher.lookup("request", seen)  # keyed: a short body could be guessed from its hash
        owner = self.me.subject

        def once(tx: Transaction) -> tuple[int, bytes]:
            if key is not None and (kept := _kept(tx, owner, key, seen)):
                return kept
            content = _json(unit(tx))
            if key is not None:
                tx.insert(
                    m.IdempotencyKey,
                    owner=owner,
                    key=key,
                    request_hash=seen,
                    status=status,
                    # Sealed: it may hold a reason or a note.
                    answer=tx.cipher.seal(content.decode(), places.idempotent_answer(owner, key)),
                    created_at=tx.now,
                )
            return status, content

        given, content = await self.write(once)
        return Response(content, given, content_type="application/json")

    def discloses(self, student_ids: Iterable[str], *, fields: Iterable[str] = (), rows: int = 0) -> None:
        """Say whose records the answer holds, which fields by name and how many rows: what `audit` is told."""
        self.disclosed.update(student_ids)
        self.fields = (*self.fields, *fields)
        self.rows += rows


def operation(
    action: str,
    *,
    of: Target | None = None,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    answers: type[BaseModel] | Mapping[int, type[BaseModel] | str | None] | None = None,
    problems: tuple[int, ...] = (),
    idempotent: bool = False,
    local: bool = False,
    late: bool = False,
) -> Callable[[Handler], Callable[..., Awaitable[Response]]]:
    """Declare a route's handler.

    `action` names its rule, or is PUBLIC. The handler takes the Call, the path's parameters and, where declared, `body`
    and `query`; it gives a model, `(model, status)`, `(model, status, headers)` or a Response. `answers` maps each
    status to its model, to a media type where it is no JSON, or to None (one model alone means 200). `problems` adds
    error statuses beyond the shared ones. `idempotent` lets a client repeat the POST under one `Idempotency-Key`.
    `local` lets a program on the same machine call it without signing in. `late` judges the sign-in and the core's rule
    in the handler's own first read or write, which saves the busiest path a trip to the database; until then only
    `call.subject` is known. A plugin that answers `authorize` is asked before the handler all the same, unless it has
    said that its answer lasts.
    """
    if action != PUBLIC and action not in RULES:
        raise LookupError(f"{action} has no rule in homeroom.auth.rules")
    table = dict(answers) if isinstance(answers, Mapping) else {200: answers} if answers else {}
    declared = Operation(
        action=action,
        of=of or Target(),
        body=body,
        query=query,
        answers=table,
        problems=problems,
        idempotent=idempotent,
        local=local,
        late=late,
    )

    def decorate(handler: Handler) -> Callable[..., Awaitable[Response]]:
        @functools.wraps(handler)
        async def view(**path: Any) -> Response:
            return await _serve(declared, handler, path)

        setattr(view, OPERATION, declared)
        return _documented(view, declared)

    return decorate


async def _serve(declared: Operation, handler: Handler, path: dict[str, Any]) -> Response:
    district: District = current_app.extensions["homeroom"]
    caller = None
    if not (declared.action == PUBLIC or (declared.local and _is_local(district))):
        caller = await district.authenticator.caller(request.headers)
        await _limit(district, caller.subject)
    if any("\x00" in str(value) for value in path.values()):
        raise not_found()  # PostgreSQL's text cannot hold it, so nothing has such an id
    try:
        given = await _given(declared)
    except Invalid:
        if caller is not None:
            await district.authenticator.identify(caller)  # whose sign-in has ended is told that first
        raise
    granted = gate.known(district.host, declared.action) if declared.late else None
    call = Call(
        district=district,
        action=declared.action,
        caller=caller,
        place=declared.of.place(path, given.get("body"), given.get("query")),
        request_id=g.get("request_id") or new_id(),
        late=granted is not None,
    )
    actor_id = caller.subject if caller else None
    ORIGIN.set(Origin(actor_id=actor_id, purpose=declared.action, request_id=call.request_id))
    if granted is not None:
        _take(call, granted)
    elif caller is not None:
        await call.admitted()
        _take(call, await gate.ask(district.host, call.access))
    try:
        response = _response(await handler(call, **path, **given))
    except Exception:
        await call.admitted()  # whoever may not call is told that, and not what else is wrong
        raise
    await call.admitted()
    if call.disclosed:
        await _audit(call)
        if call.granted.notice is not None:
            response.headers[gate.NOTICE_HEADER] = call.granted.notice
    return response


async def _limit(district: District, subject: str) -> None:
    """Refuse the one who asks too much, not the school behind whose address they sit."""
    limit = district.settings.server.requests_per_minute
    allowance = await district.requests.hit(subject, limit, 60)
    if not allowance.allowed:
        text = "You are asking faster than this server answers to one person. Please slow down."
        raise Refused(429, "too-many-requests", text, retry_after=allowance.retry_after)


def _is_local(district: District) -> bool:
    return is_local(request.remote_addr, request.headers, district.settings.server.trusted_proxies)


def _network(district: District) -> str | None:
    """Where the request came from, as plugins are told it: which kind of address, under which key, and the hash."""
    address = client_address(request.remote_addr, request.headers, district.settings.server.trusted_proxies)
    return _network_around(address, district.store.cipher)


@functools.lru_cache(maxsize=4096)  # a school sits behind a few addresses, and they are looked at with every request
def _network_around(address: str, cipher: Cipher) -> str | None:
    network = network_of(address)
    if network is None:
        return None
    return f"{network.version}.{cipher.key_id}.{cipher.lookup('network', str(network))[:20]}"


async def _given(declared: Operation) -> dict[str, Any]:
    """The body and the query, read and checked."""
    given: dict[str, Any] = {}
    try:
        if declared.query is not None:
            given["query"] = declared.query.model_validate(_parameters(), strict=False)
        if declared.body is not None:
            if request.mimetype != "application/json":
                raise Invalid([], status=415, detail="Send JSON, with Content-Type: application/json.")
            raw = await _raw()
            if b"\\u0000" in raw:
                raise _unstorable("body")
            given["body"] = declared.body.model_validate_json(raw)
    except ValidationError as exc:
        raise Invalid.of(exc) from None
    return given


def _unstorable(where: str) -> Invalid:
    """The refusal of the one character that PostgreSQL's text cannot hold."""
    return Invalid([FieldError(field=where, message="must not hold the character U+0000")])


async def _raw() -> bytes:
    data: bytes = await request.get_data(as_text=False)  # type: ignore[assignment] # bytes, as asked
    return data


def _parameters() -> dict[str, str]:
    """The query string's parameters (`from` may be a field's alias); one that is repeated is refused."""
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise Invalid([FieldError(field=name, message="given more than once") for name in repeated])
    if any("\x00" in value for value in request.args.values()):
        raise _unstorable("query")
    return dict(request.args.items())


def _take(call: Call, granted: gate.Granted) -> None:
    """Take what plugins have left of what the core's rule allows; their basis goes with every change and entry."""
    call.granted = granted
    if granted.without and call.identity is not None:
        call.identity = replace(call.identity, without=granted.without)
    if granted.basis is not None:
        ORIGIN.set(replace(ORIGIN.get(), basis=granted.basis))


async def _audit(call: Call) -> None:
    """Have the disclosure kept before the answer leaves; if a required plugin cannot, the answer is denied.

    Whoever the request did not name is asked about first, except after a change: that is made already.
    """
    host = call.district.host
    access = replace(call.access, student_ids=call.access.student_ids | call.disclosed)
    if access.student_ids != call.access.student_ids and request.method == "GET" and call.identity is not None:
        await gate.ask(host, access)
    outcome = Outcome(
        allowed=True,
        student_ids=frozenset(call.disclosed),
        fields=call.fields,
        rows=call.rows,
        basis=call.granted.basis,
    )
    await gate.enter(host, access, outcome)


def _response(result: Any) -> Response:
    if isinstance(result, Response):
        return result
    status, headers = 200, {}
    if isinstance(result, tuple):
        result, status, *rest = result
        headers = dict(rest[0]) if rest else {}
    content = b"" if result is None else _json(result)
    response = Response(content, status, content_type="application/json")
    response.headers.update(headers)
    return response


def _json(result: Any) -> bytes:
    return result.__pydantic_serializer__.to_json(result) if isinstance(result, BaseModel) else orjson.dumps(result)


def _kept(tx: Transaction, owner: str, key: str, seen: str) -> tuple[int, bytes] | None:
    """The answer that this key was given before, if it was. Raises Refused when it was for another request."""
    table = m.IdempotencyKey
    kept = tx.one(table.select().where((table.owner == owner) & (table.key == key)))
    if kept is None:
        return None
    if kept.request_hash != seen:
        raise Refused(422, "idempotency-key-reused", "This Idempotency-Key was used for a different request.")
    return kept.status, tx.cipher.unseal(kept.answer, places.idempotent_answer(owner, key)).encode()


def _documented(view: Handler, declared: Operation) -> Handler:
    if declared.body is not None:
        view = document_request(declared.body)(view)
    if declared.query is not None:
        view = document_querystring(declared.query)(view)
    if declared.idempotent:
        view = document_headers(IdempotencyHeader)(view)
    for status, model in declared.answers.items():
        if isinstance(model, type):
            view = document_response(model, status)(view)
    documented: Handler = tag([declared.action.partition(".")[0]])(view)
    return documented
