"""Every operation of a spool, each in a small world of its own.

A scenario prepares a spool and then acts. The same functions run on the memory backend, which
says what is right: what each act answers, and what is to be seen after it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spoolq import environments
from spoolq.backend import Backend
from spoolq.errors import DuplicateJob
from spoolq.files.environments import Environments
from tests.support import FakeClock, claim, failed_job, finished_job

if TYPE_CHECKING:
    from spoolq.settings import Mode

GONE = 121.0  # seconds after which a worker that does not beat is declared dead


@dataclass
class World:
    """What a scenario acts on. `root` is empty for the memory backend."""

    backend: Backend
    clock: FakeClock
    root: str = ""
    memo: dict[str, Any] = field(default_factory=dict)

    def worker(self) -> int:
        """A registered worker, the same one each time."""
        if "worker" not in self.memo:
            self.memo["worker"] = self.backend.register_worker()
        return int(self.memo["worker"])

    def drop(self, name: str, content: str, *, age: float = 0) -> None:
        """Put a file into the inbox, as `cp` does; `age` seconds ago."""
        if self.root:
            path = f"{self.root}/inactive/{name}"
            with open(path, "w", encoding="utf-8") as file:
                file.write(content)
            then = os.lstat(path).st_mtime - age
            os.utime(path, (then, then))

    def mv_to_inbox(self, state: str, id: int) -> None:
        """`mv STATE/*/ID.* inactive/`."""
        if self.root:
            for base, _, files in os.walk(f"{self.root}/{state}"):
                for name in files:
                    if name.startswith(f"{id}."):
                        os.rename(f"{base}/{name}", f"{self.root}/inactive/{name}")

    def next_id(self, number: int) -> None:
        """Let the next job be this one, as if those before it had come and gone."""
        if self.root:
            [name] = [name for name in os.listdir(f"{self.root}/ids") if name.startswith("job.")]
            os.rename(f"{self.root}/ids/{name}", f"{self.root}/ids/job.{number}.0.test")
            self.backend._jobs._last = ""  # type: ignore[attr-defined]
        else:
            self.backend._last_job = number - 1  # type: ignore[attr-defined]


Act = Callable[[World], Any]


@dataclass(frozen=True, eq=False)
class Scenario:
    """A world, and what is done in it.

    later       seconds that pass before somebody looks
    piecemeal   an act is several changes, each of which may have happened
    gaps        ids may be burnt before the ones that count
    lasting     for each act, whether what it answers survives power loss; by default it does
    set_aside   something is moved to corrupt/, on purpose
    fresh       there is no spool yet
    renewed     names are used again, on purpose
    also        prepares a world, in the memory backend, that may be seen as well
    options     of the backend
    """

    name: str
    prepare: Act
    acts: tuple[Act, ...]
    later: float = 0
    piecemeal: bool = False
    gaps: bool = False
    lasting: tuple[bool, ...] = ()
    set_aside: bool = False
    fresh: bool = False
    mode: Mode = "single"
    renewed: bool = False
    also: Act | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def lasts(self, act: int) -> bool:
        """Whether what this act answered survives power loss."""
        return self.lasting[act] if self.lasting else True


SCENARIOS: list[Scenario] = []


def scenario(*acts: Act, **options: Any) -> Callable[[Act], Act]:
    """Make a scenario of the function that prepares it, called as its name says."""

    def add(prepare: Act) -> Act:
        name = prepare.__name__.replace("_", "-")
        SCENARIOS.append(Scenario(name, prepare, acts, **options))
        return prepare

    return add


# -- acts ----------------------------------------------------------------------------------------


def enqueue(*args: Any, **options: Any) -> Act:
    """Enqueue a job; parents are named by their keys in the memo."""

    def issue(world: World) -> int:
        world.memo["last"] = world.backend.enqueue("task", list(args), **_named(world, options))
        return int(world.memo["last"])

    return issue


def _named(world: World, options: dict[str, Any]) -> dict[str, Any]:
    if "parents" not in options:
        return options
    return {**options, "parents": [world.memo[key] for key in options["parents"]]}


def enqueue_many(count: int, **options: Any) -> Act:
    """Enqueue several at once."""

    def issue(world: World) -> list[int]:
        jobs = [("task", [number]) for number in range(count)]
        return world.backend.enqueue_many(jobs, **_named(world, options))

    return issue


def dequeue(**options: Any) -> Act:
    """Claim a job for the worker."""

    def act(world: World) -> Any:
        claimed = world.backend.dequeue(world.worker(), **options)
        if claimed:
            world.memo["claimed"] = claimed["id"]
            world.memo["retries"] = claimed["retries"]
        return claimed

    return act


def finish(world: World) -> bool:
    """Finish what was claimed."""
    id_, retries = world.memo.get("claimed", 1), world.memo.get("retries", 0)
    return world.backend.finish_job(id_, retries, {"answer": 42})


def fail(world: World) -> bool:
    """Fail what was claimed."""
    id_, retries = world.memo.get("claimed", 1), world.memo.get("retries", 0)
    return world.backend.fail_job(id_, retries, "broken")


def finish_all(world: World) -> list[bool]:
    """Settle everything claimed at once, and something stale with it."""
    outcomes = [(id_, 0, f"result of {id_}") for id_ in world.memo["all"]]
    return world.backend.finish_jobs([*outcomes, (world.memo["all"][0], 7, "stale")])


def retry(**options: Any) -> Act:
    """Retry the job of the scenario."""
    return lambda world: world.backend.retry_job(world.memo["job"], 0, **options)


def remove(world: World) -> bool:
    """Remove the job of the scenario."""
    return world.backend.remove_job(world.memo["job"])


def remove_last(world: World) -> bool:
    """Remove what was enqueued last."""
    return world.backend.remove_job(world.memo.get("last", 1))


def note(world: World) -> bool:
    """Annotate the job of the scenario."""
    return world.backend.note(world.memo["job"], {"progress": 50})


def repair(world: World) -> None:
    """Repair."""
    world.backend.repair()


def schedule(name: str, cron: str = "*/5 * * * *", **options: Any) -> Act:
    """Store a schedule."""
    return lambda world: world.backend.schedule(name, cron, "task", [name], **options)


def unschedule(name: str) -> Act:
    """Remove a schedule."""
    return lambda world: world.backend.unschedule(name)


def pause(name: str) -> Act:
    """Pause a schedule."""
    return lambda world: world.backend.pause_schedule(name)


def resume(name: str) -> Act:
    """Resume a schedule."""
    return lambda world: world.backend.resume_schedule(name)


def dispatch(world: World) -> Any:
    """Dispatch; what was enqueued."""
    return world.backend.dispatch_schedules()


def look(world: World) -> int:
    """List, which takes in what lies in the inbox."""
    return world.backend.list_jobs().total


# -- enqueue -------------------------------------------------------------------------------------


@scenario(enqueue(), fresh=True)
def first_use(world: World) -> None:
    """There is no spool yet."""


@scenario(enqueue(), fresh=True, mode="group")
def first_use_by_a_group(world: World) -> None:
    """Everything made is given the modes of a group."""


@scenario(enqueue("first"), enqueue("second"))
def enqueue_twice(world: World) -> None:
    pass


def add_in(env: dict[str, str]) -> Act:
    """Add a command line, as `spoolq add` does."""

    def add(world: World) -> int:
        name: str | None = environments.name_of(environments.encode(env))
        if world.root:
            backend: Any = world.backend
            kept = Environments(backend._fs, backend._layout)
            name = kept.keep(env, os.stat("/proc/self").st_mtime)
        return world.backend.enqueue("exec", ["true"], {"env": name})

    return add


@scenario(add_in({"A": "1"}), add_in({"A": "1"}))
def add_in_an_environment(world: World) -> None:
    """The first one makes it, the second one finds it."""


@scenario(enqueue(1))
def enqueue_into_a_bucket_that_is_there(world: World) -> None:
    enqueue(0)(world)


@scenario(enqueue(queue="a/b \n", priority=-7, notes={"who": "me"}, attempts=3, timeout=5))
def enqueue_with_options(world: World) -> None:
    enqueue(0)(world)


@scenario(enqueue(delay=10))
def enqueue_delayed(world: World) -> None:
    pass


@scenario(enqueue(expire=10), later=11)
def enqueue_expiring(world: World) -> None:
    pass


@scenario(enqueue(parents=["first", "second"]))
def enqueue_a_child(world: World) -> None:
    world.memo["first"] = world.backend.enqueue("parent")
    world.memo["second"] = world.backend.enqueue("parent")


@scenario(enqueue(parents=["done"], delay=5))
def enqueue_a_child_of_a_finished_job(world: World) -> None:
    world.memo["done"] = finished_job(world.backend, world.worker())


@scenario(enqueue(parents=["failed"], lax=True), enqueue(parents=["failed"]))
def enqueue_children_of_a_failed_job(world: World) -> None:
    world.memo["failed"] = failed_job(world.backend, world.worker())


@scenario(enqueue(parents=["brief"]), later=61)
def enqueue_a_child_of_an_expiring_job(world: World) -> None:
    world.memo["brief"] = world.backend.enqueue("parent", expire=60)


@scenario(enqueue_many(4))
def enqueue_many_across_buckets(world: World) -> None:
    world.next_id(254)


@scenario(enqueue_many(3, delay=30, priority=4), later=31)
def enqueue_many_delayed(world: World) -> None:
    pass


@scenario(enqueue_many(3, parents=["first", "second"]))
def enqueue_many_children(world: World) -> None:
    world.memo["first"] = world.backend.enqueue("parent")
    world.memo["second"] = world.backend.enqueue("parent", expire=60)


# -- unique jobs and limits ----------------------------------------------------------------------


def enqueue_unique(*args: Any, **options: Any) -> Act:
    """Enqueue a job with the key `k`; the ids that were given out: one, or none."""

    def issue(world: World) -> list[int]:
        try:
            return [world.backend.enqueue("task", list(args), unique="k", **options)]
        except DuplicateJob:
            return []

    return issue


@scenario(enqueue_unique(1), enqueue_unique(2))
def unique_enqueue(world: World) -> None:
    pass


@scenario(enqueue_unique(3), enqueue_unique(4), gaps=True)
def unique_enqueue_after_the_last_one_has_ended(world: World) -> None:
    enqueue_unique(0)(world)
    dequeue()(world)
    assert finish(world)


@scenario(enqueue_unique(1, delay=20, priority=3), later=21)
def unique_enqueue_delayed(world: World) -> None:
    pass


@scenario(enqueue_unique(2, replace=True), gaps=True)
def unique_replace_what_waits(world: World) -> None:
    enqueue_unique(1)(world)


@scenario(enqueue_unique(2, replace=True), finish, gaps=True)
def unique_replace_what_runs(world: World) -> None:
    enqueue_unique(1)(world)
    dequeue()(world)


@scenario(dequeue(), finish, enqueue_unique(2), lasting=(False, True, True), gaps=True)
def unique_dequeue_and_finish(world: World) -> None:
    world.worker()
    enqueue_unique(1)(world)


@scenario(enqueue_unique(2, unique_while="waiting"), finish)
def unique_while_waiting(world: World) -> None:
    enqueue_unique(1, unique_while="waiting")(world)
    dequeue()(world)


@scenario(dequeue(), fail, lasting=(False, True))
def unique_fail_for_good(world: World) -> None:
    world.worker()
    enqueue_unique(1)(world)


@scenario(remove, enqueue_unique(2), gaps=True)
def unique_remove(world: World) -> None:
    [world.memo["job"]] = enqueue_unique(1)(world)


@scenario(retry(), enqueue_unique(2))
def unique_retry_of_a_failed_job(world: World) -> None:
    [world.memo["job"]] = enqueue_unique(1)(world)
    dequeue()(world)
    assert fail(world)


@scenario(enqueue(2, concurrency=("k", 1)), finish, dequeue(), lasting=(True, True, False))
def limit_lets_the_next_one_run(world: World) -> None:
    enqueue(1, concurrency=("k", 1))(world)
    dequeue()(world)


@scenario(enqueue(2, rate=("k", 1, 60)), enqueue(3, rate=("k", 1, 60)), later=61)
def limit_of_a_rate(world: World) -> None:
    enqueue(1, rate=("k", 1, 60))(world)
    dequeue()(world)


# -- dequeue -------------------------------------------------------------------------------------


@scenario(dequeue(), lasting=(False,))
def dequeue_a_job(world: World) -> None:
    world.worker()
    enqueue(1)(world)
    enqueue(2, priority=5)(world)


@scenario(dequeue(), lasting=(False,), later=GONE)
def dequeue_for_a_worker_that_dies(world: World) -> None:
    world.worker()
    enqueue(1, attempts=2)(world)


@scenario(dequeue(id=1), lasting=(False,))
def dequeue_a_certain_job(world: World) -> None:
    world.worker()
    enqueue_many(3)(world)


@scenario(dequeue(), lasting=(False,))
def dequeue_of_a_batch(world: World) -> None:
    world.worker()
    enqueue_many(3)(world)


@scenario(dequeue(), dequeue(), lasting=(False, False))
def dequeue_promotes_what_is_due(world: World) -> None:
    world.worker()
    enqueue(1, delay=10)(world)
    enqueue_many(2, delay=10)(world)
    enqueue(2, delay=100)(world)
    world.clock.advance(20)


@scenario(dequeue(), lasting=(False,))
def dequeue_acts_on_an_alarm(world: World) -> None:
    world.worker()
    world.memo["brief"] = world.backend.enqueue("parent", expire=60, delay=200)
    enqueue(parents=["brief"])(world)
    world.clock.advance(70)


def _its_worker_dies(world: World) -> None:
    world.memo["job"] = finished_job(world.backend, world.worker())
    enqueue(parents=["job"])(world)
    dequeue()(world)
    assert world.backend.retry_job(world.memo["job"], 0, delay=50)


# Dead between the claim and giving it back: the attempt counts as that of any dead worker.
@scenario(dequeue(), lasting=(False,), later=GONE, also=_its_worker_dies)
def dequeue_gives_back_what_may_not_run(world: World) -> None:
    world.memo["job"] = finished_job(world.backend, world.worker())
    world.memo["other"] = enqueue(parents=["job"])(world)
    assert world.backend.retry_job(world.memo["job"], 0, delay=50)


def _look_often(world: World) -> None:
    for _ in range(66):
        assert world.backend.dequeue(world.worker()) is None


@scenario(_look_often, enqueue(), dequeue(), lasting=(False, True, False))
def dequeue_removes_lanes_that_stay_dry(world: World) -> None:
    world.worker()
    enqueue_many(2)(world)
    enqueue(priority=3)(world)
    enqueue(priority=3, delay=1)(world)
    world.clock.advance(4000)
    for _ in range(4):
        dequeue()(world)
        assert finish(world)


# -- outcomes ------------------------------------------------------------------------------------


@scenario(dequeue(), finish, lasting=(False, True))
def dequeue_and_finish(world: World) -> None:
    world.worker()
    enqueue_many(2)(world)


@scenario(finish)
def finish_by_another_process(world: World) -> None:
    enqueue()(world)
    dequeue()(world)


@scenario(dequeue(), finish, lasting=(False, True))
def finish_releases_children(world: World) -> None:
    world.memo["job"] = world.backend.enqueue("parent")
    world.memo["other"] = world.backend.enqueue("parent", priority=-1)
    enqueue("waits", parents=["job"])(world)
    enqueue("waits for both", parents=["other", "job"])(world)
    enqueue("comes later", parents=["job"], delay=9, queue="else")(world)
    enqueue_many(2, parents=["job"])(world)
    world.worker()


@scenario(finish_all, piecemeal=True)
def finish_several(world: World) -> None:
    enqueue_many(3)(world)
    world.memo["all"] = [claim(world.backend, world.worker())["id"] for _ in range(3)]


@scenario(dequeue(), fail, lasting=(False, True))
def fail_for_good(world: World) -> None:
    world.memo["job"] = world.backend.enqueue("parent")
    enqueue(parents=["job"], lax=True)(world)
    world.worker()


@scenario(dequeue(), fail, dequeue(), lasting=(False, True, False))
def fail_and_try_again_at_once(world: World) -> None:
    enqueue(attempts=2)(world)
    world.worker()


SCENARIOS[-1].options["backoff"] = lambda _: 0


@scenario(dequeue(), fail, lasting=(False, True))
def fail_and_try_again_later(world: World) -> None:
    enqueue(attempts=2, priority=2)(world)
    world.worker()


# -- retry, remove, note -------------------------------------------------------------------------


@scenario(retry())
def retry_an_inactive_job(world: World) -> None:
    world.memo["job"] = enqueue(delay=100)(world)


@scenario(retry(delay=5, queue="else", priority=3, attempts=4, expire=50))
def retry_an_inactive_job_with_options(world: World) -> None:
    world.memo["job"] = enqueue()(world)


@scenario(retry(), finish)
def retry_an_active_job(world: World) -> None:
    world.memo["job"] = enqueue()(world)
    dequeue()(world)


@scenario(retry())
def retry_a_finished_parent(world: World) -> None:
    world.memo["job"] = finished_job(world.backend, world.worker())
    enqueue(parents=["job"])(world)


@scenario(retry(delay=20))
def retry_a_failed_job(world: World) -> None:
    world.memo["job"] = failed_job(world.backend, world.worker())


@scenario(lambda world: world.backend.retry_job(world.memo["job"], 0, parents=[1, 2]))
def retry_with_parents(world: World) -> None:
    enqueue()(world)
    enqueue()(world)
    world.memo["job"] = failed_job(world.backend, world.worker(), priority=1)


@scenario(remove)
def remove_an_inactive_parent(world: World) -> None:
    world.memo["job"] = enqueue()(world)
    enqueue(parents=["job"])(world)
    enqueue_many(2, parents=["job"])(world)


@scenario(remove)
def remove_a_waiting_child(world: World) -> None:
    world.memo["parent"] = enqueue()(world)
    world.memo["job"] = enqueue(parents=["parent"])(world)


@scenario(enqueue(), remove_last, enqueue(), remove_last)
def remove_what_has_just_been_enqueued(world: World) -> None:
    pass


@scenario(remove)
def remove_a_failed_job(world: World) -> None:
    world.memo["job"] = failed_job(world.backend, world.worker())


@scenario(dequeue(), finish, remove, lasting=(False, True, True))
def remove_what_has_just_finished(world: World) -> None:
    world.memo["job"] = enqueue()(world)
    world.worker()


@scenario(note, remove)
def remove_what_has_just_been_noted(world: World) -> None:
    world.memo["job"] = enqueue()(world)


@scenario(dequeue(), finish, retry(), remove, lasting=(False, True, True, True))
def remove_what_has_just_been_retried(world: World) -> None:
    world.memo["job"] = enqueue()(world)
    world.worker()


@scenario(note, note, dequeue(), lasting=(True, True, False))
def note_on_an_inactive_job(world: World) -> None:
    world.memo["job"] = enqueue(delay=10)(world)
    world.clock.advance(11)
    world.worker()


@scenario(note)
def note_on_a_job_of_a_batch(world: World) -> None:
    world.memo["job"] = enqueue_many(2)(world)[0]


@scenario(dequeue(), note, finish, lasting=(False, True, True))
def note_on_an_active_job(world: World) -> None:
    world.memo["job"] = enqueue()(world)
    world.worker()


@scenario(note)
def note_on_a_finished_job(world: World) -> None:
    world.memo["job"] = finished_job(world.backend, world.worker())


# -- held jobs -----------------------------------------------------------------------------------


def hold(world: World) -> bool:
    """Hold the job of the scenario."""
    return world.backend.hold_job(world.memo["job"])


def unhold(world: World) -> bool:
    """Release the job of the scenario."""
    return world.backend.unhold_job(world.memo["job"])


@scenario(enqueue(hold=True), dequeue(), lasting=(True, False))
def enqueue_held(world: World) -> None:
    world.worker()


@scenario(enqueue_many(3, hold=True, parents=["first"]))
def enqueue_many_held_children(world: World) -> None:
    world.memo["first"] = world.backend.enqueue("parent")


@scenario(hold, dequeue(), unhold, dequeue(), lasting=(True, False, True, False))
def hold_and_release(world: World) -> None:
    world.memo["job"] = enqueue()(world)
    world.worker()


@scenario(hold, note, retry())
def hold_a_waiting_child_of_a_batch(world: World) -> None:
    world.memo["parent"] = enqueue()(world)
    world.memo["job"] = enqueue_many(2, parents=["parent"])(world)[0]


@scenario(remove)
def remove_a_held_parent(world: World) -> None:
    world.memo["job"] = enqueue(hold=True)(world)
    enqueue(parents=["job"])(world)


@scenario(unhold)
def release_a_held_child(world: World) -> None:
    world.memo["parent"] = enqueue(delay=5)(world)
    world.memo["job"] = enqueue(hold=True, parents=["parent"], expire=60)(world)


# -- edits ---------------------------------------------------------------------------------------


def edit(**options: Any) -> Act:
    """Edit the job of the scenario."""
    return lambda world: world.backend.edit_job(world.memo["job"], 0, **options)


@scenario(edit(args=["new"], queue="else", priority=3, delay=5, timeout=7), edit(expire=60))
def edit_an_inactive_job(world: World) -> None:
    world.memo["job"] = enqueue_many(2)(world)[0]


@scenario(edit(priority=7), edit(parents=[1]), dequeue(), lasting=(True, True, False))
def edit_a_held_job_and_its_parents(world: World) -> None:
    enqueue()(world)
    world.memo["job"] = enqueue(hold=True)(world)
    world.worker()


@scenario(edit(args=[2], attempts=3), retry())
def edit_a_failed_job(world: World) -> None:
    world.memo["job"] = failed_job(world.backend, world.worker())


# -- queues --------------------------------------------------------------------------------------


def say(**said: Any) -> Act:
    """Say something of the queue."""
    return lambda world: world.backend.set_queue("default", **said)


@scenario(say(paused=True, by="ann", why="disk"), dequeue(), lasting=(True, False))
def pause_a_queue(world: World) -> None:
    enqueue()(world)
    world.worker()


@scenario(
    say(paused=True), dequeue(), say(paused=False), dequeue(), lasting=(True, False, True, False)
)
def pause_and_resume_a_queue(world: World) -> None:
    say(max_waiting=7)(world)
    enqueue()(world)
    world.worker()


@scenario(say(closed=True), say(closed=False, limit=3))
def close_and_open_a_queue(world: World) -> None:
    enqueue()(world)


@scenario(say(limit=1), dequeue(), finish, dequeue(), lasting=(True, False, True, False))
def limit_a_queue(world: World) -> None:
    enqueue()(world)
    enqueue()(world)
    world.worker()


@scenario(dequeue(), dequeue(), lasting=(False, False))
def dequeue_from_a_queue_with_a_limit(world: World) -> None:
    say(limit=2)(world)
    enqueue(attempts=2)(world)
    enqueue()(world)
    world.worker()


@scenario(repair)
def repair_frees_the_slots_of_a_dead_worker(world: World) -> None:
    say(limit=1)(world)
    enqueue(attempts=2)(world)
    enqueue()(world)
    dequeue()(world)
    world.clock.advance(GONE)
    world.backend.register_worker()


# -- locks, workers ------------------------------------------------------------------------------


def lock(duration: float = 60, **options: Any) -> Act:
    """Take the lock `only one`."""
    return lambda world: world.backend.lock("only one", duration, **options)


def unlock(world: World) -> bool:
    """Let it go."""
    return world.backend.unlock("only one")


@scenario(lock(), lock(), unlock, lasting=(False,) * 3)
def lock_and_unlock(world: World) -> None:
    pass


@scenario(lock(limit=2), lock(90, limit=2), unlock, lasting=(False,) * 3)
def lock_shared_after_expiry(world: World) -> None:
    lock(5)(world)
    lock(20, limit=2)(world)
    world.clock.advance(10)


def register(world: World) -> int:
    """Register a new worker, with a status."""
    return world.backend.register_worker(status={"jobs": 4})


def beat(world: World) -> int:
    """Send the worker's heartbeat."""
    return world.backend.register_worker(world.worker(), status={"performed": 7})


