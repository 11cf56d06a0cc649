"""What a person is called: the preferred name for everyday use, the legal one for official papers, and sort keys."""

from __future__ import annotations

import re
import unicodedata
from typing import Protocol

# Accents and vowel points that people leave out when they type (not the vowel signs of Indic scripts).
_MARKS = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]")
# Letters that Unicode does not take apart, and the look-alikes of the apostrophe.
_PLAIN = str.maketrans(
    {"đ": "d", "ø": "o", "ł": "l", "æ": "ae", "œ": "oe", "\u0131": "i", "\u2019": "'", "\u02bb": "'", "\u02bc": "'"}
)


class Named(Protocol):
    """Whatever holds the five parts of a name: a row of the roster or a record of a source."""

    @property
    def given_name(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def family_name(self) -> str: ...  # noqa: D102
    @property
    def preferred_given_name(self) -> str | None: ...  # noqa: D102
    @property
    def preferred_family_name(self) -> str | None: ...  # noqa: D102


def display_name(person: Named) -> str:
    """What the person wants to be called; the legal name where no other is known. Single names stay single."""
    given = person.preferred_given_name or person.given_name
    family = person.preferred_family_name or person.family_name
    return f"{given} {family}".strip()


def legal_name(person: Named, middle_name: str | None = None) -> str:
    """The name for official papers."""
    return " ".join(part for part in (person.given_name, middle_name, person.family_name) if part)


def sort_name(given: str, family: str, preferred_given: str | None, preferred_family: str | None) -> str:
    """The key that lists are sorted by: family then given name as displayed, folded.

    Where the legal name differs it follows after a bar, so that the office finds a person by either.
    """
    shown = fold(f"{preferred_family or family} {preferred_given or given}")
    legal = fold(f"{family} {given}") if preferred_family or preferred_given else shown
    return shown if shown == legal else f"{shown} | {legal}"


def fold(text: str) -> str:
    """`text` without case, and without accents where they are not letters of their own, for comparing."""
    if text.isascii():
        return " ".join(text.casefold().split())
    bare = _MARKS.sub("", unicodedata.normalize("NFKD", text))
    folded = unicodedata.normalize("NFKC", bare).casefold().translate(_PLAIN)
    return " ".join(folded.split())
