"""The disk: the only module that changes it.

Every method says what survives power loss when it returns. With `durable=False` nothing is
synced and nothing is promised beyond the life of the machine.

The system calls that change something are attributes (`sys_rename`, …), so that a test can count
them, fail the k-th, kill the process before or after it, or forget what was not synced.

Rules from docs/format.md: a published file is never opened for writing (R2); after an error of
rename or link a fresh listing decides, never errno (R5); existence and freshness are asked by
listing, not by stat (R6); an fsync that failed is not tried again (R9).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence

from spoolq.clock import SystemClock
from spoolq.errors import JobCorrupt, SpoolFull, SpoolUnavailable

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from typing import Any, Final, NoReturn

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a FIFO in place of a job must not hang its reader.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNNAMED: Final = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

# Changes closer together may carry one time; ten ticks of a slow kernel.
_YOUNG: Final = 0.05  # seconds
_YOUNG_COARSE: Final = 2.1  # where times are whole seconds

_GONE: Final = frozenset({errno.ENOENT, errno.ESTALE, errno.ENOTDIR})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_TRIES: Final = 3
_PAUSE: Final = 0.05  # seconds before the second try of a rename on a remote file system

# syncfs reaches the disk of these; a FUSE or sshfs mount answers 0 and does nothing.
_SYNCFS: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs"})
# One journal, replayed in order: what happened before a synced change survives with it. ext4 is
# one of them only where it has a journal; btrfs syncs the files it is asked for, and no others.
_ORDERED: Final = frozenset({"ext3", "xfs", "tmpfs"})
# A file's own sync keeps its name too, when the file is new there or was linked there (measured).
_KEEP_NAMES: Final = frozenset({"ext3", "ext4", "xfs", "btrfs", "f2fs"})
# Their clock is this host's clock.
_LOCAL: Final = _SYNCFS | {"overlay", "ramfs", "bcachefs"}


class Denied(SpoolUnavailable):
    """The system permits it for this file no more: it is immutable, or its mode is in the way.

    Whoever goes through many files passes over this one, and does the others.
    """


class NoDirectory(Exception):
    """The target's directory is not there; the source still is. A signal between modules."""


