"""A child of the zygote: performs one job after another, and leaves nothing of one to the next.

It leads a session of its own, dies with the zygote, and is the reaper of what its jobs leave
behind: all of that is killed before a job's end is told. It leaves when its socket is closed, when
it has performed enough, or when a job has left it too large or with a thread that goes on.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from spoolq.runners import Outcome, describe, died
from spoolq.runners.marks import kill_children, reap, set_mark
from spoolq.runners.output import Output, flush
from spoolq.runners.waiting import wait_readable

try:  # without the enums of `signal`, which cost as much as a small job
    import _signal as plain_signal  # type: ignore[import-not-found]
except ImportError:
    plain_signal = signal

if TYPE_CHECKING:
    from spoolq.model import JSON
    from spoolq.runners.wire import Message, Wire

Settled = Callable[[], None]
Claim = dict[str, Any]
"""A claimed job: id, task, args, kwargs, retries, queue, timeout, and worker, the holder's id."""


class Perform(Protocol):
    """Performs a claimed job here; `settled` is called when the task ends the job itself."""

    def __call__(self, claim: Claim, settled: Settled) -> Outcome:
        """The outcome. Raises SystemExit when the task leaves, and what a task raised."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a child has worked enough: after so many jobs, or above so many bytes of memory."""

    jobs: int = 1
    memory: int | None = None

    def worn(self, performed: int) -> bool:
        """Whether it is time to leave."""
        if performed >= self.jobs:
            return True
        # The peak is known for a system call; what it uses now costs ten times as much.
        return self.memory is not None and peak() > self.memory and memory() > self.memory


def peak() -> int:
    """The largest resident memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory() -> int:
    """The resident memory of this process in bytes."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


# -- becoming one --------------------------------------------------------------------------------

KEEP: Final = 0.01  # seconds that an empty log waits for the next job

_SETMASK: Final = int(signal.SIG_SETMASK)
_DISPOSITIONS: Final = (  # that of SIGCHLD first
    *((int(n), int(signal.SIG_DFL)) for n in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)),
    (int(signal.SIGQUIT), int(signal.SIG_DFL)),
    (int(signal.SIGUSR1), int(signal.SIG_IGN)),
    (int(signal.SIGUSR2), int(signal.SIG_IGN)),
)
PDEATHSIG: Final = 1
_CHILD_SUBREAPER: Final = 36


