"""Named locks: a chain of immutable states, the next one made by `link`.

    locks/<name>/v<sequence>    the state: who holds the lock, until when

The newest version is the state. To change it is to link the next one, which only one can do: a
compare-and-swap. The sequence number only grows, so it serves as a fencing token. Nothing here is
synced: after power loss nobody runs, and so nobody holds anything (Minion keeps locks in an
unlogged table [184]).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from spoolq.errors import JobCorrupt
from spoolq.files import names, records
from spoolq.files.counters import Counter
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout
from spoolq.model import LockInfo

_LIMIT = 16 * 1024 * 1024
_TRAIL = 16


class Hold(NamedTuple):
    """One holder of a lock. `worker` is set when the hold ends with that worker's life."""

    id: int
    expires: float
    worker: int | None


class Version(NamedTuple):
    """A state of a lock; sequence 0 is a lock that nobody ever took.

    `trail` has the nonces of this version and of those before it: whoever is in it was once the
    state, and was not linked under a number that a sweep had freed.
    """

    sequence: int
    holds: tuple[Hold, ...]
    trail: tuple[str, ...] = ()


class Locks:
    """The named locks of one spool."""

    def __init__(self, fs: Filesystem, layout: Layout, counter: Counter) -> None:
        self._fs = fs
        self._layout = layout
        self._counter = counter
        self._seen: dict[str, Version] = {}  # by directory; a version never changes

    def acquire(
        self, name: str, duration: float, limit: int, worker: int | None, now: float
    ) -> int | None:
        """Take a hold; its id, 0 for a duration of 0 or less, None when it is held [167-182]."""
        limit = max(1, limit)  # [175]
        if duration <= 0:
            # The state as it is answers; there is nothing to swap.
            held = _alive(self._newest(self._directory(name)).holds, now)
            return 0 if len(held) < limit else None
        hold = Hold(0, now + duration, worker)

        def take(holds: tuple[Hold, ...]) -> tuple[Hold, ...] | None:
            nonlocal hold
            if len(holds) >= limit:
                return None
            hold = hold if hold.id else hold._replace(id=self._counter.take())
            return (*holds, hold)

        return hold.id if self._swap(name, take, now) else None

    def release(self, name: str, hold_id: int | None, now: float) -> bool:
        """Let go of the hold that expires soonest [178], or of a certain one; False: none."""

        def drop(holds: tuple[Hold, ...]) -> tuple[Hold, ...] | None:
            if hold_id is None:
                gone = min(holds, key=lambda hold: (hold.expires, hold.id), default=None)
            else:
                gone = next((hold for hold in holds if hold.id == hold_id), None)
            return None if gone is None else tuple(hold for hold in holds if hold != gone)

        return self._swap(name, drop, now)

    def release_workers(self, alive: set[int], now: float) -> None:
        """Let go of what was held through workers that are not registered any more."""

        def drop(holds: tuple[Hold, ...]) -> tuple[Hold, ...] | None:
            kept = tuple(hold for hold in holds if hold.worker is None or hold.worker in alive)
            return None if kept == holds else kept

        for directory in self._directories():
            holds = self._newest(directory).holds
            if any(hold.worker is not None and hold.worker not in alive for hold in holds):
                name = self._name(directory)
                if name is not None:
                    self._swap(name, drop, now)

    def listed(self, wanted: Iterable[str] | None, now: float) -> list[LockInfo]:
        """Every hold that has not expired, newest first [185]."""
        found = []
        if wanted is None:
            pairs = [(self._name(directory), directory) for directory in self._directories()]
        else:
            pairs = [(name, self._directory(name)) for name in dict.fromkeys(wanted)]
        for name, directory in pairs:
            if name is not None:
                holds = _alive(self._newest(directory).holds, now)
                found += [LockInfo(hold.id, name, hold.expires) for hold in holds]
        return sorted(found, key=lambda lock: lock.id, reverse=True)

    def count(self, now: float) -> int:
        """How many holds there are [186]."""
        return sum(len(_alive(self._newest(path).holds, now)) for path in self._directories())

    # -- the chain -------------------------------------------------------------------------------

    def _swap(
        self,
        name: str,
        change: Callable[[tuple[Hold, ...]], tuple[Hold, ...] | None],
        now: float,
    ) -> bool:
        """Replace the state by what `change` makes of it; False when it wants no change."""
        fs, directory = self._fs, self._directory(name)
        while True:
            version = self._newest(directory)
            holds = change(_alive(version.holds, now))
            if holds is None:
                return False
            nonce = names.nonce()
            after = Version(version.sequence + 1, holds, (nonce, *version.trail[: _TRAIL - 1]))
            staged = f"{self._layout.tmp}/lock.{names.nonce()}"
            fs.create(staged, _encode(name, after), sync=False)
            if version.sequence == 0:
                fs.mkdir(directory)
            # CRASH: dying after this leaves the staged name: repair collects it.
            won = fs.link(staged, f"{directory}/v{after.sequence}")
            fs.unlink(staged)
            if won and self._versions(directory)[-1:] == [after.sequence]:
                self._seen[directory] = after
                self._forget(directory, version.sequence)
                return True
            if won and nonce in self._newest(directory).trail:
                return True  # it was the state, and others have followed
            # RACE: another swap was quicker; or this one linked a number that a sweep had freed.

    def _newest(self, directory: str) -> Version:
        while True:
            listed = self._versions(directory)
            if not listed:
                return Version(0, ())
            known = self._seen.get(directory)
            if known and known.sequence == listed[-1]:
                return known
            try:
                data = self._fs.read(f"{directory}/v{listed[-1]}", _LIMIT, linked=True)
                if data is None:
                    continue  # RACE: a newer version came and this one was swept
                version = _decode(listed[-1], data)
            except JobCorrupt:
                # Power loss can tear what was never synced; nobody holds a lock after it.
                version = Version(listed[-1], ())
            if len(self._seen) > 1000:
                self._seen.clear()
            self._seen[directory] = version
            return version

    def _versions(self, directory: str) -> list[int]:
        return sorted(
            int(name[1:])
            for name in self._fs.list(directory)
            if name[0] == "v" and name[1:].isdigit()
        )

    def _forget(self, directory: str, below: int) -> None:
        # The one before stays for readers that have listed it already.
        for sequence in self._versions(directory):
            if sequence < below:
                self._fs.unlink(f"{directory}/v{sequence}")

    def _directories(self) -> list[str]:
        return [f"{self._layout.locks}/{name}" for name in self._fs.list(self._layout.locks)]

    def _directory(self, name: str) -> str:
        return f"{self._layout.locks}/{names.encode(name)}"

    def _name(self, directory: str) -> str | None:
        decoded = names.decode(directory.rpartition("/")[2])
        if decoded is not None:
            return decoded
        for sequence in reversed(self._versions(directory)):
            try:
                data = self._fs.read(f"{directory}/v{sequence}", _LIMIT, linked=True)
                return None if data is None else str(records.parse(data)["name"])
            except (JobCorrupt, KeyError, TypeError):
                return None
        return None


def _alive(holds: tuple[Hold, ...], now: float) -> tuple[Hold, ...]:
    if holds and min(holds, key=_expiry).expires > now:
        return holds
    return tuple(hold for hold in holds if hold.expires > now)


def _expiry(hold: Hold) -> float:
    return hold.expires


def _encode(name: str, version: Version) -> bytes:
    state = {"name": name, "holds": version.holds, "trail": version.trail}
    return records.encode_json(state, "lock") + b"\n"


def _decode(sequence: int, data: bytes) -> Version:
    value: Any = records.parse(data)
    try:
        holds = tuple(Hold(int(id_), float(until), who) for id_, until, who in value["holds"])
        return Version(sequence, holds, tuple(map(str, value["trail"])))
    except (KeyError, TypeError, ValueError):
        raise JobCorrupt("it is no state of a lock") from None
