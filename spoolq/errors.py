"""What can go wrong, and who should do what about it.

    SpoolError
    ├── InvalidValue (ValueError)    the call is wrong: correct the value
    ├── InvalidType (TypeError)      the call is wrong: correct the type
    ├── UnknownTask (LookupError)    nobody here knows the task: register it, or add the executable
    ├── UnknownJob (LookupError)     it was removed, has expired, or never was: look at the id
    ├── QueueClosed                  no new jobs for this queue: open it, or take another one
    ├── QueueFull                    too many jobs wait in this queue: wait, or raise its limit
    ├── UnsafeFile                   somebody else could have written it: fix owner or mode
    ├── JobCorrupt                   one job's file cannot be read: it is set aside, never deleted
    └── SpoolUnavailable             the spool cannot be used: fix the disk, nothing was lost
        ├── NotASpool                the directory holds something else
        ├── UnsupportedFormat        written by a newer spoolq: upgrade this one
        ├── UnsafeSpool              others may write here: fix owner or mode
        └── SpoolFull                below the low-water mark: make room

Losing a race is never an error: it is a return value (`False`, `None`).

Beside them Retry, Snooze and Cancel, which are no errors of ours: a task raises them to say how
its attempt is to end.
"""

from __future__ import annotations

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


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


class QueueClosed(SpoolError):
    """The queue takes in no new jobs; nothing was stored. `queue` is its name."""

    def __init__(self, message: str, queue: str = "") -> None:
        super().__init__(message)
        self.queue = queue


class QueueFull(SpoolError):
    """As many jobs wait in the queue as may; nothing was stored. `queue` is its name."""

    def __init__(self, message: str, queue: str = "") -> None:
        super().__init__(message)
        self.queue = queue


class UnsafeFile(SpoolError):
    """An executable that somebody else could have written; it was not run."""


class JobCorrupt(SpoolError):
    """A job's file does not hold a job. `reason` says why, in words for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class JobFailed(SpoolError):
    """A job that somebody waited for has failed for good.

    `result` is what is stored; `type`, `message` and `traceback` are taken out of it where it is
    the error of a task or a program. `attempts` is how many there were, `history` what is known of
    each.
    """

    def __init__(
        self, id: int, task: str, result: Any, attempts: int, history: Sequence[Any] = ()
    ) -> None:
        self.id, self.task, self.result = id, task, result
        self.attempts, self.history = attempts, list(history)
        said = result if isinstance(result, dict) else {"message": result}
        self.type = str(said.get("type") or "")
        self.message = str(said.get("message") or "")
        self.traceback = str(said.get("traceback") or "")
        what = ": ".join(part for part in (self.type, self.message) if part)
        tries = "" if attempts == 1 else f" after {attempts} attempts"
        super().__init__(f"job {id} ({task}) failed{tries}: {what}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.id, self.task, self.result, self.attempts, self.history)


class JobRemoved(SpoolError):
    """A job that somebody waited for is not there any more: it was removed, or has expired."""

    def __init__(self, message: str, id: int = 0) -> None:
        super().__init__(message)
        self.id = id


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


class Retry(Exception):
    """Raised in a task that wants to be tried again: it uses an attempt, as a failure does.

    `delay` is how many seconds later; None leaves that to the backoff. Without an attempt left the
    job fails, with `reason`.
    """

    def __init__(self, reason: str = "the task asked to be tried again", *, delay: Any = None):
        super().__init__(reason)
        self.delay = delay


class Snooze(Exception):
    """Raised in a task that cannot do anything yet: its job is inactive again for `delay` seconds
    (or a timedelta), and no attempt was used."""

    def __init__(self, delay: Any) -> None:
        super().__init__(delay)
        self.delay = delay


class Cancel(Exception):
    """Raised in a task that ends before it is done, as `Job.check_cancelled` does.

    The job fails for good, whatever attempts it has left. Only one that was told to stop because
    its `timeout` ran out, or because its worker has to end, keeps them.
    """
