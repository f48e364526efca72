"""Power loss: what a disk shows afterwards, when only what was synced must be there.

A `Tape` lets every system call through and writes down which files and directories it touched.
`states` then gives the trees that a file system may show after the power was cut: the base with
those changes that must have survived, and some of those that may.

The rules, weaker than those of any file system spoolq supports:

* the content of a file survives when the file was synced after it was written; a file whose name
  survives without its content is empty, or cut off anywhere;
* a creation survives when the file, or its directory, was synced after it; the same for a
  directory that is made;
* a rename survives when either directory was synced (measured on ext4, XFS and btrfs), whole:
  never under both names;
* an unlink or a rmdir survives when its directory was synced;
* syncfs makes everything before it survive;
* on a file system with one ordered journal any sync takes all earlier changes of names with it;
* what a server has answered survives, but for content that was not synced.

What must not be assumed is everything else, least of all an order.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tests.support.faults import ORDERED, SYNCS, Call, Death, Mount, Plan

ROOT: Final = 0  # the directory that holds the spool

Entry = tuple[int, str]  # directory, name


class Step(NamedTuple):
    """One entry of the tape. `node` is the file or directory it is about."""

    kind: str  # create, write, mkdir, rename, link, unlink, rmdir, sync, syncfs or ack
    node: int = -1
    source: Entry = (-1, "")
    target: Entry = (-1, "")
    data: bytes = b""
    answer: Any = None

    @property
    def is_change(self) -> bool:
        """Whether it changes names or content."""
        return self.kind not in ("sync", "syncfs", "ack")

    def saved_by(self, sync: Step) -> bool:
        """Whether this sync, coming after it, makes it survive."""
        if sync.kind == "syncfs":
            return True
        if self.kind == "write":
            return sync.node == self.node
        directories = {self.source[0], self.target[0]}
        return sync.node in (directories | {self.node} if self.kind in _MADE else directories)


_MADE: Final = frozenset({"create", "mkdir", "link"})
_TAKING: Final = frozenset({"rename", "unlink", "rmdir"})
_PLACING: Final = frozenset({"create", "mkdir", "rename"})


@dataclass
class Image:
    """A tree of files: contents by node, and who lies where."""

    content: dict[int, bytes] = field(default_factory=dict)
    entries: dict[Entry, int] = field(default_factory=dict)
    directories: set[int] = field(default_factory=lambda: {ROOT})

    def copy(self) -> Image:
        """Another one, which can be changed."""
        return Image(dict(self.content), dict(self.entries), set(self.directories))

    def apply(self, step: Step, *, torn: int | None = None) -> None:
        """Make one change; of a write only the first `torn` bytes, if given."""
        entries = self.entries
        if step.kind in ("create", "mkdir", "link"):
            entries[step.target] = step.node
            if step.kind == "mkdir":
                self.directories.add(step.node)
            else:
                self.content.setdefault(step.node, b"")
        elif step.kind == "write":
            data = step.data if torn is None else step.data[:torn]
            self.content[step.node] = self.content.get(step.node, b"") + data
        elif step.kind == "rename":
            self._take(step)
            entries[step.target] = step.node
            if step.node not in self.directories:
                self.content.setdefault(step.node, b"")
        else:
            self._take(step)

    def _take(self, step: Step) -> None:
        """Remove a node from where it is: under another name if an earlier rename was lost."""
        if self.entries.get(step.source) == step.node:
            del self.entries[step.source]
            return
        places = [entry for entry, node in self.entries.items() if node == step.node]
        if len(places) == 1:
            del self.entries[places[0]]

    def write_to(self, directory: str) -> None:
        """Make this tree on a real disk. What lies in no directory that is there, is lost."""
        below: dict[int, list[tuple[str, int]]] = {}
        for (parent, name), node in self.entries.items():
            below.setdefault(parent, []).append((name, node))
        pending, written = [(ROOT, directory)], dict[int, str]()
        while pending:
            parent, path = pending.pop()
            os.makedirs(path, exist_ok=True)
            for name, node in below.get(parent, []):
                if node in self.directories:
                    pending.append((node, f"{path}/{name}"))
                elif node in written:
                    os.link(written[node], f"{path}/{name}")
                else:
                    written[node] = f"{path}/{name}"
                    with open(written[node], "wb") as file:
                        file.write(self.content.get(node, b""))


class Tape(Plan):
    """Lets every call through and writes down what it touched."""

    def __init__(self, directory: str) -> None:
        """Record what happens below a directory, whose present content is taken to be safe."""
        super().__init__()
        self.steps: list[Step] = []
        self.base = Image()
        self.dies_in = 0
        """After so many changes, this one included, the process dies; 0 for never."""
        self._nodes: dict[int, int] = {os.stat(directory).st_ino: ROOT}
        self._last = ROOT
        self._load(directory, ROOT)

    def _load(self, path: str, parent: int) -> None:
        for entry in os.scandir(path):
            node = self._new(entry.inode())
            self.base.entries[parent, entry.name] = node
            if entry.is_dir(follow_symlinks=False):
                self.base.directories.add(node)
                self._load(entry.path, node)
            else:
                with open(entry.path, "rb") as file:
                    self.base.content[node] = file.read()

    def _new(self, inode: int) -> int:
        """A node for an inode; a number that was free may be used again for another file."""
        self._last += 1
        self._nodes[inode] = self._last
        return self._last

    def acknowledge(self, answer: Any) -> None:
        """An act has answered."""
        self.steps.append(Step("ack", answer=answer))

    def perform(self, call: Call, execute: Callable[[], Any]) -> Any:
        """Execute and write down. Syncs are only written down."""
        if self.dies_in == 1:
            raise Death
        if self.dies_in and call.kind not in SYNCS:
            self.dies_in -= 1
        if call.kind in SYNCS:
            node = self._nodes[os.fstat(call.args[0]).st_ino]
            self.steps.append(Step("syncfs" if call.kind == "syncfs" else "sync", node))
            return None
        before = self._before(call)
        result = super().perform(call, execute)
        step = self._after(call, before, result)
        if step:
            self.steps.append(step)
        return result

    def _before(self, call: Call) -> int:
        """The node that a call is going to move away or remove."""
        if call.kind in ("rename", "link", "unlink", "rmdir"):
            path = call.args[0]
            look = os.stat if path.startswith("/proc/self/fd/") else os.lstat
            try:
                return self._nodes[look(path).st_ino]
            except FileNotFoundError:
                return -1
        return -1

    def _after(self, call: Call, node: int, result: Any) -> Step | None:
        kind, args = call
        if kind == "open":
            made = self._new(os.fstat(result).st_ino)
            unnamed = args[1] & os.O_TMPFILE == os.O_TMPFILE
            return None if unnamed else Step("create", made, target=self._entry(args[0]))
        if kind == "write":
            return Step("write", self._nodes[os.fstat(args[0]).st_ino], data=bytes(args[1]))
        if kind == "mkdir":
            return Step("mkdir", self._new(os.stat(args[0]).st_ino), target=self._entry(args[0]))
        if kind == "rename":
            return Step("rename", node, self._entry(args[0]), self._entry(args[1]))
        if kind == "link":
            return Step("link", node, target=self._entry(args[1]))
        if kind in ("unlink", "rmdir"):
            return Step(kind, node, self._entry(args[0]))
        return None  # modes, owners, times and reserved space decide nothing

    def _entry(self, path: str) -> Entry:
        directory, name = os.path.split(path)
        return self._nodes[os.stat(directory).st_ino], name


class Cut(NamedTuple):
    """A state after power loss: the tree, and what had been acknowledged before."""

    at: int
    model: str
    image: Image
    answers: list[Any]


def cuts(tape: Tape, mount: Mount, *, seed: int | None = None) -> Iterator[Cut]:
    """Every different state that the models give for a cut after each step.

    `least` is what must have survived; `most` is every name with only the synced content; with a
    seed one choice between the two at each cut as well, files cut off anywhere. Of equal states
    the latest cut is given, before which most was acknowledged.
    """
    dice = random.Random(seed)
    saved_at = _saved_at(tape.steps, mount)
    found: dict[tuple[Any, ...], Cut] = {}
    for at in range(len(tape.steps) + 1):
        saved = {index for index, sync in saved_at.items() if sync < at}
        names = {i for i in saved_at if i < at and tape.steps[i].kind != "write"}
        models = {"least": saved, "most": saved | names}
        if seed is not None:
            if mount in ORDERED:
                end = dice.randrange(at + 1)
                models["some"] = saved | {i for i in names if i < end}
            else:
                models["some"] = saved | {i for i in sorted(names) if dice.random() < 0.5}
        for model, kept in models.items():
            cut = _cut(tape, at, model, kept, dice if model == "some" else None)
            found[_key(cut.image)] = cut
    yield from found.values()


def last_cut(tape: Tape, mount: Mount) -> Cut:
    """The cut after everything, of which only what was synced survives."""
    saved_at, end = _saved_at(tape.steps, mount), len(tape.steps)
    return _cut(tape, end, "least", {i for i, sync in saved_at.items() if sync < end}, None)


def _saved_at(steps: list[Step], mount: Mount) -> dict[int, int]:
    """For every change the step from which on it survives; beyond the end when there is none."""
    found = {}
    for index, step in enumerate(steps):
        if not step.is_change:
            continue
        if mount == "nfs" and step.kind != "write":
            found[index] = index
            continue
        in_order = mount == "ext4" and step.kind != "write"
        found[index] = next(
            (
                at
                for at, later in enumerate(steps[index:], index)
                if later.kind in ("sync", "syncfs") and (in_order or step.saved_by(later))
            ),
            len(steps),
        )
    return found


def _closed(steps: list[Step], kept: Iterable[int]) -> set[int]:
    """With what a surviving change cannot be without: a directory that was removed is empty, and
    a file that was moved or unlinked had been where it was taken from."""
    closed: set[int] = set()
    pending = list(kept)
    while pending:
        index = pending.pop()
        if index in closed:
            continue
        closed.add(index)
        step = steps[index]
        for before in range(index):
            earlier = steps[before]
            emptied = step.kind == "rmdir" and step.node in (earlier.source[0], earlier.target[0])
            taken = step.kind in _TAKING and earlier.node == step.node
            if emptied or (taken and earlier.kind in _PLACING):
                pending.append(before)
    return closed


def _cut(tape: Tape, at: int, model: str, kept: set[int], dice: random.Random | None) -> Cut:
    image, closed = tape.base.copy(), _closed(tape.steps, kept)
    for index, step in enumerate(tape.steps[:at]):
        if index in closed:
            image.apply(step)
        elif step.kind == "write" and dice and dice.random() < 0.5:
            image.apply(step, torn=dice.randrange(len(step.data) + 1))
    return Cut(at, model, image, [s.answer for s in tape.steps[:at] if s.kind == "ack"])


def _key(image: Image) -> tuple[Any, ...]:
    named = set(image.entries.values())
    contents = frozenset((node, data) for node, data in image.content.items() if node in named)
    return frozenset(image.entries.items()), contents