def enter(mark: int, parent: int, mask: Iterable[int]) -> None:
    """Become a process of its own: session, mark, signals as Minion has them [333].

    All but SIGCHLD have been set in the zygote, where they are blocked: once, not in every child.
    """
    call = prctl()
    call(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # RACE: it died before this was set
    call(_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.setsid()
    set_mark(mark)
    signal.set_wakeup_fd(-1)
    plain_signal.signal(*_DISPOSITIONS[0])
    plain_signal.pthread_sigmask(_SETMASK, mask)


def reset_signals() -> None:
    """As a job finds them; one that came before may have had others."""
    for number, disposition in _DISPOSITIONS:
        plain_signal.signal(number, disposition)


@cache
def prctl() -> Callable[..., int]:
    """The system call of this name."""
    import ctypes  # 5 ms, for processes that fork jobs

    found: Callable[..., int] = ctypes.CDLL(None).prctl
    return found


def leave(status: int) -> NoReturn:
    """End without a destructor or exit hook of whoever this was forked from [337]."""
    flush()
    os._exit(status)


# -- working -------------------------------------------------------------------------------------


class Child:
    """The work of such a process."""

    def __init__(self, wire: Wire, perform: Perform, root: str | None, limits: Limits) -> None:
        self._wire = wire
        self._perform = perform
        self._output = Output(root)
        self._root = root
        self._limits = limits
        self._performed = 0

    def run(self) -> NoReturn:
        """Perform jobs until there is a reason to leave."""
        status = 1
        try:
            while (received := self._next()) is not None:
                worn = self._obey(received[0])
                if worn:
                    break
            status = 0
        except BaseException:  # noqa: BLE001  # nothing may return into the zygote's frames
            traceback.print_exc()
        finally:
            with suppress(BaseException):
                self._output.discard()
            leave(status)

    def _next(self) -> tuple[Message, list[int]] | None:
        if self._output.waits and not wait_readable(self._wire.fileno(), KEEP):
            self._output.discard()
        return self._wire.receive()

    def _obey(self, message: Message) -> bool:
        word, serial, *rest = message
        if word != "run":
            return False  # a cancel that came too late
        self._performed += 1
        outcome = self.perform(serial, rest[0])
        worn = kill_leftovers() or self._limits.worn(self._performed)
        if not self._wire.is_intact():
            leave(1)  # the task closed it: that it ended badly is all that can be told
        answer(self._wire, serial, outcome, worn=worn)
        return worn

    def perform(self, serial: int, claim: Claim) -> Outcome:
        """Perform one job with its output where it belongs. Never raises."""
        try:
            self._output.begin(claim["id"], claim["retries"])
        except OSError as error:
            return not_started(error)
        ended_well = False
        try:
            for name, value in given(claim, self._root).items():
                if os.environ.get(name) != value:  # most are those of the last job
                    os.environ[name] = value
            outcome = self._perform(claim, lambda: self._wire.send(["settled", serial]))
            # Only then it is certain that the same attempt is never made again.
            ended_well = outcome.ok and not outcome.settled
        except SystemExit as stop:
            return left_with(exit_status(stop.code))
        except BaseException as error:  # noqa: BLE001  # whatever a task raises is its failure
            return Outcome(False, describe(error))
        else:
            return outcome
        finally:
            if self._limits.jobs > 1:
                reset_signals()
            self._output.end(keep=ended_well and self._limits.jobs > 1)


def answer(wire: Wire, serial: int, outcome: Outcome, *, worn: bool) -> None:
    """Tell the end of a run. What cannot be told as JSON has failed."""
    parts = [outcome.ok, outcome.result, outcome.settled, outcome.final, outcome.delay]
    try:
        wire.send(["end", serial, *parts, worn])
    except (TypeError, ValueError, RecursionError) as error:
        wire.send(["end", serial, False, describe(error), outcome.settled, False, None, worn])


def kill_leftovers() -> bool:
    """Kill what the job has left; whether it left what cannot be killed: a thread."""
    if reap():
        kill_children()
    return threading.active_count() > 1


def given(claim: Claim, root: str | None) -> Mapping[str, str]:
    """The variables a task finds, as a program does: what it starts can speak of its job."""
    found = {
        "SPOOLQ_JOB_ID": claim["id"],
        "SPOOLQ_TASK": claim["task"],
        "SPOOLQ_QUEUE": claim["queue"],
        "SPOOLQ_ATTEMPT": claim["retries"] + 1,
        "SPOOLQ_WORKER": claim["worker"],
        "SPOOLQ_ROOT": root,
    }
    # A name of the job's may be anything but NUL, which no variable can hold.
    return {
        name: str(value).replace("\0", "") for name, value in found.items() if value is not None
    }


def not_started(error: OSError) -> Outcome:
    """The failure of a job that had nowhere to write to."""
    result: JSON = {"type": "NotStarted", "message": str(error)}
    return Outcome(False, result)


def left_with(status: int) -> Outcome:
    """What an exit status means: 0 is success without a result [326, 327]."""
    return Outcome(True) if status == 0 else Outcome(False, died(status, 0))


def exit_status(code: object) -> int:
    """What Python would leave with: None is 0, and anything but a number is a message."""
    if code is None or isinstance(code, int):
        return (code or 0) & 0xFF
    with suppress(OSError, ValueError, AttributeError):
        print(code, file=sys.stderr)
    return 1
