"""The jobs of a worker that are under way: from a claim to a committed outcome.

Outcomes that are ready together are committed together: one sync for all of them. As long as jobs
can be started at once they wait for each other, but never for more than a few milliseconds.
"""

from __future__ import annotations

import logging
import os
import select
import signal as signals
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from spoolq.errors import InvalidType, InvalidValue, SpoolUnavailable
from spoolq.runners import describe

if TYPE_CHECKING:
    from spoolq.backend import Backend
    from spoolq.clock import Clock
    from spoolq.job import Job
    from spoolq.runners import Outcome, Run

BATCH: Final = 64  # outcomes committed together
LINGER: Final = 0.005  # seconds that an outcome waits for others to be committed with
LOOK: Final = 0.02  # seconds between two looks at runs that have nothing to poll
NEVER: Final = float("inf")
TIMED: Final = 0.25  # seconds between two looks at a run whose timeout is over

log = logging.getLogger("spoolq.worker")


@dataclass(slots=True, eq=False)
class Member:
    """One job under way."""

    job: Job
    run: Run
    pid: int
    began: float
    fd: int | None
    ends: float
    """When its runner has to be asked because of a timeout; NEVER without one."""

    @property
    def key(self) -> tuple[int, int]:
        """The attempt: a job that was retried by hand may be under way twice."""
        return self.job.id, self.job.retries


