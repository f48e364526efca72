"""Chaos on two hosts: nothing is lost, nothing ends twice, and every overlap is on record."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from spoolq.files.store import FileBackend
from tests.hosts.chaos import Books, reported
from tests.hosts.namespaces import REPOSITORY, needs_namespaces, on_host
from tests.hosts.work import ATTEMPTS, all_jobs, no_backoff, open_at
from tests.support import wait_for, wait_for_progress
from tests.support.checker import check_spool, let_trash_come_of_age, repair_twice
from tests.support.fuse import Faults, Mount, hosts, needs_fuse

pytestmark = needs_namespaces


@contextmanager
def host(told: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A host of its own, on which chaos begins at once."""
    command = on_host([sys.executable, "-m", "tests.hosts.chaos", json.dumps(told)])
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def enqueue(files: FileBackend, count: int) -> list[int]:
    """Jobs of a few milliseconds, some of them longer than what happens to their workers."""
    lengths = [random.choice((0.001, 0.005, 0.02)) for _ in range(count)]
    for place in range(0, count, max(15, count // 40)):
        lengths[place] = 1.0
    return files.enqueue_many([("effect", [length]) for length in lengths], attempts=ATTEMPTS)


def chaos(
    directory: Path,
    server: Path,
    roots: list[Path],
    *,
    jobs: int,
    seconds: float,
    missing_after: float,
    pause: float,
    workers: int = 2,
    clocks: int = 2,
    settled: Sequence[Mount] = (),
) -> dict[str, object]:
    """Let it happen, then balance the books. Its figures."""
    diary = directory / "diary"
    diary.touch()
    files = FileBackend(str(server), durability="none", backoff=no_backoff)
    acked = enqueue(files, jobs)
    told = [
        {
            "root": str(root),
            "diary": str(diary),
            "clock": str(directory / f"clock{number % clocks}"),
            "log": str(directory / f"log{number}"),
            "missing_after": missing_after,
            "pause": pause,
            "workers": workers,
            "seed": random.random(),
        }
        for number, root in enumerate(roots)
    ]
    began = time.monotonic()
    with ExitStack() as stack:
        running = [stack.enter_context(host(one)) for one in told]

        def finished_jobs() -> int:
            return int(files.stats()["finished_jobs"])

        ended = began + seconds
        wait_for(lambda: time.monotonic() >= ended, seconds + 5)
        finished = finished_jobs()
        (directory / "calm").touch()
        wait_for_progress(finished_jobs, jobs)
        took = time.monotonic() - began
        (directory / "stop").touch()
        struck: Counter[str] = Counter()
        for process in running:
            said, _ = process.communicate(timeout=60)
            struck += Counter(json.loads(said))
    for mount in settled:
        mount.settle()
    return {
        **check(files, server, acked, diary),
        "finished in the chaos": finished,
        "seconds": round(took, 1),
        "struck": dict(struck),
    }


def check(files: FileBackend, server: Path, acked: list[int], diary: Path) -> dict[str, object]:
    """None lost, none finished twice, effects within attempts, every overlap reported."""
    files.missing_after = 0.1  # nobody is left: what did not unregister is dead
    let_trash_come_of_age(str(server))
    repair_twice(files.repair, files.repair, str(server))
    check_spool(str(server), acked=acked)
    books, rows = Books(diary), {job.id: job for job in all_jobs(files)}
    known = reported(server / "incidents")

    assert Counter(row.state for row in rows.values()) == {"finished": len(acked)}
    assert sorted(rows) == sorted(acked)
    assert [id_ for id_, times in books.accepted.items() if times > 1] == [], "finished twice"
    assert {id_ for id_ in rows if id_ not in books.runs} == set(), "finished without a run"
    attempts = sum(row.retries + 1 for row in rows.values())
    beyond = {
        id_: (len(runs), rows[id_].retries + 1)
        for id_, runs in books.runs.items()
        if len(runs) > rows[id_].retries + 1
    }
    assert beyond == {}, "effects without an attempt"
    silent = books.overlapping() - known
    assert silent == set(), "overlaps that nobody has put on record"
    return {
        "jobs": len(acked),
        "attempts": attempts,
        "effects": books.effects,
        "overlaps": len(books.overlapping()),
        "incidents": len(list((server / "incidents").iterdir())),
    }


@pytest.mark.slow
def test_a_few_seconds_of_chaos_lose_double_and_hide_nothing(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    figures = chaos(
        tmp_path, root, [root] * 2, jobs=100, seconds=2, missing_after=1, pause=0.2, clocks=1
    )

    print(figures)
    assert figures["struck"], figures


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_half_a_minute_of_chaos_over_5000_jobs(tmp_path: Path) -> None:
    root = tmp_path / "spool"

    print(
        chaos(
            tmp_path, root, [root] * 2, jobs=5000, seconds=30, missing_after=3, pause=0.5, clocks=1
        )
    )


@needs_fuse
@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.timeout(900)
def test_half_a_minute_of_chaos_over_5000_jobs_on_two_bad_mounts(tmp_path: Path) -> None:
    with hosts(tmp_path) as (backing, mounts):
        for mount in mounts:
            open_at(mount.path / "spool")
            # Its clock is set, too, but by less than the hour after which repair takes what is
            # in tmp/ for nobody's.
            clock = [(time.time() + 10, 3000.0), (time.time() + 20, -3000.0)]
            mount.set(Faults(lost=0.01, late=0.002, tick=0.01, clock=clock))
        figures = chaos(
            tmp_path,
            backing / "spool",
            [mount.path / "spool" for mount in mounts],
            jobs=5000,
            seconds=30,
            missing_after=4,
            pause=0.5,
            settled=mounts,
        )
    print(figures)
