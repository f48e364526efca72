"""Runners turn one attempt of a job into an outcome, and never see where the job is kept.

`fork` runs a Python function in a child process, `executable` runs a program. A runner starts
the child and answers with a `Run`; whoever holds the claim looks at it and commits the outcome.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from spoolq.model import JSON

TRACEBACK_LIMIT: Final = 32_768  # characters of a traceback worth keeping, its end first


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: `result` is the task's result, or the error when it is not `ok`.

    `exit` is the exit status of an executable, kept beside the result; None for a function.
    """

    ok: bool
    result: JSON = None
    exit: dict[str, JSON] | None = None


class Attempt(Protocol):
    """What a runner may know about a job. A `Job` is one."""

    id: int
    task: str
    args: list[JSON]
    kwargs: dict[str, JSON]
    retries: int


class Run(Protocol):
    """One attempt under way in a child process that leads its own session and process group."""

    @property
    def pid(self) -> int:
        """The process id of the child; it stays readable after the end."""

    def poll(self) -> Outcome | None:
        """The outcome, or None while the child runs. Never waits; the answer does not change."""

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """Wait up to `timeout` seconds, None: without end. None when the time ran out first."""

    def kill(self, signal: int) -> None:
        """Send a signal to the child and everything it started; nothing once it was reaped."""


def died(code: int, signal: int) -> str:
    """What is said of a child that ended without telling how [326, 328]: Minion's words."""
    return f"Job terminated unexpectedly (exit code: {code}, signal: {signal})"


def describe(error: BaseException) -> dict[str, JSON]:
    """An exception as the result of a failed job: `{"type", "message", "traceback"}`."""
    frames = error.__traceback__
    while frames and frames.tb_frame.f_globals.get("__name__", "").startswith("spoolq."):
        frames = frames.tb_next  # how we called the task tells its author nothing
    text = "".join(traceback.format_exception(type(error), error, frames))
    return {
        "type": type(error).__name__,
        "message": _printable(str(error)),
        "traceback": _printable(text[-TRACEBACK_LIMIT:]),
    }


def _printable(text: str) -> str:
    # A file name that is no UTF-8 arrives in messages as surrogates, which no file can hold.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
