"""Running a task in a process of its own: its events, its end, its signals."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from spoolq import Cancel, Job, Spool
from tests.client.world import Diary, claim, info
from tests.support import wait_for

GLOBAL = {"value": 1}


def performed(spool: Spool, task: Callable[..., object], *args: object) -> Job:
    """A job of this task that has been performed."""
    spool.add_task("task", task)
    job = claim(spool, "task", *args)
    job.perform()
    return job


def watch(job: Job, diary: Diary) -> Job:
    """Write down every event of the job."""
    for event in Job.EVENTS:
        job.on(event, lambda *_, event=event: diary.add(event))
    return job


# -- outcomes ------------------------------------------------------------------------------------


@pytest.mark.minion(324, 325)
def test_the_result_of_a_task_is_stored_when_perform_returns(spool: Spool) -> None:
    job = performed(spool, lambda a, b: {"sum": a + b}, 1, 2)
    assert (info(job).state, info(job).result) == ("finished", {"sum": 3})


@pytest.mark.minion(325)
def test_a_task_that_returns_nothing_finishes_without_a_result(spool: Spool) -> None:
    job = performed(spool, lambda: None)
    assert (info(job).state, info(job).result) == ("finished", None)


def test_a_large_result_needs_nobody_to_read_along(spool: Spool) -> None:
    job = performed(spool, lambda: "ü" * 300_000)
    assert info(job).result == "ü" * 300_000


def test_an_exception_fails_the_job(spool: Spool) -> None:
    job = performed(spool, lambda: 1 // 0)
    assert info(job).state == "failed"
    assert info(job).result["type"] == "ZeroDivisionError"
    assert "in <lambda>" in info(job).result["traceback"]


def test_a_result_that_is_no_json_fails_the_job(spool: Spool) -> None:
    for value in (object(), {1: 2}, float("inf"), [[]]):
        nested: object = value
        if nested == [[]]:
            for _ in range(100):
                nested = [nested]
        job = performed(spool, lambda nested=nested: nested)
        assert info(job).state == "failed"


@pytest.mark.minion(326)
@pytest.mark.parametrize("code", [1, 255])
def test_an_exit_status_fails_the_job(spool: Spool, code: int) -> None:
    job = performed(spool, sys.exit, code)
    assert info(job).state == "failed"
    assert info(job).result == f"Job terminated unexpectedly (exit code: {code}, signal: 0)"


@pytest.mark.minion(326)
def test_exiting_behind_pythons_back_fails_the_job_as_well(spool: Spool) -> None:
    job = performed(spool, os._exit, 7)
    assert info(job).result == "Job terminated unexpectedly (exit code: 7, signal: 0)"


@pytest.mark.minion(327)
@pytest.mark.parametrize("leave", [sys.exit, os._exit])
def test_leaving_with_status_0_counts_as_success(
    spool: Spool, leave: Callable[[int], None]
) -> None:
    job = performed(spool, leave, 0)
    assert (info(job).state, info(job).result) == ("finished", None)


def test_exiting_with_a_message_prints_it(spool: Spool, capfd: pytest.CaptureFixture[str]) -> None:
    job = performed(spool, sys.exit, "cannot go on")
    assert info(job).result == "Job terminated unexpectedly (exit code: 1, signal: 0)"
    assert "cannot go on" in capfd.readouterr().err


@pytest.mark.minion(328)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_death_by_a_signal_fails_the_job(spool: Spool, number: int) -> None:
    def die() -> None:
        if number == signal.SIGSEGV:
            signal.signal(number, signal.SIG_DFL)  # the test runner would print a traceback
        os.kill(os.getpid(), number)

    job = performed(spool, die)
    assert info(job).state == "failed"
    assert info(job).result == f"Job terminated unexpectedly (exit code: 0, signal: {number})"


@pytest.mark.minion(127)
def test_a_child_that_dies_consumes_an_attempt(spool: Spool) -> None:
    spool.add_task("foo", lambda: os._exit(1))
    job = claim(spool, "foo", attempts=3)
    job.perform()
    assert (info(job).state, info(job).attempts, info(job).retries) == ("inactive", 2, 1)


@pytest.mark.parametrize("perform", [Job.perform, Job.perform_here])
def test_cancel_fails_the_job_without_further_attempts(
    spool: Spool, perform: Callable[[Job], object]
) -> None:
    def give_up() -> None:
        raise Cancel("the file is gone")

    spool.add_task("give up", give_up)
    job = claim(spool, "give up", attempts=3)

    perform(job)

    shown = info(job)
    assert (shown.state, shown.attempts) == ("failed", 1)
    assert shown.result["message"] == "the file is gone"


@pytest.mark.minion(91)
def test_a_retry_does_not_stop_the_process_that_performs_the_job(
    file_spool: Spool, diary: Diary
) -> None:
    reader, writer = os.pipe()

    @file_spool.task
    def wait() -> str:
        diary.add("ready")
        return os.read(reader, 1).decode()

    first = claim(file_spool, wait.name).start()
    diary.wait_for("ready")
    assert first.retry()
    second = file_spool.worker().register().dequeue(0)
    assert second is not None
    assert not first.is_finished()
    os.write(writer, b"x")
    wait_for(first.is_finished)
    assert (info(second).state, info(second).retries) == ("active", 1)
    assert second.finish("second")
    os.close(reader)
    os.close(writer)


@pytest.mark.minion(80, 339)
def test_a_task_that_finished_its_job_may_die_of_anything(file_spool: Spool) -> None:
    @file_spool.task(takes_context=True)
    def finish_and_die(job: Job) -> None:
        assert job.finish("mine")
        os._exit(1)

    job = claim(file_spool, finish_and_die.name)
    job.perform()
    assert (info(job).state, info(job).result) == ("finished", "mine")


@pytest.mark.minion(339)
def test_a_task_that_retried_its_job_is_not_ended_again(file_spool: Spool) -> None:
    @file_spool.task(takes_context=True)
    def later(job: Job) -> str:
        assert job.retry(delay=60)
        return "ignored"

    job = claim(file_spool, later.name)
    job.perform()
    assert (info(job).state, info(job).retries) == ("inactive", 1)


# -- events --------------------------------------------------------------------------------------


@pytest.mark.minion(308)
def test_the_events_of_a_job_that_goes_well(spool: Spool, diary: Diary) -> None:
    spool.add_task("foo", lambda: diary.add("task"))
    job = watch(claim(spool, "foo"), diary)
    job.perform()
    here = {"spawn", "reap", "finished"}
    entries = diary.entries()
    # The child starts while this process is still writing down that it spawned it.
    entries.remove("spawn")
    assert entries == ["start", "task", "finish", "cleanup", "reap", "finished"]
    assert {entry for entry, pid in diary.signed() if pid == os.getpid()} == here
    assert {pid for entry, pid in diary.signed() if entry not in here} == {job.pid}


# Minion's child says `failed` itself, before `cleanup`. Here the process that holds the claim
# ends the job, and says so when it has.
@pytest.mark.minion(309)
def test_the_events_of_a_task_that_raises(spool: Spool, diary: Diary) -> None:
    spool.add_task("foo", lambda: 1 // 0)
    watch(claim(spool, "foo"), diary).perform()
    entries = diary.entries()
    entries.remove("spawn")
    assert entries == ["start", "cleanup", "reap", "failed"]
    assert diary.signed()[-1] == ("failed", os.getpid())


@pytest.mark.minion(310)
def test_the_events_of_a_child_that_dies(spool: Spool, diary: Diary) -> None:
    spool.add_task("foo", lambda: os._exit(1))
    watch(claim(spool, "foo"), diary).perform()
    entries = diary.entries()
    entries.remove("spawn")
    assert entries == ["start", "reap", "failed"]
    assert diary.signed()[-1] == ("failed", os.getpid())


@pytest.mark.minion(311)
def test_finished_fires_in_the_process_that_ended_the_job(file_spool: Spool, diary: Diary) -> None:
    @file_spool.task(takes_context=True)
    def finish(job: Job) -> None:
        job.finish("mine")

    job = watch(claim(file_spool, finish.name), diary)
    job.perform()
    assert [pid for entry, pid in diary.signed() if entry == "finished"] == [job.pid]


@pytest.mark.minion(312)
def test_spawn_and_reap_carry_the_pid_of_the_child(spool: Spool) -> None:
    spool.add_task("pid", os.getpid)
    job, seen = claim(spool, "pid"), []
    job.on("spawn", lambda _, pid: seen.append(pid))
    job.on("reap", lambda _, pid: seen.append(pid))
    job.perform()
    assert seen == [info(job).result] * 2
    assert seen[0] != os.getpid()
    assert job.pid == seen[0]


@pytest.mark.minion(316)
@pytest.mark.parametrize("event", ["start", "finish", "cleanup"])
def test_a_handler_that_raises_in_the_child_fails_the_job(spool: Spool, event: str) -> None:
    spool.add_task("foo", lambda: None)
    job = claim(spool, "foo")
    job.on(event, lambda _: 1 // 0)
    job.perform()
    assert info(job).state == "failed"
    assert info(job).result["type"] == "ZeroDivisionError"


@pytest.mark.minion(317)
def test_handlers_in_the_child_can_write_notes(file_spool: Spool) -> None:
    file_spool.add_task("foo", lambda: None)
    job = claim(file_spool, "foo")
    job.on("finish", lambda job: job.note(finish=1))
    job.on("cleanup", lambda job: job.note(cleanup=2))
    job.perform()
    assert info(job).notes == {"finish": 1, "cleanup": 2, "minion_pid": job.pid}


@pytest.mark.minion(319)
def test_handlers_added_when_a_job_is_dequeued_travel_into_the_child(
    spool: Spool, diary: Diary
) -> None:
    spool.add_task("foo", lambda: None)
    spool.enqueue("foo")
    worker = spool.worker().register()
    worker.on("dequeue", lambda _, job: watch(job, diary))
    job = worker.dequeue(0)
    assert job is not None
    job.perform()
    assert ("start", job.pid) in diary.signed()


# -- the child -----------------------------------------------------------------------------------


@pytest.mark.minion(164)
def test_the_pid_of_the_child_is_noted(spool: Spool) -> None:
    job = performed(spool, os.getpid)
    assert info(job).notes == {"minion_pid": info(job).result}
    assert info(job).result != os.getpid()


@pytest.mark.minion(333)
def test_signals_in_the_child_are_as_a_job_expects_them(spool: Spool) -> None:
    def dispositions() -> list[str]:
        names = ("CHLD", "INT", "TERM", "QUIT", "USR1", "USR2", "HUP")
        return [str(signal.getsignal(signal.Signals[f"SIG{name}"])) for name in names]

    here = {signal.SIGTERM: signal.SIG_IGN, signal.SIGHUP: signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in here.items()}
    try:
        job = performed(spool, dispositions)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    default, ignored = str(signal.SIG_DFL), str(signal.SIG_IGN)
    assert info(job).result == [default] * 4 + [ignored] * 3


@pytest.mark.minion(334)
def test_what_the_task_changes_in_memory_ends_with_it(spool: Spool) -> None:
    def change() -> int:
        GLOBAL["value"] = 99
        return GLOBAL["value"]

    assert info(performed(spool, change)).result == 99
    assert GLOBAL == {"value": 1}


@pytest.mark.minion(336)
def test_two_children_draw_different_random_numbers(spool: Spool) -> None:
    random.seed(42)
    assert info(performed(spool, random.random)).result != (
        info(performed(spool, random.random)).result
    )


@pytest.mark.minion(337)
def test_no_exit_hook_of_the_parent_runs_in_the_child() -> None:
    code = """
