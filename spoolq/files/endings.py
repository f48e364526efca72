"""Endings: rings for whoever waits for a job when the file of its end appears.

`finished/<bucket>` and `failed/<bucket>` are watched, so that ending a job costs nobody anything
and a thousand waiters of one program share two watches for every 256 ids. A hint, as every watch:
on a network mount, or when the system allows no more watches, nothing rings.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from spoolq.errors import SpoolUnavailable
from spoolq.files import names
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver, ObservedWatch

_STATES: Final = ("finished", "failed")
Ring = Callable[[], None]


class Endings:
    """Who waits for which job in this process."""

    def __init__(self, fs: Filesystem, layout: Layout) -> None:
        self._fs = fs
        self._layout = layout
        self.become_child()

    def become_child(self) -> None:
        """In a forked child: nobody waits here, and the observer's threads are not there."""
        self._lock = threading.Lock()
        self._rings: dict[int, list[Ring]] = {}
        self._watches: dict[int, list[ObservedWatch]] = {}
        self._observer: BaseObserver | None = None

    def watch(self, id: int, ring: Ring) -> Ring | None:
        """Call `ring`, in another thread, when this job may have ended; what stops that.

        None: nothing can ring here, look now and then.
        """
        if not self._fs.local:
            return None
        block = names.block_of(id)
        with self._lock:
            if block not in self._watches and not self._begin(block):
                return None
            self._rings.setdefault(id, []).append(ring)
        return partial(self._stop, id, ring)

    def _begin(self, block: int) -> bool:
        # 55 ms, for programs that wait.
        from watchdog.events import FileCreatedEvent, FileMovedEvent
        from watchdog.observers import Observer

        watches: list[ObservedWatch] = []
        try:
            if self._observer is None:
                observer = Observer()
                observer.start()
                self._observer = observer
            for state in _STATES:
                path = f"{self._layout.root}/{state}/{block}"
                self._fs.mkdir(path)
                wanted = [FileCreatedEvent, FileMovedEvent]
                handler = _handler(self._heard)
                watches.append(self._observer.schedule(handler, path, event_filter=wanted))
        except (OSError, SpoolUnavailable):  # no more watches, or a spool that may only be read
            self._unschedule(watches)
            return False
        self._watches[block] = watches
        return True

    def _heard(self, path: str) -> None:
        id_ = names.job_id(os.path.basename(path))
        with self._lock:
            rings = tuple(self._rings.get(id_, ()))
        for ring in rings:
            ring()

    def _stop(self, id: int, ring: Ring) -> None:
        block = names.block_of(id)
        with self._lock:
            rings = self._rings.get(id, [])
            with suppress(ValueError):
                rings.remove(ring)
            if rings:
                return
            self._rings.pop(id, None)
            if any(names.block_of(other) == block for other in self._rings):
                return
            watches = self._watches.pop(block, [])
        # Not under the lock: it waits for a thread that may be about to ring.
        self._unschedule(watches)

    def _unschedule(self, watches: list[ObservedWatch]) -> None:
        for watch in watches:
            with suppress(KeyError, OSError):
                self._observer.unschedule(watch)  # type: ignore[union-attr]  # it made them


def _handler(heard: Callable[[str], None]) -> Any:
    from watchdog.events import FileSystemEventHandler

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: Any) -> None:
            heard(event.src_path)
            if getattr(event, "dest_path", ""):
                heard(event.dest_path)

    return Handler()
