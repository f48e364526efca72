"""Everything due, now, and then back: what a cron line runs.

Any number of these may run at once, on one host or on many: each is a worker of its own.
"""

from __future__ import annotations

import signal as signals
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spoolq.errors import InvalidValue
from spoolq.loop.plan import Terms

if TYPE_CHECKING:
    from spoolq.clock import Clock
    from spoolq.spool import Spool


@dataclass(frozen=True)
class Processed:
    """What one `process` did. `signal` is the signal that ended it early."""

    performed: int
    failed: int
    signal: int | None = None


def process(
    spool: Spool,
    *,
    jobs: int = 1,
    queues: Sequence[str] = ("default",),
    limit: int | None = None,
    clock: Clock | None = None,
) -> Processed:
    """Repair, then perform everything that is due, up to `jobs` at once, and return.

    What becomes due through it (children, retries without a delay) is performed too; `limit` ends
    it after so many jobs. Only tasks that are known here are taken. On INT or TERM no more jobs
    are started, those that run are sent TERM, after 5 s KILL, and fail.

    Raises InvalidValue, or SpoolUnavailable when the spool stays out of reach; a job that was
    running is then killed, and another worker's repair takes it over.
    """
    if jobs < 1:
        raise InvalidValue(f"at least one job at a time: {jobs}")
    # A cron line comes by once a minute: what is due for longer was missed.
    worker = spool.worker(jobs=jobs, spare=0, queues=list(queues), dispatch_interval=60)
    terms = Terms(burst=True, max_jobs=limit, grace=0, release=False, patient=False)
    engine = worker.engine(terms, clock=clock, catch=(signals.SIGINT, signals.SIGTERM))
    with worker.started():
        engine.run()
    if engine.trouble is not None:
        raise engine.trouble
    return Processed(engine.crew.performed, engine.crew.failed, engine.ended_by)
