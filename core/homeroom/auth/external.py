"""Single sign-on: the core keeps state, nonce and what the provider plugin wants back, sealed, for one use."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import orjson
import structlog

from homeroom.auth import accounts
from homeroom.auth.sign_in import Door
from homeroom.auth.tokens import fingerprint, secret_token
from homeroom.host import Host
from homeroom.sign_in import SignInProvider, SignInRefused
from homeroom.store import Refused, Transaction, not_found
from homeroom.store import models as m
from homeroom.types import ExternalIdentity, SignInStart

T = TypeVar("T")
log = structlog.get_logger("homeroom.auth")

MINUTES = 10
"""How long a person has between the button here and the return from the provider."""
_DEADLINE_SECONDS = 15
_CONTEXT = "sign_in_attempts.sealed"
_EXPIRED = "This sign-in has taken too long, or was used already. Please begin again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Where to send the browser, and the secret that ties the attempt to it (a cookie)."""

    url: str
    browser: str = field(repr=False)


async def providers(host: Host) -> dict[str, SignInProvider]:
    """The single sign-on providers that plugins give now, by plugin name."""
    answers = await host.ask_all("sign_in_provider")
    return {answer.plugin: answer.value for answer in answers if answer.value is not None}


async def begin(door: Door, name: str, *, redirect_uri: str, browser: str | None) -> Beginning:
    """A new attempt with the provider `name`. `browser` is the secret of an earlier attempt in the same browser."""
    provider = await _provider(door.host, name)
    state, nonce = secret_token(), secret_token()
    browser = browser or secret_token()
    started: SignInStart = await _bounded(
        name, provider.start(redirect_uri=redirect_uri, state=state, nonce=nonce), SignInStart
    )
    kept = {"nonce": nonce, "keep": dict(started.keep), "redirect_uri": redirect_uri, "browser": fingerprint(browser)}
    sealed = door.store.cipher.seal(orjson.dumps(kept).decode(), _CONTEXT)

    def unit(tx: Transaction) -> None:
        expires_at = tx.now + timedelta(minutes=MINUTES)
        values = {"state_hash": fingerprint(state), "provider": name, "sealed": sealed, "expires_at": expires_at}
        tx.insert_new(m.SignInAttempt, **values)

    await door.store.write(unit)
    return Beginning(url=started.url, browser=browser)


async def finish(door: Door, name: str, answer: Mapping[str, str], *, browser: str | None) -> str:
    """The id of the person that the provider sent back with `answer`, the callback's query.

    Raises Refused: 403 for an attempt that is unknown, used, expired, another browser's or another provider's, for
    what the provider or its allow-list refuses, and for somebody who has no account here.
    """
    provider = await _provider(door.host, name)
    kept = await _attempt(door, name, answer.get("state", ""))
    if browser is None or not hmac.compare_digest(fingerprint(browser), str(kept["browser"])):
        raise Refused(403, "sign-in-expired", "This sign-in was begun in another browser. Please begin again.")
    finishing = provider.finish(
        redirect_uri=kept["redirect_uri"], nonce=kept["nonce"], keep=kept["keep"], answer=dict(answer)
    )
    try:
        external: ExternalIdentity = await _bounded(name, finishing, ExternalIdentity)
    except SignInRefused as exc:
        raise Refused(403, "sign-in-refused", str(exc)) from None
    return await door.store.write(lambda tx: accounts.join(tx, external))


async def _attempt(door: Door, name: str, state: str) -> dict[str, Any]:
    """What was kept for this state, which is thereby used up."""
    sealed = await door.store.write(lambda tx: _take(tx, fingerprint(state), name))
    if sealed is None:
        raise Refused(403, "sign-in-expired", _EXPIRED)
    kept: dict[str, Any] = orjson.loads(door.store.cipher.unseal(sealed, _CONTEXT))
    return kept


def _take(tx: Transaction, state_hash: str, name: str) -> str | None:
    table = m.SignInAttempt
    row = tx.get(table, state_hash)
    if row is None:
        return None
    tx.run(table.delete().where(table.state_hash == state_hash))
    return row.sealed if row.provider == name and row.expires_at > tx.now else None


async def _provider(host: Host, name: str) -> SignInProvider:
    provider = (await providers(host)).get(name)
    if provider is None:
        raise not_found("There is no such sign-in provider.")
    return provider


async def _bounded(name: str, asked: Coroutine[Any, Any, T], kind: type[T]) -> T:
    """What a provider answers, unless it takes too long or fails; like a hook, it must not take the server down."""
    task = asyncio.ensure_future(_contained(asked))
    done, _ = await asyncio.wait({task}, timeout=_DEADLINE_SECONDS)
    if not done:
        task.cancel()
        raise _unavailable(name, "timed out")
    error = task.exception()
    if isinstance(error, SignInRefused):
        raise error
    if error is not None:
        raise _unavailable(name, type(error).__name__)
    if not isinstance(task.result(), kind):
        raise _unavailable(name, "wrong answer")
    return task.result()


async def _contained(asked: Coroutine[Any, Any, T]) -> T:
    try:
        return await asked
    except (SystemExit, KeyboardInterrupt) as exc:
        raise RuntimeError("a provider tried to end the process") from exc


def _unavailable(name: str, why: str) -> Refused:
    log.warning("sign_in_provider_failed", plugin=name, error=why)
    return Refused(503, "provider-unavailable", "The sign-in service does not answer. Please try again.", retry_after=5)
