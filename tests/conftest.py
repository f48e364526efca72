"""The two backends, each on a clock the test can move. Tests never ask which one they got."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spoolq.backend import Backend
from spoolq.memory import MemoryBackend
from tests.support import FakeClock

# No test leaves a worker behind that `add` has started, but those that are about it.
os.environ["SPOOLQ_AUTOSTART"] = "never"

MakeBackend = Callable[..., Backend]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "files"])
def make_backend(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> MakeBackend:
    """Make an empty backend on the test's clock; options are those of its constructor."""
    made = 0

    def in_memory(**options: Any) -> Backend:
        return MemoryBackend(**{"clock": clock, **options})

    def in_files(**options: Any) -> Backend:
        from spoolq.files.store import FileBackend

        nonlocal made
        made += 1
        root = tmp_path / ("spool" if made == 1 else f"spool-{made}")
        # Waiting for the disk would be most of the run; tests of crashes ask for "full".
        return FileBackend(str(root), **{"clock": clock, "durability": "none", **options})

    return in_memory if request.param == "memory" else in_files


@pytest.fixture
def backend(make_backend: MakeBackend) -> Backend:
    return make_backend()


@pytest.fixture
def worker(backend: Backend) -> int:
    """The id of a registered worker."""
    return backend.register_worker()
