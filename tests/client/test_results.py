"""Waiting for results: what `result`, `await`, `wait` and `as_completed` answer, and when."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from spoolq import Job, JobFailed, JobRemoved, Spool
from spoolq.errors import InvalidType
from spoolq.files.store import FileBackend
from spoolq.results import HEARD
from tests.support import FakeClock, wait_for


def run(spool: Spool, job: Job, end: Callable[[Job], object]) -> None:
    """Perform this job as a worker would, and let it end like that."""
    claimed = spool.worker().register().dequeue(0, id=job.id, tasks=[job.task])
    assert claimed is not None
    end(claimed)


def in_background(work: Callable[[], object]) -> list[object]:
    """What `work` has returned in a thread, once it has."""
    answers: list[object] = []
    threading.Thread(target=lambda: answers.append(work()), daemon=True).start()
    return answers


# -- one job -------------------------------------------------------------------------------------


@pytest.mark.minion(357)
def test_the_result_of_a_finished_job_is_its_result(spool: Spool) -> None:
    job = spool.enqueue("foo")
    run(spool, job, lambda claimed: claimed.finish({"a": [1]}))

    assert job.result() == {"a": [1]}


def test_a_result_can_be_read_again(spool: Spool) -> None:
    job = spool.enqueue("foo")
    run(spool, job, lambda claimed: claimed.finish(1))

    assert [job.result(), job.result()] == [1, 1]


@pytest.mark.minion(357)
def test_a_failed_job_raises_what_its_task_raised(spool: Spool) -> None:
    job = spool.enqueue("foo")
    run(spool, job, lambda claimed: claimed.fail(ValueError("no such file")))

    with pytest.raises(JobFailed, match=rf"job {job.id} \(foo\) failed: ValueError: no such file"):
        job.result()


def test_a_failed_job_says_type_message_and_attempts(spool: Spool) -> None:
    job = spool.enqueue("foo")
    run(spool, job, lambda claimed: claimed.fail({"type": "T", "message": "m", "traceback": "t"}))

    with pytest.raises(JobFailed) as caught:
        job.result()

    error = caught.value
    assert (error.id, error.type, error.message, error.traceback) == (job.id, "T", "m", "t")
    assert (error.attempts, len(error.history)) == (1, 1)


def test_a_failure_that_is_no_error_of_a_task_is_its_own_message(spool: Spool) -> None:
    job = spool.enqueue("foo")
    run(spool, job, lambda claimed: claimed.fail("out of ink"))

    with pytest.raises(JobFailed, match="out of ink"):
        job.result()


def test_the_failure_of_a_job_can_be_pickled() -> None:
    error = JobFailed(7, "foo", {"type": "T", "message": "m"}, 2, [{}])

    again = pickle.loads(pickle.dumps(error))

    assert (str(again), again.history) == (str(error), [{}])


@pytest.mark.minion(359)
def test_a_removed_job_has_no_result(spool: Spool) -> None:
    job = spool.enqueue("foo")
    job.remove()

    with pytest.raises(JobRemoved, match=f"job {job.id} was removed"):
        job.result()


@pytest.mark.minion(151)
def test_an_expired_job_has_no_result(spool: Spool, clock: FakeClock) -> None:
    job = spool.enqueue("foo", expire=10)
    clock.advance(11)

    with pytest.raises(JobRemoved, match="expired"):
        job.result()


@pytest.mark.minion(360)
def test_a_timeout_says_how_the_job_stands(spool: Spool) -> None:
    job = spool.enqueue("foo")

    with pytest.raises(TimeoutError, match=f"job {job.id} is inactive after 0.01 seconds"):
        job.result(timeout=0.01)


def test_a_timeout_of_nothing_looks_once(spool: Spool) -> None:
    job = spool.enqueue("foo")
    run(spool, job, lambda claimed: claimed.finish(1))

    assert job.result(timeout=0) == 1


def test_a_timeout_is_a_number_of_seconds(spool: Spool) -> None:
    with pytest.raises(InvalidType, match="timeout"):
        spool.enqueue("foo").result(timeout="soon")  # type: ignore[arg-type]


@pytest.mark.minion(358)
def test_whoever_waits_is_told_when_the_job_ends(spool: Spool) -> None:
    job = spool.enqueue("foo")
    answers = in_background(job.result)

    run(spool, job, lambda claimed: claimed.finish("done"))

    wait_for(lambda: answers == ["done"])


@pytest.mark.minion(360, 361)
def test_a_failure_with_attempts_left_is_waited_out(spool: Spool, clock: FakeClock) -> None:
    job = spool.enqueue("foo", attempts=2)
    run(spool, job, lambda claimed: claimed.fail("first"))
    with pytest.raises(TimeoutError):
        job.result(timeout=0.01)
    clock.advance(100)

    run(spool, job, lambda claimed: claimed.finish("second"))

    assert job.result() == "second"


# -- in asyncio ----------------------------------------------------------------------------------


def test_a_job_can_be_awaited(spool: Spool) -> None:
    job = spool.enqueue("foo")
    run(spool, job, lambda claimed: claimed.finish(5))

    async def main() -> object:
        return await job

    assert asyncio.run(main()) == 5


def test_an_awaited_job_that_fails_raises(spool: Spool) -> None:
    job = spool.enqueue("foo")
    run(spool, job, lambda claimed: claimed.fail("no"))

    with pytest.raises(JobFailed):
        asyncio.run(job.aresult())


def test_an_awaited_job_that_takes_too_long_raises(spool: Spool) -> None:
    job = spool.enqueue("foo")

    with pytest.raises(TimeoutError):
        asyncio.run(job.aresult(timeout=0.01))


def test_many_jobs_are_awaited_at_once(spool: Spool) -> None:
    jobs = [spool.enqueue("foo") for _ in range(50)]

    async def main() -> list[object]:
        waiting = [asyncio.ensure_future(job.aresult(10)) for job in jobs]
        await asyncio.sleep(0)
        for number, job in enumerate(jobs):
            run(spool, job, lambda claimed, number=number: claimed.finish(number))  # type: ignore[misc]
        results: list[object] = await asyncio.gather(*waiting)
        return results

    assert asyncio.run(main()) == list(range(50))


# -- several jobs --------------------------------------------------------------------------------


def test_several_jobs_are_waited_for_in_their_order(spool: Spool) -> None:
    one, two, gone = (spool.enqueue("foo") for _ in range(3))
    run(spool, two, lambda claimed: claimed.finish(2))
    run(spool, one, lambda claimed: claimed.fail("no"))
    gone.remove()

    ended = spool.wait([one, two.id, gone])

    assert [info and info.state for info in ended] == ["failed", "finished", None]


def test_jobs_come_as_they_complete(spool: Spool) -> None:
    one, two = spool.enqueue("foo"), spool.enqueue("foo")
    run(spool, two, lambda claimed: claimed.finish(2))
    completed = spool.as_completed([one, two])
    first = next(completed)

    run(spool, one, lambda claimed: claimed.finish(1))

    assert [first, *completed] == [two, one]


def test_a_timeout_over_several_jobs_counts_those_that_are_left(spool: Spool) -> None:
    jobs = [spool.enqueue("foo") for _ in range(3)]

    with pytest.raises(TimeoutError, match=f"job {jobs[0].id} is inactive .* and 2 more"):
        spool.wait(jobs, timeout=0.01)


def test_no_jobs_have_ended_already(spool: Spool) -> None:
    assert spool.wait([]) == []


# -- what rings ----------------------------------------------------------------------------------


def rung(backend: FileBackend, job: int) -> threading.Event:
    """Set when it rings for this job."""
    event = threading.Event()
    assert backend.watch_job(job, event.set) is not None
    return event


def end(backend: FileBackend, job: int) -> None:
    worker = backend.register_worker()
    claimed = backend.dequeue(worker, id=job)
    assert claimed is not None
    assert backend.finish_job(job, claimed["retries"])


def test_the_end_of_a_job_rings_long_before_the_next_look(tmp_path: Path) -> None:
    backend = FileBackend(str(tmp_path / "spool"), durability="none")
    job = backend.enqueue("foo")
    event = rung(backend, job)

    end(backend, job)

    assert event.wait(HEARD - 1)


def test_the_end_of_another_job_of_the_same_bucket_does_not_ring(tmp_path: Path) -> None:
    backend = FileBackend(str(tmp_path / "spool"), durability="none")
    job, other = backend.enqueue("foo"), backend.enqueue("foo")
    event, ours = rung(backend, job), rung(backend, other)

    end(backend, other)

    assert ours.wait(HEARD - 1)
    assert not event.is_set()


@pytest.mark.minion(362)
def test_who_has_stopped_waiting_is_not_rung_for(tmp_path: Path) -> None:
    backend = FileBackend(str(tmp_path / "spool"), durability="none")
    job = backend.enqueue("foo")
    event, again = threading.Event(), threading.Event()
    stop = backend.watch_job(job, event.set)
    backend.watch_job(job, again.set)
    assert stop is not None
    stop()

    end(backend, job)

    assert again.wait(HEARD - 1)
    assert not event.is_set()


def test_a_thousand_that_wait_for_jobs_of_a_bucket_need_no_thread_each(tmp_path: Path) -> None:
    backend = FileBackend(str(tmp_path / "spool"), durability="none")
    jobs = backend.enqueue_many(["foo"] * 200)
    before = threading.active_count()

    for job in jobs * 5:
        assert backend.watch_job(job, lambda: None) is not None

    assert threading.active_count() - before < 10


def test_a_forked_child_waits_for_itself(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", durability="none")
    job = spool.enqueue("foo")
    assert spool.backend.watch_job(job.id, lambda: None) is not None

    pid = os.fork()
    if pid == 0:
        try:
            end(spool.backend, job.id)  # type: ignore[arg-type]
            os._exit(0 if job.result(5) is None else 2)
        finally:
            os._exit(1)

    assert os.waitpid(pid, 0)[1] == 0
