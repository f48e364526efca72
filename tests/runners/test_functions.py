"""What every runner of functions promises, whichever it is."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from spoolq import Cancel, Job, current_job
from spoolq.runners import Outcome
from spoolq.runners.output import FORMAT
from tests.runners.functions import Stage
from tests.support import wait_for


def test_what_a_function_returns_is_the_outcome(stage: Stage) -> None:
    def add(a: int, b: int) -> dict[str, int]:
        return {"sum": a + b}

    assert stage.run(stage.add(add), 1, 2) == Outcome(True, {"sum": 3})


def test_large_arguments_and_results_travel_as_well(stage: Stage) -> None:
    def echo(text: str) -> str:
        return text

    text = "ü" * 300_000
    assert stage.run(stage.add(echo), text) == Outcome(True, text)


def test_what_a_function_raises_fails_the_job(stage: Stage) -> None:
    def divide() -> None:
        1 // 0  # noqa: B018

    outcome = stage.run(stage.add(divide))
    assert not outcome.ok
    assert outcome.result["type"] == "ZeroDivisionError"
    assert "in divide" in outcome.result["traceback"]


def test_a_result_that_is_no_json_fails_the_job(stage: Stage) -> None:
    def answer() -> object:
        return object()

    assert not stage.run(stage.add(answer)).ok


def test_a_task_that_nobody_knows_fails_and_is_named(stage: Stage) -> None:
    outcome = stage.run("nobody")
    assert outcome.result["type"] == "UnknownTask"
    assert "'nobody'" in outcome.result["message"]


@pytest.mark.parametrize("code", [0, 3])
def test_leaving_counts_as_its_exit_status_says(stage: Stage, code: int) -> None:
    def leave() -> None:
        sys.exit(code)

    outcome = stage.run(stage.add(leave))
    assert outcome.ok is (code == 0)
    assert code == 0 or outcome.result == (
        f"Job terminated unexpectedly (exit code: {code}, signal: 0)"
    )


@pytest.mark.parametrize("code", [0, 7])
def test_leaving_behind_pythons_back_does_too(stage: Stage, code: int) -> None:
    def leave() -> None:
        os._exit(code)

    outcome = stage.run(stage.add(leave))
    assert outcome.ok is (code == 0)


def test_death_by_a_signal_fails_the_job_and_the_next_one_runs(stage: Stage) -> None:
    def die(number: int) -> None:
        if number:
            os.kill(os.getpid(), number)

    name = stage.add(die)
    assert stage.run(name, 9).result == "Job terminated unexpectedly (exit code: 0, signal: 9)"
    assert stage.run(name, 0).ok


def test_the_zygote_knows_what_was_registered_after_it(stage: Stage) -> None:
    def first() -> int:
        return 1

    def second() -> int:
        return 2

    assert stage.run(stage.add(first)).result == 1
    assert stage.run(stage.add(second)).result == 2
    assert stage.run("first").result == 1


def test_nothing_a_job_changes_is_seen_here(stage: Stage) -> None:
    def change() -> int:
        os.environ["SPOOLQ_TEST_CHANGED"] = "1"
        return os.getpid()

    assert stage.run(stage.add(change)).result != os.getpid()
    assert "SPOOLQ_TEST_CHANGED" not in os.environ


# -- output --------------------------------------------------------------------------------------


def test_words_of_every_kind_land_in_the_log_with_the_jobs_id(stage: Stage) -> None:
    def talk() -> None:
        print("printed ü")
        print("complained", file=sys.stderr)
        logging.getLogger("app").info("logged")
        print("\udcff")  # a file name that is no UTF-8

    root = logging.getLogger()
    before, root.handlers = root.handlers, []  # the test runner has its own
    try:
        run = stage.start(stage.add(talk))
        assert stage.end(run).ok
    finally:
        root.handlers = before
    log = stage.log(1).splitlines()
    assert [log[0], log[1], log[3]] == ["printed ü", "complained", r"\udcff"]
    assert log[2].endswith("INFO app [job 1]: logged")
    assert "%(job)s" in FORMAT


def test_what_a_process_of_the_job_writes_lands_there_too(processes: Stage) -> None:
    def talk() -> None:
        print("before")
        subprocess.run(["echo", "between"], check=True)
        os.write(2, b"after\n")

    assert processes.run(processes.add(talk)).ok
    assert processes.log(1) == "before\nbetween\nafter\n"


def test_a_job_that_says_nothing_leaves_no_log(stage: Stage) -> None:
    def quiet() -> None: ...

    stage.run(stage.add(quiet))
    wait_for(lambda: list((Path(str(stage.spool.root)) / "logs").rglob("*.log")) == [])


def test_each_of_several_has_its_own_log(stage: Stage) -> None:
    def talk(word: str) -> None:
        print(word)

    name = stage.add(talk)
    runs = [stage.start(name, word) for word in ("one", "two", "three")]
    assert all(stage.end(run).ok for run in runs)
    assert [stage.log(number) for number in (1, 2, 3)] == ["one\n", "two\n", "three\n"]


def test_a_log_that_cannot_be_opened_fails_the_job_and_nothing_else(stage: Stage) -> None:
    def quiet() -> None: ...

    name = stage.add(quiet)
    logs = Path(str(stage.spool.root)) / "logs"
    logs.rename(logs.with_name("moved"))
    outcome = stage.run(name)
    logs.with_name("moved").rename(logs)
    assert outcome.result["type"] == "NotStarted"
    assert stage.run(name).ok


# -- what it is given ----------------------------------------------------------------------------


def test_a_process_has_its_own_session_no_stdin_and_no_descriptors_of_ours(
    processes: Stage,
) -> None:
    def look() -> list[Any]:
        return [os.getsid(0) == os.getpid(), sys.stdin.read(), os.read(0, 1).decode(), open_files()]

    name = processes.add(look)
    before = open_files()  # of the program: what it opened it may need
    processes.open()
    reader, writer = os.pipe()  # of a worker at work
    others = [processes.start(name) for _ in range(2)]
    leader, stdin, raw, files = processes.run(name).result
    os.close(reader)
    os.close(writer)
    assert (leader, stdin, raw) == (True, "", "")
    more = sorted(file.split(":")[0] for file in set(files) - set(before) - {"/dev/null"})
    assert [kind for kind in more if "/" not in kind] == ["socket"]
    assert [kind for kind in more if "/" in kind] == [f"{processes.spool.root}/logs/0/3.0.log"]
    assert all(processes.end(run).ok for run in others)


def open_files() -> list[str]:
    """What the descriptors of this process lead to."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            continue  # that of the listing itself
    return [file for file in found if not file.startswith("/proc/")]


