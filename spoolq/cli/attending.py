"""`python -m spoolq.cli.attending ROOT QUEUE`: the worker that `add` starts, see `autostart`.

It performs one job at a time, as people expect of a queue that they only ever type into, and
leaves when it was idle for a while and nothing is delayed. Whoever wants more runs a worker.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from filelock import FileLock, Timeout

from spoolq.cli.autostart import lock_path
from spoolq.cli.given import EXEC
from spoolq.control import NOTHING
from spoolq.loop.plan import Terms
from spoolq.model import JobInfo
from spoolq.spool import Spool

IDLE: Final = 5.0  # seconds; a loop of `add` is served by one worker and not by one a job
_GRACE: Final = 30.0
_PATIENCE: Final = 0.2  # seconds; who only asks holds the lock for less


def attend(root: str, queue: str, idle: float = IDLE) -> None:
    """Serve a queue until it has nothing to do for `idle` seconds; at once back if another does."""
    spool = Spool(f"{root}/.")
    lock = FileLock(lock_path(root, queue), mode=0o600)
    going_on = True
    while going_on:
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            return
        try:
            going_on = _serve(spool, queue, idle)
        finally:
            lock.release()
        # RACE: a job that came after the last look, and found the lock still held.
        going_on = going_on and _has_work(spool, queue)


def _serve(spool: Spool, queue: str, idle: float) -> bool:
    """Perform jobs until none is ready or delayed; False when it was told to end."""
    wait: float | None = 0.0
    while wait is not None:
        worker = spool.worker(jobs=1, spare=0, queues=[queue])
        engine = worker.engine(Terms(idle_exit=wait + idle, grace=_GRACE))
        engine.run()
        if engine.ended_by is not None or engine.trouble is not None:
            return False
        wait = _until_due(spool, queue)
    return True


def _until_due(spool: Spool, queue: str) -> float | None:
    """Seconds until something delayed is due; None: nothing is."""
    waits = (job.delayed - job.time for job in _inactive(spool, queue))
    return min((wait for wait in waits if wait > 0), default=None)


def _has_work(spool: Spool, queue: str) -> bool:
    """Whether a command line is ready. Who could perform anything else is not known here."""
    if spool.backend.controls().get(queue, NOTHING).paused is not None:
        return False  # `queue resume` sees to it that somebody comes
    return any(
        job.task == EXEC and job.delayed <= job.time and not job.parents
        for job in _inactive(spool, queue)
    )


def _inactive(spool: Spool, queue: str) -> Iterable[JobInfo]:
    # A held one is nobody's: `release` sees to it that somebody comes.
    return (job for job in spool.jobs(states=["inactive"], queues=[queue]) if not job.held)


def main(words: Sequence[str]) -> None:
    """What the module runs."""
    os.chdir("/")
    os.umask(0o077)
    root, queue = words
    attend(root, queue)


if __name__ == "__main__":
    main(sys.argv[1:])
