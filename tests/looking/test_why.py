"""Each reason why a job does not run, built as a situation; and which of several comes first."""

from __future__ import annotations

from typing import Any

import pytest

from spoolq.control import Control, Said
from spoolq.why import AHEAD, CODES, Reason, Scene, age, reason, reasons, view
from tests.looking.conftest import NOW, MakeJob, MakeWorker


def codes(found: list[Reason]) -> list[str]:
    assert {item.code for item in found} <= set(CODES)
    return [item.code for item in found]


def test_a_job_that_nothing_keeps_should_start_any_moment(
    job: MakeJob, some_worker: MakeWorker
) -> None:
    assert codes(reasons(job(), Scene(workers=[some_worker()]))) == ["none"]


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ({"state": "finished"}, "finished", "finished"),
        (
            {"state": "failed", "result": {"type": "ValueError", "message": "bad\nvery"}},
            "failed",
            "ValueError: bad",
        ),
        (
            {
                "state": "failed",
                "exit": {"code": 7},
                "result": {"type": "ExitStatus", "message": "exit status 7"},
            },
            "failed",
            "exit status 7",
        ),
        ({"state": "active", "worker": 1}, "running", "on node07, pid 4182"),
        (
            {"state": "active", "worker": 1, "notes": {"minion_pid": 99}},
            "running",
            "on node07, pid 99",
        ),
        ({"state": "active", "worker": 9}, "running", "worker 9"),
        ({"delayed": NOW + 19 * 60}, "delayed", "due in 19m"),
        (
            {"delayed": NOW + 19 * 60, "retries": 1, "finished": NOW - 1},
            "delayed",
            "retry in 19m",
        ),
        ({"expires": NOW - 1}, "expired", "expired"),
        ({"queue": "gpu"}, "no-worker", "no worker serves gpu"),
        ({"held": True}, "held", "held"),
        ({"queue": "mail"}, "queue-paused", "queue mail paused by ann: disk full"),
    ],
)
def test_what_a_job_itself_says(
    job: MakeJob, some_worker: MakeWorker, given: dict[str, Any], code: str, text: str
) -> None:
    paused = Control(paused=Said("ann", "disk full", NOW))
    scene = Scene(workers=[some_worker()], controls={"mail": paused})

    first = reason(job(**given), scene)

    assert (first.code, first.text) == (code, text)


@pytest.mark.parametrize(("running", "code"), [(1, "none"), (2, "queue-limit")])
def test_a_queue_at_its_limit_keeps_its_jobs(
    job: MakeJob, some_worker: MakeWorker, running: int, code: str
) -> None:
    scene = Scene(
        workers=[some_worker(jobs=9)],
        controls={"default": Control(limit=2)},
        active=[job(id=100 + number, state="active") for number in range(running)],
    )

    first = reason(job(), scene)

    assert first.code == code
    assert code == "none" or first.text == "limit: 2 of 2 of queue default run"


def test_a_worker_that_is_silent_is_said_to_be(job: MakeJob, some_worker: MakeWorker) -> None:
    scene = Scene(workers=[some_worker(silent=400)], missing_after=120)

    assert reason(job(state="active", worker=1), scene).text.endswith("silent for 6m")


def test_a_failed_parent_comes_before_those_that_still_run(
    job: MakeJob, some_worker: MakeWorker
) -> None:
    parents = {1: job(id=1, state="active"), 2: job(id=2, state="failed")}
    scene = Scene(parents=parents, workers=[some_worker()])

    found = reasons(job(parents=[1, 2]), scene)

    assert [item.text for item in found] == ["parent 2 failed", "waits for 1 of 2 parents"]
    assert found[1].detail == {"parents": [1], "states": {"1": "active"}}


def test_a_lax_job_and_one_whose_parent_was_removed_do_not_wait(
    job: MakeJob, some_worker: MakeWorker
) -> None:
    scene = Scene(parents={2: job(id=2, state="failed")}, workers=[some_worker()])

    assert codes(reasons(job(parents=[2], lax=True), scene)) == ["none"]
    assert codes(reasons(job(parents=[3]), scene)) == ["none"]


