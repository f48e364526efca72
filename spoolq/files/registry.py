"""Workers: who is registered, who is alive, and what was said to them.

    workers/<worker>.<beat>.<time in µs>    the registration; a heartbeat renames it
    workers/<worker>.status.<n>             what the worker says of itself, newest n
    active/<worker>/                        what it performs
    commands/<worker>/                      what it was told

`<worker>` is `<id>-<32 hex digits>`: the id for people, 128 random bits so that no directory is
ever a worker's again. Liveness is a name that changes: to declare a worker dead is to move away
the very name of its last heartbeat, so of a beat and a declaration one loses (R7).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from spoolq.errors import JobCorrupt
from spoolq.files import names, records
from spoolq.files.catalog import Catalog
from spoolq.files.counters import Counter
from spoolq.files.fs import Filesystem, boot_id
from spoolq.files.layout import Layout
from spoolq.liveness import Beacon, is_dark
from spoolq.model import JSON, WorkerInfo

_LIMIT = 1024 * 1024  # bytes of one status or command
_REMEMBERED: Final = 1000  # other workers of which something is kept
_ENTRY: Final = re.compile(r"((\d{1,19})-[0-9a-f]{32})\.(\d{1,18})\.(-?\d{1,18})", re.ASCII)
_COMMAND: Final = re.compile(r"[0-9]{20}\.[0-9a-z]+\.[0-9a-z]+\.json", re.ASCII)


class Entry(NamedTuple):
    """A registration: its worker, its last heartbeat, and the name that carries both."""

    worker: str
    id: int
    beat: int
    notified: float
    name: str


class Sighting(NamedTuple):
    """Since when a watcher has seen a worker at this heartbeat, and when it last looked."""

    beat: int
    first: float
    last: float


class Registry:
    """The workers of one spool."""

    def __init__(self, fs: Filesystem, layout: Layout, catalog: Catalog, counter: Counter) -> None:
        self._fs = fs
        self._layout = layout
        self._catalog = catalog
        self._counter = counter
        self._mine: dict[int, Entry] = {}  # registrations this process has made or renewed
        self._statuses: dict[str, str] = {}
        self._sent = 0
        self._watching: Callable[[], float] | None = None
        self._seen: dict[str, Sighting] = {}
        self._abouts: dict[str, dict[str, Any]] = {}
        self._beacon: Beacon | None = None

    # -- registration ----------------------------------------------------------------------------

    def register(self, worker_id: int | None, status: Mapping[str, JSON] | None, now: float) -> int:
        """Register a worker, or send its heartbeat; its id [194-200]."""
        entry = self._renew(worker_id, now) if worker_id is not None else None
        if entry is None:
            entry = self._enter(worker_id, now, status)
        self._mine[entry.id] = entry
        if status is not None:
            self._publish_status(entry.worker, status)
        return entry.id

    def _renew(self, worker_id: int, now: float) -> Entry | None:
        """Rename the registration to its next beat; None when it is not there any more."""
        entry = self._mine.get(worker_id) or self.entry(worker_id)
        while entry:
            after = entry._replace(beat=entry.beat + 1, notified=now)
            after = after._replace(name=_entry_name(after))
            if self._fs.move(
                f"{self._layout.workers}/{entry.name}", f"{self._layout.workers}/{after.name}"
            ):
                return after
            # RACE: another thread beat for the same worker, or it was declared dead.
            self._mine.pop(worker_id, None)
            entry = self.entry(worker_id)
        return None

    def _enter(self, worker_id: int | None, now: float, status: Mapping[str, JSON] | None) -> Entry:
        id_ = self._counter.take() if worker_id is None else worker_id
        worker = f"{id_}-{os.urandom(16).hex()}"
        entry = Entry(worker, id_, 0, now, "")
        entry = entry._replace(name=_entry_name(entry))
        staged = f"{self._layout.tmp}/worker.{worker}"
        about = {**this_process(), "started": now}
        if status is not None:  # nobody ever sees a worker that does not say what it serves
            about["status"] = dict(status)
        if self._beacon is not None:
            about["beacon"] = self._beacon.sign()
        self._fs.create(staged, json.dumps(about).encode())
        # The registration comes first: a directory in active/ without one is a dead worker's.
        self._fs.move(staged, f"{self._layout.workers}/{entry.name}", private=True)
        self._fs.mkdir(f"{self._layout.commands}/{worker}")
        self._fs.mkdir(f"{self._layout.active}/{worker}")
        return entry

    def _publish_status(self, worker: str, status: Mapping[str, JSON]) -> None:
        data = records.encode_json(dict(status), "status")
        if self._statuses.get(worker) == data.decode():
            return
        old = self._status_files(worker)
        number = old[-1][0] + 1 if old else 1
        staged = f"{self._layout.tmp}/status.{names.nonce()}"
        self._fs.create(staged, data, sync=False)
        target = f"{self._layout.workers}/{worker}.status.{number}.{names.nonce()}"
        self._fs.move(staged, target, private=True)
        for _, name in old:
            self._fs.unlink(f"{self._layout.workers}/{name}")
        self._statuses[worker] = data.decode()

    def unregister(self, worker_id: int) -> None:
        """Take a worker off the registry; unknown ones are none already [198]."""
        self._mine.pop(worker_id, None)
        for entry in self.entries():
            if entry.id == worker_id:
                self.declare_dead(entry)
                # Empty, unless it still performs something: then repair fails that [211].
                self._fs.rmdir(f"{self._layout.active}/{entry.worker}")

    def declare_dead(self, entry: Entry) -> bool:
        """Move this very heartbeat away; False when the worker beat meanwhile, or is gone."""
        fs, layout = self._fs, self._layout
        gone = f"{layout.trash}/{entry.name}.{names.nonce()}"
        if not fs.move(f"{layout.workers}/{entry.name}", gone):
            return False
        fs.unlink(gone)
        self.clean(entry.worker)
        return True

    def clean(self, worker: str) -> None:
        """Remove the status and the inbox of a worker that is not registered any more."""
        fs, layout = self._fs, self._layout
        for _, name in self._status_files(worker):
            fs.unlink(f"{layout.workers}/{name}")
        inbox = f"{layout.commands}/{worker}"
        for name in self._commands(inbox):
            fs.unlink(f"{inbox}/{name}")
        fs.rmdir(inbox)

    # -- looking ---------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """Every registration, newest worker first."""
        found = [
            entry for name in self._fs.list(self._layout.workers) if (entry := _parse_entry(name))
        ]
        return sorted(found, key=lambda entry: entry.id, reverse=True)

    def entry(self, worker_id: int) -> Entry | None:
        """The registration of a worker; None when it has none."""
        return next((entry for entry in self.entries() if entry.id == worker_id), None)

    def directory(self, worker_id: int) -> str | None:
        """The name of a worker's directory; None when it is not registered."""
        entry = self._mine.get(worker_id) or self.entry(worker_id)
        return entry.worker if entry else None

    def lost(self, worker_id: int) -> None:
        """The worker's directory was found missing: it was declared dead."""
        self._mine.pop(worker_id, None)

    def info(self, entry: Entry) -> WorkerInfo | None:
        """A worker as callers see it; None when it has just gone."""
        about = self.about(entry)
        if about is None:
            return None
        return WorkerInfo(
            id=entry.id,
            host=str(about.get("host", "")),
            pid=_whole(about.get("pid")),
            started=_seconds(about.get("started")),
            notified=entry.notified,
            status=self._status(entry.worker, about),
            jobs=sorted(item.name.id for item in self._catalog.of_worker(entry.worker)),
        )

    def about(self, entry: Entry) -> dict[str, Any] | None:
        """What a worker said of its process when it registered."""
        for _ in range(3):
            value = self._read(f"{self._layout.workers}/{entry.name}")
            if value is not None:
                return value
            fresh = self.entry(entry.id)  # RACE: it beat between listing and reading
            if fresh is None or fresh.worker != entry.worker:
                return None
            entry = fresh
        return None

    def _status(self, worker: str, about: Mapping[str, Any]) -> dict[str, JSON]:
        """What a worker says of itself now, or said when it registered."""
        for _, name in reversed(self._status_files(worker)):
            said = self._read(f"{self._layout.workers}/{name}")
            if said is not None:
                return said
        first = about.get("status")
        return dict(first) if isinstance(first, dict) else {}

    def _status_files(self, worker: str) -> list[tuple[int, str]]:
        """What a worker said of itself, the newest last."""
        prefix = f"{worker}.status."
        return sorted(
            (number, name)
            for name in self._fs.list(self._layout.workers)
            if name.startswith(prefix)
            and (number := names.number(name[len(prefix) :].partition(".")[0])) is not None
        )

    def _read(self, path: str) -> dict[str, Any] | None:
        try:
            data = self._fs.read(path, _LIMIT)
            value = None if data is None else records.parse(data)
        except JobCorrupt:
            return None
        return value if isinstance(value, dict) else None

    # -- commands --------------------------------------------------------------------------------

    def broadcast(self, command: str, args: Sequence[JSON], ids: Iterable[int], now: float) -> bool:
        """Put a command into inboxes; True when a registered worker has it [288-293]."""
        data = records.encode_json([command, *args], "command")
        wanted = set(ids)
        reached = False
        # One sender's commands stay in order even if the clock is set back between two of them.
        self._sent = max(self._sent + 1, names.micros(now))
        for entry in self.entries():
            if wanted and entry.id not in wanted:
                continue
            staged = f"{self._layout.tmp}/command.{names.nonce()}"
            self._fs.create(staged, data, sync=False)
            name = f"{self._sent:020d}.{names.actor()}.{names.nonce()}.json"
            inbox = f"{self._layout.commands}/{entry.worker}"
            if self._fs.is_directory(inbox):
                reached |= self._fs.move(staged, f"{inbox}/{name}", private=True)
            else:
                self._fs.unlink(staged)  # RACE: it has just unregistered
        return reached

    def receive(self, worker_id: int) -> list[list[JSON]]:
        """Take everything out of a worker's inbox, in order, each once [290-292]."""
        worker = self.directory(worker_id)
        if worker is None:
            return []
        inbox = f"{self._layout.commands}/{worker}"
        received: list[list[JSON]] = []
        for name in self._commands(inbox):
            try:
                data = self._fs.read(f"{inbox}/{name}", _LIMIT)
                value = None if data is None else records.parse(data)
            except JobCorrupt:
                value = None
            # Moved, not unlinked: of a move it can be told afterwards whether it was this one,
            # and a server that loses a reply must not swallow a command.
            gone = f"{self._layout.trash}/{name}.{names.nonce()}"
            if self._fs.move(f"{inbox}/{name}", gone):
                self._fs.unlink(gone)
                if isinstance(value, list) and value:
                    received.append(value)
        return received

    def unread(self, worker_id: int) -> int:
        """How many commands lie in a worker's inbox."""
        entry = self.entry(worker_id)
        return len(self._commands(f"{self._layout.commands}/{entry.worker}")) if entry else 0

    def _commands(self, inbox: str) -> list[str]:
        """The commands in an inbox, in the order they were sent; foreign files are left alone."""
        return sorted(name for name in self._fs.list(inbox) if _COMMAND.fullmatch(name))

    # -- death -----------------------------------------------------------------------------------

    def watch(self, elapsed: Callable[[], float]) -> None:
        """Judge other workers by what is seen of them from now on (`silent`), on this clock.

        A worker registered from now on proves its life with a beacon too.
        """
        self._watching = elapsed
        if self._beacon is None:
            self._beacon = Beacon.light(names.nonce())

    def silent(self, entry: Entry, now: float, missing_after: float) -> bool:
        """Whether a worker has not beaten for too long.

        Who watches compares no clocks (R8): the same heartbeat has to be seen for that long on
        the watcher's own clock, without a gap in which it did not look. For who comes and goes the
        spool's time is all there is.
        """
        if self._watching is None:
            return now - entry.notified > missing_after
        at = self._watching()
        seen = self._seen.get(entry.worker)
        if seen is None or seen.beat != entry.beat or at - seen.last > missing_after / 2:
            if len(self._seen) > _REMEMBERED:
                self._seen.clear()
            self._seen[entry.worker] = Sighting(entry.beat, at, at)
            return False
        self._seen[entry.worker] = seen._replace(last=at)
        return at - seen.first > missing_after

    def proven_dead(self, entry: Entry) -> bool:
        """Whether the worker's process is gone for certain. False proves nothing.

        It ran on this very boot, and no process with its pid has its start time; or its beacon,
        which the system puts out when the process ends, is dark. The beacon tells across pid
        namespaces, and of a process of another user.
        """
        about = self._about_remembered(entry)
        here = this_process()
        if about is None or not here["boot"] or about.get("boot") != here["boot"]:
            return False
        pid = about.get("pid")
        if about.get("namespace") == here["namespace"] and isinstance(pid, int):
            return _has_ended(pid, about.get("start"))
        beacon = about.get("beacon")
        return isinstance(beacon, dict) and is_dark(beacon)

    def _about_remembered(self, entry: Entry) -> dict[str, Any] | None:
        """`about`, read once: it never changes, and whoever watches asks every second."""
        about = self._abouts.get(entry.worker)
        if about is None:
            about = self.about(entry)
            if about is not None:
                if len(self._abouts) > _REMEMBERED:
                    self._abouts.clear()
                self._abouts[entry.worker] = about
        return about


def _entry_name(entry: Entry) -> str:
    return f"{entry.worker}.{entry.beat}.{names.micros(entry.notified)}"


def _parse_entry(name: str) -> Entry | None:
    found = _ENTRY.fullmatch(name)
    if found is None:
        return None
    return Entry(found[1], int(found[2]), int(found[3]), int(found[4]) / 1_000_000, name)


def _whole(value: Any) -> int:
    return value if type(value) is int else 0


def _seconds(value: Any) -> float:
    return float(value) if type(value) in (int, float) and abs(value) < 1e15 else 0.0


def this_process() -> dict[str, Any]:
    """What identifies this process for certain, on this host, until it reboots."""
    return {
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "start": start_time(os.getpid()),
        "boot": boot_id(),
        "namespace": _namespace(),
    }


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is none. proc(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def _has_ended(pid: int, start: Any) -> bool:
    """Whether the process that had this pid and start time is gone for certain."""
    if start_time(pid) == start:
        return False
    if os.path.exists(f"/proc/{pid}"):
        return True
    # What /proc does not show may run: it hides processes of other users (hidepid=,
    # ProtectProc=), and a worker of the same group may be one.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


@cache
def _namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0
