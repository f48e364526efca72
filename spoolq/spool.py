"""The spool as a program sees it: tasks, jobs, workers and locks over one backend."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import (
    Any,
    ClassVar,
    Final,
    Literal,
    ParamSpec,
    TypeVar,
    Unpack,
    overload,
)

from spoolq.backend import Backend
from spoolq.control import QueueInfo
from spoolq.declared import Declaration, Declared, place_in_code
from spoolq.decorators import (
    Cron,
    DequeueOptions,
    Register,
    RegisterWithContext,
    Runs,
    RunsAsync,
    ScheduleOptions,
)
from spoolq.errors import DuplicateJob, InvalidType, InvalidValue
from spoolq.events import Emitter, check_callback
from spoolq.flows import ON_FAILED, Batch, Signature, chain, group, on_failed
from spoolq.guard import Guard
from spoolq.job import Job, Seconds, current_job, is_async, run_to_its_end, wait_seconds
from spoolq.listing import Listing
from spoolq.middleware import Call, Middleware
from spoolq.model import (
    FOREGROUND_QUEUE,
    JSON,
    JobInfo,
    LockInfo,
    Page,
    ScheduleInfo,
    WorkerInfo,
)
from spoolq.options import (
    NO_GATES,
    batch_of,
    call_of_schedule,
    checked_seconds,
    command_words,
    gate_options,
    given_ones,
    in_seconds,
    kept_filters,
    schedule_options,
    spread,
)
from spoolq.registry import Registry
from spoolq.root import default_root
from spoolq.schedules import DISPATCH_INTERVAL, new_schedule
from spoolq.tasks import (
    AnyTask,
    AsyncTask,
    BatchOptions,
    Concurrency,
    EnqueueOptions,
    OnConflict,
    Rate,
    Task,
    TaskOptions,
    UniqueWhile,
    of_the_task,
)
from spoolq.transitions import Backoff, check_id, check_task, parent_blocks
from spoolq.worker import Worker

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
W = TypeVar("W", bound=Callable[[Worker], object])

MEMORY: Final = "memory:"
_ALL: Final = 2**31 - 1  # a page that holds everything


class Spool(Emitter):
    """A job queue. Opening it makes what is missing of its directory.

    `url` is a directory, "memory:" for a spool of this process alone, or a Backend; None means
    $SPOOLQ_ROOT, else $MINIQ_ROOT, else the user's state directory. Durations are seconds;
    `backoff(retries)` or `backoff(retries, error)` says how long to wait before another attempt.
    What is left None is what the spool's own settings say.

    Events, after the fact, in this process: `enqueue(spool, id)`, for the job of a schedule also
    `enqueue_from_schedule(spool, id, schedule's name)` behind it, and `worker(spool, worker)`.
    """

    EVENTS: ClassVar[tuple[str, ...]] = ("enqueue", "enqueue_from_schedule", "worker")

    def __init__(
        self,
        url: str | os.PathLike[str] | Backend | None = None,
        *,
        backoff: Backoff | None = None,
        missing_after: Seconds | None = None,
        remove_after: Seconds | None = None,
        stuck_after: Seconds | None = None,
        durability: str | None = None,
    ) -> None:
        """Raises SpoolUnavailable when the directory cannot be used as a spool."""
        super().__init__()
        options = given_ones(
            backoff=backoff,
            missing_after=checked_seconds(missing_after, "missing_after"),
            remove_after=checked_seconds(remove_after, "remove_after"),
            stuck_after=checked_seconds(stuck_after, "stuck_after"),
            durability=durability,
        )
        self._registry = Registry()
        watch = partial(_on_failed, self)
        self._registry.builtin[ON_FAILED] = Task(
            ON_FAILED, watch, self.enqueue, self.aenqueue, takes_context=True
        )
        self._declared = 0  # declarations of this program that are stored
        self.use(_open(url, options))

    def use(self, backend: Backend) -> None:
        """Keep jobs there from now on, with the same tasks. For tests: see `spoolq.testing`."""
        self.backend = backend
        self._declared = -1
        self.root: str | None = getattr(backend, "root", None)
        self._registry.root = self.root
        self._registry.settings = getattr(backend, "settings", None)

    def __repr__(self) -> str:
        return f"<Spool {self.root or MEMORY}>"

    # -- tasks -----------------------------------------------------------------------------------

    @property
    def tasks(self) -> Mapping[str, AnyTask[..., Any]]:
        """The functions registered here, by name."""
        return MappingProxyType(self._registry.functions)  # type: ignore[arg-type]  # we put Tasks in

    @overload
    def add_task(  # type: ignore[overload-overlap]  # the first that fits counts
        self, name: str, fn: Callable[P, Coroutine[Any, Any, R]]
    ) -> AsyncTask[P, R]: ...
    @overload
    def add_task(self, name: str, fn: Callable[P, R]) -> Task[P, R]: ...
    def add_task(self, name: str, fn: Callable[..., Any]) -> Any:
        """Register a function under a name, replacing the one that had it."""
        return self._add(name, fn)

    @overload
    def task(  # type: ignore[overload-overlap]
        self, cls: type[RunsAsync[P, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def task(self, cls: type[Runs[P, R]], /) -> Task[P, R]: ...
    @overload
    def task(  # type: ignore[overload-overlap]
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def task(self, fn: Callable[P, R], /) -> Task[P, R]: ...
    @overload
    def task(
        self, /, *, takes_context: Literal[True], **options: Unpack[TaskOptions]
    ) -> RegisterWithContext: ...
    @overload
    def task(
        self, /, *, takes_context: Literal[False] = False, **options: Unpack[TaskOptions]
    ) -> Register: ...
    def task(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Register the decorated function, by its own name unless another is given.

        Options are those of `TaskOptions`: what its jobs get, and what is so of the task itself.
        With `takes_context` the function is given the job as its first argument. `runner` is how
        a worker performs it: "fork", "pool" or "aio" (which takes an `async def`); None leaves
        that to the worker. Of a class with a method `run` one object is made here, and `run` is
        the task.
        """
        own, of_jobs = of_the_task(options)
        name, aliases = own.pop("name", None), own.pop("aliases", ())
        if isinstance(aliases, str):
            raise InvalidType(f"aliases is a list of names, not {aliases!r:.60}")

        def register(fn: Callable[..., Any]) -> AnyTask[..., Any]:
            known_as = _name_of(fn) if name is None else check_task(name)
            if isinstance(fn, type):
                if not callable(getattr(fn, "run", None)):
                    raise InvalidType(f"task {known_as!r}: a class needs a method `run`")
                fn = fn().run
            for taken in (known_as, *aliases):
                self._check_free(taken, fn)
            task = self._add(known_as, fn, options=of_jobs, **own)
            for alias in aliases:
                self._registry.functions[alias] = task
            return task

        return register if fn is None else register(fn)

    def _check_free(self, name: str, fn: Callable[..., Any]) -> None:
        """That no other function has this name: one of the two would be lost without a word. The
        same one once more is a module that was loaded again."""
        known = self._registry.functions.get(check_task(name))
        if known is not None and _place(known.fn) != _place(fn):
            there, here = ".".join(_place(known.fn)), ".".join(_place(fn))
            raise InvalidValue(f"task {name!r} is {there} already: give {here} another name=")

    def _add(self, name: str, fn: Callable[..., Any], **options: Any) -> AnyTask[..., Any]:
        make = AsyncTask if is_async(fn) else Task
        task: AnyTask[..., Any] = make(name, fn, self.enqueue, self.aenqueue, **options)
        self._registry.functions[check_task(task.name)] = task
        return task

    # -- hooks -----------------------------------------------------------------------------------

    def add_middleware(self, middleware: Middleware) -> None:
        """Have this done around every enqueue and every run: see `spoolq.middleware`.

        Raises InvalidType for what is no object of a class derived from Middleware.
        """
        if not isinstance(middleware, Middleware):
            raise InvalidType(f"a middleware is an object derived from it, not {middleware!r:.60}")
        self._registry.middleware.append(middleware)

    def on_startup(self, fn: W) -> W:
        """Call `fn(worker)` in each worker of this program before it performs jobs, and before
        the processes are forked that do: what it loads they share. Usable as a decorator."""
        check_callback(fn, "a hook")
        self._registry.startup.append(fn)
        return fn

    def on_shutdown(self, fn: W) -> W:
        """Call `fn(worker)` in each worker of this program when it has ended, the last one first.
        Usable as a decorator."""
        check_callback(fn, "a hook")
        self._registry.shutdown.append(fn)
        return fn

    # -- jobs ------------------------------------------------------------------------------------

    def enqueue(
        self,
        task: str,
        args: Sequence[JSON] = (),
        kwargs: Mapping[str, JSON] | None = None,
        *,
        attempts: int = 1,
        delay: Seconds = 0,
        expire: Seconds | None = None,
        lax: bool = False,
        notes: Mapping[str, JSON] | None = None,
        parents: Iterable[Any] = (),
        priority: int = 0,
        queue: str = "default",
        timeout: Seconds | None = None,
        unique: str | bool | None = None,
        unique_while: UniqueWhile | None = None,
        unique_for: Seconds | None = None,
        on_conflict: OnConflict = "return",
        concurrency: Concurrency | Sequence[Concurrency] | None = None,
        rate: Rate | Sequence[Rate] | None = None,
        hold: bool = False,
    ) -> Job:
        """Store a new job, whether or not its task is known here. See `Backend.enqueue`.

        While another job holds the key of a unique one, that other job is returned, with
        `.duplicate` true; `on_conflict="raise"` raises DuplicateJob, `"replace"` removes it, or
        lets the new one wait until it has ended if it runs.
        """
        options: dict[str, Any] = {
            "attempts": attempts,
            "delay": delay,
            "expire": expire,
            "lax": lax,
            "notes": notes,
            "parents": parents,
            "priority": priority,
            "queue": queue,
            "timeout": timeout,
            "hold": hold,
        }
        gates = (unique, unique_while, unique_for, on_conflict, concurrency, rate)
        if gates != NO_GATES:
            options |= gate_options(*gates)
        if self._registry.middleware:
            from spoolq.middleware import around_enqueue

            store = around_enqueue(self._registry.middleware, self._storing(on_conflict))
            return store(Call(task, list(args), dict(kwargs or {}), options))
        return self._store(task, args, kwargs, options, on_conflict)

    async def aenqueue(
        self,
        task: str,
        args: Sequence[JSON] = (),
        kwargs: Mapping[str, JSON] | None = None,
        **options: Unpack[EnqueueOptions],
    ) -> Job:
        """`enqueue` in asyncio: the loop goes on while the disk makes the job durable."""
        import asyncio  # 30 ms, which programs that use it have spent already

        if not self._registry.middleware:
            return await asyncio.to_thread(self.enqueue, task, args, kwargs, **options)
        from spoolq.middleware import around_aenqueue

        given, on_conflict = spread(options)
        store = around_aenqueue(self._registry.middleware, self._storing(on_conflict))
        return await store(Call(task, list(args), dict(kwargs or {}), given))

    def _storing(self, on_conflict: str) -> Callable[[Call], Job]:
        return lambda call: self._store(
            call.task, call.args, call.kwargs, call.options, on_conflict
        )

    def _store(
        self,
        task: str,
        args: Sequence[JSON],
        kwargs: Mapping[str, JSON] | None,
        options: dict[str, Any],
        on_conflict: str,
    ) -> Job:
        try:
            job_id = self.backend.enqueue(task, args, kwargs, **options)
        except DuplicateJob as error:
            if on_conflict != "return":
                raise
            return self._duplicate(error.id, task, list(args), dict(kwargs or {}))
        if self._callbacks is not None:
            self.emit("enqueue", job_id)
        args = args if type(args) is list else list(args)
        return Job(self.backend, self._registry, job_id, task, args, dict(kwargs) if kwargs else {})

    def _duplicate(self, id: int, task: str, args: list[JSON], kwargs: dict[str, JSON]) -> Job:
        info = self._info(id)
        # RACE: it may have ended, and be gone, since it kept the new one out.
        job = (
            self._handle(info)
            if info
            else Job(self.backend, self._registry, id, task, args, kwargs)
        )
        job.duplicate = True
        return job

    def chain(self, *calls: Signature) -> list[Job]:
        """Store calls, each waiting for the one before it: see `spoolq.flows.chain`."""
        return chain(self.enqueue, calls)

    def group(self, calls: Iterable[Signature]) -> list[Job]:
        """Store calls side by side: see `spoolq.flows.group`."""
        return group(self.enqueue, calls)

    def batch(
        self, *, on_finished: Signature | None = None, on_failed: Signature | None = None
    ) -> Batch:
        """A context manager for jobs with something to follow them: see `spoolq.flows.Batch`."""
        return Batch(self.enqueue, on_finished, on_failed)

    def exec(
        self,
        argv: str | Sequence[str],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        shell: bool = False,
        **options: Unpack[EnqueueOptions],
    ) -> Job:
        """Store a command line as a job, as `spoolq add` does; its result is its exit status.

        It runs in `cwd` (this process's directory), with `env` (this process's environment, all
        of it) and this process's umask. With `shell` argv is one line for /bin/sh. Raises
        InvalidType, InvalidValue.
        """
        if shell is not isinstance(argv, str):
            raise InvalidType("argv is a list of words, or with shell=True one line")
        words = ["/bin/sh", "-c", argv] if isinstance(argv, str) else command_words(argv)
        if env is not None and not all(
            isinstance(word, str) for pair in env.items() for word in pair
        ):
            raise InvalidType("env is an object of strings")
        mask = os.umask(0o077)
        os.umask(mask)
        surroundings = {
            "cwd": os.path.abspath(os.fspath(cwd) if cwd is not None else os.getcwd()),
            "env": dict(os.environ if env is None else env),
            "umask": mask,
        }
        return self.enqueue("exec", words, surroundings, **options)

    def enqueue_many(
        self, jobs: Iterable[str | Sequence[Any]], **options: Unpack[BatchOptions]
    ) -> list[int]:
        """Store several jobs, all or none, and return their ids. See `Backend.enqueue_many`.

        Each is a call, `task.make(…)`, or a task name, (task,), (task, args), (task, args, kwargs).
        They share their options, which are those of `enqueue`: those given here, else those of the
        tasks of the calls. They cannot be unique. Raises InvalidType, InvalidValue.
        """
        if isinstance(jobs, str | bytes | Mapping):
            raise InvalidType(f"jobs is a list of (task, args, kwargs), not {jobs!r:.60}")
        unknown = options.keys() - BatchOptions.__annotations__.keys()
        if unknown - EnqueueOptions.__annotations__.keys():
            known = ", ".join(BatchOptions.__annotations__)
            raise InvalidType(f"there is no option {min(unknown)!r}, only {known}")
        batch, shared = batch_of(list(jobs), options)
        if self._registry.middleware:
            from spoolq.middleware import Calls, around_enqueue_many

            store = around_enqueue_many(
                self._registry.middleware,
                lambda calls: self.backend.enqueue_many(calls.jobs, **calls.options),
            )
            ids = store(Calls(batch, shared))
        else:
            ids = self.backend.enqueue_many(batch, **shared)
        if self._callbacks is not None:
            for job_id in ids:
                self.emit("enqueue", job_id)
        return ids

    def job(self, id: Any) -> Job | None:
        """A handle of this job as it is now; None when there is none [3, 30]."""
        info = self._info(id)
        return None if info is None else self._handle(info)

    def jobs(
        self,
        *,
        before: int | None = None,
        ids: Iterable[Any] | None = None,
        notes: Iterable[str] | None = None,
        queues: Iterable[str] | None = None,
        states: Iterable[str] | None = None,
        tasks: Iterable[str] | None = None,
    ) -> Listing[JobInfo]:
        """Jobs, newest first; filters combine with and, the values of one with or [363-368]."""
        kept = kept_filters(ids=ids, notes=notes, queues=queues, states=states, tasks=tasks)
        return Listing(
            lambda before, limit: self.backend.list_jobs(0, limit, before=before, **kept), before
        )

    def wait(self, jobs: Iterable[Any], timeout: Seconds | None = None) -> list[JobInfo | None]:
        """Wait until all of these jobs (or ids) have ended; how each stands then, in their order.

        None for one that was removed, or has expired. Raises TimeoutError when `timeout` seconds
        ran out first.
        """
        from spoolq.results import as_ended  # for programs that wait

        ids = [check_id(job) for job in jobs]
        ended = dict(as_ended(self.backend, ids, wait_seconds(timeout)))
        return [ended[id_] for id_ in ids]

    def as_completed(self, jobs: Iterable[T], timeout: Seconds | None = None) -> Iterator[T]:
        """These jobs (or ids), each as soon as it has ended: finished, failed for good, removed.

        Raises TimeoutError when `timeout` seconds ran out first.
        """
        from spoolq.results import as_ended

        given = {check_id(job): job for job in jobs}
        for id_, _ in as_ended(self.backend, given, wait_seconds(timeout)):
            yield given[id_]

    def _info(self, id: Any) -> JobInfo | None:
        rows: list[JobInfo] = self.backend.list_jobs(0, 1, ids=[id]).rows
        return rows[0] if rows else None

    def _handle(self, info: JobInfo) -> Job:
        return Job(
            self.backend,
            self._registry,
            info.id,
            info.task,
            info.args,
            info.kwargs,
            info.retries,
        )

    # -- performing ------------------------------------------------------------------------------

    def perform_jobs(self, **options: Unpack[DequeueOptions]) -> int:
        """Perform what may run now, each job in a process of its own; return how many [349].

        One after the other, until there is nothing left: also what they enqueue meanwhile.
        """
        performed = 0
        with self._registered() as worker:
            for job in _claims(worker, options):
                job.perform()
                performed += 1
        return performed

    def perform_jobs_in_foreground(self, **options: Unpack[DequeueOptions]) -> int:
        """`perform_jobs` in this very process; a job that fails does not stop the others [353]."""
        performed = 0
        with self._registered() as worker, worker.beating():
            for job in _claims(worker, options):
                job.perform_here()
                performed += 1
        return performed

    def foreground(self, id: Any) -> bool:
        """Retry a job of any state right now in this process, with one attempt.

        False, and nothing changed, when it is missing or not ready: it waits for a parent, is held,
        has expired, or was changed by somebody else meanwhile. What the task raises fails the job
        and is raised [345]. Raises UnknownTask when nothing here can perform it.
        """
        info = self._info(id)
        if info is None:
            return False
        if not self._registry.is_executable(info.task):
            self._registry.function(info.task)
        if not self._may_run(info):
            return False
        job = self._handle(info)
        if not job.retry(attempts=1, queue=FOREGROUND_QUEUE):
            return False
        with self._registered() as worker, worker.beating():
            claimed = worker.dequeue(0, id=job.id, queues=[FOREGROUND_QUEUE], tasks=[job.task])
            if claimed is None:
                self._undo(info)
                return False
            error = claimed.perform_here()
        if error is not None:
            raise error
        return True

    def _may_run(self, info: JobInfo) -> bool:
        if info.held or (info.expires is not None and info.expires <= info.time):
            return False
        parents = set(info.parents)
        rows = self.backend.list_jobs(0, len(parents), ids=parents).rows if parents else []
        return not any(parent_blocks(parent.state, lax=info.lax) for parent in rows)

    def _undo(self, info: JobInfo) -> None:
        # RACE: a parent was retried between the look and the retry; the job goes back to where
        # its workers look for it. The id and one retry more are all that stays of it.
        self.backend.retry_job(
            info.id,
            info.retries + 1,
            attempts=info.attempts,
            queue=info.queue,
            delay=max(0.0, info.delayed - info.time),
        )

    @contextmanager
    def _registered(self) -> Iterator[Worker]:
        worker = self.worker()
        with worker.started():
            worker.register()
            try:
                yield worker
            finally:
                worker.unregister()

    # -- workers ---------------------------------------------------------------------------------

    def worker(self, **status: JSON) -> Worker:
        """A worker of this process, not yet registered; `status` is what it will publish."""
        worker = Worker(self.backend, self._registry, status, self._dispatch)
        if self._callbacks is not None:
            self.emit("worker", worker)
        return worker

    def workers(
        self, *, before: int | None = None, ids: Iterable[Any] | None = None
    ) -> Listing[WorkerInfo]:
        """Registered workers, newest first [201]."""
        kept = kept_filters(ids=ids)
        return Listing(
            lambda before, limit: self.backend.list_workers(0, limit, before=before, **kept), before
        )

    def broadcast(self, command: str, args: Sequence[JSON] = (), ids: Iterable[Any] = ()) -> bool:
        """Send a command to these workers, or to all; False when nobody received it [288]."""
        return self.backend.broadcast(command, args, ids)

    # -- queues ----------------------------------------------------------------------------------

    def queues(self) -> list[QueueInfo]:
        """The queues that have jobs which are not over, and those of which something is said."""
        return self.backend.list_queues()

    def pause_queue(self, queue: str, *, why: str = "", by: str | None = None) -> bool:
        """Claim nothing from a queue any more, on any host within a second; what runs goes on.

        `by` is who says so, by default the user of this process. False when the same one has
        paused it for the same reason already. True means that it survives power loss.
        """
        return self.backend.set_queue(queue, paused=True, why=why, by=_user(by))

    def resume_queue(self, queue: str) -> bool:
        """Let jobs of a paused queue be claimed again; False when it is not paused."""
        return self.backend.set_queue(queue, paused=False)

    def close_queue(self, queue: str, *, why: str = "", by: str | None = None) -> bool:
        """Take in no new jobs: `enqueue` raises QueueClosed. What waits is run, or retried.

        False as for `pause_queue`.
        """
        return self.backend.set_queue(queue, closed=True, why=why, by=_user(by))

    def open_queue(self, queue: str) -> bool:
        """Take new jobs in again; False when it is not closed."""
        return self.backend.set_queue(queue, closed=False)

    def set_queue(
        self, queue: str, *, limit: int | None = None, max_waiting: int | None = None
    ) -> bool:
        """Let at most `limit` jobs of a queue run at once, on all hosts together, and at most
        `max_waiting` be inactive: beyond that `enqueue` raises QueueFull.

        None leaves a number as it is, 0 takes it away. False when that changes nothing.
        """
        return self.backend.set_queue(queue, limit=limit, max_waiting=max_waiting)

    # -- locks -----------------------------------------------------------------------------------

    def lock(self, name: str, duration: Seconds, *, limit: int = 1) -> bool:
        """Take a named lock for a time; False when `limit` hold it already [167-182]."""
        return self.backend.lock(name, in_seconds(duration), limit=limit)

    def unlock(self, name: str) -> bool:
        """Release the hold that expires soonest, whoever took it; False when there is none."""
        return self.backend.unlock(name)

    def is_locked(self, name: str) -> bool:
        """Whether anybody holds this lock now [171]."""
        return not self.backend.lock(name, 0)

    def guard(self, name: str, duration: Seconds, *, limit: int = 1) -> Guard | None:
        """Take a named lock that is released by itself; None when it is held [187-192].

        Taken by a job, it is also released when repair finds that the job's worker is gone.
        """
        job = current_job()
        hold = self.backend.acquire_lock(
            name,
            in_seconds(duration),
            limit=limit,
            worker=job.worker if job is not None and self._owns(job) else None,
        )
        return None if hold is None else Guard(self.backend, name, hold)

    def locks(self, *, names: Iterable[str] | None = None) -> Listing[LockInfo]:
        """Unexpired locks, one entry a hold, newest first [185]."""
        kept = kept_filters(names=names)

        def load(before: int | None, limit: int) -> Page:  # noqa: ARG001  # there is one page
            # Locks have no `before`, and come and go too fast to be counted off in pages.
            return self.backend.list_locks(0, _ALL if before is None else 0, **kept)

        return Listing(load)

    def _owns(self, job: Job) -> bool:
        there = job.backend
        return there is self.backend or (
            self.root is not None and self.root == getattr(there, "root", None)
        )

    # -- schedules -------------------------------------------------------------------------------

    def schedule(
        self,
        name: str,
        cron: str,
        task: str | AnyTask[..., Any],
        args: Sequence[JSON] = (),
        **options: Unpack[ScheduleOptions],
    ) -> int:
        """Store a schedule, or replace the one of that name; its id. See docs/schedules.md.

        `cron` has five fields or is a nickname, `tz` is an IANA zone. `catch_up` says what becomes
        of firings that were missed, "none", "latest" or "all" (at most 1,000); `overlap="skip"`
        fires none while the last job has not ended; `jitter` puts each off by up to so many
        seconds. The other options are those of the job; of a task that is given as an object they
        are its own where none is given here, and its arguments are checked as for `enqueue`. A
        schedule is in UTC unless told otherwise.

        Raises InvalidValue for an expression that is none, or never fires, and an unknown zone,
        InvalidType for arguments that the task does not take, and for one that is unique.
        """
        if isinstance(task, AnyTask):
            task, args, given = call_of_schedule(task, args, options)
        else:
            given = schedule_options(options)
        return self.backend.schedule(name, cron, task, args, **given)

    def unschedule(self, name: str) -> bool:
        """Remove a schedule; its jobs stay. False when there is none [273]."""
        return self.backend.unschedule(name)

    def pause_schedule(self, name: str) -> bool:
        """Keep a schedule from firing until it is resumed; False when there is none [272]."""
        return self.backend.pause_schedule(name)

    def resume_schedule(self, name: str) -> bool:
        """Let a paused schedule fire again, at once if it is overdue; False when there is none."""
        return self.backend.resume_schedule(name)

    def dispatch_schedules(self) -> list[dict[str, JSON]]:
        """Enqueue the jobs of schedules that are due: `{id, name, job}` each [276-287].

        A worker does this by itself; any number of processes may. Schedules that are declared
        here are stored first.
        """
        if self._declared != len(self._registry.schedules):
            import logging  # for who declares schedules

            for problem in self.declare_schedules().problems:
                logging.getLogger("spoolq.schedules").warning("%s", problem)
        return self._dispatch(DISPATCH_INTERVAL)

    def declare_schedules(self) -> Declared:
        """Store what `@cron` and `spoolq.toml` declare; what has vanished, and what is wrong.

        Workers, `process` and `dispatch_schedules` do this by themselves.
        """
        from spoolq.declared import declare

        found = declare(self.backend, self._registry)
        self._declared = len(self._registry.schedules)
        return found

    def schedules(
        self,
        *,
        before: int | None = None,
        ids: Iterable[Any] | None = None,
        names: Iterable[str] | None = None,
    ) -> Listing[ScheduleInfo]:
        """Schedules, newest first [275]."""
        kept = kept_filters(ids=ids, names=names)
        return Listing(
            lambda before, limit: self.backend.list_schedules(0, limit, before=before, **kept),
            before,
        )

    def cron(
        self,
        cron: str,
        /,
        *,
        name: str | None = None,
        args: Sequence[JSON] = (),
        **options: Unpack[ScheduleOptions],
    ) -> Cron:
        """Declare that the decorated function or task is enqueued whenever `cron` fires.

        The schedule is called like the task unless `name` is given, which a second one for the same
        task needs; its options are those of `schedule`, and for the job those of the task. It is
        stored by whoever dispatches: a worker when it starts.

        Raises InvalidType, InvalidValue for what `schedule` would refuse.
        """
        from spoolq.cron import check_cron

        check_cron(cron, options.get("tz", "UTC"))
        schedule_options(options)

        def declare(fn: Any) -> Any:
            task = fn if isinstance(fn, AnyTask) else self.task(fn)
            known_as = task.name if name is None else name
            if known_as in task.schedules:
                raise InvalidValue(f"schedule {known_as!r} is declared twice: give one a name=")
            called, given_args, given = call_of_schedule(task, args, options)
            new_schedule(known_as, cron, called, given_args, 0.0, **given)
            task.schedules.add(known_as)
            self._registry.schedules[known_as] = Declaration(
                known_as, cron, called, given_args, given, place_in_code(task.fn)
            )
            return task

        return declare

    def _dispatch(self, interval: float) -> list[dict[str, JSON]]:
        fired = self.backend.dispatch_schedules(interval)
        if self._callbacks is not None:
            for entry in fired:
                self.emit("enqueue", entry["job"])
                self.emit("enqueue_from_schedule", entry["job"], entry["name"])
        return fired

    # -- upkeep ----------------------------------------------------------------------------------

    def stats(self) -> dict[str, JSON]:
        """Counters. See `Backend.stats`."""
        return self.backend.stats()

    def history(self) -> dict[str, JSON]:
        """How many jobs finished and failed in each of the last 24 hours."""
        return self.backend.history()

    def repair(self) -> Spool:
        """Put right what time and crashes have left. See `Backend.repair`."""
        self.backend.repair()
        return self

    def reset(self, *, all: bool = False, locks: bool = False) -> None:
        """Forget everything, or all locks."""
        self.backend.reset(all=all, locks=locks)


