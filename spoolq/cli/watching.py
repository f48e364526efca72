"""`-f` and `-W`: stay with the job just added, and exit with its code."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

from spoolq.cli.durations import parse_duration
from spoolq.cli.exits import BY_SIGNAL, FAILED_ITSELF, TIMED_OUT, USAGE, Refused
from spoolq.cli.following import follow, is_finished
from spoolq.cli.output import escape, say
from spoolq.errors import SpoolError

if TYPE_CHECKING:
    from spoolq.cli.context import Opened


class _TimeIsUpError(Exception):
    pass


def patience(values: dict[str, Any]) -> float | None:
    """How long to wait, in seconds; None: for ever. Raises Refused, InvalidValue."""
    if "wait_timeout" not in values:
        return None
    if not values.get("follow") and not values.get("wait"):
        raise Refused(USAGE, "--wait-timeout is how long -f or -W waits; a job's own time is -t")
    seconds = parse_duration(values["wait_timeout"])
    if seconds <= 0:
        raise Refused(USAGE, f"--wait-timeout must be more than nothing: {values['wait_timeout']}")
    return seconds


def watch(
    opened: Opened, id: int, *, show: bool, seconds: float | None, remove: bool = False
) -> int:
    """Wait until a job has ended, passing on its output if `show`; the job's exit code.

    With `remove` a job that has finished is removed then.
    124 when the time is up, 125 when the job or the spool has gone, 130 on Ctrl-C: the job goes
    on in each case.
    """
    try:
        with _Alarm(seconds):
            code = follow(opened.spool, opened.directory, id, _show if show else _drop)
        if remove and is_finished(opened.spool, id):
            opened.spool.backend.remove_job(id)
        return code
    except _TimeIsUpError:
        say(f"spoolq: job {id} has not ended after {seconds:g} s and goes on: spoolq logs -f {id}")
        return TIMED_OUT
    except KeyboardInterrupt:
        say(f"spoolq: stopped watching; job {id} goes on: spoolq logs -f {id}")
        return BY_SIGNAL + signal.SIGINT
    except (SpoolError, Refused) as error:
        say(f"spoolq: {escape(str(error))}")
        return FAILED_ITSELF


def _show(data: bytes) -> None:
    if sys.stdout.isatty():
        print(escape(data.decode("utf-8", "replace"), lines=True), end="", flush=True)
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _drop(data: bytes) -> None:
    del data


class _Alarm:
    """Raises in the middle of a `with` block that takes longer than so many seconds."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds or 0.0

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        raise _TimeIsUpError
