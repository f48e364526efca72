"""Why a job is not running: one decision, for `list`, `show`, `why`, `wait`, JSON and every UI.

Pure: a Scene holds what was seen of the spool, `reasons` says what follows from it.

    running paused finished failed              nothing keeps it: this is what it does, or did
    spool-readonly                              nobody could claim it
    held parent-failed parents unique concurrency rate expired delayed
                                                about the job itself
    queue-paused queue-limit                    about its queue
    no-worker no-task task-limit slots          about the workers that are alive
    queue-order none                            it will start by itself
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from spoolq.control import NOTHING, Control, whose
from spoolq.model import MISSING_AFTER, JobInfo, WorkerInfo
from spoolq.transitions import brief, parent_blocks

View = Literal["active", "ready", "delayed", "blocked", "held", "failed", "finished"]
VIEWS: Final[tuple[View, ...]] = (
    "active", "ready", "delayed", "blocked", "held", "failed", "finished",
)  # fmt: skip
CODES: Final = (
    "running", "paused", "finished", "failed", "spool-readonly", "held", "parent-failed", "parents",
    "unique", "concurrency", "rate", "expired", "delayed", "queue-paused", "queue-limit",
    "no-worker", "no-task", "task-limit", "slots", "queue-order", "none",
)  # fmt: skip
EXEC: Final = "exec"  # the task of a command line, which every worker of the file backend knows
BUILT_IN: Final = "spoolq."  # what the tasks begin with that every Python worker knows
AHEAD: Final = 1000  # jobs ahead that are counted; more are "1000 or more"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is so. `detail` is the same for programs: ids, names, numbers, seconds."""

    code: str
    text: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known of the spool around some jobs, at one moment."""

    parents: Mapping[int, JobInfo] = field(default_factory=dict)
    """The parents that still exist, of every job that is asked about."""
    workers: Sequence[WorkerInfo] = ()
    active: Sequence[JobInfo] = ()
    ready: Callable[[str], Sequence[tuple[int, int]]] = lambda _: ()
    """Of the jobs of a queue that wait for a worker (-priority, id), sorted: asked only for a job
    that nothing else keeps."""
    executables: frozenset[str] = frozenset()
    missing_after: float = MISSING_AFTER
    writable: bool = True
    gate: Callable[[int], Mapping[str, Any] | None] = lambda _: None
    """What keeps a job with a unique key or with limits: see `Backend.blocked_at`."""
    controls: Mapping[str, Control] = field(default_factory=dict)
    """What is said of the queues, by name."""


def view(
    job: JobInfo,
    parents: Mapping[int, JobInfo],
    is_kept: Callable[[JobInfo], bool] = lambda _: False,
) -> View:
    """The state as people see it: an inactive job is ready, delayed, blocked or held.

    Blocked is one that waits for a parent, and one that is due and waits at a limit, or for another
    one with its key: `is_kept` tells, and is asked for such jobs only.
    """
    if job.state != "inactive":
        return job.state
    if job.held:
        return "held"
    if _blocking(job, parents):
        return "blocked"
    if job.delayed > job.time:
        return "delayed"
    return "blocked" if (job.limits or job.unique) and is_kept(job) else "ready"


def reason(job: JobInfo, scene: Scene) -> Reason:
    """The first reason: what a table shows."""
    return reasons(job, scene)[0]


def reasons(job: JobInfo, scene: Scene) -> list[Reason]:
    """Every reason that holds, the one to deal with first in front; never empty."""
    if job.state == "active":
        return [_running(job, scene)]
    if job.state == "finished":
        return [Reason("finished", "finished")]
    if job.state == "failed":
        return [Reason("failed", brief_error(job))]
    found = [
        *_about_spool(scene),
        *_about_job(job, scene),
        *_about_queue(job, scene),
        *_about_workers(job, scene),
    ]
    return found or [_order(job, scene)]


def live_workers(workers: Sequence[WorkerInfo], now: float, after: float) -> list[WorkerInfo]:
    """Those whose last heartbeat is no older than `after` seconds."""
    return [worker for worker in workers if now - worker.notified <= after]


def serves(worker: WorkerInfo, queue: str) -> bool:
    """Whether a worker takes jobs of this queue; one that does not say takes "default"."""
    return queue in worker.status.get("queues", ["default"])


def knows(worker: WorkerInfo, task: str, executables: frozenset[str]) -> bool:
    """Whether a worker can perform this task; of one that does not say nothing is held against."""
    if task == EXEC or task in executables or task.startswith(BUILT_IN):
        return True
    tasks = worker.status.get("tasks")
    return not isinstance(tasks, list) or task in tasks


def brief_error(job: JobInfo) -> str:
    """How a job failed, on one line: `ValueError: bad width -1`."""
    result = job.result
    if isinstance(result, dict) and "type" in result and "message" in result:
        line = brief(result)
        # "exit status 7" says all that its type, ExitStatus, says.
        return line if job.exit is not None else f"{result['type']}: {line}"
    return brief(result)


def age(seconds: float) -> str:
    """A duration for people, at a glance: `4s`, `12m`, `3h05m`, `2d`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d"


