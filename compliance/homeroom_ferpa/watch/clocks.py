"""The clocks of a breach: by when somebody must be told, as tasks with a due date, counted from discovery.

New York: 8 NYCRR 121.10. Illinois: the Student Online Personal Protection Act, 105 ILCS 85. Where the law counts from
the notice of a contractor, the days are counted from discovery all the same, which is never later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from homeroom import Connection, Transaction
from homeroom_ferpa.rights.common import Row, days_between, iso, later

_ALERT_DAYS = 3
_WORKDAYS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """One duty to tell somebody within so many days after discovery.

    `at_vendor`: only where the breach was a contractor's. `from_a_tenth`: only where a tenth of a school's students
    are concerned. `business`: Saturdays and Sundays do not count; holidays do, which is never later.
    """

    code: str
    state: str
    days: int
    section: str
    says: str
    at_vendor: bool = False
    from_a_tenth: bool = False
    business: bool = False

    def due(self, discovered_on: date) -> date:
        """The last day on which it is in time."""
        if not self.business:
            return discovered_on + timedelta(days=self.days)
        day, left = discovered_on, self.days
        while left:
            day += timedelta(days=1)
            left -= day.weekday() < _WORKDAYS
        return day


CLOCKS: tuple[Clock, ...] = (
    Clock(
        code="ny_contractor",
        state="NY",
        days=7,
        section="8 NYCRR 121.10(a)",
        says="The contractor tells the district.",
        at_vendor=True,
    ),
    Clock(
        code="ny_officer",
        state="NY",
        days=10,
        section="8 NYCRR 121.10(d)",
        says="The district tells the State Education Department's Chief Privacy Officer.",
    ),
    Clock(
        code="ny_families",
        state="NY",
        days=60,
        section="8 NYCRR 121.10(e)",
        says="The district tells the parents and eligible students concerned.",
    ),
    Clock(
        code="il_operator",
        state="IL",
        days=30,
        section="105 ILCS 85/15",
        says="The operator tells the school.",
        at_vendor=True,
    ),
    Clock(
        code="il_families",
        state="IL",
        days=30,
        section="105 ILCS 85/27",
        says="The school tells the parents of the students concerned.",
    ),
    Clock(
        code="il_website",
        state="IL",
        days=10,
        section="105 ILCS 85/27",
        says="The school posts the breach on its website.",
        from_a_tenth=True,
        business=True,
    ),
)
BY_CODE = {clock.code: clock for clock in CLOCKS}


def applying(states: Iterable[str], *, at_vendor: bool, a_tenth: bool) -> list[Clock]:
    """The clocks of an incident."""
    chosen = set(states)
    return [
        clock
        for clock in CLOCKS
        if clock.state in chosen and (at_vendor or not clock.at_vendor) and (a_tenth or not clock.from_a_tenth)
    ]


def shown(row: Row, today: str) -> Row:
    """A task of an incident with what it asks for and how urgent it is.

    `level`: "done", "waived", "overdue", "soon" (three days or less are left) or "open". What was overdue once stays so
    until it is done, also when the machine's clock goes back.
    """
    clock = BY_CODE[row["clock"]]
    about = {"says": clock.says, "section": clock.section, "law_of": clock.state}
    late = row["done_on"] is not None and row["done_on"] > row["due_on"]
    return row | about | {"level": _level(row, today), "was_late": late}


def tasks(connection: Connection, today: str) -> list[Row]:
    """The tasks that are open in all incidents, the most urgent first."""
    text = (
        "SELECT t.incident_id, t.clock, t.due_on, t.state, t.done_on, t.overdue_at, i.discovered_on "
        "FROM ferpa_incident_tasks t JOIN ferpa_incidents i ON i.id = t.incident_id WHERE t.state = 'open' "
        "ORDER BY t.due_on, t.incident_id, t.clock LIMIT 500"
    )
    names = ("id", "clock", "due_on", "state", "done_on", "overdue_at", "since")
    rows = [shown(dict(zip(names, row, strict=True)), today) for row in connection.sql(text)]
    wanted = ("id", "clock", "since", "due_on", "level", "says", "section")
    return [{"kind": "incident", "student_id": None} | {name: row[name] for name in wanted} for row in rows]


def look(tx: Transaction, today: str) -> dict[str, int]:
    """Enter in the journal which tasks are nearly due and which are overdue, each once; gives how many of each."""
    done: dict[str, int] = {}
    for mark, kind, before in (
        ("alerted_at", "breach_clock_alert", later(today, _ALERT_DAYS + 1)),
        ("overdue_at", "breach_clock_overdue", today),
    ):
        text = (
            f"UPDATE ferpa_incident_tasks SET {mark} = ? WHERE state = 'open' AND {mark} IS NULL AND due_on < ? "  # noqa: S608 - constants
            "RETURNING incident_id, clock, due_on"
        )
        for incident_id, code, due_on in tx.write_sql(text, (iso(tx.now), before)):
            data = {"clock": code, "section": BY_CODE[code].section, "due_on": due_on}
            tx.journal(f"compliance.{kind}", subject_id=incident_id, data=data)
            done[kind] = done.get(kind, 0) + 1
    return done


def overdue(connection: Connection, today: str) -> int:
    """How many tasks are overdue."""
    text = "SELECT count(*) FROM ferpa_incident_tasks WHERE state = 'open' AND (due_on < ? OR overdue_at IS NOT NULL)"
    return int(connection.sql(text, (today,))[0][0])


def _level(row: Row, today: str) -> str:
    if row["state"] != "open":
        return str(row["state"])
    if row["due_on"] < today or row["overdue_at"] is not None:
        return "overdue"
    return "soon" if days_between(today, row["due_on"]) <= _ALERT_DAYS else "open"
