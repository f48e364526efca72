"""The program whose tasks the benchmark of the worker performs."""

from __future__ import annotations

import time

from spoolq import Spool

spool = Spool()


@spool.task
def noop() -> None:
    """Nothing."""


@spool.task
def now() -> float:
    """When it was started."""
    return time.time()


@spool.task
def nap() -> float:
    """When it has ended."""
    time.sleep(0.005)
    return time.time()
