"""What others see of a worker while it registers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spoolq.files.store import FileBackend
from tests.support.faults import Call, Plan, watched


class Watch(Plan):
    """Somebody looks after every change of the disk."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self._look = look

    def perform(self, call: Call, execute: Callable[[], Any]) -> Any:
        """Let it through, and look."""
        result = super().perform(call, execute)
        self._look()
        return result


def test_a_worker_is_never_seen_without_what_it_serves(tmp_path: Path) -> None:
    """A server started a worker and found it listed, but not its queues: they came later."""
    other = FileBackend(str(tmp_path))
    seen: list[object] = []

    def look() -> None:
        seen.extend(worker.status for worker in other.list_workers().rows)

    backend = FileBackend(str(tmp_path), filesystem=watched(Watch(look)))
    worker = backend.register_worker(status={"queues": ["mail"]})
    backend.register_worker(worker, status={"queues": []})

    first: object = {"queues": ["mail"]}
    last: object = {"queues": []}
    changed = seen.index(last)
    assert seen == [first] * changed + [last] * (len(seen) - changed)
    assert changed > 3
