"""The two backends, each on a clock the test can move. Tests never ask which one they got."""

from __future__ import annotations

import gc
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

# What is installed is compiled. Without this each of a thousand commands would compile itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

MakeBackend = Callable[..., Backend]


MEMORY = "/dev/shm"


def pytest_configure() -> None:
    """Put the spools of tests into memory where there is plenty, unless CI asks for a disk: what
    they do to one is most of the time they take. Programs have to run there, too."""
    if "CI" in os.environ or not os.path.isdir(MEMORY):
        return
    free = os.statvfs(MEMORY)
    if not free.f_flag & os.ST_NOEXEC and free.f_bavail * free.f_frsize > 1 << 30:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)


def pytest_collection_finish() -> None:
    """Every worker that a test starts forks this process and collects garbage in the fork: with
    thousands of collected tests to look through that took four times as long as the test."""
    gc.collect()
    gc.freeze()


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
