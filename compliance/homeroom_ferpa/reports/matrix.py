"""The compliance report: each sentence of the law, how it is met, the test that proves it, and how that went."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

NOT_RUN = "not run here"
VARIABLE = "HOMEROOM_COMPLIANCE_RESULTS"
_WORST_FIRST = ("failed", "skipped", "passed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One row: `how` is enforced, recorded, yours or not yet; `who` says what people do and where it is kept."""

    number: int
    section: str
    says: str
    how: str
    who: str = ""
    tests: tuple[str, ...] = ()


def sentences() -> list[Sentence]:
    """Every row of the matrix, in order."""
    text = resources.files("homeroom_ferpa.reports").joinpath("matrix.toml").read_text("utf-8")
    rows = tomllib.loads(text)["sentence"]
    return [Sentence(**{**row, "tests": tuple(row.get("tests", ()))}) for row in rows]


def outcomes(path: Path | None) -> Mapping[str, str]:
    """How each test went, from the file that a run wrote; the environment names it where no setting does."""
    named = path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is None or not named.exists():
        return {}
    found: dict[str, str] = json.loads(named.read_text("utf-8"))["outcomes"]
    return found


def report(results: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows with how the tests went: the worst of them, and `NOT_RUN` where one of them was not run."""
    return [asdict(one) | {"tests": list(one.tests), "result": _result(one.tests, results)} for one in sentences()]


def _result(tests: Sequence[str], results: Mapping[str, str]) -> str:
    if not tests:
        return "no test"
    found = {results.get(test, NOT_RUN) for test in tests}
    return next((one for one in (_WORST_FIRST[0], NOT_RUN, *_WORST_FIRST[1:]) if one in found), NOT_RUN)


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The report to read in a terminal."""
    lines = []
    for row in rows:
        lines.append(f"{row['number']:>2}  {row['section']:<24} {row['how']:<9} {row['result']:<12} {row['says']}")
        if row["who"]:
            lines.append(f"{'':52}Yours: {row['who']}")
        lines += [f"{'':52}{test}" for test in row["tests"]]
    lines.append("This is engineering guidance, not legal advice.")
    return "\n".join(lines)


def as_page(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The report as one page without anything from elsewhere."""
    names = ("number", "section", "says", "how", "who", "tests", "result")
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join("<tr>" + "".join(f"<td>{_cell(row[name])}</td>" for name in names) + "</tr>" for row in rows)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Compliance report</title>'
        "<style>body{font:1rem/1.5 system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}"
        "th,td{border:1px solid #767676;padding:.3rem .5rem;text-align:left;vertical-align:top}</style></head><body>"
        "<h1>Compliance report</h1><p>This is engineering guidance, not legal advice.</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></body></html>\n"
    ).encode()


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "<br>".join(escape(one.rpartition("::")[2].replace("_", " ")) for one in value)
    return escape(str(value))
