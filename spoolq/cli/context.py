"""The spool a command works on, opened when it is first needed."""

from __future__ import annotations

import os
from functools import cached_property

from spoolq.cli.exits import UNUSABLE, USAGE, Refused
from spoolq.root import default_root

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    import typer

    from spoolq.backend import Backend
    from spoolq.files.producer import Producer
    from spoolq.files.viewer import Viewer
    from spoolq.settings import Settings
    from spoolq.spool import Spool


class Opened:
    """What the options before the verb chose."""

    def __init__(self, root: str | None, durability: str | None) -> None:
        """`root` is the directory, None: where the environment says."""
        if root == "":  # a variable that is not set: not the spool that was meant
            raise Refused(USAGE, "--root: which directory?")
        self.given = root is not None
        self.root = root or default_root()
        self._durability = durability or None

    def export(self) -> None:
        """Let what was chosen here be what a program opens that names no spool of its own."""
        if self.given:
            os.environ["SPOOLQ_ROOT"] = self.root
        if self._durability is not None:
            os.environ["SPOOLQ_DURABILITY"] = self._durability

    @cached_property
    def spool(self) -> Spool:
        """The spool. Raises SpoolUnavailable, or InvalidValue for a wrong durability."""
        from spoolq.spool import Spool

        # A path, even if somebody calls a directory "memory:": a command outlives nothing.
        return Spool(f"{self.root}/.", durability=self._durability)

    @cached_property
    def backend(self) -> Backend:
        """The storage of the spool, for who needs no more of it; raises what `spool` raises."""
        if "spool" in self.__dict__:
            return self.spool.backend
        from spoolq.files.store import FileBackend

        return FileBackend(self.root, durability=self._durability)

    @cached_property
    def producer(self) -> Producer:
        """The spool, to put jobs in; raises what `spool` raises."""
        from spoolq.files.producer import Producer

        durability = self._durability or os.environ.get("SPOOLQ_DURABILITY")
        return Producer(self.root, durability=durability)

    @cached_property
    def viewer(self) -> Viewer:
        """The spool, to look at names; raises what `spool` raises."""
        from spoolq.files.viewer import Viewer

        return Viewer(self.root, durability=self._durability or os.environ.get("SPOOLQ_DURABILITY"))

    @property
    def directory(self) -> str:
        """The absolute path of the spool."""
        root: str | None = getattr(self.backend, "root", None)
        if root is None:
            raise Refused(UNUSABLE, f"{self.root} is no directory")
        return root

    @property
    def settings(self) -> Settings:
        """The settings of the spool."""
        return self.producer.settings


def opened(context: typer.Context) -> Opened:
    """What the options before the verb chose, for a command."""
    found: Opened = context.find_root().obj
    return found
