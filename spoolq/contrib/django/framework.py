"""The tasks framework itself: Django's own from version 6 on, else its backport."""

from __future__ import annotations

__all__ = [
    "BaseTaskBackend",
    "DoesNotExist",
    "InvalidTask",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultStatus",
    "normalize_json",
    "signals",
    "task_backends",
]

try:
    from django.tasks import TaskContext, TaskResult, TaskResultStatus, signals, task_backends
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import Task, TaskError
    from django.tasks.exceptions import InvalidTask
    from django.tasks.exceptions import TaskResultDoesNotExist as DoesNotExist
    from django.utils.json import normalize_json
except ModuleNotFoundError as error:
    if error.name != "django.tasks":
        raise
    from django_tasks import TaskContext, TaskResult, TaskResultStatus, signals, task_backends
    from django_tasks.backends.base import BaseTaskBackend
    from django_tasks.base import Task, TaskError
    from django_tasks.exceptions import (
        InvalidTaskError as InvalidTask,
    )
    from django_tasks.exceptions import (
        TaskResultDoesNotExist as DoesNotExist,
    )
    from django_tasks.utils import normalize_json
