"""Programs as jobs: `jobs/NAME.job`, `jobs/NAME`, and the command line of an `exec` job.

A program gets its arguments as argv (text as it is, everything else as compact JSON), no shell,
an empty stdin, a session of its own, umask 077, and its output straight into `logs/`. It starts
in an empty private directory with a small environment:

    PATH                      the system's own directories
    HOME USER LOGNAME SHELL   of the user it runs as
    LANG LC_ALL TZ NOTIFY_URL as whoever performs it has them (LANG: else C.UTF-8)
    TMPDIR SPOOLQ_TMPDIR      the private directory, removed when the program has ended
    SPOOLQ_RESULT_FILE        what it writes there is the job's result (JSON, else text)
    SPOOLQ_ERROR_FILE         what it writes there, if it fails, is said of the failure
    SPOOLQ_…                  which job it is: see `variables`

and what `spoolq.toml` adds: `[env]` sets variables, `pass_env` names variables to inherit.
An `exec` job has the directory, umask, environment and stdin it was enqueued with instead.

Exit status 0 finishes the job, anything else fails it. What cannot be started, or could have
been written by somebody else, fails with the reason and is not run.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from spoolq.clock import Clock, SystemClock
from spoolq.environments import read as read_environment
from spoolq.errors import SpoolError, UnsafeFile
from spoolq.executables import EXEC, find_executable
from spoolq.logs import Cap, open_log, read_log
from spoolq.model import JSON
from spoolq.runners import Attempt, Run
from spoolq.runners.account import Account, job_account
from spoolq.runners.cgroup import Cgroup, Cgroups
from spoolq.runners.marks import Marks, set_mark
from spoolq.runners.program import NotStarted, ProgramRun, Scratch, Sweep
from spoolq.runners.shelf import Shelf
from spoolq.runners.trust import Targets, check_executable
from spoolq.runners.variables import variables
from spoolq.settings import Settings

ACCOUNT: Final = 10.0  # seconds that the user programs run as is remembered

SWEEP: Final = 0.1  # seconds between two sweeps behind programs that ended well

Environment = Mapping[bytes, bytes]
"""Variables as the system has them."""
Find = Callable[[str], str | None]
"""Says where the executable of a task is; None: there is none."""

_EXHAUSTED: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# NOTIFY_URL: a crontab that sets it for notify.job is all that MiniQ asks for.
INHERITED: Final = ("LANG", "LC_ALL", "TZ", "NOTIFY_URL")


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
    sweep: Sweep | None = None,
    targets: Targets | None = None,
    cgroups: Cgroups | None = None,
    shelf: Shelf | None = None,
    environment: Environment | None = None,
    find: Find | None = None,
) -> Run:
    """Start the program of one attempt in the spool at `root`.

    Never raises for what is wrong with the job or its program: such a run has failed already,
    with the reason as its outcome. `timeout` is in seconds, `worker` the id of the claim's holder.
    `account` is what `job_account` has said a moment ago, `targets` where links led to then;
    `mark` and `sweep` see `ProgramRun`; `cgroups` makes a control group for it; `shelf` has what
    others have left untouched; `environment` is what `make_environment` has said a moment ago;
    `find` says where the executable of a task is.

    Raises OSError when the system has no process, descriptor or memory left.
    """
    root = os.path.abspath(root)
    settings = settings or Settings()
    mark = Marks().take() if mark is None else mark
    scratch = group = None
    try:
        account = account or job_account(root)
        environment = environment or make_environment(settings, account)
        find = find or partial(find_executable, root)
        targets = targets or Targets()
        command = _prepare(attempt, root, settings, account, environment, targets, find)
        number = f"{attempt.id}.{attempt.retries}"
        scratch = (shelf.scratch if shelf else Scratch)(number, account.switch)
        now = (clock or SystemClock()).wall()
        given = _given(attempt, root, queue, worker, timeout, scratch, now)
        log = (shelf.log if shelf else partial(open_log, root))(attempt.id, attempt.retries)
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
        sweeper: Sweeper,
        cgroups: Cgroups,
        find: Find,
        clock: Clock | None = None,
    ) -> None:
        """For the spool at `root`; `settings` says what its settings are now, `sweeper` kills what
        carries a mark, `cgroups` makes a control group for each, `find` says where one is."""
        self._root = os.path.abspath(root)
        self._settings = settings
        self._marks = marks
        self._sweeper = sweeper
        self._cgroups = cgroups
        self._find = find
        self._clock = clock or SystemClock()
        self._shelf = Shelf(self._root, self._clock)
        self._account: Account | None = None
        self._account_until = 0.0
        self._environment: tuple[Settings, Account, Environment] | None = None
        self._targets = Targets(self._clock)
        self._runs: list[ProgramRun] = []
        self._ended: list[int] = []
        self._sweep_at = 0.0

    def room(self) -> int:
        """As many as the system has processes for."""
        return 2**31 - 1

    def start(self, attempt: Attempt) -> Run:
        """Start one. Raises OSError when the system has no process or descriptor left."""

        def clean(mark: int, scratch: Scratch, empty: bool) -> None:
            log = (attempt.id, attempt.retries) if empty else None
            self._shelf.put(mark, scratch, log)
            self._ended.append(mark)
            self._sweep_some()

        settings = self._settings() or Settings()
        account = self._job_account()
        run = start_executable(
            attempt,
            root=self._root,
            queue=getattr(attempt, "queue", "default"),
            timeout=getattr(attempt, "timeout", None),
            worker=getattr(attempt, "worker", None),
            settings=settings,
            clock=self._clock,
            account=account,
            environment=None if account is None else self._make_environment(settings, account),
            mark=self._marks.take(),
            sweep=clean,
            targets=self._targets,
            cgroups=self._cgroups,
            shelf=self._shelf,
            find=self._find,
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

    def _make_environment(self, settings: Settings, account: Account) -> Environment:
        known = self._environment
        if known is None or known[0] is not settings or known[1] is not account:
            self._environment = known = settings, account, make_environment(settings, account)
        return known[2]

    def tend(self) -> None:
        """Cut logs that are too long; have what programs have left behind killed."""
        if self._runs:
            self._runs = [run for run in self._runs if not run.has_ended]
            for run in self._runs:
                run.tend()
        self._sweep_some()
        self._shelf.tend()

    def _sweep_some(self) -> None:
        """Of many programs a second the marks are told together: a message wakes the zygote."""
        now = self._clock.elapsed()
        if self._ended and now >= self._sweep_at:
            self._sweep_at = now + SWEEP
            self._shelf.swept(self._sweeper.swept())
            self._sweeper.sweep(self._ended[:])
            self._ended.clear()

    def close(self) -> None:
        """Nothing waits for work."""
        self._shelf.clear()


class Sweeper(Protocol):
    """Kills what programs have left running: the zygote."""

    def sweep(self, marks: list[int]) -> None:
        """Soon kill what carries one of these marks."""

    def swept(self) -> list[int]:
        """The marks told since the last call that nothing carries any more."""


# -- what ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Command:
    argv: list[bytes]
    env: Environment
    cwd: str | None
    umask: int
    stdin: bytes = b""


def _prepare(
    attempt: Attempt,
    root: str,
    settings: Settings,
    account: Account,
    environment: Environment,
    targets: Targets,
    find: Find,
) -> _Command:
    if attempt.task == EXEC:
        return _command_line(attempt, root, settings)
    path = find(attempt.task)
    if path is None:
        raise FileNotFoundError(f"no executable {attempt.task!r} in {root}/jobs")
    # RACE: the owner was asked once. A root replaced since then is checked against that answer.
    check_executable(root, path, {0, account.uid, account.owner}, targets)
    if attempt.kwargs:
        raise ValueError("an executable takes no keyword arguments")
    argv = [os.fsencode(path), *(argument(value) for value in attempt.args)]
    return _Command(argv, environment, None, 0o077)


def _command_line(attempt: Attempt, root: str, settings: Settings) -> _Command:
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
    if isinstance(env, str):
        env = read_environment(root, env)
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise ValueError("an exec job's env must be an object of strings")
    if cwd is not None and not os.path.isdir(cwd):
        raise NotADirectoryError(f"the directory it was enqueued in is gone: {cwd}")
    argv = [argument(value) for value in attempt.args]
    return _Command(argv, _encode(env), cwd, umask, _stdin(attempt.kwargs.get("stdin", "")))


def _stdin(given: JSON) -> bytes:
    """What an exec job reads: text, or `{"base64": …}`."""
    if isinstance(given, str):
        return given.encode()
    if isinstance(given, dict) and isinstance(given.get("base64"), str):
        data: bytes = b64decode(given["base64"], validate=True)
        return data
    raise ValueError('an exec job\'s stdin must be a string, or {"base64": …}')


@contextmanager
def _source(data: bytes) -> Iterator[int]:
    """Something to read these bytes from: a file in memory, so that nobody has to write on."""
    if not data:
        yield subprocess.DEVNULL
        return
    fd = os.memfd_create("stdin")
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def argument(value: JSON) -> bytes:
    """One argument as a program sees it: a string as it is, anything else as compact JSON."""
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    encoded: bytes = value.encode()
    if b"\0" in encoded:
        raise ValueError("an argument with a NUL byte cannot be given to a program")
    return encoded


# -- with what -----------------------------------------------------------------------------------


def make_environment(settings: Settings, account: Account) -> Environment:
    """What every program finds that is run as this user."""
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
    attempt: Attempt,
    root: str,
    queue: str,
    worker: int | None,
    timeout: float | None,
    scratch: Scratch,
    now: float,
) -> dict[bytes, bytes]:
    job = {
        "id": attempt.id,
        "task": attempt.task,
        "retries": attempt.retries,
        "queue": queue,
        "worker": worker,
        "timeout": timeout,
        "attempts": getattr(attempt, "attempts", None),
        "parents": getattr(attempt, "parent_ids", None),
        "label": getattr(attempt, "label", None),
        "slot": getattr(attempt, "slot", None),
    }
    files = {
        "SPOOLQ_RESULT_FILE": scratch.result,
        "SPOOLQ_ERROR_FILE": scratch.error,
        "SPOOLQ_TMPDIR": scratch.work,
    }
    return _encode({**variables(job, root, now), **files})


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
        with (
            nullcontext() if group is None else group.door() as enter,
            _source(command.stdin) as stdin,
        ):
            return subprocess.Popen(
                command.argv,
                stdin=stdin,
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
