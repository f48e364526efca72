"""Named locks: a chain of immutable states, the next one made by `link`.

    locks/<name>/v<sequence>    the state: who holds the lock, until when

The newest version is the state. To change it is to link the next one, which only one can do: a
compare-and-swap. The sequence number only grows, so it serves as a fencing token. Nothing here is
synced: after power loss nobody runs, and so nobody holds anything (Minion keeps locks in an
unlogged table [184]).
"""

from __future__ import annotations

import bisect
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

    expires: float
    id: int
    worker: int | None


class Version(NamedTuple):
    """A state of a lock; sequence 0 is a lock that nobody ever took.

    The holds are in the order in which they expire. `texts` has each of them as it is written,
    so that a change encodes one hold and not five hundred. `trail` has the nonces of this version
    and of those before it: whoever is in it was once the state, and was not linked under a number
    that a sweep had freed.
    """

    sequence: int
    holds: tuple[Hold, ...]
    texts: tuple[str, ...] = ()
    trail: tuple[str, ...] = ()

    def alive(self, now: float) -> Version:
        """Without the holds that have expired."""
        gone = bisect.bisect_right(self.holds, now, key=_expiry)
        return self._replace(holds=self.holds[gone:], texts=self.texts[gone:]) if gone else self

    def with_hold(self, hold: Hold) -> Version:
        """With one hold more."""
        at = bisect.bisect(self.holds, hold)
        holds = (*self.holds[:at], hold, *self.holds[at:])
        return self._replace(holds=holds, texts=(*self.texts[:at], _text(hold), *self.texts[at:]))

    def without(self, gone: Callable[[Hold], bool]) -> Version:
        """Without the holds for which `gone` is true."""
        kept = [index for index, hold in enumerate(self.holds) if not gone(hold)]
        return self._replace(
            holds=tuple(self.holds[index] for index in kept),
            texts=tuple(self.texts[index] for index in kept),
        )


Change = Callable[[Version], Version | None]


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
            version = self._newest(self._directory(name))[0]
            return 0 if len(version.alive(now).holds) < limit else None
        hold = Hold(now + duration, 0, worker)

        def take(version: Version) -> Version | None:
            nonlocal hold
            if len(version.holds) >= limit:
                return None
            hold = hold if hold.id else hold._replace(id=self._counter.take())
            return version.with_hold(hold)

        return hold.id if self._swap(name, take, now) else None

    def release(self, name: str, hold_id: int | None, now: float) -> bool:
        """Let go of the hold that expires soonest [178], or of a certain one; False: none."""

        def drop(version: Version) -> Version | None:
            if hold_id is not None:
                after = version.without(lambda hold: hold.id == hold_id)
                return after if len(after.holds) < len(version.holds) else None
            if not version.holds:
                return None
            return version._replace(holds=version.holds[1:], texts=version.texts[1:])

        return self._swap(name, drop, now)

    def release_workers(self, alive: set[int], now: float) -> None:
        """Let go of what was held through workers that are not registered any more."""

        def orphaned(hold: Hold) -> bool:
            return hold.worker is not None and hold.worker not in alive

        def drop(version: Version) -> Version | None:
            after = version.without(orphaned)
            return after if len(after.holds) < len(version.holds) else None

        for directory in self._directories():
            if any(map(orphaned, self._newest(directory)[0].holds)):
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
                holds = self._newest(directory)[0].alive(now).holds
                found += [LockInfo(hold.id, name, hold.expires) for hold in holds]
        return sorted(found, key=lambda lock: lock.id, reverse=True)

    def count(self, now: float) -> int:
        """How many holds there are [186]."""
        versions = (self._newest(path)[0] for path in self._directories())
        return sum(len(version.alive(now).holds) for version in versions)

    # -- the chain -------------------------------------------------------------------------------

    def _swap(self, name: str, change: Change, now: float) -> bool:
        """Replace the state by what `change` makes of it; False when it wants no change."""
        fs, directory = self._fs, self._directory(name)
        while True:
            version, older = self._newest(directory)
            after = change(version.alive(now))
            if after is None:
                return False
            nonce = names.nonce()
            trail = (nonce, *version.trail[: _TRAIL - 1])
            after = after._replace(sequence=version.sequence + 1, trail=trail)
            staged = f"{self._layout.tmp}/lock.{nonce}"
            fs.create(staged, _encode(name, after), sync=False)
            if version.sequence == 0:
                fs.mkdir(directory)
            # CRASH: dying after this leaves the staged name: repair collects it.
            won = fs.link(staged, f"{directory}/v{after.sequence}")
            fs.unlink(staged)
            if won and self._was_state(directory, after, nonce):
                for sequence in older:  # the one before stays, for who has listed it already
                    fs.unlink(f"{directory}/v{sequence}")
                return True
            # RACE: another swap was quicker; or this one linked a number that a sweep had freed.

    def _was_state(self, directory: str, after: Version, nonce: str) -> bool:
        """Whether a version that was linked is the state, or was and others have followed."""
        if self._versions(directory)[-1:] == [after.sequence]:
            self._seen[directory] = after
            return True
        return nonce in self._newest(directory)[0].trail

    def _newest(self, directory: str) -> tuple[Version, list[int]]:
        """The state of a lock, and the sequence numbers of the versions before it."""
        while True:
            *older, newest = self._versions(directory) or [0]
            if not newest:
                return Version(0, ()), []
            known = self._seen.get(directory)
            if known and known.sequence == newest:
                return known, older
            try:
                data = self._fs.read(f"{directory}/v{newest}", _LIMIT, linked=True)
                if data is None:
                    continue  # RACE: a newer version came and this one was swept
                version = _decode(newest, data)
            except JobCorrupt:
                # Power loss can tear what was never synced; nobody holds a lock after it.
                version = Version(newest, ())
            if len(self._seen) > 1000:
                self._seen.clear()
            self._seen[directory] = version
            return version, older

    def _versions(self, directory: str) -> list[int]:
        found = self._fs.list(directory)
        return sorted(
            number
            for name in found
            if name[0] == "v" and (number := names.number(name[1:])) is not None
        )

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


def _expiry(hold: Hold) -> float:
    return hold.expires


def _text(hold: Hold) -> str:
    worker = "null" if hold.worker is None else hold.worker
    return f"[{hold.expires!r},{hold.id},{worker}]"


def _encode(name: str, version: Version) -> bytes:
    head = records.encode_json(name, "name").decode()
    trail = ",".join(f'"{nonce}"' for nonce in version.trail)
    holds = ",".join(version.texts)
    return f'{{"name":{head},"holds":[{holds}],"trail":[{trail}]}}\n'.encode()


def _decode(sequence: int, data: bytes) -> Version:
    value: Any = records.parse(data)
    try:
        holds = sorted(_hold(*hold) for hold in value["holds"])
        trail = tuple(map(str, value["trail"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise JobCorrupt("it is no state of a lock") from None
    return Version(sequence, tuple(holds), tuple(map(_text, holds)), trail)


def _hold(until: Any, id: Any, worker: Any) -> Hold:
    if type(id) is not int or not (worker is None or type(worker) is int):
        raise TypeError
    return Hold(float(until), id, worker)
