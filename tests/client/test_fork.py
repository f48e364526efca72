"""The runner that forks: what it answers when the system does not play along."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest

from spoolq.runners import Outcome
from spoolq.runners.fork import start_fork


def test_a_run_that_was_seen_to_end_keeps_its_answer() -> None:
    run = start_fork(lambda: Outcome(True, [1, {"a": None}]))
    assert run.wait() == Outcome(True, [1, {"a": None}])
    assert run.wait() == run.wait(0) == run.poll() == Outcome(True, [1, {"a": None}])
    run.kill(signal.SIGKILL)


def test_waiting_for_a_run_ends_with_the_time_or_with_the_run() -> None:
    reader, writer = os.pipe()
    run = start_fork(lambda: Outcome(True, os.read(reader, 1).decode()))
    assert run.wait(0) is None
    assert run.wait(0.02) is None
    os.write(writer, b"x")
    assert run.wait(60) == Outcome(True, "x")
    os.close(reader)
    os.close(writer)


def test_a_kernel_that_cannot_watch_processes_is_asked_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    reader, writer = os.pipe()
    run = start_fork(lambda: Outcome(True, os.read(reader, 1).decode()))
    assert run.wait(0.05) is None
    os.write(writer, b"x")
    assert run.wait(60) == Outcome(True, "x")
    os.close(reader)
    os.close(writer)


def test_an_answer_counts_even_if_somebody_else_reaped_the_child() -> None:
    run = start_fork(lambda: Outcome(True, "answer"))
    os.waitpid(run.pid, 0)
    assert run.poll() == Outcome(True, "answer")


def test_a_child_that_somebody_else_reaped_without_an_answer_has_failed() -> None:
    run = start_fork(lambda: os._exit(0))
    os.waitpid(run.pid, 0)
    assert run.wait(60) == Outcome(False, "Job terminated unexpectedly (exit code: 0, signal: 0)")


def test_a_system_without_processes_left_is_an_error_and_leaves_the_signals_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(BlockingIOError):
        start_fork(lambda: Outcome(True))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_a_signal_sent_while_forking_finds_the_child_ready() -> None:
    def handler(*_: object) -> None:
        os._exit(99)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        run = start_fork(lambda: signal.pause() or Outcome(True))  # type: ignore[func-returns-value]
        run.kill(signal.SIGTERM)
        outcome = run.wait(60)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert outcome == Outcome(False, "Job terminated unexpectedly (exit code: 0, signal: 15)")


def test_a_job_is_killed_with_its_worker() -> None:
    """Found by chaos: it went on beside its second run, and nobody ever heard of it."""
    code = (
        "import os, time; from spoolq.runners.fork import start_fork;"
        "run = start_fork(lambda: time.sleep(600)); print(run.pid, flush=True); run.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        job = os.pidfd_open(int(worker.stdout.readline()))
        worker.kill()
    ended, _, _ = select.select([job], [], [], 10)
    os.close(job)

    assert ended, "it still runs"
