"""What has happened to a job: its life as moments, read out of its record. Pure.

Nothing writes a log of events: a record has the times of everything that changed its state, and
the attempts that are over. Of more than 25 attempts the middle ones are gone from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from spoolq.model import JobInfo
from spoolq.transitions import brief

Kind = Literal["enqueued", "started", "finished", "failed", "retried", "removed"]


@dataclass(frozen=True, slots=True)
class Happening:
    """One moment. `time` is epoch seconds by the spool's clock; `detail` differs by kind."""

    time: float
    event: Kind
    id: int
    task: str
    queue: str
    detail: dict[str, Any]


def happenings(job: JobInfo) -> list[Happening]:
    """Everything that is known to have happened to a job, in that order."""

    def at(time: float, event: Kind, **detail: Any) -> Happening:
        return Happening(time, event, job.id, job.task, job.queue, detail)

    found = [at(job.created, "enqueued")]
    for attempt in job.history:
        who = {"attempt": attempt["retries"] + 1, "worker": attempt["worker"]}
        if attempt["started"] is not None:
            found.append(at(attempt["started"], "started", **who))
        end = dict(who)
        if attempt.get("exit") is not None:
            end["exit"] = attempt["exit"]
        if attempt["state"] == "failed":
            found.append(at(attempt["finished"], "failed", **end, error=attempt.get("error")))
        else:
            found.append(at(attempt["finished"], "finished", **end))
    if job.retried is not None:
        found.append(at(job.retried, "retried", attempt=job.retries + 1))
    if job.state == "active" and job.started is not None:
        found.append(at(job.started, "started", attempt=job.retries + 1, worker=job.worker))
    if job.state == "failed" and not job.history:
        # It never ran: nobody took it, or its worker went away with it.
        found.append(at(job.finished or job.time, "failed", error=brief(job.result)))
    return sorted(found, key=lambda one: one.time)
