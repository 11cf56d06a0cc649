"""The pages' words and what they are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import homeroom_web
from homeroom.testing import plugin_tests
from homeroom_web import Web
from homeroom_web.words import languages, words_for

HERE = Path(homeroom_web.__file__).parent
STATUSES = {"present", "tardy", "absent", "excused"}
STATES = {"reported", "approved", "refused", "loaded", "off", "quarantined", "left_out"}

TestWeb = plugin_tests(Web, {})


def _said() -> Iterator[str]:
    """Every text that a page says."""
    for file in HERE.glob("templates/**/*.html"):
        yield from re.findall(r"""\b_\((?:"([^"]+)"|'[^']+')""", file.read_text(encoding="utf-8"))
        yield from re.findall(r"""\b_\('([^']+)'""", file.read_text(encoding="utf-8"))
    for file in HERE.glob("**/*.py"):
        yield from re.findall(r"""(?:\.|\bto_)say\(\s*"([^"]+)\"""", file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", [one for one in languages() if one != "en"])
def test_every_text_is_said_in_every_language_and_no_other_is_kept(language: str) -> None:
    texts = {text for text in _said() if text} | STATUSES | STATES
    kept = set(languages()[language]._texts)
    assert (texts - kept, kept - texts) == (set(), set())


@pytest.mark.parametrize("language", [one for one in languages() if one != "en"])
def test_a_translation_fills_in_what_its_text_does(language: str) -> None:
    for text, said in languages()[language]._texts.items():
        assert sorted(re.findall(r"{\w+}", said)) == sorted(re.findall(r"{\w+}", text)), text


@pytest.mark.parametrize(
    ("accepted", "language"),
    [(["es-MX", "en"], "es"), (["fr", "es"], "es"), (["fr"], "en"), ([], "en"), (["*"], "en"), (["x" * 300], "en")],
)
def test_a_page_speaks_a_language_that_there_is(accepted: list[str], language: str) -> None:
    assert words_for(accepted).language == language


def test_no_page_needs_what_the_content_security_policy_forbids() -> None:
    for file in HERE.glob("templates/**/*.html"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\sstyle=|<style|<script(?! src=\"/static/)|\son[a-z]+=|javascript:", text), file.name
