"""A hostile file server for tests: one directory, mounted as often as there are hosts.

Each mount is a process that passes every call on to the backing directory, as a client of a file
server would: what it has seen it remembers for a while, what it is told may come late, twice
over, or never. `Faults` says how bad it is; it can be changed while the mount is in use.

What it imitates, and where it was seen, is in docs/format.md and docs/hosts.md: stale attributes
and names (the kernel's own caches, with time limits), a listing without the newest name after two
changes in one tick of the server's clock, replies that get lost although the server did it,
calls that time out and are executed later, and a clock that is not this host's.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import pytest

REPOSITORY = Path(__file__).parents[2]

# What a client is told when the reply to a call that was executed got lost, and the call was sent
# again: as measured with real servers that were restarted, and EIO or ETIMEDOUT of soft mounts.
LOST: Final = {
    "rename": (errno.ENOENT, errno.EIO, errno.ETIMEDOUT),
    "link": (errno.EEXIST, errno.EIO),
    "mkdir": (errno.EEXIST, errno.EIO),
    "unlink": (errno.ENOENT, errno.EIO),
    "rmdir": (errno.ENOENT, errno.EIO),
}

Entry = tuple[str, dict[str, int], int]

needs_fuse = pytest.mark.skipif(
    "CI" not in os.environ
    and not (os.access("/dev/fuse", os.R_OK | os.W_OK) and shutil.which("fusermount3")),
    reason="there is no FUSE here",
)


@dataclass
class Faults:
    """How bad a server is. Probabilities are of one call."""

    lost: float = 0.0  # the server does it, the client is told that it failed
    late: float = 0.0  # the client is told ETIMEDOUT, the server does it `late_by` seconds later
    late_by: float = 0.2
    delay: float = 0.0  # seconds that a change may take, at most
    failing: dict[str, list[int]] = field(default_factory=dict)  # call: [k, errno], the k-th fails
    losing: dict[str, list[int]] = field(default_factory=dict)  # the same: done, but reported so
    tick: float = 0.0  # seconds: changes of a directory within one leave an old listing valid
    clock: list[tuple[float, float]] = field(default_factory=list)  # since when, seconds off


@dataclass
class Caches:
    """For how many seconds a client believes what it has seen. They are those of NFS, shortened."""

    attributes: float = 0.5
    names: float = 0.5
    absent: float = 0.5


class Mount:
    """One host's view of the backing directory. Use it as a context manager."""

    def __init__(self, backing: Path, point: Path, caches: Caches | None = None) -> None:
        self.path = point
        self._control = point.with_name(f"{point.name}.faults")
        self.set(Faults())
        point.mkdir()
        options = json.dumps(asdict(caches or Caches()))
        self._log = point.with_name(f"{point.name}.log")
        with self._log.open("w") as log:
            self._server = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.support.fuse"),
                    *(str(backing), str(point), str(self._control), options),
                ],
                cwd=REPOSITORY,
                stderr=log,
            )

    def set(self, faults: Faults) -> None:
        """From the next call on it is as bad as this; counts of calls begin anew."""
        new = self._control.with_name(f"{self._control.name}.new")
        new.write_text(json.dumps(asdict(faults)))
        new.rename(self._control)

    def settle(self) -> None:
        """Return when every call that was to be executed late has been."""
        pattern = f"{self._control.name}.late.*"
        deadline = time.monotonic() + 30
        while list(self._control.parent.glob(pattern)):
            assert time.monotonic() < deadline, "a call is still to be executed"
            threading.Event().wait(0.01)

    @property
    def pid(self) -> int:
        """The process that serves it: stop it, and every call hangs."""
        return self._server.pid

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 20
        while not os.path.ismount(self.path):
            assert self._server.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, "the mount did not come up"
            threading.Event().wait(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._server.send_signal(signal.SIGCONT)  # a stopped one would never end
        command = ["fusermount3", "-u", "-z", str(self.path)]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
        try:
            self._server.wait(1)  # somebody may hold a file open there, and never let it go
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()


@contextlib.contextmanager
def hosts(
    directory: Path, count: int = 2, caches: Caches | None = None
) -> Iterator[tuple[Path, list[Mount]]]:
    """A backing directory below `directory`, and that many mounts of it."""
    backing = directory / "server"
    backing.mkdir(mode=0o700)
    with contextlib.ExitStack() as stack:
        mounts = [
            stack.enter_context(Mount(backing, directory / f"host{n}", caches))
            for n in range(count)
        ]
        yield backing, mounts


# -- the server ----------------------------------------------------------------------------------


def _serve(backing: str, point: str, control: str, caches: Caches) -> None:
    import mfusepy  # type: ignore[import-untyped]  # the server only: a test without /dev/fuse does without libfuse too

    class Server(mfusepy.Operations):  # type: ignore[misc]
        """Every call goes to the same path below the backing directory."""

        use_ns = True

        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._faults = Faults()
            self._loaded = 0
            self._calls: dict[str, int] = {}
            self._listed: dict[str, tuple[object, list[Entry]]] = {}
            self._open_directories: dict[int, list[Entry]] = {}
            self._next = 1
            self._random = random.Random(f"{point}{os.getpid()}")

        def init(self, path: str) -> None:
            del path

        # -- changes, which the faults are about

        def create(self, path: str, mode: int, fi: Any = None) -> int:
            del fi
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
            return int(self._change("create", (path,), lambda p: os.open(p, flags, mode)))

        def mkdir(self, path: str, mode: int) -> int:
            return self._do("mkdir", (path,), lambda p: os.mkdir(p, mode))

        def rmdir(self, path: str) -> int:
            return self._do("rmdir", (path,), os.rmdir)

        def unlink(self, path: str) -> int:
            return self._do("unlink", (path,), os.unlink)

        def rename(self, old: str, new: str) -> int:
            return self._do("rename", (old, new), os.rename)

        def link(self, target: str, source: str) -> int:
            return self._do("link", (source, target), os.link)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            del path
            return os.pwrite(fh, data, offset)

        def utimens(self, path: str, times: Any = None) -> int:
            del times  # the server's clock; spoolq never sets another time
            self._listed.pop(path, None)
            return self._do("utimens", (path,), os.utime)

        def chmod(self, path: str, mode: int) -> int:
            return self._do("chmod", (path,), lambda p: os.chmod(p, mode))

        def chown(self, path: str, uid: int, gid: int) -> int:
            return self._do("chown", (path,), lambda p: os.chown(p, uid, gid))

        def truncate(self, path: str, length: int, fh: int | None = None) -> int:
            os.truncate(backing + path if fh is None else fh, length)
            return 0

        def fsync(self, path: str, datasync: int, fh: int) -> int:
            del path, datasync
            os.fsync(fh)
            return 0

        # -- looking

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            found = os.lstat(backing + path) if fh is None else os.fstat(fh)
            keys = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks")
            attributes = {key: getattr(found, key) for key in keys}
            for key in ("st_atime_ns", "st_mtime_ns", "st_ctime_ns"):
                attributes[key.removesuffix("_ns")] = self._on_clock(getattr(found, key))
            return attributes

        def open(self, path: str, flags: int) -> int:
            return os.open(backing + path, flags & ~os.O_NOFOLLOW)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            del path
            return os.pread(fh, size, offset)

        def release(self, path: str, fh: int) -> int:
            del path
            os.close(fh)
            return 0

        def flush(self, path: str, fh: int) -> int:
            del path, fh
            return 0

        def opendir(self, path: str) -> int:
            entries = self._list(path)
            with self._lock:
                handle, self._next = self._next, self._next + 1
                self._open_directories[handle] = entries
            return handle

        def readdir(self, path: str, fh: int) -> Sequence[str | Entry]:
            del path  # a descriptor that is kept shows for ever what was there when it was opened
            return [".", "..", *self._open_directories[fh]]

        def releasedir(self, path: str, fh: int) -> int:
            del path
            self._open_directories.pop(fh, None)
            return 0

        def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
            del path, datasync, fh
            return 0

        def statfs(self, path: str) -> dict[str, int]:
            found = os.statvfs(backing + path)
            names = [name for name in dir(found) if name.startswith("f_") and name != "f_fsid"]
            return {name: getattr(found, name) for name in names}

        # -- faults

        def _do(self, call: str, paths: tuple[str, ...], act: Callable[..., None]) -> int:
            self._change(call, paths, act)
            return 0

        def _change(self, call: str, paths: tuple[str, ...], act: Callable[..., Any]) -> Any:
            faults = self._now()
            real = [backing + path for path in paths]
            if faults.delay:
                time.sleep(self._random.uniform(0, faults.delay))
            fails, lies = self._counted(call, faults)
            if fails:
                raise OSError(fails, os.strerror(fails))
            hit = call in LOST and call != "create"
            if hit and faults.late and self._random.random() < faults.late:
                self._execute_late(faults.late_by, act, real)
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            answer = act(*real)
            if hit and faults.lost and self._random.random() < faults.lost:
                lies = self._random.choice(LOST[call])
            if lies:
                raise OSError(lies, os.strerror(lies))
            for path in paths:  # a client believes in its own changes
                self._listed.pop(os.path.dirname(path), None)
            return answer

        def _execute_late(self, by: float, act: Callable[..., Any], real: list[str]) -> None:
            pending = Path(f"{control}.late.{time.monotonic_ns()}.{threading.get_ident()}")
            pending.touch()

            def execute() -> None:
                _quietly(act, *real)
                pending.unlink()

            threading.Timer(by, execute).start()

        def _counted(self, call: str, faults: Faults) -> tuple[int, int]:
            """What this very call is to fail with, before or after it is done; 0: it is not."""
            with self._lock:
                number = self._calls[call] = self._calls.get(call, 0) + 1
            return tuple(  # type: ignore[return-value]
                which.get(call, [0, 0])[1] if which.get(call, [0, 0])[0] == number else 0
                for which in (faults.failing, faults.losing)
            )

        def _list(self, path: str) -> list[Entry]:
            tick = self._now().tick
            if not tick:
                return _entries(backing + path)
            found = os.stat(backing + path)
            key = (found.st_ino, int(found.st_mtime_ns / 1e9 / tick))
            known = self._listed.get(path)
            if known and known[0] == key:
                return known[1]
            entries = _entries(backing + path)
            self._listed[path] = (key, entries)
            return entries

        def _on_clock(self, nanoseconds: int) -> int:
            """A time as the server's clock would have told it then."""
            off = 0.0
            for since, offset in self._now().clock:
                if nanoseconds / 1e9 >= since:
                    off = offset
            return nanoseconds + int(off * 1e9)

        def _now(self) -> Faults:
            changed = os.stat(control).st_mtime_ns
            if changed != self._loaded:
                with self._lock:
                    self._faults = Faults(**json.loads(Path(control).read_text()))
                    self._loaded = changed
                    self._calls = {}
            return self._faults

    options: dict[str, Any] = {
        "foreground": True,
        "use_ino": True,
        "attr_timeout": caches.attributes,
        "entry_timeout": caches.names,
        "negative_timeout": caches.absent,
        "default_permissions": True,
    }
    if os.geteuid() == 0:
        options["allow_other"] = True
    mfusepy.FUSE(Server(), point, **options)


def _entries(path: str) -> list[Entry]:
    """A listing: names, and the inode numbers without which the system shows none of them."""
    with os.scandir(path) as found:
        return [
            (
                entry.name,
                {
                    "st_ino": entry.inode(),
                    "st_mode": stat.S_IFDIR
                    if entry.is_dir(follow_symlinks=False)
                    else stat.S_IFREG,
                },
                0,
            )
            for entry in found
        ]


def _quietly(act: Callable[..., object], *paths: str) -> None:
    with contextlib.suppress(OSError):  # nobody waits for the reply
        act(*paths)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], sys.argv[3], Caches(**json.loads(sys.argv[4])))
