"""Which job comes next, for whom, and how long it is waited for [33-67]."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.clock import SystemClock
from spoolq.errors import InvalidType, InvalidValue
from tests.conftest import MakeBackend
from tests.support import FakeClock, claim, drain, info

AT_ONCE = 3.0  # seconds; well below the 8 s that the waits below would otherwise last
LONG = 8.0


def soon(act: Callable[[], Any]) -> None:
    """Let another thread act while this one waits."""
    timer = threading.Timer(0.1, act)
    timer.daemon = True
    timer.start()


@pytest.fixture
def live(make_backend: MakeBackend) -> Backend:
    """A backend in real time, for tests that wait."""
    return make_backend(clock=SystemClock())


@pytest.mark.minion(33)
def test_a_worker_that_is_not_registered_gets_nothing(backend: Backend) -> None:
    job_id = backend.enqueue("foo")

    assert backend.dequeue(4711) is None

    assert info(backend, job_id).state == "inactive"


@pytest.mark.minion(33)
def test_a_worker_that_has_unregistered_gets_nothing(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo")
    backend.unregister_worker(worker)

    assert backend.dequeue(worker) is None

    assert info(backend, job_id).state == "inactive"


@pytest.mark.minion(34)
def test_a_claimed_job_is_active_with_its_worker_and_its_start(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo")
    clock.advance(5)

    claim(backend, worker)

    job = info(backend, job_id)
    assert (job.state, job.worker) == ("active", worker)
    assert job.started == pytest.approx(clock.wall())


@pytest.mark.minion(35)
def test_claiming_does_not_count_as_a_retry(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo")
    assert claim(backend, worker)["retries"] == 0
    assert info(backend, job_id).retries == 0

    backend.retry_job(job_id, 0)

    assert claim(backend, worker)["retries"] == 1
    assert info(backend, job_id).retries == 1


@pytest.mark.minion(36)
def test_a_job_that_ran_before_keeps_its_old_result_while_it_is_active(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo")
    claim(backend, worker)
    backend.finish_job(job_id, 0, "old")
    ended = info(backend, job_id).finished
    clock.advance(5)
    backend.retry_job(job_id, 0)

    claim(backend, worker)

    job = info(backend, job_id)
    assert (job.state, job.result, job.finished) == ("active", "old", ended)


@pytest.mark.minion(37)
def test_a_claim_carries_what_is_needed_to_perform_it_and_no_more(
    backend: Backend, worker: int
) -> None:
    job_id = backend.enqueue("foo", [1], {"two": 3}, notes={"four": 5})

    assert claim(backend, worker) == {
        "id": job_id,
        "task": "foo",
        "args": [1],
        "kwargs": {"two": 3},
        "retries": 0,
        "queue": "default",
        "timeout": None,
        "attempts": 1,
        "parents": [],
        "label": None,
    }


@pytest.mark.minion(38, 39)
def test_the_highest_priority_comes_first_then_the_lowest_id(backend: Backend, worker: int) -> None:
    ids = [backend.enqueue("foo", priority=priority) for priority in (0, 5, 5, -3, 0)]

    assert drain(backend, worker) == [ids[at] for at in (1, 2, 0, 4, 3)]


def test_a_claim_says_all_that_its_performer_has_to_know(backend: Backend, worker: int) -> None:
    parent = backend.enqueue("gone")
    backend.remove_job(parent)
    options: dict[str, Any] = {"attempts": 3, "parents": [parent], "notes": {"label": "nightly"}}
    job_id = backend.enqueue("resize", ["a.jpg"], {"width": 9}, timeout=60, **options)

    assert claim(backend, worker) == {
        "id": job_id,
        "task": "resize",
        "args": ["a.jpg"],
        "kwargs": {"width": 9},
        "retries": 0,
        "queue": "default",
        "timeout": 60,
        "attempts": 3,
        "parents": [parent],
        "label": "nightly",
    }


def test_a_label_that_is_no_text_is_none(backend: Backend, worker: int) -> None:
    backend.enqueue("resize", notes={"label": {"en": "nightly"}})

    assert claim(backend, worker)["label"] is None


def test_extreme_priorities_are_in_order_too(backend: Backend, worker: int) -> None:
    priorities = [-1, 2**62, 9, 10, -10, -9, 100_000, -(2**62), 0, 1]
    ids = {priority: backend.enqueue("foo", priority=priority) for priority in priorities}

    assert drain(backend, worker) == [ids[key] for key in sorted(priorities, reverse=True)]


def test_many_jobs_come_out_in_the_order_of_their_ids(backend: Backend, worker: int) -> None:
    ids = [backend.enqueue("foo") for _ in range(120)]

    assert drain(backend, worker) == ids


@pytest.mark.minion(40)
def test_a_retried_older_job_comes_before_newer_ones(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    old = backend.enqueue("foo")
    claim(backend, worker)
    backend.fail_job(old, 0)
    newer = [backend.enqueue("foo") for _ in range(3)]
    clock.advance(60)

    backend.retry_job(old, 0)

    assert drain(backend, worker) == [old, *newer]


@pytest.mark.minion(40)
def test_a_job_that_was_delayed_takes_the_place_of_its_id(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    late = backend.enqueue("foo", delay=60)
    earlier = backend.enqueue("foo", delay=30)
    ready = backend.enqueue("foo")

    clock.advance(60)

    assert drain(backend, worker) == [late, earlier, ready]


@pytest.mark.minion(40)
def test_a_retried_older_job_is_found_by_a_worker_that_is_in_the_middle_of_the_queue(
    backend: Backend, worker: int
) -> None:
    ids = [backend.enqueue("foo") for _ in range(5)]
    assert claim(backend, worker)["id"] == ids[0]
    assert claim(backend, worker)["id"] == ids[1]

    backend.retry_job(ids[0], 0)

    assert drain(backend, worker) == [ids[0], *ids[2:]]


def test_an_urgent_job_is_found_by_a_worker_that_is_in_the_middle_of_the_queue(
    backend: Backend, worker: int
) -> None:
    ids = [backend.enqueue("foo") for _ in range(3)]
    assert claim(backend, worker)["id"] == ids[0]

    urgent = backend.enqueue("foo", priority=1)

    assert drain(backend, worker) == [urgent, *ids[1:]]


@pytest.mark.minion(41)
def test_a_retry_can_raise_and_lower_the_priority(backend: Backend, worker: int) -> None:
    first, second = backend.enqueue("foo"), backend.enqueue("foo")
    backend.retry_job(second, 0, priority=100)
    assert claim(backend, worker)["id"] == second

    backend.retry_job(second, 1, priority=0)

    assert drain(backend, worker) == [first, second]


@pytest.mark.minion(42)
def test_only_the_default_queue_is_looked_at_unless_others_are_named(
    backend: Backend, worker: int
) -> None:
    elsewhere = backend.enqueue("foo", queue="test1")

    assert backend.dequeue(worker) is None
    assert drain(backend, worker, queues=["test1"]) == [elsewhere]


@pytest.mark.minion(43)
def test_the_order_over_several_queues_is_that_of_one(backend: Backend, worker: int) -> None:
    first = backend.enqueue("foo", queue="test2")
    second = backend.enqueue("foo")
    urgent = backend.enqueue("foo", queue="test2", priority=1)
    backend.enqueue("foo", queue="test3")

    assert drain(backend, worker, queues=["default", "test2"]) == [urgent, first, second]


@pytest.mark.minion(44)
def test_an_empty_list_of_queues_or_tasks_finds_nothing(backend: Backend, worker: int) -> None:
    backend.enqueue("foo")

    assert backend.dequeue(worker, queues=[]) is None
    assert backend.dequeue(worker, tasks=[]) is None


def test_without_a_list_of_tasks_any_task_is_handed_out(backend: Backend, worker: int) -> None:
    ids = [backend.enqueue("foo"), backend.enqueue("bar")]

    assert drain(backend, worker) == ids


@pytest.mark.minion(46)
def test_other_tasks_are_skipped(backend: Backend, worker: int) -> None:
    backend.enqueue("foo")
    oldest = backend.enqueue("bar")
    backend.enqueue("bar")

    assert claim(backend, worker, tasks=["bar", "baz"])["id"] == oldest


def test_a_rare_task_is_found_behind_many_others(backend: Backend, worker: int) -> None:
    for _ in range(100):
        backend.enqueue("foo", priority=1)
    rare = backend.enqueue("bar")

    assert drain(backend, worker, tasks=["bar"]) == [rare]


@pytest.mark.minion(48)
def test_the_least_priority_is_included(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", priority=2)

    assert backend.dequeue(worker, min_priority=5) is None
    assert backend.dequeue(worker, min_priority=3) is None
    assert drain(backend, worker, min_priority=2) == [job_id]


@pytest.mark.minion(49)
def test_the_least_priority_may_be_negative(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo", priority=-2)

    assert backend.dequeue(worker, min_priority=0) is None
    assert drain(backend, worker, min_priority=-10) == [job_id]


@pytest.mark.minion(50)
def test_a_job_asked_for_by_id_must_still_be_ready(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    blocker = backend.enqueue("foo", priority=-1)
    elsewhere = backend.enqueue("foo", queue="other")
    delayed = backend.enqueue("foo", delay=60)
    waiting = backend.enqueue("foo", parents=[blocker])
    expired = backend.enqueue("foo", expire=0)
    other_task = backend.enqueue("bar")
    running = claim(backend, worker, id=backend.enqueue("foo"))["id"]

    for job_id in (elsewhere, delayed, waiting, expired, other_task, running, 4711):
        assert backend.dequeue(worker, id=job_id, tasks=["foo"]) is None
    assert backend.dequeue(worker, id=blocker, min_priority=0) is None

    assert claim(backend, worker, id=elsewhere, queues=["other"])["id"] == elsewhere
    clock.advance(60)
    assert claim(backend, worker, id=delayed)["id"] == delayed


@pytest.mark.minion(51)
def test_a_job_asked_for_by_id_does_not_wait_for_more_urgent_ones(
    backend: Backend, worker: int
) -> None:
    calm = backend.enqueue("foo")
    urgent = backend.enqueue("foo", priority=100)

    assert claim(backend, worker, id=calm)["id"] == calm
    assert drain(backend, worker) == [urgent]


@pytest.mark.minion(52)
def test_a_job_is_ready_from_the_very_moment_it_is_due(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", delay=100)
    clock.advance(99)
    assert backend.dequeue(worker) is None

    clock.advance(1)

    assert drain(backend, worker) == [job_id]


@pytest.mark.minion(52)
def test_a_job_may_be_overdue_for_long(backend: Backend, worker: int, clock: FakeClock) -> None:
    job_id = backend.enqueue("foo", delay=100)

    clock.advance(40 * 86_400)
    backend.register_worker(worker)

    assert drain(backend, worker) == [job_id]


def test_the_more_urgent_of_two_delayed_jobs_comes_first(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    calm = backend.enqueue("foo", delay=10)
    urgent = backend.enqueue("foo", delay=20, priority=1)
    clock.advance(20)

    assert drain(backend, worker) == [urgent, calm]


@pytest.mark.minion(53)
def test_an_expired_job_is_never_handed_out(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    backend.enqueue("foo", expire=10)
    kept = backend.enqueue("foo", expire=11)

    clock.advance(10)

    assert drain(backend, worker) == [kept]


@pytest.mark.minion(55)
def test_several_threads_drain_a_queue_without_waiting_for_each_other(backend: Backend) -> None:
    ids = [backend.enqueue("foo") for _ in range(60)]
    workers = [backend.register_worker() for _ in range(3)]

    with ThreadPoolExecutor() as pool:
        taken = list(pool.map(lambda worker: drain(backend, worker), workers))

    assert sorted(chain.from_iterable(taken)) == ids


@pytest.mark.parametrize(
    "options",
    [
        {"queues": "default"},
        {"tasks": "foo"},
        {"queues": [5]},
        {"tasks": [None]},
        {"min_priority": "high"},
        {"min_priority": 0.5},
        {"id": 1.5},
        {"wait": "long"},
    ],
    ids=repr,
)
def test_a_wrong_type_is_refused(backend: Backend, worker: int, options: dict[str, Any]) -> None:
    job_id = backend.enqueue("foo")

    with pytest.raises(InvalidType):
        backend.dequeue(worker, **options)

    assert info(backend, job_id).state == "inactive"


def test_an_id_that_is_no_number_is_refused(backend: Backend, worker: int) -> None:
    with pytest.raises(InvalidValue):
        backend.dequeue(worker, id="abc")


# -- waiting -------------------------------------------------------------------------------------


@pytest.mark.minion(56)
def test_without_a_wait_an_empty_queue_answers_at_once(live: Backend) -> None:
    worker = live.register_worker()
    began = time.monotonic()

    assert live.dequeue(worker, 0) is None

    assert time.monotonic() - began < 0.5


@pytest.mark.minion(57, 66)
def test_a_wait_on_an_empty_queue_lasts_as_long_as_was_said(live: Backend) -> None:
    worker = live.register_worker()
    began = time.monotonic()

    assert live.dequeue(worker, 0.3) is None

    assert 0.29 < time.monotonic() - began < AT_ONCE


@pytest.mark.minion(57)
def test_a_wait_is_measured_by_the_clock_of_the_backend(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    began = clock.elapsed()

    assert backend.dequeue(worker, 5) is None

    assert clock.elapsed() - began == pytest.approx(5, abs=1)


def test_a_job_that_is_there_is_not_waited_for(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo")

    assert claim(backend, worker, wait=LONG)["id"] == job_id


@pytest.mark.minion(58)
def test_an_enqueue_ends_a_wait(live: Backend) -> None:
    worker = live.register_worker()
    began = time.monotonic()
    soon(lambda: live.enqueue("foo"))

    assert claim(live, worker, wait=LONG)["task"] == "foo"

    assert 0.05 < time.monotonic() - began < AT_ONCE


@pytest.mark.minion(58)
def test_a_batch_ends_a_wait(live: Backend) -> None:
    worker = live.register_worker()
    began = time.monotonic()
    soon(lambda: live.enqueue_many(["foo", "bar"], queue="new"))

    assert claim(live, worker, wait=LONG, queues=["new"])["task"] == "foo"

    assert time.monotonic() - began < AT_ONCE


@pytest.mark.minion(59)
def test_a_retry_ends_a_wait(live: Backend) -> None:
    worker = live.register_worker()
    job_id = live.enqueue("foo")
    claim(live, worker)
    live.fail_job(job_id, 0)
    began = time.monotonic()
    soon(lambda: live.retry_job(job_id, 0))

    assert claim(live, worker, wait=LONG)["retries"] == 1

    assert time.monotonic() - began < AT_ONCE


@pytest.mark.minion(60, 64)
def test_a_wait_goes_on_after_a_job_for_somebody_else(live: Backend) -> None:
    worker = live.register_worker()
    began = time.monotonic()
    soon(lambda: live.enqueue("foo", queue="elsewhere"))

    assert live.dequeue(worker, 0.5) is None

    assert time.monotonic() - began > 0.49


@pytest.mark.minion(60, 64)
def test_a_wait_looks_as_often_as_it_takes(live: Backend) -> None:
    worker = live.register_worker()

    def act() -> None:
        live.enqueue("bar")
        soon(lambda: live.enqueue("foo"))

    began = time.monotonic()
    soon(act)

    assert claim(live, worker, wait=LONG, tasks=["foo"])["task"] == "foo"

    assert time.monotonic() - began < AT_ONCE


@pytest.mark.minion(61)
def test_a_finished_parent_ends_the_wait_for_its_child(live: Backend) -> None:
    worker = live.register_worker()
    parent = live.enqueue("foo")
    child = live.enqueue("bar", parents=[parent])
    claim(live, worker)
    began = time.monotonic()
    soon(lambda: live.finish_job(parent, 0))

    assert claim(live, worker, wait=LONG)["id"] == child

    assert time.monotonic() - began < AT_ONCE


@pytest.mark.minion(62)
def test_a_delay_that_runs_out_ends_a_wait(live: Backend) -> None:
    worker = live.register_worker()
    job_id = live.enqueue("foo", delay=0.3)
    began = time.monotonic()

    assert claim(live, worker, wait=LONG)["id"] == job_id

    assert 0.2 < time.monotonic() - began < AT_ONCE


@pytest.mark.minion(63)
def test_a_removed_parent_ends_the_wait_for_its_child(live: Backend) -> None:
    worker = live.register_worker()
    parent = live.enqueue("foo", queue="elsewhere")
    child = live.enqueue("bar", parents=[parent])
    began = time.monotonic()
    soon(lambda: live.remove_job(parent))

    assert claim(live, worker, wait=LONG)["id"] == child

    assert time.monotonic() - began < AT_ONCE


@pytest.mark.minion(67)
def test_a_worker_lists_the_jobs_it_performs(backend: Backend, worker: int) -> None:
    def performs() -> list[int]:
        jobs: list[int] = backend.list_workers(ids=[worker]).rows[0].jobs
        return sorted(jobs)

    first, second = backend.enqueue("foo"), backend.enqueue("foo")
    assert performs() == []
    assert drain(backend, worker) == [first, second]
    assert performs() == [first, second]

    backend.finish_job(first, 0)
    assert performs() == [second]
    backend.retry_job(second, 0, delay=60)
    assert performs() == []
