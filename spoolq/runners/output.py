"""Where a function's words go: prints, `logging` and bare writes, straight into the attempt's log.

A child that performs one job after another has its descriptors 1 and 2 on the log of the moment.
One that performs many at once has a log for each, and every write finds its own through the
context it is made in; there, bare writes and programs that are started share the worker's.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from spoolq.logs import log_path, open_log, pass_on_log

if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s [job %(job)s]: %(message)s"

_own_log: ContextVar[int | None] = ContextVar("spoolq_log", default=None)


def prepare() -> None:
    """Once, before the first job: standard streams that are what they are called.

    A program may have replaced them, or have none; and what is written belongs into the log at
    once, so that both streams keep their order and a killed job has said what it said.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for name, fd in (("stdout", 1), ("stderr", 2)):
        file = io.FileIO(fd, "w", closefd=False)
        # The old stream stays referenced: closing it would close the descriptor.
        setattr(sys, f"_spoolq_{name}", getattr(sys, name))
        setattr(sys, name, _text(file))
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # for as long as the process lives


def _text(raw: io.RawIOBase) -> io.TextIOWrapper:
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, "utf-8", "backslashreplace", line_buffering=True)


def route_logging(job_id: Callable[[], int | None]) -> None:
    """Send `logging` to stderr with the job's id, unless the program has handlers of its own."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter(FORMAT))

    def add_job(record: logging.LogRecord) -> bool:
        record.job = job_id()
        return True

    handler.addFilter(add_job)
    root.addHandler(handler)
    if root.level == logging.WARNING:
        root.setLevel(logging.INFO)


class _ToStderr(logging.StreamHandler[Any]):
    """A handler of whatever stderr is at the moment: a task may replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        """Of no effect."""


class Output:
    """The log of the attempt that this process performs; without a root there is none.

    A log with nothing in it is not kept. But it need not be deleted to be made again in the next
    moment: it may wait, open, to become the log of the next attempt.
    """

    def __init__(self, root: str | None) -> None:
        self._root = root
        self._null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._attempt: tuple[int, int] | None = None
        self._inode: tuple[int, int] | None = None
        self.waits = False
        """Whether the log is kept for the next attempt, which takes it over if it is empty."""

    def begin(self, id: int, retries: int) -> None:
        """From here on both streams go into this attempt's log. Raises OSError."""
        if self._root is None:
            return
        attempt = (id, retries)
        if not self._take_over(self._root, attempt):
            log = open_log(self._root, *attempt)
            self._inode = _inode(log)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
        self._attempt = attempt

    def _take_over(self, root: str, attempt: tuple[int, int]) -> bool:
        if not self.waits or self._attempt is None:
            return False
        # What the last attempt has left running had the file open until it was killed.
        if self._is_untouched() and pass_on_log(root, self._attempt, attempt):
            self.waits = False
            return True
        self.discard()
        return False

    def end(self, *, keep: bool = False) -> None:
        """The attempt is over; its log waits for the next one if it is to be kept, which takes it
        over if it is still empty then.

        Keep it only where no other process can be given the same attempt again, which would find
        this log, and where what the attempt has left running is killed before the next one.
        """
        flush()
        if self._attempt is None:
            return
        self.waits = keep
        if not keep:
            self.discard()

    def _is_untouched(self) -> bool:
        try:
            out, err = os.fstat(1), os.fstat(2)
        except OSError:
            return False  # the task has closed it
        same = (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino) == self._inode
        return same and out.st_size == 0 and out.st_nlink == 1

    def discard(self) -> None:
        """Let go of the log, if there is one; an empty one is deleted."""
        if self._attempt is None:
            return
        assert self._root is not None  # noqa: S101  # only then there is a log
        with suppress(OSError):  # the task may have closed it
            if os.fstat(1).st_size == 0:
                os.unlink(log_path(self._root, *self._attempt))
        os.dup2(self._null, 1)
        os.dup2(self._null, 2)
        self._attempt, self.waits = None, False


def _inode(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def flush() -> None:
    """Write out what is buffered."""
    for stream in (sys.stdout, sys.stderr):
        # A task may have closed or replaced it.
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()


# -- many at once --------------------------------------------------------------------------------


class _OwnLog(io.RawIOBase):
    """Writes into the log of the coroutine that writes, else where the process writes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: Any) -> int:
        log = _own_log.get()
        return os.write(self._fd if log is None else log, data)


class _Unbuffered(io.TextIOBase):
    """Text without a buffer: a buffer would mix the words of several."""

    encoding = "utf-8"

    def __init__(self, raw: _OwnLog) -> None:
        self.buffer = raw

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.buffer.fileno()

    def write(self, text: str) -> int:
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        while left:
            left = left[self.buffer.write(left) :]
        return len(text)


def divide() -> None:
    """Give both streams to whoever writes, one log for each."""
    sys.stdout = _Unbuffered(_OwnLog(1))
    sys.stderr = _Unbuffered(_OwnLog(2))


class OwnOutput:
    """The log of one coroutine: entered in its own context."""

    def __init__(self, root: str | None, id: int, retries: int) -> None:
        """Raises OSError."""
        self._log = None if root is None else open_log(root, id, retries)
        self._path = "" if root is None else log_path(root, id, retries)
        _own_log.set(self._log)

    def end(self) -> None:
        """The attempt is over. A log with nothing in it is not kept."""
        if self._log is None:
            return
        _own_log.set(None)
        with suppress(OSError):
            if os.fstat(self._log).st_size == 0:
                os.unlink(self._path)
        os.close(self._log)
        self._log = None
