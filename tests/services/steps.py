"""The shell lines of a section of a page, as they stand there: what a page says is what a test runs."""

from __future__ import annotations

import re
from pathlib import Path


def section(page: Path, title: str) -> str:
    """The text under a heading, up to the next one of its rank or above."""
    text = page.read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found is not None, title
    rest = text[found.end() :]
    ends = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: ends.start()] if ends else rest


def lines(page: Path, title: str) -> list[str]:
    """Every line of every `sh` block of the section."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", section(page, title), re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