def _blocking(job: JobInfo, parents: Mapping[int, JobInfo]) -> list[JobInfo]:
    """The parents a job waits for; one that was removed counts as done."""
    if not job.parents:
        return []
    there = [parents[id_] for id_ in dict.fromkeys(job.parents) if id_ in parents]
    return [parent for parent in there if parent_blocks(parent.state, lax=job.lax)]


def _running(job: JobInfo, scene: Scene) -> Reason:
    worker = next((worker for worker in scene.workers if worker.id == job.worker), None)
    if worker is None:
        return Reason("running", f"worker {job.worker}", {"worker": job.worker})
    pid = job.notes.get("minion_pid", worker.pid)
    silent = job.time - worker.notified
    detail = {"worker": worker.id, "host": worker.host, "pid": pid}
    text = f"on {worker.host}, pid {pid}"
    paused = job.id in paused_jobs(worker)
    if paused:
        text = f"paused {text}"
    if silent > scene.missing_after:
        text += f", silent for {age(silent)}"
    return Reason("paused" if paused else "running", text, detail)


def paused_jobs(worker: WorkerInfo) -> list[int]:
    """The jobs of a worker that stand still, as far as it says."""
    paused = worker.status.get("paused")
    return paused if isinstance(paused, list) else []


def _about_spool(scene: Scene) -> list[Reason]:
    return [] if scene.writable else [Reason("spool-readonly", "spool is not writable")]


def _about_job(job: JobInfo, scene: Scene) -> list[Reason]:
    found = []
    if job.held:
        found.append(Reason("held", "held"))
    blocking = _blocking(job, scene.parents)
    # One that failed for good stays failed until somebody retries it.
    found += [
        Reason("parent-failed", f"parent {parent.id} failed", {"parent": parent.id})
        for parent in blocking
        if parent.state == "failed"
    ]
    waiting = [parent for parent in blocking if parent.state != "failed"]
    if waiting:
        ids = [parent.id for parent in waiting]
        all_of = len(set(job.parents))
        text = f"waits for {ids[0]}" if all_of == 1 else f"waits for {len(ids)} of {all_of} parents"
        states = {str(parent.id): parent.state for parent in waiting}
        found.append(Reason("parents", text, {"parents": ids, "states": states}))
    found += _about_gate(job, scene)
    if job.expires is not None and job.expires <= job.time:
        found.append(Reason("expired", "expired", {"expired": job.expires}))
    if job.delayed > job.time:
        left = job.delayed - job.time
        word = "retry" if job.retries and job.finished is not None else "due"
        found.append(Reason("delayed", f"{word} in {age(left)}", {"seconds": left}))
    return found