def _place(fn: Any) -> tuple[str, str]:
    return str(getattr(fn, "__module__", "")), str(getattr(fn, "__qualname__", ""))


def _name_of(fn: Any) -> str:
    if not callable(fn):
        raise InvalidType(f"a task is a function, and options go by keyword: name={fn!r:.60}")
    try:
        return str(fn.__name__)
    except AttributeError:
        raise InvalidType(f"{fn!r:.60} has no name: @spool.task(name=…) gives one") from None


def _user(by: str | None) -> str:
    if by is not None:
        return by
    import pwd  # for who steers queues

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _on_failed(spool: Spool, job: Job, call: dict[str, Any]) -> int | None:
    def enqueue(*args: Any, **options: Any) -> Job:
        from spoolq.middleware import has_async_enqueue

        if not has_async_enqueue(spool._registry.middleware):  # noqa: SLF001
            return spool.enqueue(*args, **options)
        made: Job = run_to_its_end(spool.aenqueue(*args, **options))
        return made

    return on_failed(job, enqueue, call)


def _open(url: object, options: dict[str, Any]) -> Backend:
    if isinstance(url, Backend):
        if options:
            raise InvalidType("a backend that is given ready made takes no options")
        return url
    if url is None:
        url = default_root()
    if not isinstance(url, str | os.PathLike):
        raise InvalidType(f"a spool is a path or {MEMORY!r}, not {type(url).__name__}")
    if url == MEMORY:
        from spoolq.memory import MemoryBackend  # only who uses it pays for it
        from spoolq.settings import check_durability

        # Nothing of it survives the process anyway.
        check_durability(options.pop("durability", "none"))
        return MemoryBackend(**options)
    path = os.fspath(url)
    if not path or "://" in path:
        raise InvalidValue(f"a spool is a path or {MEMORY!r}, not {path!r}")
    from spoolq.files.store import FileBackend

    # Absolute, because a task may change the working directory.
    return FileBackend(os.path.abspath(path), **options)


def _claims(worker: Worker, options: DequeueOptions) -> Iterator[Job]:
    while job := worker.register().dequeue(0, **options):
        yield job
