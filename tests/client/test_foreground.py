"""One job, right now, in this process."""

from __future__ import annotations

import os

import pytest

from spoolq import Spool, Worker
from spoolq.errors import UnknownTask
from tests.client.world import info
from tests.support import FakeClock


@pytest.fixture
def spool(spool: Spool) -> Spool:
    spool.add_task("pid", os.getpid)
    spool.add_task("bad", lambda: 1 // 0)
    return spool


@pytest.mark.minion(340)
def test_a_missing_job_is_false(spool: Spool) -> None:
    assert not spool.foreground(12345)


@pytest.mark.minion(165, 341, 342)
def test_a_job_runs_here_in_a_queue_of_its_own(spool: Spool) -> None:
    job = spool.enqueue("pid", attempts=5, priority=3)
    assert spool.foreground(job.id)
    after = info(job)
    assert (after.state, after.result) == ("finished", os.getpid())
    assert (after.queue, after.attempts, after.retries) == ("minion_foreground", 1, 1)
    assert after.priority == 3
    assert after.notes == {}


# Minion retries it all the same, and leaves it where no worker looks.
@pytest.mark.minion(343)
def test_a_job_that_waits_for_a_parent_is_left_as_it_is(spool: Spool) -> None:
    parent = spool.enqueue("pid")
    child = spool.enqueue("pid", parents=[parent], attempts=3, delay=60)
    before = info(child)
    assert not spool.foreground(child)
    assert info(child) == before


@pytest.mark.minion(344)
def test_it_can_be_run_when_its_parents_have_finished(spool: Spool) -> None:
    parent = spool.enqueue("pid")
    child = spool.enqueue("pid", parents=[parent])
    assert not spool.foreground(child)
    assert spool.foreground(parent)
    assert spool.foreground(child)
    assert info(child).state == "finished"


def test_a_failed_parent_is_enough_for_a_lax_job_only(spool: Spool) -> None:
    parent = spool.enqueue("bad")
    strict = spool.enqueue("pid", parents=[parent])
    lax = spool.enqueue("pid", parents=[parent, 12345], lax=True)
    spool.perform_jobs_in_foreground(tasks=["bad"])
    assert not spool.foreground(strict)
    assert spool.foreground(lax)


@pytest.mark.minion(345)
def test_what_the_task_raises_fails_the_job_and_is_raised(spool: Spool) -> None:
    job = spool.enqueue("bad", attempts=5)
    with pytest.raises(ZeroDivisionError):
        spool.foreground(job)
    after = info(job)
    assert (after.state, after.attempts, after.retries) == ("failed", 1, 1)
    assert after.result["type"] == "ZeroDivisionError"


@pytest.mark.minion(346)
def test_the_temporary_worker_leaves_its_id_behind(spool: Spool) -> None:
    job = spool.enqueue("pid")
    assert spool.foreground(job)
    assert info(job).worker is not None
    assert spool.workers().total == 0


@pytest.mark.minion(346)
def test_the_temporary_worker_is_gone_after_a_failure_too(spool: Spool) -> None:
    with pytest.raises(ZeroDivisionError):
        spool.foreground(spool.enqueue("bad"))
    assert spool.workers().total == 0


@pytest.mark.minion(347)
def test_a_delayed_job_does_not_wait(spool: Spool) -> None:
    assert spool.foreground(spool.enqueue("pid", delay=3600))


@pytest.mark.minion(348)
def test_an_active_job_is_taken_from_its_worker(spool: Spool, worker: Worker) -> None:
    spool.enqueue("pid")
    job = worker.dequeue(0)
    assert job is not None
    assert spool.foreground(job)
    assert not job.finish("too late")
    assert info(job).result == os.getpid()


@pytest.mark.minion(348)
def test_a_finished_job_runs_again(spool: Spool) -> None:
    job = spool.enqueue("pid")
    assert spool.foreground(job)
    assert spool.foreground(job)
    assert info(job).retries == 2


def test_a_job_past_its_expiry_is_left_as_it_is(spool: Spool, clock: FakeClock) -> None:
    job = spool.enqueue("bad", expire=60)
    spool.perform_jobs_in_foreground()
    clock.advance(61)
    assert not spool.foreground(job)
    assert (info(job).state, info(job).queue) == ("failed", "default")


def test_a_task_nobody_knows_is_an_error_and_changes_nothing(spool: Spool) -> None:
    job = spool.enqueue("mial")
    with pytest.raises(UnknownTask, match=r"'mial'.*bad, pid"):
        spool.foreground(job)
    assert (info(job).retries, info(job).queue) == (0, "default")
