"""A job in the hands of a program: what it is, how to perform it, and how it ends.

A handle never refreshes itself: `task`, `args`, `kwargs` and `retries` are as they were when it
was made, and `retries` says which attempt it may speak for. Whoever performs the job commits its
outcome, unless the task has called `finish`, `fail` or `retry` itself: then nothing is left to
commit. If the attempt was taken away meanwhile the commit is refused and changes nothing.
"""

from __future__ import annotations

import os
import signal as signals
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar, copy_context
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, cast

from spoolq.clock import SystemClock
from spoolq.errors import (
    Cancel,
    InvalidType,
    InvalidValue,
    Retry,
    Snooze,
    SpoolError,
    SpoolUnavailable,
)
from spoolq.events import Emitter
from spoolq.executables import EXEC
from spoolq.model import JSON, UNKNOWN_ERROR, JobInfo
from spoolq.runners import Outcome, describe
from spoolq.transitions import brief, check_json, check_seconds

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from typing_extensions import TypeVar

    from spoolq.backend import Backend
    from spoolq.registry import Registry
    from spoolq.runners import Run

    # Only type checkers need the default: a job whose task is known by name has any result.
    R = TypeVar("R", default=Any)
else:
    from typing import TypeVar

    R = TypeVar("R")

Seconds = float | timedelta

PROGRESS: Final = 0.1  # seconds between two notes about progress
CLAIM_LOOK: Final = 1.0  # seconds between two looks whether the claim is still there

_CLOCK: Final = SystemClock()

_current: ContextVar[Job | None] = ContextVar("spoolq_job", default=None)


def current_job() -> Job | None:
    """The job that is being performed here, None outside of one."""
    return _current.get()


class Holder(Protocol):
    """The worker that claimed a job, as far as the job needs it."""

    id: int | None
    heartbeat: float

    def register(self) -> object:
        """Send a heartbeat."""


