"""The storage contract: Minion's operations under their own names, and what each one promises.

    jobs        enqueue enqueue_many dequeue finish_job finish_jobs fail_job retry_job
                auto_retry_job release_job edit_job hold_job unhold_job remove_job note
                list_jobs
    workers     register_worker unregister_worker list_workers broadcast receive unread
    locks       lock acquire_lock renew_lock unlock list_locks
    upkeep      repair reset stats history now
    queues      queues set_queue controls list_queues
    for long    attend rescue doorbell watch_job check_space reload
    schedules   schedule unschedule pause_schedule resume_schedule dispatch_schedules
                list_schedules until_dispatch

Common to all of them:

* Losing a race is a return value (`False`, `None`); a wrong call raises InvalidType or
  InvalidValue before anything changes; a disk that refuses raises SpoolUnavailable and leaves
  the job in the state it was in.
* An id is an int, the same in decimal digits, or an object with an `id` [7].
* Times are epoch seconds by the backend's own clock, durations are seconds.
* A backend may be used from several threads, and in the child after a fork.
* With durability "full" what was answered survives power loss. Locks, heartbeats, commands and
  claims do not promise that: after power loss nobody holds or runs anything.
* A backend never refers back to the Spool above it: what it needs is passed to its constructor.

Numbers in brackets are statements of Minion's contract, which the tests claim one by one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from spoolq.control import NOTHING, Control, QueueInfo
from spoolq.errors import InvalidType
from spoolq.model import JSON, MISSING_AFTER, REMOVE_AFTER, STUCK_AFTER, Claimed, Page
from spoolq.schedules import DISPATCH_INTERVAL
from spoolq.states import WAYS
from spoolq.transitions import Backoff, call_backoff, default_backoff

_EVERY: Final = 2**31 - 1

Finished = tuple[Any, int, JSON] | tuple[Any, int, JSON, JSON]


class Doorbell(Protocol):
    """Wakes a worker that has nothing to do. A hint: it may ring for nothing, and stay silent."""

    @property
    def hears(self) -> bool:
        """Whether it rings at all here; if not, its owner has to look more often."""

    def fileno(self) -> int:
        """A descriptor that is readable once it has rung."""

    def answer(self) -> None:
        """Make it silent until it rings again; look for jobs after this, not before."""

    def due(self) -> float | None:
        """Seconds until a delayed job becomes due, as far as the last `dequeue` has seen."""

    def close(self) -> None:
        """Take it down."""


class Backend(ABC):
    """Where jobs, workers and locks are kept."""

    def __init__(
        self,
        *,
        backoff: Backoff | None = None,
        missing_after: float = MISSING_AFTER,
        remove_after: float = REMOVE_AFTER,
        stuck_after: float = STUCK_AFTER,
    ) -> None:
        if backoff is not None and not callable(backoff):
            raise InvalidType(f"a backoff is a function of the retries, not {backoff!r:.60}")
        self.backoff: Backoff = backoff or default_backoff
        self.missing_after = missing_after
        self.remove_after = remove_after
        self.stuck_after = stuck_after

    # -- jobs ------------------------------------------------------------------------------------

    @abstractmethod
    def enqueue(
        self,
        task: str,
        args: Sequence[JSON] = (),
        kwargs: Mapping[str, JSON] | None = None,
        *,
        attempts: int = 1,
        delay: float = 0,
        expire: float | None = None,
        lax: bool = False,
        notes: Mapping[str, JSON] | None = None,
        parents: Iterable[Any] = (),
        priority: int = 0,
        queue: str = "default",
        timeout: float | None = None,
        unique: str | bool | None = None,
        unique_while: str | None = None,
        unique_for: float | None = None,
        replace: bool = False,
        concurrency: Sequence[Any] | None = None,
        rate: Sequence[Any] | None = None,
        hold: bool = False,
    ) -> int:
        """Store a new inactive job and return its id [1-32].

        The id is larger than every id this spool has given out; gaps are allowed [4, 6]. With
        unfinished parents the job waits for them, with a delay until it is due. The task need not
        be known here [16]. With `hold` nobody claims it until `unhold_job`. When this returns the
        job survives power loss.

        With `unique` the job holds that key (True: one made of its task and arguments) until it
        is finished or failed for good; with `unique_while="waiting"` until it starts, so that one
        may run and one wait; with `unique_for` for so many seconds, whatever becomes of it. Raises
        DuplicateJob while another job holds the key. With `replace` that one is removed instead,
        in the same instant; if it is running, the new job waits until it has ended.

        `concurrency` is (key, n), or a list of them: the job starts only while fewer than n jobs
        with such a limit for this key run, on any host. `rate` is (key, n, seconds): only while
        fewer than n of them started within the last so many seconds. Until then it waits, without
        using up an attempt. After power loss what has started is forgotten.
        """

    @abstractmethod
    def holder_of(self, key: str) -> int | None:
        """The job that holds this unique key now; None when an enqueue would get it."""

    @abstractmethod
    def blocked_at(self, id: Any) -> dict[str, JSON] | None:
        """What keeps a job that waits for nothing else: `{"kind", "key", "jobs", "limit",
        "period", "until"}`.

        `kind` is unique, running, concurrency or rate; `jobs` are the ids in its way, as far as
        they are known, `until` is when a rate lets the next one start. None: nothing of it.
        """

    @abstractmethod
    def enqueue_many(
        self, jobs: Iterable[str | Sequence[Any]], *, hold: bool = False, **options: Any
    ) -> list[int]:
        """Store several jobs that share the options of `enqueue`, all or none, and return the ids.

        Each job is a task name, or (task,), (task, args) or (task, args, kwargs). After a crash,
        and after a wrong job among them, either all of them are there or none. They cannot be
        unique: then whether one is stored would depend on the others (InvalidType).
        """

    @abstractmethod
    def dequeue(
        self,
        worker_id: int,
        wait: float = 0,
        *,
        id: Any = None,
        min_priority: int | None = None,
        queues: Sequence[str] = ("default",),
        tasks: Sequence[str] | None = None,
    ) -> Claimed | None:
        """Claim the best job that may run now for a registered worker, waiting up to `wait` s.

        A job may run when it is inactive, in one of `queues`, its task is in `tasks` (None: any),
        its priority is at least `min_priority`, its delay has run out, it is not held, it has not
        expired, and every parent is finished, or missing, or expired, or (for a lax job) failed
        [131-139].
        Highest priority first, then lowest id, across all the queues [38, 43]. With `id` only
        that job, under the same conditions [50]. Empty `queues` or `tasks` find nothing [44].

        None when there is none, or when the worker is not registered [33]. A wait ends as soon as
        there is one: also when a parent finishes, a delay runs out or a job is removed.
        After power loss the job is inactive again and the lost start is not counted.
        """

    @abstractmethod
    def finish_job(self, id: Any, retries: int, result: JSON = None, *, exit: JSON = None) -> bool:
        """Store `result` and move the job from active to finished [68-87].

        False, and nothing changed, unless attempt `retries` is the running one: it was repaired,
        retried or removed meanwhile. True means that the result survives power loss. `exit` is
        the exit status of an executable, kept beside the result.
        """

    @abstractmethod
    def finish_jobs(self, outcomes: Iterable[Finished]) -> list[bool]:
        """`finish_job` for several (id, retries, result[, exit]), made durable together.

        A bool each. A wrong one among them is refused before anything changes.
        """

    @abstractmethod
    def fail_job(
        self,
        id: Any,
        retries: int,
        result: JSON = None,
        *,
        exit: JSON = None,
        final: bool = False,
        delay: float | None = None,
    ) -> bool:
        """Store the error and move the job from active to failed, or back to inactive [69-87].

        With attempts left it becomes inactive, one attempt less, due after the backoff, in one
        step [117-124]; a `final` failure gives up the attempts that are left. `delay` says in
        how many seconds the next one is due, in place of the backoff. False as for
        `finish_job`. True means that it survives power loss.
        """

    @abstractmethod
    def retry_job(self, id: Any, retries: int, **options: Any) -> bool:
        """Make a job of any state inactive again, with the given options replaced [88-110].

        Options: attempts, delay (0 unless given), expire, lax, parents, priority, queue. False,
        and nothing changed, unless the job's retries are `retries`. An active attempt loses its
        claim: its outcome will be refused; a held job is held no longer. True means that it
        survives power loss. Raises DuplicateJob for a job that has ended whose unique key another
        one holds by now.
        """

    def auto_retry_job(self, id: Any, retries: int, attempts: int) -> bool:
        """Retry a failed job that has attempts left, after the backoff.

        False when there are none left. `fail_job` does this itself, in one step; this is for
        callers that keep their own account of attempts (Minion::Backend::auto_retry_job).
        """
        if attempts <= 1:
            return False
        delay = call_backoff(self.backoff, retries, None)
        return self.retry_job(id, retries, attempts=attempts - 1, delay=delay)

    @abstractmethod
    def release_job(self, id: Any, retries: int) -> bool:
        """Give a claim back: the job is inactive as it was before it was claimed.

        No attempt is used up. False, and nothing changed, unless attempt `retries` is the running
        one. Whoever asks has ended what ran.
        """

    @abstractmethod
    def edit_job(self, id: Any, retries: int, **options: Any) -> bool:
        """Change a job that is not active; it stays where it is in its life, and nothing counts.

        Options: args, kwargs, notes (merged), attempts, delay and expire (seconds from now), lax,
        parents, priority, queue, timeout; None takes `expire` and `timeout` away. False, and
        nothing changed, for an active job, one that is gone, and unless its retries are `retries`.
        True means that it survives power loss.
        """

    @abstractmethod
    def hold_job(self, id: Any) -> bool:
        """Keep an inactive job from being claimed until it is released, whatever else it waits for.

        It is still inactive, may still expire, and is never stuck. True: it is held, also when it
        was before, and is after power loss. False for a job that is not inactive, or not there.
        """

    @abstractmethod
    def unhold_job(self, id: Any) -> bool:
        """Let a held job be claimed again, once it is due and its parents are done.

        False when it is not held. True means that it survives power loss.
        """

    @abstractmethod
    def remove_job(self, id: Any) -> bool:
        """Remove an inactive, failed or finished job; children take it as done [111-115].

        False for an active or a missing one. True means that it stays removed after power loss.
        """

    @abstractmethod
    def note(self, id: Any, merge: Mapping[str, JSON]) -> bool:
        """Merge keys into the notes of a job in any state; None removes a key [155-163].

        False when there is no such job. Concurrent notes are all kept.
        """

    @abstractmethod
    def list_jobs(
        self,
        offset: int = 0,
        limit: int = 100,
        *,
        before: int | None = None,
        ids: Iterable[Any] | None = None,
        notes: Iterable[str] | None = None,
        queues: Iterable[str] | None = None,
        states: Iterable[str] | None = None,
        tasks: Iterable[str] | None = None,
    ) -> Page:
        """`{"jobs": [JobInfo], "total": int}`, newest first [363-368].

        Filters combine with and, the values of one with or. `before` is an exclusive upper bound
        of the ids, `notes` matches jobs that have any of these top-level keys. An unknown state
        or an id that is no number is an error. Expired inactive jobs are not listed [147].
        """

    # -- workers ---------------------------------------------------------------------------------

    @abstractmethod
    def register_worker(
        self, worker_id: int | None = None, *, status: Mapping[str, JSON] | None = None
    ) -> int:
        """Register a worker of this process, or send its heartbeat; return its id [194-200].

        `status` replaces what was there; without it the old one stays. A worker that was
        declared dead meanwhile comes back under the same id, without its jobs.
        """

    @abstractmethod
    def unregister_worker(self, worker_id: int) -> None:
        """Take a worker off the registry; repair fails what it still performs [198, 211]."""

    @abstractmethod
    def list_workers(
        self,
        offset: int = 0,
        limit: int = 100,
        *,
        before: int | None = None,
        ids: Iterable[Any] | None = None,
    ) -> Page:
        """`{"workers": [WorkerInfo], "total": int}`, newest first [201]."""

    @abstractmethod
    def broadcast(self, command: str, args: Sequence[JSON] = (), ids: Iterable[Any] = ()) -> bool:
        """Put a command into the inbox of these workers, or of all of them [288-293].

        True when at least one registered worker received it.
        """

    @abstractmethod
    def receive(self, worker_id: int) -> list[list[JSON]]:
        """Take everything out of a worker's inbox: [[command, *args], …], each once, in order."""

    @abstractmethod
    def unread(self, worker_id: int) -> int:
        """How many commands a worker has been sent and has not taken out of its inbox yet."""

    # -- locks -----------------------------------------------------------------------------------

    def lock(self, name: str, duration: float, *, limit: int = 1) -> bool:
        """Take a named lock for `duration` seconds; at most `limit` may hold it [167-182].

        False when it is held. A duration of 0 or less takes nothing and answers whether it could
        have been taken. A lock that expires is a lease: it does not stop its holder.
        """
        return self.acquire_lock(name, duration, limit=limit) is not None

    @abstractmethod
    def acquire_lock(
        self, name: str, duration: float, *, limit: int = 1, worker: int | None = None
    ) -> int | None:
        """`lock`, answering the id of this hold (0 for a duration of 0 or less), None when held.

        A hold that names a `worker` is released by repair when that worker is gone.
        """

    @abstractmethod
    def renew_lock(self, name: str, id: int, duration: float) -> bool:
        """Let the hold `id` last for `duration` seconds from now.

        False when it is not held any more: then somebody else may have the lock.
        """

    @abstractmethod
    def unlock(self, name: str, *, id: int | None = None) -> bool:
        """Release the hold that expires soonest [178], or exactly the hold `id`.

        False when there is none.
        """

    @abstractmethod
    def list_locks(
        self, offset: int = 0, limit: int = 100, *, names: Iterable[str] | None = None
    ) -> Page:
        """`{"locks": [LockInfo], "total": int}`: one entry a hold, newest first [185]."""

    # -- schedules -------------------------------------------------------------------------------

    @abstractmethod
    def schedule(
        self, name: str, cron: str, task: str, args: Sequence[JSON] = (), **options: Any
    ) -> int:
        """Store a schedule, or replace the one of that name; return its id [265-275].

        Options: those of the job (kwargs, attempts, expire, lax, notes, priority, queue, timeout),
        and tz, catch_up, overlap, jitter, declared. What is not given gets its default, also when
        it replaces one; id, created, paused and what was last run are kept. The next run stays
        when the text of `cron` and `tz` stay, else it is counted from now [269, 270]. The task
        need not be known here. Raises InvalidType, InvalidValue before anything is stored. When
        this returns it survives power loss.
        """

    @abstractmethod
    def unschedule(self, name: str) -> bool:
        """Remove a schedule; its jobs stay [273]. False when there is none.

        True means that it stays removed after power loss.
        """

    @abstractmethod
    def pause_schedule(self, name: str) -> bool:
        """Keep a schedule from firing until it is resumed; False when there is none [272, 280].

        True means that this survives power loss.
        """

    @abstractmethod
    def resume_schedule(self, name: str) -> bool:
        """Let a schedule fire again; False when there is none [272].

        One that is overdue fires at the next dispatch [280]. True means that this survives power
        loss.
        """

    @abstractmethod
    def dispatch_schedules(self, interval: float = DISPATCH_INTERVAL) -> list[dict[str, JSON]]:
        """Enqueue a job for every schedule that is due: `[{id, name, job}]` [276-286].

        `id` is the schedule's. Each occurrence is enqueued once, however many processes do this
        at once and wherever one of them dies; none waits for another. A job and the next run of
        its schedule are stored in one step, each schedule by itself. `interval` says how often
        somebody dispatches: what is later than that was missed (`catch_up="none"`). One whose
        queue is closed or full stays due. Raises SpoolFull, having lost nothing. What was
        answered survives power loss.
        """

    @abstractmethod
    def list_schedules(
        self,
        offset: int = 0,
        limit: int = 100,
        *,
        before: int | None = None,
        ids: Iterable[Any] | None = None,
        names: Iterable[str] | None = None,
    ) -> Page:
        """`{"schedules": [ScheduleInfo], "total": int}`, newest first [275]."""

    @abstractmethod
    def until_dispatch(self) -> float | None:
        """Seconds until the next schedule is due; None: nothing will be. A hint, and cheap.

        0 or less when one is due now. What others change is seen late at times.
        """

    # -- upkeep ----------------------------------------------------------------------------------

    @abstractmethod
    def repair(self) -> None:
        """Put right what time and crashes have left; any number may run at once [207-227].

        Workers that are dead or have not beaten for `missing_after` s are unregistered, and their
        active jobs fail with "Worker went away" (retried if attempts are left); expired jobs are
        removed; jobs overdue by more than `stuck_after` fail with "Job appears stuck in queue",
        unless they wait for a parent or are held; finished jobs older than `remove_after` are
        removed, unless a child of theirs is not finished. Jobs of the queue minion_foreground are
        left alone [212].
        Running it twice changes nothing more.
        """

    @abstractmethod
    def reset(self, *, all: bool = False, locks: bool = False) -> None:
        """Forget everything, or all locks; ids start at 1 again after `all` [5, 193, 228]."""

    @abstractmethod
    def stats(self) -> dict[str, JSON]:
        """The 13 counters of the contract's 1.7 [229-237].

        Jobs that wait for a parent, and held ones, count as delayed_jobs; `uptime` is the age of
        the spool; `enqueued_jobs` is the id counter.
        """

    @abstractmethod
    def history(self) -> dict[str, JSON]:
        """`{"daily": [{"epoch", "finished_jobs", "failed_jobs"}, …]}` [238-242].

        24 hours, oldest first; the last one's epoch is now.
        """

    @abstractmethod
    def queues(self) -> dict[str, dict[str, int]]:
        """By name, for queues with inactive jobs: how many are "ready", "delayed", "blocked" and
        "held".

        A job counts as blocked as long as nobody has noticed that its parents are done.
        """

    @abstractmethod
    def set_queue(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        closed: bool | None = None,
        limit: int | None = None,
        max_waiting: int | None = None,
        by: str = "",
        why: str = "",
    ) -> bool:
        """Say something of a queue, which need not have any jobs; None leaves a thing as it is.

        From a `paused` one nothing is claimed, by nobody on any host within a second; what runs
        goes on. A `closed` one takes in no new jobs: enqueue raises QueueClosed. At most `limit` of
        its jobs run at once, on all hosts together: those that run already count, but for a claim
        that was under way at the moment it was set. While `max_waiting` or more of its jobs are
        inactive enqueue raises QueueFull; of several who enqueue at once each may be let in. 0
        takes a number away. `by` and `why` are kept with `paused` and `closed`.

        False when that changes nothing. True means that it survives power loss.
        """

    @abstractmethod
    def controls(self) -> dict[str, Control]:
        """What is said of the queues, by name, for those of which anything ever was."""

    def list_queues(self) -> list[QueueInfo]:
        """The queues that have jobs which are not over, and those of which something is said."""
        views, controls = self.queues(), self.controls()
        running = Counter(job.queue for job in self.list_jobs(0, _EVERY, states=["active"]).rows)
        said = {name for name, control in controls.items() if control != NOTHING}
        return [
            QueueInfo(
                name,
                **{way: views.get(name, {}).get(way, 0) for way in WAYS},
                active=running[name],
                control=controls.get(name, NOTHING),
            )
            for name in sorted({*views, *running, *said})
        ]

    @abstractmethod
    def now(self) -> float:
        """What time it is by the spool's clock: all its times are on it."""

    # -- for a worker that stays -----------------------------------------------------------------

    def attend(self) -> None:  # noqa: B027  # a backend of one process has nobody to watch
        """This process runs a worker for long: from now on it watches the others by itself.

        Workers that do not beat are judged by how long this process has seen the same heartbeat,
        on its own clock, and not by the time that the heartbeat names.
        """

    def rescue(self) -> bool:
        """The part of repair that is cheap enough for every second: find workers that died.

        Whether any was found: then a repair is worth it.
        """
        return False

    def doorbell(self, queues: Sequence[str]) -> Doorbell | None:
        """What rings when a job may have become ready in these queues; None: look now and then.

        Raises InvalidType as `dequeue` does.
        """
        del queues
        return None

    def watch_job(self, id: int, ring: Callable[[], None]) -> Callable[[], None] | None:
        """Call `ring`, from any thread, when this job may have ended; return what stops that.

        None: nothing rings here, and whoever waits has to look now and then. A hint: it may ring
        for nothing, and stay silent.
        """
        del id, ring
        return None

    def check_space(self) -> None:  # noqa: B027  # memory has no mark
        """Raises SpoolFull below the low-water mark: new work is neither taken in nor begun."""

    def reload(self) -> None:  # noqa: B027  # nor settings that others could change
        """Read the settings again. Raises InvalidValue, and keeps the old ones, if they are bad."""
