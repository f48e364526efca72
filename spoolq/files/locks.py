"""Named locks: a chain of immutable states, and a name that says which one counts.

    locks/<name>/at.<sequence>.<nonce>       the state that counts; the file is empty
    locks/<name>/state.<sequence>.<nonce>    a state: who holds the lock, until when

To change a lock is to write the next state and to rename `at` from the state it was made of to
the new one: a compare-and-swap, because that very name is there once. The sequence number only
grows, so it serves as a fencing token. Nothing here is synced: after power loss nobody runs, and
so nobody holds anything (Minion keeps locks in an unlogged table [184]).
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from spoolq.errors import JobCorrupt, SpoolUnavailable
from spoolq.files import names, records
from spoolq.files.counters import Counter
from spoolq.files.fs import Filesystem
from spoolq.files.layout import Layout
from spoolq.model import LockInfo

_LIMIT: Final = 16 * 1024 * 1024
_SWEEP: Final = 256  # changes of a lock between two looks for states that never counted


class Hold(NamedTuple):
    """One holder of a lock. `worker` is set when the hold ends with that worker's life."""

    expires: float
    id: int
    worker: int | None


class Version(NamedTuple):
    """A state of a lock. The holds are in the order in which they expire; `texts` has each of
    them as it is written, so that a change encodes one hold and not five hundred."""

    sequence: int
    nonce: str  # "" for a lock that nobody ever took
    holds: tuple[Hold, ...] = ()
    texts: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """What both of its names end in."""
        return f"{self.sequence}.{self.nonce}"

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


class Chains:
    """The states of named locks below one directory, and how one is swapped for the next."""

    def __init__(self, fs: Filesystem, layout: Layout, base: str) -> None:
        self._fs = fs
        self._layout = layout
        self._base = base
        self._seen: dict[str, Version] = {}  # by directory; a version never changes

    def names(self) -> list[str]:
        """Every lock that somebody ever took, as far as its name can be read."""
        found = map(self._name, self._directories())
        return [name for name in found if name is not None]

    def newest(self, name: str) -> Version:
        """The state of a lock that counts."""
        return self._newest(self._directory(name))

    def swap(self, name: str, change: Change, now: float) -> bool:
        """Replace the state by what `change` makes of it; False when it wants no change."""
        directory = self._directory(name)
        while True:
            version = self._newest(directory)
            after = change(version.alive(now))
            if after is None:
                return False
            after = after._replace(sequence=version.sequence + 1, nonce=names.nonce())
            won = (
                self._follow(directory, name, version, after)
                if version.nonce
                else self._begin(directory, name, after)
            )
            if won:
                self._seen[directory] = after
                return True
            # RACE: another swap was quicker.

    def _follow(self, directory: str, name: str, version: Version, after: Version) -> bool:
        """Make the next state of a lock; False when `version` is not its state any more."""
        fs, state = self._fs, f"{directory}/state.{after.tag}"
        fs.create(state, _encode(name, after), sync=False)
        # CRASH: dying here leaves a state that never counted; a later change removes it.
        if not fs.move(f"{directory}/at.{version.tag}", f"{directory}/at.{after.tag}"):
            fs.unlink(state)
            return False
        fs.unlink(f"{directory}/state.{version.tag}")
        if after.sequence % _SWEEP == 0:
            self._sweep(directory, after.sequence)
        return True

    def _begin(self, directory: str, name: str, after: Version) -> bool:
        """Make the first state of a lock: a whole directory, so that only one can be the first."""
        fs, staged = self._fs, f"{self._layout.tmp}/lock.{after.nonce}"
        fs.mkdir(staged)
        fs.create(f"{staged}/state.{after.tag}", _encode(name, after), sync=False)
        fs.create(f"{staged}/at.{after.tag}", b"", sync=False)
        try:
            fs.publish_directory(staged, directory)
        except SpoolUnavailable:
            if self._at(directory) is None:
                raise  # the disk refused, or the directory holds what is no lock
            for file in fs.list(staged):  # RACE: somebody else began it
                fs.unlink(f"{staged}/{file}")
            fs.rmdir(staged)
            return False
        return True

    def _sweep(self, directory: str, below: int) -> None:
        """Remove states that never counted: their writers died before they could tidy up."""
        for file in self._fs.list(directory):
            kind, _, tag = file.partition(".")
            number = names.number(tag.partition(".")[0])
            if kind == "state" and number is not None and number < below - _SWEEP:
                self._fs.unlink(f"{directory}/{file}")

    def _newest(self, directory: str) -> Version:
        """The state of a lock that counts."""
        for _ in range(1000):
            tag = self._at(directory)
            if tag is None:
                return Version(0, "")
            known = self._seen.get(directory)
            if known and known.tag == tag:
                return known
            try:
                data = self._fs.read(f"{directory}/state.{tag}", _LIMIT)
                if data is None and self._at(directory) != tag:
                    continue  # RACE: a newer state came and this one was removed
                version = _decode(tag, data or b"")
            except JobCorrupt:
                # Power loss can tear what was never synced; nobody holds a lock after it.
                version = Version(*_parts(tag))
            if len(self._seen) > 1000:
                self._seen.clear()
            self._seen[directory] = version
            return version
        raise SpoolUnavailable(f"the lock in {directory} does not come to rest", directory)

    def _at(self, directory: str) -> str | None:
        """The tag of the state that counts; None for a lock that nobody ever took."""
        for _ in range(100):
            listed = self._fs.list(directory)
            tags = [name[3:] for name in listed if name.startswith("at.") and _is_tag(name[3:])]
            if tags:
                return max(tags, key=_parts)
            if not any(name.startswith("state.") for name in listed):
                return None
            # RACE: a listing may miss a name that is renamed while it runs.
        return None

    def _directories(self) -> list[str]:
        return [f"{self._base}/{name}" for name in self._fs.list(self._base)]

    def _directory(self, name: str) -> str:
        return f"{self._base}/{names.encode(name)}"

    def _name(self, directory: str) -> str | None:
        decoded = names.decode(directory.rpartition("/")[2])
        tag = self._at(directory) if decoded is None else None
        if tag is None:
            return decoded
        try:
            data = self._fs.read(f"{directory}/state.{tag}", _LIMIT)
            return None if data is None else str(records.parse(data)["name"])
        except (JobCorrupt, KeyError, TypeError):
            return None


