"""Unusual reading and exports, incidents with the clocks of their states, and what an audit row says of where from.

Ids, counts and days are in clear; what people wrote (`reason`, `what`, `closing`, `how`) is sealed. `seen` holds hashes
of students' ids, for counting.
"""

_TABLES = {
    "watch_positions": "source TEXT NOT NULL PRIMARY KEY, position BIGINT NOT NULL",
    "watch_tallies": "kind TEXT NOT NULL, who TEXT NOT NULL, span TEXT NOT NULL, first_id BIGINT NOT NULL, "
    "last_id BIGINT NOT NULL, began_at TEXT NOT NULL, last_at TEXT NOT NULL, rows BIGINT NOT NULL, "
    "entries TEXT NOT NULL, seen TEXT NOT NULL, PRIMARY KEY (kind, who, span)",
    "watch_places": "credential TEXT NOT NULL, family TEXT NOT NULL, place TEXT NOT NULL, at TEXT NOT NULL, "
    "row_id BIGINT NOT NULL, left_place TEXT, left_at TEXT, left_id BIGINT, PRIMARY KEY (credential, family)",
    "anomalies": "id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, who TEXT NOT NULL, credential TEXT, "
    "span TEXT NOT NULL, state TEXT NOT NULL, found_at TEXT NOT NULL, began_at TEXT NOT NULL, last_at TEXT NOT NULL, "
    "rows BIGINT NOT NULL, students BIGINT NOT NULL, first_id BIGINT NOT NULL, last_id BIGINT NOT NULL, "
    "entries TEXT NOT NULL, reason TEXT, settled_by TEXT, settled_at TEXT, incident_id TEXT, act TEXT",
    "incidents": "id TEXT NOT NULL PRIMARY KEY, discovered_at TEXT NOT NULL, discovered_on TEXT NOT NULL, "
    "what TEXT NOT NULL, at_vendor INTEGER NOT NULL, states TEXT NOT NULL, everybody INTEGER NOT NULL, "
    "state TEXT NOT NULL, opened_by TEXT, opened_at TEXT NOT NULL, closed_by TEXT, closed_at TEXT, closing TEXT, "
    "act TEXT",
    "incident_students": "incident_id TEXT NOT NULL, student_id TEXT NOT NULL, PRIMARY KEY (incident_id, student_id)",
    "incident_tasks": "incident_id TEXT NOT NULL, clock TEXT NOT NULL, due_on TEXT NOT NULL, state TEXT NOT NULL, "
    "done_on TEXT, done_at TEXT, done_by TEXT, how TEXT, alerted_at TEXT, overdue_at TEXT, act TEXT, "
    "PRIMARY KEY (incident_id, clock)",
}
_INDEXES = {
    "anomalies": "state, who",
    "watch_tallies": "who",
    "incident_students": "student_id",
    "incident_tasks": "state",
}
_LATER = ("credential", "place")


def up(migrator, db):
    for name in _LATER:
        db.execute_sql(f"ALTER TABLE ferpa_audit ADD COLUMN {name} TEXT")
    for name, columns in _TABLES.items():
        db.execute_sql(f"CREATE TABLE ferpa_{name} ({columns})")
    for name, columns in _INDEXES.items():
        db.execute_sql(f"CREATE INDEX ferpa_{name}_by ON ferpa_{name} ({columns})")


def down(migrator, db):
    for name in reversed(_TABLES):
        db.execute_sql(f"DROP TABLE ferpa_{name}")
    for name in _LATER:
        db.execute_sql(f"ALTER TABLE ferpa_audit DROP COLUMN {name}")
