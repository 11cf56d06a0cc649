"""How long a text message is: every boundary, and no character cut in two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.notify.segments import length_of

ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
TWO_PLACES = "\f^{}\\[~]|€"

gsm = st.text(alphabet=ALPHABET + TWO_PLACES, max_size=700)
ucs2 = st.text(alphabet=st.sampled_from("aé你ờ。🎒👍"), max_size=400).filter(lambda text: set(text) - set(ALPHABET))


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("a" * 459, 3),
        ("a" * 460, 4),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("€" * 152, 2),  # 76 in each part: the place left over holds no half
        ("€" * 153, 3),
        ("a" * 152 + "€" * 77, 3),
        ("a" * 153 + "€" * 76, 2),
    ],
)
def test_gsm_7_holds_160_alone_and_153_in_each_part(text: str, segments: int) -> None:
    length = length_of(text)
    assert (length.encoding, length.segments, length.wide) == ("GSM-7", segments, "")


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("你" * 70, 1),
        ("你" * 71, 2),
        ("你" * 134, 2),
        ("你" * 135, 3),
        ("a" * 69 + "你", 1),
        ("a" * 70 + "你", 2),
        ("🎒" * 35, 1),
        ("🎒" * 36, 2),
        ("🎒" * 66, 2),  # 33 in each part: the place left over holds no half
        ("🎒" * 67, 3),
        ("你" * 66 + "🎒" * 34, 3),
        ("你" * 67 + "🎒" * 33, 2),
    ],
)
def test_one_character_outside_gsm_7_leaves_70_alone_and_67_in_each_part(text: str, segments: int) -> None:
    length = length_of(text)
    assert (length.encoding, length.segments) == ("UCS-2", segments)


def test_the_alphabet_is_the_published_one() -> None:
    assert len(set(ALPHABET)) == 127  # and ESC, which begins those of two places
    assert length_of(ALPHABET).units == 127
    assert length_of(TWO_PLACES).units == 20
    assert length_of(ALPHABET + TWO_PLACES).encoding == "GSM-7"


@pytest.mark.parametrize(
    "char", ["ç", "á", "í", "ó", "ú", "\u2019", "…", "\u2013", "“", "`", "\t", "\x1b", "\u202f", "e\u0301"]
)
def test_what_looks_plain_and_is_not_in_the_alphabet_is_named(char: str) -> None:
    length = length_of(f"Maya {char}{char}")
    assert length.encoding == "UCS-2"
    assert length.wide == char.replace("e", "")


@given(st.one_of(gsm, ucs2))
def test_the_parts_hold_every_unit_and_are_no_more_than_needed(text: str) -> None:
    length = length_of(text)
    alone, joined = (160, 153) if length.encoding == "GSM-7" else (70, 67)
    if length.segments == 1:
        assert length.units <= alone
    else:
        assert length.units > alone
        assert length.segments * joined >= length.units
        # At most one place is lost at each seam.
        assert (length.segments - 1) * (joined - 1) < length.units


@given(gsm)
def test_units_of_gsm_7_count_the_escape_before_those_of_two_places(text: str) -> None:
    assert length_of(text).units == len(text) + sum(text.count(char) for char in TWO_PLACES)


@given(ucs2)
def test_units_of_ucs_2_are_those_of_utf_16(text: str) -> None:
    assert length_of(text).units == len(text.encode("utf-16-be")) // 2


@given(st.text(max_size=400), st.text(max_size=50))
def test_a_longer_text_never_takes_fewer_parts(text: str, more: str) -> None:
    assert length_of(text + more).segments >= length_of(text).segments


@given(st.text(alphabet=st.characters(), max_size=200))
def test_every_text_has_a_length_even_with_half_a_character(text: str) -> None:
    assert length_of(text + "\ud83d").segments >= 1
