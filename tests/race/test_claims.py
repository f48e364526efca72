"""Many processes at one spool: every job is somebody's, and nobody's twice."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from spoolq.files.store import FileBackend
from tests.race.conftest import OpenSpool
from tests.race.crowd import Child, at_once, flat
from tests.support import claim, drain, info, wait_for
from tests.support.checker import check_spool, let_trash_come_of_age, repair_twice

pytestmark = pytest.mark.slow


def finish_all(files: FileBackend) -> list[list[int]]:
    """Claim and finish until there is nothing left: [id, retries, whether it was finished]."""
    worker = files.register_worker()
    done = []
    while claimed := files.dequeue(worker):
        ended = files.finish_job(claimed["id"], claimed["retries"], os.getpid())
        done.append([claimed["id"], claimed["retries"], ended])
    files.unregister_worker(worker)
    return done


@pytest.mark.minion(54)
@pytest.mark.parametrize("together", [False, True], ids=["one by one", "as a batch"])
def test_four_processes_drain_every_job_exactly_once(
    files: FileBackend, open_spool: OpenSpool, root: Path, together: bool
) -> None:
    ids = files.enqueue_many(["foo"] * 400) if together else [
        files.enqueue("foo") for _ in range(400)
    ]  # fmt: skip
    done = flat(at_once(*[lambda: finish_all(open_spool())] * 4))

    assert sorted(id_ for id_, _, _ in done) == ids
    assert {(retries, ended) for _, retries, ended in done} == {(0, True)}
    assert files.stats()["finished_jobs"] == 400
    check_spool(str(root), acked=ids)


@pytest.mark.minion(31, 4)
def test_processes_that_enqueue_at_once_get_distinct_and_rising_ids(
    files: FileBackend, open_spool: OpenSpool
) -> None:
    def enqueue() -> list[int]:
        mine = open_spool()
        return [mine.enqueue("foo") for _ in range(50)] + mine.enqueue_many(["foo"] * 10)

    answers = at_once(*[enqueue] * 4)

    assert sorted(flat(answers)) == list(range(1, 241))
    assert all(ids == sorted(ids) for ids in answers)
    assert files.list_jobs().total == 240


def test_drainers_meet_enqueuers_while_buckets_come_and_go(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    """Faults 63 and 65: the queue is nearly empty all the time."""

    def enqueue() -> list[int]:
        mine = open_spool()
        return [mine.enqueue("foo", priority=number % 3) for number in range(150)]

    def drain_until_told() -> list[int]:
        mine = open_spool()
        worker, taken = mine.register_worker(), []
        while not (root.parent / "enough").exists():
            if claimed := mine.dequeue(worker, 0.005):
                assert mine.finish_job(claimed["id"], claimed["retries"])
                taken.append(claimed["id"])
        return taken

    drainers = [Child(drain_until_told) for _ in range(3)]
    ids = flat(at_once(*[enqueue] * 3))
    wait_for(lambda: files.stats()["finished_jobs"] == len(ids), 60)
    (root.parent / "enough").touch()
    taken = flat([drainer.answer() for drainer in drainers])

    assert sorted(taken) == sorted(ids) == list(range(1, 451))


def test_one_job_among_many_workers_is_one_workers(
    files: FileBackend, open_spool: OpenSpool
) -> None:
    def claim_each() -> list[int]:
        mine = open_spool()
        worker = mine.register_worker()
        return [claimed["id"] for _ in range(100) if (claimed := mine.dequeue(worker))]

    files.enqueue_many(["foo"] * 3)
    assert sorted(flat(at_once(*[claim_each] * 6))) == [1, 2, 3]


def test_delayed_jobs_that_become_due_are_run_once_by_whoever_sees_them(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    ids = [files.enqueue("foo", delay=0.3) for _ in range(100)]
    ids += files.enqueue_many(["foo"] * 100, delay=0.3)

    def wait_and_finish() -> list[int]:
        mine = open_spool()
        worker, taken = mine.register_worker(), []
        while claimed := mine.dequeue(worker, 0.6):
            assert mine.finish_job(claimed["id"], 0)
            taken.append(claimed["id"])
        return taken

    assert sorted(flat(at_once(*[wait_and_finish] * 4))) == ids
    check_spool(str(root), acked=ids)


@pytest.mark.minion(95)
def test_racing_retries_count_as_often_as_they_were_granted(
    files: FileBackend, open_spool: OpenSpool
) -> None:
    worker = files.register_worker()
    job = files.enqueue("foo")
    files.finish_job(claim(files, worker)["id"], 0)

    def retry() -> int:
        mine = open_spool()
        return sum(mine.retry_job(job, info(mine, job).retries) for _ in range(40))

    granted = sum(at_once(*[retry] * 4))

    assert info(files, job).retries == granted >= 40
    assert drain(files, worker) == [job]


@pytest.mark.minion(163)
def test_concurrent_notes_are_all_kept(files: FileBackend, open_spool: OpenSpool) -> None:
    job = files.enqueue("foo")

    def note(name: str) -> list[bool]:
        mine = open_spool()
        return [mine.note(job, {f"{name}{number}": number}) for number in range(50)]

    answers = at_once(*[lambda name=name: note(name) for name in "abcd"])

    assert all(flat(answers))
    assert len(info(files, job).notes) == 200


def test_notes_do_not_take_a_running_job_from_its_worker(
    files: FileBackend, open_spool: OpenSpool
) -> None:
    job = files.enqueue("foo", attempts=50)
    worker = files.register_worker()

    def note() -> list[bool]:
        mine = open_spool()
        return [mine.note(job, {str(os.getpid()): number}) for number in range(60)]

    children = [Child(note) for _ in range(2)]
    ended = []
    for _ in range(20):
        claimed = claim(files, worker, wait=10)  # a job that is just being annotated is nowhere
        ended.append(files.fail_job(job, claimed["retries"]))
        files.retry_job(job, claimed["retries"] + 1)
    for child in children:
        assert all(child.answer())

    assert ended == [True] * 20
    assert sorted(info(files, job).notes.values()) == [59, 59]


@pytest.mark.parametrize("end", ["finish_job", "fail_job", "retry_job", "mixed"])
def test_of_many_who_end_one_attempt_one_is_told_that_it_did(
    files: FileBackend, open_spool: OpenSpool, end: str
) -> None:
    worker = files.register_worker()
    ids = files.enqueue_many(["foo"] * 30)
    drain(files, worker)
    ends = ["finish_job", "fail_job", "retry_job", "finish_job"] if end == "mixed" else [end] * 4

    def act(how: str) -> list[bool]:
        mine = open_spool()
        return [getattr(mine, how)(job, 0) for job in ids]

    answers = at_once(*[lambda how=how: act(how) for how in ends])

    won = [sum(answer[index] for answer in answers) for index in range(len(ids))]
    if "retry_job" in ends and end == "mixed":
        # What has ended may still be retried, so up to two of them did something, in that order.
        assert set(won) <= {1, 2}
    else:
        assert won == [1] * len(ids)


def test_what_is_removed_is_not_run_and_what_is_run_is_not_removed(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    ids = files.enqueue_many(["foo"] * 200)

    def remove() -> list[int]:
        mine = open_spool()
        return [job for job in reversed(ids) if mine.remove_job(job)]

    def run() -> list[int]:
        mine = open_spool()
        return drain(mine, mine.register_worker())

    removed, also_removed, run_here, run_there = at_once(remove, remove, run, run)

    assert sorted(removed + also_removed + run_here + run_there) == ids
    check_spool(str(root), acked=[*run_here, *run_there], removed=[*removed, *also_removed])


def test_what_many_take_out_of_the_inbox_becomes_one_job_each(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    for number in range(100):
        (root / f"inactive/mine-{number}.json").write_text(f'{{"task": "foo", "args": [{number}]}}')
    done = flat(at_once(*[lambda: finish_all(open_spool())] * 4))

    assert len(done) == 100
    shown = files.list_jobs(0, 1000).rows
    assert sorted(job.args[0] for job in shown) == list(range(100))
    assert {job.state for job in shown} == {"finished"}


def test_children_run_however_their_enqueue_meets_the_end_of_their_parent(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    """Fault 64, without any repair to help."""
    parents = files.enqueue_many(["parent"] * 120, queue="parents")

    def enqueue_children() -> list[int]:
        mine = open_spool()
        return [
            mine.enqueue("child", parents=[parents[n - 1], parent]) for n, parent in
            enumerate(parents)
        ]  # fmt: skip

    def end_parents() -> list[int]:
        mine = open_spool()
        worker = mine.register_worker()
        ended = drain_and_end(mine, worker)
        mine.unregister_worker(worker)
        return ended

    def drain_and_end(mine: FileBackend, worker: int) -> list[int]:
        ended = []
        while claimed := mine.dequeue(worker, queues=["parents"]):
            if claimed["id"] % 3:
                mine.finish_job(claimed["id"], 0)
                ended.append(claimed["id"])
            else:
                mine.retry_job(claimed["id"], 0, queue="removed", delay=1000)
                mine.remove_job(claimed["id"])
        return ended

    children, more, _, _ = at_once(enqueue_children, enqueue_children, end_parents, end_parents)
    worker = files.register_worker()

    assert drain(files, worker) == sorted([*children, *more])


def test_a_reader_sees_every_job_exactly_once_while_they_run(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    ids = files.enqueue_many(["foo"] * 150)

    def look() -> list[Any]:
        mine = open_spool()
        wrong = []
        while not (root.parent / "enough").exists():
            counted = Counter(job.id for job in mine.list_jobs(0, 1000).rows)
            wrong += [sorted(set(ids) - set(counted)), [k for k, n in counted.items() if n > 1]]
        return [found for found in wrong if found]

    readers = [Child(look) for _ in range(2)]
    at_once(*[lambda: finish_all(open_spool())] * 2)
    (root.parent / "enough").touch()

    assert [reader.answer() for reader in readers] == [[], []]


def test_workers_that_are_killed_while_others_repair_lose_and_double_nothing(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    ids = files.enqueue_many(["foo"] * 120, attempts=3)

    def claim_and_hold() -> None:
        mine = open_spool()
        worker = mine.register_worker()
        for number in range(20):
            claimed = claim(mine, worker)
            if number % 4 == 0:
                mine.finish_job(claimed["id"], claimed["retries"])
        (root.parent / f"holds-{os.getpid()}").touch()
        wait_for(lambda: False, 60)

    holders = [Child(claim_and_hold) for _ in range(3)]
    wait_for(lambda: len(list(root.parent.glob("holds-*"))) == 3, 30)
    for holder in holders:
        holder.kill()

    def repair() -> None:
        open_spool().repair()

    at_once(*[repair] * 4)

    jobs = files.list_jobs(0, 1000).rows
    assert Counter(job.state for job in jobs) == {"inactive": 105, "finished": 15}
    lost = [job for job in jobs if job.result == "Worker went away"]
    assert len(lost) == 45
    assert {(job.retries, job.attempts, len(job.history)) for job in lost} == {(1, 2, 1)}
    assert files.list_workers().total == 0
    let_trash_come_of_age(str(root))
    repair_twice(files.repair, open_spool().repair, str(root))
    check_spool(str(root), acked=ids)


def test_a_worker_that_is_slow_and_a_repair_that_is_quick_agree_on_each_job(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    """Fault 58: it is declared dead while it finishes; of the two one ends each attempt."""
    ids = files.enqueue_many(["foo"] * 200, attempts=2)
    worker = files.register_worker()
    claimed = drain(files, worker)

    def finish() -> list[bool]:
        return [files.finish_job(job, 0, "in time") for job in claimed]

    def declare_dead() -> None:
        mine = FileBackend(str(root), durability="none", missing_after=0)
        for _ in range(3):
            mine.repair()

    told, _, _ = at_once(finish, declare_dead, declare_dead)

    jobs = {job.id: job for job in files.list_jobs(0, 1000).rows}
    for job, finished in zip(ids, told, strict=True):
        expected = ("finished", 0) if finished else ("inactive", 1)
        assert (jobs[job].state, jobs[job].retries) == expected
    check_spool(str(root), acked=ids)
