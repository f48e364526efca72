"""Workers that fell silent, and what is put on record when nobody can say that they are dead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spoolq.files.store import FileBackend
from tests.support import FakeClock, claim


def incidents(root: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((root / "incidents").iterdir())]


def test_a_job_of_a_worker_that_only_fell_silent_is_put_on_record(
    files: FileBackend, clock: FakeClock, root: Path, worker: int
) -> None:
    """Found by chaos: a worker that was stopped, given up and then killed said nothing."""
    job = files.enqueue("foo", attempts=2)
    claim(files, worker)
    clock.advance(files.missing_after + 1)

    files.repair()

    [incident] = incidents(root)
    assert incident["incident"] == "worker given up"
    assert (incident["job"], incident["worker"], incident["epoch"]) == (job, worker, 0)


def test_a_silent_worker_without_a_job_is_nothing_to_report(
    files: FileBackend, clock: FakeClock, root: Path, worker: int
) -> None:
    clock.advance(files.missing_after + 1)

    files.repair()

    assert files.list_workers().rows == []
    assert incidents(root) == []


def test_a_worker_that_is_proven_dead_cannot_run_anything_beside_others(
    files: FileBackend, root: Path, worker: int
) -> None:
    files.enqueue("foo")
    claim(files, worker)
    [registration] = (root / "workers").glob(f"{worker}-*")
    about = json.loads(registration.read_text())
    registration.write_text(json.dumps({**about, "pid": 2**22 + 1}))

    files.repair()

    assert files.list_workers().rows == []
    assert incidents(root) == []
