"""Exit codes. Scripts rely on them; they never change."""

from __future__ import annotations

from spoolq.errors import (
    InvalidType,
    InvalidValue,
    QueueClosed,
    QueueFull,
    SpoolError,
    SpoolUnavailable,
    UnknownJob,
    UnknownTask,
)

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Final

DONE: Final = 0
NO: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
CONFLICT: Final = 4
UNUSABLE: Final = 5
CLOSED: Final = 6  # or full: of a queue that takes in no new jobs
TIMED_OUT: Final = 124  # of who waited, not of the job
FAILED_ITSELF: Final = 125  # while it was about to hand on a job's code
CANNOT_RUN: Final = 126
NO_PROGRAM: Final = 127
BY_SIGNAL: Final = 128  # plus the number of the signal


class Refused(Exception):
    """A command ends with this exit code, after one line on stderr."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def exit_code(error: SpoolError) -> int:
    """The exit code for an error of the library."""
    if isinstance(error, SpoolUnavailable):
        return UNUSABLE
    if isinstance(error, QueueClosed | QueueFull):
        return CLOSED
    if isinstance(error, UnknownJob | UnknownTask):
        return NOT_FOUND
    if isinstance(error, InvalidType | InvalidValue):
        return USAGE
    return CONFLICT
