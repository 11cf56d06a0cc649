"""What is waiting and until when: the list of tasks, and the marks that are set when a day has passed."""

from __future__ import annotations

from homeroom import Connection, Transaction
from homeroom_ferpa.rights.common import SHOWN, Row, days_between, iso, later

LAW_DAYS = 45
"""Within so many days after receipt a request to inspect is met (34 CFR 99.10(b))."""

_AT_SCHOOL = "SELECT user_id FROM role_assignments WHERE role = 'student' AND org_id = ?"
# id, student, due on, since: in the order of `urgency` by the last two and the first
_OPEN: tuple[tuple[str, str, str], ...] = (
    ("inspection", "SELECT id, student_id, due_on, received_on FROM ferpa_inspections", "state = 'open'"),
    ("amendment", "SELECT id, student_id, due_on, received_on FROM ferpa_amendments", "state = 'open'"),
    ("hearing", "SELECT id, student_id, due_on, asked_on FROM ferpa_hearings", "state <> 'decided'"),
    ("explanation", "SELECT id, student_id, NULL, substr(asked_at, 1, 10) FROM ferpa_explanations", "answer IS NULL"),
    ("letter", "SELECT id, student_id, NULL, substr(written_at, 1, 10) FROM ferpa_letters", "sent_at IS NULL"),
)
_SOON_DAYS = 7


def tasks(connection: Connection, today: str, *, alert_day: int, school_id: str | None = None) -> list[Row]:
    """What waits for somebody, the most urgent first, SHOWN of each kind; of one school's students where it is named.

    `level` is "open", "soon" (a week or less is left), "alert" (an inspection on its alert day), "overdue", or
    "violation" (an inspection that was not met within the law's 45 days).
    """
    found: list[Row] = []
    for kind, select, where in _OPEN:
        text, params = f"{select} WHERE {where}", []
        if school_id is not None:
            text, params = f"{text} AND student_id IN ({_AT_SCHOOL})", [school_id]
        for row_id, student_id, due_on, since in connection.sql(f"{text} ORDER BY 3, 4, 1 LIMIT {SHOWN}", params):
            row = {"kind": kind, "id": row_id, "student_id": student_id, "since": since, "due_on": due_on}
            found.append(row | {"level": _level(kind, row, today, alert_day)})
    return sorted(found, key=urgency)


def urgency(row: Row) -> tuple[str, str, str]:
    """By what tasks are sorted: what is due first comes first, what has no date last."""
    return row["due_on"] or "9999", row["since"], row["id"]


def _level(kind: str, row: Row, today: str, alert_day: int) -> str:
    age = days_between(row["since"], today)
    if kind == "inspection" and age > LAW_DAYS:
        return "violation"
    if row["due_on"] is not None and row["due_on"] < today:
        return "overdue"
    if kind == "inspection" and age >= alert_day:
        return "alert"
    return "soon" if row["due_on"] is not None and days_between(today, row["due_on"]) <= _SOON_DAYS else "open"


def look(tx: Transaction, today: str, *, alert_day: int) -> dict[str, int]:
    """Enter in the journal what has come due since the last look, each once, whoever looks; gives how many of each."""
    done: dict[str, int] = {}
    for mark, table, since, kind, section in (
        ("alerted_at", "inspections", f"received_on <= '{later(today, -alert_day)}'", "inspection_alert", "99.10(b)"),
        ("violated_at", "inspections", f"received_on < '{later(today, -LAW_DAYS)}'", "violation", "99.10(b)"),
        ("overdue_at", "amendments", f"due_on < '{today}'", "amendment_overdue", "99.20(b)"),
        ("overdue_at", "hearings", f"due_on < '{today}'", "hearing_overdue", "99.22(a)"),
    ):
        state = "state <> 'decided'" if table == "hearings" else "state = 'open'"
        text = (
            f"UPDATE ferpa_{table} SET {mark} = ? WHERE {state} AND {mark} IS NULL AND {since} RETURNING id, student_id"  # noqa: S608 - a day that was made here
        )
        for row_id, student_id in tx.write_sql(text, (iso(tx.now),)):
            tx.journal(f"compliance.{kind}", student_id=student_id, subject_id=row_id, data={"section": section})
            done[kind] = done.get(kind, 0) + 1
    return done


def figures(connection: Connection, today: str) -> dict[str, int]:
    """How much is overdue, for the plugin's health."""
    counted = {
        "inspections": f"state = 'open' AND due_on < '{today}'",
        "amendments": f"state = 'open' AND due_on < '{today}'",
        "hearings": f"state <> 'decided' AND due_on < '{today}'",
    }
    return {
        name: int(connection.sql(f"SELECT count(*) FROM ferpa_{name} WHERE {where}")[0][0])  # noqa: S608 - constants
        for name, where in counted.items()
    }
