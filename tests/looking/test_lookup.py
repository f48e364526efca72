"""What a selection finds, in either backend."""

from __future__ import annotations

import pytest

from spoolq.backend import Backend
from spoolq.errors import UnknownJob
from spoolq.lookup import find, hint
from spoolq.selection import parse
from tests.support.jobs import finished_job


def found(backend: Backend, *words: str) -> list[int]:
    return [job.id for job in find(backend, parse(words)).jobs]


def test_jobs_are_found_newest_first_whatever_the_order_of_the_words(backend: Backend) -> None:
    for _ in range(4):
        backend.enqueue("foo")

    assert found(backend) == [4, 3, 2, 1]
    assert found(backend, "1", "3-4") == [4, 3, 1]
    assert found(backend, "last", "last~3") == [4, 1]
    assert found(backend, "all") == [4, 3, 2, 1]


def test_a_named_id_that_is_not_there_finds_nothing_at_all(backend: Backend) -> None:
    backend.enqueue("foo")

    for words in (["1", "7"], ["7-9"], ["last~1"]):
        with pytest.raises(UnknownJob):
            found(backend, *words)


def test_a_range_may_have_gaps(backend: Backend) -> None:
    for _ in range(3):
        backend.enqueue("foo")
    backend.remove_job(2)

    assert found(backend, "1-3") == [3, 1]


def test_ids_are_one_more_key(backend: Backend) -> None:
    for queue in "aab":
        backend.enqueue("foo", queue=queue)

    assert found(backend, "1-3", "queue:b") == [3]


def test_words_narrow_what_is_read_and_patterns_do_not(backend: Backend) -> None:
    backend.enqueue("foo", queue="gpu0", notes={"batch": 7})
    backend.enqueue("bar", queue="gpu1", notes={"batch": 8})
    backend.enqueue("bar", queue="cpu")

    assert found(backend, "queue:gpu*") == [2, 1]
    assert found(backend, "queue:gpu*", "queue:cpu") == [3, 2, 1]
    assert found(backend, "task:bar", "queue:gpu1") == [2]
    assert found(backend, "note:batch=7") == [1]
    assert found(backend, "note:batch") == [2, 1]


def test_views_tell_inactive_jobs_apart(backend: Backend, worker: int) -> None:
    done = finished_job(backend, worker)
    ready = backend.enqueue("foo", parents=[done])
    delayed = backend.enqueue("foo", delay=100)
    blocked = backend.enqueue("foo", parents=[ready])

    assert found(backend, "state:ready") == [ready]
    assert found(backend, "state:delayed") == [delayed]
    assert found(backend, "state:blocked") == [blocked]
    assert found(backend, "state:inactive", "state:finished") == [blocked, delayed, ready, done]


def test_a_limit_counts_what_matched(backend: Backend) -> None:
    for number in range(6):
        backend.enqueue("foo", priority=number % 2)

    page = find(backend, parse(["priority:1"]), limit=2, offset=1)

    assert [job.id for job in page.jobs] == [4, 2]


def test_reasons_see_the_spool_around(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("foo")
    backend.enqueue("foo", parents=[parent])
    backend.enqueue("foo")
    backend.enqueue("foo", queue="gpu")
    backend.register_worker(worker, status={"queues": ["default"], "jobs": 4})

    jobs = find(backend, parse([]))

    assert {job.id: jobs.reason(job).code for job in jobs.jobs} == {
        1: "none",
        2: "parents",
        3: "queue-order",
        4: "no-worker",
    }


def test_an_unknown_queue_or_task_is_hinted_at(backend: Backend) -> None:
    backend.enqueue("resize", queue="mail")

    assert "did you mean 'mail'?" in hint(backend, parse(["queue:mial"]))
    assert "did you mean 'resize'?" in hint(backend, parse(["task:resise"]))
    assert hint(backend, parse(["queue:mail", "state:failed"])) == ""


def test_a_job_that_waits_at_a_limit_is_blocked(backend: Backend) -> None:
    worker = backend.register_worker()
    running, *_ = [backend.enqueue("foo", concurrency=["tenant", 1]) for _ in range(3)]
    backend.enqueue("foo", rate=["api", 1, 60])
    assert found(backend, "state:ready") == [4, 3, 2, 1]

    backend.dequeue(worker)
    assert found(backend, "state:ready") == [4]
    assert found(backend, "state:blocked") == [3, 2]
    backend.dequeue(worker)
    backend.enqueue("foo", rate=["api", 1, 60])
    backend.enqueue("foo", rate=["api", 1, 60], delay=60)
    backend.finish_job(running, 0, None)

    assert found(backend, "state:ready") == [3, 2]
    assert found(backend, "state:blocked") == [5]
    assert found(backend, "state:delayed") == [6]


def test_a_job_that_waits_for_the_one_that_runs_with_its_key_is_blocked(backend: Backend) -> None:
    worker = backend.register_worker()
    for _ in range(2):
        backend.enqueue("foo", unique="key", unique_while="waiting")
        backend.dequeue(worker)

    assert found(backend, "state:blocked") == [2]
