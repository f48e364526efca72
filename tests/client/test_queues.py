"""Queues, held jobs and edits from a program."""

from __future__ import annotations

import getpass

import pytest

import spoolq
from spoolq import QueueClosed, QueueFull, Spool, SpoolError
from tests.client.world import info


def test_a_paused_queue_performs_nothing_until_it_is_resumed(spool: Spool) -> None:
    spool.add_task("noop", lambda: None)
    job = spool.enqueue("noop")

    assert spool.pause_queue("default", why="disk swap")
    assert spool.perform_jobs() == 0
    assert spool.resume_queue("default")
    assert not spool.resume_queue("default")

    assert spool.perform_jobs() == 1
    assert info(job).state == "finished"


def test_whoever_runs_this_is_said_to_have_paused_it(spool: Spool) -> None:
    spool.pause_queue("default", why="disk swap")
    [queue] = spool.queues()
    assert queue.control.paused is not None
    assert (queue.control.paused.by, queue.control.paused.why) == (getpass.getuser(), "disk swap")

    spool.pause_queue("default", by="ann")
    [queue] = spool.queues()
    assert queue.control.paused is not None
    assert queue.control.paused.by == "ann"


def test_a_closed_and_a_full_queue_raise_errors_of_their_own(spool: Spool) -> None:
    spool.close_queue("mail")
    with pytest.raises(QueueClosed):
        spool.enqueue("noop", queue="mail")
    assert spool.open_queue("mail")
    spool.set_queue("mail", max_waiting=1)
    spool.enqueue("noop", queue="mail")
    with pytest.raises(QueueFull):
        spool.enqueue_many(["noop"], queue="mail")

    assert issubclass(QueueClosed, SpoolError)
    assert {"QueueClosed", "QueueFull"} <= {*spoolq.__all__}


def test_a_limit_is_listed_with_the_queue(spool: Spool) -> None:
    spool.set_queue("gpu", limit=2)

    assert [(queue.name, queue.control.limit) for queue in spool.queues()] == [("gpu", 2)]


def test_a_job_can_be_held_and_released_by_its_handle(spool: Spool) -> None:
    spool.add_task("noop", lambda: None)
    job = spool.enqueue("noop")

    assert job.hold()
    assert spool.perform_jobs() == 0
    assert not spool.foreground(job)
    assert job.release()
    assert not job.release()
    assert spool.perform_jobs() == 1


def test_a_task_can_enqueue_held_jobs(spool: Spool) -> None:
    @spool.task
    def noop() -> None: ...

    job = noop.using(hold=True).enqueue()

    assert info(job).held


def test_a_job_can_be_edited_by_its_handle(spool: Spool) -> None:
    seen: list[object] = []
    spool.add_task("see", seen.append)
    job = spool.enqueue("see", ["before"])

    assert job.edit(args=["after"], priority=3)
    spool.perform_jobs_in_foreground()

    assert seen == ["after"]
    assert info(job).priority == 3
