"""The lease: a worker that cannot beat runs nothing by the time others may take its jobs."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from spoolq import Spool, Worker
from spoolq.errors import SpoolUnavailable
from spoolq.loop.crew import Member
from spoolq.loop.lease import Lease
from spoolq.loop.plan import Terms, margin
from spoolq.memory import MemoryBackend
from tests.client.world import info
from tests.runners.programs import alive
from tests.support import FakeClock, wait_for
from tests.worker.test_run import Gate

pytestmark = pytest.mark.slow


class Disk(MemoryBackend):
    """A backend whose disk refuses everything, or answers nothing, once it is told to."""

    refuses = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.answers = threading.Event()
        self.answers.set()

    def register_worker(self, *args: Any, **options: Any) -> int:
        self._ask()
        return super().register_worker(*args, **options)

    def finish_job(self, *args: Any, **options: Any) -> bool:
        self._ask()
        return super().finish_job(*args, **options)

    def fail_job(self, *args: Any, **options: Any) -> bool:
        self._ask()
        return super().fail_job(*args, **options)

    def _ask(self) -> None:
        if self.refuses:
            raise SpoolUnavailable("stale file handle")
        self.answers.wait(30)  # a test that fails must not leave a thread that waits for ever


def test_a_lease_is_held_until_the_margin_before_others_may_act() -> None:
    clock = FakeClock()
    lease = Lease(clock, 120, 10, lambda: None)
    length = 120 - margin(120, 10)

    clock.advance(length - 1)
    assert lease.held
    clock.advance(2)
    assert not lease.held


def test_a_lease_counts_from_the_start_of_the_heartbeat_that_renewed_it() -> None:
    clock = FakeClock()
    lease = Lease(clock, 120, 10, lambda: None)
    begun = clock.elapsed()
    clock.advance(60)

    lease.renew(begun)

    assert lease.left == pytest.approx(120 - margin(120, 10) - 60)


def test_a_wall_clock_that_jumps_does_not_end_a_lease() -> None:
    clock = FakeClock()
    lease = Lease(clock, 120, 10, lambda: None)

    clock.jump(1_000_000)

    assert lease.held


def test_a_worker_that_cannot_beat_kills_its_jobs_before_others_may_take_them(
    tmp_path: Any,
) -> None:
    disk = Disk(missing_after=1.5)
    spool = Spool(disk)
    gate = Gate(spool, tmp_path)
    job = gate.enqueue(attempts=2)
    worker = spool.worker()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            worker.run(Terms(grace=0))
        except SpoolUnavailable as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_for(lambda: gate.started == 1)
    member = only_member(worker)

    disk.refuses = True
    refused = time.monotonic()
    wait_for(lambda: member.run.poll() is not None or not alive(member.pid))
    killed = time.monotonic() - refused
    thread.join(10)

    assert killed < 1.5
    assert ended
    disk.refuses = False
    wait_for(lambda: time.monotonic() - refused > 1.6)
    spool.repair()
    assert (info(job).state, info(job).retries) == ("inactive", 1)


def only_member(worker: Worker) -> Member:
    """What the worker runs: a job may have begun before the worker has taken note of that."""
    engine = worker._engine
    assert engine is not None
    wait_for(lambda: len(engine.crew) == 1)
    [member] = engine.crew.running.values()
    return member


def test_jobs_are_killed_in_time_even_while_the_disk_answers_nothing(tmp_path: Any) -> None:
    disk = Disk(missing_after=3)
    spool = Spool(disk)
    gate = Gate(spool, tmp_path)
    job = gate.enqueue()
    worker = spool.worker()
    thread = threading.Thread(target=worker.run, args=(Terms(max_jobs=1),), daemon=True)
    thread.start()
    wait_for(lambda: gate.started == 1)
    member = only_member(worker)

    disk.answers.clear()
    hung = time.monotonic()
    wait_for(lambda: not alive(member.pid))
    killed = time.monotonic() - hung
    disk.answers.set()
    thread.join(10)

    assert killed < 3
    assert info(job).result == "Job terminated unexpectedly (exit code: 0, signal: 9)"
