"""Places: where an inactive job lies, and the buckets that keep every directory small.

    inactive/<queue>/<priority>/<bucket>/        ready to run
    inactive/<queue>/delayed/<hour>/<bucket>/    due later
    inactive/<queue>/waiting/<parent>/<bucket>/  waits for that parent
    inactive/<queue>/held/<priority>/<bucket>/   held: claimers never look there
    finished/<bucket>/  failed/<bucket>/         ended
    active/<worker>/                             claimed

A bucket holds the jobs of 256 consecutive ids. A batch is a directory of buckets with a name of
its own, `b<first>-<last>-<nonce>`, so that one rename publishes it. Because nobody could guess
under which queue, priority, hour or parent a given id lies, `places/<bucket>/` has one empty
marker for every place that jobs of that bucket were ever put into: a look-up lists it and then
those few directories, however many jobs there are. A marker is made, and synced, before the
first job of its bucket goes there.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from spoolq.files import names
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout
from spoolq.states import State
from spoolq.transitions import Record

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Final, NamedTuple
else:
    from spoolq.tuples import NamedTuple

HOUR: Final = 3600
_REMEMBERED: Final = 4096  # places this process need not make again


class Place(NamedTuple):
    """Where a job lies: one of the kinds, and which one of that kind."""

    kind: str  # ready, delayed, waiting, held, active, finished or failed
    queue: str = ""  # encoded; of the inactive kinds
    key: str = ""  # the priority, the hour, the parent; the worker's directory
    batch: str = ""

    @property
    def state(self) -> State:
        """The state of the jobs in this place."""
        return _STATES[self.kind]

    @property
    def code(self) -> str:
        """This place as one path component."""
        if not self.key:
            return self.kind
        parts = (self.kind, self.queue, self.key, self.batch)
        return "+".join(part for part in parts if part)

    def directory(self, layout: Layout) -> str:
        """The directory of its buckets."""
        if self.kind == "ready":
            path = f"{layout.inactive}/{self.queue}/{self.key}"
        elif self.kind in BELOW:
            path = f"{layout.inactive}/{self.queue}/{self.kind}/{self.key}"
        elif self.kind == "active":
            return f"{layout.active}/{self.key}"
        else:
            return f"{layout.root}/{self.kind}"
        return f"{path}/{self.batch}" if self.batch else path

    def bucket(self, layout: Layout, block: int) -> str:
        """The directory in which the jobs of this block lie."""
        directory = self.directory(layout)
        return directory if self.kind == "active" else f"{directory}/{block}"


BELOW: Final = ("delayed", "waiting", "held")  # kinds with a directory of their own in a queue
_STATES: Final[dict[str, State]] = {
    "ready": "inactive",
    "delayed": "inactive",
    "waiting": "inactive",
    "held": "inactive",
    "active": "active",
    "finished": "finished",
    "failed": "failed",
}
FINISHED: Final = Place("finished")
FAILED: Final = Place("failed")
SETTLING: Final = Place("settling")  # of a change under way: it has no state of its own


@functools.cache
def _codes() -> tuple[re.Pattern[str], re.Pattern[str]]:
    inactive = re.compile(
        r"(ready|delayed|waiting|held)\+([A-Za-z0-9_%~-]+)\+(0|-?[1-9][0-9]{0,18})"
        r"(?:\+(b[0-9]+-[0-9]+-[0-9a-z]+))?",
        re.ASCII,
    )
    return inactive, re.compile(r"active\+([0-9]+-[0-9a-f]+)", re.ASCII)


@functools.lru_cache(_REMEMBERED)
def parse_code(code: str) -> Place | None:
    """The place with this code; None for what is none."""
    inactive, running = _codes()
    found = inactive.fullmatch(code)
    if found:
        kind, queue, key, batch = found.groups(default="")
        return Place(kind, queue, key, batch)
    found = running.fullmatch(code)
    if found:
        return Place("active", "", found[1])
    return {"finished": FINISHED, "failed": FAILED}.get(code)


def ready(queue: str, priority: int) -> Place:
    """The place of jobs that may run now."""
    return Place("ready", names.encode(queue), str(priority))


def delayed(queue: str, due: float) -> Place:
    """The place of jobs due in the hour of `due`."""
    return Place("delayed", names.encode(queue), str(int(due // HOUR)))


def waiting(queue: str, parent: int) -> Place:
    """The place of jobs that wait for one unfinished parent."""
    return Place("waiting", names.encode(queue), str(parent))


def held(queue: str, priority: int) -> Place:
    """The place of jobs that nobody may claim until they are released."""
    return Place("held", names.encode(queue), str(priority))


def active(directory: str) -> Place:
    """The place of the jobs that a worker performs."""
    return Place("active", "", directory)


def job_name(record: Record, place: Place, epoch: int, revision: int, nonce: str) -> names.JobName:
    """The name of a job's file in a place: what a list needs is in it."""
    micros, kind = names.micros, place.kind
    expires = record["expires"]
    inactive = place.state == "inactive"
    return names.JobName(
        record["id"],
        epoch,
        revision,
        nonce,
        micros(record["delayed"]) if inactive else None,
        micros(expires) if inactive and expires is not None else None,
        micros(record["started"] or 0) if kind == "active" else None,
        # A stuck job has no finished time: it never ran, and stays out of history [222, 242].
        micros(record["finished"])
        if kind in ("finished", "failed") and record["finished"] is not None
        else None,
        names.family(record["parents"]) if record["parents"] else None,
        names.encode(record["task"]),
    )


