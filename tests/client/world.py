"""Short ways to a job that is being performed, and to what it did."""

from __future__ import annotations

import os
from pathlib import Path

from spoolq import Job, JobInfo, Spool
from tests.support import wait_for


class Diary:
    """What happened, in order, written by whichever process it happened in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def add(self, what: str) -> None:
        """Write down one thing."""
        with self._path.open("a") as file:
            file.write(f"{what} {os.getpid()}\n")

    def signed(self) -> list[tuple[str, int]]:
        """What was written, each with the process that wrote it."""
        lines = (line.rsplit(" ", 1) for line in self._path.read_text().splitlines())
        return [(what, int(pid)) for what, pid in lines]

    def entries(self) -> list[str]:
        """What was written, without saying by whom."""
        return [entry for entry, _ in self.signed()]

    def wait_for(self, *entries: str) -> None:
        """Return when all of these were written."""
        wait_for(lambda: {*entries} <= {*self.entries()})


def claim(spool: Spool, task: str, *args: object, attempts: int = 1) -> Job:
    """A job that has just been enqueued and dequeued, and waits to be performed."""
    spool.enqueue(task, args, attempts=attempts)
    job = spool.worker().register().dequeue(0, tasks=[task])
    assert job is not None
    return job


def info(job: Job) -> JobInfo:
    """The job as it is now, which must be there."""
    found = job.info()
    assert found is not None
    return found
