"""A spool over each backend, and one in a directory for what only separate processes can show."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spoolq import Job, Spool, Worker
from tests.conftest import MakeBackend


class Diary:
    """What happened, in order, written by whichever process it happened in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def add(self, what: str) -> None:
        """Write down one thing."""
        with self._path.open("a") as file:
            file.write(f"{what} {os.getpid()}\n")

    def entries(self) -> list[str]:
        """What was written, without saying by whom."""
        return [entry for entry, _ in self.signed()]

    def signed(self) -> list[tuple[str, int]]:
        """What was written, each with the process that wrote it."""
        lines = (line.rsplit(" ", 1) for line in self._path.read_text().splitlines())
        return [(what, int(pid)) for what, pid in lines]


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "diary")


@pytest.fixture
def spool(make_backend: MakeBackend) -> Spool:
    return Spool(make_backend())


@pytest.fixture
def file_spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", durability="none")


@pytest.fixture
def worker(spool: Spool) -> Worker:
    return spool.worker().register()


def claim(spool: Spool, task: str, *args: object, **options: int) -> Job:
    """An active job that has just been enqueued and dequeued."""
    spool.enqueue(task, args, attempts=options.get("attempts", 1))
    job = spool.worker().register().dequeue(0, tasks=[task])
    assert job is not None
    return job
