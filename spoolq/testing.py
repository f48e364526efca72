"""Testing programs that use spoolq: a spool of one's own, a clock in one's hand, and questions.

    def test_signing_up_sends_a_welcome(spool):          # the fixture of spoolq.pytest_plugin
        sign_up("ada@example.org")
        spool.assert_enqueued(send_welcome, args=["ada@example.org"], queue="mail")
        assert spool.drain().finished == 1
        spool.advance(3600)                              # what is due in an hour is due now

Nothing is mocked: jobs lie in a spool in a temporary directory, go through JSON, and are performed
in this process. No worker runs.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, NamedTuple

from spoolq.arguments import to_json
from spoolq.backend import Backend
from spoolq.errors import InvalidType
from spoolq.model import JobInfo
from spoolq.spool import Spool
from spoolq.tasks import AnyTask

NOON: Final = 1_700_000_000.0  # epoch seconds at which a test begins


_SHOWN_ANYWAY: Final = frozenset({"args", "kwargs", "queue", "delay", "states", "task", "state"})


class FakeClock:
    """Both clocks of a host, in the hands of a test. Sleeping moves them and takes no time."""

    def __init__(self, wall: float = NOON) -> None:
        self._lock = threading.Lock()
        self._wall = wall
        self._elapsed = 1_000.0

    def wall(self) -> float:
        """Seconds since the epoch."""
        with self._lock:
            return self._wall

    def elapsed(self) -> float:
        """Seconds that have passed."""
        with self._lock:
            return self._elapsed

    def sleep(self, seconds: float) -> None:
        """Let that much time pass at once."""
        self.advance(max(seconds, 0.0))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._wall += seconds
            self._elapsed += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back; no time has passed."""
        with self._lock:
            self._wall += seconds


class Drained(NamedTuple):
    """What became of the attempts that `drain` has performed."""

    finished: int = 0
    failed: int = 0
    retried: int = 0
    """Those that failed and wait for another attempt."""


class SpoolUnderTest(Spool):
    """A spool with questions for tests. Its tasks may be those of a program's own spool."""

    def __init__(self, backend: Backend, clock: FakeClock, program: Spool | None = None) -> None:
        """`program` is the spool that the program under test enqueues into: its jobs go to
        `backend` from now on, see `under_test`."""
        super().__init__(backend)
        self.clock: Final = clock
        self._inline = False
        self._program = program or self
        if program is not None:
            self._registry = program._registry  # noqa: SLF001  # the two are one to a test
            program.use(backend)
            program.on("enqueue", self._run_inline)
        self.on("enqueue", self._run_inline)

    # -- questions -------------------------------------------------------------------------------

    def all_enqueued(
        self,
        task: str | AnyTask[..., Any] | None = None,
        *,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        states: Iterable[str] = ("inactive",),
        delay: Any = None,
        **fields: Any,
    ) -> list[JobInfo]:
        """The jobs that fit, oldest first.

        `args` and `kwargs` fit together, by the task's own parameters where a task is given;
        `kwargs` alone fits whatever the other arguments are. `delay` is in seconds since the job
        was made, `fields` are fields of JobInfo. Anything that knows how to be equal will do:
        `pytest.approx(60)`. Raises InvalidType for a field that there is not.
        """
        unknown = fields.keys() - JobInfo.__dataclass_fields__.keys()
        if unknown:
            raise InvalidType(f"a job has no field {min(unknown)!r}: see JobInfo")
        found = list(self.jobs(states=states))[::-1]
        return [info for info in found if self._fits(info, task, args, kwargs, delay, fields)]

    def assert_enqueued(self, task: str | AnyTask[..., Any], **wanted: Any) -> JobInfo:
        """The newest job that fits, as in `all_enqueued`; AssertionError tells what there is."""
        found = self.all_enqueued(task, **wanted)
        if not found:
            raise AssertionError(f"not enqueued: {_said(task, wanted)}\n{self._inventory(wanted)}")
        return found[-1]

    def refute_enqueued(self, task: str | AnyTask[..., Any] | None = None, **wanted: Any) -> None:
        """AssertionError when any job fits, as in `all_enqueued`."""
        found = self.all_enqueued(task, **wanted)
        if found:
            raise AssertionError(f"enqueued: {_said(task, wanted)}\n{self._inventory(wanted)}")

    def _fits(
        self,
        info: JobInfo,
        task: str | AnyTask[..., Any] | None,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        delay: Any,
        fields: Mapping[str, Any],
    ) -> bool:
        if task is not None and info.task != (task if isinstance(task, str) else task.name):
            return False
        # To the microsecond: the sum and the difference of two times are not exact.
        if delay is not None and delay != round(info.delayed - info.created, 6):
            return False
        if any(value != getattr(info, name) for name, value in fields.items()):
            return False
        if args is None and kwargs is None:
            return True
        known = task if isinstance(task, AnyTask) else self.tasks.get(info.task)
        given = _bound(known, info.args, info.kwargs)
        if args is None and kwargs:
            named = {**(given if isinstance(given, Mapping) else {}), **info.kwargs}
            return all(
                name in named and _form(value) == named[name] for name, value in kwargs.items()
            )
        return _bound(known, args or (), kwargs or {}) == given

    def _inventory(self, wanted: Mapping[str, Any]) -> str:
        found = list(self.jobs())[::-1]
        if not found:
            return "nothing was enqueued"
        return "enqueued were:\n" + "\n".join(f"  {_line(info, wanted)}" for info in found)

    # -- performing ------------------------------------------------------------------------------

    def drain(self, *, queues: Iterable[str] | None = None, raises: bool = True) -> Drained:
        """Perform everything that is due, in this process, what it enqueues as well.

        What a task raises fails its job, and is raised then; without `raises` the next job is
        performed instead. Jobs for which there is no task here stay.
        """
        tally = {"finished": 0, "failed": 0, "inactive": 0}
        with self._registered() as worker:
            while job := worker.register().dequeue(0, queues=self._queues(queues)):
                error = job.perform_here()
                info = job.info()
                if info is not None:
                    tally[info.state] += 1
                if error is not None and raises:
                    raise error
        return Drained(*tally.values())

    def _queues(self, queues: Iterable[str] | None) -> list[str]:
        if queues is not None:
            return list(queues)
        return sorted({info.queue for info in self.jobs(states=["inactive"])}) or ["default"]

    def advance(self, seconds: float | timedelta = 0, **units: float) -> None:
        """Let time pass, in seconds or as `timedelta(**units)`: delays and expiries come due,
        schedules fire, each at its time."""
        passed = seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)
        left = (passed + timedelta(**units)).total_seconds()
        self._program.dispatch_schedules()
        while (due := self.backend.until_dispatch()) is not None and 0 < due <= left:
            self.clock.advance(due)
            left -= due
            self._program.dispatch_schedules()
        self.clock.advance(left)

    @contextmanager
    def inline(self) -> Iterator[None]:
        """Jobs are performed as they are enqueued, if nothing keeps them waiting, and what their
        tasks raise is raised where they were enqueued. They still go through the spool."""
        before, self._inline = self._inline, True
        try:
            yield
        finally:
            self._inline = before

    def _run_inline(self, _: Spool, id: int) -> None:
        if not self._inline:
            return
        info = self._info(id)
        if info is None:
            return
        with self._registered() as worker:
            job = worker.dequeue(0, id=id, queues=[info.queue])
            error = job.perform_here() if job is not None else None
        if error is not None:
            raise error


