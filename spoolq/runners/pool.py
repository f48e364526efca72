"""Functions in children of the zygote that wait for work: the runners `fork` and `pool`.

A child of `fork` performs one job and is gone: what the job leaked, broke or locked goes with it.
The next one was forked meanwhile, so that no job waits for that. A child of `pool` performs one
after another until it is worn, was killed, or died of a job.
"""

from __future__ import annotations

import errno
import os
import signal as signals
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from spoolq.clock import Clock, SystemClock
from spoolq.runners import Outcome, died
from spoolq.runners.deadline import Deadline
from spoolq.runners.marks import signal_all_of
from spoolq.runners.waiting import wait_for_run, wait_readable
from spoolq.runners.wire import Garbage, Message, Wire

if TYPE_CHECKING:
    from spoolq.logs import Cap
    from spoolq.runners.zygote import Zygote

BIRTH: Final = 10.0  # seconds a child has to be born in
LOOK: Final = 1.0  # seconds between two looks at children that wait
SPARE: Final = 2  # children that wait for the next jobs
AHEAD: Final = 6  # more that are made with them when so many are at work
LOST: Final = (0, 0)  # exit code and signal of a child of which nobody knows how it ended


class Handle:
    """The worker's side of one child."""

    def __init__(self, wire: Wire) -> None:
        self.wire: Final = wire
        self.pid = 0
        self.status: int | None = None
        """What waitpid said when it ended; -1 when nobody could say."""
        self.refused = 0
        self.worn = False
        self.runs: dict[int, ChildRun] = {}

    @property
    def gone(self) -> bool:
        """Whether it can perform nothing any more."""
        return self.status is not None or self.refused != 0

    def listen(self) -> None:
        """Take in what it has said, up to the end of its last run. Never waits."""
        waited_for = bool(self.runs)
        while not self.gone and (self.runs or not waited_for):
            try:
                received = self.wire.receive()
            except BlockingIOError:
                return
            except (Garbage, OSError):
                self._reject()
                continue
            if received is None:
                self._end(-1)
                return
            message, fds = received
            for fd in fds:
                os.close(fd)
            try:
                self._hear(message)
            except (TypeError, ValueError, KeyError, IndexError):
                self._reject()

    def _hear(self, message: Message) -> None:
        word, *rest = message
        if word == "end":
            serial, ok, result, settled, final, delay, worn = rest
            self.worn = self.worn or bool(worn)
            run = self.runs.pop(serial)
            settled = settled is True or run.settled
            if not isinstance(delay, int | float):
                delay = None
            outcome = Outcome(ok is True, result, None, settled, final is True, delay)
            run.end(outcome)
        elif word == "settled":
            self.runs[rest[0]].settled = True
        elif word == "heard":
            self.runs[rest[0]].heard = True
        elif word == "born":
            self.pid = int(rest[0])
        elif word == "refused":
            self.refused = int(rest[0])
        elif word == "died":
            self._end(int(rest[0]))
        else:
            raise ValueError(word)

    def _reject(self) -> None:
        """A task has written into the socket. It wrote in the name of its own child only."""
        self.worn = True
        for run in tuple(self.runs.values()):
            run.reject()

    def _end(self, status: int) -> None:
        self.status = status
        runs, self.runs = self.runs, {}
        for run in runs.values():
            run.end(_of_status(status, settled=run.settled))


def _of_status(status: int, *, settled: bool) -> Outcome:
    if status == 0:
        return Outcome(True, settled=settled)
    if status < 0:
        # Nobody is left to say how. It was killed with the zygote, or has lost its connection.
        return Outcome(False, died(*LOST), settled=settled)
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
    return Outcome(False, died(code, os.WTERMSIG(status)), settled=settled)


def await_birth(handle: Handle) -> None:
    """Return when the child is there and can be given work. Raises OSError."""
    handle.listen()
    clock = SystemClock()
    until = clock.elapsed() + BIRTH
    while not handle.pid and not handle.gone and (left := until - clock.elapsed()) > 0:
        wait_readable(handle.wire.fileno(), left)
        handle.listen()
    if not handle.pid or handle.gone:
        number = handle.refused or errno.EAGAIN
        raise OSError(number, os.strerror(number))


