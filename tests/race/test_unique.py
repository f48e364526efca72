"""Processes that enqueue one unique key, while others run it: never two at once."""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from spoolq.errors import DuplicateJob
from tests.race.conftest import OpenSpool
from tests.race.crowd import Child, at_once, flat
from tests.support import wait_for
from tests.support.checker import check_spool

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("how", "each"),
    [({}, 1000), ({"unique_while": "waiting"}, 1000), ({"replace": True}, 100)],
    ids=["unfinished", "waiting", "replace"],
)
def test_of_a_unique_key_never_two_run_at_once_and_at_most_one_waits(
    open_spool: OpenSpool, root: Path, how: dict[str, Any], each: int
) -> None:
    """8 processes enqueue the same key 1,000 times each, and 2 workers run what was stored."""
    runs, enough = root.parent / "runs", root.parent / "enough"
    runs.mkdir()

    def enqueue() -> list[list[float]]:
        mine, stored = open_spool(), []
        for number in range(each):
            try:
                job = mine.enqueue("foo", [number], unique="k", **how)
            except DuplicateJob:
                assert "replace" not in how
            else:
                stored.append([job, time.monotonic()])
        return stored

    def work() -> list[list[float]]:
        mine = open_spool()
        worker, done = mine.register_worker(), []
        while not enough.exists():
            before = time.monotonic()
            claimed = mine.dequeue(worker)
            if claimed is None:
                continue
            # Raises when another one runs: the file system says so, not the code under test.
            (runs / "running").mkdir()
            os.sched_yield()
            (runs / "running").rmdir()
            assert mine.finish_job(claimed["id"], claimed["retries"])
            done.append([claimed["id"], before])
        return done

    workers = [Child(work) for _ in range(2)]
    stored = dict(flat(at_once(*[enqueue] * 8)))
    files = open_spool()
    wait_for(lambda: files.stats()["inactive_jobs"] == files.stats()["active_jobs"] == 0, 60)
    enough.touch()
    done = flat([worker.answer() for worker in workers])
    claimed = dict(done)

    assert len(claimed) == len(done) > 1
    if "replace" in how:
        assert claimed.keys() <= stored.keys()
    else:
        assert claimed.keys() == stored.keys()
        check_spool(str(root), acked=[int(job) for job in stored])
    # Each waited for certain from when it was acknowledged until somebody began to look for it.
    waited = sorted((stored[job], until) for job, until in done if stored[job] < until)
    assert all(until <= begin for (_, until), (begin, _) in pairwise(waited))
    assert files.holder_of("k") is None


def test_of_a_limit_never_more_run_at_once_than_it_says(open_spool: OpenSpool, root: Path) -> None:
    """4 workers take 200 jobs of which two may run at once."""
    runs = root.parent / "runs"
    runs.mkdir()
    files = open_spool()
    jobs = [files.enqueue("foo", concurrency=("k", 2)) for _ in range(100)]
    jobs += files.enqueue_many(["foo"] * 100, concurrency=("k", 2))

    def work() -> list[int]:
        mine = open_spool()
        worker, done = mine.register_worker(), []
        while mine.stats()["finished_jobs"] < len(jobs):
            claimed = mine.dequeue(worker, 0.01)
            if claimed is None:
                continue
            mark = runs / str(claimed["id"])
            mark.touch()
            assert len(list(runs.iterdir())) <= 2
            mark.unlink()
            assert mine.finish_job(claimed["id"], claimed["retries"])
            done.append(claimed["id"])
        return done

    done = flat(at_once(*[work] * 4))

    assert sorted(done) == jobs
