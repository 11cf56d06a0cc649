"""The record of disclosures (§99.32): what left, to whom, on which ground, and whether the section asks for the entry.

Entries come from the journal (hand-outs to plugins, messages, exports, attendance sent to the SIS), from what API keys
read and what an adult student's parents are shown, and from the disclosures that the office records. An entry that
§99.32(d) does not ask for is kept all the same and marked with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from homeroom import AccessRequest, Connection, Event, Transaction
from homeroom_ferpa.access import decisions, facts
from homeroom_ferpa.access.facts import NOW
from homeroom_ferpa.access.records import missing, text_of

OWN = "own school official"
FAMILY = "parent or eligible student"
CONSENTED = "party with consent"
DIRECTORY = "directory information"
SUBPOENA = "subpoena that forbids its disclosure"
UNRECORDED = "no ground on file"
STATED = "stated"
"""Before a ground that whoever exported has stated, in their own words."""

_TOLD = "notification.accepted"
KINDS = ("data.handed_out", _TOLD, "data.exported", "attendance_out.handed_over")
"""The kinds of event that are disclosures."""

_ATTENDANCE = ("attendance",)
_ROWS = 300
_MEANWHILE = timedelta(hours=1)
"""An export is entered before the database is read: who comes in between may be in it."""

_COLUMNS = (
    "id, event_id, at, party, via, kind, interest, basis, exempt, fields, whole_district, notice, consent_id, "
    "standing_id, actor_id, request_id"
)
_OF_STUDENT = """
SELECT l.id, l.at, l.party, l.via, l.kind, l.interest, l.basis, l.exempt, l.fields, l.whole_district, l.notice,
  l.consent_id, l.standing_id, l.inquired_at, l.told_at, s.copy, t.threat
FROM (
  SELECT o.entry_id, o.copy FROM ferpa_ledger_students o WHERE o.student_id = ?
  UNION ALL
  SELECT w.id, NULL FROM ferpa_ledger w WHERE w.whole_district = 1 AND w.at >= ? AND NOT EXISTS (
    SELECT 1 FROM ferpa_ledger_students o WHERE o.student_id = ? AND o.entry_id = w.id)
) s JOIN ferpa_ledger l ON l.id = s.entry_id
LEFT JOIN ferpa_standings t ON t.kind = 'emergency' AND t.student_id = ? AND l.standing_id IS NOT NULL
  AND (t.id = l.standing_id OR t.party_id = l.party || '#' || l.id)
{where}ORDER BY l.at DESC, l.id DESC{limit}
"""
"""The student's own entries and the whole district's, each found by an index: never all that there are."""

_WHOSE = "SELECT student_id FROM ferpa_consents WHERE id = ? UNION SELECT student_id FROM ferpa_standings WHERE id = ?"
_OFFICIAL = (
    "SELECT f.id, f.service, f.categories FROM ferpa_officials f WHERE f.recipient = ? AND f.recorded_at <= ? "  # noqa: S608 - constants
    f"AND (f.ended_at IS NULL OR f.ended_at > ?) AND {NOW.format('f')} ORDER BY f.recorded_at DESC LIMIT 1"
)
"""Who was on file at a moment, which is given twice, on its day, which is given twice, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request or disclosure. `exempt` says why §99.32 does not ask for it; None: it is part of that record.

    `copies` holds, by student, what was disclosed, word for word, where that is known.
    """

    id: str
    at: str
    party: str
    kind: str = "disclosure"  # or "request": one that was refused
    via: str | None = None
    interest: str
    basis: str
    exempt: str | None = None
    fields: tuple[str, ...] = ()
    students: tuple[str, ...] = ()
    whole_district: bool = False
    notice: bool = False
    consent_id: str | None = None
    standing_id: str | None = None
    actor_id: str | None = None
    request_id: str | None = None
    event_id: int | None = None
    copies: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redisclosure:
    """To whom the party has passed it on, and why (§99.32(b))."""

    party: str
    interest: str
    disclosed_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An entry as one student's family or the office sees it."""

    id: str
    at: str
    party: str
    via: str | None
    kind: str
    interest: str
    basis: str
    exempt: str | None
    fields: tuple[str, ...]
    whole_district: bool
    notice: bool
    consent_id: str | None
    threat: str | None = field(repr=False)
    copy: str | None = field(repr=False)
    inquired_at: str | None
    told_at: str | None
    redisclosures: tuple[Redisclosure, ...] = ()


