"""Real processes for tests: each one opens the spool itself, and answers through a pipe."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from typing import Any


def in_processes(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work(0)`, `work(1)`, … return, each in a process of its own, all at the same time.

    They start together. What they return has to be JSON; a process that fails fails the test.
    """
    ready, go = os.pipe()
    running = [_start(work, number, ready, go) for number in range(count)]
    os.close(ready)
    os.close(go)  # the end of this pipe is the starting shot
    answers = [_collect(pid, reader) for pid, reader in running]
    failed = [answer["error"] for answer in answers if "error" in answer]
    assert not failed, "\n".join(failed)
    return [answer["value"] for answer in answers]


def _start(work: Callable[[int], Any], number: int, ready: int, go: int) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    try:
        os.close(go)
        os.read(ready, 1)
        answer = {"value": work(number)}
    except BaseException:  # noqa: BLE001  # whatever it is, the test shall show it
        answer = {"error": traceback.format_exc()}
    with os.fdopen(writer, "w") as pipe:
        json.dump(answer, pipe)
    os._exit(0)


def _collect(pid: int, reader: int) -> dict[str, Any]:
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status or not text:
        return {"error": f"process {pid} ended with status {status}"}
    answer: dict[str, Any] = json.loads(text)
    return answer
