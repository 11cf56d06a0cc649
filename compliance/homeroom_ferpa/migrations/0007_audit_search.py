"""What the log is searched by: which audit rows name whom, filled behind the rows themselves, and how far that is."""

_INDEXES = {
    "ferpa_audit_of_action": "ferpa_audit (action, id)",
    "ferpa_audit_unusual": "ferpa_audit (kind, id) WHERE kind <> 'read'",
}


def up(migrator, db):
    db.execute_sql(
        "CREATE TABLE ferpa_audit_students (student_id TEXT NOT NULL, entry_id BIGINT NOT NULL, "
        "PRIMARY KEY (student_id, entry_id))"
    )
    db.execute_sql("CREATE TABLE ferpa_audit_found (name TEXT NOT NULL PRIMARY KEY, last_id BIGINT NOT NULL)")
    for name, columns in _INDEXES.items():
        db.execute_sql(f"CREATE INDEX {name} ON {columns}")


def down(migrator, db):
    for name in _INDEXES:
        db.execute_sql(f"DROP INDEX {name}")
    for name in ("audit_students", "audit_found"):
        db.execute_sql(f"DROP TABLE ferpa_{name}")
