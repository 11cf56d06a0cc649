"""What can go wrong with the database, in the words that the API and the CLI answer with."""

from __future__ import annotations


class StoreError(Exception):
    """Something about the database; the text is for an operator and holds no data."""


class Unavailable(StoreError):
    """The database cannot be reached, or is full, or does not answer: try again after `retry_after` seconds."""

    retry_after = 2


class Busy(Unavailable):
    """More changes are waiting than the queue holds."""

    retry_after = 1


class Refused(Exception):
    """A unit of work that must not be done, raised inside it before anything is written, or to undo what it wrote.

    `problem` ends the error's `type` ("session-closed"), `status` is the HTTP status it becomes.
    """

    def __init__(self, status: int, problem: str, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = problem
        self.detail = detail
        self.retry_after = retry_after


def not_found(detail: str = "There is no such thing, or you may not see it.") -> Refused:
    """A Refused for what does not exist or may not be known of."""
    return Refused(404, "not-found", detail)


def conflict(problem: str, detail: str) -> Refused:
    """A Refused for a change that the present state forbids."""
    return Refused(409, problem, detail)
