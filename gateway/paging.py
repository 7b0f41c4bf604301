"""Pages of lists that may be long: whoever asks for the next names the last of the one before. Pure."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from gateway.problems import ProblemError

PAGE_MAX = 200

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]


def page(rows: Sequence[T], limit: int, after: str | None, name: Callable[[T], str]) -> tuple[Sequence[T], str | None]:
    """The rows behind the one called `after`, and the name of the last of them where there are more. Raises
    ProblemError 400 where there is none of that name: what was there a moment ago may be gone."""
    start = 0
    if after is not None:
        found = next((number for number, row in enumerate(rows) if name(row) == after), None)
        if found is None:
            reason = f"{after!r} is no `next` of a page, or is gone since: begin with the first page"
            raise ProblemError(400, f"after: {reason}", errors=[{"field": "after", "reason": reason}])
        start = found + 1
    some = rows[start : start + limit]
    return some, name(some[-1]) if some and start + limit < len(rows) else None
