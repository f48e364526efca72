"""The engine: one turn after another, until it is told to end.

A turn beats if that is due, obeys, looks for dead workers, takes what has ended, claims and starts
as much as there is room for, commits, and then waits for the first of: a job's end, the bell, a
signal, a timer. Whatever has to be there for jobs to be safe happens at the start of a turn, so
nothing starts after a long sleep before the worker knows that it still exists.
"""

from __future__ import annotations

import logging
import os
import select
import signal as signals
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from spoolq.clock import Clock, SystemClock
from spoolq.declared import declare, vanishing
from spoolq.errors import InvalidValue, SpoolError, SpoolUnavailable
from spoolq.loop import plan
from spoolq.loop.crew import Crew
from spoolq.loop.lease import Lease
from spoolq.loop.plan import Terms
from spoolq.loop.remote import commands, say_paused
from spoolq.loop.signals import Signals
from spoolq.loop.space import Space
from spoolq.notify import notify, reloading, watchdog_interval

if TYPE_CHECKING:
    from spoolq.backend import Backend, Doorbell
    from spoolq.job import Job
    from spoolq.registry import Registry
    from spoolq.runners import Run
    from spoolq.worker import Worker

KILL_GRACE: Final = 5.0  # seconds between TERM and KILL
RESCUE: Final = 1.0  # seconds between two looks for workers that died
AGAIN: Final = 1.0  # seconds until what the disk or the system refused is tried again
MOST: Final = 64  # jobs started in one turn: beats and signals have their turn too
TEND: Final = 0.1  # seconds between two looks after processes that wait for work
STATUS: Final = 5.0  # seconds between two lines for `systemctl status`

WORKER_SIGNALS: Final = (
    signals.SIGINT,
    signals.SIGTERM,
    signals.SIGQUIT,
    signals.SIGHUP,
    signals.SIGUSR1,
)

log = logging.getLogger("spoolq.worker")


class Ending(IntEnum):
    """How far the end of a run has come."""

    NO = 0
    GRACEFUL = 1  # no new jobs
    TERM = 2  # the grace is over: jobs were sent TERM
    KILL = 3  # jobs were killed


class Timer:
    """Something that is due every so many seconds; an interval of 0 is never."""

    def __init__(self, interval: float, now: float, *, first: float | None = None) -> None:
        """Due first `first` seconds from now, else after one interval."""
        self.interval = interval
        self.at = now + (interval if first is None else first) if interval > 0 else float("inf")

    def due(self, now: float) -> bool:
        """Whether it is due; if so it begins anew."""
        if now < self.at:
            return False
        self.at = now + self.interval
        return True


