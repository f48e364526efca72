"""Where the output of each attempt goes: `logs/<id // 256>/<id>.<retries>.log`.

A log is written by the job itself, straight into the file, and appended to by nobody else. It is
a convenience, not a record: it is not synced, and a job is complete without it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import Final

SHARD: Final = 256  # ids a directory

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
    logs = os.open(f"{root}/logs", _DIRECTORY)
    try:
        above = os.fstat(logs)
        shard = _open_shard(logs, str(id // SHARD), above)
        try:
            return _open_in(shard, f"{id}.{retries}.log", above)
        finally:
            os.close(shard)
    finally:
        os.close(logs)


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


def _open_shard(logs: int, name: str, above: os.stat_result) -> int:
    try:
        os.mkdir(name, 0o700, dir_fd=logs)
    except FileExistsError:
        return os.open(name, _DIRECTORY, dir_fd=logs)
    shard = os.open(name, _DIRECTORY, dir_fd=logs)
    _adopt(shard, stat.S_IMODE(above.st_mode), above)
    return shard


def _open_in(shard: int, name: str, above: os.stat_result) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=shard)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(fd)
        raise OSError(errno.EINVAL, "not a file of its own", name)
    os.set_blocking(fd, True)
    if status.st_size == 0 and status.st_uid == os.geteuid():
        _adopt(fd, 0o600 | (above.st_mode & 0o060), above)
    return fd


def _adopt(fd: int, mode: int, above: os.stat_result) -> None:
    """Give what was just made the mode, and from root's hands the owner, that it should have."""
    if os.geteuid() == 0:
        os.fchown(fd, above.st_uid, above.st_gid)
    os.fchmod(fd, mode)
