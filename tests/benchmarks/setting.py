"""Where a run takes place, how much it does, and what it opens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from spoolq import Spool
from spoolq.files.store import FileBackend
from tests.benchmarks.disk import syncfs
from tests.benchmarks.floor import Floor
from tests.benchmarks.processes import Helper

NONE: Final = "none"
FULL: Final = "full"
DURABILITIES: Final = (NONE, FULL)


@dataclass(frozen=True, slots=True)
class Setting:
    """One run: a directory of its own, and Minion beside it if that was asked for."""

    root: str
    quick: bool = False
    minion: Helper | None = None

    def pick(self, full: int, quick: int) -> int:
        """How often: the real number, or the one of `--quick`."""
        return quick if self.quick else full

    def path(self, name: str) -> str:
        """A path in the directory of the run, which nothing else uses."""
        return os.path.join(self.root, name)

    def floor(self, name: str) -> Floor:
        """A raw floor on the same file system."""
        return Floor(self.path(f"floor-{name}"))

    def backend(self, name: str, durability: str) -> FileBackend:
        """The file backend of the spool of this name."""
        return FileBackend(self.path(name), durability=durability)

    def spool(self, name: str, durability: str) -> Spool:
        """The spool of this name."""
        return Spool(self.path(name), durability=durability)

    def flush(self) -> None:
        """Write out what earlier steps left in memory, so that nobody pays for it later."""
        syncfs(self.root)
