"""Waiting for something to become true, instead of sleeping and hoping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], timeout: float = 10) -> None:
    """Return as soon as `condition()` is true; fail the test after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"still not true after {timeout:g} s")
        pause.wait(0.005)


def wait_for_progress(count: Callable[[], int], wanted: int, stall: float = 60) -> None:
    """Return as soon as `count()` is `wanted`; fail the test when it stays the same for `stall`
    seconds: for work that takes as long as the machine takes."""
    last, changed = count(), time.monotonic()
    pause = threading.Event()
    while last != wanted:
        pause.wait(0.05)
        now = count()
        if now != last:
            last, changed = now, time.monotonic()
        elif time.monotonic() - changed > stall:
            raise AssertionError(f"{last} of {wanted}, and no more in {stall:g} s")