def unregister(world: World) -> None:
    """Take the worker off the registry."""
    world.backend.unregister_worker(world.worker())


def broadcast(world: World) -> bool:
    """Tell every worker something."""
    return world.backend.broadcast("stop", [1])


def receive(world: World) -> Any:
    """Take what the worker was told."""
    return world.backend.receive(world.worker())


@scenario(register, lasting=(False,), later=GONE)
def register_a_worker(world: World) -> None:
    pass


@scenario(beat, beat, lasting=(False, False), piecemeal=True)
def send_a_heartbeat(world: World) -> None:
    world.worker()
    world.clock.advance(5)


@scenario(unregister, lasting=(False,))
def unregister_an_idle_worker(world: World) -> None:
    world.backend.register_worker(world.worker(), status={"a": 1})
    broadcast(world)


@scenario(unregister, lasting=(False,))
def unregister_a_worker_that_performs(world: World) -> None:
    enqueue(attempts=2)(world)
    dequeue()(world)


@scenario(broadcast, lasting=(False,), piecemeal=True)
def broadcast_to_two_workers(world: World) -> None:
    world.worker()
    world.backend.register_worker()


@scenario(receive, lasting=(False,), piecemeal=True)
def receive_commands(world: World) -> None:
    world.worker()
    for number in (1, 2, 3):
        world.backend.broadcast("jobs", [number])


