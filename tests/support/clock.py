"""A clock that moves only when it is told to."""

from __future__ import annotations

import threading


class FakeClock:
    """Both clocks of a host, in the hands of a test. Sleeping moves them and takes no time."""

    def __init__(self, wall: float = 1_700_000_000.0) -> None:
        self._lock = threading.Lock()
        self._wall = wall
        self._elapsed = 1_000.0

    def wall(self) -> float:
        with self._lock:
            return self._wall

    def elapsed(self) -> float:
        with self._lock:
            return self._elapsed

    def sleep(self, seconds: float) -> None:
        self.advance(max(seconds, 0.0))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._wall += seconds
            self._elapsed += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back; no time has passed."""
        with self._lock:
            self._wall += seconds
