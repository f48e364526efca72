"""Enqueuers, drainers that are killed, and what is left when the storm is over."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from spoolq.files.store import FileBackend
from tests.race.conftest import OpenSpool
from tests.race.crowd import Child, flat
from tests.support import wait_for
from tests.support.checker import check_spool, let_trash_come_of_age, repair_twice

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


def write_down(diary: Path, id: int) -> None:
    """One line, whole, at the end of a file that many write to."""
    fd = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, b"%d\n" % id)
    finally:
        os.close(fd)


def read(diary: Path) -> Counter[int]:
    """How often each job was written down."""
    return Counter(map(int, diary.read_text().split()))


@contextmanager
def killed_again_and_again(
    start: Callable[[], Any], kill: Callable[[Any], None], *, crowd: int, victims: int, pause: float
) -> Iterator[Callable[[], None]]:
    """Keep a crowd of processes running; each call of what is yielded kills some of them."""
    running = [start() for _ in range(crowd)]
    last = time.monotonic()

    def strike() -> None:
        nonlocal last
        if time.monotonic() - last >= pause:
            last = time.monotonic()
            for place in random.sample(range(crowd), victims):
                kill(running[place])
                running[place] = start()

    yield strike
    for process in running:
        kill(process)


def check_after(files: FileBackend, other: FileBackend, ids: list[int], ran: Counter[int]) -> None:
    """After a repair every job has ended exactly once, none is lost and none in two places."""
    files.repair()
    jobs = files.list_jobs(0, len(ids) + 100).rows
    states = Counter(job.state for job in jobs)

    assert len({*ids}) == len(ids)
    assert sorted(job.id for job in jobs) == sorted(ids)
    assert set(states) <= {"finished", "failed"}, states
    assert {len(job.history) for job in jobs} == {1}
    assert {job.result for job in jobs if job.state == "failed"} <= {"Worker went away"}
    assert max(ran.values()) == 1, "with one attempt no job is run twice"
    assert {job.id for job in jobs if job.state == "finished"} <= ran.keys()
    stats = files.stats()
    assert (stats["finished_jobs"], stats["failed_jobs"]) == (states["finished"], states["failed"])
    let_trash_come_of_age(files.root)
    repair_twice(files.repair, other.repair, files.root)
    check_spool(files.root, acked=ids)


def storm(
    files: FileBackend,
    open_spool: OpenSpool,
    diary: Path,
    *,
    enqueuers: int,
    jobs: int,
    pause: float,
) -> None:
    """Drainers claim, write down and finish; some are killed every `pause` seconds."""

    def enqueue(seed: int) -> list[int]:
        mine = open_spool()
        ids = [mine.enqueue("foo", [n], priority=n % 3) for n in range(jobs - 50)]
        return ids + mine.enqueue_many([("foo", [seed])] * 50)

    def drain() -> None:
        mine = open_spool()
        worker = mine.register_worker()
        while True:
            claimed = mine.dequeue(worker, 1)
            if claimed:
                write_down(diary, claimed["id"])
                assert mine.finish_job(claimed["id"], claimed["retries"], os.getpid())

    senders = [Child(lambda seed=seed: enqueue(seed)) for seed in range(enqueuers)]  # type: ignore[misc]
    with killed_again_and_again(
        lambda: Child(drain), Child.kill, crowd=4, victims=2, pause=pause
    ) as strike:

        def done() -> bool:
            strike()
            return files.stats()["inactive_jobs"] == 0 and not any(map(Child.runs, senders))

        wait_for(done, 240)
    ids = flat([sender.answer() for sender in senders])

    assert len(ids) == enqueuers * jobs
    check_after(files, open_spool(), ids, read(diary))


def test_killed_drainers_lose_and_double_nothing(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    storm(files, open_spool, root.parent / "diary", enqueuers=3, jobs=600, pause=0.05)


@pytest.mark.timeout(600)
def test_eight_enqueuers_and_four_killed_drainers_lose_and_double_nothing(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    storm(files, open_spool, root.parent / "diary", enqueuers=8, jobs=2000, pause=1)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "jobs", [pytest.param(400), pytest.param(2000, marks=pytest.mark.exhaustive)]
)
def test_eight_enqueuers_and_four_killed_commands_lose_and_double_nothing(
    files: FileBackend, open_spool: OpenSpool, root: Path, jobs: int
) -> None:
    """Four `spoolq process` at a time, two of them killed with -9 every second."""
    diary = root.parent / "diary"
    program = root / "jobs/write-down.job"
    program.write_text(f'#!/bin/sh\necho "$SPOOLQ_JOB_ID" >> {diary}\n')
    program.chmod(0o700)
    environment = {
        **os.environ,
        "SPOOLQ_ROOT": str(root),
        "SPOOLQ_DURABILITY": "none",
        "PYTHONPATH": str(REPOSITORY),
    }

    def enqueue() -> list[int]:
        mine = open_spool()
        return [mine.enqueue("write-down") for _ in range(jobs)]

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "spoolq", "process", "-j", "2"]
        return subprocess.Popen(command, env=environment, cwd="/")

    def kill(process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    senders = [Child(enqueue) for _ in range(8)]
    with killed_again_and_again(start, kill, crowd=4, victims=2, pause=1) as strike:

        def done() -> bool:
            strike()
            return files.stats()["inactive_jobs"] == 0 and not any(map(Child.runs, senders))

        wait_for(done, 800)
    ids = flat([sender.answer() for sender in senders])

    assert len(ids) == 8 * jobs
    check_after(files, open_spool(), ids, read(diary))