# -- the inbox -----------------------------------------------------------------------------------


def _nothing_but_look(world: World) -> None:
    look(world)


@scenario(_nothing_but_look, gaps=True)
def inbox_new_job(world: World) -> None:
    options: dict[str, Any] = {"priority": 3, "delay": 30}
    world.drop("hello.json", json.dumps({"task": "task", "args": ["by hand"], **options}))
    if not world.root:
        world.backend.enqueue("task", ["by hand"], **options)


@scenario(_nothing_but_look, gaps=True)
def inbox_new_child(world: World) -> None:
    parent = enqueue()(world)
    world.drop("child.json", json.dumps({"task": "task", "parents": [parent]}))
    if not world.root:
        world.backend.enqueue("task", parents=[parent])


@scenario(_nothing_but_look)
def inbox_mv_finished(world: World) -> None:
    world.memo["job"] = finished_job(world.backend, world.worker())
    enqueue(parents=["job"])(world)
    world.mv_to_inbox("finished", world.memo["job"])
    if not world.root:
        assert retry()(world)


@scenario(dequeue(), lasting=(False,))
def inbox_mv_failed(world: World) -> None:
    world.memo["job"] = failed_job(world.backend, world.worker())
    world.mv_to_inbox("failed", world.memo["job"])
    if not world.root:
        assert retry()(world)


