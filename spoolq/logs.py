"""Where the output of each attempt goes: `logs/<id // 256>/<id>.<retries>.log`.

A log is written by the job itself, straight into the file, so that output costs nobody anything.
Whoever holds the job looks at its size now and then: beyond `max_log` the middle is cut out, with
a line that says so, and the job goes on. A log is a convenience, not a record: it is not synced,
and a job is complete without it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from spoolq.clock import SystemClock

if TYPE_CHECKING:
    from spoolq.clock import Clock

SHARD: Final = 256  # ids a directory

LOOK: Final = 0.25  # seconds between two looks at the size of a log
TAIL: Final = 1024 * 1024  # bytes of the end that a cut leaves, where max_log allows
MARKER: Final = 100  # bytes, at most, of what says so

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME: Final = re.compile(r"(\d+)\.(\d+)\.log", re.ASCII)


def log_path(root: str, id: int, retries: int) -> str:
    """The path of the log of attempt `retries`, whether it is there or not."""
    return f"{root}/logs/{id // SHARD}/{id}.{retries}.log"


def open_log(root: str, id: int, retries: int) -> int:
    """Open an attempt's log for appending, made where it is missing; return its descriptor.

    Whoever may read `logs/` may read the log: its mode and owner follow that directory's. Raises
    OSError.
    """
    return _open(root, id, retries, os.O_WRONLY | os.O_CREAT)


def pass_on_log(root: str, old: tuple[int, int], new: tuple[int, int]) -> bool:
    """Make the log of one attempt (id, retries) that of another; False, and nothing is changed,
    when that cannot be. Costs a fifth of deleting the one and making the other.
    """
    return _pass_on(root, old, new, empty=False) is not None


def take_over_log(root: str, old: tuple[int, int], new: tuple[int, int]) -> int | None:
    """`pass_on_log` of an empty log, and open it for appending; its descriptor, or None."""
    return _pass_on(root, old, new, empty=True)


def _pass_on(root: str, old: tuple[int, int], new: tuple[int, int], *, empty: bool) -> int | None:
    """The descriptor of the log if it had to be `empty`, else -1; None if it was not done."""
    opened: list[int] = []
    try:
        logs = os.open(f"{root}/logs", _DIRECTORY)
        opened.append(logs)
        above = os.fstat(logs)
        shards = [str(number // SHARD) for number, _ in (old, new)]
        target = _open_shard(logs, shards[1], above)
        opened.append(target)
        source = target
        if shards[0] != shards[1]:
            source = os.open(shards[0], _DIRECTORY, dir_fd=logs)
            opened.append(source)
        names = [f"{number}.{retries}.log" for number, retries in (old, new)]
        if empty and os.stat(names[0], dir_fd=source, follow_symlinks=False).st_size:
            return None
        with suppress(FileNotFoundError):
            # RACE: a worker that was declared dead and lives could make it just now, for an
            # attempt that was given back; it would go on writing into a file without a name.
            os.stat(names[1], dir_fd=target, follow_symlinks=False)
            return None  # of a claim that was given back
        os.rename(names[0], names[1], src_dir_fd=source, dst_dir_fd=target)
        return _open_in(target, names[1], above, os.O_WRONLY) if empty else -1
    except OSError:  # the old one was removed with its job, or `logs/` is no more what it was
        return None
    finally:
        for fd in opened:
            os.close(fd)


_SETTLING: Final = 20  # looks at the end of a log that grows while it is read


class Cap:
    """Keeps one attempt's log within its size. Every method may be called often."""

    def __init__(
        self, root: str, id: int, retries: int, max_log: int, clock: Clock | None = None
    ) -> None:
        """`max_log` is in bytes."""
        self._root, self._id, self._retries = root, id, retries
        self._path = log_path(root, id, retries)
        self._max = max_log
        self._clock = clock or SystemClock()
        self._next = self._clock.elapsed() + LOOK
        self._dropped = 0

    def look(self) -> None:
        """Cut the log if it is time to look and it is too long."""
        now = self._clock.elapsed()
        if now >= self._next:
            self._next = now + LOOK
            self.measure()

    def measure(self) -> int | None:
        """Cut the log if it is too long; its size in bytes before that, None when there is none."""
        with suppress(OSError):  # the job may have removed it, or made something else of it
            size = os.lstat(self._path).st_size
            if size > self._max:
                self._cut()
            return size
        return None

    def _cut(self) -> None:
        fd = _open(self._root, self._id, self._retries, os.O_RDWR)
        try:
            head, tail = self._max // 2, min(self._max // 4, TAIL)
            for _ in range(_SETTLING):
                size = os.fstat(fd).st_size
                end = os.pread(fd, tail, size - tail)
                if os.fstat(fd).st_size == size:
                    break  # the last words of a job that has just ended are in it
            before = len(cut_marker(self._dropped)) if self._dropped else 0
            self._dropped += size - head - before - len(end)
            # RACE: what is written between the reading and the cut is lost, as the middle is. What
            # comes between the cut and the marker is kept in front of it: everybody appends.
            os.ftruncate(fd, head)
            left = memoryview(cut_marker(self._dropped) + end)
            while left:
                left = left[os.write(fd, left) :]
        finally:
            os.close(fd)


