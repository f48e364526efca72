"""Workers held by hand: registering, dequeuing, commands."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import pytest

from spoolq import Job, Spool, Worker
from spoolq.errors import InvalidType, InvalidValue
from tests.conftest import MakeBackend
from tests.support import FakeClock, wait_for


@pytest.mark.minion(205)
def test_a_worker_is_not_registered_until_it_says_so(spool: Spool) -> None:
    worker = spool.worker(type="test")
    assert worker.id is None
    assert worker.info() is None
    assert spool.stats()["workers"] == 0


@pytest.mark.minion(205, 318)
def test_the_worker_event_fires_before_the_worker_has_an_id(spool: Spool) -> None:
    seen: list[tuple[Worker, int | None]] = []
    spool.on("worker", lambda _, worker: seen.append((worker, worker.id)))
    worker = spool.worker()
    assert seen == [(worker, None)]


@pytest.mark.minion(318)
def test_the_worker_event_fires_for_temporary_workers_too(spool: Spool) -> None:
    seen: list[Worker] = []
    spool.add_task("foo", lambda: None)
    job = spool.enqueue("foo")
    spool.on("worker", lambda _, worker: seen.append(worker))
    spool.perform_jobs()
    spool.foreground(job)
    assert len(seen) == 2


@pytest.mark.minion(194)
def test_registering_again_keeps_the_id(spool: Spool) -> None:
    worker = spool.worker()
    assert worker.register() is worker
    first = worker.id
    assert isinstance(first, int)
    assert worker.register().id == first


@pytest.mark.minion(195)
def test_the_registry_says_who_a_worker_is(spool: Spool) -> None:
    info = spool.worker(a=1).register().info()
    assert info is not None
    assert (info.host, info.pid) == (socket.gethostname(), os.getpid())
    assert (info.status, info.jobs) == ({"a": 1}, [])


@pytest.mark.minion(196)
def test_a_heartbeat_moves_only_the_time_of_the_last_one(
    spool: Spool, worker: Worker, clock: FakeClock
) -> None:
    before = worker.info()
    clock.advance(5)
    after = worker.register().info()
    assert before is not None
    assert after is not None
    assert after.notified > before.notified
    assert (after.started, after.host, after.pid) == (before.started, before.host, before.pid)


@pytest.mark.minion(197)
def test_a_heartbeat_publishes_the_whole_status(spool: Spool) -> None:
    worker = spool.worker(a=1).register()
    worker.status = {"b": 2}
    info = worker.register().info()
    assert info is not None
    assert info.status == {"b": 2}


@pytest.mark.minion(198, 199)
def test_a_worker_that_unregistered_gets_a_new_id_when_it_comes_back(worker: Worker) -> None:
    first = worker.id
    assert worker.unregister() is worker
    assert worker.id is None
    assert worker.info() is None
    assert worker.unregister() is worker
    assert worker.register().id != first


@pytest.mark.minion(200)
def test_a_worker_that_was_declared_dead_comes_back_under_its_id(
    make_backend: MakeBackend, clock: FakeClock
) -> None:
    spool = Spool(make_backend(missing_after=10))
    worker = spool.worker().register()
    before = worker.info()
    job = spool.enqueue("foo")
    assert worker.dequeue(0, tasks=["foo"]) is not None
    spool.broadcast("hello")
    clock.advance(11)
    spool.repair()
    assert worker.info() is None
    after = worker.register().info()
    assert before is not None
    assert after is not None
    assert after.id == before.id
    assert after.started > before.started
    assert after.jobs == []
    info = job.info()
    assert info is not None
    assert (info.state, info.result) == ("failed", "Worker went away")


@pytest.mark.minion(201)
def test_workers_are_listed_newest_first(spool: Spool) -> None:
    ids = [spool.worker().register().id for _ in range(4)]
    assert [worker.id for worker in spool.workers()] == ids[::-1]
    assert [worker.id for worker in spool.workers(ids=[ids[0], ids[2]])] == [ids[2], ids[0]]
    assert [worker.id for worker in spool.workers(before=ids[2])] == [ids[1], ids[0]]
    assert spool.workers().total == 4


@pytest.mark.minion(202)
def test_two_workers_of_one_process_have_different_ids_and_one_pid(spool: Spool) -> None:
    one, other = spool.worker().register().info(), spool.worker().register().info()
    assert one is not None
    assert other is not None
    assert one.id != other.id
    assert one.pid == other.pid == os.getpid()


@pytest.mark.minion(203)
def test_workers_with_a_job_are_counted_apart(spool: Spool) -> None:
    spool.enqueue("foo")
    for _ in range(2):
        spool.worker().register().dequeue(0, tasks=["foo"])
    stats = spool.stats()
    assert (stats["workers"], stats["active_workers"], stats["inactive_workers"]) == (2, 1, 1)


@pytest.mark.minion(204)
def test_a_worker_that_left_its_job_behind_still_counts_as_active(spool: Spool) -> None:
    spool.enqueue("foo")
    worker = spool.worker().register()
    assert worker.dequeue(0, tasks=["foo"]) is not None
    worker.unregister()
    stats = spool.stats()
    assert (stats["workers"], stats["active_workers"], stats["inactive_workers"]) == (0, 1, -1)


@pytest.mark.minion(206)
def test_a_worker_that_fell_silent_is_listed_until_somebody_repairs(
    make_backend: MakeBackend, clock: FakeClock
) -> None:
    spool = Spool(make_backend(missing_after=10))
    spool.worker().register()
    clock.advance(11)
    assert spool.workers().total == 1
    spool.repair()
    assert spool.workers().total == 0


# -- dequeue -------------------------------------------------------------------------------------


@pytest.mark.minion(33)
def test_a_worker_that_is_not_registered_gets_nothing(spool: Spool) -> None:
    job = spool.enqueue("foo")
    assert spool.worker().dequeue(0, tasks=["foo"]) is None
    info = job.info()
    assert info is not None
    assert info.state == "inactive"


@pytest.mark.minion(37)
def test_the_handle_carries_what_the_task_needs(spool: Spool, worker: Worker) -> None:
    spool.enqueue("foo", [1, [2]], {"a": 3})
    job = worker.dequeue(0, tasks=["foo"])
    assert job is not None
    assert (job.task, job.args, job.kwargs, job.retries) == ("foo", [1, [2]], {"a": 3}, 0)
    assert job.worker == worker.id


@pytest.mark.minion(45)
def test_without_tasks_only_those_registered_here_are_taken(spool: Spool, worker: Worker) -> None:
    spool.add_task("bar", lambda: None)
    spool.enqueue("foo")
    bar = spool.enqueue("bar")
    job = worker.dequeue(0)
    assert job is not None
    assert job.id == bar.id
    assert worker.dequeue(0) is None


def test_the_executables_of_a_spool_are_taken_too(file_spool: Spool) -> None:
    program = f"{file_spool.root}/jobs/hello.job"
    with open(program, "w") as file:
        file.write("#!/bin/sh\n")
    os.chmod(program, 0o755)
    file_spool.enqueue("hello")
    file_spool.enqueue("unknown")
    worker = file_spool.worker().register()
    job = worker.dequeue(0)
    assert job is not None
    assert job.task == "hello"
    assert worker.dequeue(0) is None


@pytest.mark.minion(47)
def test_a_task_nobody_knows_is_handed_out_and_fails(spool: Spool, worker: Worker) -> None:
    spool.enqueue("foo")
    job = worker.dequeue(0, tasks=["foo"])
    assert job is not None
    job.perform()
    info = job.info()
    assert info is not None
    assert info.state == "failed"
    assert info.result["type"] == "UnknownTask"
    assert "'foo'" in info.result["message"]


def test_the_other_conditions_reach_the_backend(spool: Spool, worker: Worker) -> None:
    spool.add_task("foo", lambda: None)
    low = spool.enqueue("foo", queue="a")
    high = spool.enqueue("foo", queue="b", priority=5)
    assert worker.dequeue(0) is None
    first = worker.dequeue(timedelta(0), queues=["a", "b"], min_priority=1)
    second = worker.dequeue(0, id=low, queues=["a"])
    assert [job and job.id for job in (first, second)] == [high.id, low.id]


@pytest.mark.minion(319)
def test_the_dequeue_event_fires_with_the_handle_that_is_returned(
    spool: Spool, worker: Worker
) -> None:
    seen: list[tuple[Worker, Job]] = []
    worker.on("dequeue", lambda worker, job: seen.append((worker, job)))
    assert worker.dequeue(0, tasks=["foo"]) is None
    spool.enqueue("foo")
    job = worker.dequeue(0, tasks=["foo"])
    assert seen == [(worker, job)]


def test_a_worker_beats_from_a_thread_while_this_one_is_busy(
    spool: Spool, worker: Worker, clock: FakeClock
) -> None:
    worker.heartbeat = 0.01
    before = worker.info()
    clock.advance(5)

    def beaten() -> bool:
        now = worker.info()
        return now is not None and before is not None and now.notified > before.notified

    with worker.beating():
        wait_for(beaten)


# -- commands ------------------------------------------------------------------------------------


@pytest.mark.minion(294, 295)
def test_a_command_reaches_its_callback_with_the_worker_and_the_arguments(
    spool: Spool, worker: Worker
) -> None:
    seen: list[tuple[object, ...]] = []
    assert worker.add_command("say", lambda *args: seen.append(args)) is worker
    assert spool.broadcast("unknown")
    assert spool.broadcast("say", ["hello", [1]], [worker.id])
    assert worker.process_commands() is worker
    worker.process_commands()
    assert seen == [(worker, "hello", [1])]


@pytest.mark.minion(298)
def test_a_worker_without_a_loop_has_no_commands_but_its_own(spool: Spool, worker: Worker) -> None:
    for command, args in (("jobs", [0]), ("spare", [0]), ("stop", [1]), ("kill", ["TERM", 1])):
        assert spool.broadcast(command, args)
    worker.process_commands()
    assert (worker.commands, worker.status) == ({}, {})


@pytest.mark.minion(296)
def test_a_status_that_a_command_changed_is_published_at_once(spool: Spool, worker: Worker) -> None:
    worker.add_command("pause", lambda worker: worker.status.update(paused=True))
    spool.broadcast("pause")
    worker.process_commands()
    info = worker.info()
    assert info is not None
    assert info.status == {"paused": True}


@pytest.mark.minion(296)
def test_unknown_commands_alone_are_no_heartbeat(
    spool: Spool, worker: Worker, clock: FakeClock
) -> None:
    before = worker.info()
    clock.advance(5)
    spool.broadcast("unknown")
    worker.process_commands()
    assert worker.info() == before


@pytest.mark.minion(297)
def test_a_command_that_raises_takes_those_after_it_along(spool: Spool, worker: Worker) -> None:
    seen: list[str] = []
    worker.add_command("bad", lambda _: 1 // 0)
    worker.add_command("good", lambda _: seen.append("good"))
    spool.broadcast("bad")
    spool.broadcast("good")
    with pytest.raises(ZeroDivisionError):
        worker.process_commands()
    worker.process_commands()
    assert seen == []


def test_a_worker_that_is_not_registered_has_no_commands(spool: Spool) -> None:
    worker = spool.worker()
    assert worker.process_commands() is worker
    assert not spool.broadcast("say")


def test_an_event_of_the_loop_is_unknown_to_a_worker_without_one(worker: Worker) -> None:
    with pytest.raises(InvalidValue, match="unknown event 'started'"):
        worker.on("started", print)


def test_what_is_no_time_and_no_command_is_refused(worker: Worker) -> None:
    with pytest.raises(InvalidType, match="wait"):
        worker.dequeue("5")  # type: ignore[arg-type]  # the point
    with pytest.raises(InvalidType, match="'shout'"):
        worker.add_command("shout", 7)  # type: ignore[arg-type]  # the point
