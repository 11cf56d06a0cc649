"""A district morning's absences turned into messages beside the bare insertion of the same rows, and what goes with it.

Messages then leave to a vendor that answers after a set time, and check-ins go on meanwhile. The rows, the vendor's
messages and the check-ins are all counted afterwards.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from homeroom.bench import notify_checkins, notify_send, notify_turn, notify_vendor
from homeroom.bench.outcome import Outcome, machine, median, neat
from homeroom.bench.processes import run_client
from homeroom.bench.synthetic import Installation, fresh_database, installation

Progress = Callable[[str, int, int | None], None]

AIM = "measured at least 1000 on SQLite"
_SENT_SHARE = 10  # one of so many absences is sent at each pace: that is bounded by the vendor
_CHECKED_IN_SHARE = 2


def run(
    *,
    absences: int = 20_000,
    checkins: int = 8000,
    database: str | None = None,
    progress: Progress = lambda _step, _done, _total: None,
) -> Outcome:
    """Absences a second that become messages, beside the same rows inserted bare a second.

    Beside it the messages of a tenth as many absences on their way to a vendor, at each of its paces, and `checkins`
    while half as many are told.
    """
    made = _Bench(database, progress)
    turned = made.turned(absences)
    sent = made.sent(max(absences // _SENT_SHARE, 20))
    told = made.checkins(max(absences // _CHECKED_IN_SHARE, 20), checkins)
    rates = told.rates
    wrong = [*turned.wrong, *sent.wrong, *told.messages.wrong]
    examples = [*wrong[:3], *rates.examples]
    return Outcome(
        bench="notify",
        measured=neat(absences / turned.seconds),
        baseline=neat(absences / turned.bare_seconds),
        ratio=neat(turned.bare_seconds / turned.seconds),
        unit="absences/s",
        aim=AIM,
        errors=len(wrong) + rates.errors,
        lost=turned.lost + sent.lost + told.messages.lost + rates.lost,
        doubled=turned.doubled + sent.doubled + told.messages.doubled + rates.doubled,
        setup={
            **machine(),
            "database": "PostgreSQL" if database else f"SQLite {sqlite3.sqlite_version}, synchronous FULL",
            **_of_turned(absences, turned),
            **_of_sent(sent),
            **_of_told(told),
            **({"examples": examples} if examples else {}),
        },
    )


class _Bench:
    """The parts of the bench, each on an installation of its own that is gone afterwards."""

    def __init__(self, database: str | None, progress: Progress) -> None:
        self._database = database
        self._progress = progress

    def turned(self, absences: int) -> notify_turn.Took:
        """So many absences turned into messages that nobody sends."""
        with (
            TemporaryDirectory(prefix="homeroom-bench-") as folder,
            installation(Path(folder), self._database) as here,
            fresh_database(Path(folder), self._database, file="bare.db") as bare,
        ):
            plan = notify_turn.Plan(
                config=here.environment["HOMEROOM_CONFIG"],
                environment=here.environment,
                absences=absences,
                bare=bare.removeprefix("sqlite:///"),
            )
            return notify_turn.Took(**run_client(notify_turn.__name__, plan, self._heard))

    def sent(self, absences: int) -> notify_send.Took:
        """The messages of so many absences on their way, at each pace of the vendor."""
        with self._with_vendor() as (here, modules, taken):
            plan = notify_send.Plan(
                config=here.environment["HOMEROOM_CONFIG"],
                environment=here.environment,
                absences=absences,
                modules=str(modules),
                taken=str(taken),
            )
            return notify_send.Took(**run_client(notify_send.__name__, plan, self._heard))

    def checkins(self, absences: int, checkins: int) -> notify_checkins.Told:
        """Check-ins while so many absences are told."""
        with self._with_vendor(latency=notify_send.LATENCY) as (here, _, taken):
            return notify_checkins.measure(
                here, absences=absences, checkins=checkins, taken=taken, progress=self._progress
            )

    @contextlib.contextmanager
    def _with_vendor(self, **how: float) -> Iterator[tuple[Installation, Path, Path]]:
        """An installation that sends by the bench's own vendor, the folder of its plugin, and what it has taken."""
        with TemporaryDirectory(prefix="homeroom-bench-") as name:
            folder = Path(name)
            modules, taken = notify_vendor.offered(folder), folder / "taken.txt"
            plugins = {notify_vendor.NAME: {"taken": str(taken), **how}}
            with installation(folder, self._database, plugins=plugins, modules=modules) as here:
                yield here, modules, taken

    def _heard(self, line: dict[str, Any]) -> None:
        self._progress(line["phase"], line["done"], line.get("total"))


def _of_turned(absences: int, turned: notify_turn.Took) -> dict[str, Any]:
    return {
        "absences": absences,
        "students": turned.students,
        "cases": turned.cases,
        "messages": turned.messages,
        "messages_per_second": neat(turned.messages / turned.seconds),
        "cpu_us": neat(1e6 * turned.cpu_seconds / absences),
    }


def _of_sent(sent: notify_send.Took) -> dict[str, Any]:
    steadily, unevenly = (sent.rates[pace] / sent.bound for pace in ("steadily", "unevenly"))
    return {
        "sent": sent.sent,
        "vendors_bound_per_second": neat(sent.bound),
        "sent_per_second": neat(sent.rates["steadily"]),
        "sent_to_vendors_bound": neat(steadily),
        "sent_to_vendors_bound_aim": "at least 0.9",
        "sent_to_uneven_vendors_bound": neat(unevenly),
        "sent_per_second_to_instant_vendor": neat(sent.rates["at once"]),
        "sending_cpu_us": neat(sent.cpu_us),
    }


def _of_told(told: notify_checkins.Told) -> dict[str, Any]:
    peace = median(told.rates.in_peace)
    return {
        "checkins_per_second": neat(peace),
        "checkins_while_judging": neat(told.while_judging / peace),
        "checkins_while_sending": neat(told.while_sending / peace),
        "checkins_meanwhile": neat(told.rates.ratio),
        "checkins_meanwhile_aim": "at least 0.8",
        "told_before_the_checkins_ended": told.rates.cut_short,
    }
