"""Results: waiting until a job has ended, and what that comes to.

Reading a result destroys nothing, so any number of programs may wait for the same job. A look at
the spool is the truth; what the backend rings for (`Backend.watch_job`) only brings it forward.
A job that failed with attempts left is inactive again, and is waited for like any other [360, 361].
"""

from __future__ import annotations

import random
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from spoolq.clock import Clock, SystemClock
from spoolq.errors import JobFailed, JobRemoved

if TYPE_CHECKING:
    from spoolq.backend import Backend
    from spoolq.model import JSON, JobInfo

ENDED: Final = frozenset({"finished", "failed"})
FIRST: Final = 0.001  # seconds until the second look
EARLY: Final = 0.01  # seconds within which most short jobs end: no pause is longer than STEP
STEP: Final = 0.0015
GROWTH: Final = 1.5
QUICK: Final = 0.05  # seconds of looking before the backend is asked to ring: that costs a thread
DEAF: Final = 1.0  # seconds between two looks where nothing rings
HEARD: Final = 5.0  # seconds between two looks where something does, in case it does not

Ended = tuple[int, "JobInfo | None"]
"""A job's id with how it ended: None when it was removed, or has expired [151, 359]."""


def result_of(id: int, info: JobInfo | None) -> JSON:
    """The result of a job that has ended. Raises JobFailed, JobRemoved."""
    if info is None:
        raise JobRemoved(f"job {id} was removed before it ended, or has expired", id)
    if info.state == "failed":
        raise JobFailed(id, info.task, info.result, info.retries + 1, info.history)
    return info.result


def as_ended(
    backend: Backend, ids: Iterable[int], timeout: float | None, clock: Clock | None = None
) -> Iterator[Ended]:
    """These jobs, each when it has ended. Raises TimeoutError when `timeout` seconds ran out."""
    watch = _Watch(backend, ids, timeout, clock or SystemClock())
    rang = threading.Event()
    with watch.stack:
        while watch.pending:
            yield from watch.look()
            if watch.pending:
                rang.wait(watch.pause(rang.set))
                rang.clear()


async def as_ended_async(
    backend: Backend, ids: Iterable[int], timeout: float | None, clock: Clock | None = None
) -> AsyncIterator[Ended]:
    """`as_ended` in asyncio: without a thread of its own."""
    import asyncio  # 30 ms, which programs that use it have spent already

    watch = _Watch(backend, ids, timeout, clock or SystemClock())
    loop, rang = asyncio.get_running_loop(), asyncio.Event()

    def ring() -> None:
        # RACE: somebody may ring while the loop is being closed; then nobody waits any more.
        if not loop.is_closed():
            loop.call_soon_threadsafe(rang.set)

    with watch.stack:
        while watch.pending:
            for ended in watch.look():
                yield ended
            if watch.pending:
                timer = loop.call_later(watch.pause(ring), rang.set)
                try:
                    await rang.wait()
                finally:
                    timer.cancel()
                rang.clear()


class _Watch:
    """What both ways of waiting have in common: whom to ask for, when, and until when."""

    def __init__(
        self, backend: Backend, ids: Iterable[int], timeout: float | None, clock: Clock
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._began = clock.elapsed()
        self._timeout = timeout
        self._pause = FIRST
        self._stops: dict[int, Callable[[], object] | None] = {}
        self.pending: dict[int, str] = dict.fromkeys(ids, "not there")
        self.stack = ExitStack()
        """Entered for as long as somebody waits."""
        self.stack.callback(self._stop)

    def look(self) -> list[Ended]:
        """Those that have ended since the last look."""
        wanted = [*self.pending]
        rows = self._backend.list_jobs(0, len(wanted), ids=wanted).rows
        found: dict[int, JobInfo] = {info.id: info for info in rows}
        ended: list[Ended] = []
        for id_ in wanted:
            info = found.get(id_)
            if info is None or info.state in ENDED:
                ended.append((id_, info))
                del self.pending[id_]
                self._forget(id_)
            else:
                self.pending[id_] = info.state
        return ended

    def pause(self, ring: Callable[[], None]) -> float:
        """Seconds until the next look, unless it rings first. Raises TimeoutError."""
        waited = self._clock.elapsed() - self._began
        left = float("inf") if self._timeout is None else self._timeout - waited
        if left <= 0:
            id_, state = next(iter(self.pending.items()))
            more = f", and {len(self.pending) - 1} more" if len(self.pending) > 1 else ""
            raise TimeoutError(f"job {id_} is {state} after {self._timeout:g} seconds{more}")
        if waited >= QUICK and len(self._stops) < len(self.pending):
            for id_ in self.pending:
                self._stops.setdefault(id_, self._backend.watch_job(id_, ring))
            return 0.0  # RACE: it may have ended before anybody listened
        deaf = any(stop is None for stop in self._stops.values())
        longest = HEARD if self._stops and not deaf else DEAF
        pause, self._pause = self._pause, min(self._pause * GROWTH, longest)
        if waited < EARLY:
            pause = min(pause, STEP)
        return min(pause * random.uniform(0.8, 1.0), left)

    def _forget(self, id: int) -> None:
        stop = self._stops.pop(id, None)
        if stop is not None:
            stop()

    def _stop(self) -> None:
        for id_ in tuple(self._stops):
            self._forget(id_)
