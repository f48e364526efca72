"""A control group for each job, where the system has delegated one to the worker.

It finds what a mark does not: a process that has set the limit which carries the mark. And it
tells of all a job's processes at once, so that TERM reaches those too that lead a session of their
own. Nothing depends on it: a job whose group cannot be made is found by its mark alone.

Delegated means that a service manager said so (`Delegate=` of systemd, which leaves a note on the
directory). That this process may write there is not enough: root may everywhere, and the manager
is entitled to a tree that nobody else changes. The groups lie below the worker's own and have no
controllers; so the worker may stay where it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from spoolq.clock import SystemClock
from spoolq.runners.marks import kill_found

_PREFIX: Final = "spoolq-job."
_NOTES: Final = ("user.delegate", "trusted.delegate")  # systemd's; only root may read the second
_ROUNDS: Final = 50  # looks at a group whose processes are dying
_PAUSE: Final = 0.002  # seconds between two of them


class Cgroups:
    """Makes the groups of one worker's jobs."""

    def __init__(self, directory: str | None) -> None:
        """Below this group; None: there are none, and everything here does nothing."""
        self.directory: Final = directory

    def make(self, mark: int) -> Cgroup | None:
        """The group of what carries this mark; None where there is none."""
        if self.directory is None:
            return None
        path = f"{self.directory}/{_PREFIX}{mark}"
        try:
            os.mkdir(path)
        except OSError:  # the limit on groups, or the worker was moved
            return None
        return Cgroup(path)

    def end(self, first: int, last: int) -> None:
        """End every group whose mark is in this range."""
        if self.directory is None:
            return
        with suppress(OSError):
            for name in os.listdir(self.directory):
                mark = name.removeprefix(_PREFIX)
                if mark != name and mark.isdigit() and first <= int(mark) <= last:
                    Cgroup(f"{self.directory}/{name}").end()


class Cgroup:
    """One group with all below it."""

    def __init__(self, path: str) -> None:
        self._path: Final = path

    def enter(self) -> None:
        """Move this process into it. What it starts from now on is in it too."""
        with suppress(OSError):  # then the mark is left
            _write(f"{self._path}/cgroup.procs", "0")

    @contextmanager
    def door(self) -> Iterator[Callable[[], None]]:
        """What a new child calls to be in it before it can start anything.

        It is opened here: the child may be another user by then, who could not.
        """
        fd = os.open(f"{self._path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

        def enter() -> None:
            with suppress(OSError):
                os.write(fd, b"0")

        try:
            yield enter
        finally:
            os.close(fd)

    def signal(self, number: int, but_group: int) -> None:
        """Send a signal to each process that is not in this process group."""
        for pid in self._pids():
            # RACE: as with marks, a number that is given out again within these microseconds.
            with suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) != but_group:
                    os.kill(pid, number)

    def end(self) -> None:
        """Kill what is in it, and remove it. What does not die within a moment keeps it."""
        for _ in range(_ROUNDS):
            if self._remove():
                return
            self._kill()
            SystemClock().sleep(_PAUSE)

    def _kill(self) -> None:
        try:
            _write(f"{self._path}/cgroup.kill", "1")
        except OSError:  # a kernel before 5.14
            kill_found(lambda: list(self._pids()))

    def _pids(self) -> Iterator[int]:
        for directory, _, _ in os.walk(self._path):
            with suppress(OSError), open(f"{directory}/cgroup.procs", encoding="ascii") as file:
                # 0 is a process that this pid namespace cannot see.
                yield from [pid for pid in map(int, file) if pid]

    def _remove(self) -> bool:
        """False as long as there are processes in it. A job may have made groups of its own."""
        try:
            for directory, _, _ in os.walk(self._path, topdown=False):
                os.rmdir(directory)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


def delegated() -> Cgroups:
    """The groups below this process's own, if that was delegated to it."""
    directory = _own_directory()
    if directory is None or not os.access(f"{directory}/cgroup.procs", os.W_OK):
        return Cgroups(None)
    return Cgroups(directory if _is_delegated(directory) else None)


def _is_delegated(directory: str) -> bool:
    for note in _NOTES:
        with suppress(OSError):
            if os.getxattr(directory, note) == b"1":
                return True
    return False


def _own_directory() -> str | None:
    """Where this process's group lies; None without cgroup v2, or where it cannot be seen."""
    own = next((line[4:] for line in _lines("/proc/self/cgroup") if line.startswith("0::/")), None)
    if own is None:
        return None
    for line in _lines("/proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            top, place = before.split()[3:5]
            # In a container the mount may show a part of the tree only.
            inside = os.path.relpath(f"/{own}", top)
            if not inside.startswith(".."):
                return os.path.normpath(f"{place}/{inside}")
    return None


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
