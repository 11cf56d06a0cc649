"""Three-way comparison of single rows: which value each column is to hold, and which rows stay as they are here."""

from __future__ import annotations

from collections.abc import Mapping as Facts
from typing import Any

from homeroom.records import Conflict
from homeroom.sync.changes import Change, Place
from homeroom.sync.content import canonical
from homeroom.sync.links import Subject
from homeroom.sync.mapping import Row
from homeroom.sync.policy import Clash, as_text, compare
from homeroom.sync.remembered import ENDED, PERSON

_TELLING = ("given_name", "family_name", "birth_date", "identifier")


def merged(place: Place, subject: Subject, change: Change, name: str, sides: tuple[Any, Any]) -> Any:
    """The value that a column is to hold, out of what stands here and what the source says of the fact `name`."""
    ours, theirs = sides
    base = _base(place, subject, name, ours)
    edited_at = subject.known.edited.get(name)
    verdict = compare(base, ours, theirs)
    if verdict != "ours" and edited_at is not None:
        change.agreed.add(name)
    if verdict != "clash":
        return ours if verdict == "ours" else theirs
    versions = (_by_source(place, name, base), _by_source(place, name, ours), _by_source(place, name, theirs))
    texts = [as_text(version) for version in versions]
    about: dict[str, Any] = {"noun": place.noun, "sourced_id": subject.sourced_id, "row_id": subject.row_id}
    told = Conflict(**about, field=name, base=texts[0], ours=texts[1], theirs=texts[2])
    clash = place.judge.decide(told, versions, modified=subject.modified, edited_at=edited_at)
    change.clashes.append(clash)
    if clash.chosen != "theirs":
        change.agreed.discard(name)
        return clash.value if clash.chosen == "value" else ours
    return theirs


def waits(place: Place, subject: Subject, row: Row, decided: list[Clash]) -> list[Clash] | None:
    """Why a row stays as it is here: it was ended here, or its id may stand for somebody else; None: it does not.

    When it is decided that the id is the same person's, `decided` gains that.
    """
    if row.ended and ENDED in subject.known.edited:
        return []
    before = subject.said or {}
    if place.noun != "user" or not is_somebody_else(before, subject.facts):
        return None
    base, theirs = (canonical({name: facts.get(name) for name in _TELLING}) for facts in (before, subject.facts))
    held = subject.known.held.get(PERSON)
    if held is not None and not held.is_open and held.theirs == theirs:
        return None if held.chosen == "theirs" else []
    ours, other = (f"{facts.get('given_name')} {facts.get('family_name')}" for facts in (before, subject.facts))
    about: dict[str, Any] = {"noun": "user", "sourced_id": subject.sourced_id, "row_id": subject.row_id}
    told = Conflict(**about, field=PERSON, base=ours, ours=ours, theirs=other)
    clash = place.judge.decide(told, (base, base, theirs), rule="ask")
    if clash.chosen == "theirs":
        decided.append(clash)
        return None
    return [clash]


def is_somebody_else(before: Facts[str, Any], now: Facts[str, Any]) -> bool:
    """Whether an id seems to have been given to another person: all names differ, and the number or birth date too."""
    if any(before.get(name) == now.get(name) for name in ("given_name", "family_name")):
        return False
    both = [(before.get(name), now.get(name)) for name in ("birth_date", "identifier")]
    return any(one is not None and other is not None and one != other for one, other in both)


def _base(place: Place, subject: Subject, name: str, ours: Any) -> Any:
    """What both sides last agreed on, as a column holds it; `ours` where nobody can tell any more."""
    if subject.base is None:
        return ours
    reference = next((one for one in place.mapping.references if one.name == name), None)
    if reference is None:
        return subject.base.get(name, place.mapping.plain[name])
    told = subject.base.get(name)
    if told is None:
        return None
    unknown = None if name in subject.known.edited else ours
    return place.ids[reference.noun].get(told, unknown)


def _by_source(place: Place, name: str, value: Any) -> Any:
    """A value as the source writes it: another record by the source's id, where it has one."""
    reference = next((one for one in place.mapping.references if one.name == name), None)
    if reference is None or value is None:
        return value
    by_row = {row_id: sourced_id for sourced_id, row_id in place.ids[reference.noun].items()}
    return by_row.get(value) or place.chosen_here.get(value, value)