def enter(tx: Transaction, entry: Entry) -> None:
    """Keep an entry; one that is kept already (the same id or event) changes nothing."""
    new = tx.write_sql(
        f"INSERT INTO ferpa_ledger ({_COLUMNS}) VALUES ({', '.join('?' * 16)}) ON CONFLICT DO NOTHING RETURNING 1",  # noqa: S608 - constants
        (
            *(entry.id, entry.event_id, entry.at, entry.party, entry.via, entry.kind, entry.interest, entry.basis),
            *(entry.exempt, json.dumps(entry.fields), int(entry.whole_district), int(entry.notice), entry.consent_id),
            *(entry.standing_id, entry.actor_id, entry.request_id),
        ),
    )
    if not new:
        return
    students = sorted(set(entry.students))
    sealed = dict(zip(entry.copies, tx.seal_many(list(entry.copies.items())), strict=True))
    for start in range(0, len(students), _ROWS):
        some = students[start : start + _ROWS]
        values = [value for student in some for value in (student, entry.id, sealed.get(student))]
        marks = ", ".join(["(?, ?, ?)"] * len(some))
        tx.write_sql(
            f"INSERT INTO ferpa_ledger_students (student_id, entry_id, copy) VALUES {marks} ON CONFLICT DO NOTHING",  # noqa: S608 - marks only
            values,
        )


def take(
    tx: Transaction,
    events: Sequence[Event],
    inside: Collection[str],
    *,
    zone: str = "UTC",
    by_age: bool = True,
) -> None:
    """Enter what these events of the journal say was disclosed; `inside` are plugins that give nothing outside.

    What was on file is looked up as of the event, with its day in the district's time `zone`. `by_age` says that rights
    pass on the 18th birthday.
    """
    for event in events:
        day = event.at.astimezone(ZoneInfo(zone)).date()
        entry = _message(tx, event, day, by_age=by_age) if event.kind == _TOLD else _entry(tx, event, inside, day)
        if entry is not None:
            enter(tx, entry)


def of_student(
    connection: Connection,
    student_id: str,
    *,
    everything: bool,
    consent_id: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int | None = None,
) -> list[Shown]:
    """The entries of one student, the newest first; `everything` also shows those that §99.32 does not ask for.

    All of them, or `limit` at most, from behind the one with the time and the id `after`. What concerned the whole
    district is an entry of those who were in it by then.
    """
    more = [] if everything or consent_id else ["l.exempt IS NULL"]
    params = [student_id, _came(connection, student_id), student_id, student_id]
    if consent_id is not None:
        more.append("(l.consent_id = ? OR l.consent_id LIKE ?)")
        params += [consent_id, f"%{consent_id}%"]
    if after is not None:
        more.append("(l.at < ? OR (l.at = ? AND l.id < ?))")
        params += [after[0], *after]
    where = f"WHERE {' AND '.join(more)}\n" if more else ""
    most, limits = ("", []) if limit is None else (" LIMIT ?", [limit])
    rows = connection.sql(_OF_STUDENT.format(where=where, limit=most), (*params, *limits))
    opened = connection.unseal_many([(student_id, text) for row in rows for text in (row[15], row[16])])
    onward = _redisclosures(connection, [row[0] for row in rows])
    return [
        Shown(
            id=row[0],
            at=row[1],
            party=row[2],
            via=row[3],
            kind=row[4],
            interest=row[5],
            basis=row[6],
            exempt=row[7],
            fields=tuple(json.loads(row[8])),
            whole_district=bool(row[9]),
            notice=bool(row[10]),
            consent_id=row[11],
            inquired_at=row[13],
            told_at=row[14],
            copy=opened[2 * place],
            threat=opened[2 * place + 1],
            redisclosures=onward.get(row[0], ()),
        )
        for place, row in enumerate(rows)
    ]


