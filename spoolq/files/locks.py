"""Named locks: a chain of states each, in `locks/<name>/`, that say who holds it until when.

The sequence number of the chain serves as a fencing token. Nothing here is synced: after power loss
nobody runs, and so nobody holds anything (Minion keeps locks in an unlogged table [184]).
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from spoolq.errors import JobCorrupt
from spoolq.files import names, records
from spoolq.files.chain import Chain
from spoolq.files.counters import Counter
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout
from spoolq.model import LockInfo


class Hold(NamedTuple):
    """One holder of a lock. `worker` is set when the hold ends with that worker's life."""

    expires: float
    id: int
    worker: int | None


class Holds(NamedTuple):
    """A state of a lock. The holds are in the order in which they expire; `texts` has each of
    them as it is written, so that a change encodes one hold and not five hundred."""

    holds: tuple[Hold, ...] = ()
    texts: tuple[str, ...] = ()

    def alive(self, now: float) -> Holds:
        """Without the holds that have expired."""
        gone = bisect.bisect_right(self.holds, now, key=_expiry)
        return self._replace(holds=self.holds[gone:], texts=self.texts[gone:]) if gone else self

    def with_hold(self, hold: Hold) -> Holds:
        """With one hold more."""
        at = bisect.bisect(self.holds, hold)
        holds = (*self.holds[:at], hold, *self.holds[at:])
        return self._replace(holds=holds, texts=(*self.texts[:at], _text(hold), *self.texts[at:]))

    def without(self, gone: Callable[[Hold], bool]) -> Holds:
        """Without the holds for which `gone` is true."""
        kept = [index for index, hold in enumerate(self.holds) if not gone(hold)]
        return self._replace(
            holds=tuple(self.holds[index] for index in kept),
            texts=tuple(self.texts[index] for index in kept),
        )


Change = Callable[[Holds], Holds | None]


class Locks:
    """The named locks of one spool."""

    def __init__(self, fs: Filesystem, layout: Layout, counter: Counter) -> None:
        self._fs = fs
        self._layout = layout
        self._counter = counter
        self._chain = Chain(
            fs, layout, _encode, _decode, nothing=Holds(), unreadable=Holds(), durable=False
        )

    def acquire(
        self, name: str, duration: float, limit: int, worker: int | None, now: float
    ) -> int | None:
        """Take a hold; its id, 0 for a duration of 0 or less, None when it is held [167-182]."""
        limit = max(1, limit)  # [175]
        if duration <= 0:
            # The state as it is answers; there is nothing to swap.
            held = self._newest(self._directory(name))
            return 0 if len(held.alive(now).holds) < limit else None
        hold = Hold(now + duration, 0, worker)

        def take(held: Holds) -> Holds | None:
            nonlocal hold
            if len(held.holds) >= limit:
                return None
            hold = hold if hold.id else hold._replace(id=self._counter.take())
            return held.with_hold(hold)

        return hold.id if self._swap(name, take, now) else None

    def renew(self, name: str, hold_id: int, duration: float, now: float) -> bool:
        """Let a hold expire `duration` seconds from now; False when it is none any more."""

        def put_off(held: Holds) -> Holds | None:
            mine = next((hold for hold in held.holds if hold.id == hold_id), None)
            if mine is None:
                return None
            others = held.without(lambda hold: hold.id == hold_id)
            return others.with_hold(mine._replace(expires=now + duration))

        return self._swap(name, put_off, now)

    def release(self, name: str, hold_id: int | None, now: float) -> bool:
        """Let go of the hold that expires soonest [178], or of a certain one; False: none."""

        def drop(held: Holds) -> Holds | None:
            if hold_id is not None:
                after = held.without(lambda hold: hold.id == hold_id)
                return after if len(after.holds) < len(held.holds) else None
            if not held.holds:
                return None
            return held._replace(holds=held.holds[1:], texts=held.texts[1:])

        return self._swap(name, drop, now)

    def release_workers(self, alive: set[int], now: float) -> None:
        """Let go of what was held through workers that are not registered any more."""

        def orphaned(hold: Hold) -> bool:
            return hold.worker is not None and hold.worker not in alive

        def drop(held: Holds) -> Holds | None:
            after = held.without(orphaned)
            return after if len(after.holds) < len(held.holds) else None

        for directory in self._directories():
            if any(map(orphaned, self._newest(directory).holds)):
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
                holds = self._newest(directory).alive(now).holds
                found += [LockInfo(hold.id, name, hold.expires) for hold in holds]
        return sorted(found, key=lambda lock: lock.id, reverse=True)

    def count(self, now: float) -> int:
        """How many holds there are [186]."""
        versions = (self._newest(path) for path in self._directories())
        return sum(len(held.alive(now).holds) for held in versions)

    # -- the chains ------------------------------------------------------------------------------

    def _swap(self, name: str, change: Change, now: float) -> bool:
        """Replace the state by what `change` makes of it; False when it wants no change."""
        return self._chain.swap(self._directory(name), name, lambda held: change(held.alive(now)))

    def _newest(self, directory: str) -> Holds:
        """The state of a lock that counts."""
        return self._chain.newest(directory).value

    def _directories(self) -> list[str]:
        return [f"{self._layout.locks}/{name}" for name in self._fs.list(self._layout.locks)]

    def _directory(self, name: str) -> str:
        return f"{self._layout.locks}/{names.encode(name)}"

    def _name(self, directory: str) -> str | None:
        decoded = names.decode(directory.rpartition("/")[2])
        tag = self._chain.at(directory) if decoded is None else None
        if tag is None:
            return decoded
        try:
            data = self._chain.read(directory, tag)
            return None if data is None else str(records.parse(data)["name"])
        except (JobCorrupt, KeyError, TypeError):
            return None


def _expiry(hold: Hold) -> float:
    return hold.expires


def _text(hold: Hold) -> str:
    worker = "null" if hold.worker is None else hold.worker
    return f"[{hold.expires!r},{hold.id},{worker}]"


def _encode(name: str, held: Holds) -> bytes:
    head = records.encode_json(name, "name").decode()
    return f'{{"name":{head},"holds":[{",".join(held.texts)}]}}\n'.encode()


def _decode(data: bytes) -> Holds:
    value: Any = records.parse(data)
    try:
        holds = sorted(_hold(*hold) for hold in value["holds"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise JobCorrupt("it is no state of a lock") from None
    return Holds(tuple(holds), tuple(map(_text, holds)))


def _hold(until: Any, id: Any, worker: Any) -> Hold:
    if type(id) is not int or not (worker is None or type(worker) is int):
        raise TypeError
    return Hold(float(until), id, worker)
