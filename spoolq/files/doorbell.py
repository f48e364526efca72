"""The doorbell: `wakeup/<queue>`, a file that whoever publishes a job touches if it is there.

One file a queue, watched by the workers of this host that wait for it: a watch on every bucket
would cost each claimer as many watches as there are buckets. What is dropped into `inactive/` by
hand rings as well. All of it is a hint: a look at the queue stays the truth, and where nothing can
be watched (a limit of the system, a network mount) the worker looks more often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from spoolq.bell import Bell
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver


class FileDoorbell(Bell):
    """Rings when a job may have become ready in one of these queues (encoded)."""

    def __init__(
        self,
        fs: Filesystem,
        layout: Layout,
        queues: Iterable[str],
        next_due: Callable[[], float | None],
    ) -> None:
        """`next_due` says in how many seconds something delayed becomes due."""
        super().__init__()
        self._next_due = next_due
        self._observer: BaseObserver | None = None
        if fs.local:
            # A spool that is older than this directory gets it here.
            fs.mkdir(layout.wakeup)
            bells = {f"{layout.wakeup}/{queue}" for queue in queues}
            for path in bells:
                fs.mark(path)
            self._observer = _observe(layout, bells, self.ring)

    @property
    def hears(self) -> bool:
        """Whether the system tells of changes here."""
        return self._observer is not None and self._observer.is_alive()

    def due(self) -> float | None:
        """Seconds until something delayed becomes due."""
        return self._next_due()

    def close(self) -> None:
        """Take it down. Its file stays: touching it costs less than asking who else waits."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(1)
        super().close()


def _observe(layout: Layout, bells: set[str], ring: Callable[[], None]) -> BaseObserver | None:
    """Watch these files and the inbox; None when the system allows no more watches."""
    # 55 ms, for workers that stay only.
    from watchdog.events import (
        FileClosedEvent,
        FileCreatedEvent,
        FileMovedEvent,
        FileSystemEventHandler,
    )
    from watchdog.observers import Observer

    class Handler(FileSystemEventHandler):
        def __init__(self, wanted: set[str] | None) -> None:
            self._wanted = wanted

        def on_any_event(self, event: Any) -> None:
            if self._wanted is None or event.src_path in self._wanted:
                ring()

    observer = Observer()
    try:
        # No filter: what a touch is called depends on the version.
        observer.schedule(Handler(bells), layout.wakeup)
        observer.schedule(
            Handler(None),
            layout.inactive,
            # Not what only looks: our own listing would wake us.
            event_filter=[FileCreatedEvent, FileMovedEvent, FileClosedEvent],
        )
        observer.start()
    except OSError:
        return None
    return observer
