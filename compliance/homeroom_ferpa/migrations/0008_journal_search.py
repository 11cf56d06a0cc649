"""Which rows of the journal name whom in a list: of several students at once, none stands in the row's own column."""


def up(migrator, db):
    db.execute_sql(
        "CREATE TABLE ferpa_journal_students (student_id TEXT NOT NULL, event_id BIGINT NOT NULL, "
        "PRIMARY KEY (student_id, event_id))"
    )


def down(migrator, db):
    db.execute_sql("DROP TABLE ferpa_journal_students")
