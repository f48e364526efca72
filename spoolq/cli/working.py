"""Getting work done for long: `worker`."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Any, Final

import typer

from spoolq import journal
from spoolq.cli import options
from spoolq.cli import worker_options as given
from spoolq.cli.apps import spool_of
from spoolq.cli.context import opened
from spoolq.cli.exits import USAGE, Refused
from spoolq.clock import SystemClock
from spoolq.loop.plan import Terms, count
from spoolq.spool import Spool

GRACE: Final = "30s"  # what containers are given too before they are killed
RELOAD_GRACE: Final = "2s"


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(worker)


def worker(
    context: typer.Context,
    *,
    app: given.App = None,
    jobs: given.Jobs = 4,
    queue: options.Queues = None,
    spare: given.Spare = 1,
    spare_min_priority: given.SpareMinPriority = 1,
    limit: given.Limits = None,
    pool: given.Pool = False,
    runner: given.Runner = None,
    burst: given.Burst = False,
    idle_exit: given.IdleExit = None,
    max_jobs: given.MaxJobs = None,
    grace: given.Grace = GRACE,  # type: ignore[assignment]  # the parser turns it
    command_interval: given.CommandInterval = None,
    dequeue_timeout: given.DequeueTimeout = None,
    dispatch_interval: given.DispatchInterval = None,
    heartbeat_interval: given.HeartbeatInterval = None,
    repair_interval: given.RepairInterval = None,
    reload: given.Reload = False,
    log_format: given.LogFormat = None,
    log_level: given.LogLevel = "info",
) -> None:
    """Perform jobs until told to end: INT and TERM let what runs end, a second INT does not.

    HUP reads the settings again, USR1 writes what it does to the log.
    """
    status: dict[str, Any] = {
        "jobs": jobs,
        "limits": dict(_limit(text) for text in limit or ()),
        "queues": queue or ["default"],
        "spare": spare,
        "spare_min_priority": spare_min_priority,
    }
    status |= _those_given(
        command_interval=command_interval,
        dequeue_timeout=dequeue_timeout,
        dispatch_interval=dispatch_interval,
        heartbeat_interval=heartbeat_interval,
        repair_interval=repair_interval,
    )
    terms = Terms(burst=burst, idle_exit=idle_exit, max_jobs=max_jobs, grace=grace)
    chosen = _runner(runner, pool=pool)
    _set_up_log(log_format, log_level)
    if reload:
        raise typer.Exit(_supervise())
    _work(spool_of(opened(context), app), status, terms, chosen)


def _work(spool: Spool, status: dict[str, Any], terms: Terms, runner: str) -> None:
    journal.log.info(_banner(spool, status))
    # `tasks` is for who asks why a job does not run; executables everybody sees in jobs/.
    about = {
        "tasks": sorted(spool.tasks),
        "version": version("spoolq"),
        "clock": round(SystemClock().wall() - spool.backend.now(), 3) + 0.0,
    }
    spool.worker(**status, **about).run(terms, runner=runner)


def _those_given(**values: float | None) -> dict[str, float]:
    """Those that are not None: for the others the worker has defaults."""
    return {name: value for name, value in values.items() if value is not None}


def _limit(text: str) -> tuple[str, int]:
    task, equals, number = text.rpartition("=")
    most = count(number)
    if not task or not equals or most is None:
        raise Refused(USAGE, f"Invalid limit option: {text}")  # Minion's words [433]
    return task, most


def _runner(name: str | None, *, pool: bool) -> str:
    if pool and name not in (None, "pool"):
        raise Refused(USAGE, f"--pool and --runner {name}: choose one")
    return "pool" if pool else name or "fork"


def _set_up_log(format: str | None, level: str) -> None:
    if format is not None and format not in journal.FORMATS:
        raise Refused(USAGE, f"--log-format is {', '.join(journal.FORMATS)}, not {format!r}")
    if level not in journal.LEVELS:
        raise Refused(USAGE, f"--log-level is {', '.join(journal.LEVELS)}, not {level!r}")
    journal.set_up(format, level)


def _supervise() -> int:
    from spoolq.cli.reloading import supervise

    arguments = [word for word in sys.argv[1:] if word != "--reload"]
    if not any(word.startswith("--grace") for word in arguments):
        arguments += ["--grace", RELOAD_GRACE]
    return supervise(arguments, os.getcwd())


def _banner(spool: Spool, status: dict[str, Any]) -> str:
    said = f"spoolq {version('spoolq')} on {spool.root}: {status['jobs']} jobs at once"
    if status["spare"]:
        said += f", {status['spare']} more of priority {status['spare_min_priority']} and up"
    tasks = len(spool.tasks)
    queues = ", ".join(status["queues"])
    return f"{said}; queues: {queues}; {tasks} Python tasks"
