"""`spoolq logs -f`: the output of a job as it comes, until the job has ended.

The file is looked at again and again: from another host nothing tells of its growth.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from spoolq.cli.exits import BY_SIGNAL, CANNOT_RUN, NO, NO_PROGRAM, NOT_FOUND, Refused
from spoolq.clock import SystemClock
from spoolq.logs import MARKER, TAIL, log_path, logged_attempts
from spoolq.model import JobInfo
from spoolq.spool import Spool

LOOK: Final = (0.05, 0.5)  # seconds between two looks: after output came, and the longest
_BLOCK: Final = 64 * 1024
NOT_RUN: Final = {"not found": NO_PROGRAM, "not started": CANNOT_RUN}  # as in a shell
_ENDED: Final = ("finished", "failed")


def follow(
    spool: Spool, root: str, id: int, write: Callable[[bytes], None], *, skip: int = 0
) -> int:
    """Pass on what the attempts of a job write until the last has ended; the job's exit code.

    `skip` bytes of the newest attempt have been shown already. Raises Refused when the job is
    removed meanwhile.
    """
    clock, pause = SystemClock(), LOOK[0]
    attempts = logged_attempts(root, id)
    attempt, offset = (attempts[-1] if attempts else 0), skip
    while True:
        job = _info(spool, id)  # before the output: what an ended job has written is all there
        offset = _beyond_cut(root, id, attempt, offset)
        copied = _copy(root, id, attempt, offset, write)
        offset += copied
        if not copied:
            if job is None:
                raise Refused(NOT_FOUND, f"job {id} was removed")
            if attempt < job.retries:
                attempt, offset = attempt + 1, 0
                continue
            if job.state in _ENDED:
                return exit_code_of(job)
            clock.sleep(pause)
        pause = LOOK[0] if copied else min(pause * 1.5, LOOK[1])


def exit_code_of(job: JobInfo) -> int:
    """The code a shell would see of an ended job: its own, 128 and its signal, 126 or 127 for a
    program that could not be started; without one 0 and 1."""
    if job.exit is not None:
        code, signal = job.exit.get("code"), job.exit.get("signal")
        if isinstance(code, int):
            return code
        if isinstance(signal, int):
            return BY_SIGNAL + signal
        not_run = NOT_RUN.get(str(job.exit.get("reason")))
        if not_run is not None:
            return not_run
    return 0 if job.state == "finished" else NO


def is_finished(spool: Spool, id: int) -> bool:
    """Whether a job is there and has ended well."""
    job = _info(spool, id)
    return job is not None and job.state == "finished"


def _info(spool: Spool, id: int) -> JobInfo | None:
    rows: list[JobInfo] = spool.backend.list_jobs(0, 1, ids=[id]).rows
    return rows[0] if rows else None


def _beyond_cut(root: str, id: int, attempt: int, offset: int) -> int:
    """Where to go on: a log that has become shorter has lost its middle, its end is what is new."""
    try:
        size = os.lstat(log_path(root, id, attempt)).st_size
    except FileNotFoundError:
        return offset
    return offset if size >= offset else max(0, size - TAIL - MARKER)


def _copy(root: str, id: int, attempt: int, offset: int, write: Callable[[bytes], None]) -> int:
    """Pass on what is there beyond `offset`; how many bytes."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(log_path(root, id, attempt), flags)
    except FileNotFoundError:
        return 0
    copied = 0
    try:
        while data := os.pread(fd, _BLOCK, offset + copied):
            write(data)
            copied += len(data)
    finally:
        os.close(fd)
    return copied
