"""One Python job in one forked child: whatever it leaks, breaks or kills ends with it.

The child answers in a file in memory rather than through a pipe: it can be as large as it likes
without anybody reading while the job runs, and a grandchild that outlives the job holds nothing
up. Only what the child wrote before it left with status 0 counts as its answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import threading
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn

from spoolq.clock import SystemClock
from spoolq.runners import Outcome, describe, died
from spoolq.runners.child import PDEATHSIG, exit_status, prctl, reset_signals
from spoolq.runners.marks import Marks, kill_marked, set_mark, signal_all_of
from spoolq.runners.output import flush

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from io import FileIO


def start_fork(
    work: Callable[[], Outcome], was_settled: Callable[[], bool] = lambda: False
) -> ForkRun:
    """Call `work` in a child of its own session and let its answer be the outcome.

    `was_settled` is asked at the end: whether the task has ended its job itself.

    An exception out of `work` is a failure. SystemExit ends the child with that status, and the
    status decides [326, 327]: 0 is success without a result. Raises OSError when the system has
    no process left.
    """
    answer = open(os.memfd_create("spoolq-outcome"), "w+b", buffering=0)  # noqa: SIM115  # ForkRun closes it
    # The child leaves without flushing what it inherited, or it would be written twice.
    flush()
    # RACE: a signal between the fork and the reset below would run the parent's handler in the
    # child; it waits until the child has its own dispositions.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    die, mark = _death_of_parent(), Marks().take()
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        answer.close()
        raise
    if pid == 0:
        die()
        set_mark(mark)
        _become_job(work, answer, mask)
    run = ForkRun(pid, answer, mark, was_settled)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    except BaseException:
        # RACE: the signal that ends us came meanwhile, and nobody else knows of the child yet.
        run.kill(signal.SIGKILL)
        run.wait()
        raise
    return run


class ForkRun:
    """A forked child at work: a `Run`."""

    def __init__(
        self, pid: int, answer: FileIO, mark: int, was_settled: Callable[[], bool]
    ) -> None:
        self.pid: Final = pid
        self._mark = mark
        self._was_settled = was_settled
        self._answer = answer
        self._outcome: Outcome | None = None
        self._pidfd: int | None = None

    def poll(self) -> Outcome | None:
        """The outcome, or None while the child runs."""
        if self._outcome is None:
            self._reap(os.WNOHANG)
        return self._outcome

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """Wait up to `timeout` seconds for the outcome; None when they ran out first."""
        if self._outcome is not None:
            return self._outcome
        if timeout is None:
            self._reap(0)
            return self._outcome
        clock = SystemClock()
        until = clock.elapsed() + timeout
        while self.poll() is None and (left := until - clock.elapsed()) > 0:
            _wait_for_exit(self.pid, left)
        return self._outcome

    def fileno(self) -> int | None:
        """A descriptor that is readable once the child has ended; None where there is none."""
        if self._pidfd is None and self._outcome is None:
            with contextlib.suppress(OSError):  # a kernel before 5.3, or no descriptor left
                self._pidfd = os.pidfd_open(self.pid)
        return self._pidfd

    def kill(self, signal: int) -> None:
        """Send a signal to the child's process group, unless the child was reaped."""
        if self._outcome is not None:
            return
        try:
            os.killpg(self.pid, signal)
        except ProcessLookupError:
            # RACE: it has not come to setsid yet, so there is no group and no grandchild either.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal)

    def pause(self) -> bool:
        """Stop the child and everything it started; False once it was reaped."""
        self.kill(signal.SIGSTOP)
        signal_all_of(self.pid, signal.SIGSTOP)
        return self._outcome is None

    def resume(self) -> None:
        """Let them go on."""
        self.kill(signal.SIGCONT)
        signal_all_of(self.pid, signal.SIGCONT)

    def _reap(self, flags: int) -> None:
        try:
            pid, status = os.waitpid(self.pid, flags)
        except ChildProcessError:
            # Somebody else waited for every child of this process; the answer is all there is.
            pid, status = self.pid, None
        if pid:
            if self._pidfd is not None:
                os.close(self._pidfd)
                self._pidfd = None
            with self._answer as file:
                file.seek(0)
                outcome = _outcome(status, file.readall())
            kill_marked(self._mark)
            self._outcome = replace(outcome, settled=True) if self._was_settled() else outcome


def _outcome(status: int | None, answer: bytes) -> Outcome:
    if status:
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
        return Outcome(False, died(code, os.WTERMSIG(status)))
    if answer:
        ok, result, final = json.loads(answer)
        return Outcome(ok, result, final=final)
    return Outcome(True) if status == 0 else Outcome(False, died(0, 0))


def _wait_for_exit(pid: int, timeout: float) -> None:
    try:
        watched = os.pidfd_open(pid)
    except OSError:
        # A kernel before 5.3, or a child reaped by others: the caller looks now and then.
        SystemClock().sleep(min(timeout, 0.02))
        return
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        poll.poll(timeout * 1000)
    finally:
        os.close(watched)


# -- in the child --------------------------------------------------------------------------------


def _death_of_parent() -> Callable[[], None]:
    """What a child calls to be killed when this process is.

    Others take the jobs of a dead worker over at once: a child that went on would run beside them,
    and nobody would ever hear of it. The system means the thread that forks, so this is for the
    main thread; any other may end before its child.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    parent, call = os.getpid(), prctl()

    def die() -> None:
        call(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # RACE: it died before this was set

    return die


def _become_job(work: Callable[[], Outcome], answer: FileIO, mask: Iterable[int]) -> NoReturn:
    """Run `work` and leave: nothing of the parent, no handler and no exit hook, runs here [337].

    The random module reseeds itself in every forked child [336], asyncio forgets its loop [335].
    """
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        reset_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = _work_and_answer(work, answer)
    except BaseException:  # noqa: BLE001  # nothing may return into the parent's frames
        traceback.print_exc()
    finally:
        flush()
        os._exit(status)


def _work_and_answer(work: Callable[[], Outcome], answer: FileIO) -> int:
    try:
        outcome = work()
        text = json.dumps([outcome.ok, outcome.result, outcome.final], allow_nan=False)
    except SystemExit as stop:
        return exit_status(stop.code)
    except BaseException as error:  # noqa: BLE001  # whatever a task raises is its failure
        text = json.dumps([False, describe(error), False])
    left = memoryview(text.encode())
    while left:
        left = left[answer.write(left) :]
    return 0
