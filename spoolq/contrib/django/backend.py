"""The backend that `TASKS` names.

Django makes an instance for every thread. What has to be there once is kept beside the class: the
spool of each directory, and the tasks that this process has defined.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Final

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import transaction
from django.utils import timezone

from spoolq.contrib.django import options as opt
from spoolq.contrib.django.framework import (
    BaseTaskBackend,
    DoesNotExist,
    InvalidTask,
    Task,
    TaskResult,
    TaskResultStatus,
    normalize_json,
    signals,
    task_backends,
)
from spoolq.contrib.django.performing import performer
from spoolq.contrib.django.results import RUN_AFTER, change, moment, result_of
from spoolq.errors import SpoolError
from spoolq.spool import Spool
from spoolq.transitions import check_attempts, check_timeout

NOT_YET: Final = ""
"""The id of a result whose transaction has not been committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolTask(Task):
    """A task with what only this backend knows. None: what the backend's OPTIONS say."""

    attempts: int | None = None
    """How often it is tried; between two tries the spool's backoff passes."""
    timeout: float | None = None
    """Seconds that an attempt may take."""
    enqueue_on_commit: bool | None = None
    """Whether a job of this task waits for the commit of the transaction it is enqueued in."""


class SpoolBackend(BaseTaskBackend):
    """Keeps Django's tasks as jobs in a spool.

    A job's task is the function's dotted path, its queue and priority are those of the Django task,
    its id as a string is the id of the result. Whatever `enqueue` has returned from survives power
    loss; results are there until the spool's `remove_after` is over.
    """

    task_class = SpoolTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    _spools: ClassVar[dict[tuple[int, str, str | None], Spool]] = {}
    _known: ClassVar[dict[str, Any]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        """Touches nothing: the spool is opened, and made, when it is first needed."""
        super().__init__(alias, params)
        self.alias = alias
        self._params = params
        self.spool_options = opt.parse(params)

    @property
    def spool(self) -> Spool:
        """The spool. Raises SpoolUnavailable when the directory cannot be used as one."""
        root, durability = self.spool_options.root, self.spool_options.durability
        key = (os.getpid(), root, durability)  # a web server may fork after it was opened
        with self._lock:
            if key not in self._spools:
                self._spools[key] = Spool(root, durability=durability)
            return self._spools[key]

    # -- defining --------------------------------------------------------------------------------

    def validate_task(self, task: Any) -> None:
        """Django's own rules, and those of a spool. Raises InvalidTask (InvalidTaskError in the
        backport)."""
        if isinstance(task.run_after, timedelta):
            task = replace(task, run_after=timezone.now() + task.run_after)
        super().validate_task(task)
        try:
            if (attempts := getattr(task, "attempts", None)) is not None:
                check_attempts(attempts)
            if (timeout := getattr(task, "timeout", None)) is not None:
                check_timeout(timeout)
        except SpoolError as error:
            raise InvalidTask(str(error)) from None
        # Every Task is validated when it is defined: from then on this process knows it.
        known = self._known.get(task.module_path)
        if known is None or known.func is not task.func:
            self._known[task.module_path] = task

    def tasks(self) -> dict[str, Any]:
        """The tasks this process has defined, by dotted path."""
        return dict(self._known)

    # -- enqueueing ------------------------------------------------------------------------------

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Store a call of the task, now or on commit; its TaskResult.

        On commit, `id` is "" and `enqueued_at` None until then; after a rollback they stay so, and
        there is no job. Raises InvalidTask, TypeError for what is no JSON, SpoolUnavailable.
        """
        self.validate_task(task)
        result = TaskResult(
            task=task,
            id=NOT_YET,
            status=TaskResultStatus.READY,
            enqueued_at=None,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=normalize_json(args),
            kwargs=normalize_json(kwargs),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        if self._waits(task):
            transaction.on_commit(partial(self._store, result))
        else:
            self._store(result)
        return result

    def _waits(self, task: Any) -> bool:
        own = getattr(task, "enqueue_on_commit", None)
        return self.spool_options.enqueue_on_commit if own is None else bool(own)

    def _store(self, result: Any) -> None:
        task, told = result.task, self.spool_options
        now = self.spool.backend.now()
        attempts, timeout = getattr(task, "attempts", None), getattr(task, "timeout", None)
        job = self.spool.enqueue(
            task.module_path,
            result.args,
            result.kwargs,
            attempts=told.attempts if attempts is None else attempts,
            timeout=told.timeout if timeout is None else timeout,
            priority=int(task.priority),
            queue=task.queue_name,
            **_deferred(task.run_after, now),
        )
        change(result, id=str(job.id), enqueued_at=moment(now))
        signals.task_enqueued.send(sender=type(self), task_result=result)

    # -- results ---------------------------------------------------------------------------------

    def get_result(self, result_id: str) -> Any:
        """The TaskResult with this id.

        Raises TaskResultDoesNotExist when there is no such job (any more), or it is none of a task
        that this process knows.
        """
        result_id = str(result_id)
        if not (result_id.isascii() and result_id.isdigit() and len(result_id) < 19):
            raise DoesNotExist(result_id)
        job = self.spool.job(result_id)
        info = None if job is None else job.info()
        if info is None or str(info.id) != result_id:
            raise DoesNotExist(result_id)
        task = self._known.get(info.task)
        if task is None:
            raise DoesNotExist(
                f"{result_id}: job {info.id} is one of {info.task!r}, which is no task that this "
                "process knows"
            )
        return result_of(info, task, self.alias)

    # -- working ---------------------------------------------------------------------------------

    def worker_spool(self) -> Spool:
        """The spool with every task of this process registered: what a worker runs."""
        for path, task in self._known.items():
            run = performer(task, type(self), self.alias)
            self.spool.task(name=path, takes_context=True)(run)
        return self.spool

    # -- system checks ---------------------------------------------------------------------------

    def check(self, **kwargs: Any) -> Iterator[Any]:
        """What is wrong with this entry of `TASKS`."""
        del kwargs
        where = f"TASKS[{self.alias!r}]"
        for problem in opt.problems(self._params, self.spool_options):
            yield checks.Error(f"{where}: {problem}", id="spoolq.E001")
        yield from self._check_root(where)
        if not apps.is_installed("spoolq.contrib.django"):
            yield checks.Warning(
                f"{where}: there is no worker in manage.py, and tasks are known only where their "
                "module was imported",
                hint='Put "spoolq.contrib.django" into INSTALLED_APPS.',
                id="spoolq.W001",
            )

    def _check_root(self, where: str) -> Iterator[Any]:
        root = self.spool_options.root
        try:
            if not _is_vacant(root):
                self.spool  # noqa: B018  # opening it is the check
        except (SpoolError, OSError) as error:
            yield checks.Error(f"{where}: {error}", id="spoolq.E002")
        for alias in task_backends:
            other = task_backends[alias]
            same = isinstance(other, SpoolBackend) and other.spool_options.root == root
            if same and alias < self.alias:
                yield checks.Error(
                    f"{where} and TASKS[{alias!r}] share the spool {root}",
                    hint="Give each its ROOT, or let one of them have the QUEUES of both.",
                    id="spoolq.E003",
                )
        for name in ("MEDIA_ROOT", "STATIC_ROOT"):
            served = getattr(settings, name, None)
            if served and _contains(os.path.realpath(served), os.path.realpath(root)):
                yield checks.Warning(
                    f"{where}: the spool {root} lies in {name}, which the web server hands out",
                    id="spoolq.W002",
                )


def _deferred(run_after: Any, now: float) -> dict[str, Any]:
    if run_after is None:
        return {}
    at: datetime = run_after
    if isinstance(run_after, timedelta):
        at = datetime.fromtimestamp(now, UTC) + run_after
    return {"delay": max(0.0, at.timestamp() - now), "notes": {RUN_AFTER: at.isoformat()}}


def _is_vacant(root: str) -> bool:
    """Whether a spool would be made here by opening it. A check may run as another user, who would
    then own it."""
    return not os.path.lexists(root) or (os.path.isdir(root) and set(os.listdir(root)) <= {"jobs"})


def _contains(directory: str, path: str) -> bool:
    return os.path.commonpath([directory, path]) == directory