class Engine:
    """One run of one worker. Belongs to one thread, but for `stop`."""

    def __init__(
        self,
        worker: Worker,
        backend: Backend,
        registry: Registry,
        terms: Terms,
        make_runners: Callable[[], Runners],
        *,
        clock: Clock | None = None,
        catch: tuple[int, ...] = WORKER_SIGNALS,
    ) -> None:
        """`make_runners` is called when the run begins, before there are threads; `catch` are
        the signals that are obeyed. Raises InvalidValue, InvalidType for a wrong status."""
        self._worker, self._backend, self._registry = worker, backend, registry
        self._terms, self._make_runners = terms, make_runners
        self._runners: Runners | None = None
        self._clock = clock or SystemClock()
        self._signals = Signals(catch)
        self._poll = select.poll()
        self.crew = Crew(backend, self._poll, self._clock)
        self._space = Space(backend)
        self.ended_by: int | None = None
        """The signal that ended the run."""
        self.trouble: SpoolUnavailable | None = None
        """What ended the claiming, of a run that is not patient."""
        self._status = worker.status
        plan.fill_in(self._status, heartbeat=worker.heartbeat)
        self._ending = Ending.NO
        self._stop_asked = False
        self._ending_at = float("inf")
        self._started = 0
        self._born: float | None = None  # `started` of the registration
        self._known: tuple[float, int, list[str]] = (-1.0, 0, [])
        self._idle_since = self._clock.elapsed()
        self._dry: object = None  # what the last look that found nothing asked for
        self._dry_looks = 0
        self._claim_at = self._tend_at = 0.0
        self._claim_at_earliest = 0.0
        self._blocked = False  # whether the last fill ended without a look at the queue
        self._bell: Doorbell | None = None
        self._bell_polled = False

    def stop(self) -> None:
        """End the run as INT does, from any thread."""
        self._stop_asked = True
        self._signals.wake()

    def run(self) -> None:
        """Work until there is a reason to end. Raises what the spool or a listener raised."""
        with self._signals, self._commanded():
            self._poll.register(self._signals.fileno(), select.POLLIN)
            try:
                self._begin()
                while self._turn():
                    pass
            except BaseException:
                self.crew.abandon()
                raise
            finally:
                self._close()

    @contextmanager
    def _commanded(self) -> Iterator[None]:
        """The built-in commands, before those of the same name [298]."""
        own = self._worker.commands
        self._worker.commands = {**own, **commands(self.crew)}
        try:
            yield
        finally:
            self._worker.commands = own

    # -- begin and end ---------------------------------------------------------------------------

    def _begin(self) -> None:
        self._runners = self._make_runners()
        now = self._clock.elapsed()
        status = self._status
        self._beats = Timer(status["heartbeat_interval"], now)
        self._obeys = Timer(status["command_interval"], now, first=0)
        self._repairs = Timer(status["repair_interval"], now, first=0)
        # Often enough for a heartbeat that stays the same to count as watched all along.
        self._rescues = Timer(min(RESCUE, self._backend.missing_after / 4), now)
        self._dispatches = Timer(status["dispatch_interval"], now, first=0)
        self._watchdog = Timer(watchdog_interval() or 0, now, first=0)
        self._tells = Timer(STATUS if os.environ.get("NOTIFY_SOCKET") else 0, now, first=0)
        self._lease = Lease(
            self._clock,
            self._backend.missing_after,
            status["heartbeat_interval"],
            self.crew.kill_groups,
        )
        self._backend.attend()
        self._beat(now)
        self._try(self._declare)
        self._lease.guard()
        log.info("Worker %d started", os.getpid(), extra=self._about("started"))
        if not self._terms.burst:
            self._bell = self._backend.doorbell(status["queues"])
        notify("READY=1")

    def _close(self) -> None:
        notify("STOPPING=1")
        if hasattr(self, "_lease"):
            self._lease.end()
        if self._bell is not None:
            self._bell.close()
        if self._runners is not None:
            self._runners.close()
        # Out of reach now: repair finds a worker that does not beat.
        about = self._about("stopped")
        with suppress(SpoolUnavailable):
            self._worker.unregister()
        log.info("Worker %d stopped", os.getpid(), extra=about)

    # -- a turn ----------------------------------------------------------------------------------

    def _turn(self) -> bool:
        """One turn; False when it was the last."""
        self._heed()
        now = self._clock.elapsed()
        self._keep_up(now)
        self._force_end(now)
        started = self._fill()
        if self.crew.should_commit(started=started > 0):
            self._commit()
        if self._is_over():
            return False
        self._wait(started)
        return True

    def _keep_up(self, now: float) -> None:
        """What is due now, whatever else the worker does [399]."""
        if self._beats.due(now):
            self._beat(now)
        if self._watchdog.due(now):
            notify("WATCHDOG=1")
        if self._tells.due(now):
            notify(f"STATUS={self.summary()}")
        if self._obeys.due(now):
            self._try(self._obey)
        if self._rescues.due(now) and self._try(self._backend.rescue):
            self._repairs.at = now
        if self._repairs.due(now):
            self._try(self._backend.repair)
            self._look_again()
        if self._dispatches.due(now) and self._try(self._dispatch):
            self._look_for_schedules(now, least=AGAIN)
        self._look_at_space(now)
        if now >= self._tend_at:
            self._tend_at = now + TEND
            self._tend()

    def _look_at_space(self, now: float) -> None:
        self._space.look(now)
        if self._space.shortage is not None and not self._terms.patient:
            self.trouble = self._space.shortage

    def _tend(self) -> None:
        assert self._runners is not None  # noqa: S101  # the run has begun
        try:
            self._runners.tend()
        except OSError as error:
            log.warning("no process could be made: %s", error)

    def _try(self, work: Callable[[], Any]) -> Any:
        """Do something that can wait: a disk that refuses it now is asked again next time."""
        try:
            return work()
        except SpoolUnavailable as error:
            log.warning("%s", error)
            return None

    def _obey(self) -> None:
        try:
            self._worker.process_commands()
        except SpoolUnavailable:
            raise
        except Exception:
            # A worker that lives for months does not die of a command: the next may stop the job.
            log.exception("a command failed")
        self._look_again()

    def _dispatch(self) -> bool:
        if self._worker.dispatch(self._dispatches.interval):
            self._look_again()
        return True

    def _look_for_schedules(self, now: float, least: float = 0) -> None:
        """Dispatch when the next schedule is due, and not only once in an interval.

        One that is overdue already has its turn in `least` seconds.
        """
        if self._dispatches.interval > 0:
            left = self._try(self._backend.until_dispatch)
            if left is not None:
                self._dispatches.at = min(self._dispatches.at, now + (left if left > 0 else least))

    def _declare(self) -> None:
        if self._dispatches.interval > 0:
            declared = declare(self._backend, self._registry)
            for problem in declared.problems:
                log.warning("%s", problem)
            # Not from a cron line, which would send a mail a minute: `doctor` says it, too.
            for info in declared.vanished:
                log.log(logging.INFO if self._terms.burst else logging.WARNING, vanishing(info))

    # -- heartbeat -------------------------------------------------------------------------------

    def _beat(self, now: float) -> None:
        """Send a heartbeat, and find out whether this worker was declared dead meanwhile."""
        say_paused(self._status, self.crew)
        try:
            self._worker.register()
            info = self._worker.info()
        except SpoolUnavailable as error:
            if self._born is None or not self._lease.held:
                raise
            self._beats.at = now + min(AGAIN, self._beats.interval)
            log.warning("no heartbeat: %s", error)
            return
        self._lease.renew(now)
        born = info.started if info else None
        if self._born is not None and born != self._born:
            # Others have its jobs: what runs here must not go on beside them. What it comes to is
            # refused, and put on record as an overlap.
            log.error("this worker was declared dead; its jobs are killed, and it goes on anew")
            self.crew.kill(signals.SIGKILL)
        self._born = born if born is not None else self._born

    # -- claim and start -------------------------------------------------------------------------

    def _fill(self) -> int:
        """Start jobs as long as there are any, and room for them; how many."""
        started = 0
        self._blocked = True
        while started < MOST and self._may_claim():
            room = plan.room(len(self.crew), self._status)
            if room == "none":
                self._worker.emit("busy")
                break
            tasks = plan.wanted(self._tasks(), self._status["limits"], self.crew.tasks)
            least = self._status["spare_min_priority"] if room == "high" else None
            asked = (least, tuple(tasks))
            if self._dry == asked and self._clock.elapsed() < self._claim_at:
                break
            if not tasks:
                self._found_nothing(asked)
                break
            self._blocked = False
            self._worker.emit("wait")
            job = self._claim(tasks, least)
            if job is None:
                self._found_nothing(asked)
                break
            self._dry, self._dry_looks = None, 0
            if not self._start(job):
                break
            started += 1
        return started

    def _may_claim(self) -> bool:
        if self._ending:
            self._worker.emit("busy")
            return False
        if self.trouble is not None or self.crew.refused is not None:
            return False
        if self._space.shortage is not None:
            return False
        limit = self._terms.max_jobs
        if limit is not None and self._started >= limit:
            return False
        return self._lease.held and self._clock.elapsed() >= self._claim_at_earliest

    def _tasks(self) -> list[str]:
        """What can be performed here: executables may come and go, a second's delay is theirs."""
        at, functions, tasks = self._known
        now = self._clock.elapsed()
        if at < 0 or now - at >= 1 or functions != len(self._registry.functions):
            tasks = self._registry.names()
            self._known = (now, len(self._registry.functions), tasks)
        return tasks

    def _claim(self, tasks: list[str], least: int | None) -> Job | None:
        queues = self._status["queues"]
        try:
            return self._worker.dequeue(0, min_priority=least, queues=queues, tasks=tasks)
        except SpoolUnavailable as error:
            if not self._terms.patient:
                # What runs may still end well; then the trouble is told.
                self.trouble = error
                return None
            if not self._lease.held:
                raise
            log.warning("no job can be claimed: %s", error)
            self._claim_at_earliest = self._clock.elapsed() + AGAIN
            return None

    def _start(self, job: Job) -> bool:
        """Start a claimed job; False when it had to be given back."""
        if not self._lease.held:
            # The claim took so long that the worker may be dead to the others by now.
            self._try(lambda: self._backend.release_job(job.id, job.retries))
            return False
        assert self._runners is not None  # noqa: S101  # the run has begun
        try:
            self.crew.start(job, self._runners.start)
        except OSError as error:
            log.warning("no process could be made for job %d: %s", job.id, error)
            self._try(lambda: self._backend.release_job(job.id, job.retries))
            self._claim_at_earliest = self._clock.elapsed() + AGAIN
            return False
        self._started += 1
        return True

    def _found_nothing(self, asked: object) -> None:
        longest = self._status["dequeue_timeout"]
        hears = self._bell is not None and self._bell.hears
        pause = plan.pause(longest, hears=hears, idle=self._dry_looks)
        due = self._bell.due() if self._bell is not None else None
        self._claim_at = self._clock.elapsed() + (pause if due is None else min(pause, due))
        self._dry_looks += 1
        self._dry = asked

    def _look_again(self) -> None:
        self._dry, self._dry_looks = None, 0

    # -- commit ----------------------------------------------------------------------------------

    def _commit(self) -> None:
        before = self.crew.refused
        self.crew.commit()
        refused = self.crew.refused
        if refused is None:
            if self._bell is None or not self._bell.hears:
                self._look_again()  # a child of it may be ready
            return
        if before is None:
            log.warning("an outcome cannot be committed yet: %s", refused)
        if not self._lease.held:
            raise refused

    # -- end -------------------------------------------------------------------------------------

    def _heed(self) -> None:
        """Act on the signals that have come."""
        caught = self._signals.take()
        if self._stop_asked and not self._ending:
            self._end(Ending.GRACEFUL)
        for number in caught:
            if number in (signals.SIGINT, signals.SIGTERM, signals.SIGQUIT):
                self.ended_by = number
                again = self._ending and number != signals.SIGTERM
                at_once = number == signals.SIGQUIT or again
                self._end(Ending.KILL if at_once else Ending.GRACEFUL)
            elif number == signals.SIGHUP:
                self._reload()
            elif number == signals.SIGUSR1:
                self._dump()

    def _end(self, ending: Ending) -> None:
        now = self._clock.elapsed()
        if not self._ending:
            notify("STOPPING=1")
            self._ending_at = now
            self.crew.resume()  # nobody could any more, and they would never end
            log.info("stopping: %d jobs are still running", len(self.crew))
        if ending == Ending.KILL:
            self.crew.give_back = False
            self.crew.kill(signals.SIGKILL)
        self._ending = max(self._ending, ending)

    def _force_end(self, now: float) -> None:
        """End by force what did not end within the grace."""
        grace = self._terms.grace
        if not self._ending or grace is None:
            return
        over = self._ending_at + grace
        if self._ending == Ending.GRACEFUL and now >= over:
            self._ending = Ending.TERM
            self.crew.give_back = self._terms.release
            self.crew.forced = True
            self.crew.kill(signals.SIGTERM)
            self.crew.kill(signals.SIGCONT)  # a stopped one would see TERM only with KILL
        elif self._ending == Ending.TERM and now >= over + KILL_GRACE:
            self._ending = Ending.KILL
            self.crew.kill(signals.SIGKILL)

    def _is_over(self) -> bool:
        if self.crew or self.crew.uncommitted:
            return False
        if self._ending or self.trouble is not None:
            return True
        terms = self._terms
        if terms.max_jobs is not None and self._started >= terms.max_jobs:
            return True
        if terms.burst and self._dry is not None:
            return True
        return terms.idle_exit is not None and self._idle_for() >= terms.idle_exit

    def _idle_for(self) -> float:
        return self._clock.elapsed() - self._idle_since

    # -- wait ------------------------------------------------------------------------------------

    def _wait(self, started: int) -> None:
        """Wait for whatever comes first, and take what has ended."""
        self._poll_bell()
        readable = self._poll.poll(max(0.0, self._patience(started)) * 1000)
        busy = bool(self.crew) or started > 0
        ended = self.crew.collect([fd for fd, _ in readable])
        self._status["performed"] = self.crew.performed
        if busy or ended:
            self._idle_since = self._clock.elapsed()
        bell = self._bell
        if bell is not None and any(fd == bell.fileno() for fd, _ in readable):
            bell.answer()
            self._look_again()
            self._look_for_schedules(self._clock.elapsed())

    def _poll_bell(self) -> None:
        """Listen for the bell only when a ring would lead to anything."""
        if self._bell is None:
            return
        wanted = self._dry is not None and not self._ending
        if wanted and not self._bell_polled:
            self._poll.register(self._bell.fileno(), select.POLLIN)
        elif not wanted and self._bell_polled:
            self._poll.unregister(self._bell.fileno())
        self._bell_polled = wanted

    def _patience(self, started: int) -> float:
        """Seconds until the next turn is due, whatever happens."""
        if self.crew.uncommitted and self.crew.refused is None:
            return 0
        if started:
            return 0
        now = self._clock.elapsed()
        timers = (self._beats, self._obeys, self._repairs, self._rescues, self._dispatches)
        waits = [timer.at - now for timer in (*timers, self._watchdog, self._tells)]
        waits.append(self.crew.patience())
        if self.crew.refused is not None:
            waits.append(min(AGAIN, self._beats.interval) / 4)
        if not self._ending:
            waits.append(self._until_claim(now))
        elif self._terms.grace is not None:
            waits.append(self._until_force(now))
        if self._terms.idle_exit is not None and not self.crew:
            waits.append(self._terms.idle_exit - self._idle_for())
        return min(waits)

    def _until_claim(self, now: float) -> float:
        if self._space.shortage is not None:
            return self._space.at - now
        if now < self._claim_at_earliest:
            return self._claim_at_earliest - now
        if self._dry is not None:
            return self._claim_at - now
        # Full: the end of a job or a command changes that.
        return 1.0 if self._blocked else 0.0

    def _until_force(self, now: float) -> float:
        assert self._terms.grace is not None  # noqa: S101  # the caller looked
        over = self._ending_at + self._terms.grace
        if self._ending == Ending.GRACEFUL:
            return over - now
        return over + KILL_GRACE - now if self._ending == Ending.TERM else float("inf")

    # -- what it says ----------------------------------------------------------------------------

    def summary(self) -> str:
        """One line for people: what it does now."""
        slots = self._status["jobs"] + self._status["spare"]
        said = f"{len(self.crew)} of {slots} slots busy, {self.crew.performed} jobs performed"
        if self.crew.refused is not None:
            said += f"; outcomes refused: {self.crew.refused}"
        if self._space.shortage is not None:
            said += f"; no new jobs: {self._space.shortage}"
        return f"stopping: {said}" if self._ending else said

    def _about(self, event: str) -> dict[str, object]:
        return {"spoolq": {"event": event, "worker": self._worker.id}}

    def _dump(self) -> None:
        """Everything about the state, for who asked with USR1."""
        log.warning("worker %s: %s", self._worker.id, self.summary())
        log.warning("status: %s", self._status)
        log.warning("lease: %.1f s left", self._lease.left)
        now = self._clock.elapsed()
        for member in tuple(self.crew.running.values()):
            job = member.job
            took = now - member.began
            log.warning("job %d (%s) in process %d for %.1f s", job.id, job.task, member.pid, took)

    def _reload(self) -> None:
        """Read the settings again; new jobs wait as long as that takes."""
        reloading()
        try:
            self._backend.reload()
        except (SpoolError, InvalidValue) as error:
            log.warning("the settings stay as they were: %s", error)
        else:
            self._registry.settings = getattr(self._backend, "settings", None)
            self._try(self._declare)
            log.info("the settings were read again")
        self._known = (-1.0, 0, [])
        notify("READY=1")


class Runners(Protocol):
    """How the jobs of one worker are performed. Belongs to the engine's thread."""

    def start(self, job: Job) -> Run:
        """Start a claimed job. Raises OSError when the system has no process left."""

    def tend(self) -> None:
        """Look after processes that wait for work."""

    def close(self) -> None:
        """End whatever is left."""
