"""Functions under each runner of a worker, with a spool in a directory and no worker around."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spoolq import Job, Spool
from spoolq.clock import Clock
from spoolq.logs import read_log
from spoolq.performing import Performers
from spoolq.runners import Outcome, Run
from spoolq.runners.marks import find_marks
from tests.support import wait_for


class Stage:
    """A spool whose jobs are claimed here and performed by one runner."""

    def __init__(self, spool: Spool, runner: str) -> None:
        self.spool = spool
        self.runner = runner
        self.worker = spool.worker().register()
        self._performers: Performers | None = None

    def open(self, clock: Clock | None = None, **options: Any) -> Performers:
        """Fork the zygote; what is registered later it does not know."""
        assert self._performers is None
        self._performers = Performers(
            self.spool.backend, self.spool._registry, self.runner, clock=clock, **options
        )
        return self._performers

    @property
    def performers(self) -> Performers:
        """Made when first asked for."""
        return self._performers or self.open()

    def add(self, function: Callable[..., Any], *, context: bool = False) -> str:
        """Register a function under its name; `aio` is given it as a coroutine."""
        known = function
        if self.runner == "aio":

            async def known(*args: Any) -> Any:
                return function(*args)

        name = function.__name__
        options: dict[str, Any] = {"name": name, "takes_context": context}
        register: Callable[..., Any] = self.spool.task
        register(**options)(known)
        return name

    def claim(self, task: str, *args: Any, **options: Any) -> Job:
        """A job of this task, claimed."""
        made = self.spool.enqueue(task, args, **options)
        job = self.worker.dequeue(0, id=made, tasks=[task])
        assert job is not None
        return job

    def start(self, task: str, *args: Any, **options: Any) -> Run:
        """A job of this task, under way."""
        return self.performers.start(self.claim(task, *args, **options))

    def run(self, task: str, *args: Any, **options: Any) -> Outcome:
        """The outcome of a job of this task."""
        return self.end(self.start(task, *args, **options))

    def end(self, run: Run) -> Outcome:
        """Tend, as a worker does, until this run has ended."""

        def ended() -> bool:
            self.performers.tend()
            return run.poll() is not None

        wait_for(ended, timeout=20)
        outcome = run.poll()
        assert outcome is not None
        return outcome

    def log(self, id: int) -> str:
        """What the first attempt of this job has written."""
        assert self.spool.root is not None
        return (read_log(self.spool.root, id, 0) or b"").decode()

    def close(self) -> None:
        """End everything."""
        if self._performers is not None:
            self._performers.close()


def started_by(performers: Performers) -> list[int]:
    """The living processes that anything of these performers has started."""
    marks = performers._zygote.marks
    return [pid for pid, _ in find_marks(marks.first, marks.last)]
