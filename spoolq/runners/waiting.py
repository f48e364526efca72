"""Waiting for a run, or for the first of several child processes to end, without reaping it."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from spoolq.clock import SystemClock

if TYPE_CHECKING:
    from spoolq.runners import Outcome, Run
    from spoolq.runners.deadline import Deadline

_LONGEST: Final = 60.0  # seconds between two looks at a run
_BLIND_PAUSE: Final = 0.02  # seconds between two looks where the system cannot tell


def wait_for_exit(pids: Iterable[int], timeout: float) -> None:
    """Return when one of these children has ended, or after `timeout` seconds.

    It may return early; whoever calls looks for himself.
    """
    watched: list[int] = []
    try:
        try:
            for pid in pids:
                watched.append(os.pidfd_open(pid))  # noqa: PERF401  # closed one by one below
        except OSError:
            # A kernel before 5.3, or a child that others have reaped.
            SystemClock().sleep(max(0.0, min(timeout, _BLIND_PAUSE)))
            return
        poll = select.poll()
        for fd in watched:
            poll.register(fd, select.POLLIN)
        poll.poll(max(0.0, timeout) * 1000)
    finally:
        for fd in watched:
            os.close(fd)


def wait_for_run(
    run: Run, timeout: float | None, deadline: Deadline | None = None
) -> Outcome | None:
    """The outcome of a run, or None after `timeout` seconds; it is asked when its time is over."""
    clock = SystemClock()
    until = None if timeout is None else clock.elapsed() + timeout
    while (outcome := run.poll()) is None:
        left = None if until is None else until - clock.elapsed()
        if left is not None and left <= 0:
            return None
        patience = [_LONGEST, left, deadline.left() if deadline else None]
        wait_readable(run.fileno(), min(value for value in patience if value is not None))
    return outcome


def wait_readable(fd: int | None, timeout: float) -> bool:
    """Return when this descriptor is readable, or after `timeout` seconds, and whether it is.

    None is never.
    """
    if fd is None:
        SystemClock().sleep(max(0.0, min(timeout, _BLIND_PAUSE)))
        return False
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout) * 1000))
