"""The zygote: a small process that forks the children which perform jobs.

A worker forks it once, after the program was imported and before there are threads and thousands
of jobs in memory; so a child is cheap, and free of everything the worker has grown. The zygote
knows nothing of jobs. It sees to it that nothing outlives anybody: children die with it, what an
ended child has left is killed before its end is told, and when the worker is gone, however it went,
everything that worker has ever started is killed.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import signal
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from spoolq.clock import SystemClock
from spoolq.runners.cgroup import Cgroup, Cgroups, delegated
from spoolq.runners.child import PDEATHSIG, enter, prctl, reset_signals
from spoolq.runners.marks import Marks, find_marks, kill_found, kill_marked, reap
from spoolq.runners.output import prepare
from spoolq.runners.wire import MOST, Garbage, Wire, pair

if TYPE_CHECKING:
    from socket import socket

PATIENCE: Final = 5.0  # seconds that it has to end in
SWEEP: Final = 0.1  # seconds that the leftovers of a program which ended well may live on

Become = Callable[[Wire, Mapping[str, Any]], object]
"""What a child of a kind does with its socket and its options, in its own process."""


class Zygote:
    """The worker's side. Belongs to one thread."""

    def __init__(
        self, kinds: Mapping[str, Become], first: Callable[[], object] = lambda: None
    ) -> None:
        """Fork it; `kinds` are the children it can make, `first` is called in it before any.

        Raises OSError.
        """
        self._kinds = kinds
        self._first = first
        self.marks: Final = Marks()
        self.cgroups: Final = delegated()
        self._kept = _descriptors()
        self._retired: list[tuple[Wire, int]] = []
        self._born()

    def _born(self) -> None:
        self._wire, theirs = pair()
        self._block = self.marks.block()
        with theirs:
            theirs.setblocking(True)
            keep = {theirs.fileno(), *self._kept}
            try:
                self.pid = self._fork(theirs, keep)
            except OSError:
                self._wire.close()
                raise
        self._dead = False

    def _fork(self, control: socket, keep: set[int]) -> int:
        # RACE: a signal between the fork and `run` would call the worker's handler there.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            with warnings.catch_warnings():
                # After the first zygote's death there may be threads. They are not in the new one,
                # and nothing of what it does needs a lock of theirs.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                self._wire.close()
                server = Server(self._kinds, self.marks, self._block, self.cgroups, control, mask)
                _live(server, keep, self._first)
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def children(self, kind: str, options: Mapping[str, Any], count: int = 1) -> list[Wire]:
        """Have children made; what each says, and `born` or `refused`, arrives at its wire.

        Several at once cost the zygote less: after each fork it copies whatever it touches.
        Raises OSError.
        """
        pairs = [pair() for _ in range(min(count, MOST))]
        request = ["children", kind, dict(options)]
        try:
            for _, theirs in pairs:
                theirs.setblocking(True)
            fds = [theirs.fileno() for _, theirs in pairs]
            try:
                self._wire.send(request, fds)
            except BlockingIOError:
                raise
            except OSError:
                self.tend()
                self._wire.send(request, fds)
        except OSError:
            for ours, _ in pairs:
                ours.close()
            raise
        finally:
            for _, theirs in pairs:
                theirs.close()
        return [ours for ours, _ in pairs]

    def kill(self, pid: int, number: int) -> None:
        """Send a signal to the group of a child, unless it was reaped: only its zygote knows."""
        for wire, _ in (*self._retired, (self._wire, self.pid)):
            _tell(wire, ["kill", pid, number])

    def sweep(self, marks: list[int]) -> None:
        """Soon kill what carries one of these marks; `swept` tells when that is done."""
        _tell(self._wire, ["sweep", marks])

    def swept(self) -> list[int]:
        """The marks that nothing carries any more, of those it was told to sweep since the last
        call. Never waits; a zygote that died has told nothing."""
        marks: list[int] = []
        with contextlib.suppress(OSError):
            while (received := self._wire.receive()) is not None:
                marks += received[0][1]
        return marks

    def tend(self) -> None:
        """Fork a new one when it has died. Raises OSError."""
        if self._retired:
            self._retired = [old for old in self._retired if not _has_ended(*old)]
        if self._dead or _has_ended(self._wire, self.pid):
            self._dead = True
            # Its children died with it, and not what they had started.
            kill_marked(*self._block)
            self.cgroups.end(*self._block)
            self._born()

    def renew(self) -> None:
        """Fork one that knows what this process knows now. The old one stays for its children.

        Raises OSError, and then the old one is still there.
        """
        old = self._wire, self.pid
        try:
            self._born()
        except OSError:
            self._wire, self.pid = old
            raise
        self._retired.append(old)
        _tell(old[0], ["retire"])

    def close(self) -> None:
        """End it with everything it has started."""
        for wire, pid in (*self._retired, (self._wire, self.pid)):
            wire.close()
            if not _ends(pid, PATIENCE):
                os.kill(pid, signal.SIGKILL)  # stopped, or ill
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _has_ended(wire: Wire, pid: int) -> bool:
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            return False
    except ChildProcessError:
        pass  # somebody else has waited for every child of this process
    wire.close()
    return True


