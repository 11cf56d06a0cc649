"""What waits for each endpoint, and how each endpoint fares.

Both hold the rows of every instance of the plugin (`plugin` is its name), so a second one finds the tables made.
"""


def up(migrator, db):
    db.execute_sql(
        "CREATE TABLE IF NOT EXISTS webhooks_endpoints ("
        "plugin TEXT NOT NULL, name TEXT NOT NULL, since TEXT NOT NULL, taken BIGINT NOT NULL DEFAULT 0, "
        "address TEXT NOT NULL, failures INTEGER NOT NULL DEFAULT 0, failing_since TEXT, problem TEXT, retry_at TEXT, "
        "succeeded_at TEXT, gone_at TEXT, given_up BIGINT NOT NULL DEFAULT 0, given_up_at TEXT, "
        "holder TEXT, leased_until TEXT, PRIMARY KEY (plugin, name))"
    )
    db.execute_sql(
        "CREATE TABLE IF NOT EXISTS webhooks_queue ("
        "plugin TEXT NOT NULL, endpoint TEXT NOT NULL, id BIGINT NOT NULL, message_id TEXT NOT NULL, "
        "kept_at TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (plugin, endpoint, id))"
    )


def down(migrator, db):
    db.execute_sql("DROP TABLE IF EXISTS webhooks_queue")
    db.execute_sql("DROP TABLE IF EXISTS webhooks_endpoints")