def inquire(tx: Transaction, entry_id: str) -> None:
    """Note that a family asked for the record of further disclosures: it is to be obtained. Raises Refused 404."""
    rows = tx.write_sql(
        "UPDATE ferpa_ledger SET inquired_at = ?, told_at = NULL WHERE id = ? RETURNING party",
        (text_of(tx.now), entry_id),
    )
    if not rows:
        raise missing()
    tx.journal("compliance.redisclosures_asked", subject_id=entry_id, data={"party": rows[0][0]})


def tell(tx: Transaction, entry_id: str, key: str, onward: Sequence[Redisclosure], *, by: str) -> None:
    """Keep what the party has told of further disclosures (none is an answer, too). Raises Refused 404."""
    if not tx.write_sql("UPDATE ferpa_ledger SET told_at = ? WHERE id = ? RETURNING 1", (text_of(tx.now), entry_id)):
        raise missing()
    for number, one in enumerate(onward):
        tx.write_sql(
            "INSERT INTO ferpa_redisclosures (id, entry_id, party, interest, disclosed_on, recorded_by, recorded_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(f"{key}-{number}", entry_id, one.party, one.interest, one.disclosed_on.isoformat(), by),
                text_of(tx.now),
            ),
        )
    tx.journal("compliance.redisclosures_told", subject_id=entry_id, data={"parties": len(onward)})


def concerns(connection: Connection, entry_id: str, student_id: str) -> bool:
    """Whether an entry is one of this student's."""
    rows = connection.sql(
        "SELECT 1 FROM ferpa_ledger l WHERE l.id = ? AND ((l.whole_district = 1 AND l.at >= ?) OR EXISTS ("
        "SELECT 1 FROM ferpa_ledger_students s WHERE s.entry_id = l.id AND s.student_id = ?))",
        (entry_id, _came(connection, student_id), student_id),
    )
    return bool(rows)


def shown_to(tx: Transaction, about: Entry, ground: str, student_ids: Collection[str]) -> Entry | None:
    """The entry of what a parent was shown on this ground ("99.30:ID"); None where it is of none of the students."""
    key = ground.partition(":")[2]
    students = tuple(student for (student,) in tx.sql(_WHOSE, (key, key)) if student in student_ids)
    return _on(replace(about, students=students), ground) if students else None


def exempt_by(basis: str) -> str | None:
    """Why §99.32(d) asks for no entry of a disclosure on this ground; None when it does."""
    ground = basis.partition(":")[0]
    if ground in (decisions.STAFF, decisions.VENDOR):
        return OWN
    return {decisions.CONSENT: CONSENTED, decisions.OWN: FAMILY}.get(ground)


def consent_of(basis: str) -> str | None:
    """The id of the consent (or ids, with commas) that a basis names."""
    ground, _, key = basis.partition(":")
    return key if ground == decisions.CONSENT and key else None


def _came(connection: Connection, student_id: str) -> str:
    """Since when what leaves of the whole district may be of this student; "" where the journal does not say."""
    rows = connection.sql(
        "SELECT at FROM journal WHERE student_id = ? AND subject_id = ? AND kind = 'user.created' ORDER BY id LIMIT 1",
        (student_id, student_id),
    )
    return text_of(datetime.fromisoformat(rows[0][0]) - _MEANWHILE) if rows else ""


def _on(about: Entry, basis: str) -> Entry:
    """The entry with this ground, and what follows from it."""
    ground, _, key = basis.partition(":")
    standing_id = key if key and ground in decisions.EXCEPTIONS.values() else None
    return replace(about, basis=basis, exempt=exempt_by(basis), consent_id=consent_of(basis), standing_id=standing_id)


def _about(event: Event) -> Entry:
    return Entry(
        id=f"event-{event.id}",
        event_id=event.id,
        at=text_of(event.at),
        party="",
        interest="",
        basis=event.basis or UNRECORDED,
        actor_id=event.actor_id,
        request_id=event.request_id,
    )


