"""Whose processes these are: a number that everything a job starts is born with.

A job may fork twice, start a session, change its name, user and environment: none of that gets rid
of a resource limit. RLIMIT_LOCKS has meant nothing to the system since Linux 2.6, every process
has it, children inherit it through fork and exec, and reading that of another process is one
system call. So its soft limit carries the mark: which worker, and which of its runs.

Not found are processes that were started by somebody else on the job's behalf (a service manager,
at, a container engine), those that set this limit themselves, and what runs as another user where
the worker is not root: such a process could not be killed either.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

from spoolq.clock import SystemClock

_LOCKS: Final = 10  # RLIMIT_LOCKS, which Python does not name
_RUNS: Final = 1 << 32  # marks a worker
_BLOCK: Final = 1 << 26  # marks a zygote
_ROUNDS: Final = 100  # of looking for more: a fork bomb that is stopped cannot go on for ever
_PAUSE: Final = 0.002  # seconds a killed process is given to die


class Marks:
    """The marks that one worker gives out. No two are the same, also across workers.

    The lower half is for programs, the upper half for children: a block for each zygote.
    """

    def __init__(self) -> None:
        self.first: Final = ((int.from_bytes(os.urandom(4)) >> 2) + 1) * _RUNS
        self.last: Final = self.first + _RUNS - 1
        self.programs_last: Final = self.first + _RUNS // 2 - 1
        self._next = self.first
        self._next_block = self.programs_last + 1

    def take(self) -> int:
        """A new one, for a program."""
        self._next += 1
        return self._next

    def block(self) -> tuple[int, int]:
        """The first and the last of those that one zygote gives out."""
        first = self._next_block
        self._next_block += _BLOCK
        return first, self._next_block - 1


def set_mark(mark: int) -> int:
    """Mark this process, and so what it starts from now on; return what it had before."""
    before, hard = resource.getrlimit(_LOCKS)
    with suppress(ValueError, OSError):  # a hard limit below: then there is the process group only
        resource.setrlimit(_LOCKS, (mark, hard))
    return before


def find_marks(first: int, last: int) -> list[tuple[int, int]]:
    """The living processes with a mark in this range, each with its mark."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, ValueError):  # it is gone, or not ours to ask
                pid = int(name)
                mark = _mark_of(pid)
                if first <= mark <= last:
                    found.append((pid, mark))
    return [(pid, mark) for pid, mark in found if _is_alive(pid)]


def _mark_of(pid: int) -> int:
    try:
        return resource.prlimit(pid, _LOCKS)[0]
    except PermissionError:
        if os.geteuid() != 0:
            raise  # somebody else's, who could not be killed either
    # Root in a container is often root without CAP_SYS_RESOURCE. Everybody may read this.
    with open(f"/proc/{pid}/limits", "rb") as file:
        line = next(line for line in file if line.startswith(b"Max file locks"))
    soft = line.split()[3]
    return int(soft) if soft.isdigit() else resource.RLIM_INFINITY


def kill_marked(first: int, last: int | None = None, but: Collection[int] = ()) -> int:
    """Kill every process with a mark in this range; how many there were."""
    last = first if last is None else last
    return kill_found(lambda: [pid for pid, _ in find_marks(first, last) if pid not in but])


def signal_all_of(pid: int, number: int) -> None:
    """Send a signal to a marked process and to everything else with the same mark."""
    try:
        mark = _mark_of(pid)
    except (OSError, ValueError):
        return  # it is gone, or not ours
    if mark < _RUNS or mark == resource.RLIM_INFINITY:
        return  # it could not be marked: then there is the process group only
    seen: set[int] = set()
    for _ in range(_ROUNDS):
        more = {found for found, _ in find_marks(mark, mark)} - seen
        if not more:
            return
        _signal(more, number)
        seen |= more


def kill_children() -> int:
    """Kill what this process, a subreaper, has for children, and reap them; how many there were.

    Children of children come to it when their parent dies, so that in the end nothing is left.
    """
    me, count = os.getpid(), 0
    while reap():
        found = kill_found(lambda: [pid for pid, parent in _parents() if parent == me])
        count += found
        if not found and reap():
            SystemClock().sleep(_PAUSE)  # dying, and no zombie yet
    return count


def reap() -> bool:
    """Take the exit status of every child that has ended; whether any child is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def kill_found(find: Callable[[], list[int]]) -> int:
    """Kill what `find` finds until it finds nothing more; how many it found."""
    seen: set[int] = set()
    for _ in range(_ROUNDS):
        more = set(find()) - seen
        if not more:
            break
        # Stopped first, all of them: a fork bomb at its limit would fill the gaps that killing
        # one after the other makes, and stopped processes hold the limit.
        _signal(more, signal.SIGSTOP)
        seen |= more
    left = seen
    for _ in range(_ROUNDS):
        _signal(left, signal.SIGKILL)
        left = set(find()) if left else left
        seen |= left
        if not left:
            break
        SystemClock().sleep(_PAUSE)
    return len(seen)


def _signal(pids: Collection[int], number: int) -> None:
    for pid in pids:
        # RACE: one that has just died may have left its number to somebody else, if all the other
        # numbers were given out within these microseconds.
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _is_alive(pid: int) -> bool:
    status = _stat(pid)
    return status is not None and status[0] not in ("Z", "X")


def _parents() -> list[tuple[int, int]]:
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    found = [(pid, _stat(pid)) for pid in pids]
    return [(pid, int(stat[1])) for pid, stat in found if stat and stat[0] not in ("Z", "X")]


def _stat(pid: int) -> list[str] | None:
    """State, parent and so on; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name of the program, in parentheses, may hold any character.
            return file.read().rpartition(b")")[2].decode().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
