"""What can go wrong, and who should do what about it.

    SpoolError
    ├── InvalidValue (ValueError)    the call is wrong: correct the value
    ├── InvalidType (TypeError)      the call is wrong: correct the type
    ├── UnknownTask (LookupError)    nobody here knows the task: register it, or add the executable
    ├── UnknownJob (LookupError)     it was removed, has expired, or never was: look at the id
    ├── UnsafeFile                   somebody else could have written it: fix owner or mode
    ├── JobCorrupt                   one job's file cannot be read: it is set aside, never deleted
    └── SpoolUnavailable             the spool cannot be used: fix the disk, nothing was lost
        ├── NotASpool                the directory holds something else
        ├── UnsupportedFormat        written by a newer spoolq: upgrade this one
        ├── UnsafeSpool              others may write here: fix owner or mode
        └── SpoolFull                below the low-water mark: make room

Losing a race is never an error: it is a return value (`False`, `None`).

Beside them Cancel, which is no error of ours: a task raises it to end.
"""

from __future__ import annotations


class SpoolError(Exception):
    """Everything spoolq raises on purpose."""


class InvalidValue(SpoolError, ValueError):
    """An argument has the right type and a value that cannot be."""


class InvalidType(SpoolError, TypeError):
    """An argument has the wrong type, or holds something that JSON cannot carry."""


class UnknownTask(SpoolError, LookupError):
    """No registered task and no executable has this name."""


class UnknownJob(SpoolError, LookupError):
    """A job that was named by its id is not there."""


class UnsafeFile(SpoolError):
    """An executable that somebody else could have written; it was not run."""


class JobCorrupt(SpoolError):
    """A job's file does not hold a job. `reason` says why, in words for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SpoolUnavailable(SpoolError):
    """The spool cannot be used now. `path` is the file or directory that refused."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class NotASpool(SpoolUnavailable):
    """The directory exists and holds something that is no spool; nothing was touched."""


class UnsupportedFormat(SpoolUnavailable):
    """FORMAT names a version this software does not know; nothing was touched."""


class UnsafeSpool(SpoolUnavailable):
    """Owner or mode would let others make this user run their programs."""


class SpoolFull(SpoolUnavailable):
    """Too little space is left to take in new work; running jobs can still end."""


class Cancel(Exception):
    """Raised in a task that ends before it is done: `Job.check_cancelled` does. The job fails."""
