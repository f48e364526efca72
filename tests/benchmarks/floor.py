"""The raw floor: the system calls that the protocol cannot do without, and nothing else.

No ids, no JSON, no checks, no names to parse. A directory that is synced is opened once: the floor
is to be as low as it can be.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from tests.benchmarks.disk import opened, syncfs
from tests.benchmarks.processes import in_processes

CONTENT = b"x" * 400  # bytes of a small job
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL


class Floor:
    """A directory in which raw rates are taken, each time in fresh subdirectories."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._rounds = 0

    def enqueue(self, count: int, *, durable: bool) -> float:
        """Jobs a second: create, write, (fsync,) close, rename, (fsync of the directory)."""
        tmp, ready = self._fresh("tmp", "ready")
        directory = os.open(ready, os.O_RDONLY)
        begin = time.perf_counter()
        for number in range(count):
            staged = f"{tmp}/{number}"
            _write(staged, durable=durable)
            os.rename(staged, f"{ready}/{number}")
            if durable:
                os.fsync(directory)
        elapsed = time.perf_counter() - begin
        os.close(directory)
        return count / elapsed

    def batch(self, count: int, *, durable: bool) -> float:
        """Jobs a second: write all, (one syncfs,) rename their directory, (one fsync)."""
        tmp, ready = self._fresh("tmp", "ready")
        begin = time.perf_counter()
        bundle = f"{tmp}/batch"
        os.mkdir(bundle)
        for number in range(count):
            _write(f"{bundle}/{number}", durable=False)
        if durable:
            syncfs(bundle)
        os.rename(bundle, f"{ready}/batch")
        if durable:
            with opened(ready) as directory:
                os.fsync(directory)
        return count / (time.perf_counter() - begin)

    def drain(
        self, processes: int, batches: int, size: int, *, durable: bool, settled: bool = False
    ) -> float:
        """Jobs a second, claimed in batches and then finished, by several processes."""
        inactive, settling, finished = self._fresh("inactive", "settling", "finished")
        share = batches * size
        for number in range(processes * share):
            _write(f"{inactive}/{number}", durable=False)
        if durable:
            syncfs(inactive)

        def work(process: int) -> None:
            active = f"{inactive}.{process}"
            os.mkdir(active)
            desk = _Desk(inactive, active, settling, finished, durable)
            for start in range(process * share, (process + 1) * share, size):
                names = [str(number) for number in range(start, start + size)]
                desk.claim(names)
                if settled:
                    desk.settle(names)
                else:
                    desk.finish(names)

        return in_processes(processes, work, processes * share).overall

    def _fresh(self, *names: str) -> list[str]:
        # What was there before stays: deleting it would keep the journal busy while we measure.
        self._rounds += 1
        paths = [f"{self._root}/{self._rounds}/{name}" for name in names]
        for path in paths:
            os.makedirs(path)
        return paths


class _Desk:
    """The claim and the two ways to finish, for one process."""

    def __init__(
        self, inactive: str, active: str, settling: str, finished: str, durable: bool
    ) -> None:
        self._inactive, self._active = inactive, active
        self._settling, self._finished = settling, finished
        self._durable = durable
        self._directory = os.open(finished, os.O_RDONLY)

    def claim(self, names: Sequence[str]) -> None:
        for name in names:
            mine = f"{self._active}/{name}"
            os.rename(f"{self._inactive}/{name}", mine)
            descriptor = os.open(mine, os.O_RDONLY)
            os.read(descriptor, os.fstat(descriptor).st_size)
            os.close(descriptor)

    def finish(self, names: Sequence[str]) -> None:
        for name in names:
            _write(f"{self._settling}/{name}.new", durable=self._durable)
            os.rename(f"{self._active}/{name}", f"{self._settling}/{name}.old")
            os.rename(f"{self._settling}/{name}.new", f"{self._finished}/{name}")
            if self._durable:
                os.fsync(self._directory)
            os.unlink(f"{self._settling}/{name}.old")

    def settle(self, names: Sequence[str]) -> None:
        for name in names:
            _write(f"{self._settling}/{name}.new", durable=False)
        syncfs(self._settling)
        for name in names:
            os.rename(f"{self._active}/{name}", f"{self._settling}/{name}.old")
            os.rename(f"{self._settling}/{name}.new", f"{self._finished}/{name}")
        os.fsync(self._directory)
        for name in names:
            os.unlink(f"{self._settling}/{name}.old")


def _write(path: str, *, durable: bool) -> None:
    descriptor = os.open(path, _CREATE, 0o600)
    os.write(descriptor, CONTENT)
    if durable:
        os.fsync(descriptor)
    os.close(descriptor)
