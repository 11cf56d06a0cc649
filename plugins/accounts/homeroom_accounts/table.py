"""The plugin's one table, and every statement on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from homeroom import Connection, Transaction

_COLUMNS = "user_id, login, hash, short, totp, totp_step"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What is kept of one person. `short` says that the password needs the second factor beside it."""

    user_id: str
    login: str = field(repr=False)
    hash: str = field(repr=False)
    short: bool
    totp: str | None = field(repr=False)
    totp_step: int

    @property
    def second_factor(self) -> bool:
        """Whether a code is asked for besides the password."""
        return self.totp is not None


def by_email(connection: Connection, email: str) -> Credential | None:
    """The credential that is signed in to with this address; addresses hashed under older keys are found too."""
    logins = connection.cipher.lookups("accounts.login", email)
    marks = ", ".join("?" * len(logins))
    rows = connection.sql(f"SELECT {_COLUMNS} FROM accounts_credentials WHERE login IN ({marks})", logins)  # noqa: S608 - constants
    return _credential(rows)


def of_user(connection: Connection, user_id: str) -> Credential | None:
    """A person's credential."""
    return _credential(connection.sql(f"SELECT {_COLUMNS} FROM accounts_credentials WHERE user_id = ?", (user_id,)))  # noqa: S608 - constants


def set_up(tx: Transaction, user_id: str, email: str, kept: str) -> bool:
    """Keep a person's address and password anew, without a second factor; False when the address is another's."""
    other = by_email(tx, email)
    if other is not None and other.user_id != user_id:
        return False
    tx.write_sql(
        "INSERT INTO accounts_credentials (user_id, login, hash, changed_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (user_id) DO UPDATE SET login = excluded.login, hash = excluded.hash, short = 0, totp = NULL, "
        "totp_pending = NULL, totp_step = 0, changed_at = excluded.changed_at",
        (user_id, tx.cipher.lookup("accounts.login", email), kept, _text(tx.now)),
    )
    tx.journal("accounts.password_set", subject_id=user_id)
    return True


def change(tx: Transaction, user_id: str, kept: str, *, short: bool) -> bool:
    """Keep another password; False when a short one has lost its second factor meanwhile."""
    found = of_user(tx, user_id)
    if found is None or (short and not found.second_factor):
        return False
    tx.write_sql(
        "UPDATE accounts_credentials SET hash = ?, short = ?, changed_at = ? WHERE user_id = ?",
        (kept, int(short), _text(tx.now), user_id),
    )
    tx.journal("accounts.password_set", subject_id=user_id)
    return True


def renew(tx: Transaction, found: Credential, email: str, kept: str) -> None:
    """Keep the same password under today's costs and keys, unless it was changed meanwhile."""
    tx.write_sql(
        "UPDATE accounts_credentials SET hash = ?, login = ? WHERE user_id = ? AND hash = ?",
        (kept, tx.cipher.lookup("accounts.login", email), found.user_id, found.hash),
    )


def use_step(tx: Transaction, user_id: str, step: int) -> bool:
    """Use a code up; False when it, or a later one, was used already."""
    row = of_user(tx, user_id)
    if row is None or row.totp_step >= step:
        return False
    tx.write_sql("UPDATE accounts_credentials SET totp_step = ? WHERE user_id = ?", (step, user_id))
    return True


def propose_totp(tx: Transaction, user_id: str, secret: str) -> None:
    """Keep a secret that is not in force until its first code is shown."""
    sealed = tx.seal_for(user_id, secret)
    tx.write_sql("UPDATE accounts_credentials SET totp_pending = ? WHERE user_id = ?", (sealed, user_id))


def pending_totp(connection: Connection, user_id: str) -> str | None:
    """The secret that waits for its first code."""
    rows = connection.sql("SELECT totp_pending FROM accounts_credentials WHERE user_id = ?", (user_id,))
    return connection.unseal_for(user_id, rows[0][0]) if rows else None


def totp_of(connection: Connection, found: Credential) -> str | None:
    """The secret in force, opened."""
    return connection.unseal_for(found.user_id, found.totp)


def confirm_totp(tx: Transaction, user_id: str, step: int) -> None:
    """Put the pending secret in force; the code of `step` is thereby used."""
    tx.write_sql(
        "UPDATE accounts_credentials SET totp = totp_pending, totp_pending = NULL, totp_step = ? "
        "WHERE user_id = ? AND totp_pending IS NOT NULL",
        (step, user_id),
    )
    tx.journal("accounts.second_factor_on", subject_id=user_id)


def remove_totp(tx: Transaction, user_id: str, step: int) -> bool:
    """Sign in without a second factor from now on; False while the password is too short for that.

    The code of `step` is thereby used, so that it cannot be shown again.
    """
    found = of_user(tx, user_id)
    if found is None or found.short:
        return False
    tx.write_sql("UPDATE accounts_credentials SET totp = NULL, totp_step = ? WHERE user_id = ?", (step, user_id))
    tx.journal("accounts.second_factor_off", subject_id=user_id)
    return True


def _credential(rows: list[tuple[object, ...]]) -> Credential | None:
    if not rows:
        return None
    user_id, login, kept, short, totp, step = rows[0]
    return Credential(
        user_id=str(user_id),
        login=str(login),
        hash=str(kept),
        short=bool(short),
        totp=None if totp is None else str(totp),
        totp_step=int(str(step)),
    )


def _text(moment: datetime) -> str:
    return moment.isoformat()
