"""How the jobs of one worker are performed: each task by the runner that suits it.

A program by `executable`. A function by the runner its task names (`@spool.task(runner="pool")`),
else by the worker's. Functions are never called in the worker: children of the zygote call them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spoolq.errors import InvalidValue

if TYPE_CHECKING:
    from spoolq.backend import Backend
    from spoolq.clock import Clock
    from spoolq.job import Job
    from spoolq.registry import Registry
    from spoolq.runners import Run

RUNNERS: Final = ("fork", "pool", "aio")
"""What a task, or a worker, may name."""


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
        recycle_after: int = 1000,
        max_memory: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`runner` is for tasks that name none. A child of a pool is replaced after so many jobs,
        or above `max_memory` bytes of resident memory.

        Raises InvalidValue for an unknown runner, OSError when the system has no process left.
        """
        if runner not in RUNNERS:
            raise InvalidValue(f"there is no runner {runner!r}, only {', '.join(RUNNERS)}")
        raise NotImplementedError

    def start(self, job: Job) -> Run:
        """Start a claimed job. A task that cannot be started is a run that has failed.

        Raises OSError when the system has no process or descriptor left: the attempt has not
        begun, and its claim can be given back.
        """
        raise NotImplementedError

    def tend(self) -> None:
        """Replace what died or is worn, cut logs that grow beyond `max_log`. Cheap: call it often.

        After the death of the zygote its jobs fail by themselves and a new one is forked here.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End every process that is left, whatever it is doing."""
        raise NotImplementedError
