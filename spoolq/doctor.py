"""Is this spool well? Checks that look, and try what the protocol needs; nothing is put right.

Each check gives findings. A problem is something that loses work, or keeps it from being done; a
warning is something that somebody should know.
"""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from shlex import quote
from typing import Final, Literal

from spoolq.clock import SystemClock
from spoolq.control import NOTHING, whose
from spoolq.declared import vanished_from_settings, wrong_tables
from spoolq.errors import SpoolError, UnsafeFile
from spoolq.files import layout as roots
from spoolq.files.store import FileBackend
from spoolq.lookup import find, workers
from spoolq.model import JobInfo, ScheduleInfo
from spoolq.runners.account import job_account
from spoolq.runners.trust import check_executable
from spoolq.selection import Selection
from spoolq.why import age, live_workers, serves

Level = Literal["ok", "warning", "problem"]

WAITED: Final = 120.0  # seconds after which a ready job that nobody takes is a problem
UNDISPATCHED: Final = 300.0  # seconds after which a schedule that is due is a problem
OVERDUE: Final = 3600.0  # seconds after which a ready job that nobody takes is worth a word
STALE: Final = 3600.0  # seconds after which a temporary file is nobody's any more
SKEW: Final = 2.0  # seconds two clocks may differ
_REMOTE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "lustre"})
_MOST: Final = 1000  # jobs that are looked at


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix` is what to do, a command where there is one."""

    level: Level
    check: str
    text: str
    fix: str = ""


@dataclass
class Section:
    """Findings about one thing."""

    name: str
    about: str = ""
    findings: list[Finding] = field(default_factory=list)

    def ok(self, check: str, text: str) -> None:
        """It is as it should be."""
        self.findings.append(Finding("ok", check, text))

    def warn(self, check: str, text: str, fix: str) -> None:
        """Somebody should know."""
        self.findings.append(Finding("warning", check, text, fix))

    def problem(self, check: str, text: str, fix: str) -> None:
        """Work is lost, or not done."""
        self.findings.append(Finding("problem", check, text, fix))


def examine(backend: FileBackend, *, quick: bool = False) -> Iterator[Section]:
    """Every check, section by section. `quick` leaves out what reads jobs or waits for a disk."""
    fs = backend._fs  # noqa: SLF001  # what the backend found out about the disk, and its calls
    checks: list[Callable[[], Section]] = [
        lambda: _spool(backend, quick=quick),
        lambda: _filesystem(backend.root, fs.kind, fs.local, fs.ordered, fs.space(), _low(backend)),
        lambda: _clocks(backend),
        lambda: _workers(backend, quick=quick),
        lambda: _tasks(backend.root),
        lambda: _schedules(backend),
        lambda: _jobs(backend, quick=quick),
    ]
    for check in checks:
        yield check()


def count(sections: list[Section], level: Level) -> int:
    """How many findings of one level there are."""
    return sum(one.level == level for section in sections for one in section.findings)


def mount_options(path: str) -> tuple[str, list[str]]:
    """(device, options) of the file system that holds a path, as this host mounted it."""
    path, best, found = os.path.realpath(path), "", ("", list[str]())
    with suppress(OSError), open("/proc/self/mounts", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            device, point, _, options, *_ = line.split(" ")
            point = point.replace("\\040", " ")
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, found = point, (device, options.split(","))
    return found


# -- the sections --------------------------------------------------------------------------------


def _spool(backend: FileBackend, *, quick: bool) -> Section:
    section = Section("spool", backend.root)
    found = os.stat(backend.root)
    mode = stat.S_IMODE(found.st_mode)
    version = roots.VERSION.removeprefix("spoolq ")
    owner = f"{_user(found.st_uid)}:{_group(found.st_gid)}"
    section.ok("format", f"format {version}, owner {owner}, mode {mode:04o}")
    if quick:
        if not os.access(f"{backend.root}/tmp", os.W_OK | os.X_OK):
            section.problem(
                "writable", f"{backend.root} is not writable", "look at its owner and mode"
            )
        return section
    clock = SystemClock()
    began = clock.elapsed()
    failed = _try_the_disk(f"{backend.root}/tmp")
    took = (clock.elapsed() - began) * 1000
    if failed:
        section.problem("writable", failed, "make room, or look at owner, mode and mount")
    else:
        section.ok("writable", f"write, fsync, rename, link, unlink all work here ({took:.1f} ms)")
    if backend.settings.durability == "none":
        section.warn(
            "durability",
            'durability = "none": power loss may take jobs that were confirmed',
            'durability = "full" in spoolq.toml',
        )
    return section


def _try_the_disk(directory: str) -> str:
    """What the protocol asks of a disk, once; what did not work, else nothing."""
    base = f"{directory}/doctor.{os.getpid()}"
    made, moved, linked = f"{base}.1", f"{base}.2", f"{base}.3"
    step = "write"
    try:
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, b"x")
            step = "fsync"
            os.fsync(fd)
        finally:
            os.close(fd)
        step = "rename"
        os.rename(made, moved)
        step = "link"
        os.link(moved, linked)
        step = "unlink"
        os.unlink(linked)
        os.unlink(moved)
    except OSError as error:
        return f"{step} does not work in {directory}: {error.strerror}"
    finally:
        for path in (made, moved, linked):
            with suppress(OSError):
                os.unlink(path)
    return ""


def _low(backend: FileBackend) -> int:
    return roots.low_water(backend._fs, backend.settings)  # noqa: SLF001


def _filesystem(
    root: str, kind: str, local: bool, ordered: bool, space: tuple[int, int, int], low: int
) -> Section:
    device, options = mount_options(root)
    section = Section("filesystem", f"{kind or 'unknown'}  {device}  {','.join(options)}".rstrip())
    if kind in ("tmpfs", "ramfs"):
        section.warn("kind", f"{kind} is memory: a reboot empties this spool", "use a disk")
    elif kind in ("nfs", "nfs4"):
        _nfs(section, options)
    elif not local and kind not in _REMOTE:
        section.warn(
            "kind", f"nothing is known of {kind or 'it'}: it is treated as remote", "docs/hosts.md"
        )
    elif local and not ordered and kind == "ext4":
        section.warn(
            "kind",
            "ext4 without a journal: a name may be lost with the power",
            "tune2fs -O has_journal on the device, unmounted",
        )
    else:
        promise = "rename is atomic, what is confirmed is on disk"
        section.ok(
            "kind", f"{promise}{'' if local else '; asked again and again from other hosts'}"
        )
    _space(section, space, low, root)
    return section


def _nfs(section: Section, options: list[str]) -> None:
    if "soft" in options or "softerr" in options:
        section.problem(
            "mount", "soft mount: a slow server makes changes fail half way", "mount with hard"
        )
    else:
        section.ok("mount", "hard mount")
    longest = max((_number(option, "acdirmax=") for option in options), default=0) or 60
    if "noac" not in options and longest > 3:
        section.warn(
            "cache",
            f"attribute cache up to {longest} s: other hosts may see new jobs late",
            f"mount with actimeo=3, or accept up to {longest} s latency",
        )


def _space(section: Section, space: tuple[int, int, int], low: int, root: str) -> None:
    free, everything, inodes = space
    share = 100 * free // max(1, everything)
    text = f"{_bytes(free)} free ({share} %)"
    if free < low:
        section.problem(
            "space",
            f"{text}: below the low-water mark of {_bytes(low)}, new jobs are refused",
            "spoolq clean --older 1d, or make room elsewhere",
        )
    elif free < 2 * low:
        section.warn("space", f"{text}, close to the low-water mark", "spoolq clean --older 1d")
    else:
        section.ok("space", text)
    answer = os.statvfs(root)
    if answer.f_files and inodes < answer.f_files // 10:
        used = 100 - 100 * inodes // answer.f_files
        section.warn("inodes", f"inodes {used} % used: {inodes} left", "spoolq clean --older 1d")


def _clocks(backend: FileBackend) -> Section:
    """This host's clock beside the one that the spool's times are taken from."""
    clock = SystemClock()
    section = Section("clocks")
    ahead = clock.wall() - backend._fs.server_time(  # noqa: SLF001
        f"{backend.root}/tmp/clock.doctor.{os.getpid()}"
    )
    host = os.uname().nodename
    section.about = f"{host} {ahead:+.0f} s"
    if abs(ahead) > SKEW:
        word = "ahead of" if ahead > 0 else "behind"
        section.warn(
            "clock",
            f"{host} is {abs(ahead):.0f} s {word} the file system's clock",
            f"systemctl status chronyd on {host}",
        )
    else:
        section.ok("clock", "this host and the file system agree")
    return section


def _workers(backend: FileBackend, *, quick: bool) -> Section:
    now, known = backend.now(), workers(backend)
    live = live_workers(known, now, backend.missing_after)
    section = Section("workers", f"{len(live)} live")
    for worker in known:
        if worker not in live:
            silent = age(now - worker.notified)
            section.problem(
                "silent",
                f"worker {worker.id} ({worker.host}:{worker.pid}) silent for {silent}, "
                f"{_many(len(worker.jobs), 'job')} lost",
                "spoolq repair",
            )
    paused = {
        queue: control.paused
        for queue, control in sorted(backend.controls().items())
        if control.paused is not None
    }
    for queue, said in paused.items():
        text = f"queue {queue} is paused{whose(said)}, for {age(now - said.at)}"
        section.warn("paused", text, f"spoolq queue resume {queue}")
    for queue, views in sorted(backend.queues().items()):
        if queue in paused:
            continue
        if views["ready"] and not any(serves(worker, queue) for worker in live):
            _unserved(section, backend, queue, views["ready"], now, quick=quick)
    if live and not any(one.level != "ok" for one in section.findings):
        section.ok("served", "every queue with ready jobs is served")
    return section


def _unserved(
    section: Section, backend: FileBackend, queue: str, ready: int, now: float, *, quick: bool
) -> None:
    text = f"queue {queue} has {_many(ready, 'ready job')} and no live worker"
    fix = f"spoolq worker -q {quote(queue)}, or a cron line: spoolq install cron --print"
    rows: list[JobInfo] = backend.list_jobs(
        0, 1 if quick else _MOST, states=["inactive"], queues=[queue]
    ).rows
    # A cron line comes once a minute: what was enqueued just now is nobody's fault.
    waited = max((now - max(job.created, job.delayed) for job in rows), default=0.0)
    if waited > WAITED:
        section.problem("unserved", f"{text}, for {age(waited)}", fix)
    else:
        section.warn("unserved", text, fix)


def _schedules(backend: FileBackend) -> Section:
    section, now = Section("schedules"), backend.now()
    infos: list[ScheduleInfo] = backend.list_schedules(0, 10**9).rows
    for name, path, reason in backend.broken_schedules():
        fix = f"spoolq schedule -R {shlex.quote(name)}, and store it anew"
        section.problem("unreadable", f"{name}: {path}: {reason}", fix)
    tables = backend.settings.schedules
    for problem in wrong_tables(tables, now):
        section.problem("declared", problem, f"edit {backend.root}/spoolq.toml")
    for info in vanished_from_settings(infos, tables):
        text = f"the schedule {info.name!r} is no longer declared in {info.declared}"
        section.warn("vanished", text, f"spoolq schedule -R {shlex.quote(info.name)}")
    late = [
        info.name
        for info in infos
        if not info.paused and info.next_run is not None and now - info.next_run > UNDISPATCHED
    ]
    if late:
        text = f"nobody dispatches: {len(late)} overdue, {late[0]!r} among them"
        section.problem("overdue", text, "start a worker, or put `spoolq process` into a crontab")
    section.ok("schedules", f"{len(infos)} schedules")
    return section


def _tasks(root: str) -> Section:
    section = Section("tasks")
    try:
        names = sorted(name for name in os.listdir(f"{root}/jobs") if not name.startswith("."))
    except OSError as error:
        section.problem("jobs", f"{root}/jobs: {error.strerror}", "spoolq repair makes it")
        return section
    account, good = job_account(root), 0
    trusted = {0, account.uid, account.owner}
    for name in names:
        path = f"{root}/jobs/{name}"
        if os.path.isdir(path):
            continue
        try:
            check_executable(root, path, trusted)
        except UnsafeFile as error:
            section.problem("refused", str(error), f"chmod go-w {path}; chown it to the owner")
        except (OSError, SpoolError) as error:
            section.problem("executable", _said(path, error), f"chmod +x {path}, or remove it")
        else:
            good += 1
    section.about = f"{_many(good, 'executable')} in jobs/"
    if good == len(names):
        section.ok("executables", "every one may be run")
    return section


def _jobs(backend: FileBackend, *, quick: bool) -> Section:
    root, section = backend.root, Section("jobs")
    corrupt = [name for name in _listed(f"{root}/corrupt") if not name.endswith(".reason")]
    if corrupt:
        section.problem(
            "corrupt",
            f"{_many(len(corrupt), 'unreadable file')} set aside: {', '.join(corrupt[:3])}",
            f"look at {root}/corrupt/*.reason, then move them back or away",
        )
    incidents = _listed(f"{root}/incidents")
    if incidents:
        jobs = sorted({name.partition(".")[0] for name in incidents})
        section.warn(
            "incidents",
            f"{len(incidents)} times a job may have run twice at once: {', '.join(jobs[:5])}",
            f"look at {root}/incidents/, then remove what was dealt with",
        )
    now = SystemClock().wall()
    stale = [name for name in _listed(f"{root}/tmp") if _older(f"{root}/tmp/{name}", now - STALE)]
    if stale:
        section.warn("stale", _many(len(stale), "stale temporary file"), "spoolq repair")
    if not quick:
        _waiting(section, backend)
    if not section.findings:
        section.ok("files", "0 unreadable files   ✓ 0 incidents   ✓ 0 stale temp files")
    return section


def _waiting(section: Section, backend: FileBackend) -> None:
    """Jobs that wait for something that does not come by itself."""
    inactive = Selection(words={"state": ("inactive",)})
    found = find(backend, inactive, limit=_MOST)
    overdue = [
        job
        for job in found.jobs
        if found.view(job) == "ready"
        and job.time - max(job.created, job.delayed) > OVERDUE
        and found.scene.controls.get(job.queue, NOTHING).paused is None  # which is said above
    ]
    if overdue:
        ids = " ".join(str(job.id) for job in overdue[:5])
        section.problem(
            "stuck",
            f"{_many(len(overdue), 'job')} waiting for more than an hour: {ids}",
            f"spoolq why {ids}",
        )
    hopeless = [job for job in found.jobs if found.reason(job).code == "parent-failed"]
    if hopeless:
        ids = " ".join(str(job.id) for job in hopeless[:5])
        section.warn(
            "parents",
            f"{_many(len(hopeless), 'job')} waiting for a failed parent: {ids}",
            f"spoolq why {ids}",
        )


# -- words ---------------------------------------------------------------------------------------


def _said(path: str, error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text if path in text else f"{path}: {text}"


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _listed(directory: str) -> list[str]:
    with suppress(OSError):
        return sorted(os.listdir(directory))
    return []


def _older(path: str, than: float) -> bool:
    with suppress(OSError):
        return os.lstat(path).st_mtime < than
    return False


def _number(option: str, key: str) -> int:
    digits = option.removeprefix(key)
    return int(digits) if option.startswith(key) and digits.isdigit() else 0


def _bytes(number: int) -> str:
    size = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _user(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _group(gid: int) -> str:
    with suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)
