"""What the contract promises of several processes at once: real ones, on one spool."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from spoolq.files.store import FileBackend
from tests.support import lookup
from tests.support.processes import in_processes


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "spool")


def opened(root: str) -> FileBackend:
    return FileBackend(root, durability="none")


@pytest.mark.minion(31)
def test_four_processes_that_enqueue_get_distinct_ids(root: str) -> None:
    opened(root)

    def enqueue(number: int) -> list[int]:
        backend = opened(root)
        return [backend.enqueue("foo", [number, turn]) for turn in range(50)]

    ids = [id_ for ids in in_processes(4, enqueue) for id_ in ids]

    assert len(set(ids)) == 200
    assert opened(root).stats()["inactive_jobs"] == 200


def test_the_processes_that_use_a_root_first_make_one_spool(root: str) -> None:
    ids = in_processes(6, lambda _: opened(root).enqueue("foo"))

    assert sorted(ids) == [1, 2, 3, 4, 5, 6]


@pytest.mark.minion(54, 55)
def test_four_processes_drain_a_queue_and_take_each_job_once(root: str) -> None:
    backend = opened(root)
    wanted = backend.enqueue_many([("foo", [n]) for n in range(600)])
    wanted += [backend.enqueue("bar", priority=n % 3) for n in range(200)]

    def drain(_: int) -> list[list[int]]:
        backend = opened(root)
        worker = backend.register_worker()
        taken = []
        while claimed := backend.dequeue(worker, 0):
            taken.append([claimed["id"], claimed["retries"]])
            assert backend.finish_job(claimed["id"], claimed["retries"])
        backend.unregister_worker(worker)
        return taken

    taken = [claim for claims in in_processes(4, drain) for claim in claims]

    assert sorted(id_ for id_, _ in taken) == sorted(wanted)
    assert {retries for _, retries in taken} == {0}
    assert opened(root).stats()["finished_jobs"] == 800


@pytest.mark.minion(95)
def test_as_many_retries_succeed_as_are_counted(root: str) -> None:
    job_id = opened(root).enqueue("foo")

    def retry(_: int) -> int:
        backend = opened(root)
        return sum(backend.retry_job(job_id, retries) for retries in range(30))

    succeeded = sum(in_processes(4, retry))

    job = lookup(opened(root), job_id)
    assert job is not None
    assert job.retries == succeeded
    assert succeeded > 0


@pytest.mark.minion(163)
def test_notes_of_four_processes_on_one_job_are_all_kept(root: str) -> None:
    job_id = opened(root).enqueue("foo")

    def note(number: int) -> bool:
        backend = opened(root)
        return all(backend.note(job_id, {f"{number}-{turn}": turn}) for turn in range(50))

    assert in_processes(4, note) == [True] * 4

    job = lookup(opened(root), job_id)
    assert job is not None
    assert len(job.notes) == 200


def test_a_job_is_finished_while_others_annotate_it(root: str) -> None:
    backend = opened(root)
    job_id = backend.enqueue("foo")

    def act(number: int) -> bool:
        backend = opened(root)
        if number == 0:
            worker = backend.register_worker()
            claimed = backend.dequeue(worker, 5)
            assert claimed is not None
            return backend.finish_job(job_id, 0, "done")
        return all(backend.note(job_id, {f"{number}-{turn}": turn}) for turn in range(30))

    assert in_processes(4, act) == [True] * 4

    job = lookup(opened(root), job_id)
    assert job is not None
    assert (job.state, job.result, len(job.notes)) == ("finished", "done", 90)


@pytest.mark.minion(182)
def test_a_lock_with_a_limit_of_five_is_taken_five_times(root: str) -> None:
    opened(root)

    def lock(_: int) -> int:
        backend = opened(root)
        return sum(backend.lock("foo", 3600, limit=5) for _ in range(5))

    assert sum(in_processes(8, lock)) == 5
    assert opened(root).stats()["active_locks"] == 5


def test_a_lock_is_held_by_one_process_at_a_time(root: str, tmp_path: Path) -> None:
    opened(root)
    inside = tmp_path / "inside"

    def enter(_: int) -> int:
        backend, entered = opened(root), 0
        while entered < 20:
            if not backend.lock("door", 3600):
                continue
            inside.mkdir()  # fails when somebody else is in there
            inside.rmdir()
            entered += 1
            assert backend.unlock("door")
        return entered

    assert in_processes(3, enter) == [20, 20, 20]


@pytest.mark.minion(292)
def test_commands_of_four_senders_arrive_once_and_in_order(root: str) -> None:
    backend = opened(root)
    worker = backend.register_worker()

    def act(number: int) -> list[list[int]]:
        backend = opened(root)
        if number < 4:
            assert all(backend.broadcast("note", [number, turn]) for turn in range(50))
            return []
        received: list[list[int]] = []
        while len(received) < 200:
            backend.register_worker(worker)
            received += [command[1:] for command in backend.receive(worker)]
        return received

    *_, received = in_processes(5, act)

    assert len(received) == 200
    for sender in range(4):
        assert [turn for who, turn in received if who == sender] == list(range(50))


def test_of_several_repairers_one_fails_the_job_of_a_dead_worker(root: str) -> None:
    backend = opened(root)
    worker = backend.register_worker()
    job_ids = backend.enqueue_many(["foo"] * 40)
    while backend.dequeue(worker, 0):
        pass
    backend.unregister_worker(worker)

    in_processes(4, lambda _: opened(root).repair())

    jobs = opened(root).list_jobs(0, 100).rows
    assert Counter(job.state for job in jobs) == {"failed": 40}
    assert all(len(job.history) == 1 for job in jobs)
    assert sorted(job.id for job in jobs) == job_ids


def test_children_run_after_their_parents_whoever_ends_those(root: str) -> None:
    backend = opened(root)
    parents = backend.enqueue_many(["foo"] * 40)
    children = [backend.enqueue("bar", parents=parents[n : n + 5]) for n in range(30)]

    def drain(_: int) -> list[int]:
        backend = opened(root)
        worker = backend.register_worker()
        order = []
        while claimed := backend.dequeue(worker, 0.3):
            job = lookup(backend, claimed["id"])
            assert job is not None
            for parent in job.parents:
                found = lookup(backend, parent)
                assert found is not None
                assert found.state == "finished"
            order.append(claimed["id"])
            backend.finish_job(claimed["id"], claimed["retries"])
        return order

    done = [id_ for ids in in_processes(3, drain) for id_ in ids]

    assert sorted(done) == sorted([*parents, *children])
