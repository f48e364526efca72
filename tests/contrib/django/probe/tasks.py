"""Tasks that show what a backend does. They run in the worker of a project that has this app."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from shop.models import Order  # type: ignore[import-not-found]  # of the example

from spoolq import Snooze
from spoolq.contrib.django.framework import TaskContext, signals

try:
    from django.tasks import task
except ImportError:
    from django_tasks import task


class Broken(Exception):
    """An exception of the program."""


@task
def add(a: int, b: int) -> int:
    return a + b


@task(queue_name="mail", priority=7)
def mail(to: str) -> str:
    return to


@task
def kinds(*args: Any, **kwargs: Any) -> list[str]:
    return [type(value).__name__ for value in (*args, *kwargs.values())]


@task
def fail(message: str) -> None:
    raise Broken(message)


@task
def give(what: str) -> Any:
    return {"nothing": None, "bytes": b"text", "object": object()}[what]


@task
def named_like_ours(job: int, task: int, args: int, run: int) -> int:
    return job + task + args + run


@task
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task
def snooze(path: str) -> str:
    if not Path(path).exists():
        Path(path).touch()
        raise Snooze(0)
    return "awake"


@task
def wait_until(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.01)
    return "there"


@task
def email_of(order: int) -> str:
    return str(Order.objects.get(pk=order).email)


@task
async def count_orders() -> int:
    await asyncio.sleep(0)
    count: int = await Order.objects.acount()
    return count


@task(takes_context=True)
def describe(context: TaskContext, fail: bool = False) -> dict[str, Any]:
    said = {
        "attempt": context.attempt,
        "id": context.task_result.id,
        "status": context.task_result.status,
        "finished": context.task_result.is_finished,
    }
    if fail:
        raise Broken(said)
    return said


@task(takes_context=True)
async def describe_async(context: TaskContext) -> str:
    return str(context.task_result.id)


@task
def record(path: str, word: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{word}\n")


def _tell(name: str, result: Any) -> None:
    path = os.environ.get("PROBE_SIGNALS")
    if path and result.task.name in {"add", "fail"}:
        with Path(path).open("a") as file:
            file.write(f"{result.id} {name} {result.status}\n")


def started(task_result: Any, **_: Any) -> None:
    _tell("started", task_result)


def finished(task_result: Any, **_: Any) -> None:
    _tell("finished", task_result)


signals.task_started.connect(started)
signals.task_finished.connect(finished)