@scenario(_nothing_but_look, set_aside=True)
def inbox_garbage(world: World) -> None:
    world.drop("half.json", '{"task": "ta', age=60)
    world.drop("wrong.json", '{"task": 7}', age=60)
    enqueue()(world)


# -- repair, reset -------------------------------------------------------------------------------


@scenario(repair)
def repair_after_a_worker_died(world: World) -> None:
    for options in ({"attempts": 2}, {}, {"queue": "minion_foreground"}):
        world.backend.enqueue("task", [], **options)
        claim(world.backend, world.worker(), queues=["default", "minion_foreground"])
    world.backend.lock("of the worker", 500)
    world.backend.acquire_lock("with the worker", 500, worker=world.worker())
    world.backend.broadcast("unheard")
    world.clock.advance(GONE)
    world.backend.register_worker()


@scenario(repair)
def repair_removes_what_expired(world: World) -> None:
    world.memo["brief"] = world.backend.enqueue("parent", expire=60)
    enqueue(parents=["brief"])(world)
    world.backend.enqueue("task", expire=60, delay=10)
    world.clock.advance(70)


@scenario(repair)
def repair_removes_what_is_old(world: World) -> None:
    finished_job(world.backend, world.worker())
    world.memo["parent"] = finished_job(world.backend, world.worker())
    enqueue(parents=["parent"], delay=1_000_000)(world)
    world.clock.advance(200_000)
    world.backend.register_worker(world.worker())
    finished_job(world.backend, world.worker(), priority=9)


