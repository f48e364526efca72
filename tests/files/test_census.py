"""Counting a large spool: many directories, looked at by several threads."""

from __future__ import annotations

from pathlib import Path

from spoolq.files.store import FileBackend

DIRECTORIES = 300  # more than one thread's share


def test_a_job_in_each_of_hundreds_of_directories_is_counted_once(root: Path) -> None:
    spread = FileBackend(str(root), durability="none")
    for priority in range(DIRECTORIES):
        spread.enqueue("foo", priority=priority)

    assert FileBackend(str(root)).stats()["inactive_jobs"] == DIRECTORIES


def test_what_changed_in_one_of_hundreds_of_directories_is_counted_again(root: Path) -> None:
    backend = FileBackend(str(root), durability="none")
    jobs = [backend.enqueue("foo", priority=priority) for priority in range(DIRECTORIES)]
    backend.stats()

    backend.remove_job(jobs[0])

    assert backend.stats()["inactive_jobs"] == DIRECTORIES - 1
