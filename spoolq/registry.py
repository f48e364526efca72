"""Which tasks a spool can perform: functions of this program, and executables beside the jobs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from spoolq.errors import UnknownTask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spoolq.declared import Declaration
    from spoolq.model import JSON
    from spoolq.runners import Attempt, Run
    from spoolq.settings import Settings


class Function(Protocol):
    """A registered function. With `takes_context` its first argument is the job."""

    @property
    def fn(self) -> Callable[..., Any]:
        """The function itself."""

    @property
    def takes_context(self) -> bool:
        """Whether the job comes before the arguments."""

    def decode(
        self, args: Sequence[JSON], kwargs: Mapping[str, JSON]
    ) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a job as the function wants them. Raises InvalidType."""


class Registry:
    """The tasks known here by name. A function wins over an executable of the same name.

    `root` is the directory of a file spool, whose `jobs/` holds the executables; None: no others.
    """

    def __init__(self, root: str | None = None, settings: Settings | None = None) -> None:
        self.root = root
        self.functions: dict[str, Function] = {}
        self.builtin: dict[str, Function] = {}
        """Tasks that every program knows, and that are in no listing of its own."""
        self.middleware: list[Any] = []
        self.startup: list[Callable[[Any], object]] = []
        self.shutdown: list[Callable[[Any], object]] = []
        self.settings = settings
        self.schedules: dict[str, Declaration] = {}
        """Those declared in this program, by name: see `declared`."""

    def names(self) -> list[str]:
        """Every task that can be performed here now: what a dequeue asks for by default [45]."""
        if self.root is None:
            return [*self.functions, *self.builtin]
        from spoolq.executables import executable_tasks

        known = executable_tasks(self.root) | self.functions.keys() | self.builtin.keys()
        return list(known)

    def function(self, task: str) -> Function:
        """The function registered under this name. Raises UnknownTask."""
        try:
            return self.functions.get(task) or self.builtin[task]
        except KeyError:
            known = ", ".join(sorted(self.functions)) or "none"
            programs = f"; {self.root}/jobs has no such executable" if self.root else ""
            raise UnknownTask(
                f"unknown task {task!r}: registered here: {known}{programs}"
            ) from None

    def is_executable(self, task: str, find: Callable[[str], str | None] | None = None) -> bool:
        """Whether performing this task means running a program; `find` says where one is."""
        if self.root is None or task in self.functions:
            return False
        from spoolq.executables import EXEC, find_executable

        return task == EXEC or (find or partial(find_executable, self.root))(task) is not None

    def start_program(
        self, attempt: Attempt, *, queue: str, timeout: float | None, worker: int | None
    ) -> Run:
        """Start the program of this attempt; a program that cannot run is a run that failed."""
        from spoolq.runners.executable import start_executable

        assert self.root is not None  # noqa: S101  # is_executable said so
        return start_executable(
            attempt,
            root=self.root,
            queue=queue,
            timeout=timeout,
            worker=worker,
            settings=self.settings,
        )
