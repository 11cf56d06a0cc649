"""Figures as they were published: counts without anybody's id, so that a later table cannot be subtracted."""

_COLUMNS = (
    "number BIGINT NOT NULL PRIMARY KEY, since TEXT NOT NULL, until TEXT NOT NULL, small_cell BIGINT NOT NULL, "
    "review TEXT NOT NULL, cells TEXT NOT NULL, published_at TEXT NOT NULL"
)


def up(migrator, db):
    db.execute_sql(f"CREATE TABLE ferpa_figures ({_COLUMNS})")


def down(migrator, db):
    db.execute_sql("DROP TABLE ferpa_figures")