import atexit, os
from spoolq import Spool
atexit.register(lambda: print("left", os.getpid() == parent, flush=True))
parent, spool = os.getpid(), Spool("memory:")
spool.add_task("foo", lambda: print("task"))
spool.enqueue("foo")
print("before", end=" ")
spool.perform_jobs()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "before task\nleft True\n"


def test_the_child_leads_a_session_of_its_own(spool: Spool) -> None:
    job = performed(spool, lambda: [os.getpid(), os.getsid(0), os.getpgid(0)])
    assert info(job).result == [job.pid] * 3


# -- started and watched -------------------------------------------------------------------------


def pause(diary: Diary, name: str = "ready") -> None:
    """What a task does that waits to be killed."""
    diary.add(name)
    while True:
        signal.pause()


@pytest.mark.minion(329)
def test_start_returns_at_once_and_is_finished_ends_the_job(spool: Spool, diary: Diary) -> None:
    reader, writer = os.pipe()
    spool.add_task("wait", lambda: os.read(reader, 1).decode())
    job = claim(spool, "wait")
    assert job.start() is job
    assert job.pid is not None
    assert not job.is_finished()
    assert info(job).state == "active"
    os.write(writer, b"x")
    wait_for(job.is_finished)
    assert (info(job).state, info(job).result) == ("finished", "x")
    os.close(reader)
    os.close(writer)


