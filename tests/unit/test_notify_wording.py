"""What messages say: every language, every kind, every turn of events, with any facts; and a district's own texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.notify.segments import length_of
from homeroom.notify.settings import KINDS, STUDENT_KINDS
from homeroom.notify.wording import (
    LONGEST,
    PARTS,
    SAMPLE,
    BadText,
    Part,
    Wording,
    as_html,
    check,
    clock,
    direction,
    languages,
    parts_for,
    rendered,
)
from homeroom.store import Store, now_utc
from homeroom.store import models as m

FAMILY = (*STUDENT_KINDS, "correction")
EVERY = (*KINDS, "correction")
LANGUAGES = ("ar", "en", "es", "vi", "zh")
SEGMENTS = {"en": 1, "es": 1, "zh": 2, "ar": 2, "vi": 3}
TURNS: list[dict[str, Any]] = [
    {},
    {"today": False},
    {"today": False, "whole_day": False, "classes": ["Algebra I", "Biology"]},
    {"whole_day": False},
    {"whole_day": False, "minutes": 1, "classes": ["Algebra I", "Biology", "Chemistry", "Dance", "English"]},
    {"whole_day": False, "classes": [""]},
    {"minutes": None, "time": "", "phone": "", "link": "", "detail": ""},
    {"minutes": 0, "phone": "", "today": False},
    *({"count": count, "minutes": count, "share": count, "problems": count} for count in (1, 2, 3, 11, 100)),
    {"days": [], "problems": 0, "counts": {}},
    *({"now": now, "said": said} for now in ("present", "tardy", "absent", "excused", "") for said in STUDENT_KINDS),
    *({"now": now, "phone": ""} for now in ("absent", "")),
]
LEFTOVERS = re.compile(
    r"None|True|False|ndefined|[{}#\[\]]|  | [.,:;)\u3002\uff0c\u3001\uff1a\uff09\u060c\u061b]|[(\uff08][)\uff09]"
    r"|[:,\uff1a\uff0c\u3001\u060c] *[.,\u3002\uff0c]|[.\u3002] *[.\u3002]|\u2068\u2069|^[ :,.\uff1a]|[ (\u3001\uff08]$"
    r"|[:,\uff1a\uff0c\u060c]\Z",
    re.MULTILINE,
)
ISOLATES = re.compile("[\u2068\u2069]")


def built_in() -> Wording:
    """The wording of a district that has no texts of its own."""
    return Wording(_Nothing())  # type: ignore[arg-type]


class _Nothing:
    def all(self, _: Any) -> list[Any]:
        return []


def district(store: Store, *texts: tuple[str, str, str, str], org_id: str = "") -> Wording:
    """The wording of a district with these texts: kind, language, part, text."""
    for kind, language, part, text in texts:
        store.write_now(
            lambda tx, kind=kind, language=language, part=part, text=text: tx.insert(  # type: ignore[misc]
                m.NotificationTemplate,
                org_id=org_id,
                kind=kind,
                language=language,
                part=part,
                text=text,
                changed_at=now_utc(),
            )
        )
    return store.read_now(Wording)


def said(kind: str, language: str, part: Part, **facts: Any) -> str:
    texts, spoken = built_in().say(kind, language, [part], {**SAMPLE, **facts})
    assert spoken == language
    return texts[part]


def shown(text: str) -> str:
    """A text as a reader sees it, without the marks that set facts apart."""
    return ISOLATES.sub("", text)


def built_in_texts() -> Iterator[tuple[str, str, Part]]:
    words = built_in()
    for language in languages():
        for kind in EVERY:
            for part in PARTS:
                if words.text(kind, language, part):
                    yield language, kind, part


BUILT_IN = list(built_in_texts())


def test_these_languages_have_texts() -> None:
    assert languages() == list(LANGUAGES)


def test_every_language_says_everything_to_families_and_english_and_spanish_also_to_staff() -> None:
    wanted = {
        (language, kind, part)
        for language in LANGUAGES
        for kind in (EVERY if language in ("en", "es") else FAMILY)
        for part in PARTS
    }
    assert set(BUILT_IN) == wanted


@pytest.mark.parametrize(("language", "kind", "part"), BUILT_IN)
def test_a_text_reads_well_in_every_turn_of_events(language: str, kind: str, part: Part) -> None:
    for turn in TURNS:
        text = said(kind, language, part, **turn)
        found = LEFTOVERS.search(text) or LEFTOVERS.search(shown(text))
        assert not found, (turn, text, found)
        assert part == "email" or "\n" not in text
        assert part != "email" or "\n\n\n" not in text


@pytest.mark.parametrize(("language", "kind", "part"), BUILT_IN)
def test_a_built_in_text_passes_the_check_that_a_districts_has_to(language: str, kind: str, part: Part) -> None:
    text = built_in().text(kind, language, part)
    assert text is not None
    assert text.version == 0
    assert check(text.text, language, part) == rendered(text.text, language, SAMPLE, part)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", FAMILY)
def test_a_text_message_to_a_family_is_as_short_as_its_language_allows(language: str, kind: str) -> None:
    for today in (True, False):
        for now in ("present", "tardy", "excused", "absent", ""):
            length = length_of(said(kind, language, "sms", today=today, now=now, time="8:05 a.m.", count=12))
            assert length.segments <= SEGMENTS[language], (now, length)
            assert language not in ("en", "es") or length.encoding == "GSM-7", length.wide


@pytest.mark.parametrize(
    ("language", "today"), [("en", "today"), ("es", "hoy"), ("zh", "今天"), ("vi", "hôm nay"), ("ar", "اليوم")]
)
@pytest.mark.parametrize("kind", ["absence", "tardy"])
def test_today_is_said_in_a_word_and_another_day_by_its_date(language: str, kind: str, today: str) -> None:
    for part in ("sms", "subject"):
        assert today in said(kind, language, part)
        other = said(kind, language, part, today=False)
        assert today not in other
        assert "14" in other


@pytest.mark.parametrize(
    ("language", "long", "short"),
    [
        ("en", "Monday, September 14, 2026", "Sep 14"),
        ("es", "lunes, 14 de septiembre de 2026", "14 sept"),
        ("zh", "2026年9月14日星期一", "9月14日"),
        ("vi", "Thứ Hai, 14 tháng 9, 2026", "14 thg 9"),
        ("ar", "الاثنين، 14 سبتمبر 2026", "14 سبتمبر"),
        ("xx", "Monday, September 14, 2026", "Sep 14"),
    ],
)
def test_days_are_written_as_the_language_does(language: str, long: str, short: str) -> None:
    assert rendered("{{ day|long }}", language, SAMPLE, "email") == long
    assert rendered("{{ day|short }}", language, SAMPLE, "email") == short
    several = rendered("{{ days|short|join('; ') }}", language, SAMPLE, "email")
    assert several.endswith(f"; {short}")
    assert several.count(";") == 2


@pytest.mark.parametrize(
    ("language", "kind", "one", "many"),
    [
        ("en", "total", "1 school day so", "5 school days so"),
        ("en", "in_a_row", "1 school day.", "5 school days in a row"),
        ("es", "total", "1 ausencia ", "5 ausencias "),
        ("es", "in_a_row", "1 ausencia.", "5 ausencias seguidas"),
        ("zh", "in_a_row", "已缺勤 1 个", "已连续缺勤 5 个"),
        ("vi", "in_a_row", "1 ngày.", "5 ngày liên tiếp"),
        ("ar", "total", "يومًا دراسيًا واحدًا", "5 أيام دراسية"),
    ],
)
def test_one_is_not_said_like_many(language: str, kind: str, one: str, many: str) -> None:
    assert one in said(kind, language, "sms", count=1)
    assert many in said(kind, language, "sms", count=5)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "يومًا واحدًا"),
        (2, "يومين"),
        (3, "3 أيام"),
        (10, "10 أيام"),
        (11, "11 يومًا"),
        (100, "100 يوم،"),
        (103, "103 أيام"),
    ],
)
def test_arabic_counts_days_in_its_six_ways(count: int, words: str) -> None:
    assert words in said("share", "ar", "sms", count=count)


def test_the_digest_says_whether_one_message_or_several_need_somebody() -> None:
    assert "1 message needs somebody" in said("digest", "en", "email", problems=1)
    assert "2 messages need somebody" in said("digest", "en", "email", problems=2)
    assert "Nothing needs to be looked at." in said("digest", "en", "email", problems=0)
    assert "Delivered: 12\nNot known whether they arrived: 1\n\n" in said("digest", "en", "email")
    assert "1 mensaje que" in said("digest", "es", "email", problems=1)
    assert "2 mensajes que" in said("digest", "es", "email", problems=2)


@pytest.mark.parametrize(
    ("language", "call"), [("en", "call"), ("es", "llame"), ("zh", "致电"), ("vi", "gọi"), ("ar", "الاتصال")]
)
def test_a_correction_tells_what_is_true_now_and_asks_for_a_call_only_when_the_student_is_not_there(
    language: str, call: str
) -> None:
    for part in ("sms", "email"):
        variants = {
            now: said("correction", language, part, now=now) for now in ("present", "tardy", "excused", "absent", "")
        }
        assert len(set(variants.values())) == 5
        assert [now for now, text in variants.items() if call in text] == ["absent"]
        # Nobody may read "nothing to do" when it was wrong that a student had come.
        assert call in said("correction", language, part, said="returned", now="")


def test_many_classes_without_a_roll_are_named_in_part_where_space_is_short() -> None:
    classes = [f"Class {number}" for number in range(40)]
    for language in ("en", "es"):
        for part in ("sms", "subject"):
            text = said("roll_not_taken", language, part, classes=classes)
            assert "Class 2" in text
            assert "37" in text
            assert "Class 3" not in text
        assert "Class 39" in said("roll_not_taken", language, "email", classes=classes)


HOSTILE = [
    "Maya\u202e serroT",  # right-to-left override
    "Maya\u2069\u2067\u200f Torres",  # the end of an isolate, and the beginning of another
    "Maya\r\nBcc: everybody@example.com",
    "Maya\x00\x1b[31m\x85Torres",
    "Maya\u2028\u2029Torres",
    "<script>alert(1)</script>",
    "<b>Maya</b> & \"Torres\" 'X'",
    "{{ school }}{% if 1 %}",
    "Maya 🎒👩‍👧 Torres",
    "Maya\ud83dTorres",
    "\ufeffMaya\u00adTorres  \t  ",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("part", PARTS)
def test_a_name_steers_nothing_around_it(name: str, language: str, part: Part) -> None:
    plain = said("absence", language, part, student="Maya Torres", classes=["Maya Torres"], whole_day=False)
    text = said("absence", language, part, student=name, classes=[name], whole_day=False)
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066\u2067\u2028\u2029\ud800-\udfff]", text
    )
    assert text.count("\n") == plain.count("\n")
    assert text.count("\u2068") == text.count("\u2069") == plain.count("\u2068")
    if name.startswith("{"):
        assert name in shown(text)  # said as it is, and not run
    page = as_html(text, language)
    assert "<script" not in page
    assert "<b>" not in page
    assert re.sub(r"</?p>|<br>", "", page).count("<") == 8


def test_facts_are_set_apart_in_a_text_that_runs_right_to_left() -> None:
    text = said("absence", "ar", "sms", whole_day=False, classes=["Algebra I", "Biology"])
    for fact in ("Lincoln Middle School", "Maya Torres", "+1 555 0100", "Algebra I", "Biology"):
        assert f"\u2068{fact}\u2069" in text
    assert "\u2068" not in said("absence", "en", "sms")


def test_an_arabic_name_is_set_apart_in_english_and_a_chinese_one_needs_not_be() -> None:
    assert "\u2068محمد علي\u2069 was" in said("absence", "en", "sms", student="محمد علي")
    assert "\u2068" not in said("absence", "en", "sms", student="张伟")


def test_a_fact_that_is_set_apart_still_compares_as_itself() -> None:
    text = "{% if now == 'present' and 'Algebra I' in classes %}{{ student ~ '!' }}{% else %}no{% endif %}"
    assert rendered(text, "ar", SAMPLE, "sms") == "\u2068Maya Torres\u2069!"


def test_letters_are_composed_so_that_they_fit_into_gsm_7() -> None:
    text = said("absence", "es", "sms", student="Jose\u0301 Mun\u0303oz")
    assert "José Muñoz" in text
    assert length_of(text).encoding == "GSM-7"


def test_a_time_costs_no_wide_character() -> None:
    moment = datetime(2026, 9, 14, 18, 5, tzinfo=UTC)
    zone = ZoneInfo("America/Chicago")
    assert clock(moment, zone, "en") == "1:05 PM"
    assert clock(moment, zone, "es") == "1:05 p.m."
    assert clock(moment, zone, "zh") == "13:05"
    assert length_of(clock(moment, zone, "es")).encoding == "GSM-7"


def test_html_has_a_paragraph_for_each_and_tells_language_and_direction() -> None:
    assert as_html("One\ntwo\n\n<three>", "en") == (
        '<!doctype html><html lang="en" dir="ltr"><head><meta charset="utf-8"></head>'
        "<body><p>One<br>two</p><p>&lt;three&gt;</p></body></html>"
    )
    assert 'lang="ar" dir="rtl"' in as_html("x", "ar")
    assert "<x" not in as_html("x", 'en"><x')
    assert [direction(language) for language in ("ar", "fa", "he", "ur", "es", "zh-Hant", "??")] == ["rtl"] * 4 + [
        "ltr"
    ] * 3


def test_parts_follow_the_channels() -> None:
    assert parts_for(["email"]) == ("subject", "email")
    assert parts_for(["sms"]) == ("sms",)
    assert parts_for(["sms", "email"]) == PARTS[1:] + PARTS[:1]
    assert parts_for(["voice"]) == ("sms",)
    assert parts_for([]) == ()


def test_a_schools_text_goes_before_the_districts_which_goes_before_the_built_in_one(sqlite_store: Store) -> None:
    district(sqlite_store, ("absence", "en", "sms", "District: {{ student }}"))
    words = district(sqlite_store, ("absence", "en", "sms", "North: {{ student }}"), org_id="north")
    assert words.say("absence", "en", ["sms"], SAMPLE, "north")[0] == {"sms": "North: Maya Torres"}
    assert words.say("absence", "en", ["sms"], SAMPLE, "south")[0] == {"sms": "District: Maya Torres"}
    found = words.text("absence", "en", "sms", "north")
    assert found is not None
    assert (found.version, found.org_id) == (1, "north")
    assert words.say("tardy", "en", ["sms"], SAMPLE, "north")[0]["sms"].startswith("Lincoln Middle School: ")


@pytest.mark.parametrize(
    "broken",
    ["{{ student", "{{ studnet }}", "{{ minutes + 1 }}", "{{ ''.__class__ }}", "   ", "{{ minutes }}" + "x" * 1601],
)
def test_a_broken_text_gives_way_to_the_next_in_the_same_language(sqlite_store: Store, broken: str) -> None:
    facts = {**SAMPLE, "minutes": None}
    words = district(sqlite_store, ("absence", "es", "sms", broken))
    assert words.say("absence", "es", ["sms"], facts) == built_in().say("absence", "es", ["sms"], facts)
    district(sqlite_store, ("absence", "es", "sms", broken), org_id="north")
    sqlite_store.write_now(
        lambda tx: tx.run(
            m.NotificationTemplate.update(text="Distrito: {{ student }}").where(m.NotificationTemplate.org_id == "")
        )
    )
    words = sqlite_store.read_now(Wording)
    assert words.say("absence", "es", ["sms"], facts, "north") == ({"sms": "Distrito: Maya Torres"}, "es")


def test_what_a_language_lacks_is_said_in_english_as_a_whole(sqlite_store: Store) -> None:
    words = district(sqlite_store, ("absence", "so", "sms", "{{ student }} ma joogo"))
    assert words.say("absence", "so", ["sms"], SAMPLE) == ({"sms": "Maya Torres ma joogo"}, "so")
    assert words.say("absence", "so", PARTS, SAMPLE) == built_in().say("absence", "en", PARTS, SAMPLE)
    for language in ("so", "ar", "zh", "", "../en", "xx-YY"):
        texts, spoken = words.say("digest", language, PARTS, SAMPLE)
        assert spoken == "en"
        assert texts == built_in().say("digest", "en", PARTS, SAMPLE)[0]


def test_a_broken_text_in_a_language_without_another_leads_to_english(sqlite_store: Store) -> None:
    words = district(sqlite_store, ("absence", "fa", "sms", "{{ nothing }}"))
    texts, spoken = words.say("absence", "fa", ["sms"], SAMPLE)
    assert spoken == "en"
    assert "\u2068" not in texts["sms"]


def test_a_language_as_spoken_in_one_region_is_said_in_that_language(sqlite_store: Store) -> None:
    for language, base in (("es-MX", "es"), ("zh-Hans", "zh"), ("zh_CN", "zh"), ("ES", "es"), ("en-GB", "en")):
        assert built_in().say("absence", language, PARTS, SAMPLE) == built_in().say("absence", base, PARTS, SAMPLE)
    words = district(sqlite_store, ("absence", "es-MX", "sms", "{{ student }}, {{ day|short }}"))
    assert words.say("absence", "es-MX", ["sms"], SAMPLE) == ({"sms": "Maya Torres, 14 sep"}, "es-MX")
    assert words.say("absence", "es", ["sms"], SAMPLE)[0] == built_in().say("absence", "es", ["sms"], SAMPLE)[0]


def test_a_built_in_text_that_comes_out_too_long_is_cut() -> None:
    facts = {"student": "Maya " * 5000, "classes": ["Algebra"] * 3000, "whole_day": False}
    for part in PARTS:
        text = said("absence", "en", part, **facts)
        assert len(text) <= LONGEST[part]
        assert text.endswith("...")


def test_a_kind_that_there_is_not_is_an_error() -> None:
    with pytest.raises(BadText, match="no text of the kind holiday"):
        built_in().say("holiday", "en", ["sms"], SAMPLE)


facts = st.fixed_dictionaries(
    {
        "student": st.text(alphabet=st.characters(), max_size=60),
        "school": st.text(alphabet=st.characters(), max_size=60),
        "phone": st.text(max_size=20),
        "classes": st.lists(st.text(max_size=20), max_size=5),
        "day": st.dates(min_value=date(1970, 1, 1), max_value=date(2100, 1, 1)),
        "minutes": st.none() | st.integers(min_value=0, max_value=600),
        "count": st.integers(min_value=0, max_value=400),
        "today": st.booleans(),
        "whole_day": st.booleans(),
        "now": st.sampled_from(["present", "tardy", "absent", "excused", ""]),
    }
)


@given(facts, st.sampled_from(FAMILY), st.sampled_from(LANGUAGES))
def test_whatever_the_facts_are_something_is_said(facts: Mapping[str, Any], kind: str, language: str) -> None:
    texts, spoken = built_in().say(kind, language, PARTS, {**SAMPLE, **facts})
    spoken_of = " ".join([facts["student"], facts["school"], facts["phone"], *facts["classes"]])
    assert spoken == language
    assert all(0 < len(texts[part]) <= LONGEST[part] for part in PARTS)
    assert "\n" not in texts["subject"] + texts["sms"]
    for text in texts.values():
        text.encode()
        assert "None" not in text or "None" in spoken_of
        assert as_html(text, language).count("<html") == 1
