"""What a message says: Jinja texts, one set for each language, which a district or school may replace part by part.

A text that an administrator has written runs in a sandbox, sees only what the message is about, and is tried before it
is kept. Whatever is missing in a language is said in English.
"""

from __future__ import annotations

import difflib
import html
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal
from zoneinfo import ZoneInfo

import structlog
from babel import Locale, localedata
from babel.core import UnknownLocaleError
from babel.dates import format_date, format_skeleton, format_time
from jinja2 import Template, TemplateError, TemplateSyntaxError

from homeroom.notify.sandbox import Sandbox, filled
from homeroom.store import Connection
from homeroom.store import models as m

log = structlog.get_logger("homeroom.notify")

Part = Literal["sms", "subject", "email"]
PARTS: tuple[Part, ...] = ("sms", "subject", "email")
FALLBACK = "en"
LONGEST: Mapping[str, int] = {"sms": 1600, "subject": 200, "email": 10_000}
"""Characters of each part at most; 1,600 is what Twilio takes."""

_RIGHT_TO_LEFT = "right-to-left"
_UNSENDABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # controls, and halves of characters
_MISTAKES = (
    *(TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError),
    *(MemoryError, RecursionError, SyntaxError),  # of what Python makes of a text that nests too deeply
)
_MOST_NUMBER = 1_000_000
SAMPLE: Mapping[str, Any] = {
    "student": "Maya Torres",
    "school": "Lincoln Middle School",
    "phone": "+1 555 0100",
    "day": date(2026, 9, 14),
    "today": True,
    "whole_day": True,
    "classes": ["Algebra I"],
    "time": "8:05",
    "minutes": 7,
    "count": 3,
    "share": 10,
    "days": [date(2026, 9, 10), date(2026, 9, 11), date(2026, 9, 14)],
    "said": "absence",
    "now": "present",
    "name": "powerschool",
    "detail": "It does not answer.",
    "link": "https://homeroom.example/",
    "counts": {"delivered": 12, "unknown": 1},
    "problems": 1,
}
"""What every text may use, with values to try it with.

`day` and `days` are dates; `short` ("Sep 14") and `long` ("Monday, September 14, 2026") write them in the language.
A number is put into words by `count|plural(one='# day', other='# days')`, with the forms that the language has.
"""

_TURNS: tuple[Mapping[str, Any], ...] = (
    {},
    {"today": False},
    {"whole_day": False},
    {"whole_day": False, "classes": ["Algebra I", "Biology"]},
    {"classes": []},
    {"minutes": None},
    {"minutes": 1},
    {"count": 1},
    {"count": 12},
    {"days": []},
    *({name: ""} for name in ("phone", "time", "detail", "link")),
    *({"now": now} for now in ("tardy", "excused", "absent", "")),
    {"counts": {}, "problems": 0},
)


class BadText(ValueError):
    """A text that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One part of one kind of message in one language; `version` 0 is the built-in one."""

    kind: str
    language: str
    part: Part
    text: str
    version: int = 0
    org_id: str | None = None