@scenario(repair)
def repair_fails_what_is_stuck(world: World) -> None:
    world.memo["parent"] = enqueue(delay=900_000)(world)
    enqueue(parents=["parent"])(world)
    world.memo["stuck"] = enqueue(attempts=3)(world)
    enqueue(parents=["stuck"], lax=True)(world)
    world.clock.advance(200_000)


@scenario(repair, dequeue(), lasting=(False, False))
def repair_of_everything(world: World) -> None:
    repair_after_a_worker_died(world)
    enqueue(attempts=3)(world)
    repair_removes_what_is_old(world)
    repair_removes_what_expired(world)
    world.memo["worker"] = world.backend.register_worker()


@scenario(
    lambda world: world.backend.reset(all=True),
    lambda world: world.backend.enqueue("after"),
    piecemeal=True,
    renewed=True,
    lasting=(False, True),
)
def reset_everything(world: World) -> None:
    enqueue()(world)
    finished_job(world.backend, world.worker(), priority=1)
    lock()(world)


@scenario(
    lambda world: world.backend.reset(locks=True), lock(), renewed=True, lasting=(False, False)
)
def reset_locks(world: World) -> None:
    enqueue()(world)
    lock()(world)


# -- schedules -----------------------------------------------------------------------------------


# An id may be burnt: it is taken before the schedule, or the job, is decided.
@scenario(schedule("a/b \n", notes={"who": "me"}), schedule("second"), gaps=True)
def schedule_two(world: World) -> None:
    pass


