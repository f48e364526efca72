"""Everything due, now, and then back: what a cron line runs.

Any number of these may run at once, on one host or on many: each is a worker of its own.
"""

from __future__ import annotations

import signal as signals
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from spoolq.clock import Clock, SystemClock
from spoolq.errors import InvalidValue, SpoolUnavailable
from spoolq.runners.program import GRACE
from spoolq.runners.waiting import wait_for_exit

if TYPE_CHECKING:
    from spoolq.job import Job
    from spoolq.spool import Spool
    from spoolq.worker import Worker

LOOK: Final = 0.25  # seconds between two looks for timeouts and signals while jobs run
DISK_PATIENCE: Final = 0.75  # of missing_after: then jobs are killed, before others may take them


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
    spool.repair()
    turn = _Turn(spool.worker(), jobs, queues, limit, clock or SystemClock())
    turn.patience = spool.backend.missing_after * DISK_PATIENCE
    with _caught(turn):
        turn.run()
    return Processed(turn.performed, turn.failed, turn.signal)


@dataclass
class _Turn:
    """One call of `process`."""

    worker: Worker
    slots: int
    queues: Sequence[str]
    limit: int | None
    clock: Clock
    patience: float = 0
    started: int = 0
    performed: int = 0
    failed: int = 0
    signal: int | None = None
    trouble: SpoolUnavailable | None = None
    running: list[Job] = field(default_factory=list)
    _last_beat: float = 0
    _kill_at: float | None = None

    def run(self) -> None:
        self.worker.register()
        self._last_beat = self.clock.elapsed()
        try:
            self._fill()
            while self.running:
                pids = [pid for job in self.running if (pid := job.pid)]
                wait_for_exit(pids, min(LOOK, self.worker.heartbeat))
                self._beat()
                if self.signal is not None:
                    self._end_jobs()
                if self._reap():
                    self._fill()
        except BaseException:
            for job in self.running:
                job.stop()
            raise
        finally:
            # Out of reach now: repair finds a worker that does not beat.
            with suppress(SpoolUnavailable):
                self.worker.unregister()
        if self.trouble is not None:
            raise self.trouble

    def _fill(self) -> None:
        """Start jobs until there are no more, or no slot is left."""
        while len(self.running) < self.slots and self.signal is None and self.trouble is None:
            if self.limit is not None and self.started >= self.limit:
                return
            self._beat()
            job = self._claim()
            if job is None:
                return
            job.on("finished", self._count)
            job.on("failed", self._count_failure)
            self.started += 1
            self._start(job)
            self._reap()

    def _claim(self) -> Job | None:
        try:
            return self.worker.dequeue(0, queues=self.queues)
        except SpoolUnavailable as error:
            # What runs may still end well; then the trouble is told.
            self.trouble = error
            return None

    def _start(self, job: Job) -> None:
        try:
            self.running.append(job.start())
        except OSError as error:
            job.fail({"type": "NotStarted", "message": f"no process could be made: {error}"})

    def _reap(self) -> bool:
        """Commit what has ended; whether anything had."""
        before = len(self.running)
        ended = []
        for job in self.running:
            try:
                if job.is_finished():
                    ended.append(job)
            except SpoolUnavailable:
                # It ended well or badly, and the disk does not take it now: it is asked again
                # until the claim may be somebody else's.
                if self._out_of_patience():
                    raise
        self.running = [job for job in self.running if job not in ended]
        return len(self.running) < before

    def _beat(self) -> None:
        now = self.clock.elapsed()
        if now - self._last_beat < self.worker.heartbeat:
            return
        try:
            self.worker.register()
        except SpoolUnavailable:
            if self._out_of_patience():
                raise
        else:
            self._last_beat = now

    def _out_of_patience(self) -> bool:
        return self.clock.elapsed() - self._last_beat > self.patience

    def _end_jobs(self) -> None:
        now = self.clock.elapsed()
        if self._kill_at is None:
            self._kill_at = now + GRACE
            number = signals.SIGTERM
        elif now >= self._kill_at:
            number = signals.SIGKILL
        else:
            return
        for job in self.running:
            job.kill(number)

    def _count(self, job: Job, result: object) -> None:
        del job, result
        self.performed += 1

    def _count_failure(self, job: Job, error: object) -> None:
        self._count(job, error)
        self.failed += 1


@contextmanager
def _caught(turn: _Turn) -> Iterator[None]:
    """Signals during a turn: INT and TERM end it, and nothing is inherited as ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        del frame
        turn.signal = number

    def pass_by(number: int, frame: object) -> None:
        del number, frame

    before = {number: signals.signal(number, stop) for number in (signals.SIGINT, signals.SIGTERM)}
    if signals.getsignal(signals.SIGCHLD) == signals.SIG_IGN:
        # Ignored, as some crons leave it, the system forgets how a child ended.
        before[signals.SIGCHLD] = signals.signal(signals.SIGCHLD, signals.SIG_DFL)
    for number in (signals.SIGHUP, signals.SIGQUIT, signals.SIGUSR1, signals.SIGUSR2):
        if signals.getsignal(number) == signals.SIG_IGN:
            # Programs inherit what is ignored, not what is handled.
            before[number] = signals.signal(number, pass_by)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signals.signal(number, handler)