def test_a_job_is_ended_once_however_often_one_asks(spool: Spool, diary: Diary) -> None:
    spool.add_task("foo", lambda: None)
    job = watch(claim(spool, "foo").start(), diary)
    wait_for(job.is_finished)
    assert job.is_finished()
    assert [entry for entry in diary.entries() if entry in {"reap", "finished"}] == [
        "reap",
        "finished",
    ]


@pytest.mark.minion(330)
def test_four_jobs_run_at_the_same_time(file_spool: Spool, diary: Diary) -> None:
    reader, writer = os.pipe()

    @file_spool.task(name="wait")
    def wait(name: str) -> str:
        diary.add(name)
        os.read(reader, 1)
        if name == "bad":
            raise ValueError
        return name

    jobs = [claim(file_spool, "wait", name).start() for name in ("a", "b", "bad", "c")]
    diary.wait_for("a", "b", "bad", "c")
    os.write(writer, b"....")
    for job in jobs:
        wait_for(job.is_finished)
    assert [info(job).state for job in jobs] == ["finished", "finished", "failed", "finished"]
    assert [info(jobs[n]).result for n in (0, 1, 3)] == ["a", "b", "c"]
    os.close(reader)
    os.close(writer)


@pytest.mark.minion(331)
def test_stop_kills_the_job(spool: Spool, diary: Diary) -> None:
    spool.add_task("pause", lambda: pause(diary))
    job = claim(spool, "pause").start()
    diary.wait_for("ready")
    job.stop()
    wait_for(job.is_finished)
    assert info(job).result == "Job terminated unexpectedly (exit code: 0, signal: 9)"


