"""What is said of queues: paused, closed, a limit, how many may wait."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.control import Control, Said
from spoolq.errors import InvalidType, InvalidValue, QueueClosed, QueueFull, SpoolError
from tests.support import ODD_NAMES, FakeClock, claim, drain, failed_job, info

# -- paused --------------------------------------------------------------------------------------


def test_nothing_is_claimed_from_a_paused_queue(backend: Backend, worker: int) -> None:
    job_id, other = backend.enqueue("foo"), backend.enqueue("foo", queue="other")

    assert backend.set_queue("default", paused=True)

    assert drain(backend, worker, queues=["default", "other"]) == [other]
    assert backend.dequeue(worker, id=job_id) is None
    assert info(backend, job_id).state == "inactive"


def test_a_queue_that_is_resumed_goes_on_in_its_order(backend: Backend, worker: int) -> None:
    ids = [backend.enqueue("foo") for _ in range(3)]
    claim(backend, worker)
    backend.set_queue("default", paused=True)
    assert drain(backend, worker) == []

    assert backend.set_queue("default", paused=False)

    assert drain(backend, worker) == ids[1:]


def test_what_runs_in_a_paused_queue_goes_on(backend: Backend, worker: int) -> None:
    job_id = backend.enqueue("foo")
    claim(backend, worker)
    backend.set_queue("default", paused=True)

    assert backend.finish_job(job_id, 0)


def test_a_paused_queue_takes_in_new_jobs(backend: Backend, worker: int) -> None:
    backend.set_queue("default", paused=True)
    job_id = backend.enqueue("foo")
    assert drain(backend, worker) == []

    backend.set_queue("default", paused=False)
    assert drain(backend, worker) == [job_id]


def test_a_queue_may_be_paused_before_its_first_job(backend: Backend, worker: int) -> None:
    assert backend.set_queue("new", paused=True)
    backend.enqueue("foo", queue="new")

    assert drain(backend, worker, queues=["new"]) == []


def test_who_paused_it_and_why_is_kept(backend: Backend, clock: FakeClock) -> None:
    backend.set_queue("default", paused=True, by="ann", why="disk swap")

    assert backend.controls() == {
        "default": Control(paused=Said("ann", "disk swap", clock.wall())),
    }


@pytest.mark.parametrize("thing", ["paused", "closed"])
def test_saying_what_is_so_already_changes_nothing(
    backend: Backend, clock: FakeClock, thing: str
) -> None:
    assert not backend.set_queue("default", **{thing: False})  # type: ignore[arg-type]
    assert backend.set_queue("default", **{thing: True})  # type: ignore[arg-type]
    clock.advance(5)
    assert not backend.set_queue("default", **{thing: True})  # type: ignore[arg-type]
    assert backend.set_queue("default", why="now I know", **{thing: True})  # type: ignore[arg-type]
    assert backend.set_queue("default", **{thing: False})  # type: ignore[arg-type]


def test_a_delay_that_runs_out_in_a_paused_queue_starts_nothing(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    job_id = backend.enqueue("foo", delay=10)
    backend.set_queue("default", paused=True)
    clock.advance(20)

    assert drain(backend, worker) == []
    backend.set_queue("default", paused=False)
    assert drain(backend, worker) == [job_id]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_queue_of_any_name_can_be_paused(backend: Backend, worker: int, name: str) -> None:
    backend.set_queue(name, paused=True)
    job_id = backend.enqueue("foo", queue=name)

    assert drain(backend, worker, queues=[name]) == []
    assert [*backend.controls()] == [name]
    backend.set_queue(name, paused=False)
    assert drain(backend, worker, queues=[name]) == [job_id]


# -- closed --------------------------------------------------------------------------------------


def test_a_closed_queue_takes_in_no_new_job(backend: Backend) -> None:
    backend.enqueue("foo")
    backend.set_queue("default", closed=True, by="ann", why="moving house")

    with pytest.raises(QueueClosed, match="'default' is closed by ann: moving house") as refused:
        backend.enqueue("foo")
    with pytest.raises(QueueClosed):
        backend.enqueue_many(["foo", "foo"])

    assert refused.value.queue == "default"
    assert isinstance(refused.value, SpoolError)
    assert backend.list_jobs().total == 1
    assert backend.enqueue("foo", queue="other")


def test_what_waits_in_a_closed_queue_is_run_and_may_be_retried(
    backend: Backend, worker: int
) -> None:
    job_id = failed_job(backend, worker)
    backend.set_queue("default", closed=True)

    assert backend.retry_job(job_id, 0)
    assert drain(backend, worker) == [job_id]


def test_a_queue_that_was_opened_takes_in_jobs_again(backend: Backend, worker: int) -> None:
    backend.set_queue("default", closed=True)
    assert backend.set_queue("default", closed=False)

    job_id = backend.enqueue("foo")
    assert drain(backend, worker) == [job_id]


# -- how many may wait ---------------------------------------------------------------------------


def test_a_queue_takes_in_no_more_than_may_wait(backend: Backend, worker: int) -> None:
    backend.set_queue("default", max_waiting=2)
    backend.enqueue("foo")
    backend.enqueue("foo", delay=60)

    with pytest.raises(QueueFull, match="2 of at most 2 jobs wait"):
        backend.enqueue("foo")

    claim(backend, worker)
    assert backend.enqueue("foo", hold=True)
    with pytest.raises(QueueFull):
        backend.enqueue("foo")
    backend.set_queue("default", max_waiting=0)
    assert backend.enqueue("foo")


def test_a_batch_that_is_too_large_is_refused_whole(backend: Backend) -> None:
    backend.set_queue("default", max_waiting=2)

    with pytest.raises(QueueFull):
        backend.enqueue_many(["foo"] * 3)

    assert backend.list_jobs().total == 0
    assert len(backend.enqueue_many(["foo"] * 2)) == 2


# -- a limit -------------------------------------------------------------------------------------


def test_no_more_of_a_queue_run_at_once_than_its_limit(backend: Backend, worker: int) -> None:
    backend.set_queue("default", limit=2)
    ids = [backend.enqueue("foo") for _ in range(4)]
    other = backend.register_worker()

    assert claim(backend, worker)["id"] == ids[0]
    assert claim(backend, other)["id"] == ids[1]
    assert backend.dequeue(worker) is None
    assert backend.dequeue(other, id=ids[2]) is None

    backend.finish_job(ids[1], 0)
    assert claim(backend, worker)["id"] == ids[2]
    assert backend.dequeue(other) is None


def test_other_queues_are_served_while_one_is_at_its_limit(backend: Backend, worker: int) -> None:
    backend.set_queue("default", limit=1)
    backend.enqueue("foo", priority=5)
    backend.enqueue("foo", priority=5)
    low = backend.enqueue("foo", queue="other")
    claim(backend, worker)

    assert claim(backend, worker, queues=["default", "other"])["id"] == low


@pytest.mark.parametrize(
    "end", ["finish", "finish together", "fail", "fail and try again", "retry", "release"]
)
def test_a_slot_is_free_however_the_attempt_ends(backend: Backend, worker: int, end: str) -> None:
    backend.set_queue("default", limit=1)
    job_id = backend.enqueue("foo", attempts=2 if end == "fail and try again" else 1)
    other = backend.enqueue("foo", priority=-1)
    claim(backend, worker)
    assert backend.dequeue(worker) is None

    if end == "finish":
        backend.finish_job(job_id, 0)
    elif end == "finish together":
        backend.finish_jobs([(job_id, 0, None)])
    elif end.startswith("fail"):
        backend.fail_job(job_id, 0)
    elif end == "retry":
        backend.retry_job(job_id, 0, delay=60)
    else:
        backend.release_job(job_id, 0)
        backend.hold_job(job_id)

    assert claim(backend, worker)["id"] == other


def test_the_slot_of_a_worker_that_died_is_free_after_repair(
    backend: Backend, worker: int, clock: FakeClock
) -> None:
    backend.set_queue("default", limit=1)
    backend.enqueue("foo")
    other = backend.enqueue("foo")
    claim(backend, worker)
    clock.advance(backend.missing_after + 1)
    alive = backend.register_worker()
    assert backend.dequeue(alive) is None

    backend.repair()

    assert claim(backend, alive)["id"] == other


def test_a_note_on_a_running_job_keeps_its_slot(backend: Backend, worker: int) -> None:
    backend.set_queue("default", limit=1)
    job_id = backend.enqueue("foo")
    backend.enqueue("foo")
    claim(backend, worker)
    backend.note(job_id, {"progress": 1})
    backend.repair()

    assert backend.dequeue(worker) is None


def test_what_runs_already_counts_when_a_limit_is_set(backend: Backend, worker: int) -> None:
    ids = [backend.enqueue("foo") for _ in range(4)]
    claim(backend, worker)
    claim(backend, worker)

    backend.set_queue("default", limit=2)
    assert backend.dequeue(worker) is None

    backend.finish_job(ids[0], 0)
    assert claim(backend, worker)["id"] == ids[2]
    assert backend.dequeue(worker) is None


def test_a_limit_can_be_lowered_raised_and_taken_away(backend: Backend, worker: int) -> None:
    ids = [backend.enqueue("foo") for _ in range(6)]
    backend.set_queue("default", limit=3)
    assert len(drain(backend, worker)) == 3
    backend.set_queue("default", limit=1)
    backend.finish_job(ids[0], 0)
    assert drain(backend, worker) == []
    backend.set_queue("default", limit=3)
    assert len(drain(backend, worker)) == 1
    backend.set_queue("default", limit=0)
    assert len(drain(backend, worker)) == 2


# -- listing and nonsense ------------------------------------------------------------------------


def test_queues_are_listed_with_their_jobs_and_what_is_said_of_them(
    backend: Backend, worker: int
) -> None:
    backend.enqueue("foo", queue="b")
    backend.enqueue("foo", queue="b", hold=True)
    backend.enqueue("foo", queue="a")
    claim(backend, worker, queues=["a"])
    backend.set_queue("c", limit=3)

    found = {queue.name: queue for queue in backend.list_queues()}

    assert [*found] == ["a", "b", "c"]
    assert (found["a"].active, found["a"].ready) == (1, 0)
    assert (found["b"].ready, found["b"].held, found["b"].control) == (1, 1, Control())
    assert found["c"].control == Control(limit=3)


def test_a_queue_of_which_nothing_is_said_any_more_is_not_listed(backend: Backend) -> None:
    backend.set_queue("a", paused=True)
    backend.set_queue("a", paused=False)

    assert backend.list_queues() == []


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"paused": "yes"}, InvalidType),
        ({"closed": 2}, InvalidType),
        ({"limit": -1}, InvalidValue),
        ({"limit": 1.5}, InvalidType),
        ({"max_waiting": "many"}, InvalidType),
        ({"paused": True, "why": 7}, InvalidType),
        ({"paused": True, "why": "x" * 2000}, InvalidValue),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(
    backend: Backend, said: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        backend.set_queue("default", **said)

    assert backend.controls() == {}


@pytest.mark.parametrize("queue", [7, "a\0b"])
def test_a_queue_has_to_have_a_name(backend: Backend, queue: Any) -> None:
    with pytest.raises((InvalidType, InvalidValue)):
        backend.set_queue(queue, paused=True)


def test_a_reset_of_everything_forgets_what_was_said(backend: Backend) -> None:
    backend.set_queue("default", paused=True, limit=1)
    backend.reset(all=True)

    assert backend.controls() == {}
