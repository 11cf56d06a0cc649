"""Suppression, attacked: whoever has every published table must not work out what they hide."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom_ferpa.reports.suppression import ALL, HIGH, LOW, Counts, Key, Shown, suppressed, with_totals

Table = Mapping[Key, Shown]
Variable = tuple[int, str, Key]  # the table, which of the two counts, the cell
Equation = tuple[dict[Variable, int], int]
N = 10
LAYERS = ("students", "counted")


@st.composite
def tables(draw: st.DrawFn, most: int = 60) -> dict[Key, Counts]:
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    cells = {}
    for row, column in itertools.product(range(rows), range(columns)):
        students = draw(st.one_of(st.integers(0, 14), st.integers(0, most)))
        cells[f"r{row}", f"c{column}"] = Counts(students, draw(st.integers(0, students)))
    return cells


def equations(published: Sequence[Table]) -> list[Equation]:
    """All that the tables say: what is shown, and that every line adds up to its total."""
    found: list[Equation] = []
    for number, table in enumerate(published):
        for layer in LAYERS:
            for key, shown in table.items():
                value = getattr(shown, layer)
                if isinstance(value, int):
                    found.append(({(number, layer, key): 1}, value))
            for name in {row for row, _ in table}:
                line = [key for key in table if key[0] == name]
                found.append(({(number, layer, key): -1 if key[1] == ALL else 1 for key in line}, 0))
            for name in {column for _, column in table}:
                line = [key for key in table if key[1] == name]
                found.append(({(number, layer, key): -1 if key[0] == ALL else 1 for key in line}, 0))
    return found


def solved(system: Iterable[Equation]) -> set[Variable]:
    """The variables that the system gives exactly, by elimination in exact fractions."""
    pivots: dict[Variable, dict[Variable, Fraction]] = {}
    for terms, _ in system:
        row = {name: Fraction(factor) for name, factor in terms.items()}
        for name in list(row):
            if name in row and name in pivots:
                add(row, pivots[name], -row[name])
        if row:
            name = min(row)
            row = {other: factor / row[name] for other, factor in row.items()}
            for reduced in pivots.values():
                if name in reduced:
                    add(reduced, row, -reduced[name])
            pivots[name] = row
    return {name for name, row in pivots.items() if len(row) == 1}


def add(row: dict[Variable, Fraction], other: Mapping[Variable, Fraction], times: Fraction) -> None:
    for name, factor in other.items():
        total = row.get(name, Fraction(0)) + times * factor
        if total:
            row[name] = total
        else:
            row.pop(name, None)


def bounds(table: Table) -> dict[Variable, tuple[int, int]]:
    """How far whole numbers can lie, from what is shown, the codes, the lines, and that nobody is counted twice."""
    most = 10_000
    limits: dict[Variable, tuple[int, int]] = {}
    for key, shown in table.items():
        limits[0, "students", key] = (1, most) if shown.students is None else (shown.students, shown.students)
        top = most if shown.students is None else shown.students
        low, high = (shown.counted, shown.counted) if isinstance(shown.counted, int) else (0, top)
        if shown.counted == LOW:
            high = (top - 1) // 20
        if shown.counted == HIGH:
            low = top - (top - 1) // 20
        limits[0, "counted", key] = low, high
    lines = [terms for terms, _ in equations([table]) if len(terms) > 1]
    for _ in range(40):
        before = dict(limits)
        for terms in lines:
            for name, sign in terms.items():
                rest = [(s, limits[other]) for other, s in terms.items() if other != name]
                least = sum(-s * sign * (low if -s * sign > 0 else high) for s, (low, high) in rest)
                largest = sum(-s * sign * (high if -s * sign > 0 else low) for s, (low, high) in rest)
                limits[name] = max(limits[name][0], least), min(limits[name][1], largest)
        for key in table:
            (s_low, s_high), (c_low, c_high) = limits[0, "students", key], limits[0, "counted", key]
            limits[0, "students", key] = max(s_low, c_low), s_high
            limits[0, "counted", key] = c_low, min(c_high, s_high)
        if limits == before:
            break
    return limits


def hidden(table: Table, number: int = 0) -> set[Variable]:
    """What the table keeps to itself, what it tells only roughly included."""
    return {
        (number, layer, key)
        for key, one in table.items()
        for layer in LAYERS
        if not isinstance(getattr(one, layer), int)
    }


@settings(max_examples=300)
@given(tables())
def test_no_hidden_cell_is_worked_out_from_one_table(cells: dict[Key, Counts]) -> None:
    table = suppressed(cells, N)
    assert table is not None
    assert not solved(equations([table])) & hidden(table)
    limits = bounds(table)
    assert [name for name in hidden(table) if limits[name][0] == limits[name][1]] == []
    full = with_totals(cells)
    for (_, layer, key), (low, high) in limits.items():  # the attack itself must be sound
        assert low <= getattr(full[key], layer) <= high


@settings(max_examples=15)
@given(st.data())
def test_no_hidden_cell_of_a_tiny_table_is_the_same_in_all_tables_that_fit(data: st.DataObject) -> None:
    keys = [("r0", "c0"), ("r0", "c1"), ("r1", "c0"), ("r1", "c1")]
    numbers = [data.draw(st.integers(0, 5)) for _ in keys]
    cells = {key: Counts(number, data.draw(st.integers(0, number))) for key, number in zip(keys, numbers, strict=True)}
    table = suppressed(cells, 3)
    assert table is not None
    truth = with_totals(cells)
    seen: dict[Variable, set[int]] = {}
    for layer in LAYERS:
        of = range(7)
        for values in itertools.product(of, repeat=4):
            other = {
                key: Counts(value, min(value, cells[key].counted))
                if layer == "students"
                else Counts(max(value, cells[key].students), value)
                for key, value in zip(keys, values, strict=True)
            }
            full = with_totals(other)
            if all(fits(layer, full[key], shown, truth[key]) for key, shown in table.items()):
                for key, one in full.items():
                    seen.setdefault((0, layer, key), set()).add(getattr(one, layer))
    for name in hidden(table):
        assert len(seen[name]) > 1, (name, cells, table)


def fits(layer: str, counts: Counts, shown: Shown, truth: Counts) -> bool:
    value = getattr(shown, layer)
    if layer == "students":
        return counts.students == value if value is not None else counts.students >= max(1, truth.counted)
    if isinstance(value, int):
        return counts.counted == value
    if counts.counted > truth.students:
        return False
    low = counts.counted * 20 < truth.students
    high = (truth.students - counts.counted) * 20 < truth.students
    return (value != LOW or low) and (value != HIGH or high)


@settings(max_examples=200)
@given(tables(), st.data())
def test_a_later_table_cannot_be_subtracted_from_an_earlier_one(cells: dict[Key, Counts], data: st.DataObject) -> None:
    """The attacker has both tables, and knows of every count that has not changed that it has not."""
    later = dict(cells)
    few = N if data.draw(st.booleans()) else 3
    for key in cells:
        if data.draw(st.booleans()):
            students = data.draw(st.integers(0, 60))
            later[key] = Counts(students, data.draw(st.integers(0, students)))
    first = suppressed(cells, few)
    assert first is not None
    second = suppressed(later, few, [first])
    if second is None:
        return
    system = equations([first, second])
    now, then = with_totals(later), with_totals(cells)
    for layer, key in itertools.product(LAYERS, now):
        if getattr(now[key], layer) == getattr(then[key], layer):
            system.append(({(0, layer, key): 1, (1, layer, key): -1}, 0))
    given_away = solved(system)
    shown_then = {(1, layer, key) for (_, layer, key) in given_away if isinstance(getattr(first[key], layer), int)}
    same = {name for name in shown_then if getattr(now[name[2]], name[1]) == getattr(then[name[2]], name[1])}
    assert not given_away & (hidden(first, 0) | (hidden(second, 1) - same))


def test_the_attack_finds_what_is_hidden_alone() -> None:
    cells = with_totals({("a", "1"): Counts(9, 4), ("a", "2"): Counts(60, 20), ("b", "1"): Counts(80, 30)})
    alone = {key: Shown(one.students, one.counted) for key, one in cells.items()} | {("a", "1"): Shown(None, None)}
    assert solved(equations([alone])) >= hidden(alone)
    limits = bounds(alone)
    assert limits[0, "students", ("a", "1")] == (9, 9)


def test_figures_of_few_are_never_shown() -> None:
    cells = {("north", "9"): Counts(9, 4), ("north", "10"): Counts(60, 20), ("south", "9"): Counts(80, 30)}
    table = suppressed(cells | {("south", "10"): Counts(90, 40)}, N)
    assert table is not None
    assert table["north", "9"] == Shown(None, None)
    assert table["north", "10"].students is None  # else the total gives it away
    assert table[ALL, ALL] == Shown(239, 94)
    for one in table.values():
        for value in (one.students, one.counted):
            assert not (isinstance(value, int) and 0 < value < N)


def test_shares_near_nobody_and_everybody_are_told_roughly() -> None:
    cells = {("a", "1"): Counts(100, 3), ("a", "2"): Counts(100, 98), ("b", "1"): Counts(100, 50)}
    table = suppressed(cells | {("b", "2"): Counts(100, 40)}, N)
    assert table is not None
    assert (table["a", "1"].counted, table["a", "2"].counted) == (LOW, HIGH)


def test_what_was_hidden_stays_hidden() -> None:
    few = {("a", "1"): Counts(9, 4), ("a", "2"): Counts(60, 20), ("b", "1"): Counts(80, 30), ("b", "2"): Counts(90, 40)}
    first = suppressed(few, N)
    assert first is not None
    second = suppressed(few | {("a", "1"): Counts(40, 20)}, N, [first])
    assert second is not None
    assert all(second[key].students is None for key, one in first.items() if one.students is None)


def test_a_district_of_many_schools_takes_seconds() -> None:
    cells = {
        (f"school {row}", str(grade)): Counts(count := (row * 37 + grade * 11) % 90, (count * (row % 7)) // 9)
        for row in range(60)
        for grade in range(13)
    }
    began = time.perf_counter()
    assert suppressed(cells, N) is not None
    assert time.perf_counter() - began < 30
