"""Lists that are read page by page: `?limit=&cursor=` and `{"items": […], "next": …}`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import Field
from quart import current_app

from homeroom.api.operation import Query
from homeroom.api.problem import FieldError, Invalid

LARGEST = 2**63 - 1
"""The largest number that both databases can hold."""


class PageQuery(Query):
    """Where a page begins and how long it may be."""

    limit: int = Field(default=100, ge=1, description="How many items at most; the server may give fewer.")
    cursor: str | None = Field(default=None, description="`next` of the page before.")

    def size(self) -> int:
        """How many items this page has at most."""
        most: int = current_app.extensions["homeroom"].settings.server.max_page_size
        return min(self.limit, most)

    def after(self, parts: int) -> list[Any] | None:
        """The sort key after which this page begins, of `parts` parts. Raises Invalid for a cursor of another list."""
        if self.cursor is None:
            return None
        try:
            found = orjson.loads(base64.urlsafe_b64decode(self.cursor.encode()))
        except (binascii.Error, ValueError):
            found = None
        if not isinstance(found, list) or len(found) != parts or not all(isinstance(part, str) for part in found):
            raise Invalid([FieldError(field="cursor", message="is not a cursor of this list")])
        return found

    def number(self) -> int:
        """The number after which this page begins, 0 for the first. Raises Invalid for a cursor of another list."""
        after = self.after(1)
        if after is None:
            return 0
        number = number_of(after[0])
        if number is None:
            raise Invalid([FieldError(field="cursor", message="is not a cursor of this list")])
        return number


def number_of(text: str) -> int | None:
    """The number that a text in a request stands for; None for any other, and for one that no database can hold."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST))):
        return None
    number = int(text)
    return number if number <= LARGEST else None


def cursor_of(key: Sequence[str]) -> str:
    """The opaque cursor that stands after the item with this sort key."""
    return base64.urlsafe_b64encode(orjson.dumps(list(key))).decode()
