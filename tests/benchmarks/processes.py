"""Work shared by forked processes, and helpers in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

_SECONDS = struct.Struct("d")


@dataclass(frozen=True, slots=True)
class Rates:
    """Operations a second: all together from fork to exit, and the mean process by itself."""

    overall: float
    each: float


def in_processes(processes: int, work: Callable[[int], object], count: int) -> Rates:
    """Run `work(number)` in that many forked children; together they do `count` operations.

    The overall time includes fork and set-up, as in Minion's benchmark. RuntimeError when a child
    fails: what it raised is on stderr.
    """
    reading, writing = os.pipe()
    begin = time.perf_counter()
    children = [_fork(work, number, writing) for number in range(processes)]
    os.close(writing)
    failed = [pid for pid in children if os.waitpid(pid, 0)[1]]
    elapsed = time.perf_counter() - begin
    packed = os.read(reading, _SECONDS.size * processes)
    os.close(reading)
    if failed:
        raise RuntimeError(f"{len(failed)} of {processes} processes failed")
    rates = [count / processes / seconds for (seconds,) in _SECONDS.iter_unpack(packed)]
    return Rates(count / elapsed, sum(rates) / len(rates))


def _fork(work: Callable[[int], object], number: int, writing: int) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        begin = time.perf_counter()
        work(number)
        os.write(writing, _SECONDS.pack(time.perf_counter() - begin))
        status = 0
    except BaseException:  # noqa: BLE001 - the child must not return into the parent's code
        traceback.print_exc()
    finally:
        os._exit(status)


class Helper:
    """A child process that answers a line of words with a line of JSON."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def ask(self, *words: object) -> Any:
        """Send one request and wait for its answer. RuntimeError when the helper has died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            print(*words, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended without an answer to {words!r}")
        return json.loads(line)

    def close(self) -> None:
        """End it and whatever it has started."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