class Wording:
    """The texts that hold at the schools of a district, as they are now."""

    def __init__(self, connection: Connection) -> None:
        table = m.NotificationTemplate
        self._own: dict[tuple[str, str, str, str], m.NotificationTemplate] = {
            (row.org_id, row.kind, row.language, row.part): row for row in connection.all(table.select())
        }
        self._failed: set[tuple[str | None, str, str, str]] = set()

    def text(self, kind: str, language: str, part: Part, org_id: str = "") -> Text | None:
        """The text of a school: its own, else the district's, else the built-in one; None when there is none.

        Where a language has none as it is spoken in one region ("es-MX"), that of the language itself holds.
        """
        return next(self._texts(kind, language, part, org_id), None)

    def say(
        self, kind: str, language: str, parts: Iterable[Part], facts: Mapping[str, Any], org_id: str = ""
    ) -> tuple[dict[str, str], str]:
        """What the parts say, and the language in which they do: English where a part is missing in the one wanted.

        A text of the district's that fails on these facts gives way to the built-in one, which is cut where it comes
        out too long. Raises BadText when the facts lack something that the built-in one names.
        """
        wanted = tuple(parts)
        for tongue in (language, FALLBACK):
            found = {part: self._said(kind, tongue, part, facts, org_id) for part in wanted}
            said: dict[str, str] = {part: one[0] for part, one in found.items() if one is not None}
            if len(said) == len(found):
                return said, next((one[1] for one in found.values() if one is not None), tongue)
        raise BadText(f"there is no text of the kind {kind}")

    def _said(
        self, kind: str, language: str, part: Part, facts: Mapping[str, Any], org_id: str
    ) -> tuple[str, str] | None:
        for text in self._texts(kind, language, part, org_id):
            if text.version == 0:
                return _cut(_filled(text.text, text.language, facts, part), part), text.language
            try:
                return rendered(text.text, text.language, facts, part), text.language
            except BadText:
                place = (text.org_id, kind, text.language, part)
                if place not in self._failed:
                    self._failed.add(place)
                    log.warning("text_failed", org_id=text.org_id, kind=kind, language=text.language, part=part)
        return None

    def _texts(self, kind: str, language: str, part: Part, org_id: str) -> Iterator[Text]:
        """The texts that could be used, the first one first."""
        for tongue in dict.fromkeys((language, _without_region(language))):
            for owner in dict.fromkeys((org_id, "")):
                row = self._own.get((owner, kind, tongue, part))
                if row is not None:
                    yield Text(
                        kind=kind, language=tongue, part=part, text=row.text, version=row.version, org_id=row.org_id
                    )
            built_in = _built_in(tongue).get(kind, {}).get(part)
            if built_in is not None:
                yield Text(kind=kind, language=tongue, part=part, text=built_in)


def parts_for(channels: Iterable[str]) -> tuple[Part, ...]:
    """The parts that these channels need: an e-mail is written to "email", everything else reads as a text does."""
    wanted = set(channels)
    return (*(("subject", "email") if "email" in wanted else ()), *(("sms",) if wanted - {"email"} else ()))


def rendered(text: str, language: str, facts: Mapping[str, Any], part: Part) -> str:
    """`text` with its facts. Raises BadText: a mistake in it, a fact that there is not, or too long a result."""
    result = _filled(text, language, facts, part)
    if len(result) > LONGEST[part]:
        raise BadText(f"it comes to {len(result)} characters; {LONGEST[part]} is the most")
    if not result:
        raise BadText("it says nothing")
    return result


def check(text: str, language: str, part: Part) -> str:
    """What the text says of SAMPLE. Raises BadText, also for what goes wrong only where facts are missing or others."""
    _, names = _read(text, language)
    for name in sorted(names - SAMPLE.keys()):
        meant = difflib.get_close_matches(name, SAMPLE, n=1)
        hint = f"; did you mean `{meant[0]}`?" if meant else f"; what there is: {', '.join(sorted(SAMPLE))}"
        raise BadText(f"there is no `{name}`{hint}")
    for turn in _TURNS:
        try:
            rendered(text, language, {**SAMPLE, **turn}, part)
        except BadText as exc:
            where = ", ".join(f"{name} is {value!r}" for name, value in turn.items())
            raise BadText(f"{exc}{f' (where {where})' if where else ''}") from None
    return rendered(text, language, SAMPLE, part)


def languages() -> list[str]:
    """The languages that have built-in texts."""
    found = (entry.name.removesuffix(".toml") for entry in files(__package__).joinpath("words").iterdir())
    return sorted(name for name in found if "." not in name and not name.startswith("_"))


@lru_cache(maxsize=256)
def direction(language: str) -> Literal["ltr", "rtl"]:
    """The direction in which a language is written."""
    return "rtl" if _locale(language).character_order == _RIGHT_TO_LEFT else "ltr"


