"""The Jinja that a text may use: enough to say facts, and nothing that runs long, grows large or looks elsewhere.

Jinja's own sandbox keeps a text from what it must not touch. That does not keep it from running for hours or filling
the memory, so only a part of the language is let in: no calls but those of a mapping, no assignments, no products, one
loop at a time, few filters. Everything refused is a `jinja2.TemplateError`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateRuntimeError, TemplateSyntaxError, Undefined, nodes
from jinja2.filters import FILTERS
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MOST_SOURCE = 10_000
"""Characters of a text at most, as it is written."""

MOST_OUTPUT = 40_000
"""Characters of what a text says, before blank space is taken out; whatever comes after them is left out."""

_ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.If, nodes.For),
    *(nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Add, nodes.Sub),
    *(nodes.Mod, nodes.Concat, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Filter),
    *(nodes.Test, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Call),
)
_METHODS = ("get", "items", "keys", "values")
_FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "first", "int", "last", "length", "lower", "max"),
    *("min", "sum", "title", "trim", "truncate", "unique", "upper"),
)
_DEEPEST = 16
_JOINERS = "\u200c\u200d"  # names in Persian, Sinhala and others are spelled with them
_FROM_RIGHT = ("R", "AL")


class Sandbox(ImmutableSandboxedEnvironment):
    """Reads and fills texts; `filters` come on top of those that every text has."""

    intercepted_binops = frozenset({"%"})

    def __init__(self, filters: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(
            undefined=StrictUndefined,
            autoescape=False,
            lstrip_blocks=True,
            finalize=_shown,
        )
        self.globals.clear()
        self.filters = {**{name: FILTERS[name] for name in _FILTERS}, "join": _join, **filters}

    def read(self, text: str) -> tuple[Template, frozenset[str]]:
        """A text that can be filled, and the names of the facts that it asks for anywhere."""
        if len(text) > MOST_SOURCE:
            raise TemplateSyntaxError(f"it has {len(text)} characters; {MOST_SOURCE} is the most", 1)
        tree = self.parse(text)
        self._examine(tree, 0, in_loop=False)
        names = frozenset(find_undeclared_variables(tree))
        return self.from_string(_Joined().visit(tree)), names

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """The remainder of two numbers; with a text on the left, `%` would write into it, and could make it endless."""
        if not isinstance(left, int | float):
            raise TemplateRuntimeError("% is for numbers only")
        return super().call_binop(context, operator, left, right)

    def _examine(self, node: nodes.Node, depth: int, *, in_loop: bool) -> None:
        wrong = None
        if depth > _DEEPEST:
            wrong = "too much stands inside of one another"
        elif not isinstance(node, _ALLOWED):
            wrong = f"`{type(node).__name__.lower()}` cannot be used in a text"
        elif isinstance(node, nodes.For) and in_loop:
            wrong = "a loop cannot stand in another one"
        elif isinstance(node, nodes.Call) and not (isinstance(node.node, nodes.Getattr) and node.node.attr in _METHODS):
            wrong = f"only {', '.join(_METHODS)} can be called"
        elif isinstance(node, nodes.Filter) and node.name not in self.filters:
            wrong = f"there is no filter `{node.name}`; what there is: {', '.join(sorted(self.filters))}"
        elif isinstance(node, nodes.Test) and node.name not in self.tests:
            wrong = f"there is no test `{node.name}`"
        if wrong:
            raise TemplateSyntaxError(wrong, node.lineno)
        for child in node.iter_child_nodes():
            self._examine(child, depth + 1, in_loop=in_loop or isinstance(node, nodes.For))


def filled(template: Template, facts: Mapping[str, Any], *, rtl: bool) -> str:
    """What the text, which runs right to left or not, says of the facts; no more of it than MOST_OUTPUT."""
    return _first(template.generate({name: _safe(value, rtl=rtl) for name, value in facts.items()}))


class _Joined(NodeTransformer):
    """Makes `a ~ b` the same as `[a, b]|join`, which writes no value that would read as a mistake."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - the name that Jinja calls
        self.generic_visit(node)
        joined = nodes.Filter(nodes.List(node.nodes), "join", [], [], None, None, environment=node.environment)
        return joined.set_lineno(node.lineno, override=True)


class _Apart(str):
    """A fact that is set apart from the text around it where it is written, and is itself where it is compared."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"\u2068{super().__str__()}\u2069"


def _safe(value: Any, *, rtl: bool) -> Any:
    """A fact on one line and without characters that would steer the text around it.

    It is set apart where its direction may not be the text's: digits and Latin letters between Arabic ones, or Arabic
    ones in a text that runs left to right.
    """
    if isinstance(value, str):
        plain = " ".join((value if value.isprintable() else "".join(map(_harmless, value))).split())
        foreign = rtl or (not plain.isascii() and any(unicodedata.bidirectional(char) in _FROM_RIGHT for char in plain))
        return _Apart(plain) if foreign and plain else plain
    if isinstance(value, int | float | date):
        return value
    if isinstance(value, list | tuple):
        return [safe for one in value if (safe := _safe(one, rtl=rtl)) != ""]
    if isinstance(value, Mapping):
        return {key: _safe(one, rtl=rtl) for key, one in value.items()}
    return value


def _harmless(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category == "Cs" or (category == "Cf" and char not in _JOINERS) else char


def _shown(value: Any) -> Any:
    """What is written where a text shows a value: a word or number; anything else would read as a mistake."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, Undefined):
        return str(value)  # nothing after an "if" without "else"; for an unknown name this raises
    if value is None or isinstance(value, bool):
        raise TemplateRuntimeError("there is nothing to write here; put an `if` around it")
    raise TemplateRuntimeError(f"a {type(value).__name__} cannot be written as it is: see `short`, `long` and `join`")


def _join(values: Any, between: str = "") -> str:
    return _first(f"{between if number else ''}{_shown(value)!s}" for number, value in enumerate(values))


def _first(pieces: Iterable[str]) -> str:
    """The pieces together, up to MOST_OUTPUT; no more of them are made."""
    taken: list[str] = []
    left = MOST_OUTPUT
    for piece in pieces:
        taken.append(piece[:left])
        left -= len(piece)
        if left <= 0:
            break
    return "".join(taken)
