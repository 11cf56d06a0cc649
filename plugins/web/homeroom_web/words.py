"""The pages' words in the languages that there are: English in the templates, the others in `locale/*.po`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from babel import Locale, negotiate_locale
from babel.messages.pofile import read_po

FOLDER = Path(__file__).parent / "locale"
ENGLISH = "en"


class Words:
    """One language: its texts, its name and which way it runs."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self.direction = Locale.parse(language).character_order
        self._texts = texts

    @property
    def dir(self) -> str:
        """For HTML's attribute `dir`."""
        return "rtl" if self.direction == "right-to-left" else "ltr"

    def say(self, text: str, **values: object) -> str:
        """`text` in this language, with `{name}` filled in; a template escapes it like anything else."""
        said = self._texts.get(text, text)
        return said.format(**values) if values else said


@functools.cache
def languages() -> Mapping[str, Words]:
    """Every language that there is, by its code."""
    found = {ENGLISH: Words(ENGLISH, {})}
    for file in sorted(FOLDER.glob("*.po")):
        with file.open("rb") as opened:
            texts = {str(one.id): str(one.string) for one in read_po(opened) if one.id and one.string}
        found[file.stem] = Words(file.stem, texts)
    return found


def words_for(accepted: list[str]) -> Words:
    """The language that a browser likes best among those that there are; English when it likes none."""
    known = languages()
    best = negotiate_locale([one.replace("-", "_") for one in accepted], list(known))
    return known[best or ENGLISH]


def to_say(text: str) -> str:
    """`text` as it is: it is said later, and belongs into every catalogue."""
    return text
