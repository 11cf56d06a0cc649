"""Whether a webhook is Twilio's: `X-Twilio-Signature`, judged as Twilio's own libraries judge it.

The signature is the base64 of an HMAC-SHA1 under the auth token, over the full address that Twilio called, followed by
each form parameter's name and value, sorted by name; a name's several values each once, sorted too. A body that is no
form is vouched for by `bodySHA256` in the query, and the address alone is signed.
Source: www.twilio.com/docs/usage/webhooks/webhooks-security.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import ParseResult, parse_qs, urlparse

HEADER = "X-Twilio-Signature"

Form = Mapping[str, Sequence[str]]
"""The parameters of a form: every value of each name."""


def sign(url: str, form: Form, token: str) -> str:
    """The signature of one callback to `url`."""
    text = url + "".join(name + value for name in sorted(form) for value in sorted(set(form[name])))
    # What is no text in Unicode cannot have been signed; it is hashed as something else, and so does not fit.
    digest = hmac.new(token.encode(), text.encode(errors="replace"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def is_signed(url: str, body: Form | bytes, signature: str, tokens: Iterable[str]) -> bool:
    """Whether `signature` was made with one of `tokens` for this address and body: a form, or the raw bytes of JSON.

    Twilio is not consistent about the port in the address, so both ways of writing it count. Takes the same time
    wherever a forged signature begins to differ.
    """
    try:
        parts = urlparse(url)
        addresses = (_without_port(parts), _with_port(parts))
    except ValueError:
        return False
    if isinstance(body, bytes):
        if not _vouches(parts, body):
            return False
        body = {}
    given = signature.encode(errors="replace")
    # Every comparison is made, so that the time tells nothing of which token or address would have fitted.
    fits = [
        hmac.compare_digest(sign(address, body, token).encode(), given) for token in tokens for address in addresses
    ]
    return any(fits)


def _vouches(parts: ParseResult, body: bytes) -> bool:
    """Whether the address, which is signed, names the hash of this body; none needs to be named for no body at all."""
    named = parse_qs(parts.query).get("bodySHA256", [""])[0]
    if not (named or body):
        return True
    return hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), named.encode(errors="replace"))


def _without_port(parts: ParseResult) -> str:
    return parts._replace(netloc=parts.netloc.split(":")[0]).geturl() if parts.port else parts.geturl()


def _with_port(parts: ParseResult) -> str:
    if parts.port:
        return parts.geturl()
    return parts._replace(netloc=f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}").geturl()
