"""A spool opened only to look at names: what `spoolq is`, `count` and completion do.

The same answers as a `FileBackend` gives, by the same code, in a third of the time that loading
one takes. What needs a job's content, or something put right first, is refused here, for the
whole backend to do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice

from spoolq.clock import SystemClock
from spoolq.errors import JobCorrupt
from spoolq.executables import EXEC, executable_tasks
from spoolq.files import layout as roots
from spoolq.files import names, records
from spoolq.files.catalog import Catalog, Found
from spoolq.files.census import Census
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout
from spoolq.files.places import SETTLING, Places
from spoolq.files.tokens import Tokens
from spoolq.settings import check_durability
from spoolq.states import STATES, State
from spoolq.transitions import Record

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Final

_VIEWS: Final[dict[str, str]] = {"waiting": "blocked"}  # of a kind of place; else it is the view
_INACTIVE: Final = frozenset({"inactive"})


class Viewer:
    """Looks at one spool, which is made on first use."""

    def __init__(self, root: str, *, durability: str | None = None) -> None:
        """`durability` overrides what the settings say: a look-up completes what it finds begun.

        Raises NotASpool, UnsupportedFormat, UnsafeSpool or SpoolUnavailable, having touched
        nothing.
        """
        self.root = os.path.abspath(root)
        settings = roots.read_settings(self.root)
        durable = check_durability(durability or settings.durability) == "full"
        fs = Filesystem(self.root, durable=durable, shared=settings.mode == "group")
        roots.open_root(fs, SystemClock().wall())
        layout, clock = Layout(self.root), SystemClock()
        places = Places(fs, layout)
        tokens = Tokens(fs, layout, places, clock.elapsed)
        self._fs, self._layout, self._clock = fs, layout, clock
        self._catalog = Catalog(fs, layout, places, tokens)
        self._census = Census(fs, layout, self._catalog, clock.wall)

    @property
    def ready(self) -> bool:
        """Whether nothing has to be put right first: nothing was dropped by hand, and nothing a
        boot may have mixed up. On a file server, whose time it would have to ask for, it is not."""
        fs, layout = self._fs, self._layout
        if not fs.local or f"boot.{fs.boot}" not in fs.list(layout.ids):
            return False
        return not any(name.endswith(".json") for name in fs.list(layout.inactive))

    def states(self, ids: Iterable[int]) -> dict[int, State] | None:
        """The states of jobs; without those that are not there, or have expired.

        None while a change of one of them is under way: the whole backend completes it.
        """
        now = self._clock.wall()
        found = {id_: self._catalog.peek(id_) for id_ in ids}
        if any(job is not None and job.token.place == SETTLING for job in found.values()):
            return None
        return {id_: job.state for id_, job in found.items() if job and not job.expired(now)}

    def count(self, states: Iterable[State], queues: Iterable[str] | None = None) -> int | None:
        """How many jobs there are in these states, and in these queues.

        None when names do not tell: of a job that is not inactive its content says the queue.
        """
        asked = frozenset(states)
        if queues is None:
            return sum(self._count(state) for state in asked)
        if asked != _INACTIVE:
            return None
        encoded = {names.encode(queue) for queue in queues}
        return self._census.count_inactive(self._clock.wall(), encoded)[0]

    def _count(self, state: State) -> int:
        if state == "inactive":
            return self._census.count_inactive(self._clock.wall())[0]
        if state == "active":
            return sum(1 for _ in self._catalog.active())
        return self._census.count(state)

    def unfinished(self) -> dict[int, tuple[str, int, int]]:
        """(state, epoch, revision) of every job that has not ended: it changes with the job."""
        found = self._catalog.walk(("inactive", "active"))
        return {job.name.id: (job.state, job.name.epoch, job.name.revision) for job in found}

    def newest(self, states: Iterable[State] = STATES, *, limit: int) -> list[tuple[int, str, str]]:
        """(id, what it does, task or command line) of the newest jobs in these states.

        What an inactive one does is what its place says: ready, delayed or blocked.
        """
        found = islice(self._catalog.walk(states), limit)
        return [(job.name.id, self._view(job), self._words(job)) for job in found]

    def queues(self) -> list[str]:
        """The queues that have or had jobs, but for those whose names are too long for a name."""
        found = (names.decode(queue) for queue in self._catalog.queues())
        return [queue for queue in found if queue]

    def tasks(self) -> set[str]:
        """The tasks that executables in `jobs/` perform, and those that workers say they know."""
        found = executable_tasks(self.root)
        for name in self._fs.list(self._layout.workers):
            if ".status." in name:
                found |= self._tasks_in(f"{self._layout.workers}/{name}")
        return found

    def _tasks_in(self, path: str) -> set[str]:
        try:
            data = self._fs.read(path, records.MAX_SIZE)
            status = {} if data is None else records.parse(data)
        except JobCorrupt:
            return set()
        tasks = status.get("tasks") if isinstance(status, dict) else None
        return (
            {task for task in tasks if isinstance(task, str)} if isinstance(tasks, list) else set()
        )

    def _view(self, job: Found) -> str:
        kind = job.token.place.kind
        if kind == "delayed" and (job.name.due or 0) <= names.micros(self._clock.wall()):
            return "ready"
        return _VIEWS.get(kind, kind)

    def _words(self, job: Found) -> str:
        task = names.decode(job.name.task)
        if task is not None and task != EXEC:
            return task
        record = self._read(job)
        if record is None:
            return task or ""
        return " ".join([*([] if task else [record["task"]]), *map(str, record["args"])])

    def _read(self, job: Found) -> Record | None:
        try:
            data = self._fs.read(job.token.path, records.MAX_SIZE)
            return None if data is None else records.decode(data)
        except JobCorrupt:
            return None  # repair sets it aside