class Filesystem:
    """System calls on absolute paths, with the promises the protocol is built on."""

    sys_open: Callable[..., int] = staticmethod(os.open)
    sys_write: Callable[..., int] = staticmethod(os.write)
    sys_fsync: Callable[..., None] = staticmethod(os.fsync)
    sys_chmod: Callable[..., None] = staticmethod(os.chmod)
    sys_chown: Callable[..., None] = staticmethod(os.chown)
    sys_rename: Callable[..., None] = staticmethod(os.rename)
    sys_link: Callable[..., None] = staticmethod(os.link)
    sys_unlink: Callable[..., None] = staticmethod(os.unlink)
    sys_mkdir: Callable[..., None] = staticmethod(os.mkdir)
    sys_makedirs: Callable[..., None] = staticmethod(os.makedirs)
    sys_rmdir: Callable[..., None] = staticmethod(os.rmdir)
    sys_utime: Callable[..., None] = staticmethod(os.utime)
    sys_fallocate: Callable[..., None] = staticmethod(os.posix_fallocate)
    sys_syncfs: Callable[[int], None]

    def __init__(self, root: str, *, durable: bool = True, shared: bool = False) -> None:
        self.root = root
        self.durable = durable
        self.shared = shared
        self.kind, device = mounted(root)
        self.local = self.kind in _LOCAL
        # A remote one has made a change durable before it answers (`sync` exports).
        self.ordered = (
            not self.local
            or self.kind in _ORDERED
            or (self.kind == "ext4" and _has_journal(device))
        )
        # Without a journal ext4 may keep that a name was taken away and lose where it was put: a
        # file that is moved and not synced may be gone after power loss.
        self.atomic = self.kind != "ext4" or self.ordered
        self.boot = boot_id()
        self.file_mode = 0o660 if shared else 0o600
        self.directory_mode = 0o2770 if shared else 0o700
        self.owner: tuple[int, int] | None = None
        """uid and gid that what is made here shall have, when root works for the spool's owner."""
        self.ballast = os.path.join(root, "reserve", "ballast")
        self._seal: tuple[str, tuple[int, int], Sequence[str]] = ("", (0, 0), ())
        self._glance = Glance(self, root)
        self._unnamed = self.local  # until an open says that this file system cannot
        self.sys_syncfs = _syncfs

    @property
    def recovers(self) -> bool:
        """Whether a new file's own sync is enough for a change that the first opener after a boot
        would find and complete: its name survives too, a rename is never half done, and a boot
        can be told from another."""
        return self.kind in _KEEP_NAMES and self.atomic and bool(self.boot)

    # -- changes ---------------------------------------------------------------------------------

    def create(self, path: str, data: bytes, *, sync: bool = True, urgent: bool = False) -> None:
        """Make a new file with this content; it must not exist.

        After return its content survives power loss if `sync`; its name only once its directory
        is synced. On a full disk an `urgent` one, the outcome of a job that ran, uses the ballast.
        """
        try:
            self._create(path, data, sync=sync and self.durable)
        except OSError as error:
            self._discard(path)
            if urgent and error.errno in _FULL and self.release_ballast():
                self.create(path, data, sync=sync)
                return
            self._refuse("write", path, error)

    def _create(self, path: str, data: bytes, *, sync: bool) -> None:
        fd = self._open_filled(path, data, sync=sync)
        os.close(fd)  # its error counts: NFS reports a full disk here

    def _open_filled(self, path: str, data: bytes, *, sync: bool) -> int:
        fd = self.sys_open(path, _CREATE, self.file_mode)
        try:
            self._fill(fd, data, sync=sync)
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(fd)
            raise
        return fd

    def create_open(self, path: str, data: bytes) -> int:
        """`create` an urgent file, to be synced later by whatever name it has then; its
        descriptor, for `sync_and_close`."""
        try:
            return self._open_filled(path, data, sync=False)
        except OSError as error:
            self._discard(path)
            if error.errno in _FULL and self.release_ballast():
                return self.create_open(path, data)
            self._refuse("write", path, error)

    def sync_and_close(self, fd: int, path: str) -> None:
        """Content and name of a file that is open, where that name has been since it was made,
        survive power loss after return (on file systems that keep a new name with its file)."""
        try:
            if self.durable:
                self.sys_fsync(fd)
        except OSError as error:
            self._refuse("sync", path, error)
        finally:
            os.close(fd)

    def _fill(self, fd: int, data: bytes, *, sync: bool) -> None:
        if self.shared or self.owner:
            self._hand_over(fd, self.file_mode)
        written = self.sys_write(fd, data)
        while written < len(data):
            written += self.sys_write(fd, data[written:])
        if sync:
            self.sys_fsync(fd)

    def publish(self, staged: str, target: str, data: bytes) -> None:
        """Give a new file, complete, a name in public. Both survive power loss after return.

        Where the file system can, it has no name at all until then: one directory is changed
        instead of two, and a crash leaves nothing. Else it is made at `staged` and moved. Raises
        NoDirectory when the target's directory is missing.
        """
        if self._unnamed:
            try:
                if self._publish_unnamed(target, data):
                    return
            except FileNotFoundError:
                raise NoDirectory(target) from None
            except OSError as error:
                self._refuse("write", target, error)
        self.create(staged, data)
        try:
            self.move(staged, target, private=True)
        except NoDirectory:
            self._discard(staged)
            raise
        self.sync_directory(os.path.dirname(target))

    def _publish_unnamed(self, target: str, data: bytes) -> bool:
        """False where this cannot be done here; then it is not tried again."""
        directory = target[: target.rindex("/")]
        try:
            fd = self.sys_open(directory, _UNNAMED, self.file_mode)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
            self._unnamed = False
            return False
        try:
            sync, keeps_name = self.durable, self.kind in _KEEP_NAMES
            # One sync behind the link for both where that is enough: then, for a moment, a name
            # is in public that power loss may take the content from.
            self._fill(fd, data, sync=sync and not keeps_name)
            # Python calls linkat only when a descriptor is given; an absolute path ignores it.
            self.sys_link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd, follow_symlinks=True)
            if sync and keeps_name:
                self._sync_published(fd, target)
        except FileNotFoundError:
            if not self.is_directory(directory):
                raise
            self._unnamed = False  # no /proc here
            return False
        finally:
            os.close(fd)
        if sync and not keeps_name:
            self.sync_directory(directory)
        return True

    def _sync_published(self, fd: int, target: str) -> None:
        try:
            self.sys_fsync(fd)
        except OSError:
            # RACE: somebody may have claimed it by now; then it runs, and is told as refused.
            self._discard(target)
            raise

    def move(self, source: str, target: str, *, private: bool = False) -> bool:
        """Rename a file to a name that nothing has had. False: somebody else moved it first.

        Atomic. It survives power loss once either directory is synced. `private` says that
        nobody but the caller knows the source: then a source that is gone means the rename
        happened, its reply was lost, and somebody has moved the target on. Raises NoDirectory
        when the target's directory is missing and the source is still there.
        """
        try:
            self.sys_rename(source, target)
        except OSError as error:
            return self._moved(source, target, error, private=private)
        return True

    def _moved(self, source: str, target: str, error: OSError, *, private: bool) -> bool:
        """What became of a rename that reported an error: the listings say (R5, faults 28, 29)."""
        if self.local and error.errno == errno.ENOENT:
            # A lost race, the common case, without a listing: no cache lies before this disk.
            if os.path.lexists(target):
                return True
            if not os.path.lexists(source):
                return private
        for attempt in range(_TRIES):
            if self._is_listed(target):
                return True
            if error.errno not in _GONE and error.errno not in _FULL:
                self._refuse("move", f"{source} to {target}", error)
            if not self._is_listed(source):
                return private
            self._prepare_retry(source, target, error, attempt)
            try:
                self.sys_rename(source, target)
                return True
            except OSError as again:
                error = again
        return self._refuse("move", f"{source} to {target}", error)

    def _prepare_retry(self, source: str, target: str, error: OSError, attempt: int) -> None:
        """Before a rename of a file that is still there: raise, unless it may go well now."""
        if error.errno in _FULL:
            if not self.release_ballast():
                self._refuse("move", f"{source} to {target}", error)
        elif not self._is_listed(os.path.dirname(target)):
            raise NoDirectory(target)
        elif not self.local:
            # A client may go on believing for a while that a name is not there.
            SystemClock().sleep(_PAUSE * 4**attempt)

    def _is_listed(self, path: str) -> bool:
        """`has`, for whoever concludes something from a name that is not there.

        An old listing that lacks the newest name would make a rename that failed look like one
        that happened, and a job would be acknowledged that is still in `tmp/`.
        """
        if not self.local:
            self.touch_directory(os.path.dirname(path))
        return self.has(path)

    def link(self, source: str, target: str) -> bool:
        """Give a file a second name, unless the name is taken: a compare-and-swap. False: taken."""
        try:
            self.sys_link(source, target)
        except FileExistsError:
            # A lost reply reports EEXIST for a link that happened: the inode decides.
            return self._same(source, target)
        except OSError as error:
            if self.has(target):
                return self._same(source, target)
            self._refuse("link", f"{source} to {target}", error)
        return True

    def _same(self, source: str, target: str) -> bool:
        try:
            return os.path.samestat(os.lstat(source), os.lstat(target))
        except OSError:
            return False

    def unlink(self, path: str) -> bool:
        """Remove a file; False when it was gone, or is a directory.

        Survives power loss once its directory is synced.
        """
        try:
            self.sys_unlink(path)
        except OSError as error:
            if error.errno in _GONE or error.errno == errno.EISDIR:
                return False
            if self.has(path):
                self._refuse("remove", path, error)
        return True

    def mark(self, path: str) -> bool:
        """Make an empty file, with its missing directories. False when it was there.

        Survives power loss after return.
        """
        try:
            self._create(path, b"", sync=False)
        except FileExistsError:
            self._sync_name_of_another(path)
            return False
        except FileNotFoundError:
            self.mkdir(os.path.dirname(path))
            return self.mark(path)
        except OSError as error:
            if error.errno in _FULL and self.release_ballast():
                return self.mark(path)
            self._refuse("write", path, error)
        self.sync_directory(os.path.dirname(path))
        return True

    def mark_all(self, paths: Sequence[str]) -> None:
        """`mark` for many files, synced together."""
        durable, self.durable = self.durable, False
        try:
            for path in paths:
                self.mark(path)
        finally:
            self.durable = durable
        above = {os.path.dirname(path) for path in paths}
        self.sync_files([], directories=above | {os.path.dirname(path) for path in above})

    def mkdir(self, path: str, *, sync: bool = True) -> bool:
        """Make a directory and its missing parents. False when it was there.

        Survives power loss after return: jobs are about to be put into it. Without `sync`, for a
        private one, it does not.
        """
        try:
            self.sys_mkdir(path, self.directory_mode)
        except FileExistsError:
            self._sync_name_of_another(path)
            return False
        except FileNotFoundError:
            parent = os.path.dirname(path)
            if len(parent) < len(self.root):
                raise SpoolUnavailable(f"the spool {self.root} is gone", self.root) from None
            self.mkdir(parent)
            return self.mkdir(path, sync=sync)
        except OSError as error:
            # A job that runs may be the first one to end in its shard.
            if error.errno in _FULL and self.release_ballast():
                return self.mkdir(path, sync=sync)
            if not self.has(path):
                self._refuse("make the directory", path, error)
        if self.shared or self.owner:
            self.hand_over(path, self.directory_mode)
        if sync:
            self.sync_directory(os.path.dirname(path))
        return True

    def _sync_name_of_another(self, path: str) -> None:
        # RACE: who made it may not have synced it yet, and what we build on it shall survive.
        if not self.ordered:
            self.sync_directory(os.path.dirname(path))

    def sync_work_of_another(self, path: str) -> None:
        """Content and name of a file, and the name of its directory, survive power loss after
        return: who made them may have died before that. One that is gone is passed over."""
        if not self.durable:
            return
        try:
            fd = os.open(path, _READ)
        except FileNotFoundError:
            return
        except OSError as error:
            self._refuse("sync", path, error)
        self.sync_and_close(fd, path)
        if not self.ordered:
            above = os.path.dirname(path)
            self.sync_directory(above)
            self.sync_directory(os.path.dirname(above))

    def touch(self, path: str) -> None:
        """Give a file the time of now; nothing happens where that cannot be."""
        with contextlib.suppress(OSError):
            self.sys_utime(path)

    def make_root(self) -> None:
        """Make the root, and what is missing above it as the umask wants it."""
        try:
            self.sys_makedirs(os.path.dirname(self.root), exist_ok=True)
        except OSError as error:
            self._refuse("make", os.path.dirname(self.root), error)
        self.mkdir(self.root)

    def rmdir(self, path: str) -> bool:
        """Remove an empty directory. False when it is not empty or was gone.

        Only this closes a directory to late comers: one that is renamed away still receives
        files from a host that has it in its cache (R10).
        """
        try:
            self.sys_rmdir(path)
        except OSError as error:
            if error.errno in _GONE or error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            if self.has(path):
                self._refuse("remove the directory", path, error)
        return True

    def publish_directory(self, source: str, target: str) -> None:
        """Rename a private directory to a name that nothing has: all of its files at once."""
        try:
            self.sys_rename(source, target)
        except OSError as error:
            if not self._is_listed(target) or self._is_listed(source):
                if error.errno in _GONE and not self._is_listed(os.path.dirname(target)):
                    raise NoDirectory(target) from None
                self._refuse("publish", target, error)

    def claim_directory(self, source: str, target: str) -> bool:
        """Rename a private directory to this name, unless one that holds anything has it.

        A compare-and-swap against "nothing there": False when somebody else was quicker; the
        private one stays. Survives power loss once the target's parent is synced. Raises
        NoDirectory when that is missing.
        """
        try:
            self.sys_rename(source, target)
        except OSError as error:
            # A lost reply reports that the source is gone, or the target not empty: ours, then.
            if not self._is_listed(source):
                return True
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            if error.errno in _GONE:
                raise NoDirectory(target) from None
            self._refuse("publish", target, error)
        return True

    def touch_directory(self, path: str) -> None:
        """Make every client list this directory anew: an NFS client may keep a listing without
        the newest name when two changes fell into one tick of the server's clock."""
        with contextlib.suppress(OSError):  # a hint; the next change of the directory does it too
            self.sys_utime(path)

    def ring(self, path: str) -> None:
        """Touch a file that somebody watches, if it is there. A hint, which may be lost.

        On this host only: a file server would be asked for nothing, as nobody hears it elsewhere.
        """
        if self.local and os.path.exists(path):
            with contextlib.suppress(OSError):
                self.sys_utime(path)

    def sync_directory(self, path: str) -> None:
        """Names made, moved or removed in this directory before the call survive power loss."""
        if not self.durable:
            return
        try:
            fd = os.open(path, _DIRECTORY)
        except FileNotFoundError:
            return  # RACE: emptied and removed by a claimer; what was in it has moved on
        except OSError as error:
            self._refuse("open", path, error)
        try:
            self.sys_fsync(fd)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some FUSE file systems
                self._refuse("sync", path, error)
        finally:
            os.close(fd)

    def sync_files(self, paths: Iterable[str], directories: Iterable[str] = ()) -> None:
        """The content of these files, just created without sync, and the names in these
        directories survive power loss: one syncfs where that reaches the disk."""
        if not self.durable:
            return
        if self.kind in _SYNCFS:
            fd = os.open(self.root, _DIRECTORY)
            try:
                self.sys_syncfs(fd)
            except OSError:
                # syncfs reports the failure of any file of the file system: ask for ours.
                pass
            else:
                return
            finally:
                os.close(fd)
        for path in paths:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    self.sys_fsync(fd)
                finally:
                    os.close(fd)
            except OSError as error:
                self._refuse("sync", path, error)
        for path in directories:
            self.sync_directory(path)

    def hand_over(self, path: str, mode: int) -> None:
        """Give a new directory the mode that the umask took away, and the owner of the spool."""
        try:
            self._hand_over(path, mode)
        except OSError as error:
            self._refuse("change the mode of", path, error)

    def _hand_over(self, target: str | int, mode: int) -> None:
        """The same, also for a file that is open."""
        if self.owner and os.geteuid() == 0:  # a child of root's may be that owner by now
            self.sys_chown(target, *self.owner)
        self.sys_chmod(target, mode)

    def _discard(self, path: str) -> None:
        with contextlib.suppress(OSError):  # an unfinished private file: repair collects it too
            self.sys_unlink(path)

    # -- the full disk ---------------------------------------------------------------------------

    def make_ballast(self, size: int) -> None:
        """Set `size` bytes aside, so that jobs which run can end when the disk is full."""
        if size <= 0 or self.has(self.ballast):
            return
        try:
            fd = self.sys_open(self.ballast, _CREATE, self.file_mode)
        except OSError:
            return  # no space for it is no reason to refuse work: the low-water mark does that
        try:
            if self.shared or self.owner:
                self._hand_over(fd, self.file_mode)
            self.sys_fallocate(fd, 0, size)
        except OSError:
            self._discard(self.ballast)
        finally:
            os.close(fd)

    def release_ballast(self) -> bool:
        """Give the reserve back to the file system. False when it was gone already."""
        try:
            self.sys_unlink(self.ballast)
        except OSError:
            return False
        with contextlib.suppress(SpoolUnavailable):
            self.sync_directory(os.path.dirname(self.ballast))  # ext4 frees blocks at the commit
        return True

    def space(self) -> tuple[int, int, int]:
        """Free bytes, all bytes, free inodes (a large number where there is no such limit)."""
        try:
            answer = os.statvfs(self.root)
        except OSError as error:
            self._refuse("look at", self.root, error)
        inodes = answer.f_favail if answer.f_files else 1 << 40
        return answer.f_bavail * answer.f_frsize, answer.f_blocks * answer.f_frsize, inodes

    # -- looking ---------------------------------------------------------------------------------

    def list(self, path: str) -> list[str]:
        """The names in a directory, as they are now, unordered; [] when it is gone.

        Opens the directory anew: a kept descriptor shows an NFS client's past. Names that are no
        UTF-8 come with surrogates, which no grammar admits.
        """
        try:
            return os.listdir(path)
        except FileNotFoundError:
            return []
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ESTALE):
                return []
            self._refuse("list", path, error)

    def has(self, path: str) -> bool:
        """Whether a fresh listing of its directory shows this name."""
        directory, name = os.path.split(path)
        return name in self.list(directory)

    def is_directory(self, path: str) -> bool:
        """Whether there is a directory of this name; links are not followed."""
        try:
            return stat.S_ISDIR(os.lstat(path).st_mode)
        except OSError:
            return False

    def changed(self, path: str) -> tuple[int, int]:
        """(inode, mtime in ns) of a directory, (0, 0) when it is gone: a hint for caches."""
        try:
            found = os.stat(path)
        except OSError:
            return (0, 0)
        return (found.st_ino, found.st_mtime_ns)

    def is_there(self, path: str) -> bool:
        """Whether anything has this name: one call on a local disk, else a fresh listing (R6)."""
        return os.access(path, os.F_OK) if self.local else self.has(path)

    def remember_root(self, path: str, directories: Sequence[str]) -> None:
        """Take this file for what tells the spool from another one, and from none."""
        self._seal = (path, self.changed(path), directories)

    def check_root(self) -> None:
        """Raise SpoolUnavailable when the spool that was opened is not at its root any more.

        It was moved away, replaced, or restored from a copy; or somebody has put a link in place
        of one of its directories.
        """
        path, was, directories = self._seal
        fresh = self._glance.fresh()
        if self.changed(path) != was:
            raise SpoolUnavailable(
                f"{self.root} is not the spool any more that was opened here: it was moved, "
                "replaced or restored; start again",
                self.root,
            )
        if fresh is None:
            return  # nothing was put in place of anything below the root
        for directory in directories:
            if os.path.islink(directory):
                self._glance.forget()  # nobody gets by at the next look
                raise SpoolUnavailable(
                    f"{directory} is a link, and a spool has none; put the directory back",
                    directory,
                )

    def modified(self, path: str) -> float | None:
        """When the file's content last changed, by the file system's clock; None when gone."""
        try:
            return os.lstat(path).st_mtime
        except OSError:
            return None

    def read(self, path: str, limit: int, *, linked: bool = False) -> bytes | None:
        """The content of a file; None when it is gone.

        Raises JobCorrupt for anything but a regular file of at most `limit` bytes with one name
        (`linked` allows two, for what `link` publishes), without reading it.
        """
        try:
            fd = self._open_to_read(path)
            if fd is None:
                return None
            try:
                size = _check_regular(os.fstat(fd), limit, linked=linked)
                data = os.read(fd, size + 1)
                while len(data) < size and (more := os.read(fd, size - len(data))):
                    data += more
            finally:
                os.close(fd)
        except OSError as error:
            if error.errno == errno.ESTALE:
                return None  # RACE: removed on the server after it was opened
            self._refuse("read", path, error)
        return data

    def _open_to_read(self, path: str) -> int | None:
        try:
            return os.open(path, _READ)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise JobCorrupt("it is a symbolic link") from None
            if error.errno in (errno.ENXIO, errno.ENODEV):
                raise JobCorrupt("it is a socket or a device") from None
            raise

    def server_time(self, probe: str) -> float:
        """The time by the clock of the file server: a directory made and removed at `probe`.

        A directory, because a file under an NFSv4 delegation may show the client's clock.
        """
        for attempt in range(_TRIES):
            path = f"{probe}.{attempt}"
            self.mkdir(path)
            try:
                return os.lstat(path).st_mtime
            except FileNotFoundError:
                # Made, its reply lost: a client may not believe it yet. Another name was not asked.
                continue
            except OSError as error:
                self._refuse("look at", path, error)
            finally:
                self.rmdir(path)
        raise SpoolUnavailable(f"{self.root}: what is made here is not there", self.root)

    def walk(self, path: str) -> Iterator[str]:
        """Every file below a directory, deepest directories last; links are not followed."""
        for name in self.list(path):
            below = os.path.join(path, name)
            if self.is_directory(below):
                yield from self.walk(below)
            else:
                yield below

    def _refuse(self, verb: str, path: str, error: OSError) -> NoReturn:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise SpoolFull(
                f"cannot {verb} {path}: {reason}; make room on the file system of {self.root}", path
            ) from error
        # EPERM is about the file, EACCES of a change about its directory, and so about all in it.
        denied = error.errno == errno.EPERM or (error.errno == errno.EACCES and verb == "open")
        kind = Denied if denied else SpoolUnavailable
        raise kind(f"cannot {verb} {path}: {reason}", path) from error


