"""What an administrator reads when something about Skyward is wrong."""

from __future__ import annotations

from homeroom import Finding, SourceError


def sign_in_refused(what: str) -> Finding:
    """Key and secret were not taken; `what` says where they are found."""
    return Finding(
        problem="Skyward does not accept our key and secret.",
        fix=f"Copy {what} once more, and see that token_url is the one for this district.",
    )


def may_not_read(what: str) -> Finding:
    """Something that is needed cannot be read at all."""
    return Finding(
        problem=f"Skyward does not let us read {what}.",
        fix="Ask the district's Skyward administrator to grant our API user read access to it.",
    )


def unreachable(exc: SourceError) -> Finding:
    """Skyward did not give an answer that could be used."""
    text = str(exc)
    return Finding(
        problem=f"{text[:1].upper()}{text[1:]}.", fix="Check base_url and token_url, or try again in a few minutes."
    )
