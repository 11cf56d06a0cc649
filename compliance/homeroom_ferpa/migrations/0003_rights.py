"""Requests to see and to change records, hearings, statements, notices, what is kept how long, and who was erased.

Ids, codes and days are in clear; whatever a person wrote is sealed under the student's key. `act` names the call that
decided something, so that the same call run again is told from another one.
"""

_TABLES = {
    "inspections": "id TEXT NOT NULL PRIMARY KEY, student_id TEXT NOT NULL, asked_by TEXT NOT NULL, entered_by TEXT, "
    "received_on TEXT NOT NULL, due_on TEXT NOT NULL, wish TEXT, state TEXT NOT NULL, alerted_at TEXT, "
    "violated_at TEXT, ended_at TEXT, ended_by TEXT, act TEXT",
    "explanations": "id TEXT NOT NULL PRIMARY KEY, inspection_id TEXT NOT NULL, student_id TEXT NOT NULL, "
    "asked_by TEXT NOT NULL, asked_at TEXT NOT NULL, question TEXT NOT NULL, answer TEXT, answered_by TEXT, "
    "answered_at TEXT, act TEXT",
    "amendments": "id TEXT NOT NULL PRIMARY KEY, student_id TEXT NOT NULL, record_id TEXT NOT NULL, "
    "record_version BIGINT NOT NULL, asked_by TEXT NOT NULL, received_on TEXT NOT NULL, due_on TEXT NOT NULL, "
    "why TEXT NOT NULL, wanted_status TEXT, wanted_code TEXT, state TEXT NOT NULL, decision TEXT, decided_by TEXT, "
    "decided_at TEXT, new_version BIGINT, overdue_at TEXT, act TEXT",
    "hearings": "id TEXT NOT NULL PRIMARY KEY, amendment_id TEXT NOT NULL UNIQUE, student_id TEXT NOT NULL, "
    "record_id TEXT NOT NULL, asked_by TEXT NOT NULL, asked_on TEXT NOT NULL, due_on TEXT NOT NULL, "
    "state TEXT NOT NULL, held_on TEXT, place TEXT, notice_on TEXT, officer TEXT, officer_id TEXT, "
    "disinterested INTEGER, evidence TEXT, reasons TEXT, decision TEXT, outcome TEXT, decided_by TEXT, "
    "decided_at TEXT, overdue_at TEXT, act TEXT",
    "statements": "id TEXT NOT NULL PRIMARY KEY, hearing_id TEXT NOT NULL UNIQUE, student_id TEXT NOT NULL, "
    "record_id TEXT NOT NULL, made_by TEXT NOT NULL, made_at TEXT NOT NULL, text TEXT NOT NULL",
    "letters": "id TEXT NOT NULL PRIMARY KEY, student_id TEXT NOT NULL, recipient_id TEXT NOT NULL, "
    "kind TEXT NOT NULL, subject_id TEXT NOT NULL, text TEXT NOT NULL, written_at TEXT NOT NULL, sent_at TEXT, "
    "sent_by TEXT, sent_how TEXT",
    "notice_deliveries": "year TEXT NOT NULL, guardian_id TEXT NOT NULL, language TEXT NOT NULL, how TEXT NOT NULL, "
    "accessible TEXT, delivered_on TEXT NOT NULL, recorded_by TEXT, PRIMARY KEY (year, guardian_id)",
    "holds": "id TEXT NOT NULL PRIMARY KEY, student_id TEXT NOT NULL, reference TEXT NOT NULL, set_by TEXT, "
    "set_at TEXT NOT NULL, lifted_by TEXT, lifted_at TEXT",
    "purges": "id TEXT NOT NULL PRIMARY KEY, at TEXT NOT NULL, by TEXT, counts TEXT NOT NULL, skipped TEXT NOT NULL",
    "erasures": "person_id TEXT NOT NULL PRIMARY KEY, at TEXT NOT NULL, by TEXT, why TEXT NOT NULL",
    "special_access": "id TEXT NOT NULL PRIMARY KEY, student_id TEXT NOT NULL, party TEXT NOT NULL, "
    "accessed_on TEXT NOT NULL, purpose TEXT NOT NULL, recorded_by TEXT, recorded_at TEXT NOT NULL",
    "turns": "name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, until TEXT NOT NULL",
}
_INDEXES = {
    "inspections": "student_id, state",
    "explanations": "inspection_id",
    "amendments": "student_id, state",
    "hearings": "student_id, state",
    "statements": "record_id",
    "letters": "student_id",
    "holds": "student_id",
    "special_access": "student_id",
}
_ONE_OPEN = "CREATE UNIQUE INDEX ferpa_amendments_open ON ferpa_amendments (record_id, asked_by) WHERE state = 'open'"


def up(migrator, db):
    for name, columns in _TABLES.items():
        db.execute_sql(f"CREATE TABLE ferpa_{name} ({columns})")
    for name, columns in _INDEXES.items():
        db.execute_sql(f"CREATE INDEX ferpa_{name}_by ON ferpa_{name} ({columns})")
    db.execute_sql(_ONE_OPEN)


def down(migrator, db):
    for name in reversed(_TABLES):
        db.execute_sql(f"DROP TABLE ferpa_{name}")
