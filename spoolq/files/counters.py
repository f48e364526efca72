"""Numbers that are names: `ids/<kind>.<next>.<reopened>.<nonce>`.

Taking a number is one rename of that very name, so two takers cannot get the same one. The
counter of jobs carries a second number: how often a finished job has become unfinished again.
Whoever remembers which parents are done reads it with the first, at no cost.
"""

from __future__ import annotations

import re

from spoolq.errors import SpoolUnavailable
from spoolq.files.fs import Filesystem, Glance
from spoolq.files.names import nonce

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Final

_WINDOW: Final = 256


_NAME: Final = re.compile(r"([a-z]+)\.([0-9]{1,19})\.([0-9]+)\.[0-9a-z]+", re.ASCII)


class Counter:
    """One sequence of a spool, shared by every process that uses it."""

    def __init__(self, fs: Filesystem, directory: str, kind: str) -> None:
        self._fs = fs
        self._directory = directory
        self._glance = Glance(fs, directory)
        self._kind = kind
        self._last = ""  # the name as this process saw it last; often still the right one
        self._next = 1
        self._covered = 0  # numbers below this are skipped after a power loss, if not kept
        self.reopened = 0

    def take(self, count: int = 1) -> int:
        """The first of `count` numbers that nobody else gets. Gaps follow when they go unused.

        They are never given out again, also after power loss. On a file system that may keep a
        later change and lose this one, the name is synced every `_WINDOW` numbers, and the first
        opener after a boot skips as many when it finds a number in use that was not taken.
        """
        first = self._move_on(count, 0)
        fs = self._fs
        if fs.durable and not fs.ordered and first + count > self._covered:
            fs.sync_directory(self._directory)
            self._covered = first + count + _WINDOW
        return first

    def skip_lost(self, highest: int) -> None:
        """After a boot: if the highest number in use was not taken, power loss has set the counter
        back; leave out what may have been given out."""
        behind = highest + 1 - self.peek()
        if behind > 0:
            self._move_on(behind + _WINDOW, 0)
        self._fs.sync_directory(self._directory)

    def reopen(self) -> None:
        """Count one finished job that is unfinished again."""
        self._look()
        self._move_on(0, 1)

    def peek(self) -> int:
        """The number that would be taken next; `reopened` is as fresh."""
        self._look()
        return self._next

    def _move_on(self, count: int, reopened: int) -> int:
        move, directory = self._fs.move, self._directory
        while True:
            if not self._last:
                self._look()
            first = self._next
            name = f"{self._kind}.{first + count}.{self.reopened + reopened}.{nonce()}"
            if move(f"{directory}/{self._last}", f"{directory}/{name}"):
                self._last, self._next = name, first + count
                self.reopened += reopened
                return first
            self._last = ""  # RACE: somebody else took a number

    def _look(self) -> None:
        best: tuple[int, int] | None = None
        for _ in range(100):
            listed = self._glance.fresh()
            if listed is None:
                if self._last:
                    return
                listed = self._fs.list(self._directory)
            if self._last in listed:
                return  # nobody has moved it on
            for name in listed:
                parsed = _NAME.fullmatch(name)
                if parsed and parsed[1] == self._kind:
                    found = (int(parsed[2]), int(parsed[3]))
                    if best is None or found > best:
                        best, self._last = found, name
            if best is not None:
                self._next, self.reopened = best
                return
            # RACE: a listing may miss a name that is renamed while it runs.
        raise SpoolUnavailable(
            f"the counter {self._kind!r} is missing in {self._directory}; restore it as an empty "
            f"file {self._kind}.N.0.restored with an N above every id in use",
            self._directory,
        )
