"""ETags for what can be edited by two people at once: an edit names the version it read, and a lost update is 412."""

from __future__ import annotations

from quart import request

from homeroom.store import Refused


def etag(version: int) -> dict[str, str]:
    """The header that tells a version."""
    return {"ETag": f'"{version}"'}


def expected_version() -> int | None:
    """The version that `If-Match` names; None for `*`.

    Raises Refused: 428 without the header, 412 when it is no ETag of ours.
    """
    given = request.headers.get("If-Match")
    if given is None:
        raise Refused(428, "precondition-required", "Send If-Match with the ETag of what you have read.")
    if given.strip() == "*":
        return None
    text = given.strip().removeprefix("W/").strip('"')
    if not text.isdecimal():
        raise changed()
    return int(text)


def changed() -> Refused:
    """The refusal of an edit to something that has changed since it was read."""
    return Refused(412, "changed-meanwhile", "Somebody has changed this meanwhile; read it again and repeat your edit.")
