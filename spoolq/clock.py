"""Clocks: the only callers of `time`. `wall` decides when, `elapsed` decides how long."""

from __future__ import annotations

import time

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class Clock(Protocol):
    """What a backend asks about time. Tests bring a clock of their own."""

    def wall(self) -> float:
        """Seconds since the epoch. May jump."""

    def elapsed(self) -> float:
        """Seconds since some moment; never jumps, counts suspended time."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The clocks of this host."""

    def wall(self) -> float:
        return time.time()

    def elapsed(self) -> float:
        # BOOTTIME, not MONOTONIC: a suspended laptop has let its leases run out.
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def monotonic_micros() -> int:
    """CLOCK_MONOTONIC in microseconds: what systemd compares its own with."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
