"""A worker: a registered process that claims jobs, beats, and obeys commands.

`run` does all of that until it is told to end. A program may also claim jobs by hand: then it
stays listed until it unregisters or repair finds that it no longer beats, so whoever holds a job
has to `register` again now and then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from spoolq.errors import SpoolUnavailable
from spoolq.events import Emitter, check_callback
from spoolq.job import Job
from spoolq.loop.plan import HEARTBEAT, Terms
from spoolq.model import JSON, WorkerInfo
from spoolq.transitions import check_seconds

if TYPE_CHECKING:
    from datetime import timedelta

    from spoolq.backend import Backend
    from spoolq.loop.engine import Engine
    from spoolq.registry import Registry

Command = Callable[..., object]


class Worker(Emitter):
    """One worker.

    Events: `dequeue(worker, job)` after each successful dequeue [319]; while it runs `wait(worker)`
    before each look for a job, and `busy(worker)` when it looks for none, because it performs as
    many as it may or is about to end [320].
    """

    EVENTS: ClassVar[tuple[str, ...]] = ("busy", "dequeue", "wait")

    def __init__(
        self,
        backend: Backend,
        registry: Registry,
        status: Mapping[str, JSON],
        dispatch: Callable[[float], Sequence[object]] | None = None,
    ) -> None:
        """Made by `Spool.worker`, not yet registered [205]. `dispatch` tells listeners as well."""
        super().__init__()
        self.dispatch = dispatch or backend.dispatch_schedules
        self._backend = backend
        self._registry = registry
        self.id: int | None = None
        self.commands: dict[str, Command] = {}
        self.status: dict[str, JSON] = dict(status)
        self.heartbeat = min(HEARTBEAT, backend.missing_after / 3)
        self._engine: Engine | None = None

    def __repr__(self) -> str:
        return f"<Worker {self.id or 'unregistered'}>"

    def register(self) -> Worker:
        """Register, or send a heartbeat; publish `status` in either case [194-197]."""
        self.id = self._backend.register_worker(self.id, status=self.status)
        return self

    def unregister(self) -> Worker:
        """Leave the registry; registering again gives a new id [198, 199]."""
        if self.id is not None:
            self._backend.unregister_worker(self.id)
            self.id = None
        return self

    def info(self) -> WorkerInfo | None:
        """What the registry says of this worker, None when it is not registered."""
        if self.id is None:
            return None
        rows: list[WorkerInfo] = self._backend.list_workers(0, 1, ids=[self.id]).rows
        return rows[0] if rows else None

    def dequeue(
        self,
        wait: float | timedelta = 0,
        *,
        id: Any = None,
        min_priority: int | None = None,
        queues: Sequence[str] = ("default",),
        tasks: Sequence[str] | None = None,
    ) -> Job | None:
        """Claim the best job that may run now, waiting up to `wait` seconds for one.

        Without `tasks` those this spool can perform are asked for: functions registered here,
        and executables [45]. None when there is no job, or this worker is not registered [33].
        """
        if self.id is None:
            return None
        claimed = self._backend.dequeue(
            self.id,
            check_seconds(wait, "wait"),
            id=id,
            min_priority=min_priority,
            queues=queues,
            tasks=self._registry.names() if tasks is None else tasks,
        )
        if claimed is None:
            return None
        job = Job(
            self._backend,
            self._registry,
            claimed["id"],
            claimed["task"],
            claimed["args"],
            claimed["kwargs"],
            claimed["retries"],
            self,
            claimed["queue"],
            claimed["timeout"],
            claimed["attempts"],
            claimed["parents"],
            claimed["label"],
        )
        self.emit("dequeue", job)
        return job

    def add_command(self, name: str, callback: Command) -> Worker:
        """Call `callback(worker, *args)` when this command arrives. Raises InvalidType for what
        cannot simply be called."""
        check_callback(callback, f"the command {name!r}")
        self.commands[name] = callback
        return self

    def process_commands(self) -> Worker:
        """Obey what has arrived, in order; unknown commands are dropped [294-297].

        After at least one was obeyed the worker registers again, so that a status they changed is
        seen at once. If a command raises, those that came with it and after it are lost.
        """
        if self.id is None:
            return self
        obeyed = False
        for name, *args in self._backend.receive(self.id):
            command = self.commands.get(name)
            if command is not None:
                command(self, *args)
                obeyed = True
        return self.register() if obeyed else self

    def run(self, terms: Terms | None = None, *, runner: str = "fork") -> Worker:
        """Perform jobs, several at once, until told to end by `stop` or a signal [379-407].

        `status` says how many and which; what is missing there gets its default. `runner` is how
        functions are performed, unless their task says so itself. In the main
        thread INT and TERM end the run once the running jobs have ended, a second INT and QUIT
        kill them; HUP reads the settings again, USR1 writes the state to the log.

        Raises InvalidType or InvalidValue for a wrong status; SpoolUnavailable when the spool
        stays out of reach for so long that others may take the jobs, which are then killed; and
        whatever a listener raised.
        """
        with self.started():
            self._engine = self.engine(terms or Terms(), runner=runner)
            try:
                self._engine.run()
            finally:
                self._engine = None
        return self

    @contextmanager
    def started(self) -> Iterator[None]:
        """What the program wants done before this worker performs jobs, and after.

        Before: in this process, of which the processes that perform are forks. They find what was
        loaded here, and share its memory. What is no good in a fork, a connection, each of them
        has to open itself.
        """
        for begin in self._registry.startup:
            begin(self)
        try:
            yield
        finally:
            for end in reversed(self._registry.shutdown):
                end(self)

    def engine(self, terms: Terms, *, runner: str = "fork", **options: Any) -> Engine:
        """What `run` runs, for who wants to know how it went. See `Engine`."""
        from spoolq.loop.engine import Engine  # only who runs a worker pays for these
        from spoolq.performing import Performers, check_runner

        check_runner(runner)
        runners = partial(Performers, self._backend, self._registry, runner)
        return Engine(self, self._backend, self._registry, terms, runners, **options)

    def stop(self) -> None:
        """End `run` as INT does, from any thread; nothing happens when it does not run."""
        if self._engine is not None:
            self._engine.stop()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Send heartbeats from a thread of its own, while this thread performs jobs itself."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self.heartbeat):
                with suppress(SpoolUnavailable):  # the next beat tries again
                    self.register()

        thread = threading.Thread(target=beat, name="spoolq-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
