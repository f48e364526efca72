"""A worker process of its own, with nothing in memory but the worker: `scale` asks it.

Run as `python -m tests.benchmarks.claimer ROOT`; each line on stdin is a command, each line on
stdout its answer in JSON. Durations are seconds.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from spoolq.files.store import FileBackend


class Claimer:
    """One registered worker, and what it can be asked to do and to time."""

    def __init__(self, root: str) -> None:
        self._backend = FileBackend(root, durability="none")
        self._worker = 0

    def claim(self, count: int) -> dict[str, Any]:
        """Claim and finish jobs one by one; the duration of each claim, and of everything."""
        self._worker = self._worker or self._backend.register_worker()
        claims = []
        begin = time.perf_counter()
        for _ in range(count):
            before = time.perf_counter()
            claimed = self._backend.dequeue(self._worker)
            claims.append(time.perf_counter() - before)
            assert claimed is not None
            assert self._backend.finish_job(claimed["id"], claimed["retries"], claimed["id"])
        return {"claims": claims, "seconds": time.perf_counter() - begin}

    def lookup(self, count: int, low: int, high: int) -> list[float]:
        """Look up jobs with random ids of a range."""
        return [_timed(partial(self._found, random.randint(low, high))) for _ in range(count)]

    def newest(self, count: int) -> list[float]:
        """List the newest 100 jobs."""
        return [_timed(lambda: self._backend.list_jobs(0, 100).rows) for _ in range(count)]

    def stats(self, count: int) -> list[float]:
        """Count everything; the first time this process has to find out what there is."""
        return [_timed(self._backend.stats) for _ in range(count)]

    def memory(self) -> float:
        """The most memory this process has had resident, in MB."""
        with open("/proc/self/status", encoding="ascii") as status:
            fields = dict(line.split(":", 1) for line in status)
        return int(fields["VmHWM"].split()[0]) / 1000

    def _found(self, job: int) -> list[Any]:
        rows: list[Any] = self._backend.list_jobs(0, 1, ids=[job]).rows
        return rows


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    assert work()
    return time.perf_counter() - begin


def main() -> None:
    """Answer until stdin ends."""
    claimer = Claimer(sys.argv[1])
    for line in sys.stdin:
        command, *numbers = line.split()
        answer = getattr(claimer, command)(*map(int, numbers))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
