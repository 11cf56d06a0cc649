"""Why a run failed, in words for an administrator: what happened in one sentence, what to do in the next."""

from __future__ import annotations

from homeroom.records import SourceError


def told(exc: Exception, source: str, run_id: str) -> str:
    """The error's own words, and its fix; where the connector names none, what always helps."""
    happened = sentence(str(exc))
    fix = exc.fix if isinstance(exc, SourceError) else None
    if fix is None and ". " in happened:  # the words hold what to do themselves
        return happened
    return f"{happened} {fix or _usual(exc, source, run_id)}"


def sentence(words: str) -> str:
    """`words` as a sentence; what begins with a path or a file's name keeps its letters."""
    first, _, _ = words.partition(" ")
    began = words[:1].upper() + words[1:] if first.isalpha() else words
    return began if began.endswith((".", "!", "?")) else f"{began}."


def _usual(exc: Exception, source: str, run_id: str) -> str:
    if isinstance(exc, SourceError) and not exc.retry:
        return f"See what to put right with: homeroom sync check {source}"
    return f"Try again later with: homeroom sync resume {run_id}"
