"""A limit of a queue holds for all processes together, and none of them has to ask the others."""

from __future__ import annotations

import os
from pathlib import Path

from spoolq.errors import QueueClosed
from spoolq.files.store import FileBackend
from tests.race.conftest import OpenSpool
from tests.race.crowd import Child, at_once, flat
from tests.support import claim, wait_for

LIMIT = 2


def perform(files: FileBackend, running: Path) -> list[int]:
    """Run everything; how many ran at once, each time this process looked."""
    worker, seen = files.register_worker(), []
    while files.queues():
        claimed = files.dequeue(worker, 0.01)
        if claimed is None:
            continue
        mark = running / str(claimed["id"])
        mark.touch()
        seen.append(len(os.listdir(running)))
        mark.unlink()
        assert files.finish_job(claimed["id"], claimed["retries"])
    files.unregister_worker(worker)
    return seen


def test_four_processes_never_run_more_of_a_queue_than_its_limit(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    running = root.parent / "running"
    running.mkdir()
    files.set_queue("default", limit=LIMIT)
    for _ in range(150):
        files.enqueue("foo")

    seen = flat(at_once(*[lambda: perform(open_spool(), running)] * 4))

    assert len(seen) == 150
    assert max(seen) <= LIMIT


def test_the_slots_of_a_process_that_was_killed_are_free_when_that_is_noticed(
    files: FileBackend, open_spool: OpenSpool, root: Path
) -> None:
    files.set_queue("default", limit=LIMIT)
    ids = [files.enqueue("foo") for _ in range(3)]

    def take_all() -> None:
        mine = open_spool()
        worker = mine.register_worker()
        for _ in range(LIMIT):
            claim(mine, worker)
        (root.parent / "taken").touch()
        while True:
            mine.dequeue(worker, 60)

    child = Child(take_all)
    wait_for((root.parent / "taken").exists)
    worker = files.register_worker()
    assert files.dequeue(worker) is None
    child.kill()

    assert files.rescue()

    assert claim(files, worker)["id"] == ids[2]


def test_of_several_who_set_a_queue_at_once_each_is_heard(
    files: FileBackend, open_spool: OpenSpool
) -> None:
    def say(number: int) -> bool:
        return open_spool().set_queue(f"q{number % 2}", limit=number + 1, why=str(number))

    def pause(number: int) -> bool:
        return open_spool().set_queue(f"q{number % 2}", paused=True)

    at_once(*[lambda n=n: say(n) for n in range(2)], *[lambda n=n: pause(n) for n in range(2)])

    found = files.controls()
    assert {queue: control.limit for queue, control in found.items()} == {"q0": 1, "q1": 2}
    assert all(control.paused for control in found.values())


def test_an_enqueuer_elsewhere_notices_that_a_queue_was_closed(
    files: FileBackend, open_spool: OpenSpool
) -> None:
    other = open_spool()
    other.enqueue("foo")
    files.set_queue("default", closed=True)

    def is_refused() -> bool:
        try:
            other.enqueue("foo")
        except QueueClosed:
            return True
        return False

    wait_for(is_refused)
