"""How an administrator's pages show moments, values and the words of the interface."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from quart import request

from homeroom_web.pages import Pages, language
from homeroom_web.words import to_say

NOTHING = "\N{EN DASH}"
NAMES = {
    "pulling": to_say("reading"),
    "applying": to_say("writing"),
    "held": to_say("held"),
    "done": to_say("done"),
    "failed": to_say("failed"),
    "added": to_say("added"),
    "changed": to_say("changed"),
    "ended": to_say("ended"),
    "org": to_say("School or district"),
    "academicSession": to_say("Term or year"),
    "course": to_say("Course"),
    "class": to_say("Class"),
    "user": to_say("Person"),
    "enrollment": to_say("Enrolment"),
    "closed": to_say("works"),
    "open": to_say("not asked for now"),
    "half_open": to_say("being tried again"),
    "default": to_say("as delivered"),
    "file": to_say("from the file"),
    "saved": to_say("saved on a page"),
    "environment": to_say("from the environment"),
    "differs": to_say("changed in the SIS"),
    "settled": to_say("settled"),
    "gone": to_say("settled itself"),
    "ours": to_say("what stands here"),
    "theirs": to_say("what the SIS has"),
    "value": to_say("another value"),
}
"""The interface's words for people; one that is not among them is shown as it is."""


def helpers(pages: Pages) -> dict[str, Any]:
    """What the templates call: `when` a moment, `text` any value, `named` a word of the interface."""

    def when(moment: str | None) -> str:
        return pages.moment(moment) if moment else NOTHING

    return {"when": when, "text": text, "named": named}


def named(word: str) -> str:
    """A word of the interface in the browser's language."""
    known = NAMES.get(word)
    return language().say(known) if known is not None else word


def text(value: Any) -> str:
    """Any value of a row, in one line."""
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cursor() -> dict[str, str]:
    """Where in a list the page is that was asked for, as a query's part."""
    given = request.args.get("cursor", "")
    return {"cursor": given} if given else {}


def onward(found: dict[str, Any], **more: str) -> str | None:
    """The query of a list's next page, or None."""
    if not found["next"]:
        return None
    return urlencode({"cursor": found["next"], **{key: value for key, value in more.items() if value}})
