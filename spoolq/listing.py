"""Listings: records one by one, newest first, read from the spool a page at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from spoolq.model import Page

T = TypeVar("T")

FETCH: Final = 10  # records a page; Minion's [371]


class Listing(Generic[T]):
    """An iterator over records that are there when their page is read [369-376].

    What is added meanwhile is not visited, what is removed ahead is skipped. `before` is the id
    the next page has to stay below; `fetch` the size of a page, which may be changed.
    """

    def __init__(self, load: Callable[[int | None, int], Page], before: int | None = None) -> None:
        """`load(before, limit)` reads a page of what has ids below `before`."""
        self.before = before
        self.fetch = FETCH
        self._load = load
        self._page: Page | None = None
        self._ahead: deque[T] = deque()
        self._passed = 0
        self._before_page = 0

    @property
    def total(self) -> int:
        """How many match: those read before the present page, and all that was ahead then."""
        page = self._turn() if self._page is None else self._page
        return self._before_page + page.total

    def __iter__(self) -> Listing[T]:
        return self

    def __next__(self) -> T:
        if not self._ahead and not self._at_end():
            self._turn()
        if not self._ahead:
            raise StopIteration
        self._passed += 1
        return self._ahead.popleft()

    def _at_end(self) -> bool:
        return self._page is not None and not self._page.rows

    def _turn(self) -> Page:
        page = self._page = self._load(self.before, self.fetch)
        self._before_page = self._passed
        self._ahead.extend(page.rows)
        if page.rows:
            self.before = page.rows[-1].id
        return page
