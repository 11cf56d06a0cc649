"""FERPA on research extracts, attacked: whoever has every extract of a study must not tell anybody apart."""

from __future__ import annotations

import inspect
import itertools
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom_ferpa.research import codes
from homeroom_ferpa.research.alike import Told, Values, told
from homeroom_ferpa.research.extracts import LATE, MISSED, band

N = 5
Extracts = Sequence[Mapping[str, Told]]


@st.composite
def populations(draw: st.DrawFn, terms: int = 1) -> list[dict[str, Values]]:
    """Some terms of a small district: students come, go, move and change; some groups are tiny."""
    dice = random.Random(draw(st.integers(0, 2**32)))
    size, width = draw(st.integers(0, 70)), draw(st.integers(1, 4))
    weights = [draw(st.integers(1, 40)) for _ in range(4)]
    stay = draw(st.sampled_from((0.5, 0.9, 0.97, 1.0)))
    found: list[dict[str, Values]] = []
    for _ in range(terms):
        term = {}
        for number in range(size):
            before = found[-1].get(f"s{number}") if found else None
            same = before is not None and dice.random() < stay
            if found and dice.random() > stay:
                continue
            row = tuple(dice.choices("abcd", weights)[0] for _ in range(width))
            term[f"s{number}"] = before if same and before is not None else row
        found.append(term)
    return found


def extracted(terms: Sequence[Mapping[str, Values]], n: int = N, seed: int = 1) -> list[dict[str, Told]]:
    """What each term's extract tells when they are made one after the other."""
    found: list[dict[str, Told]] = []
    dice = random.Random(seed)
    for term in terms:
        before: dict[str, tuple[tuple[int, Told], ...]] = {}
        for number, one in enumerate(found):
            for key, row in one.items():
                before[key] = (*before.get(key, ()), (number, row))
        found.append(told(term, n, before=before, dice=dice))
    return found


def joined(extracts: Extracts) -> Counter[tuple[Told | None, ...]]:
    """How many codes tell the same over all extracts; None: no row."""
    every = {key for one in extracts for key in one}
    return Counter(tuple(one.get(key) for one in extracts) for key in every)


@settings(max_examples=300)
@given(populations(), st.integers(3, 12))
def test_every_row_is_that_of_n_students_and_says_nothing_untrue(terms: list[dict[str, Values]], n: int) -> None:
    """FERPA 35 §99.31(b): in an extract each row is told of n students at least, whatever the population is."""
    [truth] = terms
    [found] = extracted(terms, n)
    assert found.keys() <= truth.keys()
    for key, row in found.items():
        shown = [value for value in row if value is not None]
        assert shown
        assert tuple(shown) == truth[key][: len(shown)]  # what is blank is the end, what is told is true
    assert all(count >= n for count in Counter(found.values()).values())
    left_out = len(truth) - len(found)
    assert left_out == 0 or left_out >= n or not found


@settings(max_examples=200)
@given(populations(terms=3))
def test_extracts_joined_by_their_codes_tell_nobody_apart(terms: list[dict[str, Values]]) -> None:
    """FERPA 35 §99.31(b): all extracts of a study together, joined by code, tell the same of n students at least."""
    for upto in (1, 2, 3):
        assert all(count >= N for count in joined(extracted(terms)[:upto]).values())


@settings(max_examples=200)
@given(populations(terms=2))
def test_no_small_cell_is_left_when_one_extract_is_taken_from_another(terms: list[dict[str, Values]]) -> None:
    """FERPA 35 §99.31(b): who has a row in one extract and none, or another one, in the next: nobody, or n at least."""
    first, second = extracted(terms)
    for one, other in ((first, second), (second, first)):
        gone = Counter(row for key, row in one.items() if key not in other)
        changed = Counter((row, other[key]) for key, row in one.items() if key in other)
        assert all(count >= N for count in (*gone.values(), *changed.values()))
    width = max((len(row) for row in (*first.values(), *second.values())), default=0)
    for places in itertools.chain.from_iterable(itertools.combinations(range(width), k) for k in range(1, width + 1)):
        cells = Counter(tuple(row[place] for place in places) for row in first.values())
        assert all(count >= N for count in cells.values())  # nor in any table that is counted from one


def test_what_is_blanked_with_the_few_is_drawn_by_lot_and_no_more_than_needed() -> None:
    """FERPA 35 §99.31(b): a blank does not say that somebody is rare, for others beside them are blanked, too."""
    truth: dict[str, Values] = {f"s{number}": ("north", "often" if number < 2 else "seldom") for number in range(40)}
    drawn = set()
    for seed in range(20):
        [found] = extracted([truth], 10, seed)
        assert Counter(found.values()) == {("north", "seldom"): 30, ("north", None): 10}
        assert {found["s0"], found["s1"]} == {("north", None)}
        drawn.add(frozenset(key for key, row in found.items() if row == ("north", None)))
    assert len(drawn) > 10


def test_a_leaver_is_not_the_only_one_without_a_row() -> None:
    """FERPA 35 §99.31(b): one student leaves; in the next extract nine others who were told the same have no row."""
    autumn: dict[str, Values] = {f"s{number}": ("north",) for number in range(40)}
    spring = {key: row for key, row in autumn.items() if key != "s7"}
    first, second = extracted([autumn, spring], 10)
    assert (len(first), len(second)) == (40, 30)
    assert "s7" not in second
    third = told(autumn, 10, before=dict.fromkeys(autumn, "same"), dice=random.Random(2))
    assert len(third) == 40  # who comes back is told of again


def test_too_few_students_are_not_told_of_at_all() -> None:
    """FERPA 35 §99.31(b): fewer than n students: no row, and none either of those who were few before."""
    few: dict[str, Values] = {f"s{number}": ("north",) for number in range(9)}
    assert extracted([few], 10) == [{}]
    assert told(few, 10, before={"s1": "north"}, dice=random.Random(1)) == {}


def test_a_record_code_is_made_from_nothing_but_chance() -> None:
    """FERPA 35 §99.31(b)(2): a code takes no id, repeats in no run, and no letter of it is likelier than another."""
    assert not inspect.signature(codes.new_code).parameters
    random.seed(1)
    first = [codes.new_code() for _ in range(2000)]
    random.seed(1)
    second = [codes.new_code() for _ in range(2000)]
    assert len({*first, *second}) == 4000
    assert all(re.fullmatch(r"[bcdfghjkmnpqrstvwxz]{16}", one) for one in first)
    letters = Counter("".join(first))
    assert all(abs(count / (2000 * 16 / 19) - 1) < 0.2 for count in letters.values())


def test_shares_are_told_in_bands() -> None:
    """FERPA 35 §99.31(b): a share is told as a band; a tenth missed, which is chronic, begins a new one."""
    said = [band(part, 100, MISSED) for part in (0, 4, 5, 9, 10, 19, 20, 100)]
    assert said == [
        *("under 5 %", "under 5 %", "5 % to 10 %", "5 % to 10 %"),
        *("10 % to 20 %", "10 % to 20 %", "20 % or more", "20 % or more"),
    ]
    assert [band(part, 40, LATE) for part in (1, 2, 8)] == ["under 5 %", "5 % to 20 %", "20 % or more"]
