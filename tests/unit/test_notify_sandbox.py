"""What a text that an administrator wrote may do, and how mistakes in it are told."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.notify.wording import LONGEST, PARTS, SAMPLE, BadText, Part, check, languages, rendered


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{ studnet }}", "there is no `studnet`; did you mean `student`?"),
        ("{% if not today %}{{ xyz }}{% endif %}", "there is no `xyz`; what there is: classes, count, "),
        ("{{ student", "line 1: "),
        ("\n{% if today %}", "line 2: "),
        ("{{ student|shout }}", "there is no filter `shout`; what there is: "),
        ("{% if student is loud %}x{% endif %}", "loud"),
        ("{{ minutes }}", "there is nothing to write here; put an `if` around it (where minutes is None)"),
        ("{{ 'by ' ~ minutes }}", "(where minutes is None)"),
        ("{% if minutes > 5 %}late{% else %}x{% endif %}", "(where minutes is None)"),
        ("{{ day }}", "a date cannot be written as it is: see `short`, `long` and `join`"),
        ("{{ classes }}", "a list cannot be written as it is"),
        ("{{ today }}", "there is nothing to write here"),
        ("{{ student|long }}", "`long` is for a day"),
        ("{{ student|plural(other='#') }}", "`plural` is for a number"),
        ("{{ count|plural(one='# day') }}", "KeyError: 'other'"),
        ("{% if minutes %}late{% endif %}", "it says nothing (where minutes is None)"),
        ("   ", "it says nothing"),
        ("x" * 1601, "it comes to 1601 characters; 1600 is the most"),
        ("x" * 10_001, "it has 10001 characters; 10000 is the most"),
        ("{{ counts.delivered }}", "(where counts is {}"),
    ],
)
def test_a_mistake_is_told_in_words_that_help(text: str, why: str) -> None:
    with pytest.raises(BadText) as found:
        check(text, "en", "sms")
    assert why in str(found.value)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ student.__init__.__globals__ }}",
        "{{ self }}",
        "{{ loop }}",
        "{{ lipsum() }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ student.format(1) }}",
        "{{ '{0.__class__}'.format(student) }}",
        "{{ classes.append('x') }}",
        "{{ day.strftime('%Y') }}",
        "{{ counts.values }}",
        "{{ student|attr('__class__') }}",
        "{{ counts|tojson }}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% macro f() %}{% endmacro %}",
        "{% set x = 1 %}{{ x }}",
        "{% with x = 1 %}{{ x }}{% endwith %}",
        "{% block b %}{% endblock %}",
        "{% filter upper %}x{% endfilter %}",
        "{% call student() %}{% endcall %}",
        "{% autoescape true %}x{% endautoescape %}",
        "{% for x in classes recursive %}{{ loop(classes) }}{% endfor %}",
    ],
)
def test_a_text_sees_nothing_but_its_facts(text: str) -> None:
    with pytest.raises(BadText):
        rendered(text, "en", SAMPLE, "email")


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "{% for a in range(99999999) %}{% endfor %}x",
        "{% for a in student %}{% for b in student %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 999999999 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%999999999s' % student }}",
        "{{ 'x'|center(999999999) }}",
        "{{ 'x'|indent(999999999) }}",
        "{{ count|round(999999999, 'ceil') }}",
        "{{ 999999999|plural(other='x') }}",
        "{{ student" + "|join('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')" * 12 + " }}",
        "{{ student" + ("|join('" + "x" * 3000 + "')") * 3 + " }}",
        "{{ student" + "|replace('a', 'aaaaaaaaaaaaaaaaaaaa')" * 12 + " }}",
        "{{ " + "[" * 12 + "'\\\\'" + "]" * 12 + " ~ '' }}",
        "{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}",
        "{% if 1 %}" * 400 + "{% endif %}" * 400,
        "{{ " + "-" * 5000 + "1 }}",
        "{{ " + "9" * 9000 + " }}",
        "{% for c in detail %}" + "x" * 9000 + "{% endfor %}",
    ],
)
def test_a_text_that_would_run_long_or_grow_large_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(BadText):
        rendered(text, "en", SAMPLE, "email")
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{% for one in days %}{{ one|short }}{{ ', ' if not loop.last }}{% endfor %}", "Sep 10, Sep 11, Sep 14"),
        ("{{ classes|first|upper }} {{ classes[0]|lower }}", "ALGEBRA I algebra i"),
        ("{% if count % 10 == 3 and count % 100 != 13 %}few{% else %}many{% endif %}", "few"),
        ("{{ counts.get('unknown', 0) + counts['delivered'] - 1 }}", "12"),
        ("{% for state, n in counts.items() %}{{ state }}={{ n }};{% endfor %}", "delivered=12;unknown=1;"),
        ("{% raw %}{{ braces }}{% endraw %}{# unseen #}", "{{ braces }}"),
        ("{{ detail|truncate(8, True) }}", "It do..."),
        ("{{ count|abs }} {{ 3 if count is odd else 4 }}", "3 3"),
        ("a{% if phone %}b{% endif %}\n\nc", "ab\n\nc"),
        ("a\r\nb\x00 \n\n\n\nc\t\n", "a\nb\n\nc"),
    ],
)
def test_what_a_text_needs_it_can_do(text: str, result: str) -> None:
    assert rendered(text, "en", SAMPLE, "email") == result


pieces = st.sampled_from(
    [
        *(
            "{{ ",
            " }}",
            "{% if ",
            " %}",
            "{% endif %}",
            "{% for x in ",
            "{% endfor %}",
            "student",
            "classes",
            "minutes",
        ),
        *("day", "|join(", "|short", "|plural(other='#')", ")", "(", "[", "]", " ~ ", " + ", " % ", ".", "'", "x", "1"),
        *("-", " in ", "|"),
    ]
)


@given(
    st.lists(pieces | st.text(max_size=5), max_size=25).map("".join),
    st.sampled_from(languages()),
    st.sampled_from(PARTS),
)
def test_any_text_at_all_is_either_said_or_refused_in_words(text: str, language: str, part: Part) -> None:
    try:
        result = check(text, language, part)
    except BadText as exc:
        assert str(exc)  # noqa: PT017 - either way is right
    else:
        assert 0 < len(result) <= LONGEST[part]
