"""How many events were withheld from each endpoint, and when the last was."""


def up(migrator, db):
    db.execute_sql(
        "CREATE TABLE IF NOT EXISTS webhooks_withheld ("
        "plugin TEXT NOT NULL, endpoint TEXT NOT NULL, events BIGINT NOT NULL, at TEXT NOT NULL, "
        "PRIMARY KEY (plugin, endpoint))"
    )


def down(migrator, db):
    db.execute_sql("DROP TABLE IF EXISTS webhooks_withheld")
