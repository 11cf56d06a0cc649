"""What was sent to oneself, and how one wants to be told."""

from __future__ import annotations

from typing import Any

from babel import Locale
from quart import Blueprint, Response, request

from homeroom_web.asking import link, tried
from homeroom_web.forms import chosen, field, filled
from homeroom_web.pages import Pages, go, language
from homeroom_web.visitors import Failed, Visitor
from homeroom_web.words import to_say

_PAGE = 20
OUTCOMES = {
    "delivered": to_say("It arrived."),
    "accepted": to_say("It was sent; whether it arrived is not known."),
    "failed": to_say("It did not arrive."),
}
NOT_KNOWN = to_say("Whether it arrived is not known yet.")
CHANNELS = {"sms": to_say("Text message"), "email": to_say("E-mail")}


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/my-messages` and its preferences."""

    @blueprint.get("/my-messages")
    @pages.for_visitors
    async def my_messages(visitor: Visitor) -> Response:
        found = await visitor.get(link("/notifications/mine", {"tried": "true", "limit": _PAGE, **chosen("cursor")}))
        for one in found["items"]:
            one["outcome"] = OUTCOMES.get(one["state"], NOT_KNOWN)
        more = found["next"] and link("/my-messages", {"cursor": found["next"]})
        values = {"items": found["items"], "more": more, "channels": CHANNELS}
        return pages.render("family/messages.html", visitor=visitor, **values)

    @blueprint.get("/my-messages/preferences")
    @pages.for_visitors
    async def my_preferences(visitor: Visitor) -> Response:
        return await _preferences(pages, visitor)

    @blueprint.post("/my-messages/preferences")
    @pages.for_visitors
    async def save_my_preferences(visitor: Visitor) -> Response:
        form = await request.form
        chosen = [one for one in dict.fromkeys(form.getlist("channels")) if one]
        wish = {"language": await field("language") or None, "channels": chosen}
        if refusal := await tried(visitor.send("PUT", "/notifications/preferences", wish)):
            return await _preferences(pages, visitor, refusal)
        return go("/my-messages/preferences?kept=1")

    @blueprint.post("/my-messages/consent")
    @pages.for_visitors
    async def save_my_consent(visitor: Visitor) -> Response:
        said = await filled(("contact_id", "channel", "state"))
        if refusal := await tried(visitor.send("PUT", "/notifications/consent", said)):
            return await _preferences(pages, visitor, refusal)
        return go("/my-messages/preferences?kept=1")


def _name(code: str) -> Any:
    """A language's own name, with its English one where the own is not known."""
    try:
        return Locale.parse(code, sep="-").get_display_name(code.replace("-", "_")) or code
    except ValueError:  # among them babel's UnknownLocaleError
        return Locale.parse(language().language).languages.get(code, code)


async def _preferences(pages: Pages, visitor: Visitor, refusal: Failed | None = None) -> Response:
    found = await visitor.get("/notifications/preferences")
    return pages.render(
        "family/preferences.html",
        visitor=visitor,
        found=found,
        names={one: _name(one) for one in found["offered_languages"]},
        channels=CHANNELS,
        kept="kept" in request.args,
        refusal=refusal,
    )
