"""Enqueuing through a spool: the handle it returns, and who is told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from spoolq import Job, Spool, Worker
from spoolq.errors import InvalidType, InvalidValue
from tests.support import info


def test_enqueue_returns_a_handle_of_the_stored_job(spool: Spool) -> None:
    job = spool.enqueue("mail", ("ada", 7), {"lang": "de"}, priority=5, queue="post")
    assert (job.task, job.args, job.kwargs, job.retries) == ("mail", ["ada", 7], {"lang": "de"}, 0)
    info = job.info()
    assert info is not None
    assert (info.id, info.task, info.args, info.kwargs) == (job.id, "mail", job.args, job.kwargs)
    assert (info.priority, info.queue, info.state) == (5, "post", "inactive")


def test_durations_may_be_timedeltas(spool: Spool) -> None:
    info = spool.enqueue("foo", delay=timedelta(minutes=1), expire=timedelta(hours=1)).info()
    assert info is not None
    assert info.delayed - info.created == 60
    assert info.expires == info.created + 3600


def test_a_handle_is_an_id_wherever_one_is_taken(spool: Spool) -> None:
    parent = spool.enqueue("foo")
    child = spool.enqueue("bar", parents=[parent])
    assert [job.id for job in child.parents()] == [parent.id]
    again = spool.job(parent)
    assert again is not None
    assert again.id == parent.id


def test_what_is_no_json_is_refused_at_the_call(spool: Spool) -> None:
    with pytest.raises(InvalidType):
        spool.enqueue("foo", [object()])
    assert list(spool.jobs()) == []


@pytest.mark.minion(29)
def test_the_enqueue_event_fires_once_with_the_id_of_the_stored_job(spool: Spool) -> None:
    seen: list[tuple[Spool, int, Job | None]] = []
    spool.on("enqueue", lambda spool, job_id: seen.append((spool, job_id, spool.job(job_id))))
    job = spool.enqueue("foo")
    assert [(who, job_id) for who, job_id, _ in seen] == [(spool, job.id)]
    assert seen[0][2] is not None


@pytest.mark.minion(29)
def test_the_enqueue_event_fires_for_each_job_of_a_batch(spool: Spool) -> None:
    seen: list[int] = []
    spool.on("enqueue", lambda _, job_id: seen.append(job_id))
    ids = spool.enqueue_many(["foo", ("bar", [1])], queue="images")
    assert seen == ids
    assert {info.queue for info in spool.jobs()} == {"images"}


def test_a_refused_enqueue_fires_no_event(spool: Spool) -> None:
    seen: list[int] = []
    spool.on("enqueue", lambda _, job_id: seen.append(job_id))
    with pytest.raises(InvalidValue):
        spool.enqueue("")
    assert seen == []


def test_an_event_that_does_not_exist_is_an_error(spool: Spool) -> None:
    with pytest.raises(InvalidValue, match="enqueue_from_schedule, worker"):
        spool.on("enqueued", print)


@pytest.mark.minion(3)
def test_a_job_that_was_never_issued_has_no_handle(spool: Spool) -> None:
    assert spool.job(12345) is None


@pytest.mark.minion(30)
def test_looking_at_a_job_keeps_nobody_from_taking_it(spool: Spool, worker: Worker) -> None:
    job = spool.enqueue("foo")
    before = job.info()
    assert spool.job(job.id) is not None
    assert job.info() == before
    claimed = worker.dequeue(0, tasks=["foo"])
    assert claimed is not None
    assert claimed.id == job.id


@pytest.mark.minion(32)
def test_two_identical_enqueues_make_two_jobs(spool: Spool) -> None:
    first, second = spool.enqueue("foo", [1]), spool.enqueue("foo", [1])
    assert first.id != second.id
    assert len(list(spool.jobs())) == 2


def test_a_batch_is_a_list_of_jobs_and_has_the_options_there_are(spool: Spool) -> None:
    with pytest.raises(InvalidType, match="jobs is a list"):
        spool.enqueue_many("foo")  # not three jobs, f, o and o
    with pytest.raises(InvalidType, match="no option 'dealy'"):
        spool.enqueue_many(["foo"], dealy=5)  # type: ignore[call-arg]  # the point
    with pytest.raises(InvalidType, match="cannot be unique"):
        spool.enqueue_many(["foo"], unique="key")  # type: ignore[call-arg]  # the point
    assert spool.jobs().total == 0


def test_a_batch_of_calls_has_the_options_of_their_task(spool: Spool) -> None:
    @spool.task(queue="mail", attempts=5, concurrency=("smtp", 2))
    def send(user: int) -> None: ...

    ids = spool.enqueue_many([send.make(user) for user in range(3)], priority=4)

    for id_ in ids:
        job = info(spool.backend, id_)
        assert (job.queue, job.attempts, job.priority) == ("mail", 5, 4)
        assert job.limits == [["concurrency", "smtp", 2, None]]
    [other] = spool.enqueue_many([send.make(9)], queue="other")
    assert info(spool.backend, other).queue == "other"


def test_calls_that_cannot_share_their_options_are_no_batch(spool: Spool) -> None:
    @spool.task(queue="mail", concurrency=("tenant:{tenant}", 2))
    def send(tenant: int) -> None: ...

    @spool.task
    def count() -> None: ...

    spool.enqueue_many([send.make(1), send.make(1)])
    with pytest.raises(InvalidValue, match="'send' and 'send' differ in 'concurrency'"):
        spool.enqueue_many([send.make(1), send.make(2)])
    with pytest.raises(InvalidValue, match="'count' and 'send' differ in 'queue'"):
        spool.enqueue_many([count.make(), send.make(2)])
    with pytest.raises(InvalidValue, match="'foo' and 'send' differ in 'queue'"):
        spool.enqueue_many(["foo", send.make(2)])
    assert spool.jobs().total == 2


def test_calls_of_a_unique_task_are_no_batch(spool: Spool) -> None:
    @spool.task(unique=True)
    def sync(tenant: int) -> None: ...

    with pytest.raises(InvalidType, match="cannot be unique"):
        spool.enqueue_many([sync.make(1)])
    spool.enqueue_many([sync.using(unique=None).make(1)])
