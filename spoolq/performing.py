"""How the jobs of one worker are performed: each task by the runner that suits it.

A program by `executable`. A function by the runner its task names (`@spool.task(runner="pool")`),
else by the worker's. Functions are never called in the worker: children of the zygote call them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from spoolq.clock import Clock, SystemClock
from spoolq.errors import InvalidValue
from spoolq.executables import Programs
from spoolq.job import Job, current_job
from spoolq.logs import Cap
from spoolq.runners.account import become, job_account
from spoolq.runners.aio import Aio
from spoolq.runners.child import Child, Claim, Limits, Settled
from spoolq.runners.executable import Executables
from spoolq.runners.output import route_logging
from spoolq.runners.pool import Pool
from spoolq.runners.wire import Wire
from spoolq.runners.zygote import Zygote
from spoolq.settings import Settings
from spoolq.tagging import tag_records
from spoolq.tasks import RUNNERS

if TYPE_CHECKING:
    from spoolq.backend import Backend
    from spoolq.registry import Function, Registry
    from spoolq.runners import Outcome, Run, Runner

CHILD_EVENTS: Final = ("start", "finish", "cleanup")
"""What happens in the child, where only a child of this very process has the callbacks."""

RECYCLE_AFTER: Final = 1000  # jobs of one child of a pool
MAX_MEMORY: Final = 512 * 1024 * 1024  # bytes above which a child of a pool is replaced


class Performers:
    """Starts the jobs of one worker. Belongs to one thread.

    Make it after the tasks are registered and before there are threads: it forks the zygote. Call
    `tend` in every turn of a loop, and `close` when no job is under way any more.
    """

    def __init__(
        self,
        backend: Backend,
        registry: Registry,
        runner: str = "fork",
        *,
        recycle_after: int = RECYCLE_AFTER,
        max_memory: int | None = MAX_MEMORY,
        clock: Clock | None = None,
    ) -> None:
        """`runner` is for tasks that name none. A child of a pool is replaced after so many jobs,
        or above `max_memory` bytes of resident memory.

        Raises InvalidValue for an unknown runner, OSError when the system has no process left.
        """
        check_runner(runner)
        self._backend, self._registry, self._runner = backend, registry, runner
        self._limits = {"fork": (1, None), "pool": (recycle_after, max_memory)}
        self._clock = clock or SystemClock()
        root = registry.root
        self._find = None if root is None else Programs(root, self._clock).find
        self._runners: dict[str, Runner] = {}
        self._known: dict[str, Function] = {}
        self._zygote = self._make_zygote()

    def start(self, job: Job) -> Run:
        """Start a claimed job. A task that cannot be started is a run that has failed.

        Raises OSError when the system has no process or descriptor left: the attempt has not
        begun, and its claim can be given back.
        """
        if self._registry.is_executable(job.task, self._find):
            return job.skipped() or self._get("executable").start(job)
        function = self._registry.functions.get(job.task)
        if job.listens_to(CHILD_EVENTS):
            return job.begin()  # its callbacks exist in this process only
        if function is not None and self._known.get(job.task) is not function:
            self._renew()
        return self._get(self._choose(function)).start(job)

    def _choose(self, function: Function | None) -> str:
        named = getattr(function, "runner", None)
        return named if isinstance(named, str) else self._runner

    def _get(self, name: str) -> Runner:
        if name not in self._runners:
            self._runners[name] = self._make(name)
        return self._runners[name]

    def _make(self, name: str) -> Runner:
        zygote = self._zygote
        if name == "executable":
            assert self._registry.root is not None  # noqa: S101  # is_executable said so
            assert self._find is not None  # noqa: S101  # there is a root
            settings = lambda: self._registry.settings  # noqa: E731  # a reload replaces them
            return Executables(
                self._registry.root,
                settings,
                zygote.marks,
                self._zygote,
                zygote.cgroups,
                self._find,
                self._clock,
            )
        if name == "aio":
            return Aio(zygote, claim=claim_of, cap=self._cap, clock=self._clock)
        jobs, memory = self._limits[name]
        options = {"jobs": jobs, "memory": memory}
        return Pool(zygote, "jobs", options, claim=claim_of, cap=self._cap, clock=self._clock)

    def _cap(self, job: Job) -> Cap | None:
        root = self._registry.root
        if root is None:
            return None
        settings = self._registry.settings or Settings()
        return Cap(root, job.id, job.retries, settings.max_log, self._clock)

    def _make_zygote(self) -> Zygote:
        self._known = dict(self._registry.functions)
        return Zygote(_kinds(self._backend, self._registry), self._prepare)

    def _prepare(self) -> None:
        """In the zygote: what every child would do anew, and copy the memory of."""
        route_logging(_current_id)
        tag_records(current_job)
        for function in self._registry.functions.values():
            # Annotations are read at the first call; that it has no arguments is no matter here.
            with suppress(Exception):
                function.decode([], {})

    def _renew(self) -> None:
        """A task was registered since the zygote was forked, which cannot know it."""
        self._known = dict(self._registry.functions)
        for runner in self._runners.values():
            if isinstance(runner, Pool | Aio):
                runner.renew()
        self._zygote.renew()

    def tend(self) -> None:
        """Replace what died or is worn, cut logs that grow beyond `max_log`. Cheap: call it often.

        After the death of the zygote its jobs fail by themselves and a new one is forked here.
        """
        self._zygote.tend()
        for runner in self._runners.values():
            runner.tend()

    def close(self) -> None:
        """End every process that is left, whatever it is doing."""
        for runner in self._runners.values():
            runner.close()
        self._zygote.close()


def check_runner(name: str) -> None:
    """Raises InvalidValue for an unknown runner."""
    if name not in RUNNERS:
        raise InvalidValue(f"there is no runner {name!r}, only {', '.join(RUNNERS)}")


def claim_of(job: Job) -> Claim:
    """What a child is told of a claimed job."""
    return {
        "id": job.id,
        "task": job.task,
        "args": job.args,
        "kwargs": job.kwargs,
        "retries": job.retries,
        "queue": job.queue,
        "timeout": job.timeout,
        "attempts": job.attempts,
        "parents": list(job.parent_ids),
        "label": job.label,
        "slot": job.slot,
        "worker": job.worker,
    }


# -- in the child --------------------------------------------------------------------------------


class _Holder:
    """The worker in another process that holds the claim: it sends its heartbeats itself."""

    heartbeat = float("inf")

    def __init__(self, id: int | None) -> None:
        self.id = id

    def register(self) -> None:
        """Not from here."""


def _kinds(backend: Backend, registry: Registry) -> dict[str, Any]:
    root = registry.root
    # Asked in the worker: a child that waits for a job has no time for a file server.
    account = None if root is None else job_account(root)

    def job(claim: Claim) -> Job:
        holder = _Holder(claim.pop("worker"))
        return Job(backend, registry, **claim, holder=holder)

    def perform(claim: Claim, settled: Settled) -> Outcome:
        return job(claim).work(settled)

    async def aperform(claim: Claim, settled: Settled) -> Outcome:
        return await job(claim).awork(settled)

    def jobs(wire: Wire, options: Mapping[str, Any]) -> None:
        if account is not None:
            become(account)
        Child(wire, perform, root, Limits(**options)).run()

    def aio(wire: Wire, options: Mapping[str, Any]) -> None:
        from spoolq.runners.coroutines import Coroutines  # asyncio: 30 ms

        del options
        if account is not None:
            become(account)
        Coroutines(wire, aperform, root).run()

    return {"jobs": jobs, "aio": aio}


def _current_id() -> int | None:
    job = current_job()
    return None if job is None else job.id
