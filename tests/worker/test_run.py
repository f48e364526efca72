"""The run loop: what it claims, how much at once, and what it says about it."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from spoolq import Job, Spool, Worker, current_job
from spoolq.clock import SystemClock
from spoolq.errors import InvalidValue, SpoolUnavailable
from spoolq.loop.crew import Crew
from spoolq.loop.plan import DEFAULTS, Terms
from spoolq.memory import MemoryBackend
from spoolq.model import State
from spoolq.performing import Performers
from spoolq.runners import Outcome, Run
from spoolq.runners.program import Over
from tests.client.world import info
from tests.support import wait_for
from tests.worker.conftest import Running

BURST = Terms(burst=True)


def states(spool: Spool) -> list[State]:
    """The states of all jobs, oldest first."""
    return [job.state for job in spool.jobs()][::-1]


def ended(job: Job) -> bool:
    return info(job).state == "finished"


def hold(path: str) -> None:
    """A job that says it has started, and ends when it is let go."""
    Path(f"{path}.{os.getpid()}.started").touch()
    while not Path(path).exists():
        time.sleep(0.005)


class Gate:
    """Where jobs of the task `hold` wait."""

    def __init__(self, spool: Spool, tmp_path: Path) -> None:
        spool.add_task("hold", hold)
        self.path = tmp_path / "gate"
        self._spool = spool

    def enqueue(self, **options: Any) -> Job:
        return self._spool.enqueue("hold", [str(self.path)], **options)

    @property
    def started(self) -> int:
        return len(list(self.path.parent.glob("gate.*.started")))

    def open(self) -> None:
        self.path.touch()


@pytest.fixture
def gate(spool: Spool, tmp_path: Path) -> Gate:
    return Gate(spool, tmp_path)


def active(spool: Spool) -> set[int]:
    return {job.id for job in spool.jobs(states=["active"])}


@pytest.mark.minion(379, 395, 405)
def test_a_worker_performs_what_there_is_and_leaves(spool: Spool) -> None:
    spool.add_task("add", lambda a, b: a + b)
    spool.add_task("divide", lambda a, b: a / b)
    jobs = [spool.enqueue("add", [1, n]) for n in range(5)] + [spool.enqueue("divide", [1, 0])]
    worker = spool.worker()

    assert worker.run(BURST) is worker

    assert [info(job).result for job in jobs[:5]] == [1, 2, 3, 4, 5]
    assert info(jobs[5]).state == "failed"
    assert worker.status["performed"] == 6
    assert (worker.id, list(spool.workers())) == (None, [])


@pytest.mark.minion(380, 381, 383)
def test_everybody_sees_how_a_worker_works(spool: Spool, running: Running) -> None:
    worker = running(spool, jobs=2, custom="yes")

    [shown] = spool.workers()

    assert shown.status.keys() == {*DEFAULTS, "custom"}
    assert (shown.status["jobs"], shown.status["custom"]) == (2, "yes")
    assert shown.id == worker.id


@pytest.mark.minion(382)
def test_four_jobs_at_once_are_the_default_and_seen_at_the_first_wait(spool: Spool) -> None:
    spool.add_task("noop", lambda: None)
    worker, seen = spool.worker(), []
    worker.on("wait", lambda w: seen.append(w.status["jobs"]))

    worker.run(BURST)

    assert seen[0] == 4


@pytest.mark.minion(320)
def test_wait_comes_before_each_look_and_busy_when_there_is_no_room(spool: Spool) -> None:
    spool.add_task("noop", lambda: None)
    spool.enqueue_many(["noop"] * 2)
    worker, seen = spool.worker(jobs=1, spare=0), []
    for event in ("wait", "busy"):
        worker.on(event, lambda _, event=event: seen.append(event))
    worker.on("dequeue", lambda _, job: seen.append(job.id))

    worker.run(BURST)

    looks = [entry for entry in seen if entry != "busy"]
    assert looks[:5] == ["wait", 1, "wait", 2, "wait"]
    assert seen.index("busy") == 2


@pytest.mark.minion(385, 386, 387)
def test_a_spare_slot_takes_only_jobs_of_high_priority(
    spool: Spool, gate: Gate, running: Running
) -> None:
    low = [gate.enqueue() for _ in range(3)]
    running(spool, jobs=2, spare=1)
    wait_for(lambda: gate.started == 2)

    high = gate.enqueue(priority=1)
    wait_for(lambda: gate.started == 3)
    higher = gate.enqueue(priority=50)

    assert active(spool) == {low[0].id, low[1].id, high.id}
    assert info(higher).state == "inactive"
    gate.open()
    wait_for(lambda: states(spool) == ["finished"] * 5)


@pytest.mark.minion(388)
def test_a_task_with_a_limit_of_none_is_left_to_others(spool: Spool) -> None:
    spool.add_task("foo", lambda: None)
    spool.add_task("bar", lambda: None)
    spool.enqueue("foo")
    spool.enqueue("bar")

    spool.worker(limits={"foo": 0}).run(BURST)

    assert states(spool) == ["inactive", "finished"]


@pytest.mark.minion(389, 391, 393)
def test_a_task_at_its_limit_holds_up_no_other_and_costs_nothing(
    spool: Spool, gate: Gate, running: Running
) -> None:
    spool.add_task("other", lambda: None)
    for _ in range(3):
        gate.enqueue()
    worker = running(spool, limits={"hold": 1})
    wait_for(lambda: gate.started == 1)
    other = spool.enqueue("other")
    wait_for(lambda: info(other).state == "finished")

    waits: list[Worker] = []
    worker.on("wait", waits.append)
    before = time.process_time()
    threading.Event().wait(0.5)

    assert time.process_time() - before < 0.3
    assert len(waits) < 20
    assert gate.started == 1
    gate.open()
    wait_for(lambda: states(spool) == ["finished"] * 4)


@pytest.mark.minion(393)
def test_a_worker_that_can_perform_nothing_sleeps(tmp_path: Path, running: Running) -> None:
    spool = Spool("memory:")
    spool.enqueue("unknown")
    running(spool)
    before = time.process_time()

    threading.Event().wait(0.5)

    assert time.process_time() - before < 0.2


@pytest.mark.minion(338, 394)
def test_a_job_is_recorded_the_moment_it_ends_and_the_next_one_starts(
    spool: Spool, gate: Gate, running: Running
) -> None:
    first = gate.enqueue()
    running(spool, jobs=1, dequeue_timeout=60)
    wait_for(lambda: gate.started == 1)
    spool.add_task("next", time.time)
    after = spool.enqueue("next")

    gate.open()
    opened = time.time()
    wait_for(lambda: info(after).state == "finished")

    # At once, and not at the end of the wait for a job.
    assert (info(first).finished or 0) - opened < 10
    assert info(after).result - opened < 10


def test_an_idle_worker_starts_a_job_at_once(spool: Spool, running: Running) -> None:
    spool.add_task("now", time.time)
    running(spool, dequeue_timeout=60)
    threading.Event().wait(0.3)

    took = []
    for _ in range(5):
        begun = time.time()
        job = spool.enqueue("now")
        wait_for(partial(ended, job))
        took.append(info(job).result - begun)

    assert min(took) < 0.5


def test_a_delayed_job_is_started_by_a_timer(spool: Spool, running: Running) -> None:
    spool.add_task("now", time.time)
    running(spool, dequeue_timeout=60)

    job = spool.enqueue("now", delay=0.4)
    wait_for(lambda: info(job).state == "finished")

    assert 0 <= info(job).result - info(job).delayed < 5


def test_a_child_starts_when_its_parent_has_ended(spool: Spool, running: Running) -> None:
    spool.add_task("now", time.time)
    parent = spool.enqueue("now", delay=0.2)
    child = spool.enqueue("now", parents=[parent])
    running(spool, dequeue_timeout=60)

    wait_for(lambda: info(child).state == "finished")

    assert info(child).result - (info(parent).finished or 0) < 5


@pytest.mark.minion(434)
def test_a_worker_takes_jobs_from_its_queues_only(spool: Spool) -> None:
    spool.add_task("noop", lambda: None)
    for queue in ("default", "a", "b"):
        spool.enqueue("noop", queue=queue)

    spool.worker(queues=["a", "b"]).run(BURST)

    assert states(spool) == ["inactive", "finished", "finished"]


def test_a_worker_ends_after_so_many_jobs(spool: Spool) -> None:
    spool.add_task("noop", lambda: None)
    spool.enqueue_many(["noop"] * 5)

    spool.worker().run(Terms(max_jobs=3))

    assert states(spool).count("finished") == 3


def test_a_worker_ends_after_idling_for_so_long(spool: Spool) -> None:
    spool.add_task("noop", lambda: None)
    spool.enqueue("noop")
    begun = time.monotonic()

    spool.worker().run(Terms(idle_exit=0.2))

    assert states(spool) == ["finished"]
    assert 0.2 <= time.monotonic() - begun < 10


def test_outcomes_that_are_ready_together_are_committed_together() -> None:
    batches: list[int] = []

    class Counting(MemoryBackend):
        def finish_jobs(self, outcomes: Any) -> list[bool]:
            outcomes = list(outcomes)
            batches.append(len(outcomes))
            return super().finish_jobs(outcomes)

    class Ended:
        pid = 0

        def poll(self) -> Outcome:
            return Outcome(True)

        def wait(self, timeout: float | None = None) -> Outcome:
            return Outcome(True)

        def kill(self, signal: int) -> None:
            pass

        def pause(self) -> bool:
            return False

        def resume(self) -> None:
            pass

        def fileno(self) -> None:
            return None

    spool = Spool(Counting())
    spool.add_task("noop", lambda: None)
    spool.enqueue_many(["noop"] * 3)
    worker = spool.worker().register()
    crew = Crew(spool.backend, select.poll(), SystemClock())
    while job := worker.dequeue(0):
        crew.add(job, Ended())

    crew.commit()

    assert states(spool) == ["finished"] * 3
    assert batches == [3]


class UnderWay(Over):
    """A run that ends when it is told to."""

    outcome: Outcome | None = None

    def __init__(self) -> None:
        super().__init__(Outcome(True))

    def poll(self) -> Outcome | None:  # type: ignore[override]
        return self.outcome


def test_jobs_that_run_at_once_have_slots_of_their_own(spool: Spool) -> None:
    spool.add_task("noop", lambda: None)
    spool.enqueue_many(["noop"] * 5)
    worker = spool.worker().register()
    crew = Crew(spool.backend, select.poll(), SystemClock())
    runs: list[UnderWay] = []

    def begin(job: Job) -> Run:
        del job
        runs.append(UnderWay())
        return runs[-1]

    def start() -> int | None:
        job = worker.dequeue(0)
        assert job is not None
        crew.start(job, begin)
        return job.slot

    def refuse(job: Job) -> Run:
        raise OSError(f"no process for {job.id}")

    assert [start(), start(), start()] == [0, 1, 2]
    runs[1].outcome = Outcome(True)
    crew.collect([])

    job = worker.dequeue(0)
    assert job is not None
    with pytest.raises(OSError, match="no process"):
        crew.start(job, refuse)
    assert (job.slot, start()) == (1, 1)


def test_a_task_knows_in_which_slot_it_runs(spool: Spool) -> None:
    spool.add_task("slot", lambda: os.environ["SPOOLQ_SLOT"])
    job = spool.enqueue("slot")

    spool.worker(jobs=3).run(BURST)

    assert info(job).result == "0"


def test_a_result_that_no_spool_can_hold_fails_its_own_job_only(spool: Spool) -> None:
    spool.add_task("good", lambda: 1)
    spool.add_task("bad", object)
    for task in ("good", "bad", "good"):
        spool.enqueue(task)

    spool.worker().run(BURST)

    assert states(spool) == ["finished", "failed", "finished"]


@pytest.mark.minion(384)
def test_a_worker_repairs_when_it_starts(spool: Spool) -> None:
    spool.add_task("noop", lambda: None)
    other = spool.worker().register()
    job = spool.enqueue("noop")
    assert other.dequeue(0) is not None
    other.unregister()

    spool.worker().run(BURST)

    assert (info(job).state, info(job).result) == ("failed", "Worker went away")


@pytest.mark.minion(396, 397)
def test_int_ends_an_idle_worker_at_once(spool: Spool) -> None:
    worker = spool.worker(dequeue_timeout=60)
    sent: list[float] = []

    def interrupt() -> None:
        wait_for(lambda: worker.info() is not None)
        threading.Event().wait(0.3)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    worker.run()
    took = time.monotonic() - sent[0]
    thread.join()

    assert took < 5  # and not at the end of a minute; the benchmarks say how fast
    assert worker.id is None


@pytest.mark.minion(392, 396, 399)
def test_a_worker_that_stops_lets_its_jobs_end_beats_and_obeys(
    spool: Spool, gate: Gate, running: Running
) -> None:
    running_job = gate.enqueue()
    worker = running(spool, Terms(), heartbeat_interval=0.05, command_interval=0.05)
    wait_for(lambda: gate.started == 1)
    obeyed: list[object] = []
    worker.commands["hello"] = lambda _, *args: obeyed.append(args)

    worker.stop()
    late = gate.enqueue()
    notified = info_of(worker)
    spool.broadcast("hello", [1])
    wait_for(lambda: obeyed and info_of(worker) > notified)
    gate.open()
    wait_for(lambda: worker.id is None)

    assert (info(running_job).state, info(late).state) == ("finished", "inactive")


def info_of(worker: Worker) -> float:
    shown = worker.info()
    assert shown is not None
    return shown.notified


@pytest.mark.minion(398)
def test_quit_kills_what_runs(spool: Spool, gate: Gate) -> None:
    job, again = gate.enqueue(), gate.enqueue(attempts=2)
    worker = spool.worker()

    def quit_then() -> None:
        wait_for(lambda: gate.started == 2)
        os.kill(os.getpid(), signal.SIGQUIT)

    thread = threading.Thread(target=quit_then, daemon=True)
    thread.start()
    worker.run()
    thread.join()

    assert info(job).state == "failed"
    assert info(job).result == "Job terminated unexpectedly (exit code: 0, signal: 9)"
    assert (info(again).state, info(again).retries) == ("inactive", 1)


def test_a_second_int_kills_what_runs(spool: Spool, gate: Gate) -> None:
    job = gate.enqueue()
    worker = spool.worker()

    def interrupt_twice() -> None:
        wait_for(lambda: gate.started == 1)
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: "busy" in seen)
        os.kill(os.getpid(), signal.SIGINT)

    seen: list[str] = []
    worker.on("busy", lambda _: seen.append("busy"))
    thread = threading.Thread(target=interrupt_twice, daemon=True)
    thread.start()
    worker.run()
    thread.join()

    assert info(job).result == "Job terminated unexpectedly (exit code: 0, signal: 9)"


def test_what_does_not_end_within_the_grace_is_given_back(
    spool: Spool, gate: Gate, running: Running
) -> None:
    job = gate.enqueue()
    worker = running(spool, Terms(grace=0.1))
    wait_for(lambda: gate.started == 1)

    worker.stop()
    wait_for(lambda: worker.id is None)

    shown = info(job)
    assert (shown.state, shown.retries, shown.attempts) == ("inactive", 0, 1)
    gate.open()
    spool.worker().run(BURST)
    assert info(job).state == "finished"


@pytest.mark.parametrize(
    ("told", "state", "attempts"),
    [("cancelled", "failed", 1), ("to make way for the end of the worker", "inactive", 2)],
)
def test_a_task_that_ends_when_it_is_told_to_has_attempts_left_only_if_it_was_not_cancelled(
    file_spool: Spool, tmp_path: Path, running: Running, told: str, state: State, attempts: int
) -> None:
    ready = tmp_path / "ready"

    def work() -> None:
        while True:
            job = current_job()
            assert job is not None
            job.check_cancelled()
            ready.touch()
            time.sleep(0.005)

    file_spool.add_task("work", work)
    job = file_spool.enqueue("work", attempts=3)
    worker = running(file_spool, Terms(grace=0, release=False), command_interval=0.01)
    wait_for(ready.exists)

    if told == "cancelled":
        file_spool.broadcast("kill", ["TERM", job.id])
    else:
        worker.stop()

    wait_for(lambda: info(job).state == state)
    assert info(job).attempts == attempts


def test_what_ends_well_within_the_grace_is_finished(
    spool: Spool, gate: Gate, running: Running
) -> None:
    job = gate.enqueue()
    worker = running(spool, Terms(grace=30))
    wait_for(lambda: gate.started == 1)

    worker.stop()
    gate.open()
    wait_for(lambda: worker.id is None)

    assert info(job).state == "finished"


@pytest.mark.minion(400)
def test_a_listener_may_pause_and_end_the_worker(spool: Spool, gate: Gate) -> None:
    gate.enqueue()
    worker = spool.worker(jobs=1, spare=0)

    def pause(worker: Worker) -> None:
        if worker.status["jobs"]:
            worker.status.update(jobs=0, spare=0)
            os.kill(os.getpid(), signal.SIGINT)
            gate.open()

    worker.on("busy", pause)

    worker.run()

    assert worker.id is None
    assert states(spool) == ["finished"]


@pytest.mark.minion(402)
def test_what_a_listener_raises_ends_the_worker_and_its_jobs(spool: Spool, gate: Gate) -> None:
    gate.enqueue()
    worker = spool.worker(jobs=1, spare=0)

    def explode(_: Worker) -> None:
        wait_for(lambda: gate.started == 1)
        raise ZeroDivisionError

    worker.on("busy", explode)

    with pytest.raises(ZeroDivisionError):
        worker.run()

    assert list(spool.workers()) == []
    gate.open()


@pytest.mark.minion(407)
def test_two_workers_share_the_work(spool: Spool, running: Running) -> None:
    spool.add_task("noop", lambda: None)
    running(spool)
    running(spool)

    jobs = [spool.enqueue("noop") for _ in range(20)]
    wait_for(lambda: states(spool) == ["finished"] * 20)

    assert all(info(job).retries == 0 for job in jobs)


def test_a_wrong_status_or_runner_is_refused_before_anything_is_registered(spool: Spool) -> None:
    with pytest.raises(InvalidValue):
        spool.worker(jobs=-1).run()
    with pytest.raises(InvalidValue):
        spool.worker().run(runner="nonsense")

    assert list(spool.workers()) == []


def test_a_claim_whose_process_cannot_be_made_is_given_back(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.add_task("noop", lambda: None)
    job = spool.enqueue("noop")
    refusals = iter([OSError(11, "no more processes")])
    start = Performers.start

    def sometimes(self: Performers, job: Job) -> Run:
        for refusal in refusals:
            raise refusal
        return start(self, job)

    monkeypatch.setattr(Performers, "start", sometimes)

    spool.worker().run(Terms(max_jobs=1))

    shown = info(job)
    assert (shown.state, shown.retries) == ("finished", 0)


@pytest.mark.minion(403)
def test_a_spool_that_stays_out_of_reach_ends_the_worker(gate_memory: Spool) -> None:
    backend = gate_memory.backend
    register = backend.register_worker
    calls = iter([register])

    def refuse(*args: Any, **options: Any) -> int:
        for call in calls:
            return call(*args, **options)
        raise SpoolUnavailable("stale file handle")

    backend.register_worker = refuse  # type: ignore[method-assign]
    begun = time.monotonic()

    with pytest.raises(SpoolUnavailable):
        gate_memory.worker().run()

    assert time.monotonic() - begun < 10


@pytest.fixture
def gate_memory() -> Spool:
    return Spool(MemoryBackend(missing_after=0.9))
