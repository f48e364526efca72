"""A handle: looking at its job, and ending it."""

from __future__ import annotations

import pytest

from spoolq import Job, Spool, Worker
from spoolq.errors import InvalidType, InvalidValue
from tests.client.world import claim, info


def test_a_handle_is_as_it_was_when_it_was_made(spool: Spool) -> None:
    job = claim(spool, "foo", 1)
    assert job.retry(priority=7)
    assert (job.retries, job.args) == (0, [1])
    again = spool.job(job)
    assert again is not None
    assert (again.retries, again.args) == (1, [1])


@pytest.mark.minion(68, 313)
def test_finish_stores_the_result_and_fires_finished_with_it(spool: Spool) -> None:
    job, seen = claim(spool, "foo"), []
    job.on("finished", lambda job, result: seen.append((job.id, result)))
    assert job.finish({"a": [1]})
    assert (info(job).state, info(job).result) == ("finished", {"a": [1]})
    assert seen == [(job.id, {"a": [1]})]


@pytest.mark.minion(71)
def test_finish_without_a_result_stores_none(spool: Spool) -> None:
    job = claim(spool, "foo")
    assert job.finish()
    assert info(job).result is None


@pytest.mark.minion(69, 313)
def test_fail_stores_the_error_and_fires_failed_with_it(spool: Spool) -> None:
    job, seen = claim(spool, "foo"), []
    job.on("failed", lambda job, error: seen.append((job.id, error)))
    assert job.fail("broken")
    assert (info(job).state, info(job).result) == ("failed", "broken")
    assert seen == [(job.id, "broken")]


@pytest.mark.minion(70)
@pytest.mark.parametrize("arguments", [[], [None]])
def test_fail_without_an_error_says_so(spool: Spool, arguments: list[None]) -> None:
    job, seen = claim(spool, "foo"), []
    job.on("failed", lambda _, error: seen.append(error))
    assert job.fail(*arguments)
    assert info(job).result == "Unknown error"
    assert seen == ["Unknown error"]


def test_an_exception_given_to_fail_is_described(spool: Spool) -> None:
    job = claim(spool, "foo")
    assert job.fail(ValueError("no such thing"))
    result = info(job).result
    assert (result["type"], result["message"]) == ("ValueError", "no such thing")
    assert result["traceback"] == "ValueError: no such thing\n"


def test_an_exception_that_is_no_text_can_still_be_stored(spool: Spool) -> None:
    job = claim(spool, "foo")
    assert job.fail(OSError("cannot open \udcff"))
    assert info(job).result["message"] == "cannot open \\udcff"


@pytest.mark.minion(76, 314)
def test_only_the_first_fail_counts(spool: Spool) -> None:
    job, seen = claim(spool, "foo"), []
    job.on("failed", lambda _, error: seen.append(error))
    job.on("finished", lambda _, result: seen.append(result))
    assert job.fail("first")
    assert not job.fail("second")
    assert not job.finish("third")
    assert seen == ["first"]


@pytest.mark.minion(77)
def test_any_handle_of_the_attempt_can_end_it(spool: Spool) -> None:
    job = claim(spool, "foo")
    other = spool.job(job.id)
    assert other is not None
    assert other.finish("from elsewhere")
    assert not job.finish("too late")
    assert info(job).result == "from elsewhere"


@pytest.mark.minion(78)
def test_a_handle_of_an_earlier_attempt_changes_nothing(spool: Spool, worker: Worker) -> None:
    first = claim(spool, "foo")
    assert first.retry()
    second = worker.dequeue(0, tasks=["foo"])
    assert second is not None
    assert not first.finish("old")
    assert second.finish("new")


@pytest.mark.minion(214, 321)
def test_a_failure_made_by_repair_fires_no_event(spool: Spool) -> None:
    spool.enqueue("foo")
    worker = spool.worker().register()
    job = worker.dequeue(0, tasks=["foo"])
    assert job is not None
    seen: list[str] = []
    job.on("failed", lambda _, error: seen.append(error))
    worker.unregister()
    spool.repair()
    assert (info(job).state, info(job).result, seen) == ("failed", "Worker went away", [])


def test_a_failure_with_attempts_left_is_announced_and_the_job_goes_on(spool: Spool) -> None:
    job, seen = claim(spool, "foo", attempts=2), []
    job.on("failed", lambda _, error: seen.append(error))
    assert job.fail("first")
    assert (info(job).state, info(job).retries, seen) == ("inactive", 1, ["first"])


def test_a_result_that_is_no_json_is_refused_and_the_job_stays_active(spool: Spool) -> None:
    job = claim(spool, "foo")
    with pytest.raises(InvalidType):
        job.finish(object())
    assert info(job).state == "active"


def test_retry_replaces_what_is_given(spool: Spool) -> None:
    parent = spool.enqueue("foo")
    job = spool.enqueue("foo", priority=3, queue="a", lax=True)
    assert job.retry(attempts=4, expire=60, parents=[parent], delay=9)
    after = info(job)
    assert (after.attempts, after.parents, after.priority) == (4, [parent.id], 3)
    assert (after.queue, after.lax, after.delayed - after.time) == ("a", True, 9)
    assert not job.retry()


def test_remove_forgets_a_job_that_is_not_active(spool: Spool) -> None:
    job = claim(spool, "foo")
    assert not job.remove()
    assert job.finish()
    assert job.remove()
    assert not job.remove()
    assert job.info() is None


@pytest.mark.minion(155, 156, 159, 160)
def test_notes_are_given_as_a_mapping_or_by_name(spool: Spool) -> None:
    job = spool.enqueue("foo", notes={"old": 1})
    assert job.note({"with space": 1, "b": 2}, b=3, mapping=4)
    assert job.note(old=None, missing=None)
    assert job.note()
    assert info(job).notes == {"with space": 1, "b": 3, "mapping": 4}
    assert job.remove()
    assert not job.note(a=1)


@pytest.mark.minion(115)
def test_parents_that_were_removed_are_left_out(spool: Spool) -> None:
    parents = [spool.enqueue("foo") for _ in range(2)]
    child = spool.enqueue("bar", parents=parents)
    assert all(parent.remove() for parent in parents)
    assert child.parents() == []
    assert info(child).parents == [parent.id for parent in parents]


@pytest.mark.minion(143)
def test_parents_come_in_the_order_they_were_given(spool: Spool) -> None:
    first, second, third = (spool.enqueue("foo") for _ in range(3))
    child = spool.enqueue("bar", parents=[second, third, first])
    assert [job.id for job in child.parents()] == [second.id, third.id, first.id]


@pytest.mark.minion(25)
def test_parents_are_handles_as_often_as_they_were_given(spool: Spool) -> None:
    parent, removed = spool.enqueue("foo", [1]), spool.enqueue("foo")
    child = spool.enqueue("bar", parents=[parent, removed, parent.id, str(parent.id)])
    assert removed.remove()
    parents = child.parents()
    assert [(job.id, job.task, job.args) for job in parents] == [(parent.id, "foo", [1])] * 3
    assert parents[0].parents() == []


def test_a_job_that_is_gone_has_no_parents(spool: Spool) -> None:
    job = spool.enqueue("foo", parents=[1])
    assert job.remove()
    assert job.parents() == []


def test_nothing_happens_to_the_process_of_a_job_without_one(spool: Spool) -> None:
    job: Job = spool.enqueue("foo")
    assert job.pid is None
    assert not job.is_finished()
    job.stop()
    with pytest.raises(InvalidValue, match="unknown signal 'NOPE'"):
        job.kill("NOPE")
