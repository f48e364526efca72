"""What is said of a queue: a chain in `inactive/<queue>/control/`, made when something is said.

A claimer reads it when the listing of `inactive/<queue>/` has changed, which it looks at anyway:
whoever changes a state moves the queue's generation on. One of a queue of which nothing was ever
said costs nobody anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from spoolq.control import NOTHING, UNREADABLE, Control, from_json, to_json
from spoolq.errors import JobCorrupt
from spoolq.files import names, records
from spoolq.files.chain import Chain
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout

CONTROL: Final = "control"


class Queues:
    """What is said of the queues of one spool. Queues are named as in paths: encoded."""

    def __init__(self, fs: Filesystem, layout: Layout) -> None:
        self._fs = fs
        self._layout = layout
        self.limits: dict[str, int] = {}
        """How many jobs may run at once, of the queues with a limit, as they were last read."""
        self._chain = Chain(
            fs,
            layout,
            _encode,
            _decode,
            nothing=NOTHING,
            unreadable=UNREADABLE,
            durable=True,
        )

    def read(self, queue: str) -> Control:
        """What is said of a queue now."""
        control = self._chain.newest(self._directory(queue)).value
        if control.limit is None:
            self.limits.pop(queue, None)
        else:
            self.limits[queue] = control.limit
        return control

    def change(self, queue: str, change: Callable[[Control], Control]) -> bool:
        """Change what is said of a queue (by its own name); False when that changes nothing.

        Survives power loss after return. The caller moves the queue's generation on.
        """

        def swapped(before: Control) -> Control | None:
            after = change(before)
            return None if after == before else after

        return self._chain.swap(self._directory(names.encode(queue)), queue, swapped)

    def everything(self, queues: list[str]) -> dict[str, Control]:
        """By the encoded name, for those of these queues of which anything was ever said."""
        said = [queue for queue in queues if self._fs.is_directory(self._directory(queue))]
        return {queue: self.read(queue) for queue in said}

    def name(self, queue: str) -> str | None:
        """The queue's own name as its state has it, for one that is too long for a path."""
        directory = self._directory(queue)
        tag = self._chain.at(directory)
        try:
            data = None if tag is None else self._chain.read(directory, tag)
            return None if data is None else str(records.parse(data)["queue"])
        except (JobCorrupt, KeyError, TypeError):
            return None

    def _directory(self, queue: str) -> str:
        return f"{self._layout.inactive}/{queue}/{CONTROL}"


def _encode(queue: str, control: Control) -> bytes:
    return records.encode_json({"queue": queue, **to_json(control)}, "queue") + b"\n"


def _decode(data: bytes) -> Control:
    value: Any = records.parse(data)
    return from_json(value)
