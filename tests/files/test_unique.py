"""Unique keys in the directory: what a person does, what repair tidies, what others do not pay."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from spoolq.errors import DuplicateJob
from spoolq.files.store import FileBackend
from tests.files.counting import Counting, counted
from tests.support import FakeClock, claim, failed_job, info, lookup


@pytest.fixture
def files(tmp_path: Path, clock: FakeClock) -> FileBackend:
    return FileBackend(str(tmp_path / "spool"), clock=clock, durability="none", filesystem=Counting)


def tree(files: FileBackend, name: str) -> list[str]:
    """The files below a directory of the spool."""
    return [
        f"{base}/{file}" for base, _, found in os.walk(f"{files.root}/{name}") for file in found
    ]


def move_to_inbox(files: FileBackend, state: str, id: int) -> None:
    [path] = [path for path in tree(files, state) if path.rpartition("/")[2].startswith(f"{id}.")]
    shutil.move(path, f"{files.root}/inactive/")


def test_nothing_stays_of_a_key_whose_job_has_ended(files: FileBackend) -> None:
    worker = files.register_worker()
    for how in ({}, {"unique_while": "waiting"}):
        failed_job(files, worker, unique="k", **how)

    assert tree(files, "unique") == []


def test_repair_removes_the_marks_of_jobs_that_are_gone(
    files: FileBackend, clock: FakeClock
) -> None:
    files.enqueue("foo", unique="a", expire=10)
    files.enqueue("foo", unique="b", unique_for=20)
    files.enqueue("foo", unique="c")
    clock.advance(21)

    files.repair()

    assert len(tree(files, "unique")) == 1
    assert files.holder_of("c")


def test_a_job_moved_back_by_hand_holds_its_key_again(files: FileBackend) -> None:
    worker = files.register_worker()
    job = failed_job(files, worker, unique="k")

    move_to_inbox(files, "failed", job)

    assert info(files, job).state == "inactive"
    with pytest.raises(DuplicateJob):
        files.enqueue("foo", unique="k")


def test_a_job_moved_back_by_hand_waits_in_the_inbox_while_another_holds_its_key(
    files: FileBackend, clock: FakeClock
) -> None:
    worker = files.register_worker()
    job = failed_job(files, worker, unique="k")
    files.enqueue("foo", unique="k")
    move_to_inbox(files, "failed", job)
    assert lookup(files, job) is None

    claimed = claim(files, worker)
    assert files.finish_job(claimed["id"], 0)

    clock.advance(1)
    assert info(files, job).state == "inactive"
    assert claim(files, worker)["id"] == job


def test_jobs_without_a_key_cost_not_one_call_more_beside_those_with_one(
    files: FileBackend,
) -> None:
    worker = files.register_worker()

    def plain() -> int:
        job = files.enqueue("foo", priority=9)
        assert claim(files, worker)["id"] == job
        assert files.finish_job(job, 0)
        return job

    plain()
    plain()
    with counted() as costs:
        plain()
    before = costs.calls
    for number in range(5):
        files.enqueue("foo", unique=f"{number}", concurrency=("k", 1))
    plain()

    with counted() as costs:
        plain()

    assert costs.calls == before


def test_a_held_unique_job_is_held(files: FileBackend) -> None:
    worker = files.register_worker()
    job = files.enqueue("foo", unique="k", hold=True)

    assert info(files, job).held
    assert files.dequeue(worker) is None
    with pytest.raises(DuplicateJob):
        files.enqueue("foo", unique="k")
    assert files.unhold_job(job)
    assert claim(files, worker)["id"] == job
