"""A spool opened only to put jobs in: what `spoolq add` does, in a fifth of a backend's time.

The same files by the same code as a `FileBackend` makes them, without the parts that claim, list,
settle and repair. What needs one of those is refused here, for the whole backend to do.
"""

from __future__ import annotations

import os

from spoolq.clock import SystemClock
from spoolq.files import layout as roots
from spoolq.files import names
from spoolq.files.counters import Counter
from spoolq.files.fresh import Fresh
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout
from spoolq.files.places import Places
from spoolq.settings import check_durability
from spoolq.transitions import Record

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from spoolq.control import Said
    from spoolq.settings import Settings
    from spoolq.states import JSON


class Producer:
    """Puts jobs into one spool, which is made on first use."""

    def __init__(self, root: str, *, durability: str | None = None) -> None:
        """`durability` overrides what the spool's settings say.

        Raises NotASpool, UnsupportedFormat, UnsafeSpool or SpoolUnavailable, having touched
        nothing.
        """
        self.root = os.path.abspath(root)
        self.settings: Settings = roots.read_settings(self.root)
        durable = check_durability(durability or self.settings.durability) == "full"
        self._fs = Filesystem(self.root, durable=durable, shared=self.settings.mode == "group")
        roots.open_root(self._fs, SystemClock().wall())
        self._layout = Layout(self.root)
        self._ids = Counter(self._fs, self._layout.ids, "job")
        self._publisher = Fresh(
            self._fs,
            self._layout,
            Places(self._fs, self._layout),
            self._ids,
            roots.low_water(self._fs, self.settings),
            SystemClock().elapsed,
        )

    @property
    def ready(self) -> bool:
        """Whether nothing has to be put right first: on a local disk, what a boot may have mixed
        up, by whoever opens the whole backend first."""
        return not self._fs.local or f"boot.{self._fs.boot}" in self._fs.list(self._layout.ids)

    @property
    def paused(self) -> Said | None:
        """Who has paused the queue of the job that was enqueued last; None: nobody."""
        return self._publisher.paused

    @property
    def newest(self) -> int:
        """The highest id that a job has, or has had; 0 before the first."""
        return self._ids.peek() - 1

    def now(self) -> float:
        """The spool's time: this host's on a local file system, else the file server's (R8)."""
        if self._fs.local:
            return SystemClock().wall()
        return self._fs.server_time(f"{self._layout.tmp}/clock.{names.nonce()}")

    def keep_environment(self, env: dict[str, str]) -> JSON:
        """What a job has to name or hold as its `env`: see `spoolq.environments`. Raises
        SpoolUnavailable."""
        from spoolq.files.environments import Environments  # for command lines only

        kept = Environments(self._fs, self._layout).keep(env, self.now())
        return env if kept is None else kept

    def enqueue(self, record: Record, now: float, *, hold: bool = False) -> int | None:
        """Publish a new job, held or not; its id. It survives power loss after return.

        None, and nothing stored, for a job that only the whole backend knows a place for: one
        with parents, with a unique key or with limits, and one that is delayed and expires, for
        which others may be waiting; and for one of a queue in which only so many may wait. Raises
        QueueClosed.
        """
        if "unique" in record or "limits" in record:
            return None
        if not self._publisher.admits(record["queue"]):
            return None
        if record["parents"] or (record["delayed"] > now and record["expires"] is not None):
            return None
        return self._publisher.enqueue(record, now, hold=hold)