@contextmanager
def under_test(
    backend: Backend, clock: FakeClock, program: Spool | None = None
) -> Iterator[SpoolUnderTest]:
    """A spool for one test; afterwards `program` has its own backend again."""
    before = None if program is None else program.backend
    heard = None if program is None else program._callbacks  # noqa: SLF001
    if program is not None:
        program._callbacks = heard and {name: [*each] for name, each in heard.items()}  # noqa: SLF001
    try:
        yield SpoolUnderTest(backend, clock, program)
    finally:
        if program is not None and before is not None:
            program.use(before)
            program._callbacks = heard  # noqa: SLF001


def _bound(
    task: AnyTask[..., Any] | None, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Mapping[str, Any] | tuple[Any, Any]:
    """A call as what each parameter gets, so that it is the same by position and by name."""
    given = [_form(value) for value in args], {name: _form(value) for name, value in kwargs.items()}
    if task is None:
        return given
    function: Callable[..., Any] = task.fn
    positional = (None, *given[0]) if task.takes_context else given[0]
    try:
        return dict(inspect.signature(function).bind(*positional, **given[1]).arguments)
    except (TypeError, ValueError):
        return given


def _form(value: Any) -> Any:
    try:
        return to_json(value)
    except TypeError:
        return value  # something that only knows how to be equal


def _said(task: str | AnyTask[..., Any] | None, wanted: Mapping[str, Any]) -> str:
    name = "any task" if task is None else task if isinstance(task, str) else task.name
    return ", ".join([name, *(f"{key}={value!r}" for key, value in wanted.items())])


def _line(info: JobInfo, asked: Iterable[str]) -> str:
    words = [*map(repr, info.args), *(f"{name}={value!r}" for name, value in info.kwargs.items())]
    delay = info.delayed - info.created
    later = f" delay={delay:g}" if delay > 0 else ""
    more = [f" {name}={getattr(info, name)!r}" for name in asked if name not in _SHOWN_ANYWAY]
    line = f"{info.id} {info.task}({', '.join(words)}) queue={info.queue}{later}"
    return f"{line}{''.join(more)} {info.state}"
