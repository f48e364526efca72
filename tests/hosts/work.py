"""What hosts do in these tests, and what they say they did: for the books to be balanced."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from spoolq.errors import SpoolUnavailable
from spoolq.files.store import FileBackend
from spoolq.model import JobInfo
from tests.support.checker import check_spool, let_trash_come_of_age, repair_twice

T = TypeVar("T")

ATTEMPTS = 50  # more than any of these storms takes: no job fails for good


def no_backoff(retries: int) -> float:
    del retries
    return 0.0


def open_at(root: Path, **options: Any) -> FileBackend:
    """The spool as this host sees it. A server that is in trouble is asked again."""
    given = {"durability": "none", "backoff": no_backoff, **options}
    return persistently(lambda: FileBackend(str(root), **given))


def persistently(act: Callable[[], T], seconds: float = 30) -> T:
    """Do it again as long as the file server refuses: what a worker does at the end of a job."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return act()
        except SpoolUnavailable:
            if time.monotonic() > deadline:
                raise


def enqueue(files: FileBackend, count: int, task: str = "foo") -> list[int]:
    """Enqueue jobs; the ids of those that were acknowledged."""
    acked = []
    for number in range(count):
        with suppress(SpoolUnavailable):
            acked.append(files.enqueue(task, [number], attempts=ATTEMPTS, priority=number % 3))
    return acked


def work(files: FileBackend, diary: Path, over: Callable[[], bool]) -> list[tuple[int, int]]:
    """Claim, write down and finish until it is over; the (id, retries) of the accepted outcomes."""
    worker = persistently(files.register_worker)
    accepted, last = [], time.monotonic()
    while not over():
        if time.monotonic() - last > files.missing_after / 5:
            worker, last = persistently(partial(files.register_worker, worker)), time.monotonic()
        try:
            claimed = files.dequeue(worker, 0.05)
        except SpoolUnavailable:
            continue
        if claimed is None:
            continue
        id_, retries = claimed["id"], claimed["retries"]
        write_down(diary, id_, retries, worker)
        if persistently(partial(files.finish_job, id_, retries, [worker, retries])):
            accepted.append((id_, retries))
    persistently(lambda: files.unregister_worker(worker))
    return accepted


def write_down(diary: Path, *words: object) -> None:
    """One line, whole, at the end of a file that many write to: a side effect."""
    fd = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(fd)


def read(diary: Path) -> list[list[int]]:
    """The lines of a diary."""
    return [[int(word) for word in line.split()] for line in diary.read_text().splitlines()]


def all_jobs(files: FileBackend) -> list[JobInfo]:
    rows: list[JobInfo] = files.list_jobs(0, 1_000_000).rows
    return rows


def check_books(
    files: FileBackend, acked: Iterable[int], accepted: Iterable[Iterable[int]], diary: Path
) -> Counter[str]:
    """None lost, none finished twice, no effect without an attempt; how many ended how."""
    let_trash_come_of_age(files.root)
    repair_twice(files.repair, files.repair, files.root)
    check_spool(files.root, acked=acked)
    jobs = {job.id: job for job in all_jobs(files)}
    finishes = Counter(id_ for id_, *_ in accepted)
    effects = Counter(id_ for id_, *_ in read(diary))

    assert [id_ for id_, times in finishes.items() if times > 1] == [], "finished twice"
    assert [id_ for id_ in finishes if jobs[id_].state != "finished"] == [], "an outcome was lost"
    too_often = {id_: times for id_, times in effects.items() if times > jobs[id_].retries + 1}
    assert too_often == {}, "effects without an attempt"
    assert {job.id for job in jobs.values() if job.state == "finished"} <= effects.keys()
    return Counter(job.state for job in jobs.values())
