"""Whether SendGrid has signed a call of the event webhook: ECDSA with P-256 and SHA-256 over timestamp and raw body.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"


def public_key(text: str) -> ec.EllipticCurvePublicKey:
    """The key that SendGrid shows as base64 of DER; lines of a PEM file around it do no harm. Raises ValueError."""
    encoded = "".join(line.strip() for line in text.splitlines() if not line.startswith("-----"))
    try:
        key = load_der_public_key(base64.b64decode(encoded, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("this is no verification key: copy it whole from the event webhook's security features")


def is_signed(keys: Iterable[ec.EllipticCurvePublicKey], *, signature: str, timestamp: str, body: bytes) -> bool:
    """Whether one of `keys` has signed this body at this time, as the two headers say.

    The signature's base64 is read as forgivingly as SendGrid's own library does, so that both accept the same calls.
    """
    try:
        decoded = base64.b64decode(signature)
        signed = timestamp.encode() + body
    except (binascii.Error, ValueError):
        return False
    return any(_verifies(key, decoded, signed) for key in keys)


def _verifies(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