class Job(Emitter, Generic[R]):
    """One attempt of a job. It can be passed wherever an id can.

    Events, in the order of a job that runs well: `spawn(job, pid)` here, `start(job)`,
    `finish(job)` and `cleanup(job)` in the process that performs it, `reap(job, pid)` here, then
    `finished(job, result)` or `failed(job, error)` in whichever process ended the job [308-313].
    """

    __slots__ = (
        "_asked",
        "_child",
        "_held_back",
        "_holder",
        "_on_resolved",
        "_registry",
        "_resolved",
        "_told_at",
        "args",
        "attempts",
        "backend",
        "concluded",
        "duplicate",
        "id",
        "kwargs",
        "label",
        "parent_ids",
        "queue",
        "retries",
        "slot",
        "task",
        "timeout",
    )

    EVENTS: ClassVar[tuple[str, ...]] = (
        "start",
        "finish",
        "cleanup",
        "failed",
        "finished",
        "spawn",
        "reap",
    )

    def __init__(  # by position: every enqueue makes a handle
        self,
        backend: Backend,
        registry: Registry,
        id: int,
        task: str,
        args: list[JSON],
        kwargs: dict[str, JSON],
        retries: int = 0,
        holder: Holder | None = None,
        queue: str = "default",
        timeout: float | None = None,
        attempts: int = 1,
        parents: Sequence[int] = (),
        label: str | None = None,
        slot: int | None = None,
    ) -> None:
        """Made by Spool and Worker, not by programs."""
        self._callbacks = None  # what Emitter.__init__ does
        self.backend = backend
        self._registry = registry
        self._holder = holder
        self._child: _Child | None = None
        self._resolved = False
        self._on_resolved: Callable[[], object] | None = None
        self.id = id
        self.task = task
        self.args = args
        self.kwargs = kwargs
        self.retries = retries
        # Of a claimed job; any other handle asks `info`.
        self.queue = queue
        self.timeout = timeout
        self.attempts = attempts
        self.parent_ids = parents
        self.label = label
        self.slot = slot
        self.concluded = False
        self.duplicate = False

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.task} retries={self.retries}>"

    def listens_to(self, events: Iterable[str]) -> bool:
        """Whether anybody wants to hear of one of these events of this very handle."""
        return self._callbacks is not None and not self._callbacks.keys().isdisjoint(events)

    # -- looking ---------------------------------------------------------------------------------

    def info(self) -> JobInfo | None:
        """The job as it is now; None when it was removed or has expired."""
        rows: list[JobInfo] = self.backend.list_jobs(0, 1, ids=[self.id]).rows
        return rows[0] if rows else None

    def result(self, timeout: Seconds | None = None) -> R:
        """Wait until the job has ended, at most `timeout` seconds, and return its result.

        What the task has returned, by its annotation: a dataclass is one again. Of a task that is
        not known in this program it is the JSON that is stored.

        Raises JobFailed when it has failed for good, JobRemoved when it is not there any more,
        TimeoutError when the time ran out first: nothing is lost, ask again.
        """
        from spoolq.results import as_ended, result_of  # for programs that wait

        [(_, info)] = as_ended(self.backend, [self.id], wait_seconds(timeout))
        return self._decoded(result_of(self.id, info))

    async def aresult(self, timeout: Seconds | None = None) -> R:
        """`result` in asyncio; `await job` is the same without a timeout."""
        from spoolq.results import as_ended_async, result_of

        ended = as_ended_async(self.backend, [self.id], wait_seconds(timeout))
        [(_, info)] = [item async for item in ended]
        return self._decoded(result_of(self.id, info))

    def _decoded(self, result: JSON) -> R:
        """What the task has returned, where the task is known; else the JSON."""
        decode = getattr(self._registry.functions.get(self.task), "decode_result", None)
        return cast("R", result if decode is None else decode(result))

    def __await__(self) -> Generator[Any, None, R]:
        return self.aresult().__await__()

    def parents(self) -> list[Job]:
        """Handles of the parents that still exist, in the order and as often as given [25]."""
        info = self.info()
        if info is None or not info.parents:
            return []
        wanted = set(info.parents)
        rows = self.backend.list_jobs(0, len(wanted), ids=wanted).rows
        found = {parent.id: parent for parent in rows}
        return [self._other(found[parent]) for parent in info.parents if parent in found]

    def parent_results(self) -> list[JSON]:
        """What the parents have returned, as stored: in their order, those that still exist."""
        infos = [parent.info() for parent in self.parents()]
        return [info.result for info in infos if info is not None]

    @property
    def worker(self) -> int | None:
        """The id of the worker this handle was dequeued by, None for any other handle."""
        return None if self._holder is None else self._holder.id

    # -- ending ----------------------------------------------------------------------------------

    def finish(self, result: JSON = None) -> bool:
        """Store `result` and move the job from active to finished.

        False, and nothing changed, unless this attempt is the running one.
        """
        return self._finish(result)

    def fail(self, result: JSON | BaseException = UNKNOWN_ERROR) -> bool:
        """Store the error and move the job to failed, or back to inactive if attempts are left.

        An exception is stored as `{"type", "message", "traceback"}`; with Cancel no attempts are
        left. False as for `finish`.
        """
        if isinstance(result, BaseException):
            return self._fail(describe(result), final=isinstance(result, Cancel))
        return self._fail(result)

    def retry(
        self,
        *,
        attempts: int | None = None,
        delay: Seconds = 0,
        expire: Seconds | None = None,
        lax: bool | None = None,
        parents: Iterable[Any] | None = None,
        priority: int | None = None,
        queue: str | None = None,
    ) -> bool:
        """Make the job inactive again, from any state; what is not given stays, the delay is 0.

        False, and nothing changed, when it was retried meanwhile, or is gone.
        """
        done = self.backend.retry_job(
            self.id,
            self.retries,
            attempts=attempts,
            delay=delay,
            expire=expire,
            lax=lax,
            parents=parents,
            priority=priority,
            queue=queue,
        )
        if done:
            self._resolve()
        return done

    def edit(self, **options: Any) -> bool:
        """Change a job that is not active: see `Backend.edit_job`. No retry is counted.

        False, and nothing changed, when it is active, was retried meanwhile, or is gone.
        """
        return self.backend.edit_job(self.id, self.retries, **options)

    def hold(self) -> bool:
        """Keep the job from being claimed until it is released; False unless it is inactive."""
        return self.backend.hold_job(self.id)

    def release(self) -> bool:
        """Let the job be claimed again; False when it is not held."""
        return self.backend.unhold_job(self.id)

    def remove(self) -> bool:
        """Remove the job; False when it is active, or gone already."""
        return self.backend.remove_job(self.id)

    def note(self, mapping: Mapping[str, JSON] | None = None, /, **notes: JSON) -> bool:
        """Merge notes into the job's, in any state; None removes a key. False when it is gone."""
        return self.backend.note(self.id, {**(mapping or {}), **notes})

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> bool:
        """Say how far the job has come, in its note `progress`: `{"done", "total", "message"}`.

        May be called in a tight loop: it is written at most ten times a second, and the last word
        when the task ends. False when the job is gone.
        """
        for name, value in (("done", done), ("total", total)):
            if type(value) not in (int, float) and (value is not None or name == "done"):
                raise InvalidType(f"{name} must be a number, not {value!r:.60}")
        note = {"done": done, "total": total, "message": message}
        self._held_back = None
        check_json(note, "progress")
        now = _CLOCK.elapsed()
        if now < getattr(self, "_told_at", 0.0) + PROGRESS:
            self._held_back = note
            return True
        self._told_at = now
        return self.note(progress=note)

    def _end_task(self) -> None:
        asked = getattr(self, "_asked", None)
        if asked is not None:
            asked.restore()
            del self._asked
        note = getattr(self, "_held_back", None)
        if note is not None:
            self._held_back = None
            with suppress(SpoolUnavailable):  # the job's end is worth more
                self.note(progress=note)

    def check_cancelled(self) -> None:
        """Raise Cancel when this attempt has no business going on: a task calls it now and then.

        That is when its claim is gone (the job was retried, removed or taken over; looked up once
        a second), or when it was sent TERM, by a timeout or a `kill`. From the first call on TERM
        no longer ends the process at once: the task has the grace, until KILL, to end in order.
        """
        asked = getattr(self, "_asked", None)
        if asked is None:
            asked = self._asked = _Asked()
        if asked.to_stop:
            raise Cancel("the job was asked to stop")
        if asked.is_time_to_look():
            info = self.info()
            if info is None or info.state != "active" or info.retries != self.retries:
                raise Cancel("the job was taken away from this attempt")

    def _finish(self, result: JSON, exit: JSON = None) -> bool:
        done = self.backend.finish_job(self.id, self.retries, result, exit=exit)
        if done:
            self._resolve()
            self.emit("finished", result)
        return done

    def _fail(
        self,
        error: JSON,
        exit: JSON = None,
        *,
        final: bool = False,
        delay: float | None = None,
    ) -> bool:
        error = UNKNOWN_ERROR if error is None else error
        done = self.backend.fail_job(
            self.id, self.retries, error, exit=exit, final=final, delay=delay
        )
        if done:
            self._resolve()
            self.emit("failed", error)
        return done

    def _resolve(self) -> None:
        """This attempt was ended through this handle; whoever performs it need not do it."""
        self._resolved = True
        if self._on_resolved is not None:
            self._on_resolved()
        performed = _current.get()
        if performed is not None and performed is not self and self._is_attempt(performed):
            type(self)._resolve(performed)  # noqa: SLF001  # the task has used another handle

    def _is_attempt(self, other: Job) -> bool:
        mine = (self.id, self.retries, getattr(self.backend, "root", self.backend))
        return mine == (other.id, other.retries, getattr(other.backend, "root", other.backend))

    def _commit(self, outcome: Outcome) -> None:
        if outcome.settled:
            return
        if not outcome.ok:
            self._fail(outcome.result, outcome.exit, final=outcome.final, delay=outcome.delay)
            return
        try:
            if self._finish(outcome.result, outcome.exit):
                self._tidy(outcome)
        except (InvalidType, InvalidValue) as error:
            # A result the spool cannot hold must not leave the job active for ever.
            self._fail(describe(error))

    def _tidy(self, outcome: Outcome) -> None:
        """Remove a command line that has finished and was to be removed then (`add --rm`).

        CRASH: dying before it leaves a finished job like any other; retention takes it.
        """
        if outcome.ok and self.task == EXEC and self.kwargs.get("rm") is True:
            with suppress(SpoolUnavailable):
                self.remove()

    def conclude(self, outcome: Outcome | None, *, done: bool) -> None:
        """For who holds the claim and has dealt with the outcome; None: the claim was given back.

        Tells who listens if the outcome is `done`, and not if it was refused.
        """
        self.concluded = True
        if outcome is not None and done:
            self._resolved = True
            self.emit("finished" if outcome.ok else "failed", outcome.result)
            self._tidy(outcome)

    # -- performing in this process --------------------------------------------------------------

    def execute(self) -> Exception | None:
        """Run the task here and now; return what it raised, None when it went well.

        The job's state does not change: call `finish` or `fail` afterwards [322, 323].
        """
        try:
            self._call()
        except Exception as error:  # noqa: BLE001  # the caller decides what it means
            return error
        return None

    def perform_here(self) -> Exception | None:
        """Run the task in this process and commit how it ended; return what it raised.

        A program is a process of its own in any case; if it fails, a SpoolError says why. What
        ends this process, Ctrl-C among it, fails the job first and is raised.
        """
        if self._registry.is_executable(self.task):
            outcome = self._perform()
            message = f"task {self.task} failed: {brief(outcome.result)}"
            return None if outcome.ok else SpoolError(message)
        try:
            value = self._call()
        except BaseException as error:
            failure = self._put_off(error)
            if failure is None:
                return None
            final, delay = self._judge(failure)
            self._fail(describe(failure), final=final, delay=delay)
            if isinstance(failure, Exception):
                return failure
            raise
        if not self._resolved:
            self._commit(Outcome(True, value))
        return None

    def _call(self) -> JSON:
        """The task's return value, checked; what it returns after `finish` means nothing.

        A coroutine runs to its end in a loop of its own.
        """
        self._begin_call()
        token = _current.set(self)
        try:
            value = self._invoke()
            if isinstance(value, CoroutineType):
                value = run_to_its_end(value)
            return self._end_call(value)
        finally:
            self._end_task()
            _current.reset(token)

    async def acall(self) -> JSON:
        """`execute` for a coroutine function, in the loop that runs; raises what it raises.

        Raises InvalidType for a function that is none: it would hold everything else up.
        """
        self._begin_call()
        token = _current.set(self)
        try:
            value = self._invoke(asynchronous=True)
            if not isinstance(value, CoroutineType):
                return self._end_call(value)  # a middleware has taken the task's place
            return self._end_call(await value)
        finally:
            self._end_task()
            _current.reset(token)

    def _begin_call(self) -> None:
        self._resolved = False
        if "logging" in sys.modules:  # else there are no records
            from spoolq.tagging import tag_records

            tag_records(current_job)
        if self.args or self.kwargs:
            # A backend may still hold these very lists, and a task does with them what it likes.
            self.args, self.kwargs = deepcopy((self.args, self.kwargs))

    def _invoke(self, *, asynchronous: bool = False) -> Any:
        self.emit("start")
        # Looked up now: a start handler may have changed the task [315].
        function = self._registry.function(self.task)
        context = (self,) if function.takes_context else ()
        if asynchronous and not is_async(function.fn):
            raise InvalidType(
                f"task {self.task!r} is no coroutine function: "
                "the runner aio performs `async def` only, let fork or pool perform it"
            )
        args, kwargs = function.decode(self.args, self.kwargs)
        if not self._registry.middleware:
            return function.fn(*context, *args, **kwargs)
        from spoolq.middleware import around_run

        call = partial(function.fn, *context, *args, **kwargs)
        return around_run(self._registry.middleware, self, call)()

    def _end_call(self, value: JSON) -> JSON:
        if self._resolved:
            value = None
        elif value is not None:
            from spoolq.arguments import to_json  # the task's own module has it by now

            value = to_json(value)
        check_json(value, "result")
        self.emit("finish")
        return value

    # -- performing in a child -------------------------------------------------------------------

    def perform(self) -> None:
        """Run the task in a new process, wait for it and commit how it ended [324].

        While it runs the worker that dequeued this handle sends its heartbeats.
        """
        self._perform()

    def start(self) -> Job:
        """Run the task in a new process and return at once; `is_finished` commits the end [329].

        Raises OSError when the system has no process left; the job is still active.
        """
        self._child = _Child(self.begin())
        if self.pid:
            with suppress(SpoolUnavailable):  # the job runs: a note is not worth losing it for
                self.backend.note(self.id, {"minion_pid": self.pid})
            self.emit("spawn", self.pid)
        return self

    def begin(self) -> Run:
        """Run the task in a new process whose end is the caller's business.

        Where root works for a spool of somebody else that process is the spool's owner's. Raises
        OSError when the system has no process left, or the spool is out of reach.
        """
        if self._registry.is_executable(self.task):
            return self.skipped() or self._start_program()
        import mmap  # these two are for processes that perform jobs

        from spoolq.runners.account import in_account, job_account
        from spoolq.runners.fork import start_fork

        # A byte that both processes see: the child may die of anything after it ended the job.
        settled = mmap.mmap(-1, 1)
        work = partial(self.work, lambda: settled.write_byte(1) if not settled.tell() else None)
        if self._registry.root is not None and os.geteuid() == 0:
            work = partial(in_account, job_account(self._registry.root), work)
        return start_fork(work, lambda: settled[0] == 1)

    def skipped(self) -> Run | None:
        """For a command line that waits for a failure (`add --after-fail`) which did not come: a
        run that has ended well already.

        A parent that was removed has not failed, as for every child. Raises OSError when the
        spool is out of reach.
        """
        if self.task != EXEC or self.kwargs.get("after_fail") is not True:
            return None
        try:
            info = self.info()
            ids = [] if info is None else list(dict.fromkeys(info.parents))
            parents = self.backend.list_jobs(0, len(ids), ids=ids).rows if ids else []
        except SpoolUnavailable as error:
            raise OSError(str(error)) from error
        if any(parent.state == "failed" for parent in parents):
            return None
        from spoolq.runners.program import Skipped

        return Skipped(f"none of {', '.join(map(str, ids))} has failed")

    def is_finished(self) -> bool:
        """Whether the process that `start` started has ended; then its outcome is committed.

        Raises SpoolUnavailable if the disk refuses; the job is still active, call again.
        """
        if self._child is None:
            return False
        outcome = self._child.run.poll()
        if outcome is None:
            return False
        self._conclude(self._child, outcome)
        return True

    def kill(self, signal: int | str) -> None:
        """Send a signal, by number or name, to the process and everything it started.

        Nothing happens when none is running. Raises InvalidValue for an unknown signal.
        """
        number = _signal_number(signal)
        if self._child is not None:
            self._child.run.kill(number)

    def stop(self) -> None:
        """Kill the process and everything it started at once; the job fails."""
        self.kill(signals.SIGKILL)

    @property
    def pid(self) -> int | None:
        """The id of the process that `start` started, None before."""
        return (self._child.run.pid or None) if self._child else None

    def work(self, settled: Callable[[], object] | None = None) -> Outcome:
        """Run the task and say how it ended; whoever holds the claim commits that.

        `settled` is called when the task ends the job itself. Raises what is no Exception.
        """
        self._on_resolved = settled
        try:
            outcome = Outcome(True, self._call())
        except Exception as error:  # noqa: BLE001  # whatever a task raises is its failure
            outcome = self._failure(error)
        self.emit("cleanup")
        return replace(outcome, settled=True) if self._resolved else outcome

    async def awork(self, settled: Callable[[], object] | None = None) -> Outcome:
        """`work` for a coroutine function, in the loop that runs."""
        self._on_resolved = settled
        try:
            outcome = Outcome(True, await self.acall())
        except Exception as error:  # noqa: BLE001  # whatever a task raises is its failure
            outcome = self._failure(error)
        self.emit("cleanup")
        return replace(outcome, settled=True) if self._resolved else outcome

    def _failure(self, error: Exception) -> Outcome:
        failure = self._put_off(error)
        if failure is None:
            return Outcome(False, settled=True)
        final, delay = self._judge(failure)
        return Outcome(False, describe(failure), final=final, delay=delay)

    def _judge(self, error: BaseException) -> tuple[bool, float | None]:
        """Whether an error ends the job for good, and else when its next attempt is due."""
        judge = getattr(self._registry.functions.get(self.task), "judge", None)
        if isinstance(error, Cancel) or judge is None or not isinstance(error, Exception):
            return isinstance(error, Cancel), None
        final, delay = judge(error, self.retries)
        return bool(final), delay

    def _put_off(self, error: BaseException) -> BaseException | None:
        """Do as a task asks that raised Snooze or Retry; else with what it has to fail."""
        if not isinstance(error, Snooze | Retry) or error.delay is None:
            return error
        attempts = None
        if isinstance(error, Retry):
            info = self.info()
            if info is None or info.attempts <= 1:
                return error
            attempts = info.attempts - 1
        try:
            return None if self.retry(delay=error.delay, attempts=attempts) else error
        except (InvalidType, InvalidValue) as wrong:
            return wrong

    def _start_program(self) -> Run:
        of = self if self._holder is not None else self.info() or self
        return self._registry.start_program(
            self, queue=of.queue, timeout=of.timeout, worker=self.worker
        )

    def _perform(self) -> Outcome:
        try:
            self.start()
            assert self._child is not None  # noqa: S101  # start has set it
            outcome = self._wait(self._child.run)
        except BaseException:
            # The child leads a session of its own: the Ctrl-C that ends us did not reach it.
            if self._child is not None:
                self.stop()
                self._conclude(self._child, self._wait(self._child.run))
            raise
        self._conclude(self._child, outcome)
        return outcome

    def _wait(self, run: Run) -> Outcome:
        while True:
            outcome = run.wait(self._holder.heartbeat if self._holder else None)
            if outcome is not None:
                return outcome
            if self._holder is not None:
                with suppress(SpoolUnavailable):  # the job goes on; its end tries again
                    self._holder.register()

    def _conclude(self, child: _Child, outcome: Outcome) -> None:
        if not child.reaped:
            child.reaped = True
            if child.run.pid:
                self.emit("reap", child.run.pid)
        if not child.committed:
            self._commit(outcome)
            child.committed = True

    def _other(self, info: JobInfo) -> Job:
        return Job(
            self.backend,
            self._registry,
            info.id,
            info.task,
            info.args,
            info.kwargs,
            info.retries,
        )


