"""A disk on which something happens at the k-th change: death, a refusal, a lost reply.

`Filesystem` keeps its system calls as attributes. `watched(plan)` is a subclass that hands each
of them to a plan, which lets it through, or does not. Every file is written in two pieces, so a
short write, and death between the two, happen to every one.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
from collections.abc import Callable, Container
from typing import Any, ClassVar, Final, Literal, NamedTuple

from spoolq.files.fs import Filesystem

CALLS: Final = (
    "open", "write", "fsync", "chmod", "chown", "rename", "link", "unlink", "mkdir", "makedirs",
    "rmdir", "utime", "fallocate", "syncfs",
)  # fmt: skip
SYNCS: Final = frozenset({"fsync", "syncfs"})
# What a server answers that executed a call, lost the reply, and is asked again.
AGAIN: Final = {
    "rename": errno.ENOENT,
    "link": errno.EEXIST,
    "unlink": errno.ENOENT,
    "mkdir": errno.EEXIST,
    "rmdir": errno.ENOENT,
}
ENDLESS: Final = 20_000
"""Calls after which an operation is taken to be in an endless loop."""


class Call(NamedTuple):
    """One system call that changes something, or makes a change last."""

    kind: str
    args: tuple[Any, ...]

    @property
    def path(self) -> str:
        """The path it is about; of two the source."""
        target = self.args[0]
        return os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else str(target)


class Plan:
    """Lets every call through and remembers it, and which names files were given.

    `born` has every path, relative to the root, at which a file with content appeared; `boot`
    is that of the host, another one after power loss.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.born: list[str] = []
        self.root = ""
        self.boot = "this"

    def around(self, call: Call, execute: Callable[[], Any]) -> Any:
        """Do what the plan wants with this call."""
        self.calls.append(call)
        if len(self.calls) > ENDLESS:
            raise AssertionError(f"endless: {[c.kind for c in self.calls[-12:]]}")
        return self.perform(call, execute)

    def perform(self, call: Call, execute: Callable[[], Any]) -> Any:
        """Execute a call. A sync is not: it costs much and changes nothing for who lives on."""
        if call.kind in SYNCS:
            return None
        result = execute()
        for path in self._named(call):
            self.note_birth(os.path.relpath(path, self.root))
        return result

    def note_birth(self, path: str) -> None:
        """A file with content has this name now."""
        self.born.append(path)

    def _named(self, call: Call) -> list[str]:
        if call.kind == "write":
            fd, data = call.args
            file = os.fstat(fd)
            return [call.path] if data and file.st_nlink and file.st_size == len(data) else []
        if call.kind not in ("rename", "link"):
            return []
        target = call.args[1]
        if os.path.isdir(target):
            return [f"{base}/{name}" for base, _, files in os.walk(target) for name in files]
        try:
            return [target] if os.path.getsize(target) else []
        except FileNotFoundError:
            # RACE: somebody has moved it on. The call went well all the same: this error, passed
            # on, would be a lost reply that nobody planned.
            return []


_boots = itertools.count(1)


class WatchedFilesystem(Filesystem):
    """A `Filesystem` whose system calls go through a plan, on the kind of mount a test wants."""

    plan: ClassVar[Plan]
    mount: ClassVar[str]
    this_boot: ClassVar[str]

    def __init__(self, root: str, *, durable: bool = True, shared: bool = False) -> None:
        super().__init__(root, durable=durable, shared=shared)
        self.kind, self.ordered, self.atomic = self.mount, self.mount in ORDERED, True
        self.local = self._unnamed = self.mount != "nfs"
        self.boot = self.plan.boot
        self.plan.root = root
        self._begun: set[int] = set()
        for name in CALLS:
            setattr(self, f"sys_{name}", self._watch(name, getattr(self, f"sys_{name}")))

    def _watch(self, kind: str, system_call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **options: Any) -> Any:
            args = self._halved(args) if kind == "write" else args
            return self.plan.around(Call(kind, args), lambda: system_call(*args, **options))

        return watched

    def _halved(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The first write to a descriptor is cut short."""
        fd, data = args
        if fd in self._begun or len(data) < 2:
            self._begun.discard(fd)
            return args
        self._begun.add(fd)
        return fd, data[: len(data) // 2]


Mount = Literal["ext4", "btrfs", "overlay", "nfs"]
"""What the protocol distinguishes: one ordered journal; syncfs without order; neither; a server
that has made a change of names last before it answers."""

ORDERED: Final = frozenset({"ext4", "nfs"})


def watched(plan: Plan, mount: Mount = "ext4") -> type[Filesystem]:
    """The disk on which this plan is carried out."""
    boot = f"boot-{next(_boots)}"  # whoever opens the spool under another plan has rebooted
    members = {"plan": plan, "mount": mount, "this_boot": boot}
    return type("Watched", (WatchedFilesystem,), members)


When = Literal["before", "after"]

# -- plans ---------------------------------------------------------------------------------------


class Kill(Plan):
    """SIGKILL to this process just before, or just after, the k-th change of the disk."""

    def __init__(self, at: int, when: When) -> None:
        super().__init__()
        self._left = at
        self._when = when

    def perform(self, call: Call, execute: Callable[[], Any]) -> Any:
        """Count, and die when it is time."""
        if call.kind in SYNCS:
            return None
        self._left -= 1
        if self._left == 0 and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return super().perform(call, execute)
        finally:
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Death(BaseException):
    """What a process that is killed without a fork raises: nothing of it may reach the disk."""


class Die(Plan):
    """The end before the k-th change, within this process: every later call dies too."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._left = at
        self.died = False

    def perform(self, call: Call, execute: Callable[[], Any]) -> Any:
        """Count, and raise from the k-th change on."""
        if call.kind not in SYNCS:
            self._left -= 1
        if self._left <= 0:
            raise Death
        return super().perform(call, execute)


class Refuse(Plan):
    """The k-th call fails with this error and is not executed; if `lasting`, so do all after.

    Where only some `kinds` of calls can fail, only they are counted.
    """

    def __init__(
        self, at: int, error: int, *, lasting: bool = False, kinds: Container[str] = CALLS
    ) -> None:
        super().__init__()
        self._kinds = kinds
        self._left = at
        self._error = error
        self._lasting = lasting
        self.hit: Call | None = None

    def perform(self, call: Call, execute: Callable[[], Any]) -> Any:
        """Count, and fail when it is time."""
        if call.kind not in self._kinds:
            return super().perform(call, execute)
        self._left -= 1
        if self._left == 0 or (self._lasting and self._left < 0):
            self.hit = self.hit or call
            raise OSError(self._error, os.strerror(self._error))
        return super().perform(call, execute)


class LoseReply(Plan):
    """The k-th change of a name is executed and then reported as failed: with this error, or as
    the same call done twice would be."""

    def __init__(self, at: int, error: int | None = None) -> None:
        super().__init__()
        self._left = at
        self._error = error
        self.hit: Call | None = None

    def perform(self, call: Call, execute: Callable[[], Any]) -> Any:
        """Count, execute, and lie when it is time."""
        result = super().perform(call, execute)
        if call.kind in AGAIN:
            self._left -= 1
            if self._left == 0:
                self.hit = call
                error = self._error or AGAIN[call.kind]
                raise OSError(error, os.strerror(error))
        return result
