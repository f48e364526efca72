"""Programs as jobs: `jobs/NAME.job`, `jobs/NAME`, and the command line of an `exec` job.

A program gets its arguments as argv (text as it is, everything else as compact JSON), no shell,
an empty stdin, a session of its own, umask 077, and its output straight into `logs/`. It starts
in an empty private directory with a small environment:

    PATH                      the system's own directories
    HOME USER LOGNAME SHELL   of the user it runs as
    LANG LC_ALL TZ NOTIFY_URL as whoever performs it has them (LANG: else C.UTF-8)
    TMPDIR SPOOLQ_TMPDIR      the private directory, removed when the program has ended
    SPOOLQ_RESULT_FILE        what it writes there is the job's result (JSON, else text)
    SPOOLQ_ROOT SPOOLQ_JOB_ID SPOOLQ_TASK SPOOLQ_QUEUE SPOOLQ_ATTEMPT SPOOLQ_WORKER

and what `spoolq.toml` adds: `[env]` sets variables, `pass_env` names variables to inherit.
An `exec` job has the directory, umask and environment it was enqueued with instead.

Exit status 0 finishes the job, anything else fails it. What cannot be started, or could have
been written by somebody else, fails with the reason and is not run.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final

from spoolq.clock import Clock, SystemClock
from spoolq.errors import SpoolError, UnsafeFile
from spoolq.executables import EXEC, find_executable
from spoolq.logs import Cap, open_log, read_log
from spoolq.model import JSON
from spoolq.runners import Attempt, Run
from spoolq.runners.account import Account, job_account
from spoolq.runners.cgroup import Cgroup, Cgroups
from spoolq.runners.marks import Marks, set_mark
from spoolq.runners.program import NotStarted, ProgramRun, Scratch
from spoolq.settings import Settings

ACCOUNT: Final = 10.0  # seconds that the user programs run as is remembered

SWEEP: Final = 0.1  # seconds between two sweeps behind programs that ended well
TARGET: Final = 1.0  # seconds that the target of a link is remembered
TARGETS: Final = 1000  # links that are remembered

_EXHAUSTED: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# NOTIFY_URL: a crontab that sets it for notify.job is all that MiniQ asks for.
INHERITED: Final = ("LANG", "LC_ALL", "TZ", "NOTIFY_URL")

_OTHERS_WRITE: Final = 0o022


def start_executable(
    attempt: Attempt,
    *,
    root: str,
    queue: str = "default",
    timeout: float | None = None,
    worker: int | None = None,
    settings: Settings | None = None,
    clock: Clock | None = None,
    account: Account | None = None,
    mark: int | None = None,
    sweep: Callable[[int], None] | None = None,
    targets: Targets | None = None,
    cgroups: Cgroups | None = None,
) -> Run:
    """Start the program of one attempt in the spool at `root`.

    Never raises for what is wrong with the job or its program: such a run has failed already,
    with the reason as its outcome. `timeout` is in seconds, `worker` the id of the claim's holder.
    `account` is what `job_account` has said a moment ago, `targets` where links led to then;
    `mark` and `sweep` see `ProgramRun`; `cgroups` makes a control group for it.

    Raises OSError when the system has no process, descriptor or memory left.
    """
    root = os.path.abspath(root)
    settings = settings or Settings()
    mark = Marks().take() if mark is None else mark
    scratch = group = None
    try:
        account = account or job_account(root)
        command = _prepare(attempt, root, settings, account, targets or Targets())
        scratch = Scratch(f"{attempt.id}.{attempt.retries}", account.switch)
        given = _given(attempt, root, queue, worker, scratch)
        log = open_log(root, attempt.id, attempt.retries)
        group = None if cgroups is None else cgroups.make(mark)
        try:
            process = _spawn(command, given, scratch, account, log, mark, group)
        finally:
            os.close(log)
    except (OSError, ValueError, SpoolError) as error:
        if scratch is not None:
            scratch.remove()
        if group is not None:
            group.end()
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            raise
        return NotStarted(*_reason(error), missing=isinstance(error, FileNotFoundError))
    tail = partial(_read_tail, root, attempt.id, attempt.retries)
    cap = Cap(root, attempt.id, attempt.retries, settings.max_log, clock)
    return ProgramRun(
        process,
        scratch,
        tail,
        mark=mark,
        sweep=sweep,
        group=group,
        cap=cap,
        timeout=timeout,
        clock=clock,
    )


class Executables:
    """Starts programs: a `Runner`."""

    def __init__(
        self,
        root: str,
        settings: Callable[[], Settings | None],
        marks: Marks,
        sweep: Callable[[list[int]], None],
        cgroups: Cgroups,
        clock: Clock | None = None,
    ) -> None:
        """For the spool at `root`; `settings` says what its settings are now, `sweep` kills what
        carries one of these marks, `cgroups` makes a control group for each."""
        self._root = os.path.abspath(root)
        self._settings = settings
        self._marks = marks
        self._sweep = sweep
        self._cgroups = cgroups
        self._clock = clock or SystemClock()
        self._account: Account | None = None
        self._account_until = 0.0
        self._targets = Targets(self._clock)
        self._runs: list[ProgramRun] = []
        self._ended: list[int] = []
        self._sweep_at = 0.0

    def room(self) -> int:
        """As many as the system has processes for."""
        return 2**31 - 1

    def start(self, attempt: Attempt) -> Run:
        """Start one. Raises OSError when the system has no process or descriptor left."""
        run = start_executable(
            attempt,
            root=self._root,
            queue=getattr(attempt, "queue", "default"),
            timeout=getattr(attempt, "timeout", None),
            worker=getattr(attempt, "worker", None),
            settings=self._settings(),
            clock=self._clock,
            account=self._job_account(),
            mark=self._marks.take(),
            sweep=self._has_ended,
            targets=self._targets,
            cgroups=self._cgroups,
        )
        if isinstance(run, ProgramRun):
            self._runs.append(run)
        return run

    def _job_account(self) -> Account | None:
        """The user, looked up in the system's lists once in a while; None: look now."""
        now = self._clock.elapsed()
        if now >= self._account_until:
            try:
                self._account = job_account(self._root)
            except OSError:
                return None  # the start says what is wrong
            self._account_until = now + ACCOUNT
        return self._account

    def tend(self) -> None:
        """Cut logs that are too long; have what programs have left behind killed."""
        if self._runs:
            self._runs = [run for run in self._runs if not run.has_ended]
            for run in self._runs:
                run.tend()
        self._sweep_some()

    def _has_ended(self, mark: int) -> None:
        """A program ended well; what it has left behind is killed soon."""
        self._ended.append(mark)
        self._sweep_some()

    def _sweep_some(self) -> None:
        """Of many programs a second the marks are told together: a message wakes the zygote."""
        now = self._clock.elapsed()
        if self._ended and now >= self._sweep_at:
            self._sweep_at = now + SWEEP
            self._sweep(self._ended[:])
            self._ended.clear()

    def close(self) -> None:
        """Nothing waits for work."""


