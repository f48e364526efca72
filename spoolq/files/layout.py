"""The root: what lies where, the version law, first use, and who may be let near it."""

from __future__ import annotations

import contextlib
import os
import stat

from spoolq.errors import (
    InvalidValue,
    JobCorrupt,
    NotASpool,
    SpoolUnavailable,
    UnsafeSpool,
    UnsupportedFormat,
)
from spoolq.files import names
from spoolq.files.fs import Filesystem
from spoolq.settings import Settings, parse_settings

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Final

VERSION: Final = "spoolq 1"
DIRECTORIES: Final = (
    "jobs",
    "tmp",
    "inactive",
    "active",
    "finished",
    "failed",
    "settling",
    "places",
    "children",
    "workers",
    "commands",
    "locks",
    "limits",
    "unique",
    "schedules",
    "logs",
    "incidents",
    "corrupt",
    "wakeup",
    "trash",
    "reserve",  # the last one made: while it is missing, first use is not complete
)
COUNTERS: Final = ("job", "worker", "lock", "schedule")
# What a person may have put into a directory before it becomes a spool.
_BEFORE: Final = frozenset({"jobs", "spoolq.toml", "lost+found"})
_DEFAULT_LOW_WATER: Final = 64 * 1024 * 1024
_DEFAULT_BALLAST: Final = 8 * 1024 * 1024


class Layout:
    """Absolute paths of the directories of one spool."""

    def __init__(self, root: str) -> None:
        self.root = root
        for name in (*DIRECTORIES, "ids"):
            setattr(self, name, f"{root}/{name}")
        self.environments = f"{root}/environments"  # made with the first one

    jobs: str
    tmp: str
    inactive: str
    active: str
    finished: str
    failed: str
    settling: str
    places: str
    children: str
    workers: str
    commands: str
    locks: str
    limits: str
    unique: str
    schedules: str
    logs: str
    incidents: str
    corrupt: str
    wakeup: str
    trash: str
    reserve: str
    ids: str


