"""What processes on hosts of their own do, until they are told to go on or killed."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from spoolq import Spool
from spoolq.files.registry import Entry, Registry, start_time
from spoolq.files.store import FileBackend
from tests.support import wait_for


def say(**facts: Any) -> None:
    """One line for the test that started this."""
    print(json.dumps(facts), flush=True)


def told(word: str, root: str) -> None:
    """Wait until the test has made a file of this name beside the spool."""
    wait_for(Path(root).with_name(word).exists, 60)


def open_it(root: str, missing_after: float) -> FileBackend:
    return FileBackend(root, durability="none", missing_after=missing_after)


def claim_and_wait(root: str, missing_after: float, beat: bool) -> None:
    """Claim one job, say so; beat or do not; then, when told, finish it and say what came of it."""
    files = open_it(root, missing_after)
    worker = files.register_worker()
    claimed = files.dequeue(worker, 10)
    say(pid=os.getpid(), host=os.uname().nodename, worker=worker, job=claimed and claimed["id"])
    over = threading.Event()

    def beat_on() -> None:
        while not over.wait(missing_after / 5):
            files.register_worker(worker)

    if beat:
        threading.Thread(target=beat_on, daemon=True).start()
    told("finish", root)
    over.set()
    say(finished=claimed and files.finish_job(claimed["id"], claimed["retries"], os.getpid()))


def race(root: str, count: int) -> None:
    """Claim and finish until `count` jobs are done by all together; say which were mine."""
    files = open_it(root, 120)
    worker = files.register_worker()
    say(worker=worker)
    told("go", root)
    mine = []
    while files.stats()["finished_jobs"] != count:
        claimed = files.dequeue(worker, 0.05)
        if claimed:
            assert files.finish_job(claimed["id"], claimed["retries"])
            mine.append(claimed["id"])
    files.unregister_worker(worker)
    say(mine=mine)


def listen(root: str) -> None:
    """Register, and say which commands arrive, until `stop` does."""
    files = open_it(root, 120)
    worker = files.register_worker()
    say(worker=worker)
    while True:
        for name, *args in files.receive(worker):
            say(command=name, args=args)
            if name == "stop":
                files.unregister_worker(worker)
                return
        threading.Event().wait(0.02)


def look_for_the_dead(root: str) -> None:
    """Repair once, and say who is still registered."""
    files = open_it(root, 120)
    files.repair()
    say(workers=[row.id for row in files.list_workers().rows])


def judge(workers: list[dict[str, Any]]) -> None:
    """Say of each of these, by what it told of itself, whether it is dead for certain."""

    class Told(Registry):
        def __init__(self, about: dict[str, Any]) -> None:
            self._told = about
            self._abouts = {}

        def about(self, entry: Entry) -> dict[str, Any] | None:
            return self._told

    entry = Entry("", 0, 0, 0.0, "")
    hidden = start_time(workers[0]["pid"]) is None
    say(hidden=hidden, dead=[Told(about).proven_dead(entry) for about in workers])


def work(root: str) -> None:
    """Perform jobs as `spoolq worker` does, until killed."""
    worker = Spool(root, durability="none").worker(jobs=1)
    say(host=os.uname().nodename)
    worker.run()
