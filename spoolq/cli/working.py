"""Getting work done for long: `worker`."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated, Any, Final

import typer

from spoolq import journal
from spoolq.cli import options
from spoolq.cli.apps import load_app
from spoolq.cli.context import Opened, opened
from spoolq.cli.durations import parse_duration
from spoolq.cli.exits import USAGE, Refused
from spoolq.loop.plan import DEFAULTS, Terms, count
from spoolq.spool import Spool

GRACE: Final = "30s"  # what containers are given too before they are killed
RELOAD_GRACE: Final = "2s"


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(worker)


def _seconds(short: str, long: str, key: str, what: str) -> Any:
    names = [name for name in (short, long) if name]
    shown = f"{what} [{DEFAULTS[key]:g} s]"
    return typer.Option(*names, metavar="DURATION", help=shown, parser=_duration)


def _duration(text: str) -> float:
    seconds = parse_duration(text)
    if seconds < 0:
        raise Refused(USAGE, f"{text!r} is less than nothing")
    return seconds


Duration = float | None


def worker(
    context: typer.Context,
    *,
    app: Annotated[
        str | None,
        typer.Option("--app", metavar="MODULE:SPOOL", help="The program with the Python tasks."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="How many at once.")] = 4,
    queue: options.Queues = None,
    spare: Annotated[
        int, typer.Option("--spare", "-s", min=0, help="More at once, of high priority.")
    ] = 1,
    spare_min_priority: Annotated[
        int, typer.Option("--spare-min-priority", "-S", help="What high priority is.")
    ] = 1,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", "-L", metavar="TASK=N", help="No more of this task. Repeatable."),
    ] = None,
    pool: Annotated[bool, typer.Option("--pool", help="The same as --runner pool.")] = False,
    runner: Annotated[
        str | None,
        typer.Option("--runner", metavar="NAME", help="For Python tasks: fork, pool, aio."),
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is left.")] = False,
    idle_exit: Annotated[
        Duration,
        typer.Option(
            "--idle-exit", metavar="DURATION", parser=_duration, help="End after idling so long."
        ),
    ] = None,
    max_jobs: Annotated[
        int | None, typer.Option("--max-jobs", min=1, metavar="N", help="End after so many.")
    ] = None,
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            metavar="DURATION",
            parser=_duration,
            help="How long jobs may go on after INT or TERM; then they are given back.",
        ),
    ] = GRACE,  # type: ignore[assignment]  # the parser turns it
    command_interval: Annotated[
        Duration, _seconds("-C", "--command-interval", "command_interval", "Between commands.")
    ] = None,
    dequeue_timeout: Annotated[
        Duration, _seconds("-D", "--dequeue-timeout", "dequeue_timeout", "Longest wait for a job.")
    ] = None,
    dispatch_interval: Annotated[
        Duration, _seconds("", "--dispatch-interval", "dispatch_interval", "Between schedules.")
    ] = None,
    heartbeat_interval: Annotated[
        Duration, _seconds("-I", "--heartbeat-interval", "heartbeat_interval", "Between beats.")
    ] = None,
    repair_interval: Annotated[
        Duration, _seconds("-R", "--repair-interval", "repair_interval", "Between repairs.")
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start anew when a file of the program changes.")
    ] = False,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="|".join(journal.FORMATS))
    ] = None,
    log_level: Annotated[
        str, typer.Option("--log-level", metavar="|".join(journal.LEVELS))
    ] = "info",
) -> None:
    """Perform jobs until told to end: INT and TERM let what runs end, a second INT does not.

    HUP reads the settings again, USR1 writes what it does to the log.
    """
    limits = dict(_limit(text) for text in limit or ())
    chosen = _runner(runner, pool=pool)
    _set_up_log(log_format, log_level)
    if reload:
        raise typer.Exit(_supervise())
    intervals = {
        "command_interval": command_interval,
        "dequeue_timeout": dequeue_timeout,
        "dispatch_interval": dispatch_interval,
        "heartbeat_interval": heartbeat_interval,
        "repair_interval": repair_interval,
    }
    status = {
        **{name: value for name, value in intervals.items() if value is not None},
        "jobs": jobs,
        "limits": limits,
        "queues": queue or ["default"],
        "spare": spare,
        "spare_min_priority": spare_min_priority,
    }
    spool = _spool(opened(context), app)
    terms = Terms(burst=burst, idle_exit=idle_exit, max_jobs=max_jobs, grace=grace)
    journal.log.info(_banner(spool, status))
    # `tasks` is for who asks why a job does not run; executables everybody sees in jobs/.
    spool.worker(**status, tasks=sorted(spool.tasks)).run(terms, runner=chosen)


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


def _spool(asked: Opened, app: str | None) -> Spool:
    if app is None:
        return asked.spool
    # What was asked for on this command line is what a program that names no directory opens.
    asked.export()
    spool = load_app(app)
    if asked.given and os.path.realpath(asked.root) != os.path.realpath(spool.root or ""):
        raise Refused(USAGE, f"--app {app} works on {spool.root}, not on {asked.root}")
    return spool


def _banner(spool: Spool, status: dict[str, Any]) -> str:
    said = f"spoolq {version('spoolq')} on {spool.root}: {status['jobs']} jobs at once"
    if status["spare"]:
        said += f", {status['spare']} more of priority {status['spare_min_priority']} and up"
    tasks = len(spool.tasks)
    queues = ", ".join(status["queues"])
    return f"{said}; queues: {queues}; {tasks} Python tasks"
