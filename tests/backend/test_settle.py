"""How an attempt ends: once, by whoever holds its number [68-87]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.errors import InvalidType, InvalidValue
from spoolq.model import JobInfo
from tests.support import FakeClock, claim, drain, failed_job, finished_job, info, job_in

RESULTS: list[Any] = [
    0,
    False,
    "",
    [],
    {},
    "grün 🦀 \0",
    1.5,
    12345678901234567890,
    [1, [2, {"three": [None, 4]}]],
    {"a": {"b": {"c": None}}},
]


@pytest.fixture
def running(backend: Backend, worker: int) -> int:
    """The id of a job that is in its first attempt."""
    return job_in("active", backend, worker)


def settled(job: JobInfo) -> tuple[str, Any]:
    return job.state, job.result


@pytest.mark.minion(68)
def test_finish_stores_the_result_and_the_time(
    backend: Backend, running: int, clock: FakeClock
) -> None:
    clock.advance(5)

    assert backend.finish_job(running, 0, {"just": "works"})

    job = info(backend, running)
    assert settled(job) == ("finished", {"just": "works"})
    assert job.finished == pytest.approx(clock.wall())


@pytest.mark.minion(69)
def test_fail_stores_the_error_and_the_time(
    backend: Backend, running: int, clock: FakeClock
) -> None:
    clock.advance(5)

    assert backend.fail_job(running, 0, ["it", "broke"])

    job = info(backend, running)
    assert settled(job) == ("failed", ["it", "broke"])
    assert job.finished == pytest.approx(clock.wall())


@pytest.mark.minion(70)
def test_a_failure_without_a_reason_is_an_unknown_error(backend: Backend, worker: int) -> None:
    first, second = backend.enqueue("foo"), backend.enqueue("foo")
    drain(backend, worker)

    assert backend.fail_job(first, 0)
    assert backend.fail_job(second, 0, None)

    assert info(backend, first).result == info(backend, second).result == "Unknown error"


@pytest.mark.minion(71)
def test_a_finish_without_a_result_stores_null(backend: Backend, running: int) -> None:
    assert backend.finish_job(running, 0)

    assert settled(info(backend, running)) == ("finished", None)


@pytest.mark.minion(72)
@pytest.mark.parametrize("result", RESULTS, ids=repr)
def test_results_are_stored_as_given(backend: Backend, worker: int, result: Any) -> None:
    good, bad = backend.enqueue("foo"), backend.enqueue("foo")
    drain(backend, worker)

    assert backend.finish_job(good, 0, result)
    assert backend.fail_job(bad, 0, result)

    assert settled(info(backend, good)) == ("finished", result)
    assert settled(info(backend, bad)) == ("failed", result)
    assert type(info(backend, good).result) is type(result)


@pytest.mark.minion(72)
def test_a_large_result_is_stored_whole(backend: Backend, running: int) -> None:
    assert backend.finish_job(running, 0, "x" * 300_000)

    assert info(backend, running).result == "x" * 300_000


def test_a_result_of_tuples_is_one_of_lists(backend: Backend, running: int) -> None:
    assert backend.finish_job(running, 0, (1, (2,)))

    assert info(backend, running).result == [1, [2]]


@pytest.mark.minion(85)
@pytest.mark.parametrize(
    ("result", "error"),
    [
        ([b"bytes"], InvalidType),
        ({1: 2}, InvalidType),
        (float("nan"), InvalidValue),
        ([float("inf")], InvalidValue),
    ],
    ids=repr,
)
def test_a_result_that_json_cannot_carry_is_refused_and_the_job_stays_active(
    backend: Backend, running: int, result: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        backend.finish_job(running, 0, result)
    with pytest.raises(error):
        backend.fail_job(running, 0, result)
    with pytest.raises(error):
        backend.finish_jobs([(running, 0, "good"), (running, 0, result)])

    assert settled(info(backend, running)) == ("active", None)


@pytest.mark.minion(73)
def test_a_failed_attempt_cannot_finish(backend: Backend, running: int) -> None:
    backend.fail_job(running, 0, "broken")

    assert not backend.finish_job(running, 0, "fine")

    assert settled(info(backend, running)) == ("failed", "broken")


@pytest.mark.minion(74)
def test_a_second_finish_does_not_overwrite_the_first(
    backend: Backend, running: int, clock: FakeClock
) -> None:
    backend.finish_job(running, 0, "first")
    before = info(backend, running)
    clock.advance(5)

    assert not backend.finish_job(running, 0, "second")

    assert settled(info(backend, running)) == ("finished", "first")
    assert info(backend, running).finished == before.finished


@pytest.mark.minion(75)
def test_a_job_that_is_not_active_cannot_end(backend: Backend) -> None:
    job_id = backend.enqueue("foo")
    before = info(backend, job_id)

    assert not backend.finish_job(job_id, 0)
    assert not backend.fail_job(job_id, 0)

    assert info(backend, job_id) == before


def test_a_job_that_is_not_there_cannot_end(backend: Backend) -> None:
    assert not backend.finish_job(4711, 0)
    assert not backend.fail_job(4711, 0)


@pytest.mark.minion(76)
def test_a_second_failure_changes_nothing(backend: Backend, running: int) -> None:
    assert backend.fail_job(running, 0, "first")

    assert not backend.fail_job(running, 0, "second")

    assert settled(info(backend, running)) == ("failed", "first")


@pytest.mark.minion(77)
def test_whoever_knows_the_attempt_may_end_it(backend: Backend, running: int) -> None:
    seen = info(backend, running)

    assert backend.finish_job(seen.id, seen.retries, "by somebody else")

    assert not backend.finish_job(running, 0, "by the worker")
    assert settled(info(backend, running)) == ("finished", "by somebody else")


@pytest.mark.minion(78)
def test_only_the_present_attempt_can_end(backend: Backend, worker: int, running: int) -> None:
    backend.retry_job(running, 0)
    claim(backend, worker)

    assert not backend.finish_job(running, 0, "late")
    assert not backend.fail_job(running, 0, "late")
    assert backend.finish_job(running, 1, "present")

    assert settled(info(backend, running)) == ("finished", "present")


def test_an_attempt_that_is_still_to_come_cannot_end(backend: Backend, running: int) -> None:
    assert not backend.finish_job(running, 1)
    assert not backend.fail_job(running, 1)

    assert info(backend, running).state == "active"


@pytest.mark.minion(86)
def test_nothing_has_finished_before_the_first_end(backend: Backend, running: int) -> None:
    assert info(backend, running).finished is None
    backend.retry_job(running, 0)
    assert info(backend, running).finished is None


@pytest.mark.minion(87)
def test_finishing_leaves_everything_else_alone(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", attempts=5, notes={"a": 1}, priority=3, lax=True)
    claim(backend, worker)
    before = info(backend, job_id)
    clock.advance(5)

    backend.finish_job(job_id, 0, "done")

    after = info(backend, job_id)
    for field in ("attempts", "retries", "delayed", "worker", "started", "created", "retried"):
        assert getattr(after, field) == getattr(before, field), field
    for field in ("notes", "priority", "lax", "args", "task", "queue", "parents"):
        assert getattr(after, field) == getattr(before, field), field


def test_the_exit_status_is_kept_beside_the_result(backend: Backend, worker: int) -> None:
    good, bad = backend.enqueue("foo"), backend.enqueue("foo")
    drain(backend, worker)

    backend.finish_job(good, 0, "done", exit={"code": 0})
    backend.fail_job(bad, 0, "broken", exit={"code": 3, "signal": None})

    assert info(backend, good).exit == {"code": 0}
    assert info(backend, bad).exit == {"code": 3, "signal": None}


def test_every_attempt_is_remembered(backend: Backend, worker: int, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo")
    claim(backend, worker)
    backend.fail_job(job_id, 0, {"type": "OSError", "message": "no\nroute"}, exit={"code": 1})
    backend.retry_job(job_id, 0)
    clock.advance(7)
    claim(backend, worker)

    backend.finish_job(job_id, 1, "done")

    first, second = info(backend, job_id).history
    assert (first["retries"], first["state"], first["error"]) == (0, "failed", "no")
    assert (first["exit"], first["worker"]) == ({"code": 1}, worker)
    assert (second["retries"], second["state"], second["worker"]) == (1, "finished", worker)
    assert second["started"] == second["finished"] == pytest.approx(clock.wall())


def test_the_memory_of_attempts_is_bounded_and_keeps_the_first(
    backend: Backend, worker: int
) -> None:
    job_id = backend.enqueue("foo")

    for attempt in range(40):
        claim(backend, worker)
        backend.fail_job(job_id, attempt)
        backend.retry_job(job_id, attempt)

    remembered = [entry["retries"] for entry in info(backend, job_id).history]
    assert remembered[0] == 0
    assert remembered[1:] == list(range(40 - len(remembered) + 1, 40))
    assert len(remembered) < 30


# -- several at once -----------------------------------------------------------------------------


def test_outcomes_settled_together_are_answered_one_by_one(backend: Backend, worker: int) -> None:
    ids = [backend.enqueue("foo") for _ in range(4)]
    assert drain(backend, worker) == ids
    backend.retry_job(ids[1], 0, delay=60)

    answers = backend.finish_jobs(
        [(ids[0], 0, "a"), (ids[1], 0, "b"), (str(ids[2]), 0, None), (ids[3], 1, "d"), (99, 0, 0)]
    )

    assert answers == [True, False, True, False, False]
    assert settled(info(backend, ids[0])) == ("finished", "a")
    assert settled(info(backend, ids[1])) == ("inactive", None)
    assert settled(info(backend, ids[2])) == ("finished", None)
    assert settled(info(backend, ids[3])) == ("active", None)


def test_an_attempt_named_twice_ends_once(backend: Backend, running: int) -> None:
    assert backend.finish_jobs([(running, 0, "first"), (running, 0, "second")]) == [True, False]

    assert settled(info(backend, running)) == ("finished", "first")


def test_no_outcomes_are_settled_at_once(backend: Backend) -> None:
    assert backend.finish_jobs([]) == []


def test_outcomes_settled_together_release_their_children(backend: Backend, worker: int) -> None:
    parents = [backend.enqueue("foo"), backend.enqueue("foo")]
    child = backend.enqueue("bar", parents=parents)
    drain(backend, worker)

    assert backend.finish_jobs([(parent, 0, None) for parent in parents]) == [True, True]

    assert drain(backend, worker) == [child]


BY_ID: dict[str, Callable[[Backend, Any], object]] = {
    "finish": lambda backend, job: backend.finish_job(job, 0),
    "fail": lambda backend, job: backend.fail_job(job, 0),
    "retry": lambda backend, job: backend.retry_job(job, 0),
    "remove": lambda backend, job: backend.remove_job(job),
    "note": lambda backend, job: backend.note(job, {}),
}
by_id = pytest.mark.parametrize("call", BY_ID.values(), ids=list(BY_ID))


@by_id
@pytest.mark.parametrize("id", ["abc", "", "1.5", "-"])
def test_an_id_that_is_no_number_is_refused(
    backend: Backend, call: Callable[[Backend, Any], object], id: str
) -> None:
    with pytest.raises(InvalidValue):
        call(backend, id)


@by_id
@pytest.mark.parametrize("id", [None, 1.5, True, [1]], ids=repr)
def test_an_id_of_the_wrong_type_is_refused(
    backend: Backend, call: Callable[[Backend, Any], object], id: Any
) -> None:
    with pytest.raises(InvalidType):
        call(backend, id)


def test_jobs_do_not_disturb_each_other(backend: Backend, worker: int) -> None:
    finished, failed = finished_job(backend, worker), failed_job(backend, worker)
    active, inactive = job_in("active", backend, worker), backend.enqueue("foo")

    states = [info(backend, job_id).state for job_id in (finished, failed, active, inactive)]

    assert states == ["finished", "failed", "active", "inactive"]