# -- what ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Command:
    argv: list[bytes]
    env: dict[bytes, bytes]
    cwd: str | None
    umask: int


def _prepare(
    attempt: Attempt, root: str, settings: Settings, account: Account, targets: Targets
) -> _Command:
    if attempt.task == EXEC:
        return _command_line(attempt, settings)
    path = find_executable(root, attempt.task)
    if path is None:
        raise FileNotFoundError(f"no executable {attempt.task!r} in {root}/jobs")
    # RACE: the owner was asked once. A root replaced since then is checked against that answer.
    check_executable(root, path, {0, account.uid, account.owner}, targets)
    if attempt.kwargs:
        raise ValueError("an executable takes no keyword arguments")
    argv = [os.fsencode(path), *(argument(value) for value in attempt.args)]
    return _Command(argv, _environment(settings, account), None, 0o077)


def _command_line(attempt: Attempt, settings: Settings) -> _Command:
    if settings.mode != "single":
        # Every member of the group would run any command as every other.
        raise UnsafeFile("command lines run in a single-user spool only: use an executable")
    cwd, env = attempt.kwargs.get("cwd"), attempt.kwargs.get("env")
    umask = attempt.kwargs.get("umask", 0o077)
    if not attempt.args:
        raise ValueError("an exec job without a command")
    if cwd is not None and not isinstance(cwd, str):
        raise ValueError("an exec job's cwd must be a string")
    if type(umask) is not int or not 0 <= umask <= 0o777:
        raise ValueError("an exec job's umask must be a number from 0 to 511")
    if env is None:
        env = {name: value for name in ("PATH", "HOME") if (value := os.environ.get(name))}
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise ValueError("an exec job's env must be an object of strings")
    if cwd is not None and not os.path.isdir(cwd):
        raise NotADirectoryError(f"the directory it was enqueued in is gone: {cwd}")
    argv = [argument(value) for value in attempt.args]
    return _Command(argv, _encode(env), cwd, umask)


