"""`pause` and `resume` of jobs that run."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from spoolq import Spool
from spoolq.cli import pausing
from spoolq.cli.pausing import _Steering
from tests.cli.conftest import Shell
from tests.support import FakeClock, job_in, wait_for


@pytest.fixture
def working(shell: Shell) -> Iterator[Shell]:
    """A worker that performs job 1, which ends when `go` is there."""
    shell.add_executable("waits", 'while [ ! -e "$SPOOLQ_ROOT/go" ]; do sleep 0.02; done')
    shell.ok("enqueue", "waits")
    with shell.popen("worker") as worker:
        wait_for(lambda: shell.json("show", "1")["state"] == "active")
        yield shell
        (shell.root / "go").touch()
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)


def reason(shell: Shell) -> str:
    return str(shell.json("list", "1")[0]["reason"]["code"])


def test_a_job_is_paused_shown_as_paused_and_resumed(working: Shell) -> None:
    assert working.json("pause", "1") == [{"id": 1, "paused": True}]
    assert reason(working) == "paused"
    assert "1 waits is active but paused on" in working.ok("why", "1")
    assert working.json("pause", "1") == [{"id": 1, "paused": True}]

    assert working.json("resume", "1") == [{"id": 1, "resumed": True}]
    assert reason(working) == "running"
    again = working.run("resume", "1")
    assert (again.code, "job 1 was not resumed: it is not paused" in again.err) == (4, True)

    (working.root / "go").touch()
    wait_for(lambda: working.json("show", "1")["state"] == "finished")


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_what_is_not_active_is_a_conflict_and_no_such_job_is_3(shell: Shell, verb: str) -> None:
    shell.ok("enqueue", "foo")

    ran = shell.run(verb, "1")

    assert (ran.code, ran.out) == (4, "")
    assert "it is inactive, not active" in ran.err
    assert shell.run(verb).code == 2
    assert shell.run(verb, "7").code == 3
    assert shell.run(verb, "queue:defalt").code == 3


def test_a_worker_that_is_silent_is_exit_code_1(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Spool(shell.root, durability="none").backend
    job_in("active", backend, backend.register_worker())
    [job] = backend.list_jobs().rows
    monkeypatch.setattr(pausing, "_LOOK", 1.0)

    assert _Steering(backend, FakeClock(), "pause").ask([job]) == [job]
