"""Schedules: a chain of immutable states each, and a name that says which one counts.

    schedules/<name>/at.<sequence>.<nonce>       the state that counts; the file is empty
    schedules/<name>/state.<sequence>.<nonce>    a state: the schedule, and when it fires next
    schedules/<name>/job.<sequence>.<nonce>      the job that this state enqueues
    schedules/<name>/gone.<sequence>.<nonce>     in place of `at`: it was removed

To change a schedule is to write the next state and to rename `at` from the state it was made of
to the new one: a compare-and-swap, because that very name is there once (docs/decisions/0008). A
state that enqueues a job names its file in `staged`; the job was written before, whole, and after
the swap it is moved to where claimers look. Whoever comes across a state whose job may not have
been moved moves it, before anything else: its name is decided, so only one of them does it, and
none of them can do it twice. Nobody leads and nobody waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

from spoolq.errors import (
    InvalidType,
    InvalidValue,
    JobCorrupt,
    QueueClosed,
    QueueFull,
    SpoolUnavailable,
)
from spoolq.files import names, records
from spoolq.files.catalog import Catalog
from spoolq.files.counters import Counter
from spoolq.files.fs import Denied, Filesystem, NoDirectory
from spoolq.files.layout import Layout
from spoolq.files.places import Place, Places, job_name, ready
from spoolq.files.publish import Publisher
from spoolq.files.settle import Settler
from spoolq.schedules import check_record, fire, is_due, job_of
from spoolq.transitions import Record

_TRIES: Final = 100
_LEFTOVER: Final = 3600.0  # seconds after which nobody is about to make a state count any more


class Version(NamedTuple):
    """A state of a schedule."""

    directory: str
    sequence: int
    nonce: str
    record: Record | None  # None: it cannot be read
    problem: str = ""

    @property
    def tag(self) -> str:
        """What the names of its files end in."""
        return f"{self.sequence}.{self.nonce}"


class Next(NamedTuple):
    """What a schedule is to become, and the job it enqueues with that."""

    record: Record
    job: Record | None = None


Change = Callable[[Record | None], Next | None]


class Broken(NamedTuple):
    """A schedule that cannot be read, and why."""

    name: str
    path: str
    reason: str


class Schedules:
    """The schedules of one spool."""

    def __init__(
        self,
        fs: Filesystem,
        layout: Layout,
        places: Places,
        catalog: Catalog,
        publisher: Publisher,
        settler: Settler,
        counter: Counter,
        jobs: Counter,
    ) -> None:
        self._fs = fs
        self._layout = layout
        self._places = places
        self._catalog = catalog
        self._publisher = publisher
        self._settler = settler
        self._counter = counter
        self._jobs = jobs
        self._seen: dict[str, Version] = {}  # by directory; a version never changes
        self._refused: set[str] = set()  # states that cannot be dispatched on this host
        self._published: set[str] = set()  # states whose job is known to have been moved
        self._next: tuple[tuple[int, int], float | None] | None = None

    # -- what can be done to one -----------------------------------------------------------------

    def put(self, name: str, change: Callable[[Record | None], Record], now: float) -> int:
        """Store what `change` makes of a schedule (None: there is none); its id.

        Nothing is written when nothing changes.
        """
        stored = 0

        def make(old: Record | None) -> Next | None:
            nonlocal stored
            record = change(old)
            if not record["id"]:
                record = {**record, "id": stored or self._take_id()}
            stored = record["id"]
            return None if record == old else Next(record)

        self._settle(self._directory(name), make, now)
        return stored

    def alter(self, name: str, change: Callable[[Record], Record], now: float) -> bool:
        """Store what `change` makes of a schedule; False when there is none."""
        there = False

        def make(old: Record | None) -> Next | None:
            nonlocal there
            there = old is not None
            record = None if old is None else change(old)
            return None if record is None or record == old else Next(record)

        self._settle(self._directory(name), make, now)
        return there

    def _settle(self, directory: str, make: Change, now: float) -> None:
        """Change a schedule, or make sure that what it is already survives power loss."""
        if self._swap(directory, make, now):
            self._tell()
        else:
            # SYNC: whoever stored it may have died before that.
            self._sync(directory)

    def _sync(self, directory: str) -> None:
        self._fs.sync_directory(directory)
        if not self._fs.ordered:
            self._fs.sync_directory(self._layout.schedules)  # its beginner may have died, too

    def remove(self, name: str) -> bool:
        """Remove a schedule; False when there is none. Survives power loss after return."""
        fs, directory = self._fs, self._directory(name)
        while version := self._newest(directory):
            self._complete(version)
            gone = f"gone.{version.sequence + 1}.{names.nonce()}"
            if fs.move(f"{directory}/at.{version.tag}", f"{directory}/{gone}"):
                fs.sync_directory(directory)
                # CRASH: dying here leaves what whoever comes next clears away.
                self._clear(directory)
                self._next = None
                self._tell()
                return True
            # RACE: it was changed, or removed by somebody else.
        return False

    def dispatch(self, now: float, interval: float, report: Callable[[str], None]) -> list[Any]:
        """Enqueue what is due: (schedule's id, name, job's id) each.

        A schedule that cannot be dispatched here is passed over, and reported.
        """
        fired, roomy = [], False
        versions = [version for path in self._directories() if (version := self._newest(path))]
        for version in sorted(versions, key=_by_id):
            try:
                if version.record is None:
                    continue
                self._complete(version)
                if is_due(version.record, now) and not roomy:
                    self._publisher.check_space()
                    roomy = True
                while entry := self._fire(version.directory, now, interval):
                    if entry[2]:
                        fired.append(entry)
            except (QueueClosed, QueueFull):
                self._refused.add(version.tag)  # it stays due
            except (InvalidValue, Denied) as error:
                self._refused.add(version.tag)
                report(f"a schedule cannot be dispatched here: {error} ({version.directory})")
        return fired

    def _fire(self, directory: str, now: float, interval: float) -> tuple[int, str, int] | None:
        """Fire or skip one occurrence (then the job is 0); None when nothing is due."""
        entry: tuple[int, str, int] | None = None
        id_ = 0

        def make(old: Record | None) -> Next | None:
            nonlocal entry, id_
            entry = None
            if old is None:
                return None
            firing = fire(old, now, interval, lambda: self._is_running(old, now))
            if firing is None:
                return None
            if firing.occurrence is None:
                entry = (old["id"], old["name"], 0)
                return Next(firing.after)
            self._publisher.admits(old["queue"])
            id_ = id_ or self._jobs.take()
            entry = (old["id"], old["name"], id_)
            return Next({**firing.after, "last_job": id_}, {**job_of(old, now), "id": id_})

        return entry if self._swap(directory, make, now) else None

    def _is_running(self, record: Record, now: float) -> bool:
        found = self._catalog.find(record["last_job"]) if record["last_job"] else None
        return (
            found is not None and found.state in ("inactive", "active") and not found.expired(now)
        )

    # -- looking ---------------------------------------------------------------------------------

    def listed(self) -> Iterator[Record]:
        """Every schedule that can be read."""
        for directory in self._directories():
            version = self._newest(directory)
            if version is not None and version.record is not None:
                yield version.record

    def broken(self) -> Iterator[Broken]:
        """Every schedule that cannot be read."""
        for directory in self._directories():
            version = self._newest(directory)
            if version is not None and version.record is None:
                encoded = directory.rpartition("/")[2]
                path = f"{directory}/state.{version.tag}"
                yield Broken(names.decode(encoded) or encoded, path, version.problem)

    def next_run(self) -> float | None:
        """When the next schedule is due. On a local file system it is only looked for again when
        one was changed since."""
        # Looked at first: what changes between the two is looked for once more.
        changed = self._fs.changed(self._layout.schedules)
        if self._next is None or not self._fs.local or self._next[0] != changed:
            versions = map(self._newest, self._directories())
            runs = (
                version.record["next_run"]
                for version in versions
                if version and version.record and is_due(version.record, float("inf"))
                if version.tag not in self._refused
            )
            self._next = (changed, min(runs, default=None))
        return self._next[1]

    def _tell(self) -> None:
        """Have workers of this host look when the next schedule is due: a hint."""
        self._fs.touch_directory(self._layout.schedules)
        for queue in self._fs.list(self._layout.wakeup):
            self._publisher.ring(queue)

    # -- upkeep ----------------------------------------------------------------------------------

    def repair(self, now: float, disk_now: float) -> None:
        """Complete what was decided, and remove what will never be."""
        for directory in self._directories():
            with suppress(Denied):
                version = self._newest(directory)
                if version is None:
                    if not self._clear(directory):
                        self._fs.rmdir(directory)  # whoever cleared it has died before this
                    continue
                self._complete(version)
                self._sweep(version)
                if version.record is not None and self._has_leftovers(version, disk_now):
                    # Its writer may be asleep: only after this it can never make it count.
                    self._swap(directory, _anew, now)

    def _has_leftovers(self, version: Version, disk_now: float) -> bool:
        times = (
            self._fs.modified(f"{version.directory}/{name}")
            for name, number, tag in self._files(version.directory)
            if number > version.sequence and tag != version.tag
        )
        return any(at is not None and at < disk_now - _LEFTOVER for at in times)

    def recover_from_power_loss(self) -> int:
        """Before anybody else uses the spool after a boot; the highest id of a job here."""
        highest, last = 0, 0
        for directory in self._directories():
            states = [
                (number, tag)
                for name, number, tag in self._files(directory)
                if name.startswith("state.")
            ]
            if self._at(directory) is None and states and not self._is_gone(directory):
                # A file system that may lose half of a rename has lost `at`.
                self._fs.mark(f"{directory}/at.{max(states)[1]}")
            version = self._newest(directory)
            record = version.record if version else None
            if version is None or record is None:
                continue
            highest, last = max(highest, record["last_job"] or 0), max(last, record["id"])
            staged = record["staged"]
            if staged and self._catalog.find(names.job_id(staged)) is not None:
                # It was moved, has gone on and was synced there; only its old name came back.
                self._fs.unlink(f"{directory}/job.{version.tag}")
            else:
                self._complete(version)
        if last and not self._fs.ordered:
            self._counter.skip_lost(last)
        return highest

    # -- the chain -------------------------------------------------------------------------------

    def _swap(self, directory: str, change: Change, now: float) -> bool:
        """Replace a state by what `change` makes of it; False when it wants no change.

        After return the new state and its job survive power loss.
        """
        while True:
            version = self._newest(directory)
            if version is not None:
                self._complete(version)
            wanted = change(version and version.record)
            if wanted is None:
                return False
            sequence = version.sequence + 1 if version else 1
            after = Version(directory, sequence, names.nonce(), wanted.record)
            if self._begin(after) if version is None else self._follow(version, after, wanted, now):
                return True
            # RACE: another swap was quicker.

    def _follow(self, version: Version, after: Version, wanted: Next, now: float) -> bool:
        """Make the next state of a schedule; False when `version` is not its state any more."""
        fs, directory = self._fs, version.directory
        record = {**wanted.record, "staged": None}
        staged = f"{directory}/job.{after.tag}"
        if wanted.job is not None:
            place = ready(wanted.job["queue"], wanted.job["priority"])
            record["staged"] = str(job_name(wanted.job, place, 0, 0, after.nonce))
            fs.create(staged, records.encode(wanted.job))
        after = after._replace(record=record)
        state = f"{directory}/state.{after.tag}"
        # CRASH: dying before the move leaves a state, and a job, that never counted.
        fs.create(state, _encode(record))
        if not fs.move(f"{directory}/at.{version.tag}", f"{directory}/at.{after.tag}"):
            fs.unlink(state)
            if wanted.job is not None:
                fs.unlink(staged)
            return False
        # SYNC: nobody may see the job that could be lost again, and be made once more.
        self._sync(directory)
        self._remember(after)
        # CRASH: dying here leaves a job that whoever comes next puts in its place.
        self._complete(after)
        if version.record is None:
            old = f"{directory}/state.{version.tag}"
            self._settler.set_aside(old, version.problem, now)
        self._sweep(after)
        self._fs.touch_directory(self._layout.schedules)
        return True

    def _begin(self, after: Version) -> bool:
        """Make the first state: a whole directory, so that only one can be the first."""
        fs, staged = self._fs, f"{self._layout.tmp}/schedule.{after.nonce}"
        assert after.record is not None  # noqa: S101  # the caller made it
        record = {**after.record, "staged": None}
        fs.mkdir(staged)
        fs.create(f"{staged}/state.{after.tag}", _encode(record))
        fs.create(f"{staged}/at.{after.tag}", b"", sync=False)
        fs.sync_directory(staged)
        if not self._claim(staged, after.directory):
            for file in fs.list(staged):
                fs.unlink(f"{staged}/{file}")
            fs.rmdir(staged)
            # RACE: somebody else began it, or it was being removed, or both by now.
            if self._at(after.directory) is None and not self._clear(after.directory):
                self._refuse_foreign(after.directory)
            return False
        fs.sync_directory(self._layout.schedules)
        self._remember(after._replace(record=record))
        return True

    def _claim(self, staged: str, target: str) -> bool:
        try:
            return self._fs.claim_directory(staged, target)
        except NoDirectory:
            self._fs.mkdir(self._layout.schedules)  # the spool is older than schedules
            return self._fs.claim_directory(staged, target)

    def _refuse_foreign(self, directory: str) -> None:
        """Raises SpoolUnavailable where a directory is there that is no schedule's."""
        if self._fs.is_directory(directory):
            raise SpoolUnavailable(f"{directory} holds what is no schedule", directory)

    def _complete(self, version: Version) -> None:
        """Put the job that this state enqueues where claimers look, unless that was done."""
        file = version.record and version.record["staged"]
        if version.record is None or not file or version.tag in self._published:
            return
        source = f"{version.directory}/job.{version.tag}"
        if not self._fs.local:
            self._fs.touch_directory(version.directory)
        listed = self._fs.has(source)
        # Where a listing may be old only the rename itself knows.
        if listed or not self._fs.local:
            self._publish(source, file, version.record, is_new=listed)
        if len(self._published) > 1000:
            self._published.clear()
        self._published.add(version.tag)

    def _publish(self, source: str, file: str, record: Record, *, is_new: bool) -> None:
        fs, place, block = self._fs, _place(record), names.block_of(names.job_id(file))
        while True:
            bucket = self._places.made(place, block) or self._places.make(place, block)
            try:
                moved = fs.move(source, f"{bucket}/{file}")
            except NoDirectory:
                self._places.forget(place, block)  # RACE: emptied and removed by a claimer
                continue
            break
        # Also for who was too late: what the other one moved may not be synced yet.
        fs.sync_directory(bucket)
        if not fs.ordered:
            fs.sync_directory(source.rpartition("/")[0])
        if moved and is_new:
            # Its id was taken a while ago: it may come before what claimers have listed.
            self._publisher.bump(place.queue)

    def _sweep(self, version: Version) -> None:
        """Remove states, and jobs, that do not count any more or never did.

        Those of a later number stay: their writer may be about to make them count.
        """
        for name, number, tag in self._files(version.directory):
            if number <= version.sequence and tag != version.tag:
                self._fs.unlink(f"{version.directory}/{name}")

    def _clear(self, directory: str) -> bool:
        """Remove what is left of a schedule that was removed; False when it was not."""
        fs = self._fs
        if not self._is_gone(directory):
            return False
        left = fs.list(directory)
        for name in left:
            if not name.startswith("gone."):
                fs.unlink(f"{directory}/{name}")
        if not fs.ordered:
            fs.sync_directory(directory)  # SYNC: without `gone` its states would count again
        for name in left:
            if name.startswith("gone."):
                fs.unlink(f"{directory}/{name}")
        fs.rmdir(directory)
        return True

    def _newest(self, directory: str) -> Version | None:
        """The state that counts; None when there is no such schedule."""
        for _ in range(1000):
            tag = self._at(directory)
            if tag is None:
                return None
            known = self._seen.get(directory)
            if known and known.tag == tag:
                return known
            version = Version(directory, *_parts(tag), None)
            try:
                data = self._fs.read(f"{directory}/state.{tag}", records.MAX_SIZE)
                if data is None and self._at(directory) != tag:
                    continue  # RACE: a newer state came and this one was removed
                version = version._replace(record=_decode(data or b"", directory, tag))
            except (JobCorrupt, Denied) as error:
                version = version._replace(problem=str(error))
            self._remember(version)
            return version
        raise SpoolUnavailable(f"the schedule in {directory} does not come to rest", directory)

    def _remember(self, version: Version) -> None:
        if len(self._seen) > 10_000:
            self._seen.clear()
        self._seen[version.directory] = version
        self._next = None

    def _at(self, directory: str) -> str | None:
        """The tag of the state that counts; None when there is no such schedule."""
        for _ in range(_TRIES):
            listed = self._fs.list(directory)
            tags = [(_parts(name[3:]), name) for name in listed if _has_tag(name, "at.")]
            gone = [(_parts(name[5:]), name) for name in listed if _has_tag(name, "gone.")]
            if tags or gone:
                name = max(tags + gone)[1]
                return name[3:] if name.startswith("at.") else None
            if not any(name.startswith("state.") for name in listed):
                return None
            # RACE: a listing may miss a name that is renamed while it runs.
        return None

    def _is_gone(self, directory: str) -> bool:
        listed = self._fs.list(directory)
        return self._at(directory) is None and any(_has_tag(name, "gone.") for name in listed)

    def _files(self, directory: str) -> Iterator[tuple[str, int, str]]:
        """The states and jobs of a schedule: name, number, tag."""
        for name in self._fs.list(directory):
            kind, _, tag = name.partition(".")
            if kind in ("state", "job") and _is_tag(tag):
                yield name, _parts(tag)[0], tag

    def _take_id(self) -> int:
        kind = "schedule"
        listed = self._fs.list(self._layout.ids)
        if not any(name.startswith(f"{kind}.") for name in listed):
            # A spool older than schedules. RACE: of two counters the further one counts.
            self._fs.mark(f"{self._layout.ids}/{kind}.1.0.0")
        return self._counter.take()

    def _directories(self) -> list[str]:
        listed: Iterable[str] = self._fs.list(self._layout.schedules)
        return [f"{self._layout.schedules}/{name}" for name in sorted(listed)]

    def _directory(self, name: str) -> str:
        return f"{self._layout.schedules}/{names.encode(name)}"


