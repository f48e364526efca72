"""A program under way: its private directory, its timeout, its end, and what that end means."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal as signals
import stat
import subprocess
import tempfile
from collections.abc import Callable
from typing import Final

from spoolq.clock import Clock, SystemClock
from spoolq.errors import JobCorrupt
from spoolq.files.records import parse
from spoolq.logs import Cap, last_lines
from spoolq.model import JSON
from spoolq.runners import Outcome
from spoolq.runners.cgroup import Cgroup
from spoolq.runners.deadline import Deadline
from spoolq.runners.marks import kill_marked, signal_all_of
from spoolq.runners.waiting import wait_for_run

MAX_RESULT: Final = 1024 * 1024  # bytes of a result; a larger one belongs into a file of its own
MOST_ERROR: Final = 2048  # bytes of what a program says of its failure
TAIL: Final = 4096  # bytes of output kept in the error of a failed job


Sweep = Callable[[int, "Scratch", bool], None]
"""What is to be done behind a program that has ended by itself: kill what carries its mark, and
remove its private directory. Also told is whether it went well and has left an empty log."""


class Scratch:
    """The private directory of one attempt, in the temporary directory of this host.

    `work` is the program's to use; `result` and `error` lie beside it, where `rm -rf *` does not
    reach them, under names that nobody can guess before the program has made them.
    """

    def __init__(self, name: str, owner: tuple[int, int] | None = None) -> None:
        """Make it, for the user and group `owner` where that is not this process's own."""
        self.owner: Final = os.geteuid() if owner is None else owner[0]
        self.work, self.result = _paths(name)
        os.mkdir(self.work, 0o700)
        if owner is not None:
            os.chown(self.work, *owner)

    @property
    def error(self) -> str:
        """Where the program may say why it fails."""
        return f"{self.result}.error"

    def is_untouched(self) -> bool:
        """Whether the program has left it as it was made."""
        try:
            status = os.lstat(self.work)
            same = stat.S_ISDIR(status.st_mode) and status.st_mode & 0o7777 == 0o700
            left = os.path.lexists(self.result) or os.path.lexists(self.error)
            empty = not left and not os.listdir(self.work)
        except OSError:
            return False
        return same and empty and status.st_uid == self.owner

    def pass_on(self, name: str) -> bool:
        """Make it that of another attempt, of the same owner; False when it has to be removed."""
        work, result = _paths(name)
        try:
            os.rename(self.work, work)
        except OSError:
            return False
        self.work, self.result = work, result
        return True

    def remove(self) -> None:
        """Remove it with everything in it; what resists is left to the host's own cleaning."""
        for path in (self.result, self.error):
            with contextlib.suppress(OSError):
                os.unlink(path)
        try:
            os.rmdir(self.work)  # most programs leave nothing in it
        except OSError:
            self._remove_all()

    def _remove_all(self) -> None:
        shutil.rmtree(self.result, ignore_errors=True)
        shutil.rmtree(self.error, ignore_errors=True)
        shutil.rmtree(self.work, ignore_errors=True)
        if os.path.lexists(self.work) and os.geteuid() != 0:
            # A program may leave directories without write permission, as module caches do.
            for parent, _, _ in os.walk(self.work, onerror=None):
                _make_removable(parent)
            shutil.rmtree(self.work, ignore_errors=True)


def _paths(name: str) -> tuple[str, str]:
    place = f"{tempfile.gettempdir()}/spoolq-{name}-"
    return place + os.urandom(8).hex(), f"{place}{os.urandom(8).hex()}.result"


