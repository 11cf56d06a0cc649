"""Who is told, in which language and where; and who is not, and why.

What the core knows decides here: custody, access, dates, consent, addresses. Plugins (`authorize`) can only take away
from it. A custody block beats everything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, NamedTuple

import orjson

from homeroom.attendance.records import day_text
from homeroom.notify import consent
from homeroom.notify.addresses import kinds_for, normal
from homeroom.notify.settings import Audience
from homeroom.roster.names import display_name
from homeroom.settings import NotifySettings
from homeroom.store import Connection
from homeroom.store.bulk import select_in

REASONS: Mapping[str, str] = {
    "blocked": "a court order or the like keeps this guardian from the student's records",
    "no_access": "the school has not given this guardian access to the student's records",
    "not_wanted": "this guardian is not to be told of attendance",
    "not_now": "the guardianship has not begun, or has ended",
    "left": "this person has left, or is switched off",
    "no_address": "no address is known on any of the channels",
    "bad_address": "the address that is known is none: it cannot be sent to",
    "opted_out": "nothing more is wanted at this address",
    "unreachable": "the address does not exist",
    "no_consent": "nobody has agreed to messages on this channel",
    "same_address": "another person who is told of the same has the same address",
    "blocked_address": "a person who is kept from the student's records has the same address",
}
"""Why somebody is not told, for people to read."""

_TELLING = ("blocked_address", "opted_out", "no_consent", "unreachable", "bad_address")
"""Of several reasons, the first of these is the one that staff can do most with."""

_GUARDIANS = """
SELECT student_id, guardian_id, blocked, data_access, notify, begins_on, ends_on FROM guardianships
WHERE NOT ended AND student_id IN ({}) ORDER BY student_id, guardian_id
"""
_PEOPLE = """
SELECT id, given_name, family_name, preferred_given_name, preferred_family_name, grades, enabled, ended
FROM users WHERE id IN ({})
"""
_TEACHERS = """
SELECT class_id, user_id FROM enrollments WHERE role = 'teacher' AND NOT ended
AND (begins_on IS NULL OR begins_on <= ?) AND (ends_on IS NULL OR ends_on > ?) AND class_id IN ({})
ORDER BY class_id, user_id
"""
_OFFICE = """
SELECT org_id, user_id FROM role_assignments WHERE role = 'school_admin'
AND (begins_on IS NULL OR begins_on <= ?) AND (ends_on IS NULL OR ends_on > ?) AND org_id IN ({}) ORDER BY user_id
"""
_DISTRICT = "SELECT DISTINCT user_id FROM role_assignments WHERE role = 'district_admin' ORDER BY user_id"
_CONTACTS = """
SELECT id, user_id, kind, value, begins_on, ends_on FROM contacts WHERE user_id IN ({}) ORDER BY user_id, kind, id
"""
_WISHES = "SELECT user_id, language, channels FROM notification_preferences WHERE user_id IN ({})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One address of a person on one channel, in clear."""

    channel: str
    contact_id: str
    address: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One person who is meant. `ways` are tried in order; `refused` says in one word why there is none."""

    user_id: str
    audience: Audience
    language: str
    ways: tuple[Way, ...] = ()
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What messages need of somebody."""

    name: str = field(repr=False)
    grades: Sequence[str] = ()
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whom a message is for: these audiences of a student, of classes, or of a school ("" is the district)."""

    audience: Sequence[Audience]
    student_id: str | None
    class_ids: Sequence[str] = ()
    school_id: str = ""
    channels: Sequence[str] = ()
    purpose: str


class Book:
    """Everybody whom some messages could be for (and `also` these people), read at once: asking then costs no query."""

    def __init__(
        self,
        connection: Connection,
        settings: NotifySettings,
        wanted: Iterable[Wanted],
        today: date,
        *,
        also: Collection[str] = (),
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._today = today.isoformat()
        wanted = list(wanted)
        students = {one.student_id for one in wanted if one.student_id}
        self._guardians = self._guardians_of(students)  # whoever is asked: a block holds for each audience
        classes = {class_id for one in wanted if "teacher" in one.audience for class_id in one.class_ids}
        self._teachers = self._by(_TEACHERS, classes, dated=True)
        schools = {one.school_id for one in wanted if "office" in one.audience}
        self._office = self._by(_OFFICE, schools - {""}, dated=True)
        if "" in schools:
            self._office[""] = [row[0] for row in connection.sql(_DISTRICT)]
        meant = {
            *(students if _asks(wanted, "student") else ()),
            *also,
            *(row[0] for rows in self._guardians.values() for row in rows),
            *(user for users in (*self._teachers.values(), *self._office.values()) for user in users),
        }
        self.people = people_of(connection, meant | students)
        self._wishes = {row[0]: row[1:] for row in self._rows(_WISHES, meant)}
        self._addresses = self._read_addresses(meant)
        self._said: dict[str, consent.Said] = {}
        self._kept_out: dict[str, set[tuple[str, str]]] = {}
        self._ways_on: dict[tuple[str, str], list[Way]] = {}

    def recipients(self, wanted: Wanted) -> list[Recipient]:
        """Everybody who is meant, each once: those who are told, and those who are not, with the reason.

        An address that several of them share is told once, the first of them; who has others of their own, there.
        """
        found: dict[str, Recipient] = {}
        told: set[tuple[str, str]] = set()
        known: set[tuple[str, str]] = set()
        for audience, user_id, refused in self._meant(wanted):
            if user_id in found:
                continue
            recipient = self._recipient(wanted, audience, user_id, refused)
            if recipient.ways:
                ways = tuple(way for way in recipient.ways if _place(way) not in told)
                if len(ways) < len(recipient.ways) and all(_place(way) in known for way in ways):
                    ways = ()
                recipient = replace(recipient, ways=ways, refused=None if ways else "same_address")
                told |= {_place(way) for way in ways[:1]}
                known |= {_place(way) for way in ways}
            found[user_id] = recipient
        return list(found.values())

    def again(self, wanted: Wanted, audience: Audience, user_id: str) -> Recipient:
        """One person who was meant before, as everything stands now."""
        links = dict(self._guardians.get(wanted.student_id or "", ()))
        refused = links.get(user_id, "not_now") if audience == "guardian" else None
        return self._recipient(wanted, audience, user_id, refused)

    def name(self, user_id: str) -> str:
        """How the person is called."""
        person = self.people.get(user_id)
        return person.name if person else ""

    def grades(self, user_id: str) -> list[str]:
        """The student's grades."""
        person = self.people.get(user_id)
        return list(person.grades) if person else []

    def _meant(self, wanted: Wanted) -> Iterable[tuple[Audience, str, str | None]]:
        student_id = wanted.student_id or ""
        meant: Mapping[Audience, Iterable[tuple[str, str | None]]] = {
            "guardian": self._guardians.get(student_id, ()),
            "student": [(student_id, None)] if student_id else [],
            "teacher": [(user, None) for key in wanted.class_ids for user in self._teachers.get(key, ())],
            "office": [(user, None) for user in self._office.get(wanted.school_id, ())],
        }
        for audience in wanted.audience:
            for user_id, refused in meant[audience]:
                yield audience, user_id, refused

    def _recipient(self, wanted: Wanted, audience: Audience, user_id: str, refused: str | None) -> Recipient:
        language, chosen = self._wishes.get(user_id, (None, None))
        person = self.people.get(user_id)
        if user_id in self._blocked(wanted.student_id):
            refused = "blocked"
        elif refused is None and (person is None or person.gone):
            refused = "left"
        ways: list[Way] = []
        if refused is None:
            channels = wanted.channels or (orjson.loads(chosen) if chosen else ()) or self._settings.channels
            ways, refused = self._ways(user_id, channels, wanted)
        return Recipient(
            user_id=user_id,
            audience=audience,
            language=language or self._settings.languages[0],
            ways=tuple(ways),
            refused=None if ways else refused,
        )

    def _ways(self, user_id: str, channels: Sequence[str], wanted: Wanted) -> tuple[list[Way], str | None]:
        """One address on each channel, where it may be used; else the best reason why there is none."""
        ways: list[Way] = []
        reasons: list[str] = []
        for channel in dict.fromkeys(channels):
            for way in self._addresses_on(channel, user_id):
                reason = self._refusal(way, wanted) if way.address else "bad_address"
                if reason is None:
                    ways.append(way)
                    break
                reasons.append(reason)
        return ways, next((one for one in _TELLING if one in reasons), "no_address")

    def _refusal(self, way: Way, wanted: Wanted) -> str | None:
        if _place(way) in self._blocked_places(wanted.student_id):
            return "blocked_address"
        channel = way.channel
        if channel not in self._said:
            every = {one.address for user_id in self._addresses for one in self._addresses_on(channel, user_id)}
            self._said[channel] = consent.said(self._connection, channel, every - {""})
        told = self._said[channel].get(way.address, {})
        return consent.refusal(told, channel, wanted.purpose, self._settings.consent_first)

    def _addresses_on(self, channel: str, user_id: str) -> Sequence[Way]:
        """Every address of a person that the channel could use, the best first; "" is one that is none."""
        if (channel, user_id) not in self._ways_on:
            known, region = self._addresses.get(user_id, {}), self._settings.region
            self._ways_on[channel, user_id] = [
                Way(channel=channel, contact_id=contact_id, address=normal(channel, value, region) or "")
                for kind in kinds_for(channel, text_phones=self._settings.text_phones)
                for contact_id, value in known.get(kind, ())
            ]
        return self._ways_on[channel, user_id]

    def _blocked(self, student_id: str | None) -> list[str]:
        return [user for user, refused in self._guardians.get(student_id or "", ()) if refused == "blocked"]

    def _blocked_places(self, student_id: str | None) -> set[tuple[str, str]]:
        """Where those would read it who must not: an address is nobody's own only because a list says so."""
        key = student_id or ""
        if key not in self._kept_out:
            self._kept_out[key] = {
                _place(way)
                for user_id in self._blocked(key)
                for kind in self._addresses.get(user_id, {})
                for way in self._addresses_on("voice" if kind in ("sms", "phone") else kind, user_id)
            }
        return self._kept_out[key]

    def _read_addresses(self, people: Collection[str]) -> dict[str, dict[str, list[tuple[str, str]]]]:
        """The addresses that hold today: by person and kind, (contact id, value)."""
        rows = [row for row in self._rows(_CONTACTS, people) if _holds(row[4], row[5], self._today)]
        values = self._connection.unseal_many([(row[1], row[3]) for row in rows])
        found: dict[str, dict[str, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
        for row, value in zip(rows, values, strict=True):
            if value:
                found[row[1]][row[2]].append((row[0], value))
        return found

    def _guardians_of(self, students: Collection[str]) -> dict[str, list[tuple[str, str | None]]]:
        found: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
        for student_id, guardian_id, *flags in self._rows(_GUARDIANS, students):
            found[student_id].append((guardian_id, _refused(*flags, today=self._today)))
        return found

    def _by(self, text: str, keys: Collection[str], *, dated: bool) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        before = (self._today, self._today) if dated else ()
        for key, user_id in self._rows(text, keys, before):
            found[key].append(user_id)
        return found

    def _rows(self, text: str, keys: Collection[str], before: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return select_in(self._connection, text, before, sorted(keys))


def people_of(connection: Connection, ids: Collection[str]) -> dict[str, Person]:
    """These people, by id."""
    found = {}
    for row in select_in(connection, _PEOPLE, (), sorted(ids)):
        grades = orjson.loads(row[5]) if row[5] else []
        found[row[0]] = Person(name=display_name(_Names(*row[1:5])), grades=grades, gone=bool(row[7]) or not row[6])
    return found


class _Names(NamedTuple):
    given_name: str
    family_name: str
    preferred_given_name: str | None
    preferred_family_name: str | None


def _place(way: Way) -> tuple[str, str]:
    """What two addresses have in common that are one; a number is one, whether it is called or texted."""
    return ("" if way.address.startswith("+") else way.channel), way.address.casefold()


def _asks(wanted: Iterable[Wanted], audience: Audience) -> bool:
    return any(audience in one.audience for one in wanted)


def _refused(blocked: Any, data_access: Any, notify: Any, begins: Any, ends: Any, *, today: str) -> str | None:
    if blocked:
        return "blocked"
    if not _holds(begins, ends, today):
        return "not_now"
    if not data_access:
        return "no_access"
    return None if notify else "not_wanted"


def _holds(begins: Any, ends: Any, today: str) -> bool:
    return (begins is None or day_text(begins) <= today) and (ends is None or today < day_text(ends))