class Glance:
    """A directory whose names are listed again only when they may have changed.

    On a local file system its inode and its time say so, once that time is old enough for any
    later change to have another. Elsewhere caches lie before both, and it is listed each time.
    """

    __slots__ = ("_fs", "_path", "_seen")

    def __init__(self, fs: Filesystem, path: str) -> None:
        self._fs = fs
        self._path = path
        self._seen = (0, 0)

    def fresh(self) -> list[str] | None:
        """The names as they are now; None: they are what the last call said."""
        fs, path = self._fs, self._path
        if not fs.local:
            return fs.list(path)
        # Looked at first: what changes between the two is listed, and listed once more.
        changed = fs.changed(path)
        if changed == self._seen and changed != (0, 0):
            return None
        old = has_settled(changed[1], SystemClock().wall())
        self._seen = changed if old else (0, 0)
        return fs.list(path)

    def forget(self) -> None:
        """Let the next call list it in any case."""
        self._seen = (0, 0)


def has_settled(mtime: int, now: float) -> bool:
    """Whether a change from now on will show in a directory that was changed at `mtime` (ns)."""
    return now - mtime / 1e9 > (_YOUNG if mtime % 1_000_000_000 else _YOUNG_COARSE)


def _check_regular(found: os.stat_result, limit: int, *, linked: bool) -> int:
    """The size of what was opened. Raises JobCorrupt unless it is a file one may read whole."""
    if not stat.S_ISREG(found.st_mode):
        raise JobCorrupt("it is no regular file")
    if found.st_size > limit:
        raise JobCorrupt(f"it is larger than {limit} bytes")
    if found.st_nlink > 1 and not linked:
        raise JobCorrupt("it has a second name (a hard link)")
    return found.st_size


def mounted(path: str) -> tuple[str, str]:
    """(type, device) of the file system that holds a path, from /proc/self/mountinfo; "" where
    it is unknown."""
    path = os.path.realpath(path)
    best, kind, device = "", "", ""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                fields, _, rest = line.partition(" - ")
                point = fields.split(" ")[4]
                if "\\" in point:
                    point = point.encode("latin-1", "replace").decode("unicode_escape")
                inside = path == point or path.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, (kind, device) = point, rest.split(" ")[:2]
    except OSError:
        return "", ""
    return kind, device


@functools.cache
def boot_id() -> str:
    """What identifies this boot of this host; "" where the kernel does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def _has_journal(device: str) -> bool:
    """Whether this ext4 has one: its commit thread shows in /proc/fs/jbd2, as DEVICE-INODE."""
    name = os.path.basename(os.path.realpath(device))
    try:
        return any(entry.rpartition("-")[0] == name for entry in os.listdir("/proc/fs/jbd2"))
    except OSError:
        return False


@functools.cache
def _libc() -> Any:
    import ctypes  # 5 ms, for batches only

    return ctypes.CDLL(None, use_errno=True)


def _syncfs(fd: int) -> None:
    if _libc().syncfs(fd) != 0:
        import ctypes

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
