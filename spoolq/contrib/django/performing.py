"""How a worker performs a Django task: the function that stands for it in a spool."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from traceback import format_exception
from typing import Any, Final

from django.db import close_old_connections

from spoolq.contrib.django.framework import (
    TaskContext,
    TaskError,
    TaskResultStatus,
    normalize_json,
    signals,
)
from spoolq.contrib.django.results import change, error_notes, moment, result_of
from spoolq.errors import Cancel, Snooze
from spoolq.job import Job

TRACEBACK_LIMIT: Final = 64 * 1024  # characters, as of every other error that is stored


def performer(task: Any, sender: type, alias: str) -> Callable[..., Any]:
    """What a spool calls for this task, with the job as first argument; `async def` for one."""

    def attempt(job: Job, /, *args: Any, **kwargs: Any) -> Any:
        run = Attempt(job, task, sender, alias)
        try:
            return run.succeeded(task.func(*run.context(), *args, **kwargs))
        except Exception as error:
            run.failed(error)
            raise
        finally:
            close_old_connections()

    async def attempt_async(job: Job, /, *args: Any, **kwargs: Any) -> Any:
        from asgiref.sync import sync_to_async

        # What listens to Django's signals may use the database, which refuses to be called here.
        run = await sync_to_async(Attempt)(job, task, sender, alias)
        try:
            value = await task.func(*run.context(), *args, **kwargs)
            return await sync_to_async(run.succeeded)(value)
        except Exception as error:
            await sync_to_async(run.failed)(error)
            raise
        finally:
            await sync_to_async(close_old_connections)()

    return attempt_async if inspect.iscoroutinefunction(task.func) else attempt


class Attempt:
    """One run of a task: its TaskResult, kept true, and Django's signals about it."""

    def __init__(self, job: Job, task: Any, sender: type, alias: str) -> None:
        """Sends `task_started`. A connection that the database has closed meanwhile is dropped."""
        close_old_connections()
        info = job.info()
        assert info is not None  # noqa: S101  # it is active, and what is active is not removed
        self._job, self._info, self._sender = job, info, sender
        self._task = task
        self.result = result_of(info, task, alias)
        signals.task_started.send(sender=sender, task_result=self.result)

    def context(self) -> tuple[Any, ...]:
        """The arguments that come before those of the job."""
        return (TaskContext(task_result=self.result),) if self._task.takes_context else ()

    def succeeded(self, value: Any) -> Any:
        """The return value as JSON; sends `task_finished`. Raises TypeError, ValueError."""
        value = normalize_json(value)
        self._end(TaskResultStatus.SUCCESSFUL, _return_value=value)
        return value

    def failed(self, error: Exception) -> None:
        """Keep what was raised, and send `task_finished` when there is no attempt left."""
        if isinstance(error, Snooze):
            return
        kind = type(error)
        path = f"{kind.__module__}.{kind.__qualname__}"
        text = "".join(format_exception(kind, error, _own(error)))[-TRACEBACK_LIMIT:]
        text = text.encode("utf-8", "backslashreplace").decode()  # no file holds half a character
        self._job.note(error_notes(self._info, path, text))
        errors = [*self.result.errors, TaskError(exception_class_path=path, traceback=text)]
        if self._info.attempts <= 1 or isinstance(error, Cancel):
            self._end(TaskResultStatus.FAILED, errors=errors)

    def _end(self, status: Any, **values: Any) -> None:
        now = moment(self._job.backend.now())
        change(self.result, status=status, finished_at=now, **values)
        signals.task_finished.send(sender=self._sender, task_result=self.result)


def _own(error: Exception) -> Any:
    """The traceback without this module, which tells the task's author nothing."""
    frames = error.__traceback__
    while frames and frames.tb_frame.f_globals.get("__name__") == __name__:
        frames = frames.tb_next
    return frames