def argument(value: JSON) -> bytes:
    """One argument as a program sees it: a string as it is, anything else as compact JSON."""
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    encoded: bytes = value.encode()
    if b"\0" in encoded:
        raise ValueError("an argument with a NUL byte cannot be given to a program")
    return encoded


def check_executable(
    root: str, path: str, trusted: set[int], targets: Targets | None = None
) -> None:
    """Refuse an executable that anybody but the `trusted` users could have written.

    The rule of sshd: the file, and every directory that leads to it from `jobs/` on (for a link
    also those above its target), is owned by one of them and not writable by group or others. A
    sticky directory above a link's target is let pass: there nobody replaces another's file.

    Raises UnsafeFile, or OSError where the file is missing, empty or not executable.
    """
    jobs = f"{root}/jobs"
    _check_owner(jobs, os.lstat(jobs), trusted)
    _check_mode(jobs, os.stat(jobs))
    own = os.lstat(path)
    _check_owner(path, own, trusted)
    if stat.S_ISLNK(own.st_mode):
        path = (targets or Targets()).find(path, own, jobs, trusted)
        own = os.stat(path)
        _check_owner(path, own, trusted)
    _check_mode(path, own)
    if not stat.S_ISREG(own.st_mode):
        raise UnsafeFile(f"{path} is no regular file")
    if not own.st_mode & 0o111:
        raise PermissionError(f"{path} is not executable: chmod +x it")
    if own.st_size == 0:
        raise OSError(f"{path} is empty")