def _ends(pid: int, timeout: float) -> bool:
    try:
        watched = os.pidfd_open(pid)
    except OSError:
        return True  # gone already; or an old kernel, and then it is trusted to end
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(watched)


# -- in the zygote -------------------------------------------------------------------------------


def _live(server: Server, keep: set[int], first: Callable[[], object]) -> NoReturn:
    status = 1
    try:
        os.setsid()
        for fd in _descriptors() - keep:
            # Of a worker that has been at work for long: the ends of its children, its bell.
            with contextlib.suppress(OSError):
                os.close(fd)
        prepare()
        first()
        server.run()
        status = 0
    except BaseException:  # noqa: BLE001  # nothing may return into the worker's frames
        traceback.print_exc()
    finally:
        os._exit(status)


def _descriptors() -> set[int]:
    """What is open. The listing's own descriptor is among the names, closed by now, and the next
    one to be opened has its number: kept, it would hold this end of the zygote's socket open."""
    return {fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_open(fd)}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@dataclass(eq=False)
class _Born:
    """A child, and what it takes to make another in its place."""

    wire: Wire
    kind: str
    options: Mapping[str, Any]
    mark: int = 0
    group: Cgroup | None = None
    lives: int = 3


class Server:
    """The zygote's side."""

    def __init__(
        self,
        kinds: Mapping[str, Become],
        marks: Marks,
        block: tuple[int, int],
        cgroups: Cgroups,
        control: socket,
        mask: Iterable[int],
    ) -> None:
        """`mask` is what children have blocked: what the worker had."""
        self._kinds = kinds
        self._marks = marks
        self._block = block
        self._next_mark = block[0]
        self._cgroups = cgroups
        self._control = Wire(control)
        self._mask = [int(number) for number in mask]
        self._retired = False
        self._pid, self._parent = os.getpid(), os.getppid()
        self._clock = SystemClock()
        self._children: dict[int, _Born] = {}
        self._unborn: list[_Born] = []
        self._sweeps: set[int] = set()
        self._sweep_at = 0.0

    def run(self) -> None:
        """Serve until the worker is gone; then see that nothing of it is left."""
        self._wakeup, self._woken = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._woken, False)
        # Everything else stays blocked: a signal to the whole group is for the worker to obey, and
        # one to a child that has not come to its own dispositions waits until it has.
        reset_signals()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        # Somebody who was forked from the worker may hold its end of the connection open; this
        # signal comes as well when the worker is gone, or the thread that forked us.
        prctl()(PDEATHSIG, signal.SIGCHLD, 0, 0, 0)
        # Children share these pages as long as nobody counts what refers to what.
        gc.collect()
        gc.freeze()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        while self._serve(poll):
            pass
        for pid in tuple(self._children):
            self._kill(pid, signal.SIGKILL)
        if self._retired:
            kill_marked(*self._block)
            self._cgroups.end(*self._block)
        else:
            kill_marked(self._marks.first, self._marks.last)
            self._cgroups.end(self._marks.first, self._marks.last)
        reap()

    def _serve(self, poll: select.poll) -> bool:
        patience = max(0.0, self._sweep_at - self._clock.elapsed()) if self._sweeps else None
        ready = poll.poll(None if patience is None else patience * 1000 + 1)
        if self._sweeps and self._clock.elapsed() >= self._sweep_at:
            self._sweep()
        for fd, _ in ready:
            if fd == self._wakeup:
                if os.getppid() != self._parent:
                    return False
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wakeup, 512)
                self._reap()
            elif not self._obey():
                return False
        return bool(self._children) or not self._retired

    def _obey(self) -> bool:
        try:
            received = self._control.receive()
        except Garbage:
            traceback.print_exc()
            return True
        if received is None:
            return False
        (word, *rest), fds = received
        if word == "children":
            self._make(rest[0], rest[1], fds)
        elif word == "kill":
            self._kill(rest[0], rest[1])
        elif word == "sweep":
            self._sweep_soon(*rest[0])
        elif word == "retire":
            self._retired = True
        return True

    def _make(self, kind: str, options: Mapping[str, Any], fds: list[int]) -> None:
        import socket

        self._unborn = [_Born(Wire(socket.socket(fileno=fd)), kind, options) for fd in fds]
        while self._unborn:
            self._bear(self._unborn.pop())

    def _bear(self, born: _Born) -> None:
        self._next_mark += 1
        born.mark = self._next_mark
        born.group = self._cgroups.make(born.mark)
        try:
            pid = os.fork()
        except OSError as error:
            _tell(born.wire, ["refused", error.errno or errno.EAGAIN])
            _end(born.group)
            born.wire.close()
            return
        if pid == 0:
            self._become(born)
        self._children[pid] = born
        _tell(born.wire, ["born", pid])

    def _become(self, born: _Born) -> NoReturn:
        try:
            enter(born.mark, self._pid, self._mask)
            if born.group is not None:
                born.group.enter()
            self._control.close()
            os.close(self._wakeup)
            os.close(self._woken)
            for other in (*self._children.values(), *self._unborn):
                other.wire.close()  # no job can speak for another
            self._children.clear()
            self._kinds[born.kind](born.wire, born.options)
        except BaseException:  # noqa: BLE001  # nothing may return into the zygote's frames
            traceback.print_exc()
        finally:
            os._exit(1)

    def _kill(self, pid: int, number: int) -> None:
        if pid not in self._children:
            return
        self._children[pid].lives = 0  # whoever is sent a signal before it begins has had its turn
        with contextlib.suppress(ProcessLookupError, PermissionError):
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                os.kill(pid, number)  # RACE: it has not come to setsid yet
            if number == signal.SIGTERM:
                os.killpg(pid, signal.SIGCONT)  # stopped, it would never see it
        group = self._children[pid].group
        if group is not None:
            group.signal(number, but_group=pid)

    def _reap(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            if ended.si_pid in self._children:
                self._bury(ended.si_pid)
            else:
                os.waitpid(ended.si_pid, 0)

    def _bury(self, pid: int) -> None:
        """A child has ended: so does what it has left, before its end is told."""
        # The group dies before its leader is reaped: until then nobody else gets its number.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        born = self._children.pop(pid)
        _end(born.group)
        if status:
            # One that leaves with 0 by itself has looked after that; a task may have left so too.
            kill_marked(born.mark)
        else:
            self._sweep_soon(born.mark)
        if born.kind == "jobs" and born.lives and born.wire.has_unread():
            # RACE: it died while it waited, and was given a job before the worker heard of that.
            # The job has not begun: it is the next one's, which reads it from the same socket.
            born.lives -= 1
            self._bear(born)
            return
        _tell(born.wire, ["died", status])
        born.wire.close()

    def _sweep_soon(self, *marks: int) -> None:
        if not self._sweeps:
            self._sweep_at = self._clock.elapsed() + SWEEP
        self._sweeps.update(marks)

    def _sweep(self) -> None:
        marks, self._sweeps = self._sweeps, set()
        first, last = min(marks), max(marks)
        kill_found(lambda: [pid for pid, mark in find_marks(first, last) if mark in marks])
        programs = [mark for mark in marks if mark <= self._marks.programs_last]
        if programs:  # nobody asks for those of children
            _tell(self._control, ["swept", programs])


def _end(group: Cgroup | None) -> None:
    if group is not None:
        group.end()


def _tell(wire: Wire, message: list[Any]) -> None:
    # The worker may have closed it, or be so far behind that its end is full; that it does not
    # read is then its smallest problem, and it sees the end of the connection.
    with contextlib.suppress(OSError):
        wire.send(message, wait=False)
