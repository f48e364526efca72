"""The timeout of one attempt: TERM when it has run out, KILL after the grace."""

from __future__ import annotations

import signal as signals
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from spoolq.clock import Clock
    from spoolq.model import JSON

GRACE: Final = 5.0  # seconds between TERM and KILL


class Deadline:
    """When an attempt has to end; without a timeout never."""

    def __init__(self, timeout: float | None, clock: Clock) -> None:
        """`timeout` is in seconds from now."""
        self._timeout = timeout
        self._clock = clock
        self.at = None if timeout is None else clock.elapsed() + timeout
        """When `signal` has something to say, by the clock's `elapsed`; None: never."""
        self.over = False
        """Whether the time has run out."""
        self._paused: float | None = None  # since when

    def pause(self) -> None:
        """Let the time stand still; once it has run out nothing stops it any more."""
        if self._paused is None and not self.over:
            self._paused = self._clock.elapsed()

    def resume(self) -> None:
        """Let it run on."""
        if self._paused is not None and self.at is not None:
            self.at += self._clock.elapsed() - self._paused
        self._paused = None

    def signal(self) -> int | None:
        """The signal that is to be sent now, None for none."""
        if self.at is None or self._paused is not None or self._clock.elapsed() < self.at:
            return None
        if self.over:
            return signals.SIGKILL
        self.over = True
        self.at += GRACE
        return signals.SIGTERM

    def error(self) -> dict[str, JSON]:
        """What is said of an attempt that was ended, however it took that."""
        return {"type": "Timeout", "message": f"ended after its timeout of {self._timeout:g} s"}

    def left(self) -> float | None:
        """Seconds until the next signal."""
        if self.at is None or self._paused is not None:
            return None
        return self.at - self._clock.elapsed()
