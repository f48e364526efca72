"""Two mounts of one directory are two hosts: stale caches, lost replies, late execution."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.hosts.work import all_jobs, check_books, enqueue, open_at, persistently, work
from tests.race.crowd import Child, flat
from tests.support import wait_for_progress
from tests.support.fuse import Faults, hosts, needs_fuse

pytestmark = needs_fuse


def storm(
    directory: Path, faults: Faults, *, enqueuers: int, workers: int, jobs: int
) -> dict[str, float]:
    """Enqueuers and workers on two hosts of a bad server; then it is good again, and counted."""
    diary, stop = directory / "diary", directory / "stop"
    diary.touch()
    began = time.monotonic()
    with hosts(directory) as (backing, mounts):
        open_at(mounts[0].path / "spool")

        def host(number: int) -> Path:
            return mounts[number % 2].path / "spool"

        for mount in mounts:
            mount.set(faults)
        senders = [
            Child(lambda n=n: enqueue(open_at(host(n)), jobs))  # type: ignore[misc]
            for n in range(enqueuers)
        ]
        drains = [
            Child(lambda n=n: work(open_at(host(n)), diary, stop.exists))  # type: ignore[misc]
            for n in range(workers)
        ]
        acked = flat([sender.answer() for sender in senders])
        server = open_at(backing / "spool")

        def left() -> int:
            return sum(job.state == "inactive" for job in all_jobs(server))

        wait_for_progress(left, 0)
        stop.touch()
        accepted = flat([drain.answer() for drain in drains])
        for mount in mounts:
            mount.set(Faults())
            mount.settle()
        # What was claimed and never given to anybody: it is run again, by somebody who can see.
        rest = open_at(host(0))
        persistently(rest.repair)
        ended = time.monotonic() + 30

        def over() -> bool:
            assert time.monotonic() < ended, server.stats()
            return all(job.state == "finished" for job in all_jobs(server))

        accepted += work(rest, diary, over)
        states = check_books(server, acked, accepted, diary)
    assert set(states) == {"finished"}, states
    return {
        "jobs": enqueuers * jobs,
        "acknowledged": len(acked),
        "effects": len(diary.read_text().splitlines()),
        "incidents": len(list((backing / "spool/incidents").iterdir())),
        "seconds": round(time.monotonic() - began, 1),
    }


@pytest.mark.slow
def test_lost_replies_on_two_mounts_lose_and_double_nothing(tmp_path: Path) -> None:
    faults = Faults(lost=0.03, tick=0.01)

    figures = storm(tmp_path, faults, enqueuers=2, workers=2, jobs=40)

    assert figures["effects"] >= figures["acknowledged"], figures


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "faults",
    [
        Faults(lost=0.05, tick=0.01, delay=0.002),
        Faults(late=0.02, late_by=0.3, tick=0.01),
        Faults(lost=0.03, late=0.01, clock=[(0.0, -3600.0)]),
    ],
    ids=["lost", "late", "both-and-a-clock"],
)
def test_eight_enqueuers_and_four_workers_on_two_bad_mounts(tmp_path: Path, faults: Faults) -> None:
    print(storm(tmp_path, faults, enqueuers=8, workers=4, jobs=100))