def _about_gate(job: JobInfo, scene: Scene) -> list[Reason]:
    said = scene.gate(job.id) if job.unique or job.limits else None
    if said is None:
        return []
    kind, key, detail = said["kind"], said["key"], dict(said)
    if kind == "concurrency":
        return [Reason(kind, f"limit: {len(said['jobs'])} of {said['limit']} {key} run", detail)]
    if kind == "rate":
        left = max(0.0, said["until"] - job.time)
        text = f"rate: {said['limit']} {key} in {age(said['period'])}, next in {age(left)}"
        return [Reason(kind, text, detail)]
    return [Reason("unique", f"job {said['jobs'][0]} holds its key {key}", detail)]


def _about_queue(job: JobInfo, scene: Scene) -> list[Reason]:
    control = scene.controls.get(job.queue, NOTHING)
    found = []
    if control.paused is not None:
        about = {"queue": job.queue, **asdict(control.paused)}
        text = f"queue {job.queue} paused{whose(control.paused)}"
        found.append(Reason("queue-paused", text, about))
    running = sum(1 for one in scene.active if one.queue == job.queue)
    if control.limit is not None and running >= control.limit:
        numbers = {"queue": job.queue, "running": running, "limit": control.limit}
        text = f"limit: {running} of {control.limit} of queue {job.queue} run"
        found.append(Reason("queue-limit", text, numbers))
    return found


def _about_workers(job: JobInfo, scene: Scene) -> list[Reason]:
    """What keeps every live worker from taking the job: the first thing that does."""
    live = live_workers(scene.workers, job.time, scene.missing_after)
    serving = [worker for worker in live if serves(worker, job.queue)]
    if not serving:
        return [Reason("no-worker", f"no worker serves {job.queue}", {"queue": job.queue})]
    knowing = [worker for worker in serving if knows(worker, job.task, scene.executables)]
    if not knowing:
        return [Reason("no-task", f"no worker knows task {job.task}", {"task": job.task})]
    open_to_it = [worker for worker in knowing if not _at_limit(worker, job.task, scene)]
    if not open_to_it:
        running = sum(_running_of(worker, job.task, scene) for worker in knowing)
        most = sum(_limit(worker, job.task) or 0 for worker in knowing)
        detail = {"task": job.task, "running": running, "limit": most}
        return [Reason("task-limit", f"limit: {running} of {most} {job.task} run", detail)]
    if all(len(worker.jobs) >= slots(worker, job.priority) for worker in open_to_it):
        busy = sum(slots(worker, job.priority) for worker in open_to_it)
        text = "no worker takes jobs now" if not busy else f"all {busy} slots busy"
        return [Reason("slots", text, {"slots": busy})]
    return []


def slots(worker: WorkerInfo, priority: int = 0) -> int:
    """How many jobs of this priority a worker performs at once, spare ones included."""
    jobs, spare = worker.status.get("jobs", 1), worker.status.get("spare", 0)
    least = worker.status.get("spare_min_priority", 1)
    if not all(isinstance(number, int) for number in (jobs, spare, least)):
        return 1
    return int(jobs) + (int(spare) if priority >= least else 0)


def _limit(worker: WorkerInfo, task: str) -> int | None:
    limits = worker.status.get("limits")
    most = limits.get(task) if isinstance(limits, dict) else None
    return most if isinstance(most, int) else None


def _at_limit(worker: WorkerInfo, task: str, scene: Scene) -> bool:
    most = _limit(worker, task)
    return most is not None and _running_of(worker, task, scene) >= most


def _running_of(worker: WorkerInfo, task: str, scene: Scene) -> int:
    return sum(1 for job in scene.active if job.worker == worker.id and job.task == task)


def _order(job: JobInfo, scene: Scene) -> Reason:
    ahead = bisect_left(scene.ready(job.queue), (-job.priority, job.id))
    if not ahead:
        return Reason("none", "should start any moment")
    number = str(ahead) if ahead < AHEAD else f"{AHEAD} or more"
    return Reason("queue-order", f"{number} job{'s' if ahead > 1 else ''} ahead", {"ahead": ahead})
