"""The catalog: where a job is, and which jobs there are. Reads only; tolerates change under it.

A job only ever moves forward (inactive, active, settling, ended) except by a retry, so a scan in
that order meets it unless it was retried while the scan ran; then a second scan finds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spoolq.errors import JobCorrupt
from spoolq.files import names
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout
from spoolq.files.names import JobName
from spoolq.files.places import (
    BELOW,
    FAILED,
    FINISHED,
    SETTLING,
    Place,
    Places,
    active,
    job_name,
    list_buckets,
)
from spoolq.files.tokens import Settling, Token, Tokens
from spoolq.states import STATES, State

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Final, NamedTuple
else:
    from spoolq.tuples import NamedTuple

_LOOKS: Final = 3  # at a block whose jobs change while it is looked at


class Found(NamedTuple):
    """A job's file, and what its name says."""

    token: Token
    name: JobName

    @property
    def state(self) -> State:
        return self.token.place.state

    def expired(self, now: float) -> bool:
        """Whether it is inactive and past its expiry: then nobody is shown it [147]."""
        expires = self.name.expires
        return expires is not None and self.state == "inactive" and expires <= names.micros(now)


class Catalog:
    """Look-up by id, and walks over all jobs from the newest to the oldest."""

    def __init__(self, fs: Filesystem, layout: Layout, places: Places, tokens: Tokens) -> None:
        self._fs = fs
        self._layout = layout
        self._places = places
        self._tokens = tokens

    # -- one job ---------------------------------------------------------------------------------

    def find(self, id: int) -> Found | None:
        """Where a job is now; None when there is no such job. A change under way is completed."""
        while True:
            found = self._seek(id)
            if found is None or found.token.place != SETTLING:
                return found
            try:
                self._tokens.complete(found.token.name)
            except JobCorrupt:
                return None  # repair sets it aside

    def peek(self, id: int) -> Found | None:
        """`find` for who must change nothing: a change under way is found in SETTLING."""
        return self._seek(id)

    def revision(self, id: int) -> int | None:
        """The revision of a job, of a change under way that of the new file; None: no such job."""
        found = self._seek(id)
        return found.name.revision if found else None

    def _seek(self, id: int) -> Found | None:
        """Scan until the job is found, or was certainly not on its way while the scan ran.

        RACE: a change of an active job takes it from active/ to settling/ and back behind the
        scan. Each such change leaves an old file in the trash, or takes one away.
        """
        if id <= 0:
            return None
        found = self._scan(id)
        before: set[str] | None = None
        while found is None:
            after = self._old_files(id)
            if after == before:
                return None
            before, found = after, self._scan(id)
        return found

    def _old_files(self, id: int) -> set[str]:
        shard = self._shard(names.block_of(id))
        return {name for name in self._fs.list(shard) if name.startswith(f"{id}.")}

    def _shard(self, block: int) -> str:
        """Where the old files of a block go: it changes with every change of one of its jobs."""
        return f"{self._layout.trash}/{block}"

    def _scan(self, id: int) -> Found | None:
        block, start = names.block_of(id), f"{id}."
        for place in self._places.of_block(block):
            found = self._look(place, block, start)
            if found:
                return found
        for worker in self._fs.list(self._layout.active):
            found = self._look(active(worker), block, start)
            if found:
                return found
        for name in self._fs.list(self._layout.settling):
            change = self._tokens.committed(name) if name.startswith(start) else None
            if change:
                return Found(Token(self._layout.settling, name, SETTLING), _as_name(change))
        return self._look(FINISHED, block, start) or self._look(FAILED, block, start)

    def _look(self, place: Place, block: int, start: str) -> Found | None:
        bucket = place.bucket(self._layout, block)
        for name in self._fs.list(bucket):
            if name.startswith(start):
                parsed = names.parse(name)
                if parsed:
                    return Found(Token(bucket, name, place), parsed)
        return None

    # -- many jobs -------------------------------------------------------------------------------

    def blocks(self, states: Iterable[State], before: int | None) -> list[int]:
        """The blocks that may hold jobs of these states below an id, highest first."""
        wanted, found = set(states), set[int]()
        if "inactive" in wanted:
            found.update(_numbers(self._fs.list(self._layout.places)))
        if "active" in wanted or "inactive" in wanted or "finished" in wanted:
            found.update(names.block_of(item.name.id) for item in self.active())
        for state in ("finished", "failed"):
            if state in wanted:
                found.update(_numbers(self._fs.list(f"{self._layout.root}/{state}")))
        return sorted(
            (block for block in found if before is None or block * names.BLOCK < before),
            reverse=True,
        )

    def walk(
        self, states: Iterable[State], before: int | None = None, queues: set[str] | None = None
    ) -> Iterator[Found]:
        """Jobs of these states, highest id first, lazily: a page costs what it shows.

        `queues` are encoded; they narrow the walk where the place says the queue, and leave the
        rest for the reader of the content.
        """
        wanted = frozenset(states)
        for block in self.blocks(wanted, before):
            found = self.block(block, wanted, queues=queues)
            for id_ in sorted(found, reverse=True):
                if before is None or id_ < before:
                    yield found[id_]

    def block(
        self,
        block: int,
        states: frozenset[State],
        running: list[Found] | None = None,
        queues: set[str] | None = None,
    ) -> dict[int, Found]:
        """The jobs of one block in these states, by id: of two files of a job the later one.

        RACE: a job that is retried moves back behind the look, so it looks again if any job of
        the block changed meanwhile; one that changes all the time may still be missed.
        """
        found: dict[int, Found] = {}
        for _ in range(_LOOKS):
            before = set(self._fs.list(self._shard(block)))
            for item in self.files(block, running, states, queues):
                known = found.get(item.name.id)
                if known is None or item.name.version >= known.name.version:
                    found[item.name.id] = item
            if set(self._fs.list(self._shard(block))) == before:
                break
        return found

    def files(
        self,
        block: int,
        running: list[Found] | None = None,
        states: frozenset[State] = frozenset(STATES),
        queues: set[str] | None = None,
    ) -> Iterator[Found]:
        """Every file of a job of one block, in the order in which jobs move."""
        if "inactive" in states:
            for place in self._places.of_block(block):
                if queues is None or place.queue in queues:
                    yield from self._of_bucket(place, block)
        if "active" in states:
            if running is None:
                running = [item for item in self.active() if names.block_of(item.name.id) == block]
            yield from running
        yield from (item for item in self._under_way(block) if item.state in states)
        if "finished" in states:
            yield from self._of_bucket(FINISHED, block)
        if "failed" in states:
            yield from self._of_bucket(FAILED, block)

    def _under_way(self, block: int) -> Iterator[Found]:
        """The jobs of a block whose change is committed and not published yet, as they will be."""
        for name in self._fs.list(self._layout.settling):
            id_ = names.job_id(name.partition("@")[0])
            change = self._tokens.committed(name) if names.block_of(id_) == block else None
            if change is None:
                continue
            token = Token(self._layout.settling, name, change.place)
            record = self._tokens.read_or_none(token)
            found = self._seek(id_) if record is None else None
            if record is not None:
                numbers = (change.epoch, change.revision, change.nonce)
                yield Found(token, job_name(record, change.place, *numbers))
            elif found and found.token.place != SETTLING:
                yield found  # RACE: published, behind the look

    def _of_bucket(self, place: Place, block: int) -> Iterator[Found]:
        return self.of_directory(place, place.bucket(self._layout, block))

    def of_directory(self, place: Place, directory: str) -> Iterator[Found]:
        """The jobs in one directory of a place."""
        for name in self._fs.list(directory):
            parsed = names.parse(name)
            if parsed:
                yield Found(Token(directory, name, place), parsed)

    def directories(self, block: int) -> list[str]:
        """The directories in which jobs of this block may lie, but for the active ones."""
        places = [*self._places.of_block(block), FINISHED, FAILED]
        return [place.bucket(self._layout, block) for place in places]

    def active(self) -> Iterator[Found]:
        """The jobs that are performed now."""
        for worker in self._fs.list(self._layout.active):
            yield from self.of_worker(worker)

    def of_worker(self, directory: str) -> Iterator[Found]:
        """The jobs that a worker's directory holds."""
        place = active(directory)
        return self.of_directory(place, place.directory(self._layout))

    def buckets(self, place: Place) -> Iterator[tuple[int, str]]:
        """(block, directory) of every bucket of a place."""
        found = list_buckets(self._fs, place.directory(self._layout))
        for block in found.blocks:
            for path in found.paths[block]:
                yield block, path

    def inactive_places(self) -> Iterator[Place]:
        """Every place that holds, or may hold, inactive jobs now."""
        for queue in self.queues():
            base = f"{self._layout.inactive}/{queue}"
            for name in self._fs.list(base):
                if name in BELOW:
                    for key in self._fs.list(f"{base}/{name}"):
                        yield Place(name, queue, key)
                elif is_number(name):
                    yield Place("ready", queue, name)

    def queues(self) -> list[str]:
        """The encoded names of the queues that have or had jobs."""
        return [name for name in self._fs.list(self._layout.inactive) if not name.endswith(".json")]


def is_number(name: str) -> bool:
    """Whether a name is a whole number, perhaps negative."""
    digits = name.removeprefix("-")
    return digits.isascii() and digits.isdigit()


def _numbers(found: Iterable[str]) -> Iterator[int]:
    return (int(name) for name in found if name.isascii() and name.isdigit())


def _as_name(change: Settling) -> JobName:
    return JobName(change.id, change.epoch, change.revision, change.nonce, *(None,) * 5, task="-")