class ChildRun:
    """One attempt in a child: a `Run`."""

    def __init__(
        self,
        handle: Handle,
        serial: int,
        kill: Callable[[ChildRun, int], None],
        deadline: Deadline,
        cap: Cap | None,
    ) -> None:
        """`kill` sends a signal in the way of its runner."""
        self.handle: Final = handle
        self.serial: Final = serial
        self.settled = self.heard = False
        self.shared = False
        """Whether other attempts run in the same process."""
        self._send = kill
        self._deadline = deadline
        self._cap = cap
        self._outcome: Outcome | None = None

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self.handle.pid

    def poll(self) -> Outcome | None:
        """The outcome, or None while it runs. Ends it when its timeout has run out."""
        if self._outcome is None:
            self.handle.listen()
        if self._outcome is None:
            number = self._deadline.signal()
            if number is not None:
                self._send(self, number)
            self.tend()
        return self._outcome

    @property
    def has_ended(self) -> bool:
        """Whether the end was heard."""
        return self._outcome is not None

    def tend(self) -> None:
        """Cut its log when it is too long."""
        if self._cap is not None:
            self._cap.look()

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """Wait up to `timeout` seconds, None: without end. None when the time ran out first."""
        return wait_for_run(self, timeout, self._deadline)

    def kill(self, signal: int) -> None:
        """Send a signal to the child and everything in its group; nothing after the end."""
        if self._outcome is None:
            self._send(self, signal)

    def pause(self) -> bool:
        """Stop the child and everything it started; False for a coroutine, which shares one."""
        if self.shared or self._outcome is not None:
            return False
        self._send(self, signals.SIGSTOP)
        signal_all_of(self.pid, signals.SIGSTOP)
        self._deadline.pause()
        return True

    def resume(self) -> None:
        """Let them go on, and the timeout."""
        if not self.shared and self._outcome is None:
            self._deadline.resume()
            signal_all_of(self.pid, signals.SIGCONT)
            self._send(self, signals.SIGCONT)

    def fileno(self) -> int | None:
        """The child's socket."""
        return self.handle.wire.fileno()

    def end(self, outcome: Outcome) -> None:
        """The child has told, or has died."""
        if self._cap is not None:
            self._cap.measure()
        if self._deadline.over and not outcome.settled:
            outcome = replace(outcome, ok=False, result=self._deadline.error(), final=False)
        self._outcome = outcome

    def reject(self) -> None:
        """The child has said what no child says."""
        self._send(self, signals.SIGKILL)


class Pool:
    """Starts attempts in children that wait for them: a `Runner`."""

    def __init__(
        self,
        zygote: Zygote,
        kind: str,
        options: Mapping[str, Any],
        *,
        spare: int = SPARE,
        claim: Callable[[Any], dict[str, Any]],
        cap: Callable[[Any], Cap | None],
        clock: Clock | None = None,
    ) -> None:
        """Children of this kind with these options; `spare` of them wait for the next jobs.

        `claim` says what a child is told of an attempt, `cap` who limits its log.
        """
        self._zygote = zygote
        self._kind = kind
        self._options = dict(options)
        self._spare = spare
        self._claim = claim
        self._cap = cap
        self._clock = clock or SystemClock()
        self._idle: deque[Handle] = deque()
        self._busy: dict[int, ChildRun] = {}
        self._once = self._options.get("jobs") == 1
        self._serial = 0
        self._look_at = 0.0

    def room(self) -> int:
        """As many as the system has processes for."""
        return 2**31 - 1

    def start(self, attempt: Any) -> ChildRun:
        """Give it to a child that waits. Raises OSError when none could be had."""
        self._collect()
        self._serial += 1
        handle = self._hand_over(["run", self._serial, self._claim(attempt)])
        deadline = Deadline(getattr(attempt, "timeout", None), self._clock)
        run = ChildRun(handle, self._serial, self._kill, deadline, self._cap(attempt))
        handle.runs[self._serial] = run
        self._busy[self._serial] = run
        self._fill()
        return run

    def _hand_over(self, message: Message) -> Handle:
        """Send it to a child that waits, or that is made for it. Raises OSError."""
        while self._idle:
            handle = self._idle.popleft() if self._once else self._idle.pop()
            try:
                await_birth(handle)
                # RACE: it may die just now. Another child of the zygote reads what was sent, until
                # that has told of the death and sending fails.
                handle.wire.send(message)
            except OSError:
                self._dismiss(handle)
            else:
                return handle
        [wire] = self._zygote.children(self._kind, self._options)
        handle = Handle(wire)
        try:
            await_birth(handle)
            handle.wire.send(message)
        except OSError:
            handle.wire.close()
            raise
        return handle

    def _collect(self) -> None:
        """Children that have ended a job wait for the next one."""
        ended = [
            serial for serial, run in self._busy.items() if run.handle.runs.get(serial) is None
        ]
        for serial in ended:
            handle = self._busy.pop(serial).handle
            if self._once or handle.worn or handle.gone:
                self._dismiss(handle)
            else:
                self._idle.append(handle)

    def _dismiss(self, handle: Handle) -> None:
        if handle.status == -1 and handle.pid:
            # It only claimed to be gone: an empty packet looks like the end of a connection.
            self._zygote.kill(handle.pid, signals.SIGKILL)
        handle.wire.close()

    def _fill(self) -> None:
        if len(self._idle) >= self._spare:
            return
        wanted = self._spare - len(self._idle)
        if self._once:
            wanted += min(len(self._busy), AHEAD)
        with suppress(OSError):  # it is tried again
            wires = self._zygote.children(self._kind, self._options, wanted)
            self._idle.extend(Handle(wire) for wire in wires)

    def tend(self) -> None:
        """Cut logs, replace children that died while they waited."""
        self._collect()
        for run in self._busy.values():
            run.tend()
        now = self._clock.elapsed()
        if now >= self._look_at:
            self._look_at = now + LOOK
            self._look_at_idle()

    def _look_at_idle(self) -> None:
        for handle in tuple(self._idle):
            handle.listen()
            if handle.gone:
                self._idle.remove(handle)
                self._dismiss(handle)
        self._fill()

    def renew(self) -> None:
        """Take no more children of the zygote that was."""
        self.close()
        for run in self._busy.values():
            run.handle.worn = True

    def _kill(self, run: ChildRun, number: int) -> None:
        # RACE: it may have ended and not been heard; the signal must not hit the next job.
        run.handle.worn = True
        self._zygote.kill(run.pid, number)

    def close(self) -> None:
        """Let the children go that wait."""
        self._collect()
        while self._idle:
            self._idle.pop().wire.close()
