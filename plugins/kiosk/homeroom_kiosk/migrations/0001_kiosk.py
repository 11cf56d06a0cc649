"""Tablets, the keys that they know (cards, PINs), wrong tries, and who came and left.

`token`, `code` and `once` are hashes, `card`, `pin` and the `who` of tries are keyed ones: none of them lies here in
clear. Times are RFC 3339 in UTC.
"""

TABLES = {
    "tablets": "id TEXT NOT NULL PRIMARY KEY, school_id TEXT NOT NULL, place TEXT NOT NULL, token TEXT UNIQUE, "
    "code TEXT UNIQUE, code_until TEXT, made_at TEXT NOT NULL, made_by TEXT NOT NULL, seen_at TEXT, revoked_at TEXT",
    "cards": "card TEXT NOT NULL PRIMARY KEY, id TEXT NOT NULL UNIQUE, student_id TEXT NOT NULL, "
    "given_at TEXT NOT NULL, given_by TEXT NOT NULL, blocked_at TEXT",
    "pins": "student_id TEXT NOT NULL PRIMARY KEY, pin TEXT NOT NULL, made_at TEXT NOT NULL, made_by TEXT NOT NULL",
    "tries": "who TEXT NOT NULL PRIMARY KEY, subject_id TEXT, wrong INTEGER NOT NULL, since TEXT NOT NULL, "
    "locked_until TEXT",
    "entries": "id TEXT NOT NULL PRIMARY KEY, tablet_id TEXT NOT NULL, once TEXT NOT NULL, school_id TEXT NOT NULL, "
    "place TEXT NOT NULL, student_id TEXT NOT NULL, direction TEXT NOT NULL, day TEXT NOT NULL, at TEXT NOT NULL, "
    "early INTEGER NOT NULL, again INTEGER NOT NULL, UNIQUE (tablet_id, once)",
}
INDEXES = {
    "tablets": "school_id",
    "cards": "student_id",
    "tries": "subject_id",
    "entries": "student_id, at",
}


def up(migrator, db):
    for table, columns in TABLES.items():
        db.execute_sql(f"CREATE TABLE kiosk_{table} ({columns})")
    for table, columns in INDEXES.items():
        db.execute_sql(f"CREATE INDEX kiosk_{table}_by ON kiosk_{table} ({columns})")
    db.execute_sql("CREATE INDEX kiosk_entries_day ON kiosk_entries (school_id, day, at)")


def down(migrator, db):
    for table in reversed(TABLES):
        db.execute_sql(f"DROP TABLE kiosk_{table}")
