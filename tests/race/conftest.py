"""A spool for many processes, in memory where the system has such a directory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spoolq.files.store import FileBackend

OpenSpool = Callable[[], FileBackend]


@pytest.fixture
def root() -> Iterator[Path]:
    """The root of a spool, not there yet."""
    above = tempfile.mkdtemp(
        prefix="spoolq-race-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None
    )
    yield Path(above) / "spool"
    shutil.rmtree(above)


@pytest.fixture
def open_spool(root: Path) -> OpenSpool:
    """Open the spool, in whichever process this is called."""
    return lambda: FileBackend(str(root), durability="none")


@pytest.fixture
def files(open_spool: OpenSpool) -> FileBackend:
    return open_spool()