class ProgramRun:
    """A program that leads its own session and process group."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        scratch: Scratch,
        read_tail: Callable[[int], bytes],
        *,
        mark: int,
        sweep: Sweep | None = None,
        group: Cgroup | None = None,
        cap: Cap | None = None,
        timeout: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Watch `process`; `read_tail(size)` reads the end of its output.

        What it has started carries `mark`. If it ends by itself that is left to `sweep`, which may
        take its time; without one, and if it was killed, it is killed before the end is told. What
        is in its `group` is killed in any case.
        """
        self._process = process
        self._scratch = scratch
        self._read_tail = read_tail
        self._mark = mark
        self._sweep = sweep
        self._group = group
        self._cap = cap
        self._deadline = Deadline(timeout, clock or SystemClock())
        self._outcome: Outcome | None = None
        self._pidfd: int | None = None

    @property
    def pid(self) -> int:
        """The process id of the program, which is also that of its group."""
        return self._process.pid

    def poll(self) -> Outcome | None:
        """The outcome, or None while the program runs. Ends it when its timeout has run out."""
        if self._outcome is not None:
            return self._outcome
        try:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:
            self._outcome = self._settle(None, None)
            return self._outcome
        if ended is not None:
            exited = ended.si_code == os.CLD_EXITED
            status = ended.si_status
            self._outcome = self._settle(*((status, None) if exited else (None, status)))
            return self._outcome
        self._enforce_timeout()
        self.tend()
        return None

    @property
    def has_ended(self) -> bool:
        """Whether somebody has seen the end."""
        return self._outcome is not None

    def tend(self) -> None:
        """Cut its log when it is too long."""
        if self._cap is not None:
            self._cap.look()

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """Wait up to `timeout` seconds, None: without end. None when the time ran out first."""
        return wait_for_run(self, timeout, self._deadline)

    def fileno(self) -> int | None:
        """A descriptor that is readable once the program has ended; None where there is none."""
        if self._pidfd is None and self._outcome is None:
            with contextlib.suppress(OSError):  # a kernel before 5.3, or no descriptor left
                self._pidfd = os.pidfd_open(self.pid)
        return self._pidfd

    def kill(self, signal: int) -> None:
        """Send a signal to the program and everything it started that stayed in its process
        group, or in its control group where it has one."""
        if self._outcome is None:
            # What it started may belong to another user by now, or be gone.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal)
            if self._group is not None:
                self._group.signal(signal, but_group=self.pid)

    def pause(self) -> bool:
        """Stop the program and everything it started; its timeout stands still meanwhile."""
        self.kill(signals.SIGSTOP)
        signal_all_of(self.pid, signals.SIGSTOP)
        self._deadline.pause()
        return self._outcome is None

    def resume(self) -> None:
        """Let them go on, and the timeout."""
        self._deadline.resume()
        signal_all_of(self.pid, signals.SIGCONT)
        self.kill(signals.SIGCONT)

    def _enforce_timeout(self) -> None:
        number = self._deadline.signal()
        if number is not None:
            self.kill(number)
            # A stopped program would see TERM only after the grace.
            self.kill(signals.SIGCONT)

    def _settle(self, code: int | None, signal: int | None) -> Outcome:
        # RACE: the group dies before its leader is reaped: until then nobody else gets its number.
        self.kill(signals.SIGKILL)
        self._process.wait()
        if self._group is not None:
            self._group.end()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        swept = self._sweep is None or signal is not None or self._deadline.over
        if swept:
            kill_marked(self._mark)
        size = None if self._cap is None else self._cap.measure()
        try:
            return self._judge(code, signal)
        finally:
            if self._sweep is None or swept:
                self._scratch.remove()
            else:
                self._sweep(self._mark, self._scratch, code == 0 and size == 0)

    def _judge(self, code: int | None, signal: int | None) -> Outcome:
        exit_status: dict[str, JSON] = {"code": code, "signal": signal, "reason": "exited"}
        if self._deadline.over:
            exit_status["reason"] = "timeout"
            kind, message = self._deadline.error().values()
        elif signal is not None:
            exit_status["reason"] = "signaled"
            kind, message = "Signal", f"killed by signal {signal} ({_signal_name(signal)})"
        elif code is None:
            exit_status["reason"] = "lost"
            kind, message = "ExitStatus", "its exit status was taken by somebody else"
        elif code == 0:
            result, flags = read_result(self._scratch.result, self._scratch.owner)
            return Outcome(ok=True, result=result, exit={**exit_status, **flags})
        else:
            said = read_error(self._scratch.error, self._scratch.owner)
            kind, message = "ExitStatus", said or f"exit status {code}"
        error = {"type": kind, "message": message, "output": last_lines(self._read_tail(TAIL))}
        return Outcome(ok=False, result=error, exit=exit_status)


class Over:
    """A run that had ended before there was a process."""

    pid = 0

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def poll(self) -> Outcome:
        """The outcome."""
        return self._outcome

    def wait(self, timeout: float | None = None) -> Outcome:
        """The outcome, at once."""
        del timeout
        return self._outcome

    def fileno(self) -> None:
        """It has ended already."""

    def kill(self, signal: int) -> None:
        """Nothing is there to be sent a signal."""
        del signal

    def pause(self) -> bool:
        """Nothing is there to be stopped."""
        return False

    def resume(self) -> None:
        """Nor to go on."""


class NotStarted(Over):
    """A program that could not be started."""

    def __init__(self, kind: str, message: str, *, missing: bool) -> None:
        """`kind` and `message` become the job's error; `missing` says that there is no such
        program, where a shell would exit with 127 and not 126."""
        reason = "not found" if missing else "not started"
        status: dict[str, JSON] = {"code": None, "signal": None, "reason": reason}
        super().__init__(Outcome(ok=False, result={"type": kind, "message": message}, exit=status))


class Skipped(Over):
    """A program that there was no need to start, which is as good as if it had ended well."""

    def __init__(self, why: str) -> None:
        """`why` becomes the job's result."""
        super().__init__(Outcome(ok=True, result={"skipped": why}))


def read_result(path: str, owner: int) -> tuple[JSON, dict[str, JSON]]:
    """What a program left as its result, and flags for its exit status.

    Nothing is null. What is not JSON is a string, flagged `{"result": "text"}`; what is larger
    than MAX_RESULT becomes `{"truncated": true, "bytes", "text"}`, flagged `"truncated"`; what
    is no file of the program's own, made by the user `owner`, is null, flagged `"refused"`.
    """
    try:
        data, size = _read_own_file(path, owner)
    except FileNotFoundError:
        return None, {}
    except OSError:
        return None, {"result": "refused"}
    if len(data) > MAX_RESULT:
        text = data[:TAIL].decode("utf-8", "replace")
        stub = {"truncated": True, "bytes": size, "text": text}
        return stub, {"result": "truncated"}
    if not data.strip():
        return None, {}
    try:
        return parse(data), {}
    except JobCorrupt:
        return data.decode("utf-8", "replace").removesuffix("\n"), {"result": "text"}


def read_error(path: str, owner: int) -> str:
    """What a program left to be said of its failure; empty when that is nothing, or not its own."""
    try:
        data, _ = _read_own_file(path, owner)
    except OSError:
        return ""
    return data[:MOST_ERROR].decode("utf-8", "replace").strip()


def _read_own_file(path: str, owner: int) -> tuple[bytes, int]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        # A second link could be a file that only the reader may read.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid != owner:
            raise PermissionError(path)
        data = bytearray()
        while len(data) <= MAX_RESULT and (block := os.read(fd, MAX_RESULT + 1 - len(data))):
            data += block
        return bytes(data), status.st_size
    finally:
        os.close(fd)


def _make_removable(directory: str) -> None:
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            os.chmod(entry.path, 0o700, follow_symlinks=False)


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return "real-time"