@scenario(schedule("nightly"), schedule("nightly", "0 0 * * 1", priority=3), gaps=True)
def schedule_once_more(world: World) -> None:
    schedule("other")(world)
    world.clock.advance(10)


@scenario(schedule("nightly"), gaps=True)
def schedule_what_was_removed(world: World) -> None:
    schedule("nightly", "0 0 * * 1")(world)
    unschedule("nightly")(world)


@scenario(unschedule("nightly"), unschedule("nightly"))
def unschedule_what_has_fired(world: World) -> None:
    schedule("nightly")(world)
    schedule("other")(world)
    world.clock.advance(300)
    dispatch(world)


@scenario(pause("nightly"), resume("nightly"), resume("other"))
def pause_and_resume_a_schedule(world: World) -> None:
    schedule("nightly")(world)


@scenario(dispatch, dispatch, piecemeal=True, gaps=True)
def dispatch_three_schedules(world: World) -> None:
    for name in ("a", "b", "c"):
        schedule(name, queue=name.replace("a", "a/b \n").replace("b", "else"))(world)
    schedule("paused")(world)
    pause("paused")(world)
    world.clock.advance(301)


@scenario(dispatch, pause("nightly"), gaps=True)
def dispatch_and_pause(world: World) -> None:
    enqueue(1)(world)
    schedule("nightly", attempts=3, expire=1e7, kwargs={"a": 1}, concurrency=["disk", 1])(world)
    world.clock.advance(9000)


