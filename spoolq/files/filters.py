"""Which jobs a listing wants: what a job's name can answer, and what its content has to."""

from __future__ import annotations

from spoolq.files import names
from spoolq.files.catalog import Found
from spoolq.model import State
from spoolq.transitions import Record


class Filter:
    """What `list_jobs` was asked for, and what of it a job's name can answer."""

    def __init__(
        self,
        *,
        states: frozenset[State],
        ids: set[int] | None,
        notes: set[str] | None,
        queues: set[str] | None,
        tasks: set[str] | None,
        before: int | None,
    ) -> None:
        self.states, self.ids, self.notes = states, ids, notes
        self.queues, self.tasks, self.before = queues, tasks, before
        self._tasks = None if tasks is None else {names.encode(task) for task in tasks}
        self._queues = None if queues is None else {names.encode(queue) for queue in queues}

    def may_be(self, found: Found) -> bool:
        """Whether name and place allow that the job passes."""
        if self.before is not None and found.name.id >= self.before:
            return False
        queue = found.token.place.queue
        if queue and self._queues is not None and queue not in self._queues:
            return False
        return self._tasks is None or found.name.task in self._tasks

    def asks_content(self, found: Found) -> bool:
        """Whether the content has to be read to know."""
        if self.queues is not None and not found.token.place.queue:
            return True
        return self.notes is not None

    def accepts(self, record: Record) -> bool:
        """Whether the content passes."""
        if self.queues is not None and record["queue"] not in self.queues:
            return False
        return self.notes is None or not self.notes.isdisjoint(record["notes"])

    def only_states(self) -> bool:
        """Whether nothing but states is asked for."""
        return self.queues is None and self.only_queues()

    def only_queues(self) -> bool:
        """Whether nothing but states and queues is asked for."""
        asked = (self.ids, self.notes, self.tasks, self.before)
        return all(item is None for item in asked)