def test_signals_are_as_minion_has_them(processes: Stage) -> None:
    def look() -> list[bool]:
        import signal as s

        default = [s.getsignal(n) == s.SIG_DFL for n in (s.SIGCHLD, s.SIGINT, s.SIGTERM, s.SIGQUIT)]
        ignored = [s.getsignal(n) == s.SIG_IGN for n in (s.SIGUSR1, s.SIGUSR2)]
        return [*default, *ignored, not s.pthread_sigmask(s.SIG_BLOCK, [])]

    assert processes.run(processes.add(look)).result == [True] * 7


def test_children_draw_different_random_numbers(processes: Stage) -> None:
    def draw() -> float:
        return random.random()

    random.seed(42)
    name = processes.add(draw)
    runs = [processes.start(name) for _ in range(3)]
    assert len({processes.end(run).result for run in runs}) == 3


def test_variables_say_which_job_this_is(processes: Stage) -> None:
    def look() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith("SPOOLQ_")}

    found = processes.run(processes.add(look), queue="default").result
    assert found["SPOOLQ_ROOT"] == processes.spool.root
    assert (found["SPOOLQ_JOB_ID"], found["SPOOLQ_TASK"]) == ("1", "look")
    assert (found["SPOOLQ_QUEUE"], found["SPOOLQ_ATTEMPT"]) == ("default", "1")
    assert found["SPOOLQ_WORKER"] == str(processes.worker.id)


