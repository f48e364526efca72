"""A job as Django sees it: what is stored, as a TaskResult."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings

from spoolq.contrib.django.framework import TaskError, TaskResult, TaskResultStatus
from spoolq.model import JSON, JobInfo
from spoolq.transitions import HISTORY, brief

STATUS: Final = {
    "inactive": TaskResultStatus.READY,
    "active": TaskResultStatus.RUNNING,
    "finished": TaskResultStatus.SUCCESSFUL,
    "failed": TaskResultStatus.FAILED,
}
RUN_AFTER: Final = "run_after"
"""The note that says what `using(run_after=)` was: the delay of a job changes with every retry."""

NO_EXCEPTION: Final = "spoolq.errors.JobFailed"
"""The class of an error for which the task raised nothing: its worker died, its time ran out."""


def result_of(info: JobInfo, task: Any, alias: str) -> Any:
    """The TaskResult of a job; `task` is the Task that its name stands for."""
    attempts = _attempts(info)
    ended = info.state in {"finished", "failed"}
    result = TaskResult(
        task=as_enqueued(task, info, alias),
        id=str(info.id),
        status=STATUS[info.state],
        enqueued_at=moment(info.created),
        started_at=moment(attempts[0]["started"] if attempts else None),
        last_attempted_at=moment(attempts[-1]["started"] if attempts else None),
        finished_at=moment(info.finished if ended else None),
        args=info.args,
        kwargs=info.kwargs,
        backend=alias,
        errors=list(_errors(info)),
        worker_ids=[str(attempt["worker"]) for attempt in attempts],
    )
    if info.state == "finished":
        change(result, _return_value=info.result)
    return result


def as_enqueued(task: Any, info: JobInfo, alias: str) -> Any:
    """The task with the options that this job has now.

    They are not validated: an administrator may have moved the job to a queue, or given it a
    priority, that `enqueue` would refuse.
    """
    run_after = info.notes.get(RUN_AFTER)
    return change(
        copy.copy(task),
        backend=alias,
        priority=info.priority,
        queue_name=info.queue,
        run_after=datetime.fromisoformat(run_after) if isinstance(run_after, str) else None,
    )


def change(frozen: Any, **values: Any) -> Any:
    """Set attributes of one of Django's frozen values, as its own backends do; the same value."""
    for name, value in values.items():
        object.__setattr__(frozen, name, value)
    return frozen


def moment(seconds: Any) -> datetime | None:
    """Epoch seconds as Django's settings want them: aware, or naive and local."""
    return (
        None
        if seconds is None
        else datetime.fromtimestamp(seconds, UTC if settings.USE_TZ else None)
    )


def error_notes(info: JobInfo, path: str, traceback: str) -> dict[str, JSON]:
    """The notes about what this attempt raised, and the removal of one that is too old to tell.

    A job's history has a line for each attempt, and its result is the latest error only; Django
    promises all of them. As many are kept as the history keeps.
    """
    notes: dict[str, JSON] = {_key(info.retries): {"class": path, "traceback": traceback}}
    old = _key(info.retries - HISTORY)
    if old in info.notes and info.retries > HISTORY:
        notes[old] = None
    return notes


def _key(retries: int) -> str:
    return f"error {retries}"


def _attempts(info: JobInfo) -> list[dict[str, Any]]:
    attempts: list[dict[str, Any]] = list(info.history)
    if info.state == "active":
        attempts.append({"started": info.started, "worker": info.worker})
    return attempts


def _errors(info: JobInfo) -> Iterator[Any]:
    told = None
    for attempt in info.history:
        if attempt.get("state") == "failed":
            told = attempt["retries"]
            yield _error(info.notes.get(_key(told)), str(attempt.get("error")))
    if info.state == "failed" and told != info.retries:
        yield _error(None, brief(info.result))  # it failed without having been started


def _error(note: JSON, line: str) -> Any:
    if isinstance(note, dict):
        path, traceback = str(note.get("class")), str(note.get("traceback"))
    else:
        path, traceback = NO_EXCEPTION, line
    return TaskError(exception_class_path=path, traceback=traceback)