class Crew:
    """The jobs under way, and those that have ended and are not committed yet."""

    def __init__(
        self,
        backend: Backend,
        poll: select.poll,
        clock: Clock,
    ) -> None:
        """Descriptors that tell of an end are registered with `poll`."""
        self._backend = backend
        self._poll = poll
        self._clock = clock
        self.running: dict[tuple[int, int], Member] = {}
        self._gaps: list[int] = []  # slots below the highest that nothing runs in, a heap
        self.tasks: dict[str, int] = {}
        self.performed = self.failed = 0
        self.refused: SpoolUnavailable | None = None
        """Why what has ended could not be committed."""
        self.give_back = False
        """Whether jobs that do not end well become inactive again, instead of failing."""
        self.forced = False
        """Whether jobs are ended because the worker has to end."""
        self._paused: dict[tuple[int, int], Member] = {}
        self._by_fd: dict[int, list[Member]] = {}
        self._odd: dict[tuple[int, int], Member] = {}  # a descriptor does not tell all of them
        self._ended: list[tuple[Member, Outcome]] = []
        self._ended_at = 0.0
        # Killed by another thread while this one hangs: only ever replaced as a whole.
        self._groups: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self.running)

    @property
    def uncommitted(self) -> int:
        """How many have ended and are not committed yet."""
        return len(self._ended)

    # -- begin -----------------------------------------------------------------------------------

    def start(self, job: Job, begin: Callable[[Job], Run]) -> None:
        """Begin a job in the lowest slot that is free, and take it on; raises what `begin` does."""
        # Without a gap the slots from 0 on are taken, one for each that runs.
        job.slot = heappop(self._gaps) if self._gaps else len(self.running)
        try:
            run = begin(job)
        except BaseException:
            self._give_up_slot(job)
            raise
        self.add(job, run)

    def _give_up_slot(self, job: Job) -> None:
        if job.slot is not None:
            heappush(self._gaps, job.slot)

    def add(self, job: Job, run: Run) -> None:
        """Take on a job that has just been started."""
        now = self._clock.elapsed()
        ends = NEVER if job.timeout is None else now + job.timeout
        member = Member(job, run, run.pid, now, run.fileno(), ends)
        self.running[member.key] = member
        if member.fd is None or ends != NEVER:
            self._odd[member.key] = member
        self.tasks[job.task] = self.tasks.get(job.task, 0) + 1
        if member.fd is not None:
            sharing = self._by_fd.setdefault(member.fd, [])
            sharing.append(member)
            if len(sharing) == 1:
                self._poll.register(member.fd, select.POLLIN)
        if member.pid:
            self._groups[member.pid] = None
            job.emit("spawn", member.pid)
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "Process %d is performing job %d with task %s",
                member.pid,
                job.id,
                job.task,
                extra=about(member, "start"),
            )
        if not member.pid:
            self._ask(member)  # it could not be started, and nothing will tell of its end

    # -- end -------------------------------------------------------------------------------------

    def collect(self, readable: Iterable[int]) -> int:
        """Take what has ended out of the running; how many. `readable` is what `poll` said."""
        before = len(self._ended)
        for fd in readable:
            for member in tuple(self._by_fd.get(fd, ())):
                self._ask(member)
        if self._odd:
            now = self._clock.elapsed()
            for member in tuple(self._odd.values()):
                if member.fd is None or now >= member.ends:
                    self._ask(member)
                    member.ends = max(member.ends, now + TIMED) if member.fd is not None else NEVER
        return len(self._ended) - before

    def _ask(self, member: Member) -> None:
        if self.running.get(member.key) is not member:
            return
        outcome = member.run.poll()
        if outcome is not None:
            self._leave(member)
            if not self._ended:
                self._ended_at = self._clock.elapsed()
            self._ended.append((member, outcome))

    def _leave(self, member: Member) -> None:
        job = member.job
        del self.running[member.key]
        self._give_up_slot(member.job)
        self._odd.pop(member.key, None)
        self._paused.pop(member.key, None)
        self.tasks[job.task] -= 1
        self._groups.pop(member.pid, None)
        if member.fd is not None:
            sharing = self._by_fd[member.fd]
            sharing.remove(member)
            if not sharing:
                del self._by_fd[member.fd]
                with suppress(KeyError, OSError):
                    self._poll.unregister(member.fd)
        if member.pid:
            job.emit("reap", member.pid)
        self.performed += 1

    def patience(self) -> float:
        """Seconds until `collect` has to be called even if nothing is readable."""
        if not self._odd:
            return NEVER
        if any(member.fd is None for member in self._odd.values()):
            return LOOK
        return max(0.0, min(m.ends for m in self._odd.values()) - self._clock.elapsed())

    # -- commit ----------------------------------------------------------------------------------

    def should_commit(self, *, started: bool) -> bool:
        """Whether what has ended is to be committed now, after jobs were `started` or not."""
        if not self._ended:
            return False
        waited = self._clock.elapsed() - self._ended_at
        return not started or len(self._ended) >= BATCH or waited >= LINGER

    def commit(self) -> int:
        """Commit what has ended; how many.

        What the disk refuses is kept, and `refused` says why.
        """
        ended, self._ended = self._ended, []
        good = [item for item in ended if item[1].ok and not item[1].settled]
        try:
            if len(good) > 1:
                self._commit_together(good)
            for member, outcome in ended:
                if len(good) == 1 or not outcome.ok or outcome.settled:
                    self._commit_one(member, outcome)
        except SpoolUnavailable as error:
            self.refused = error
        else:
            self.refused = None
        kept = [item for item in ended if not item[0].job.concluded]
        self._ended = kept + self._ended
        return len(ended) - len(kept)

    def _commit_together(self, good: list[tuple[Member, Outcome]]) -> None:
        outcomes = [
            (member.job.id, member.job.retries, outcome.result, outcome.exit)
            for member, outcome in good
        ]
        try:
            answers = self._backend.finish_jobs(outcomes)
        except (InvalidType, InvalidValue):
            # One of them is no JSON that a spool can hold: each by itself.
            for member, outcome in good:
                self._commit_one(member, outcome)
            return
        for member, _ in good:
            member.job.concluded = True  # first: a listener that raises must not undo the others
        for (member, outcome), done in zip(good, answers, strict=True):
            member.job.conclude(outcome, done=done)
            self._say(member, outcome, done=done)

    def _commit_one(self, member: Member, outcome: Outcome) -> None:
        job = member.job
        if outcome.settled:
            job.conclude(outcome, done=False)
            return
        if self.give_back and not outcome.ok:
            done = self._backend.release_job(job.id, job.retries)
            job.conclude(None, done=done)
            log.info("job %d was given back", job.id, extra=about(member, "release"))
            return
        try:
            done = self._store(job, outcome)
        except (InvalidType, InvalidValue) as error:
            # A result the spool cannot hold must not leave the job active for ever.
            outcome = type(outcome)(ok=False, result=describe(error))
            done = self._store(job, outcome)
        job.conclude(outcome, done=done)
        self._say(member, outcome, done=done)

    def _store(self, job: Job, outcome: Outcome) -> bool:
        if outcome.ok:
            return self._backend.finish_job(job.id, job.retries, outcome.result, exit=outcome.exit)
        # A task that ends because its worker has to go was not cancelled: it has attempts left.
        final = outcome.final and not self.forced
        return self._backend.fail_job(
            job.id,
            job.retries,
            outcome.result,
            exit=outcome.exit,
            final=final,
            delay=outcome.delay,
        )

    def _say(self, member: Member, outcome: Outcome, *, done: bool) -> None:
        self.failed += not outcome.ok
        if not done:
            log.warning(
                "the outcome of job %d was refused: it was settled by somebody else",
                member.job.id,
                extra=about(member, "refused"),
            )
        elif not outcome.ok:
            log.info("job %d failed", member.job.id, extra=about(member, "fail", self._clock))
        elif log.isEnabledFor(logging.DEBUG):
            log.debug("job %d finished", member.job.id, extra=about(member, "done", self._clock))

    # -- end by force ----------------------------------------------------------------------------

    def kill(self, number: int, id: int | None = None) -> None:
        """Send a signal to one job and what it started, or to all; one not under way is ignored."""
        for member in tuple(self.running.values()):
            if id is None or member.job.id == id:
                member.run.kill(number)
                if self._paused.pop(member.key, None):
                    member.run.resume()  # what is stopped could not obey

    # -- pause -----------------------------------------------------------------------------------

    @property
    def paused(self) -> list[int]:
        """The ids of the jobs that stand still."""
        return sorted(member.job.id for member in self._paused.values())

    def pause(self, id: int) -> None:
        """Stop one job and what it started; ignored where that cannot be done."""
        for member in tuple(self.running.values()):
            if member.job.id == id and member.run.pause():
                self._paused[member.key] = member

    def resume(self, id: int | None = None) -> None:
        """Let one job go on, or all of them."""
        for key, member in tuple(self._paused.items()):
            if id is None or member.job.id == id:
                del self._paused[key]
                member.run.resume()

    def abandon(self) -> None:
        """Kill everything and take leave of it: repair fails what was not committed."""
        self.kill_groups()
        for member in self.running.values():
            member.run.kill(signals.SIGKILL)
            member.run.wait(1)

    def kill_groups(self) -> None:
        """Kill all process groups at once. From any thread; asks nobody and waits for nothing."""
        for pid in tuple(self._groups):
            # RACE: reaped this very moment, the number is free. It would have to be given out
            # again within microseconds, after all the others.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signals.SIGKILL)


def about(member: Member, event: str, clock: Clock | None = None) -> dict[str, object]:
    """What a line of the log in JSON says beside its message."""
    job = member.job
    fields: dict[str, object] = {
        "event": event,
        "job": job.id,
        "task": job.task,
        "queue": job.queue,
        "attempt": job.retries + 1,
        "worker": job.worker,
    }
    if clock is not None:
        fields["duration"] = round(clock.elapsed() - member.began, 6)
    return {"spoolq": fields}
