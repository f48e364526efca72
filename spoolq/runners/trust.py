"""Who could have written an executable: what anybody else could have written is not run."""

from __future__ import annotations

import os
import stat
from typing import Final

from spoolq.clock import Clock, SystemClock
from spoolq.errors import UnsafeFile

TARGET: Final = 1.0  # seconds that the target of a link is remembered
TARGETS: Final = 1000  # links that are remembered

_OTHERS_WRITE: Final = 0o022


def check_executable(
    root: str, path: str, trusted: set[int], targets: Targets | None = None
) -> None:
    """Refuse an executable that anybody but the `trusted` users could have written.

    The rule of sshd: the file, and every directory that leads to it from `jobs/` on (for a link
    also those above its target), is owned by one of them and not writable by group or others. A
    sticky directory above a link's target is let pass: there nobody replaces another's file.

    Raises UnsafeFile, or OSError where the file is missing, empty or not executable.
    """
    jobs = f"{root}/jobs"
    _check_owner(jobs, os.lstat(jobs), trusted)
    _check_mode(jobs, os.stat(jobs))
    own = os.lstat(path)
    _check_owner(path, own, trusted)
    if stat.S_ISLNK(own.st_mode):
        path = (targets or Targets()).find(path, own, jobs, trusted)
        own = os.stat(path)
        _check_owner(path, own, trusted)
    _check_mode(path, own)
    if not stat.S_ISREG(own.st_mode):
        raise UnsafeFile(f"{path} is no regular file")
    if not own.st_mode & 0o111:
        raise PermissionError(f"{path} is not executable: chmod +x it")
    if own.st_size == 0:
        raise OSError(f"{path} is empty")


class Targets:
    """Where links in `jobs/` lead to, with the directories on the way checked.

    Remembered for a moment: each of them costs a system call at every start. Who may not write
    now could not a second ago, unless one of the trusted has just shut the door.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._known: dict[tuple[str, int, int], tuple[float, str]] = {}

    def find(self, path: str, own: os.stat_result, jobs: str, trusted: set[int]) -> str:
        """The target of the link `path`, whose status is `own`. Raises UnsafeFile, OSError."""
        key, now = (path, own.st_ino, own.st_ctime_ns), self._clock.elapsed()
        until, target = self._known.get(key, (0.0, ""))
        if now >= until:
            target = _checked_target(path, jobs, trusted)
            if len(self._known) >= TARGETS:
                self._known.clear()
            self._known[key] = (now + TARGET, target)
        return target


def _checked_target(path: str, jobs: str, trusted: set[int]) -> str:
    target = os.path.realpath(path, strict=True)
    inside = os.path.realpath(jobs)
    parent = os.path.dirname(target)
    while parent != inside:
        status = os.stat(parent)
        _check_owner(parent, status, trusted)
        if not status.st_mode & stat.S_ISVTX:
            _check_mode(parent, status)
        if parent == "/":
            break
        parent = os.path.dirname(parent)
    return target


def _check_owner(path: str, status: os.stat_result, trusted: set[int]) -> None:
    if status.st_uid not in trusted:
        raise UnsafeFile(
            f"{path} belongs to uid {status.st_uid}, who is neither root nor the spool's owner: "
            "it was not run"
        )


def _check_mode(path: str, status: os.stat_result) -> None:
    if status.st_mode & _OTHERS_WRITE:
        raise UnsafeFile(
            f"{path} can be written by group or others (mode {stat.S_IMODE(status.st_mode):04o}): "
            f"it was not run; chmod go-w {path}"
        )