class Buckets(NamedTuple):
    """The buckets found in one place's directory: plain ones, and those of batches."""

    blocks: list[int]  # ascending, each once
    paths: dict[int, list[str]]


def list_buckets(fs: Filesystem, directory: str) -> Buckets:
    """The buckets below a directory of buckets, those inside batches too."""
    paths: dict[int, list[str]] = {}
    for name in fs.list(directory):
        for block, below in _blocks(fs, directory, name):
            paths.setdefault(block, []).append(f"{directory}/{below}")
    return Buckets(sorted(paths), paths)


def _blocks(fs: Filesystem, directory: str, name: str) -> Iterator[tuple[int, str]]:
    if name.isascii() and name.isdigit():
        yield int(name), name
    elif name.startswith("b") and name.count("-") == 2:
        for below in fs.list(f"{directory}/{name}"):
            if below.isascii() and below.isdigit():
                yield int(below), f"{name}/{below}"


class Places:
    """Makes places, and remembers which ones are made."""

    def __init__(self, fs: Filesystem, layout: Layout) -> None:
        self._fs = fs
        self._layout = layout
        self._made: dict[tuple[Place, int], str] = {}

    def made(self, place: Place, block: int) -> str | None:
        """The bucket, if this process knows that it was made."""
        return self._made.get((place, block))

    def make(self, place: Place, block: int) -> str:
        """Make the bucket of this block, and its marker before it. Both survive power loss."""
        fs, layout = self._fs, self._layout
        bucket = place.bucket(layout, block)
        if place.state == "inactive":
            # CRASH: dying here leaves a marker without a bucket: a look-up finds it empty.
            fs.mark(f"{layout.places}/{block}/{place.code}")
        fs.mkdir(bucket)
        if len(self._made) >= _REMEMBERED:
            self._made.clear()
        self._made[place, block] = bucket
        return bucket

    def forget(self, place: Place, block: int) -> None:
        """The bucket was found missing: an empty one is removed by whoever emptied it."""
        self._made.pop((place, block), None)

    def of_block(self, block: int) -> list[Place]:
        """Every place that inactive jobs of this block were put into."""
        found = (parse_code(code) for code in self._fs.list(f"{self._layout.places}/{block}"))
        return [place for place in found if place is not None]
