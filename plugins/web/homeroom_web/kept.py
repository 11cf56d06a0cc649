"""A form that was sent when its session had ended: it travels through the sign-in and is shown before it is sent."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from werkzeug.datastructures import MultiDict

from homeroom_web.words import to_say

_FIELD, _FILE = "kept.", "kept_file."
_SECRET = re.compile(r"^setting\.|password|secret|token|(^|[._])pin$")
_UNSEEN = {"client_id", "id", "note_was", "owner", "receipt", "scan", "session", "version"}
_LABELS: Mapping[str, str] = {
    "begins_on": to_say("From day"),
    "class": to_say("Class"),
    "day": to_say("Day"),
    "ends_on": to_say("To day"),
    "first_day": to_say("First day"),
    "from": to_say("First day"),
    "kind": to_say("Kind"),
    "last_day": to_say("Last day, if there are more"),
    "note": to_say("Note"),
    "period": to_say("Period"),
    "reason": to_say("Reason"),
    "school": to_say("School"),
    "school_id": to_say("School"),
    "state": to_say("State"),
    "text": to_say("What it says"),
    "title": to_say("Name of the rule"),
    "to": to_say("Last day"),
    "until": to_say("To day"),
    "why": to_say("Why"),
    "wish": to_say("What you would like to see; leave it empty for everything"),
}

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Where a form goes, every value that was filled in, the names of chosen files by field, and a key for its owner.

    What is in a file does not travel: no page can hold it, so it is chosen again.
    """

    path: str
    fields: Pairs
    files: Pairs = ()
    owner: str = ""

    @classmethod
    def carried(cls, form: MultiDict[str, str]) -> Kept:
        """The form that travels along with another one; its path is empty when there is none."""
        return cls(
            path=form.get("kept_path", ""),
            fields=_below(_FIELD, form),
            files=_below(_FILE, form),
            owner=form.get("kept_owner", ""),
        )

    @property
    def hidden(self) -> Pairs:
        """The fields by which it travels through the form to sign in with."""
        fields = [(f"{_FIELD}{name}", value) for name, value in self.fields]
        files = [(f"{_FILE}{name}", value) for name, value in self.files]
        return [("kept_path", self.path), ("kept_owner", self.owner), *fields, *files]

    @property
    def shown(self) -> Pairs:
        """What was filled in, to be read before it is sent: the label, empty where none is known, and the value."""
        return [(_LABELS.get(name, ""), value) for name, value in self.fields if value and name not in _UNSEEN]

    @property
    def chosen(self) -> Mapping[str, Sequence[str]]:
        """The names of the files that have to be chosen again, by field."""
        found: dict[str, list[str]] = {}
        for field, name in self.files:
            found.setdefault(field, []).append(name)
        return found

    def is_of(self, person: str) -> bool:
        """Whether this person filled it in; a form of which nobody knows whose it is is nobody's."""
        return bool(self.owner) and hmac.compare_digest(self.owner.encode(), person.encode())


def may_hold_secrets(fields: Pairs) -> bool:
    """Whether a password or the like is among them: such a form is neither kept nor written into a page."""
    return any(_SECRET.search(name) for name, _ in fields)


def _below(prefix: str, form: MultiDict[str, str]) -> Pairs:
    return [(name[len(prefix) :], value) for name, value in form.items(multi=True) if name.startswith(prefix)]
