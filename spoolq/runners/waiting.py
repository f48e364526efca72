"""Waiting for the first of several child processes to end, without reaping it."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from typing import Final

from spoolq.clock import SystemClock

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
