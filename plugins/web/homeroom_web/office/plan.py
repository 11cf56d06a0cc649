"""What a file of marks would change, class by class, before anything is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from homeroom_web.office.sheets import Line, Sheet, key
from homeroom_web.words import languages, to_say

STATUSES = ("present", "tardy", "absent", "excused")
_LATEST = 1440
_NOTE = 2000


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a line: one of the pages' own texts, to be said with `values`."""

    line: int
    text: str
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One student's mark as it is and as it would be."""

    line: int
    student_id: str
    name: str
    was: str
    status: str
    mark: Mapping[str, Any]


@dataclass(slots=True)
class Roll:
    """One roll that the file is about. With anything wrong, nothing of it is written."""

    class_id: str
    title: str
    session_id: str
    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    wrong: list[Wrong] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)

    def kept(self) -> dict[str, Any]:
        """What is kept of it until it is written: the marks, and the versions that they were compared with."""
        marks = [dict(one.mark) for one in self.changes]
        return {"title": self.title, "session_id": self.session_id, "marks": marks, "seen": self.seen}


@dataclass(slots=True)
class Plan:
    """All of a file: its rolls, and the lines that belong to none."""

    rolls: list[Roll] = field(default_factory=list)
    wrong: list[Wrong] = field(default_factory=list)

    @property
    def good(self) -> list[Roll]:
        """The rolls that can be written."""
        return [roll for roll in self.rolls if roll.changes and not roll.wrong]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the file is compared with: the day's rolls, seats and records, and the school's codes."""

    day: date
    rolls: Sequence[Mapping[str, Any]]
    seats: Sequence[Mapping[str, Any]]
    records: Sequence[Mapping[str, Any]]
    codes: Sequence[Mapping[str, Any]]
    class_id: str = ""


def planned(sheet: Sheet, known: Known) -> Plan:
    """What the file would change."""
    return _Planner(known).plan(sheet)


class _Planner:
    def __init__(self, known: Known) -> None:
        self._known = known
        self._plan = Plan()
        self._by_session: dict[str, Roll] = {}
        self._classes: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for one in known.rolls:
            self._classes[one["class_id"]].append(one)
        self._titles: dict[str, set[str]] = defaultdict(set)
        for one in known.rolls:
            self._titles[key(one["title"])].add(one["class_id"])
        self._numbers = {key(one["identifier"]): one["student_id"] for one in known.seats if one["identifier"]}
        self._seats = {(one["class_id"], one["student_id"]): one["name"] for one in known.seats}
        self._records = {(one["session_id"], one["student_id"]): one for one in known.records}
        self._codes = {key(one["code"]): one for one in known.codes}
        self._words = _words()

    def plan(self, sheet: Sheet) -> Plan:
        for line in sheet.lines:
            self._take(line)
        return self._plan

    def _take(self, line: Line) -> None:
        roll = self._roll(line)
        if isinstance(roll, Wrong):
            self._plan.wrong.append(roll)
            return
        change = self._change(line, roll)
        if isinstance(change, Wrong):
            roll.wrong.append(change)
        elif change is None:
            roll.unchanged += 1
        else:
            roll.changes.append(change)

    def _roll(self, line: Line) -> Roll | Wrong:
        """The roll that a line is about, or why there is none."""
        day = line.cells.get("day", "")
        if day and day != self._known.day.isoformat():
            return Wrong(line.number, to_say("is of another day than {day}"), {"day": self._known.day})
        class_id = self._class_of(line)
        if isinstance(class_id, Wrong):
            return class_id
        period = key(line.cells.get("period", ""))
        lines = [one for one in self._classes[class_id] if not period or key(one["period"] or "") == period]
        sessions = [held for one in lines for held in one["sessions"]]
        opened = [held for held in sessions if held["state"] == "open"]
        if not sessions:
            return Wrong(line.number, to_say("this class has no roll on that day: open it first"))
        if not opened:
            return Wrong(line.number, to_say("this class's roll is closed: correct single records instead"))
        if len(opened) > 1:
            return Wrong(line.number, to_say("this class has several open rolls on that day: name the period"))
        session_id = opened[0]["id"]
        if session_id not in self._by_session:
            roll = Roll(class_id, self._classes[class_id][0]["title"], session_id)
            self._by_session[session_id] = roll
            self._plan.rolls.append(roll)
        return self._by_session[session_id]

    def _class_of(self, line: Line) -> str | Wrong:
        if named := line.cells.get("class_id", ""):
            found = {named} & self._classes.keys()
        elif title := line.cells.get("class", ""):
            found = self._titles.get(key(title), set())
        else:
            found = {self._known.class_id} & self._classes.keys()
            if not found:
                return Wrong(line.number, to_say("names no class; choose one for the whole file"))
        if not found:
            return Wrong(line.number, to_say("names a class that your school has not on that day"))
        if len(found) > 1:
            return Wrong(line.number, to_say("names a class of which there are several: add the column class_id"))
        return next(iter(found))

    def _change(self, line: Line, roll: Roll) -> Change | Wrong | None:
        """What changes for the student; None when nothing does."""
        cells = line.cells
        student_id = cells.get("student_id", "") or self._numbers.get(key(cells.get("number", "")), "")
        name = self._seats.get((roll.class_id, student_id))
        if name is None:
            return Wrong(line.number, to_say("names nobody who sits in this class on that day"))
        if student_id in roll.seen:
            return Wrong(line.number, to_say("names a student whom an earlier line names already"))
        old = self._records.get((roll.session_id, student_id))
        roll.seen[student_id] = old["version"] if old else 0
        mark = self._mark(line)
        if isinstance(mark, Wrong):
            return mark
        if old is not None and _says(old, mark):
            return None
        was = old["status"] if old else ""
        return Change(line.number, student_id, name, was, mark["status"], {"student_id": student_id, **mark})

    def _mark(self, line: Line) -> dict[str, Any] | Wrong:
        """What the route is to be sent for the line."""
        mark = self._status(line)
        if isinstance(mark, Wrong):
            return mark
        if late := line.cells.get("minutes_late", ""):
            if not (late.isascii() and late.isdecimal() and len(late) <= len(str(_LATEST)) and int(late) <= _LATEST):
                return Wrong(line.number, to_say("the minutes are no number from 0 to 1440"))
            if mark["status"] == "tardy":
                mark["minutes_late"] = int(late)
        if note := line.cells.get("note", ""):
            if len(note) > _NOTE:
                return Wrong(line.number, to_say("the note is too long"))
            mark["note"] = note
        return mark

    def _status(self, line: Line) -> dict[str, Any] | Wrong:
        """The status, and the code where one is named."""
        status, word = key(line.cells.get("status", "")), key(line.cells.get("code", ""))
        if status and status not in self._words:
            return Wrong(line.number, to_say("the mark is none of present, tardy, absent, excused"))
        if not word:
            return {"status": self._words[status]} if status else Wrong(line.number, to_say("has no mark"))
        code = self._codes.get(word)
        if code is None:
            return Wrong(line.number, to_say("your school has no such code"))
        if status and self._words[status] != code["status"]:
            return Wrong(line.number, to_say("the code means another mark than the one beside it"))
        return {"code": code["code"], "status": code["status"]}


def _says(old: Mapping[str, Any], mark: Mapping[str, Any]) -> bool:
    """Whether the record says all of it already."""
    return not old["needs_review"] and all(old[name] == value for name, value in mark.items())


def _words() -> dict[str, str]:
    """What a mark may be called: its name in every language that there is, and the English initials."""
    words = {name[0]: name for name in STATUSES}
    return words | {key(language.say(name)): name for language in languages().values() for name in STATUSES}