def _entry(tx: Transaction, event: Event, inside: Collection[str], day: date) -> Entry | None:
    about = _about(event)
    match event.kind:
        case "data.handed_out":
            return _handed_out(tx, about, event.data, inside, day)
        case "data.exported":
            return _exported(about, event.data)
        case "attendance_out.handed_over":
            about = replace(about, basis=UNRECORDED)  # the ground of whoever marked is none for the SIS
            return _handed_out(tx, about, event.data, inside, day, records=_ATTENDANCE)
        case _:
            return None


def _exported(about: Entry, data: Mapping[str, Any]) -> Entry:
    """The entry of an export: the district's own, on the ground that was found on file, or on one that was stated."""
    to, ground = data.get("party"), data.get("ground")
    basis = (f"{STATED}:{ground}" if ground else about.basis) if to else decisions.STAFF
    return replace(
        about,
        party=str(to or "operator"),
        interest=str(data.get("purpose") or "the district's own copy of its records"),
        basis=basis,
        exempt=exempt_by(basis),
        fields=tuple(data.get("files", ())),
        whole_district=True,
        notice=True,
    )


def _handed_out(
    tx: Transaction,
    about: Entry,
    data: Mapping[str, Any],
    inside: Collection[str],
    day: date,
    *,
    records: Collection[str] | None = None,
) -> Entry:
    """The entry of a hand-out; `records` are the kinds of record, where its fields do not say that."""
    plugin, fields = str(data.get("plugin")), tuple(data.get("fields", ()))
    on_file = tx.sql(_OFFICIAL, (f"plugin:{plugin}", about.at, about.at, day.isoformat(), day.isoformat()))
    basis = about.basis
    if basis == UNRECORDED and plugin in inside:
        basis = decisions.STAFF
    elif basis == UNRECORDED and on_file:
        asked = AccessRequest(action="data.handed_out", identity=None, fields=fields)
        if decisions.covers(json.loads(on_file[0][2]), records or decisions.records_of(asked)):
            basis = f"{decisions.VENDOR}:{on_file[0][0]}"
    return replace(
        about,
        party=f"plugin:{plugin}",
        interest=on_file[0][1] if on_file else "a part of the district's own system",
        basis=basis,
        exempt=exempt_by(basis),
        fields=fields,
        students=tuple(data.get("student_ids", ())),
        consent_id=consent_of(basis),
        notice=bool((on_file and basis != UNRECORDED) or data.get("notice")),
    )


def _message(tx: Transaction, event: Event, day: date, *, by_age: bool) -> Entry | None:
    text = "SELECT recipient_id, plugin, audience, purpose FROM notifications WHERE id = ?"
    rows = tx.sql(text, (event.subject_id,))
    if not rows or event.student_id is None:
        return None
    recipient, plugin, audience, purpose = rows[0]
    basis = decisions.OWN if audience in ("guardian", "student") else decisions.STAFF
    if audience == "guardian":
        child = facts.children(tx, recipient, day, also=event.student_id, by_age=by_age).get(event.student_id)
        if child is not None and child.passed is not None:
            basis = decisions.after_transfer(child, ("messages",), purpose) or UNRECORDED
    about = replace(
        _about(event),
        party=f"person:{recipient}",
        via=f"plugin:{plugin}" if plugin else None,
        interest="told of attendance by the school",
        fields=("message",),
        students=(event.student_id,),
    )
    return _on(about, basis)


def _redisclosures(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[Redisclosure, ...]]:
    found: dict[str, tuple[Redisclosure, ...]] = {}
    for start in range(0, len(ids), _ROWS):
        some = ids[start : start + _ROWS]
        marks = ", ".join("?" * len(some))
        for entry_id, party, interest, day in connection.sql(
            f"SELECT entry_id, party, interest, disclosed_on FROM ferpa_redisclosures WHERE entry_id IN ({marks}) "  # noqa: S608 - marks only
            "ORDER BY disclosed_on, id",
            some,
        ):
            one = Redisclosure(party=party, interest=interest, disclosed_on=date.fromisoformat(day))
            found[entry_id] = (*found.get(entry_id, ()), one)
    return found
