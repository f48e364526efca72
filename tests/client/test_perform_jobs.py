"""Everything that may run, one job after the other."""

from __future__ import annotations

import asyncio
import os

import pytest

from spoolq import Job, Spool, current_job
from tests.client.world import info


@pytest.fixture
def spool(spool: Spool) -> Spool:
    spool.add_task("pid", os.getpid)
    spool.add_task("bad", lambda: 1 // 0)
    return spool


@pytest.mark.minion(349)
def test_every_job_runs_in_a_process_of_its_own(spool: Spool) -> None:
    jobs = [spool.enqueue("pid") for _ in range(3)]
    assert spool.perform_jobs() == 3
    pids = {info(job).result for job in jobs}
    assert len(pids) == 3
    assert os.getpid() not in pids
    assert {info(job).state for job in jobs} == {"finished"}
    assert spool.perform_jobs() == 0


@pytest.mark.minion(350)
def test_named_queues_are_taken_instead_of_the_default_one(spool: Spool) -> None:
    default, test = spool.enqueue("pid"), spool.enqueue("pid", queue="test")
    assert spool.perform_jobs(queues=["test"]) == 1
    assert (info(default).state, info(test).state) == ("inactive", "finished")


@pytest.mark.minion(351)
def test_options_reach_every_dequeue(spool: Spool) -> None:
    low, high, named = (spool.enqueue("pid", priority=priority) for priority in (0, 5, 0))
    assert spool.perform_jobs(min_priority=5) == 1
    assert spool.perform_jobs_in_foreground(id=named) == 1
    assert [info(job).state for job in (low, high, named)] == ["inactive", "finished", "finished"]


def test_an_option_that_does_not_exist_is_an_error(spool: Spool) -> None:
    with pytest.raises(TypeError):
        spool.perform_jobs(queue="test")  # type: ignore[call-arg]  # the point
    assert spool.workers().total == 0


@pytest.mark.minion(352)
def test_delayed_and_blocked_jobs_are_not_awaited(spool: Spool) -> None:
    delayed = spool.enqueue("pid", delay=3600)
    blocked = spool.enqueue("pid", parents=[delayed])
    assert spool.perform_jobs() == 0
    assert {info(job).state for job in (delayed, blocked)} == {"inactive"}


@pytest.mark.minion(145)
def test_a_whole_chain_is_performed_in_one_call(spool: Spool) -> None:
    grandparent = spool.enqueue("pid")
    parent = spool.enqueue("pid", parents=[grandparent], priority=1)
    spool.enqueue("pid", parents=[parent], priority=9)
    assert spool.perform_jobs() == 3


@pytest.mark.minion(130)
def test_a_failed_job_with_attempts_left_is_not_awaited(spool: Spool) -> None:
    job = spool.enqueue("bad", attempts=3)
    assert spool.perform_jobs() == 1
    assert (info(job).state, info(job).attempts) == ("inactive", 2)


@pytest.mark.minion(353)
def test_in_foreground_jobs_run_here_and_a_failure_stops_nobody(spool: Spool) -> None:
    before, bad, after = spool.enqueue("pid"), spool.enqueue("bad"), spool.enqueue("pid")
    assert spool.perform_jobs_in_foreground() == 3
    assert [info(job).result for job in (before, after)] == [os.getpid()] * 2
    assert info(bad).state == "failed"


@pytest.mark.minion(354)
def test_jobs_can_be_performed_inside_a_running_event_loop(spool: Spool) -> None:
    @spool.task
    def loop() -> int:
        return asyncio.run(answer())

    async def answer() -> int:
        return 42

    async def perform() -> int:
        return spool.perform_jobs()

    job = loop.enqueue()
    assert asyncio.run(perform()) == 1
    assert info(job).result == 42


@pytest.mark.minion(335)
def test_the_event_loop_of_the_parent_does_not_run_in_the_child(spool: Spool) -> None:
    ticks = [0]

    async def perform() -> int:
        loop = asyncio.get_running_loop()

        def tick() -> None:
            ticks[0] += 1
            loop.call_soon(tick)

        tick()
        await asyncio.sleep(0)
        return spool.perform_jobs()

    @spool.task
    def count() -> int:
        before = ticks[0]
        asyncio.run(asyncio.sleep(0.01))
        return ticks[0] - before

    job = count.enqueue()
    asyncio.run(perform())
    assert info(job).result == 0


@pytest.mark.minion(355)
def test_a_task_that_retries_its_job_is_performed_as_long_as_it_does(spool: Spool) -> None:
    @spool.task(takes_context=True)
    def again(job: Job) -> int:
        if job.retries < 3:
            job.retry()
        return job.retries

    job = again.enqueue()
    assert spool.perform_jobs_in_foreground() == 4
    assert info(job).result == 3


@pytest.mark.minion(356)
def test_the_worker_beats_before_every_dequeue_and_leaves_at_the_end(spool: Spool) -> None:
    beats = []

    @spool.task
    def look() -> None:
        job = current_job()
        assert job is not None
        (worker,) = spool.workers()
        assert worker.id == job.worker
        beats.append(worker.notified)
        advance()

    def advance() -> None:
        spool.backend._clock.advance(5)  # type: ignore[attr-defined]  # the test's own clock

    look.enqueue()
    look.enqueue()
    spool.perform_jobs_in_foreground()
    assert beats[1] - beats[0] == 5
    assert spool.workers().total == 0


def test_the_worker_leaves_when_it_is_interrupted(spool: Spool) -> None:
    job = spool.enqueue("pid")
    spool.on("worker", lambda _, worker: worker.on("dequeue", lambda *_: 1 // 0))
    with pytest.raises(ZeroDivisionError):
        spool.perform_jobs()
    assert spool.workers().total == 0
    assert info(job).state == "active"
