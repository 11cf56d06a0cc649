"""Studies with their agreements, the extracts that were made under them, and whose record codes are whose.

`study_codes.code` is sealed under the student's key; `study_rows` holds what an extract told, under an id that stands
on no extract and is no student's. When a student's record goes, the row of `study_codes` goes: what was told stays,
as nobody's, so that later extracts still count who is gone.
"""

_TABLES = {
    "studies": "id TEXT NOT NULL PRIMARY KEY, organisation TEXT NOT NULL, purpose TEXT NOT NULL, scope TEXT NOT NULL, "
    "data TEXT NOT NULL, data_since TEXT NOT NULL, data_until TEXT NOT NULL, first_day TEXT NOT NULL, "
    "last_day TEXT NOT NULL, destroy_by TEXT NOT NULL, destroy_how TEXT NOT NULL, agreement TEXT NOT NULL, "
    "signed_by TEXT NOT NULL, signed_on TEXT NOT NULL, recorded_by TEXT, recorded_at TEXT NOT NULL, "
    "reminded_at TEXT, overdue_at TEXT, ended_by TEXT, ended_at TEXT, destroyed_on TEXT, destroyed_how TEXT, "
    "confirmed_by TEXT, version BIGINT NOT NULL",
    "study_extracts": "id TEXT NOT NULL PRIMARY KEY, study_id TEXT NOT NULL, number BIGINT NOT NULL, "
    "since TEXT NOT NULL, until TEXT NOT NULL, small_cell BIGINT NOT NULL, review TEXT NOT NULL, "
    "students BIGINT NOT NULL, made_by TEXT, made_at TEXT NOT NULL, UNIQUE (study_id, number)",
    "study_codes": "id TEXT NOT NULL PRIMARY KEY, study_id TEXT NOT NULL, student_id TEXT NOT NULL, "
    "code TEXT NOT NULL, UNIQUE (study_id, student_id)",
    "study_rows": "extract_id TEXT NOT NULL, code_id TEXT NOT NULL, told TEXT NOT NULL, "
    "PRIMARY KEY (extract_id, code_id)",
    "study_lookups": "id TEXT NOT NULL PRIMARY KEY, study_id TEXT NOT NULL, student_id TEXT NOT NULL, "
    "reason TEXT NOT NULL, looked_up_by TEXT, looked_up_at TEXT NOT NULL",
}
_BY_STUDENT = ("study_codes", "study_lookups")


def up(migrator, db):
    for name, columns in _TABLES.items():
        db.execute_sql(f"CREATE TABLE ferpa_{name} ({columns})")
    for name in _BY_STUDENT:
        db.execute_sql(f"CREATE INDEX ferpa_{name}_by ON ferpa_{name} (student_id)")


def down(migrator, db):
    for name in reversed(_TABLES):
        db.execute_sql(f"DROP TABLE ferpa_{name}")