def test_a_worker_without_a_heartbeat_serves_nobody(job: MakeJob, some_worker: MakeWorker) -> None:
    scene = Scene(workers=[some_worker(silent=121)], missing_after=120)

    assert codes(reasons(job(), scene)) == ["no-worker"]


@pytest.mark.parametrize(
    ("task", "known"),
    [("resize", False), ("train", True), ("exec", True), ("notify", True)],
)
def test_a_task_is_known_by_a_worker_that_lists_it_or_as_an_executable(
    job: MakeJob, some_worker: MakeWorker, task: str, known: bool
) -> None:
    scene = Scene(workers=[some_worker(tasks=["train"])], executables=frozenset({"notify"}))

    found = codes(reasons(job(task=task), scene))

    assert found == (["none"] if known else ["no-task"])


def test_a_limit_that_is_reached_everywhere_keeps_a_job(
    job: MakeJob, some_worker: MakeWorker
) -> None:
    running = [job(id=1, state="active", worker=1), job(id=2, state="active", worker=2)]
    both = [some_worker(number, jobs=4, limits={"resize": 1}) for number in (1, 2)]

    assert reason(job(), Scene(workers=both, active=running)).text == "limit: 2 of 2 resize run"
    assert codes(reasons(job(), Scene(workers=both, active=running[:1]))) == ["none"]
    assert codes(reasons(job(task="other"), Scene(workers=both, active=running))) == ["none"]


def test_busy_slots_keep_a_job_unless_its_priority_may_use_a_spare_one(
    job: MakeJob, some_worker: MakeWorker
) -> None:
    scene = Scene(workers=[some_worker(jobs=2, spare=1, jobs_now=(1, 2))])

    assert reason(job(), scene).text == "all 2 slots busy"
    assert codes(reasons(job(priority=1), scene)) == ["none"]


def test_jobs_ahead_are_those_of_its_queue_that_go_first(
    job: MakeJob, some_worker: MakeWorker
) -> None:
    ready = {"default": [(-1, 30), (0, 1), (0, 17), (1, 2)], "b": [(0, 3)]}
    scene = Scene(workers=[some_worker()], ready=lambda queue: ready[queue])

    assert reason(job(), scene).text == "2 jobs ahead"
    assert reason(job(id=1), scene).text == "1 job ahead"
    assert reason(job(id=30, priority=1), scene).code == "none"
    many = [(0, number) for number in range(1, AHEAD + 1)]
    crowded = Scene(workers=[some_worker()], ready=lambda _: many)
    assert reason(job(id=5000), crowded).text == "1000 or more jobs ahead"


def test_why_has_all_of_them_and_a_table_the_first(job: MakeJob, some_worker: MakeWorker) -> None:
    scene = Scene(parents={1: job(id=1)}, workers=[some_worker()], writable=False)
    waiting = job(parents=[1], delayed=NOW + 60, queue="gpu")

    found = codes(reasons(waiting, scene))

    assert found == ["spool-readonly", "parents", "delayed", "no-worker"]
    assert reason(waiting, scene).code == "spool-readonly"
    assert found == sorted(found, key=CODES.index)


def test_a_view_says_what_an_inactive_job_waits_for(job: MakeJob) -> None:
    parents = {1: job(id=1)}

    assert view(job(), {}) == "ready"
    assert view(job(delayed=NOW + 1), {}) == "delayed"
    assert view(job(parents=[1], delayed=NOW + 1), parents) == "blocked"
    assert view(job(state="failed", parents=[1]), parents) == "failed"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (4.9, "4s"), (60, "1m"), (759, "12m"), (11_100, "3h05m"), (180_000, "2d")],
)
def test_an_age_is_read_at_a_glance(seconds: float, text: str) -> None:
    assert age(seconds) == text
