"""One row for each person who signs in with a password.

`login` is a keyed hash of the e-mail address, so that none lies here in clear; the two `totp` secrets are sealed under
the person's own key, and `totp_step` is the last time step whose code was used.
"""


def up(migrator, db):
    db.execute_sql(
        "CREATE TABLE accounts_credentials ("
        "user_id TEXT NOT NULL PRIMARY KEY, login TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, "
        "short INTEGER NOT NULL DEFAULT 0, totp TEXT, totp_pending TEXT, totp_step BIGINT NOT NULL DEFAULT 0, "
        "changed_at TEXT NOT NULL)"
    )


def down(migrator, db):
    db.execute_sql("DROP TABLE accounts_credentials")
