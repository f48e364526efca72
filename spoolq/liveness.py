"""A beacon: a lock on a file of this host that burns as long as its process lives.

The system puts it out when the process ends, however it ends. Whoever can take the lock of a
beacon knows that its process is gone, also where pids say nothing: in another pid namespace, or
hidden by the mount options of /proc. Children that were forked from the process keep it burning,
and rightly so: then a job of it may still run.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

_SUFFIX: Final = ".alive"
_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE: Final = _OPEN | os.O_CREAT | os.O_EXCL


class Beacon:
    """The lock this process holds."""

    def __init__(self, fd: int, path: str) -> None:
        """`fd` holds the lock, on the file at `path`."""
        self._fd = fd
        self._path = path
        self._status = os.fstat(fd)

    @classmethod
    def light(cls, name: str) -> Beacon | None:
        """Light one under a name that nobody else has; None where this host has no place for it."""
        with suppress(OSError):
            directory = _directory()
            _sweep(directory)
            path = f"{directory}/{name}{_SUFFIX}"
            # Not a FileLock: importing that is a fifth of the start of a worker.
            fd = os.open(path, _MAKE, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(fd, path)
        return None

    def put_out(self) -> None:
        """What the system does when the process ends."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    __del__ = put_out

    def sign(self) -> dict[str, Any]:
        """What others have to know to ask for it."""
        return {"path": self._path, "file": [self._status.st_dev, self._status.st_ino]}


def is_dark(sign: Mapping[str, Any]) -> bool:
    """Whether the process of this beacon is gone for certain. False proves nothing.

    It has to be the very file that was locked: under the same path another mount namespace may
    have another file, or none, and a cleaner may have removed it.
    """
    path, file = sign.get("path"), sign.get("file")
    if not isinstance(file, list):
        return False
    # Whoever may write to the spool may have written the path: nothing else is ever locked.
    if not isinstance(path, str) or not path.endswith(_SUFFIX) or "\0" in path:
        return False
    return _can_be_taken(path, file)


def _can_be_taken(path: str, file: object = None) -> bool:
    try:
        fd = os.open(path, _OPEN)
    except OSError:
        return False
    try:
        status = os.fstat(fd)
        if file is not None and [status.st_dev, status.st_ino] != file:
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return stat.S_ISREG(status.st_mode)
    except OSError:
        return False  # it burns
    finally:
        os.close(fd)


def _sweep(directory: str) -> None:
    """Remove what dead processes of this user have left."""
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        # RACE: one that is being lit may go with them; it then proves nothing, and that is all.
        if name.endswith(_SUFFIX) and _can_be_taken(path):
            os.unlink(path)


def _directory() -> str:
    """A private directory of this user that a reboot empties, made when it is missing.

    Raises OSError where somebody else could have put something into it.
    """
    uid = os.geteuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if uid == 0:
        path = "/run/spoolq"
    elif os.path.isabs(runtime) and os.path.isdir(runtime):
        path = f"{runtime}/spoolq"
    else:
        import tempfile  # 5 ms, for workers of users without a session

        path = f"{tempfile.gettempdir()}/spoolq-{uid}"
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or status.st_mode & 0o022:
        raise PermissionError(path)
    return path
