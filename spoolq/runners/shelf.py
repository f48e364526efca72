"""What programs have left untouched, to be used again: an empty private directory, an empty log.

Most programs write into neither, and to delete and make two files costs more than to start a small
program. Nothing is used again before everything is dead that the last one may have left running
and that carries its mark (see `marks` for what does not).

CRASH: a worker that is killed leaves what it kept, at most twice MOST empty directories in the
temporary directory and as many empty logs, as it leaves the directories of jobs that run.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from spoolq.clock import Clock
from spoolq.logs import log_path, open_log, take_over_log
from spoolq.runners.program import Scratch

MOST: Final = 256  # of each that are kept
KEEP: Final = 1.0  # seconds without a start that they are kept

_Log = tuple[int, int]  # the attempt whose log it is: id and retries


class Left(NamedTuple):
    """What one program has left."""

    scratch: Scratch
    log: _Log | None


class Shelf:
    """Keeps what can be used again. Belongs to one thread."""

    def __init__(self, root: str, clock: Clock) -> None:
        """For the spool at `root`."""
        self._root = root
        self._clock = clock
        self._until = 0.0
        self._unswept: dict[int, Left] = {}
        self._scratches: deque[Scratch] = deque()
        self._logs: deque[_Log] = deque()

    def put(self, mark: int, scratch: Scratch, log: _Log | None) -> None:
        """Take over the directory of a program that has ended, and its `log` if that is empty."""
        if len(self._unswept) >= MOST or len(self._scratches) >= MOST or len(self._logs) >= MOST:
            scratch.remove()
        elif scratch.is_untouched():
            self._unswept[mark] = Left(scratch, log)
        else:
            scratch.remove()

    def swept(self, marks: Iterable[int]) -> None:
        """Nothing carries one of these marks any more: what was left can be used."""
        for mark in marks:
            left = self._unswept.pop(mark, None)
            if left is None:
                continue
            self._scratches.append(left.scratch)
            if left.log is not None:
                self._logs.append(left.log)

    def scratch(self, name: str, owner: tuple[int, int] | None) -> Scratch:
        """A private directory, empty. Raises OSError."""
        self._until = self._clock.elapsed() + KEEP
        uid = os.geteuid() if owner is None else owner[0]
        while self._scratches:
            scratch = self._scratches.popleft()
            # What was left running may have touched it until it was swept.
            if scratch.owner == uid and scratch.is_untouched() and scratch.pass_on(name):
                return scratch
            scratch.remove()
        return Scratch(name, owner)

    def log(self, id: int, retries: int) -> int:
        """The log of an attempt, as `open_log` has it. Raises OSError."""
        while self._logs:
            log = take_over_log(self._root, self._logs.popleft(), (id, retries))
            if log is not None:
                return log
        return open_log(self._root, id, retries)

    def tend(self) -> None:
        """Clear it when nothing was started for a while."""
        if (self._unswept or self._scratches or self._logs) and (
            self._clock.elapsed() >= self._until
        ):
            self.clear()

    def clear(self) -> None:
        """Delete what is kept."""
        for left in self._unswept.values():
            left.scratch.remove()
            if left.log is not None:
                self._logs.append(left.log)
        for scratch in self._scratches:
            scratch.remove()
        for log in self._logs:
            with suppress(OSError):
                if _size(self._root, log) == 0:
                    os.unlink(log_path(self._root, *log))
        self._unswept.clear()
        self._scratches.clear()
        self._logs.clear()


def _size(root: str, log: _Log) -> int | None:
    try:
        return os.lstat(log_path(root, *log)).st_size
    except OSError:
        return None
