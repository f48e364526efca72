"""A spool in a directory of its own, on the test's clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spoolq.files.store import FileBackend
from tests.support import FakeClock

OpenSpool = Callable[..., FileBackend]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a spool that is not there yet."""
    return tmp_path / "spool"


@pytest.fixture
def open_spool(root: Path, clock: FakeClock) -> OpenSpool:
    """Open the spool, as another process would; options are those of the backend."""

    def open_it(**options: Any) -> FileBackend:
        return FileBackend(str(root), **{"clock": clock, "durability": "none", **options})

    return open_it


@pytest.fixture
def files(open_spool: OpenSpool) -> FileBackend:
    """The spool, new and empty."""
    return open_spool()


@pytest.fixture
def worker(files: FileBackend) -> int:
    """The id of a registered worker."""
    return files.register_worker()
