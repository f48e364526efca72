"""Runners turn attempts of jobs into outcomes, and never see where the jobs are kept.

A `Runner` starts attempts of one kind, several at once, and answers with a `Run` for each; whoever
holds the claim polls it and commits the outcome. `fork` runs a Python function in a child process,
`executable` runs a program.
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
    `settled` says that the task has ended the job itself: then nothing is left to commit. `final`
    says of a failure that the attempts that are left are given up.
    """

    ok: bool
    result: JSON = None
    exit: dict[str, JSON] | None = None
    settled: bool = False
    final: bool = False


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

    def pause(self) -> bool:
        """Stop the child and everything it started; its timeout stands still meanwhile.

        False where nothing can be stopped by itself: a coroutine, or what has ended.
        """

    def resume(self) -> None:
        """Let it go on, and its timeout."""

    def fileno(self) -> int | None:
        """A descriptor that is readable once `poll` may have an answer; None: look now and then."""


class Runner(Protocol):
    """Starts attempts of one kind, several at once. Belongs to one thread."""

    def room(self) -> int:
        """How many more attempts could be started now."""

    def start(self, attempt: Attempt) -> Run:
        """Start one attempt. A task that cannot be started is a run that has failed.

        Raises OSError when the system has no process or descriptor left: then the attempt has
        not begun, and its claim can be given back.
        """

    def tend(self) -> None:
        """Look after processes that wait for work: replace dead ones, recycle worn ones."""

    def close(self) -> None:
        """End the processes that wait for work. Runs under way are the caller's to end first."""


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
