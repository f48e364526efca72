"""Coroutines, many at once in one child of the zygote: the runner `aio`.

A kill is a cancellation. A coroutine that swallows it is given up after the grace: its run ends,
and the child takes no new ones; it is killed when the others in it have ended. A child that does
not even hear, because something holds up its loop, is killed at once with all it performs.

One process cannot tell whose a grandchild is: what a coroutine started and left is killed when its
child ends, at the latest with the worker.
"""

from __future__ import annotations

import signal as signals
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from spoolq.clock import Clock, SystemClock
from spoolq.runners.deadline import GRACE, Deadline
from spoolq.runners.pool import ChildRun, Handle, await_birth

if TYPE_CHECKING:
    from spoolq.logs import Cap
    from spoolq.runners.zygote import Zygote

CAPACITY: Final = 100  # coroutines in one child


@dataclass(eq=False)
class _Doubt:
    """A run that was cancelled and has not ended yet."""

    run: ChildRun
    until: float
    dropped: bool = False


class Aio:
    """Starts attempts as coroutines: a `Runner`."""

    def __init__(
        self,
        zygote: Zygote,
        *,
        capacity: int = CAPACITY,
        jobs: int = 10_000,
        claim: Callable[[Any], dict[str, Any]],
        cap: Callable[[Any], Cap | None],
        clock: Clock | None = None,
    ) -> None:
        """`capacity` is how many share a child, `jobs` after how many it is replaced."""
        self._zygote = zygote
        self._capacity = capacity
        self._jobs = jobs
        self._claim = claim
        self._cap = cap
        self._clock = clock or SystemClock()
        self._children: list[Handle] = []
        self._started: dict[Handle, int] = {}
        self._runs: list[ChildRun] = []
        self._doubts: list[_Doubt] = []
        self._serial = 0

    def room(self) -> int:
        """How many more fit into a child; one more child is made when it is full."""
        return self._capacity

    def start(self, attempt: Any) -> ChildRun:
        """Give it to the child. Raises OSError when none could be had."""
        self.tend()
        handle = self._open_child()
        self._serial += 1
        self._started[handle] += 1
        deadline = Deadline(getattr(attempt, "timeout", None), self._clock)
        run = ChildRun(handle, self._serial, self._kill, deadline, self._cap(attempt))
        run.shared = True
        handle.wire.send(["run", self._serial, self._claim(attempt)], wait=False)
        handle.runs[self._serial] = run
        self._runs.append(run)
        return run

    def _open_child(self) -> Handle:
        for handle in self._children:
            if not handle.worn and not handle.gone and len(handle.runs) < self._capacity:
                return handle
        [wire] = self._zygote.children("aio", {})
        handle = Handle(wire)
        try:
            await_birth(handle)
        except OSError:
            handle.wire.close()
            raise
        self._children.append(handle)
        self._started[handle] = 0
        return handle

    def tend(self) -> None:
        """Give up what was cancelled and goes on; let children go that are worn and empty."""
        for handle in self._children:
            handle.listen()
        self._runs = [run for run in self._runs if not run.has_ended]
        for run in self._runs:
            run.tend()
        self._doubts = [doubt for doubt in self._doubts if not doubt.run.has_ended]
        now = self._clock.elapsed()
        for doubt in self._doubts:
            if now >= doubt.until:
                self._insist(doubt, now)
        for handle in tuple(self._children):
            handle.worn = handle.worn or self._started[handle] >= self._jobs
            if handle.gone or (handle.worn and not handle.runs):
                self._dismiss(handle)

    def _insist(self, doubt: _Doubt, now: float) -> None:
        handle = doubt.run.handle
        if doubt.run.heard and not doubt.dropped:
            doubt.dropped, doubt.until = True, now + GRACE
            handle.worn = True
            _tell(handle, ["drop", doubt.run.serial])
        else:
            self._zygote.kill(handle.pid, signals.SIGKILL)

    def _dismiss(self, handle: Handle) -> None:
        self._children.remove(handle)
        del self._started[handle]
        # A coroutine that was given up may still hold it: it does not leave by itself.
        self._zygote.kill(handle.pid, signals.SIGKILL)
        handle.wire.close()

    def _kill(self, run: ChildRun, number: int) -> None:
        if number not in _ENDING:
            return  # nobody can be sent a signal in there
        now = self._clock.elapsed()
        doubt = next((doubt for doubt in self._doubts if doubt.run is run), None)
        if doubt is None:
            doubt = _Doubt(run, now + GRACE)
            self._doubts.append(doubt)
            _tell(run.handle, ["cancel", run.serial])
        if number == signals.SIGKILL and not doubt.dropped:
            doubt.dropped, doubt.until = True, now + GRACE
            run.handle.worn = True
            _tell(run.handle, ["drop", run.serial])

    def renew(self) -> None:
        """Take no more children of the zygote that was."""
        for handle in self._children:
            handle.worn = True

    def close(self) -> None:
        """End the children."""
        for handle in tuple(self._children):
            self._dismiss(handle)


_ENDING: Final = (signals.SIGINT, signals.SIGTERM, signals.SIGQUIT, signals.SIGKILL)


def _tell(handle: Handle, message: list[Any]) -> None:
    with suppress(OSError):  # it does not read any more; what follows is a kill
        handle.wire.send(message, wait=False)