def _anew(old: Record | None) -> Next | None:
    return None if old is None else Next(old)


def _by_id(version: Version) -> int:
    return version.record["id"] if version.record else 0


def _place(record: Record) -> Place:
    return ready(record["queue"], record["priority"])


def _has_tag(name: str, kind: str) -> bool:
    return name.startswith(kind) and _is_tag(name[len(kind) :])


def _is_tag(text: str) -> bool:
    number, _, nonce = text.partition(".")
    return (
        number.isascii()
        and number.isdigit()
        and len(number) < 19
        and nonce.isascii()
        and nonce.isalnum()
    )


def _parts(tag: str) -> tuple[int, str]:
    number, _, nonce = tag.partition(".")
    return int(number), nonce


def _encode(record: Record) -> bytes:
    return records.encode_json(record, "schedule") + b"\n"


def _decode(data: bytes, directory: str, tag: str) -> Record:
    """The schedule in a state's file. Raises JobCorrupt."""
    try:
        record = check_record(records.parse(data))
    except (InvalidType, InvalidValue) as error:
        raise JobCorrupt(str(error)) from None
    if names.encode(record["name"]) != directory.rpartition("/")[2]:
        raise JobCorrupt(f"it says that its name is {record['name'][:60]!r}")
    staged = record["staged"]
    if staged is not None:
        name = names.parse(staged)
        if name is None or name.nonce != _parts(tag)[1] or name.id != record["last_job"]:
            raise JobCorrupt(f"it names the job {staged[:60]!r}, which is not its own")
    return record
