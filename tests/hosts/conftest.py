"""Two hosts with one spool, on a server that is good until a test makes it bad."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from spoolq.files.store import FileBackend
from tests.hosts.work import open_at
from tests.support.fuse import Faults, Mount, hosts


@dataclass
class World:
    """A spool on a server, and the two hosts that mount it."""

    root: Path  # as the server itself has it
    mounts: list[Mount]
    hosts: list[FileBackend]

    def bad(self, faults: Faults) -> None:
        """From now on the server is as bad as this, for both."""
        for mount in self.mounts:
            mount.set(faults)


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Mount]]]:
    """A server and its two mounts: making them takes longer than most tests."""
    with hosts(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def world(server: tuple[Path, list[Mount]]) -> Iterator[World]:
    """A new spool on it."""
    backing, mounts = server
    name = f"spool{len(list(backing.iterdir()))}"
    files = [open_at(mount.path / name) for mount in mounts]
    made = World(backing / name, mounts, files)
    yield made
    made.bad(Faults())