class Locks:
    """The named locks of one spool."""

    def __init__(self, fs: Filesystem, layout: Layout, counter: Counter) -> None:
        self._chains = Chains(fs, layout, layout.locks)
        self._counter = counter

    def acquire(
        self, name: str, duration: float, limit: int, worker: int | None, now: float
    ) -> int | None:
        """Take a hold; its id, 0 for a duration of 0 or less, None when it is held [167-182]."""
        limit = max(1, limit)  # [175]
        if duration <= 0:
            # The state as it is answers; there is nothing to swap.
            version = self._chains.newest(name)
            return 0 if len(version.alive(now).holds) < limit else None
        hold = Hold(now + duration, 0, worker)

        def take(version: Version) -> Version | None:
            nonlocal hold
            if len(version.holds) >= limit:
                return None
            hold = hold if hold.id else hold._replace(id=self._counter.take())
            return version.with_hold(hold)

        return hold.id if self._chains.swap(name, take, now) else None

    def renew(self, name: str, hold_id: int, duration: float, now: float) -> bool:
        """Let a hold expire `duration` seconds from now; False when it is none any more."""

        def put_off(version: Version) -> Version | None:
            mine = next((hold for hold in version.holds if hold.id == hold_id), None)
            if mine is None:
                return None
            others = version.without(lambda hold: hold.id == hold_id)
            return others.with_hold(mine._replace(expires=now + duration))

        return self._chains.swap(name, put_off, now)

    def release(self, name: str, hold_id: int | None, now: float) -> bool:
        """Let go of the hold that expires soonest [178], or of a certain one; False: none."""

        def drop(version: Version) -> Version | None:
            if hold_id is not None:
                after = version.without(lambda hold: hold.id == hold_id)
                return after if len(after.holds) < len(version.holds) else None
            if not version.holds:
                return None
            return version._replace(holds=version.holds[1:], texts=version.texts[1:])

        return self._chains.swap(name, drop, now)

    def release_workers(self, alive: set[int], now: float) -> None:
        """Let go of what was held through workers that are not registered any more."""

        def orphaned(hold: Hold) -> bool:
            return hold.worker is not None and hold.worker not in alive

        def drop(version: Version) -> Version | None:
            after = version.without(orphaned)
            return after if len(after.holds) < len(version.holds) else None

        for name in self._chains.names():
            if any(map(orphaned, self._chains.newest(name).holds)):
                self._chains.swap(name, drop, now)

    def listed(self, wanted: Iterable[str] | None, now: float) -> list[LockInfo]:
        """Every hold that has not expired, newest first [185]."""
        found = []
        for name in self._chains.names() if wanted is None else dict.fromkeys(wanted):
            holds = self._chains.newest(name).alive(now).holds
            found += [LockInfo(hold.id, name, hold.expires) for hold in holds]
        return sorted(found, key=lambda lock: lock.id, reverse=True)

    def count(self, now: float) -> int:
        """How many holds there are [186]."""
        versions = map(self._chains.newest, self._chains.names())
        return sum(len(version.alive(now).holds) for version in versions)


def _is_tag(text: str) -> bool:
    number, _, nonce = text.partition(".")
    return number.isascii() and number.isdigit() and len(number) < 19 and nonce.isalnum()


def _parts(tag: str) -> tuple[int, str]:
    number, _, nonce = tag.partition(".")
    return int(number), nonce


def _expiry(hold: Hold) -> float:
    return hold.expires


def _text(hold: Hold) -> str:
    worker = "null" if hold.worker is None else hold.worker
    return f"[{hold.expires!r},{hold.id},{worker}]"


def _encode(name: str, version: Version) -> bytes:
    head = records.encode_json(name, "name").decode()
    return f'{{"name":{head},"holds":[{",".join(version.texts)}]}}\n'.encode()


def _decode(tag: str, data: bytes) -> Version:
    value: Any = records.parse(data)
    try:
        holds = sorted(_hold(*hold) for hold in value["holds"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise JobCorrupt("it is no state of a lock") from None
    return Version(*_parts(tag), tuple(holds), tuple(map(_text, holds)))


def _hold(until: Any, id: Any, worker: Any) -> Hold:
    if type(id) is not int or not (worker is None or type(worker) is int):
        raise TypeError
    return Hold(float(until), id, worker)
