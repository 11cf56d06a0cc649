"""Students who check in at a server, in peace and while it does something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from homeroom.bench import load
from homeroom.bench.checkin import Shot
from homeroom.bench.codes import Teacher
from homeroom.bench.outcome import median
from homeroom.bench.processes import run_client
from homeroom.bench.synthetic import Group, Installation

CLASSES = 10
CONNECTIONS = 64
_WARM = 200


@dataclass(slots=True, kw_only=True)
class Rates:
    """Check-ins a second, in peace and while something went on; `cut_short` when that ended before its rounds did."""

    in_peace: list[float] = field(default_factory=list)
    meanwhile: list[float] = field(default_factory=list)
    cut_short: bool = False
    errors: int = 0
    lost: int = 0
    doubled: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How much of the rate is left meanwhile."""
        return median(self.meanwhile) / median(self.in_peace)


@dataclass(slots=True, kw_only=True)
class Crowd:
    """Students who check in at a server, and which of them were answered: (session, student)."""

    rates: Rates
    port: int
    teachers: list[Teacher]
    answered: set[tuple[str, str]] = field(default_factory=set)

    def rush(self, shots: Sequence[Shot]) -> float:
        """Check these in; gives how many a second."""
        one = load.Round(
            name="check-ins",
            port=self.port,
            connections=CONNECTIONS,
            requests=[shot.real for shot in shots],
            expected=201,
            code_of=[shot.session_id for shot in shots],
        )
        plan = load.Plan(rounds=[one], codes_from=self.port, teachers=self.teachers)
        (taken,) = [load.Taken(**told) for told in run_client(load.__name__, plan)]
        self.answered |= {(shots[number].session_id, shots[number].student_id) for number in taken.good}
        self.rates.errors += taken.errors
        self.rates.examples += taken.examples
        return len(taken.good) / taken.seconds


def teachers_of(here: Installation, groups: Sequence[Group]) -> list[Teacher]:
    """Who shows the codes of these classes."""
    tokens = here.tokens(*(group.teachers[0] for group in groups))
    return [Teacher(session_id=g.session_id, token=t) for g, t in zip(groups, tokens, strict=True)]


def parts_of(shots: Sequence[Shot], rounds: int) -> tuple[Sequence[Shot], list[Sequence[Shot]]]:
    """A few to warm up, and the others in so many rounds of one size."""
    warm = min(_WARM, len(shots) // (rounds + 1))
    size = (len(shots) - warm) // rounds
    return shots[:warm], [shots[warm + size * number : warm + size * (number + 1)] for number in range(rounds)]