class Targets:
    """Where links in `jobs/` lead to, with the directories on the way checked.

    Remembered for a moment: each of them costs a system call at every start. Who may not write
    now could not a second ago, unless one of the trusted has just shut the door.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._known: dict[tuple[str, int, int], tuple[float, str]] = {}

    def find(self, path: str, own: os.stat_result, jobs: str, trusted: set[int]) -> str:
        """The target of the link `path`, whose status is `own`. Raises UnsafeFile, OSError."""
        key, now = (path, own.st_ino, own.st_ctime_ns), self._clock.elapsed()
        until, target = self._known.get(key, (0.0, ""))
        if now >= until:
            target = _checked_target(path, jobs, trusted)
            if len(self._known) >= TARGETS:
                self._known.clear()
            self._known[key] = (now + TARGET, target)
        return target


def _checked_target(path: str, jobs: str, trusted: set[int]) -> str:
    target = os.path.realpath(path, strict=True)
    inside = os.path.realpath(jobs)
    parent = os.path.dirname(target)
    while parent != inside:
        status = os.stat(parent)
        _check_owner(parent, status, trusted)
        if not status.st_mode & stat.S_ISVTX:
            _check_mode(parent, status)
        if parent == "/":
            break
        parent = os.path.dirname(parent)
    return target


def _check_owner(path: str, status: os.stat_result, trusted: set[int]) -> None:
    if status.st_uid not in trusted:
        raise UnsafeFile(
            f"{path} belongs to uid {status.st_uid}, who is neither root nor the spool's owner: "
            "it was not run"
        )


def _check_mode(path: str, status: os.stat_result) -> None:
    if status.st_mode & _OTHERS_WRITE:
        raise UnsafeFile(
            f"{path} can be written by group or others (mode {stat.S_IMODE(status.st_mode):04o}): "
            f"it was not run; chmod go-w {path}"
        )


# -- with what -----------------------------------------------------------------------------------


def _environment(settings: Settings, account: Account) -> dict[bytes, bytes]:
    env = {
        b"PATH": PATH.encode(),
        b"LANG": b"C.UTF-8",
        **{name.encode(): os.fsencode(value) for name, value in account.env.items()},
    }
    for name in (*INHERITED, *settings.pass_env):
        value = os.environb.get(name.encode())
        if value is not None:
            env[name.encode()] = value
    return {**env, **_encode(settings.env)}


def _given(
    attempt: Attempt, root: str, queue: str, worker: int | None, scratch: Scratch
) -> dict[bytes, bytes]:
    given = {
        "SPOOLQ_ROOT": root,
        "SPOOLQ_JOB_ID": str(attempt.id),
        "SPOOLQ_TASK": attempt.task,
        "SPOOLQ_QUEUE": queue,
        "SPOOLQ_ATTEMPT": str(attempt.retries + 1),
        "SPOOLQ_RESULT_FILE": scratch.result,
        "SPOOLQ_TMPDIR": scratch.work,
    }
    if worker is not None:
        given["SPOOLQ_WORKER"] = str(worker)
    return _encode(given)


def _encode(env: Mapping[str, str]) -> dict[bytes, bytes]:
    # UTF-8 whatever the locale of whoever performs the job is: records are UTF-8.
    return {
        name.encode("utf-8", "surrogateescape"): value.encode("utf-8", "surrogateescape")
        for name, value in env.items()
    }


def _spawn(
    command: _Command,
    given: Mapping[bytes, bytes],
    scratch: Scratch,
    account: Account,
    log: int,
    mark: int,
    group: Cgroup | None,
) -> subprocess.Popen[bytes]:
    env = {**command.env, **given}
    if command.cwd is None:
        env[b"TMPDIR"] = given[b"SPOOLQ_TMPDIR"]
    user, group_id = account.switch or (None, None)
    # What this process starts inherits the mark; another thread's children as well, if it starts
    # any just now. Setting it in the child would cost a fork instead of a vfork: 1 ms.
    before = set_mark(mark)
    try:
        with nullcontext() if group is None else group.door() as enter:
            return subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                close_fds=True,
                cwd=command.cwd or scratch.work,
                env=env,
                umask=command.umask,
                start_new_session=True,
                user=user,
                group=group_id,
                extra_groups=account.groups if account.switch else None,
                # It makes one system call, and so needs no lock that another thread holds.
                preexec_fn=enter,  # noqa: PLW1509
            )
    finally:
        set_mark(before)


def _reason(error: Exception) -> tuple[str, str]:
    if isinstance(error, SpoolError):
        return type(error).__name__, str(error)
    if isinstance(error, OSError) and error.strerror:
        name = os.fsdecode(error.filename) if error.filename else "the program"
        return "NotStarted", f"{name}: {error.strerror}{_HINTS.get(type(error), '')}"
    return "NotStarted", str(error)


_HINTS: Final = {
    FileNotFoundError: " (the program, or the interpreter its first line names)",
    PermissionError: " (not executable, or its directory may not be entered)",
}


def _read_tail(root: str, id: int, retries: int, size: int) -> bytes:
    return read_log(root, id, retries, tail=size) or b""