def cut_marker(dropped: int) -> bytes:
    """What stands in a log where so many bytes were dropped."""
    return b"\n[spoolq: %d bytes were left out here: the log was longer than max_log]\n" % dropped


def read_log(root: str, id: int, retries: int, *, tail: int | None = None) -> bytes | None:
    """The output of one attempt, or its last `tail` bytes; None when it has left no log.

    Raises OSError.
    """
    try:
        fd = os.open(log_path(root, id, retries), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        if tail is not None:
            file.seek(max(0, os.fstat(fd).st_size - tail))
        return file.read()


def logged_attempts(root: str, id: int) -> list[int]:
    """The retries of every attempt of a job that has a log, oldest first."""
    try:
        names = os.listdir(os.path.dirname(log_path(root, id, 0)))
    except FileNotFoundError:
        return []
    found = (_NAME.fullmatch(name) for name in names)
    return sorted(int(match[2]) for match in found if match and int(match[1]) == id)


def last_lines(output: bytes, lines: int = 20, size: int = 4096) -> str:
    """The last lines of an output as text, for people: at most `lines` and `size` bytes."""
    text = output[-size:].decode("utf-8", "replace")
    return "\n".join(text.splitlines()[-lines:])


# Root writes here into directories of a user, who could put links in the way: no step follows one.


def _open(root: str, id: int, retries: int, how: int) -> int:
    logs = os.open(f"{root}/logs", _DIRECTORY)
    try:
        above = os.fstat(logs)
        shard = _open_shard(logs, str(id // SHARD), above)
        try:
            return _open_in(shard, f"{id}.{retries}.log", above, how)
        finally:
            os.close(shard)
    finally:
        os.close(logs)


def _open_shard(logs: int, name: str, above: os.stat_result) -> int:
    with suppress(FileNotFoundError):
        return os.open(name, _DIRECTORY, dir_fd=logs)
    try:
        os.mkdir(name, 0o700, dir_fd=logs)
    except FileExistsError:
        return os.open(name, _DIRECTORY, dir_fd=logs)
    shard = os.open(name, _DIRECTORY, dir_fd=logs)
    _adopt(shard, stat.S_IMODE(above.st_mode), above)
    return shard


def _open_in(shard: int, name: str, above: os.stat_result, how: int) -> int:
    flags = how | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=shard)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(fd)
        raise OSError(errno.EINVAL, "not a file of its own", name)
    os.set_blocking(fd, True)
    if status.st_size == 0 and status.st_uid == os.geteuid():
        mode = 0o600 | (above.st_mode & 0o060)
        owner = (above.st_uid, above.st_gid)
        if status.st_mode & 0o777 != mode or (status.st_uid, status.st_gid) != owner:
            _adopt(fd, mode, above)
    return fd


def _adopt(fd: int, mode: int, above: os.stat_result) -> None:
    """Give what was just made the mode, and from root's hands the owner, that it should have."""
    if os.geteuid() == 0:
        os.fchown(fd, above.st_uid, above.st_gid)
    os.fchmod(fd, mode)