class _Child:
    """The process that performs a job, and how far its end has been dealt with."""

    __slots__ = ("committed", "reaped", "run")

    def __init__(self, run: Run) -> None:
        self.run: Final = run
        self.reaped = False
        self.committed = False


def run_to_its_end(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a loop of its own, also where one runs that has to wait meanwhile."""
    import asyncio  # 30 ms, for who has coroutines

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # A test that is a coroutine drains its spool: a thread has one loop, so this takes another.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(copy_context().run, asyncio.run, coroutine).result()


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling this makes a coroutine."""
    import inspect  # 10 ms, for who has coroutines

    return inspect.iscoroutinefunction(function)


class _Asked:
    """Whether a task was asked to stop, from when it first wanted to know."""

    __slots__ = ("_look_at", "to_stop")

    def __init__(self) -> None:
        self.to_stop = False
        self._look_at = 0.0
        # Only a process that would die of it listens; a program's own handler stays.
        would_die = signals.getsignal(signals.SIGTERM) == signals.SIG_DFL
        if would_die and threading.current_thread() is threading.main_thread():
            signals.signal(signals.SIGTERM, self._stop)

    def _stop(self, number: int, frame: object) -> None:
        del number, frame
        self.to_stop = True

    def restore(self) -> None:
        """The task is over: TERM means again what it meant."""
        if signals.getsignal(signals.SIGTERM) == self._stop:
            signals.signal(signals.SIGTERM, signals.SIG_DFL)

    def is_time_to_look(self) -> bool:
        now = _CLOCK.elapsed()
        if now < self._look_at:
            return False
        self._look_at = now + CLAIM_LOOK
        return True


def wait_seconds(timeout: Seconds | None) -> float | None:
    """How long to wait, in seconds; None: without end. Raises InvalidType, InvalidValue."""
    return None if timeout is None else check_seconds(timeout, "timeout")


def _signal_number(signal: int | str) -> int:
    try:
        if isinstance(signal, str):
            return signals.Signals[f"SIG{signal.upper().removeprefix('SIG')}"].value
        return signals.Signals(signal).value
    except (KeyError, ValueError):
        raise InvalidValue(f"unknown signal {signal!r}") from None
