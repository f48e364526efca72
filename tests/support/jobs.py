"""Short ways to bring a job into a state and to look at it, through the contract alone."""

from __future__ import annotations

from typing import Any

from spoolq.backend import Backend
from spoolq.model import Claimed, JobInfo, State


def lookup(backend: Backend, id: Any) -> JobInfo | None:
    """What the backend says about one job, None when it shows no such job."""
    rows: list[JobInfo] = backend.list_jobs(0, 1, ids=[id]).rows
    return rows[0] if rows else None


def info(backend: Backend, id: Any) -> JobInfo:
    """What the backend says about one job, which must be there."""
    found = lookup(backend, id)
    assert found is not None, f"job {id} is not there"
    return found


def claim(backend: Backend, worker: int, **options: Any) -> Claimed:
    """Dequeue a job, which must be there."""
    claimed = backend.dequeue(worker, **options)
    assert claimed is not None, "nothing to dequeue"
    return claimed


def drain(backend: Backend, worker: int, **options: Any) -> list[int]:
    """The ids of everything that can be dequeued now, in that order."""
    ids = []
    while claimed := backend.dequeue(worker, **options):
        ids.append(claimed["id"])
    return ids


def finished_job(backend: Backend, worker: int, **options: Any) -> int:
    """The id of a job that was run and has finished."""
    return job_in("finished", backend, worker, **options)


def failed_job(backend: Backend, worker: int, **options: Any) -> int:
    """The id of a job that was run and has failed."""
    return job_in("failed", backend, worker, **options)


def job_in(state: State, backend: Backend, worker: int, **options: Any) -> int:
    """The id of a job in this state, brought there by the worker."""
    job_id = backend.enqueue("foo", **options)
    if state == "inactive":
        return job_id
    claimed = claim(backend, worker, id=job_id, queues=[options.get("queue", "default")])
    if state == "finished":
        assert backend.finish_job(job_id, claimed["retries"], "done")
    if state == "failed":
        assert backend.fail_job(job_id, claimed["retries"], "broken")
    return job_id
