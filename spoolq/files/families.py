"""Families: which parents a job waits for, and whom a job that ended lets go.

A waiting child lies under *one* unfinished parent. When that one is done the child moves under
the next unfinished one, or becomes ready. It is the last one in the child's list, because parents
tend to end in the order in which they were made: most children move once.

Both sides store first and list then: a child is published under its parent and looks at the
parent again; a parent's outcome is committed and its waiting children are listed. At least one
of the two sees the other. Repair scans all that wait, slowly, behind both.

    children/<bucket of parent>/<parent>/<digest>.<bucket of child>

is an empty marker: some child in that bucket carries that digest of parents in its name. It is
there before the child is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from spoolq.files import names
from spoolq.files.catalog import Catalog, Found
from spoolq.files.census import Census, families
from spoolq.files.counters import Counter
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout
from spoolq.files.places import HOUR, Place
from spoolq.states import STATES
from spoolq.transitions import Record, parent_blocks

_REMEMBERED: Final = 200_000  # parents known to be done, and markers known to be made


class Families:
    """Parents and children of the jobs of one spool."""

    def __init__(
        self,
        fs: Filesystem,
        layout: Layout,
        catalog: Catalog,
        census: Census,
        counter: Counter,
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._catalog = catalog
        self._census = census
        self._counter = counter
        # Finished or missing parents, as of `_reopened`: a finished job that becomes unfinished
        # again moves that number on, so one glance at the counter's name keeps this true.
        self._done: set[int] = set()
        self._reopened = 0
        self._marked: set[tuple[int, str, int]] = set()

    def blocking(self, record: Record, now: float, *, fresh: bool = True) -> Found | None:
        """The last parent that keeps this job waiting; None when it may run [131-139].

        Without `fresh` the caller has just taken an id, and so knows `reopened` already.
        """
        parents, done = record["parents"], self._done
        if fresh:
            self._counter.peek()
        if self._counter.reopened != self._reopened or len(done) > _REMEMBERED:
            done.clear()
            self._reopened = self._counter.reopened
        if done.issuperset(parents):
            return None
        looked: set[int] = set()
        for parent in reversed(parents):
            if parent in done or parent in looked:
                continue
            block = names.block_of(parent)
            ended = self._ended(block)
            looked.update(ended)
            if parent in ended:
                done.add(parent)
                continue
            found = self._catalog.find(parent)
            if found is None or found.state == "finished":
                if parent < self._counter.peek():
                    done.add(parent)  # an id not given out yet may still become a job
                continue
            if not found.expired(now) and parent_blocks(found.state, lax=record["lax"]):
                return found
        return None

    def _ended(self, block: int) -> set[int]:
        """The finished jobs of a block: one listing instead of a look-up for each."""
        bucket = f"{self._layout.finished}/{block}"
        return {names.job_id(name) for name in self._fs.list(bucket)}

    # -- children --------------------------------------------------------------------------------

    def mark(self, record: Record) -> None:
        """Note with every parent that it has this child, before the child is published."""
        digest = names.family(record["parents"])
        block = names.block_of(record["id"])
        if len(self._marked) > _REMEMBERED:
            self._marked.clear()
        new = {(parent, digest, block) for parent in record["parents"] if parent > 0} - self._marked
        if new:
            self._fs.mark_all(
                [f"{self._directory(parent)}/{digest}.{block}" for parent, _, _ in sorted(new)]
            )
            self._marked |= new

    def has_children(self, parent: int) -> bool:
        """Whether any job was ever made, or is just being made, with this parent."""
        return self._fs.is_there(self._directory(parent))

    def with_children(self, parents: list[int]) -> list[int]:
        """Those of these parents for which `has_children` holds: one listing a bucket."""
        blocks = {names.block_of(parent) for parent in parents}
        known = {block: set(self._fs.list(f"{self._layout.children}/{block}")) for block in blocks}
        return [parent for parent in parents if str(parent) in known[names.block_of(parent)]]

    def waiting(self, parent: int) -> Iterator[Found]:
        """The jobs that lie under this parent now, in every queue."""
        for queue in self._catalog.queues():
            place = Place("waiting", queue, str(parent))
            for _, bucket in self._catalog.buckets(place):
                yield from self._catalog.of_directory(place, bucket)

    def children(self, parent: int) -> list[int]:
        """The ids of all jobs, in any state, that name this parent [140, 141]."""
        found: list[int] = []
        blocks = self._blocks(parent)
        running = list(self._catalog.active()) if blocks else []
        for block, digests in sorted(blocks.items()):
            lists = [
                [item.name.id]
                for item in running
                if names.block_of(item.name.id) == block and item.name.family in digests
            ]
            for directory in self._catalog.directories(block):
                carried = self._census.ask(directory, families)
                lists += [carried[digest] for digest in digests if digest in carried]
            # Most blocks have all of them in one place, and in order.
            found += lists[0] if len(lists) == 1 else sorted({id_ for ids in lists for id_ in ids})
        return found

    def unfinished_children(self, parent: int, unfinished: dict[int, set[str]]) -> bool:
        """Whether a job that is not finished names this parent [216].

        `unfinished` remembers, for one caller's run, which digests the unfinished of a block carry.
        """
        for block, digests in self._blocks(parent).items():
            if block not in unfinished:
                found = self._catalog.block(block, frozenset(STATES) - {"finished"})
                unfinished[block] = {item.name.family or "" for item in found.values()}
            if not digests.isdisjoint(unfinished[block]):
                return True
        return False

    def forget(self, parent: int) -> None:
        """Drop the markers of a parent that was removed."""
        directory = self._directory(parent)
        for name in self._fs.list(directory):
            self._fs.unlink(f"{directory}/{name}")
        self._fs.rmdir(directory)
        self._marked = {known for known in self._marked if known[0] != parent}

    def _blocks(self, parent: int) -> dict[int, set[str]]:
        blocks: dict[int, set[str]] = {}
        for name in self._fs.list(self._directory(parent)):
            digest, _, block = name.partition(".")
            if block.isascii() and block.isdigit():
                blocks.setdefault(int(block), set()).add(digest)
        return blocks

    def _directory(self, parent: int) -> str:
        return f"{self._layout.children}/{names.block_of(parent)}/{parent}"


def alarm_place(queue: str, due: float) -> Place:
    """Where an alarm for this time lies: among the delayed jobs of the queue."""
    return Place("delayed", queue, str(int(due // HOUR)))


def alarm_name(parent: int, due: int) -> str:
    """An alarm: at `due` (µs) look at the children that wait for this parent, it has expired."""
    return f"alarm.{due}.{parent}"


def parse_alarm(name: str) -> tuple[int, int] | None:
    """(due in µs, parent) of an alarm's name; None for any other name."""
    word, _, rest = name.partition(".")
    due, _, parent = rest.partition(".")
    if word != "alarm" or not (rest.isascii() and due.isdigit() and parent.isdigit()):
        return None
    return int(due), int(parent)
