"""The program whose tasks the workers of the chaos perform, told by its environment where it is.

It is a program like any other, but for three things that only a test needs: a clock that can be
set while it runs, a book of the outcomes that were accepted, and tasks that write down what they
do. `CHAOS` is JSON: root, diary, clock, missing_after.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from spoolq import Spool, current_job
from spoolq.clock import SystemClock
from spoolq.files.store import FileBackend
from tests.hosts.work import no_backoff, persistently, write_down

TOLD: dict[str, Any] = json.loads(os.environ["CHAOS"])


class SetClock(SystemClock):
    """The clock of this host, as far off as a file says."""

    def wall(self) -> float:
        off = 0.0
        with suppress(OSError, ValueError), open(TOLD["clock"], encoding="ascii") as file:
            off = float(file.read())
        return super().wall() + off


class Booked(FileBackend):
    """Writes down each outcome that was accepted."""

    def finish_job(self, id: Any, retries: int, result: Any = None, **options: Any) -> bool:
        done = super().finish_job(id, retries, result, **options)
        if done:
            note("done", id, retries)
        return done

    def finish_jobs(self, outcomes: Iterable[Any]) -> list[bool]:
        outcomes = list(outcomes)
        answers = super().finish_jobs(outcomes)
        for (id_, retries, *_), done in zip(outcomes, answers, strict=True):
            if done:
                note("done", id_, retries)
        return answers


def note(what: str, id: int, retries: int) -> None:
    now = int(SystemClock().elapsed() * 1e6)
    write_down(TOLD["diary"], what, id, retries, os.getpid(), now)


def make_spool() -> Spool:
    files = persistently(
        lambda: Booked(
            TOLD["root"],
            clock=SetClock(),
            durability="none",
            missing_after=TOLD["missing_after"],
            backoff=no_backoff,
        )
    )
    return Spool(files)


spool = make_spool()


@spool.task
def effect(seconds: float) -> None:
    """A side effect at the start, work, and a line at the end."""
    job = current_job()
    assert job is not None
    note("start", job.id, job.retries)
    threading.Event().wait(seconds)
    note("end", job.id, job.retries)


if __name__ == "__main__":
    spool.worker(jobs=2, command_interval=1, dequeue_timeout=1).run()
