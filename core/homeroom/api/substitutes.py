"""A substitute's link: made and ended by the class's staff, and exchanged for a sign-in by whoever holds it."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints
from quart import Blueprint, request

from homeroom.api.auth import Tokens, address, door
from homeroom.api.operation import PUBLIC, Answer, Body, Call, Target, operation
from homeroom.auth import sign_in
from homeroom.auth import substitutes as units
from homeroom.auth.tokens import secret_token
from homeroom.store import Refused, Transaction, new_id

substitutes = Blueprint("substitutes", __name__, url_prefix="/api/v1")


class NewSubstitute(Body):
    """Who stands in, as the journal will name them, and on which school day (today when left out)."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)] = Field(
        examples=["Ms Rivera"]
    )
    day: date | None = None


class Substitute(Answer):
    """A link for one class on one day, without its secret. `user_id` is under whom the journal enters what is done."""

    id: str
    user_id: str
    name: str = Field(examples=["Ms Rivera (substitute for Biology)"])
    class_id: str
    day: date
    created_by: str | None = None
    created_at: AwareDatetime
    ends_at: AwareDatetime
    revoked_at: AwareDatetime | None = None


class SubstituteMade(Substitute):
    """A new link. `token` is shown only here."""

    token: str


class SubstituteList(Answer):
    """A class's links for today and later days."""

    items: list[Substitute]
    next: str | None = None


class ByLink(Body):
    """The secret of a substitute's link."""

    token: str = Field(min_length=1, max_length=200)


@substitutes.post("/classes/<class_id>/substitutes")
@operation(
    "substitute.manage", of=Target("class_id"), body=NewSubstitute, answers={201: SubstituteMade}, problems=(409,)
)
async def invite_substitute(call: Call, class_id: str, body: NewSubstitute) -> tuple[SubstituteMade, int]:
    """Make a link by which somebody opens this class's roll and takes it on one day, and may nothing else."""
    made = {"link_id": new_id(), "user_id": new_id(), "token": secret_token()}
    zone = call.district.settings.attendance.time_zone

    def unit(tx: Transaction) -> units.Standing:
        return units.make(tx, class_id=class_id, name=body.name, day=body.day, zone=zone, **made)

    standing = await call.write(unit)
    return SubstituteMade(**Substitute.model_validate(standing).model_dump(), token=made["token"]), 201


@substitutes.get("/classes/<class_id>/substitutes")
@operation("substitute.manage", of=Target("class_id"), answers=SubstituteList)
async def list_substitutes(call: Call, class_id: str) -> SubstituteList:
    """The links of a class for today and later days, ended ones too."""
    today = call.today()
    found = await call.read(lambda c: units.of_class(c, class_id, today))
    return SubstituteList(items=[Substitute.model_validate(one) for one in found])


@substitutes.delete("/classes/<class_id>/substitutes/<link_id>")
@operation("substitute.manage", of=Target("class_id"), answers={204: None})
async def revoke_substitute(call: Call, class_id: str, link_id: str) -> tuple[None, int]:
    """End a link at once, with every sign-in that was made by it."""
    for session_id in await call.write(lambda tx: units.revoke(tx, class_id, link_id)):
        call.district.authenticator.end(session_id)
    return None, 204


@substitutes.post("/auth/substitute")
@operation(PUBLIC, body=ByLink, answers=Tokens, problems=(403, 429))
async def come_in(call: Call, body: ByLink) -> Tokens:
    """Sign in by a substitute's link, for that class and until that school day ends."""
    limiter, client = call.district.limiter, address(call)
    await sign_in.guard(limiter, client)
    session_id = new_id()
    refresh_token = call.district.authenticator.refresh.make(session_id)
    device = request.headers.get("User-Agent", "")

    def unit(tx: Transaction) -> str:
        return units.come_in(tx, token=body.token, session_id=session_id, refresh_token=refresh_token, device=device)

    try:
        user_id = await call.write(unit)
    except Refused:
        await sign_in.count_failure(limiter, client)
        raise
    return Tokens.model_validate(sign_in.pair(door(call), user_id, session_id, refresh_token))
