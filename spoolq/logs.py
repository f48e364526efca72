"""Where the output of each attempt goes: `logs/<id // 256>/<id>.<retries>.log`.

A log is written by the job itself, straight into the file, and appended to by nobody else. It is
a convenience, not a record: it is not synced, and a job is complete without it.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Final

SHARD: Final = 256  # ids a directory

_NAME: Final = re.compile(r"(\d+)\.(\d+)\.log", re.ASCII)


def log_path(root: str, id: int, retries: int) -> str:
    """The path of the log of attempt `retries`, whether it is there or not."""
    return f"{root}/logs/{id // SHARD}/{id}.{retries}.log"


def open_log(root: str, id: int, retries: int) -> int:
    """Open an attempt's log for appending, made where it is missing; return its descriptor.

    Whoever may read `logs/` may read the log: its mode and owner follow that directory's. Raises
    OSError.
    """
    path = log_path(root, id, retries)
    above = _make_shard(root, os.path.dirname(path))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        _check_log(fd, path, above)
    except OSError:
        os.close(fd)
        raise
    os.set_blocking(fd, True)
    return fd


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


def _check_log(fd: int, path: str, above: os.stat_result) -> None:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is no regular file")
    if status.st_size == 0 and status.st_uid == os.geteuid():
        os.fchmod(fd, 0o600 | (above.st_mode & 0o060))
        if os.geteuid() == 0:
            os.fchown(fd, above.st_uid, above.st_gid)


def _make_shard(root: str, shard: str) -> os.stat_result:
    above = os.stat(f"{root}/logs")
    try:
        os.mkdir(shard, 0o700)
    except FileExistsError:
        return above
    os.chmod(shard, stat.S_IMODE(above.st_mode))
    if os.geteuid() == 0:
        os.chown(shard, above.st_uid, above.st_gid)
    return above
