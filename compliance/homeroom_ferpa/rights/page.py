"""The page that people read, with the record as JSON inside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import orjson

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Education record</title>
<meta name="viewport" content="width=device-width">
<style>body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#111}
table{border-collapse:collapse;width:100%;margin:0 0 2rem}caption{text-align:left;font-weight:700;font-size:1.2rem}
th,td{border:1px solid #767676;padding:.3rem .5rem;text-align:left;vertical-align:top}th{background:#eee}
td{white-space:pre-wrap}</style></head><body>
"""
_WORDS = (
    "There is no fee for this file. You may ask for an explanation of anything in it, and for a change of what is "
    "wrong. The same as data for machines is inside this file, in the element with the id “record”."
)
_MARKS: tuple[tuple[str, str], ...] = (
    *(("school_day", "Day"), ("class", "Class"), ("status", "Status"), ("code", "Code"), ("code_means", "Meaning")),
    *(("minutes_late", "Minutes late"), ("note", "Note"), ("reason", "Reason"), ("recorded_by", "Recorded by")),
    *(("valid_from", "Known since"), ("version", "Version")),
)
_TABLES: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "classes",
        "Classes",
        (("class", "Class"), ("school", "School"), ("begins_on", "From"), ("ends_on", "Until")),
    ),
    (
        "codes",
        "What the codes mean",
        (("school", "School"), ("code", "Code"), ("means", "Meaning"), ("status", "Status")),
    ),
    ("attendance", "Attendance", _MARKS),
    (
        "absence_reports",
        "Absences that were told",
        (("first_day", "From"), ("last_day", "To"), ("code", "Code"), ("reason", "Reason"), ("state", "State")),
    ),
    (
        "absence_documents",
        "Documents sent with them (their bytes, in base64, are in the data for machines)",
        (("sent_at", "When"), ("kind", "Kind"), ("size", "Bytes")),
    ),
    (
        "messages",
        "Messages sent",
        (
            *(("created_at", "When"), ("kind", "About"), ("channel", "Channel"), ("audience", "To")),
            *(("state", "State"), ("text", "Text")),
        ),
    ),
    (
        "disclosures",
        "Requests for the record and disclosures of it",
        (
            *(("at", "When"), ("party", "Who"), ("interest", "Interest"), ("basis", "Ground")),
            *(("fields", "What"), ("exempt", "Not part of the 99.32 record because")),
        ),
    ),
    (
        "special_education_access",
        "Access to special education records",
        (("party", "Who"), ("accessed_on", "When"), ("purpose", "Why")),
    ),
    (
        "amendments",
        "Requests to amend",
        (("received_on", "Received"), ("why", "Why"), ("state", "State"), ("decision", "Decision")),
    ),
    (
        "hearings",
        "Hearings",
        (
            *(("held_on", "Held on"), ("place", "Place"), ("officer", "Led by"), ("evidence", "Evidence")),
            *(("reasons", "Reasons"), ("decision", "Decision"), ("outcome", "Outcome")),
        ),
    ),
)


def page(record: Mapping[str, Any]) -> bytes:
    """One HTML file without anything from elsewhere; `<script id="record">` holds all of it as JSON."""
    student = record["student"]
    name = " ".join(filter(None, (student["given_name"], student["middle_name"], student["family_name"])))
    facts = [(key.replace("_", " "), value) for key, value in student.items() if key not in ("contacts", "schools")]
    facts += [(one["kind"], one["value"]) for one in student["contacts"]]
    facts += [("school", one["school"]) for one in student["schools"]]
    parts = [
        _HEAD,
        f"<h1>Education record of {escape(name)}</h1>",
        f"<p>Made at {escape(str(record['made_at']))}: {escape(record['what'])}. {_WORDS}</p>",
        _table("The student", (("fact", "Fact"), ("value", "Value")), [{"fact": k, "value": v} for k, v in facts]),
    ]
    for key, title, columns in _TABLES:
        if key not in record:
            continue
        parts.append(_table(title, columns, record[key]))
        if key == "attendance":
            parts += [_corrections(record[key]), _statements(record[key])]
    data = orjson.dumps(record, option=orjson.OPT_INDENT_2, default=str).decode()
    safe = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    parts.append(f'<script type="application/json" id="record">{safe}</script></body></html>\n')
    return "\n".join(parts).encode()


def _corrections(records: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        {**version, "school_day": record["school_day"], "class": record["class"]}
        for record in records
        for version in record["corrections"]
    ]
    return _table("What attendance said before it was corrected", (*_MARKS, ("valid_to", "Known until")), rows)


def _statements(records: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        {"school_day": record["school_day"], "class": record["class"], **one}
        for record in records
        for one in record["statements"]
    ]
    columns = (("school_day", "Day"), ("class", "Class"), ("text", "The family's statement"), ("made_at", "Made at"))
    return _table("Statements on contested records", columns, rows)


def _table(title: str, columns: Iterable[tuple[str, str]], rows: Iterable[Mapping[str, Any]]) -> str:
    columns = tuple(columns)
    head = "".join(f'<th scope="col">{escape(label)}</th>' for _, label in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_shown(row.get(name)))}</td>' for name, _ in columns)}</tr>" for row in rows
    )
    body = body or f'<tr><td colspan="{len(columns)}">Nothing.</td></tr>'
    return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_shown(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return str(value)
