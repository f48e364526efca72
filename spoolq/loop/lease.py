"""The lease: how long after its last heartbeat a worker may run anything.

Others may declare a worker dead `missing_after` seconds after they first saw its last heartbeat,
and they saw it no earlier than it was begun. So a worker that cannot beat has to have killed what
it runs by then, with a margin: also while its main thread hangs in a call to a file system. The
thread here touches no file at all. A process that is stopped, or whose host sleeps, cannot keep
this promise; the clock counts that time, so that it knows when it goes on, and what it commits
then is refused and put on record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from spoolq.loop.plan import margin

if TYPE_CHECKING:
    from spoolq.clock import Clock


class Lease:
    """A worker's lease. Times are those of the clock's `elapsed`."""

    def __init__(
        self, clock: Clock, missing_after: float, heartbeat: float, on_loss: Callable[[], None]
    ) -> None:
        """`on_loss` is called from a thread of its own, at most once a lease: it must not wait."""
        self._clock = clock
        self._length = missing_after - margin(missing_after, heartbeat)
        self._on_loss = on_loss
        self._begun = clock.elapsed()
        self._renewed = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None

    @property
    def left(self) -> float:
        """Seconds until it is lost."""
        return self._begun + self._length - self._clock.elapsed()

    @property
    def held(self) -> bool:
        """Whether anything may run."""
        return self.left > 0

    def renew(self, begun: float) -> None:
        """A heartbeat that was begun at this time has been sent."""
        self._begun = begun
        self._renewed.set()

    def guard(self) -> None:
        """Start the thread that acts when the lease is lost."""
        self._thread = threading.Thread(target=self._watch, name="spoolq-lease", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop guarding."""
        self._ended = True
        self._renewed.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        told = False
        while not self._ended:
            left = self.left
            if left <= 0 and not told:
                told = True
                self._on_loss()
            elif left > 0:
                told = False
            # After a loss there is nothing to do until somebody renews it.
            self._renewed.wait(left if left > 0 else None)
            self._renewed.clear()
