"""Signals as something that is polled, so that nothing is ever interrupted by one."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import Any, Final, Self

# Programs inherit what is ignored, not what is handled: jobs shall not inherit a cron's whims.
_HANDED_ON: Final = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Signals:
    """Catches signals from enter to exit. Outside of the main thread it catches none."""

    def __init__(self, wanted: Iterable[int]) -> None:
        """`wanted` are told of; those that are ignored are passed by instead."""
        self._wanted = frozenset(wanted)
        self._caught: deque[int] = deque()
        self._before: dict[int, Any] = {}
        self._wakeup_before = -1
        self._reader = self._writer = -1

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        if threading.current_thread() is threading.main_thread():
            self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            self._catch()
        return self

    def _catch(self) -> None:
        for number in self._wanted:
            self._before[number] = signal.signal(number, self._handle)
        if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
            # Ignored, as some crons leave it, the system forgets how a child ended.
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in _HANDED_ON:
            if number not in self._wanted and signal.getsignal(number) == signal.SIG_IGN:
                self._before[number] = signal.signal(number, _pass_by)

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            if handler is not None:
                signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)
        self._reader = self._writer = -1

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._caught.append(number)

    def fileno(self) -> int:
        """A descriptor that is readable once a signal has come, or `wake` was called."""
        return self._reader

    def wake(self) -> None:
        """End a wait for this descriptor, from any thread."""
        with suppress(OSError):  # full: it wakes already; closed: nobody waits any more
            os.write(self._writer, b"\0")

    def take(self) -> list[int]:
        """The signals that have come since the last call, in order."""
        with suppress(BlockingIOError):
            while len(os.read(self._reader, 4096)) == 4096:
                pass
        taken = []
        while self._caught:
            taken.append(self._caught.popleft())
        return taken


def _pass_by(number: int, frame: FrameType | None) -> None:
    del number, frame
