"""Real processes that do something at the same moment, or go on until they are killed."""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from tests.support.processes import in_processes


class Child:
    """A forked process that begins at once, and answers with JSON when it has ended."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._reading)
            code = 1
            try:
                with os.fdopen(writing, "wb") as answer:
                    answer.write(json.dumps(act()).encode())
                code = 0
            except BaseException:  # noqa: BLE001  # it must never go on as a second pytest
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writing)

    def runs(self) -> bool:
        """Whether it has not ended yet; it stays to be asked for its answer."""
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return ended is None

    def answer(self) -> Any:
        """What it answered, when it has ended well."""
        with os.fdopen(self._reading, "rb") as answer:
            data = answer.read()
        _, status = os.waitpid(self.pid, 0)
        assert status == 0, f"a process of the crowd ended with {status}"
        return json.loads(data)

    def kill(self) -> None:
        """`kill -9`, and wait for its end."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._reading)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run these, each in a process of its own, all from the same moment; what each answered."""
    return in_processes(len(acts), lambda number: acts[number]())


def flat(lists: Sequence[Sequence[Any]]) -> list[Any]:
    """All their elements."""
    return [element for some in lists for element in some]