def as_html(text: str, language: str) -> str:
    """An e-mail's text as HTML: paragraphs only, with the language and its direction."""
    paragraphs = "".join(
        f"<p>{html.escape(one).replace(chr(10), '<br>')}</p>" for one in text.split("\n\n") if one.strip()
    )
    return (
        f'<!doctype html><html lang="{html.escape(language)}" dir="{direction(language)}">'
        f'<head><meta charset="utf-8"></head><body>{paragraphs}</body></html>'
    )


def clock(moment: datetime, zone: ZoneInfo, language: str) -> str:
    """A time of the day at the school, as the language writes it."""
    return _spaced(format_time(moment.astimezone(zone), format="short", locale=_locale(language)))


def _filled(text: str, language: str, facts: Mapping[str, Any], part: Part) -> str:
    template, names = _read(text, language)
    try:
        result = filled(
            template, {name: facts[name] for name in names & facts.keys()}, rtl=direction(language) == "rtl"
        )
    except _MISTAKES as exc:
        raise BadText(_what(exc)) from None
    # Composed letters are the ones that a text message can hold in one place.
    lines = _UNSENDABLE.sub(" ", unicodedata.normalize("NFC", result)).strip().splitlines()
    result = "\n".join(line.rstrip() for line in lines)
    return re.sub(r"\n{3,}", "\n\n", result) if part == "email" else " ".join(result.split())


def _cut(text: str, part: Part) -> str:
    return text if len(text) <= LONGEST[part] else f"{text[: LONGEST[part] - 3].rstrip()}..."


def _what(mistake: BaseException) -> str:
    if isinstance(mistake, TemplateSyntaxError):
        return f"line {mistake.lineno}: {mistake.message}"
    return str(mistake)[:200] if isinstance(mistake, TemplateError) else f"{type(mistake).__name__}: {mistake}"[:200]


def _without_region(language: str) -> str:
    return language.replace("_", "-").partition("-")[0].lower()


@lru_cache(maxsize=256)
def _locale(language: str) -> Locale:
    """How a language writes dates; as in the United States, where nothing else is said and its people have a way."""
    try:
        locale = Locale.parse(language.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        return Locale.parse(FALLBACK)
    here = f"{locale}_US"
    return Locale.parse(here) if locale.territory is None and localedata.exists(here) else locale


@lru_cache(maxsize=256)
def _sandbox(language: str) -> Sandbox:
    locale = _locale(language)

    def plural(number: Any, **forms: str) -> str:
        if not isinstance(number, int) or abs(number) > _MOST_NUMBER:
            raise TypeError("`plural` is for a number")
        form = locale.plural_form(number)
        return (forms[form] if form in forms else forms["other"]).replace("#", str(number))

    return Sandbox(
        {
            "long": _dates("long", lru_cache(512)(lambda day: format_date(day, format="full", locale=locale))),
            "short": _dates("short", lru_cache(512)(lambda day: format_skeleton("MMMd", day, locale=locale))),
            "plural": plural,
        }
    )


def _dates(name: str, written: Callable[[date], str]) -> Callable[[Any], str | list[str]]:
    """A filter that writes a day, or each of several."""

    def write(value: Any) -> str | list[str]:
        if isinstance(value, list | tuple):
            return [_spaced(written(one)) for one in value]
        if not isinstance(value, date):
            raise TypeError(f"`{name}` is for a day")
        return _spaced(written(value))

    return write


def _spaced(text: str) -> str:
    """With plain spaces: one narrow space would make a whole text message UCS-2."""
    return text.replace("\u202f", " ").replace("\xa0", " ")


@lru_cache(maxsize=1024)
def _read(text: str, language: str) -> tuple[Template, frozenset[str]]:
    try:
        return _sandbox(language).read(text)
    except _MISTAKES as exc:
        raise BadText(_what(exc)) from None


@lru_cache(maxsize=256)
def _built_in(language: str) -> Mapping[str, Mapping[str, str]]:
    entry = files(__package__).joinpath("words", f"{language}.toml")
    if not language.replace("-", "").isalnum() or not entry.is_file():
        return {}
    return tomllib.loads(entry.read_text(encoding="utf-8"))