def test_variables_say_how_often_it_may_be_tried_and_what_it_is_called(processes: Stage) -> None:
    def look() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if name.startswith("SPOOLQ_")}

    parent = processes.spool.enqueue("parent", queue="never")
    name = processes.add(look)
    notes = {"label": "nightly"}
    options = {"parents": [parent.id], "lax": True, "attempts": 4, "timeout": 60}
    parent.remove()

    found = processes.run(name, queue="default", notes=notes, **options).result
    bare = processes.run(name).result

    assert (found["SPOOLQ_ATTEMPTS"], found["SPOOLQ_LABEL"]) == ("4", "nightly")
    assert found["SPOOLQ_PARENTS"] == str(parent.id)
    assert 50 < int(found["SPOOLQ_DEADLINE"]) - time.time() < 70
    assert not {"SPOOLQ_LABEL", "SPOOLQ_PARENTS", "SPOOLQ_DEADLINE"} & bare.keys()


# -- the spool from inside -----------------------------------------------------------------------


def test_notes_and_progress_are_seen_outside(stage: Stage) -> None:
    def work(job: Job) -> int:
        assert current_job() is job
        job.note(step="one")
        for done in range(50):
            job.progress(done, 49, "counting")
        return job.id

    assert stage.run(stage.add(work, context=True)) == Outcome(True, 1)
    job = stage.spool.job(1)
    assert job is not None
    info = job.info()
    assert info is not None
    assert info.notes["step"] == "one"
    assert info.notes["progress"] == {"done": 49, "total": 49, "message": "counting"}


@pytest.mark.parametrize("way", ["finish", "fail", "retry"])
def test_a_task_that_ended_its_job_itself_leaves_nothing_to_commit(stage: Stage, way: str) -> None:
    def end(job: Job) -> str:
        assert getattr(job, way)()
        return "ignored"

    outcome = stage.run(stage.add(end, context=True))
    assert outcome.settled


@pytest.mark.parametrize("way", ["finish", "fail", "retry"])
def test_that_is_known_of_one_that_died_after_it(processes: Stage, way: str) -> None:
    def end(job: Job) -> None:
        assert getattr(job, way)()
        os._exit(1)

    outcome = processes.run(processes.add(end, context=True))
    assert outcome.settled


def test_ending_it_through_another_handle_counts(stage: Stage) -> None:
    spool = stage.spool

    def end(job: Job) -> None:
        other = spool.job(job.id)
        assert other is not None
        assert other.finish("elsewhere")

    assert stage.run(stage.add(end, context=True)).settled


def test_a_task_learns_that_its_claim_is_gone(stage: Stage) -> None:
    def work(job: Job) -> str:
        spool = stage.spool
        assert spool.backend.retry_job(job.id, job.retries)
        job.check_cancelled()
        return "went on"

    outcome = stage.run(stage.add(work, context=True))
    assert (outcome.ok, outcome.result["type"]) == (False, "Cancel")


@pytest.mark.parametrize(("error", "final"), [(Cancel("no use"), True), (OSError("later"), False)])
def test_a_task_that_cancels_itself_gives_up_its_attempts(
    stage: Stage, error: Exception, final: bool
) -> None:
    def work() -> None:
        raise error

    assert stage.run(stage.add(work)).final is final


def test_a_job_out_of_time_keeps_its_attempts_also_when_it_ends_in_order(
    processes: Stage,
) -> None:
    def work(job: Job) -> None:
        while True:
            job.check_cancelled()
            threading.Event().wait(0.01)

    outcome = processes.run(processes.add(work, context=True), timeout=0.1)

    assert (outcome.result["type"], outcome.final) == ("Timeout", False)


def test_a_task_that_asks_may_end_in_order_when_it_is_sent_term(
    processes: Stage, tmp_path: Path
) -> None:
    def work(job: Job) -> None:
        job.check_cancelled()
        (tmp_path / "ready").touch()
        while True:
            job.check_cancelled()

    name = processes.add(work, context=True)
    for _ in range(2):  # the second one finds TERM as the first one found it
        run = processes.start(name)
        wait_for((tmp_path / "ready").exists)
        run.kill(15)
        assert processes.end(run).result["message"] == "the job was asked to stop"
        (tmp_path / "ready").unlink()


def test_an_async_function_runs_under_every_runner(stage: Stage) -> None:
    import asyncio

    @stage.spool.task
    async def nap(word: str) -> str:
        await asyncio.sleep(0)
        return word

    assert stage.run(nap.name, "rested") == Outcome(True, "rested")
