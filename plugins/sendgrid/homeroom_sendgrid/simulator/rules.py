"""What SendGrid's mail/send refuses, as far as its documentation says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MOST = 1000
"""Personalizations of one request, and recipients of all of them."""

_ADDRESS = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;.]+")
_LARGEST_ARGS = 10_000  # bytes of custom arguments
_MOST_CATEGORIES = 10
_ORDER = ("text/plain", "text/html")

Refusal = tuple[str, str | None]
"""A sentence and the field that it is about."""


def first_refusal(mail: Any) -> Refusal | None:
    """The first thing that is wrong with a request, or None for a mail that is taken."""
    if not isinstance(mail, Mapping):
        return "Bad Request", None
    return next(_refusals(mail), None)


def recipients(personalization: Mapping[str, Any]) -> list[str]:
    """Every address that one personalization goes to."""
    lists = [personalization.get(key) or [] for key in ("to", "cc", "bcc")]
    return [str(one.get("email", "")) for people in lists for one in people if isinstance(one, Mapping)]


def _refusals(mail: Mapping[str, Any]) -> Iterator[Refusal]:
    personalizations = mail.get("personalizations")
    if not isinstance(personalizations, list) or not 1 <= len(personalizations) <= MOST:
        yield f"The personalizations field is required and must have at least one, at most {MOST}.", "personalizations"
        return
    for number, one in enumerate(personalizations):
        yield from _in_personalization(one, f"personalizations.{number}")
    everybody = [address.casefold() for one in personalizations for address in recipients(one)]
    if len(everybody) > MOST:
        yield f"The number of recipients must not exceed {MOST}.", "personalizations"
    if len(everybody) != len(set(everybody)):
        yield "Each email address in the personalization block should be unique.", "personalizations"
    yield from _in_sender(mail)
    yield from _in_content(mail)
    yield from _in_extras(mail)


def _in_personalization(one: Any, place: str) -> Iterator[Refusal]:
    to = one.get("to") if isinstance(one, Mapping) else None
    if not isinstance(to, list) or not to:
        yield "The to array is required for all personalization objects.", f"{place}.to"
        return
    for number, person in enumerate(to):
        if not _is_address(person):
            yield "Does not contain a valid address.", f"{place}.to.{number}.email"
    args = one.get("custom_args", {})
    if not isinstance(args, Mapping) or not all(isinstance(value, str) for value in args.values()):
        yield "The custom_args values must be strings.", f"{place}.custom_args"
    elif sum(len(str(key).encode()) + len(value.encode()) for key, value in args.items()) > _LARGEST_ARGS:
        yield "The custom_args must not exceed 10000 bytes.", f"{place}.custom_args"


def _in_sender(mail: Mapping[str, Any]) -> Iterator[Refusal]:
    if not _is_address(mail.get("from")):
        yield "The from email does not contain a valid address.", "from.email"
    if "reply_to" in mail and not _is_address(mail["reply_to"]):
        yield "The reply_to email does not contain a valid address.", "reply_to.email"


def _in_content(mail: Mapping[str, Any]) -> Iterator[Refusal]:
    if not isinstance(mail.get("subject"), str) or not mail["subject"]:
        yield "The subject is required. You can get around this requirement if you use a template.", "subject"
    content = mail.get("content")
    if not isinstance(content, list) or not content or not all(isinstance(one, Mapping) for one in content):
        yield "Unless a valid template_id is provided, the content parameter is required.", "content"
        return
    kinds = [str(one.get("type")) for one in content]
    if kinds != sorted(kinds, key=lambda kind: _ORDER.index(kind) if kind in _ORDER else len(_ORDER)):
        yield "If present, text/plain and text/html may only be provided once, text/plain first.", "content"
    for number, one in enumerate(content):
        if not isinstance(one.get("value"), str) or not one["value"]:
            yield "The content value must be a string at least one character in length.", f"content.{number}.value"


def _in_extras(mail: Mapping[str, Any]) -> Iterator[Refusal]:
    categories = mail.get("categories", [])
    if len(categories) > _MOST_CATEGORIES or len(categories) != len(set(categories)):
        yield "There is a limit of 10 unique categories.", "categories"
    if "asm" in mail and not isinstance(mail["asm"].get("group_id"), int):
        yield "The asm.group_id must be an integer.", "asm.group_id"


def _is_address(person: Any) -> bool:
    return isinstance(person, Mapping) and bool(_ADDRESS.fullmatch(str(person.get("email", ""))))
