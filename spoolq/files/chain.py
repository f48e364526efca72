"""A chain of immutable states, and a name that says which one counts.

    <directory>/at.<sequence>.<nonce>       the state that counts; the file is empty
    <directory>/state.<sequence>.<nonce>    a state

A change writes the next state and renames `at` from the state it was made of to the new one: a
compare-and-swap, because that very name is there once. The sequence number only grows. Locks are
such chains, what is said about a queue, and the slots of a queue with a limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from spoolq.errors import JobCorrupt, SpoolUnavailable
from spoolq.files import names
from spoolq.files.fs import Filesystem, NoDirectory
from spoolq.files.layout import Layout

_LIMIT: Final = 16 * 1024 * 1024
_SWEEP: Final = 256  # changes of a chain between two looks for states that never counted
_KNOWN: Final = 1000  # states remembered

T = TypeVar("T")


class State(NamedTuple, Generic[T]):
    """A state, and where in its chain it stands."""

    sequence: int
    nonce: str  # "" where there never was any
    value: T

    @property
    def tag(self) -> str:
        """What both of its names end in."""
        return f"{self.sequence}.{self.nonce}"


class Chain(Generic[T]):
    """Chains of one kind of states."""

    def __init__(
        self,
        fs: Filesystem,
        layout: Layout,
        encode: Callable[[str, T], bytes],
        decode: Callable[[bytes], T],
        *,
        nothing: T,
        unreadable: T,
        durable: bool,
    ) -> None:
        """`nothing` is the state before the first one, `unreadable` stands for one that is damaged
        (`decode` raises JobCorrupt). With `durable` a change survives power loss."""
        self._fs = fs
        self._layout = layout
        self._encode = encode
        self._decode = decode
        self._nothing = nothing
        self._unreadable = unreadable
        self._durable = durable
        self._seen: dict[str, State[T]] = {}  # by directory; a state never changes

    def swap(self, directory: str, name: str, change: Callable[[T], T | None]) -> bool:
        """Replace the state by what `change` makes of it; False when it wants no change.

        `name` is for `encode`: whose chain it is. `change` is asked again when somebody else was
        quicker.
        """
        while True:
            state = self.newest(directory)
            value = change(state.value)
            if value is None:
                return False
            after = State(state.sequence + 1, names.nonce(), value)
            data = self._encode(name, value)
            won = (
                self._follow(directory, state, after, data)
                if state.nonce
                else self._begin(directory, after, data)
            )
            if won:
                self._seen[directory] = after
                return True
            # RACE: another swap was quicker.

    def newest(self, directory: str) -> State[T]:
        """The state that counts."""
        for _ in range(1000):
            tag = self.at(directory)
            if tag is None:
                return State(0, "", self._nothing)
            known = self._seen.get(directory)
            if known and known.tag == tag:
                return known
            try:
                data = self._fs.read(f"{directory}/state.{tag}", _LIMIT)
                if data is None and self.at(directory) != tag:
                    continue  # RACE: a newer state came and this one was removed
                value = self._decode(data or b"")
            except JobCorrupt:
                # Power loss can tear what was never synced.
                value = self._unreadable
            if len(self._seen) > _KNOWN:
                self._seen.clear()
            state = self._seen[directory] = State(*_parts(tag), value)
            return state
        raise SpoolUnavailable(f"what is in {directory} does not come to rest", directory)

    def at(self, directory: str) -> str | None:
        """The tag of the state that counts; None where there never was any."""
        for _ in range(100):
            listed = self._fs.list(directory)
            tags = [name[3:] for name in listed if name.startswith("at.") and _is_tag(name[3:])]
            if tags:
                return max(tags, key=_parts)
            if not any(name.startswith("state.") for name in listed):
                return None
            # RACE: a listing may miss a name that is renamed while it runs.
        return None

    def read(self, directory: str, tag: str) -> bytes | None:
        """The bytes of a state; None when it does not count any more. Raises JobCorrupt."""
        return self._fs.read(f"{directory}/state.{tag}", _LIMIT)

    def _follow(self, directory: str, state: State[Any], after: State[T], data: bytes) -> bool:
        """Make the next state; False when `state` is not the one that counts any more."""
        fs, path = self._fs, f"{directory}/state.{after.tag}"
        fs.create(path, data, sync=self._durable)
        # CRASH: dying here leaves a state that never counted; a later change removes it.
        if not fs.move(f"{directory}/at.{state.tag}", f"{directory}/at.{after.tag}"):
            fs.unlink(path)
            return False
        if self._durable:
            # SYNC: before the old state goes, nobody may find its `at` again after power loss.
            fs.sync_directory(directory)
        fs.unlink(f"{directory}/state.{state.tag}")
        if after.sequence % _SWEEP == 0:
            self._sweep(directory, after.sequence)
        return True

    def _begin(self, directory: str, after: State[T], data: bytes) -> bool:
        """Make the first state: a whole directory, so that only one can be the first."""
        fs, staged = self._fs, f"{self._layout.tmp}/chain.{after.nonce}"
        above = directory.rpartition("/")[0]
        fs.mkdir(staged)
        fs.create(f"{staged}/state.{after.tag}", data, sync=self._durable)
        fs.create(f"{staged}/at.{after.tag}", b"", sync=False)
        if self._durable:
            fs.sync_directory(staged)
        try:
            try:
                fs.publish_directory(staged, directory)
            except NoDirectory:
                fs.mkdir(above)
                fs.publish_directory(staged, directory)
        except SpoolUnavailable:
            if self.at(directory) is None:
                raise  # the disk refused, or the directory holds what is none of this
            for file in fs.list(staged):  # RACE: somebody else began it
                fs.unlink(f"{staged}/{file}")
            fs.rmdir(staged)
            return False
        if self._durable:
            fs.sync_directory(above)
        return True

    def _sweep(self, directory: str, below: int) -> None:
        """Remove states that never counted: their writers died before they could tidy up."""
        for file in self._fs.list(directory):
            kind, _, tag = file.partition(".")
            number = names.number(tag.partition(".")[0])
            if kind == "state" and number is not None and number < below - _SWEEP:
                self._fs.unlink(f"{directory}/{file}")


def mend(fs: Filesystem, directory: str) -> None:
    """Let the highest state count where none does, before anybody uses the chain after a boot.

    A file system that keeps no order of names may lose `at` to power loss and keep a state.
    """
    listed = fs.list(directory)
    states = [name[6:] for name in listed if name.startswith("state.") and _is_tag(name[6:])]
    if states and not any(name.startswith("at.") for name in listed):
        fs.mark(f"{directory}/at.{max(states, key=_parts)}")


def _is_tag(text: str) -> bool:
    number, _, nonce = text.partition(".")
    return number.isascii() and number.isdigit() and len(number) < 19 and nonce.isalnum()


def _parts(tag: str) -> tuple[int, str]:
    number, _, nonce = tag.partition(".")
    return int(number), nonce