def test_a_job_can_be_stopped_before_it_has_begun(spool: Spool, diary: Diary) -> None:
    spool.add_task("pause", lambda: pause(diary))
    job = claim(spool, "pause").start()
    job.stop()
    wait_for(job.is_finished)
    assert info(job).state == "failed"
    job.stop()


@pytest.mark.minion(332)
def test_a_job_survives_usr1_and_usr2_and_dies_of_int(spool: Spool, diary: Diary) -> None:
    spool.add_task("pause", lambda: pause(diary))
    job = claim(spool, "pause").start()
    diary.wait_for("ready")
    job.kill("USR1")
    job.kill(signal.SIGUSR2)
    assert not job.is_finished()
    assert info(job).state == "active"
    job.kill("SIGINT")
    wait_for(job.is_finished)
    assert info(job).result == "Job terminated unexpectedly (exit code: 0, signal: 2)"


@pytest.mark.minion(304)
def test_a_signal_reaches_the_handler_a_task_has_installed(spool: Spool, diary: Diary) -> None:
    def polite() -> str:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        pause(diary)
        return "never"

    spool.add_task("polite", polite)
    job = claim(spool, "polite").start()
    diary.wait_for("ready")
    job.kill("TERM")
    wait_for(job.is_finished)
    assert info(job).state == "finished"


