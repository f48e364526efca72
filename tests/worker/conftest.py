"""A spool over each backend on the real clock, and workers that run beside the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spoolq import Spool, Worker
from spoolq.loop.plan import Terms
from tests.support import wait_for


# A run is the same above every backend: above that in memory CI looks, too.
@pytest.fixture(params=[pytest.param("memory", marks=pytest.mark.slow), "files"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Spool:
    if request.param == "memory":
        return Spool("memory:")
    return Spool(tmp_path / "spool", durability="none")


@pytest.fixture
def file_spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", durability="none")


Running = Callable[..., Worker]


@pytest.fixture
def running() -> Iterator[Running]:
    """Start a worker in a thread of its own; it has registered when this returns."""
    started: list[tuple[Worker, threading.Thread]] = []

    def start(spool: Spool, terms: Terms | None = None, **status: Any) -> Worker:
        worker = spool.worker(**status)
        # Without grace: a job that hangs must not hold the test up.
        given = terms or Terms(grace=0)
        thread = threading.Thread(target=worker.run, args=(given,), daemon=True)
        thread.start()
        started.append((worker, thread))
        wait_for(lambda: worker.id is not None and worker.info() is not None)
        return worker

    yield start
    for worker, _ in started:
        worker.stop()
    for _, thread in started:
        thread.join(10)
        assert not thread.is_alive(), "a worker did not end"