def read_settings(root: str) -> Settings:
    """The spool's settings; the defaults where there is no `spoolq.toml`.

    Raises SpoolUnavailable when the file cannot be understood: guessing at a shared setting
    would make two hosts disagree.
    """
    path = f"{root}/spoolq.toml"
    try:
        with open(path, encoding="utf-8") as file:
            return parse_settings(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return Settings()
    except OSError as error:
        raise SpoolUnavailable(f"cannot read {path}: {error.strerror}", path) from error
    except UnicodeDecodeError as error:
        raise SpoolUnavailable(f"cannot use {path}: it is not UTF-8", path) from error
    except InvalidValue as error:
        raise SpoolUnavailable(f"cannot use {path}: {error}", path) from error


def open_root(fs: Filesystem, now: float) -> float:
    """Make a new spool or check an old one; return when it was created (epoch seconds).

    Raises NotASpool, UnsupportedFormat or UnsafeSpool, having touched nothing, or
    SpoolUnavailable with what the disk said. Any number of processes may do this at once; a
    process that dies here leaves something the next one completes.
    """
    root = fs.root
    if not os.path.isdir(root):
        _make_root(fs)
    created = _format(fs)
    if created is None and _may_take(fs):
        _check_safe(fs)
        created = _first_use(fs, now)
    elif created is None:
        created = _format(fs)  # RACE: another first user has put it there meanwhile
    _check_safe(fs)
    if created is None:
        raise SpoolUnavailable(f"{root} has lost its FORMAT", root)
    if not os.path.isdir(f"{root}/reserve"):
        complete(fs)
    # Executables and logs may lie elsewhere: no job's state is in them.
    own = [f"{root}/{name}" for name in (*DIRECTORIES, "ids") if name not in ("jobs", "logs")]
    fs.remember_root(f"{root}/FORMAT", own)
    return created


def complete(fs: Filesystem) -> None:
    """Make what is missing of the directories and the counters."""
    for name in DIRECTORIES[:-1]:
        fs.mkdir(f"{fs.root}/{name}")
    _make_counters(fs)
    fs.mkdir(f"{fs.root}/reserve")


def ballast_size(fs: Filesystem, settings: Settings) -> int:
    """Bytes to keep back for jobs that run when the disk is full."""
    if settings.ballast is not None:
        return settings.ballast
    return min(_DEFAULT_BALLAST, fs.space()[1] // 100)


def low_water(fs: Filesystem, settings: Settings) -> int:
    """Free bytes below which new work is refused."""
    if settings.low_water is not None:
        return settings.low_water
    return min(_DEFAULT_LOW_WATER, fs.space()[1] // 100)


def _make_root(fs: Filesystem) -> None:
    if os.path.lexists(fs.root) and not os.path.isdir(fs.root):  # RACE: made since we looked
        raise NotASpool(f"{fs.root} is not a directory; name another root", fs.root)
    fs.make_root()


def _format(fs: Filesystem) -> float | None:
    """When the spool was created; None when there is no FORMAT yet."""
    path = f"{fs.root}/FORMAT"
    try:
        data = fs.read(path, 4096, linked=True)
    except JobCorrupt as error:
        raise NotASpool(f"{path} is no format file: {error.reason}", path) from None
    if data is None:
        return None
    lines = data.decode("utf-8", "replace").splitlines()
    if lines[:1] != [VERSION]:
        found = ascii(lines[0][:60]) if lines else "nothing"
        raise UnsupportedFormat(
            f"{fs.root} has the format {found}, and this software knows {VERSION!r} only; "
            "use the spoolq that wrote it, or a newer one. Nothing was touched",
            path,
        )
    for line in lines[1:]:
        key, _, value = line.partition(" ")
        if key == "created":
            with contextlib.suppress(ValueError):
                return float(value)
    return 0.0


def _may_take(fs: Filesystem) -> bool:
    """Whether this directory is empty enough to become a spool; False when it became one."""
    found = set(fs.list(fs.root))
    if "FORMAT" in found:
        return False
    foreign = sorted(name for name in found - _BEFORE if not name.startswith(".nfs"))
    # A first use that died before FORMAT leaves tmp/ alone, with nothing but its own file in it.
    if foreign and not (foreign == ["tmp"] and _only_leftovers(fs)):
        if fs.has(f"{fs.root}/FORMAT"):
            return False  # RACE: another first user has gone on since the first listing
        raise NotASpool(
            f"{fs.root} is no spool and is not empty (it holds {foreign[0]!a}); "
            "name an empty or a new directory as the root. Nothing was touched",
            fs.root,
        )
    return True


def _only_leftovers(fs: Filesystem) -> bool:
    return all(name.startswith("format.") for name in fs.list(f"{fs.root}/tmp"))


def _first_use(fs: Filesystem, now: float) -> float:
    """Put FORMAT in place, whole: of several first users the first link decides."""
    found = os.stat(fs.root)
    if os.geteuid() == found.st_uid and found.st_mode & stat.S_IWUSR:
        fs.hand_over(fs.root, fs.directory_mode)  # made by `mkdir`, readable by all
    fs.mkdir(f"{fs.root}/tmp")
    staged = f"{fs.root}/tmp/format.{names.nonce()}"
    fs.create(staged, f"{VERSION}\ncreated {now:.6f}\n".encode())
    fs.link(staged, f"{fs.root}/FORMAT")
    fs.unlink(staged)
    fs.sync_directory(fs.root)
    created = _format(fs)
    if created is None:
        raise SpoolUnavailable(f"cannot make {fs.root}/FORMAT: it does not appear", fs.root)
    return created


def _make_counters(fs: Filesystem) -> None:
    """Make `ids/` with every counter at 1, unless it is there.

    A directory renamed into place: two first users cannot both start a sequence, because a
    rename onto a directory that is not empty fails.
    """
    target = f"{fs.root}/ids"
    if fs.list(target):
        return
    staged = f"{fs.root}/tmp/ids.{names.nonce()}"
    fs.mkdir(staged)
    for kind in COUNTERS:
        fs.create(f"{staged}/{kind}.1.0.{names.nonce()}", b"", sync=False)
    fs.create(f"{staged}/boot.{fs.boot}", b"", sync=False)  # nothing to recover yet
    fs.sync_directory(staged)
    try:
        fs.publish_directory(staged, target)
    except SpoolUnavailable:
        if not fs.list(target):
            raise
        for name in fs.list(staged):  # RACE: another first user was quicker
            fs.unlink(f"{staged}/{name}")
        fs.rmdir(staged)
    fs.sync_directory(fs.root)


def _check_safe(fs: Filesystem) -> None:
    """Refuse a root that others may write: who can put a job there makes its owner run things.

    Source: sshd's StrictModes and cron's rule for crontabs. A directory above it may be written
    by others only if it is sticky, as /tmp is.
    """
    try:
        found = os.stat(fs.root)
    except OSError as error:
        raise SpoolUnavailable(f"cannot look at {fs.root}: {error.strerror}", fs.root) from error
    mode, me = stat.S_IMODE(found.st_mode), os.geteuid()
    if found.st_uid not in (me, 0) and me != 0 and not fs.shared:
        raise UnsafeSpool(
            f"{fs.root} belongs to user {found.st_uid}, not to you ({me}); "
            'use your own root, or have its owner set mode = "group" in spoolq.toml',
            fs.root,
        )
    forbidden = 0o002 if fs.shared else 0o022
    if mode & forbidden:
        raise UnsafeSpool(
            f"{fs.root} may be written by others (mode {mode:04o}): they could make you run their "
            f"programs; chmod {'o-w' if fs.shared else 'go-w'} it, after a look at what is inside",
            fs.root,
        )
    if me == 0 and found.st_uid != 0:
        fs.owner = (found.st_uid, found.st_gid)
    above = os.path.dirname(os.path.realpath(fs.root))
    while True:
        with contextlib.suppress(OSError):
            up = os.stat(above).st_mode
            if up & 0o002 and not up & stat.S_ISVTX:
                raise UnsafeSpool(
                    f"{above}, above the spool {fs.root}, may be written by everybody: they could "
                    "put another spool in its place; chmod o-w it, or use another root",
                    above,
                )
        if above == os.path.dirname(above):
            return
        above = os.path.dirname(above)