def test_stop_reaches_what_the_job_has_started(spool: Spool, diary: Diary) -> None:
    reader, writer = os.pipe()

    def family() -> None:
        os.set_inheritable(writer, True)
        subprocess.Popen(["sleep", "600"], close_fds=False)
        os.close(writer)
        pause(diary)

    spool.add_task("family", family)
    job = claim(spool, "family").start()
    diary.wait_for("ready")
    os.close(writer)
    job.stop()
    wait_for(job.is_finished)
    # The grandchild held the other end: that it is closed says that the grandchild is gone.
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_the_worker_beats_while_it_waits_for_a_job(file_spool: Spool) -> None:
    reader, writer = os.pipe()
    file_spool.add_task("wait", lambda: os.read(reader, 1).decode())
    file_spool.enqueue("wait")
    worker = file_spool.worker().register()
    worker.heartbeat = 0.01
    job = worker.dequeue(0)
    assert job is not None
    beats = []

    def register() -> None:
        beats.append(1)
        if len(beats) == 2:
            os.write(writer, b"x")

    worker.register = register  # type: ignore[method-assign, assignment]  # to see it called
    job.perform()
    assert info(job).result == "x"
    assert len(beats) >= 2
    os.close(reader)
    os.close(writer)


def test_an_interrupted_perform_takes_its_job_along(file_spool: Spool, diary: Diary) -> None:
    @file_spool.task
    def interrupt() -> None:
        diary.wait_for("spawn")
        os.kill(os.getppid(), signal.SIGINT)
        signal.pause()

    job = watch(claim(file_spool, interrupt.name), diary)
    with pytest.raises(KeyboardInterrupt):
        job.perform()
    assert info(job).result == "Job terminated unexpectedly (exit code: 0, signal: 9)"


# -- programs ------------------------------------------------------------------------------------


def test_a_task_without_a_function_is_run_as_an_executable(file_spool: Spool, diary: Diary) -> None:
    path = f"{file_spool.root}/jobs/hello.job"
    with open(path, "w", opener=lambda path, flags: os.open(path, flags, 0o700)) as file:
        file.write('#!/bin/sh\necho "\\"hello $1\\"" > "$SPOOLQ_RESULT_FILE"\n')
    job = watch(claim(file_spool, "hello", "ada"), diary)
    job.perform()
    after = info(job)
    assert (after.state, after.result) == ("finished", "hello ada")
    assert after.exit is not None
    assert after.exit["code"] == 0
    assert after.notes == {"minion_pid": job.pid}
    assert diary.entries() == ["spawn", "reap", "finished"]


def test_a_function_wins_over_an_executable_of_the_same_name(file_spool: Spool) -> None:
    path = f"{file_spool.root}/jobs/hello"
    with open(path, "w", opener=lambda path, flags: os.open(path, flags, 0o700)) as file:
        file.write("#!/bin/sh\nexit 1\n")
    file_spool.add_task("hello", lambda: "function")
    job = claim(file_spool, "hello")
    job.perform()
    assert info(job).result == "function"


def test_a_program_that_cannot_run_fails_without_a_process(file_spool: Spool, diary: Diary) -> None:
    path = f"{file_spool.root}/jobs/open.job"
    with open(path, "w") as file:
        file.write("#!/bin/sh\n")
    os.chmod(path, 0o777)
    job = watch(claim(file_spool, "open"), diary)
    job.perform()
    assert (info(job).state, info(job).result["type"]) == ("failed", "UnsafeFile")
    assert job.pid is None
    assert diary.entries() == ["failed"]