@scenario(dispatch, unschedule("nightly"), schedule("nightly"), gaps=True)
def dispatch_and_unschedule(world: World) -> None:
    schedule("nightly")(world)
    world.clock.advance(300)


@scenario(dispatch)
def dispatch_skips_what_would_overlap(world: World) -> None:
    schedule("nightly", overlap="skip")(world)
    world.clock.advance(300)
    dispatch(world)
    world.clock.advance(300)


@scenario(dispatch, schedule("nightly", "0 0 * * 1"), gaps=True)
def dispatch_and_change(world: World) -> None:
    schedule("nightly", priority=5)(world)
    world.clock.advance(300)


# -- all of it -----------------------------------------------------------------------------------


@scenario(
    enqueue("first"),
    enqueue_many(2, priority=2),
    enqueue("child", parents=["job"]),
    dequeue(),
    finish,
    dequeue(),
    fail,
    dequeue(),
    note,
    finish,
    dequeue(),
    lasting=(True, True, True, False, True, False, True, False, True, True, False),
)
def a_day_in_the_life(world: World) -> None:
    world.memo["job"] = enqueue("parent", attempts=2)(world)
    world.worker()


FEW = {  # what the default run goes through change by change
    "enqueue-a-child-of-an-expiring-job",
    "dequeue-promotes-what-is-due",
    "finish-several",
    "fail-and-try-again-later",
    "lock-and-unlock",
    "register-a-worker",
}
TYPICAL = {  # one of each kind: what CI goes through wherever it does not go through all
    "first-use",
    "enqueue-a-child-of-an-expiring-job",
    "enqueue-many-children",
    "unique-replace-what-waits",
    "limit-lets-the-next-one-run",
    "dequeue-promotes-what-is-due",
    "finish-releases-children",
    "finish-several",
    "fail-and-try-again-later",
    "retry-with-parents",
    "remove-what-has-just-finished",
    "lock-and-unlock",
    "hold-and-release",
    "edit-an-inactive-job",
    "pause-and-resume-a-queue",
    "limit-a-queue",
    "register-a-worker",
    "inbox-new-child",
    "repair-after-a-worker-died",
    "dispatch-three-schedules",
    "dispatch-and-unschedule",
}
