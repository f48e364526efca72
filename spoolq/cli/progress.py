"""How far a long command has come: one line on stderr, on a terminal only."""

from __future__ import annotations

import sys
from typing import Final

from spoolq.cli.output import say
from spoolq.clock import SystemClock

_WIDTH: Final = 30
_PAUSE: Final = 0.1  # seconds between two drawings


class Progress:
    """A bar when it is known how much there is, else a count."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._clock = SystemClock()
        self._began = self._clock.elapsed()
        self._drawn = 0.0
        self._wanted = sys.stderr.isatty()

    def show(self, jobs: int, done: int) -> None:
        """So many jobs are stored, and `done` of the total is read."""
        now = self._clock.elapsed()
        if not self._wanted or now - self._drawn < _PAUSE:
            return
        self._drawn = now
        bar = ""
        if self._total:
            full = min(_WIDTH, _WIDTH * done // self._total)
            bar = "━" * full + " " * (_WIDTH - full) + "  "
        rate = jobs / max(now - self._began, 0.001)
        print(f"\r\x1b[Kstoring  {bar}{jobs:,} jobs  {rate:,.0f}/s", end="", file=sys.stderr)
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, for others to write there."""
        if self._wanted and self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def finish(self, jobs: int) -> None:
        """Take the line away and say what it came to."""
        self.clear()
        if self._wanted:
            say(f"{jobs:,} jobs stored ({self._clock.elapsed() - self._began:.1f} s)")
