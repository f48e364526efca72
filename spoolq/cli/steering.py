"""Steering: `retry` and `remove`."""

from __future__ import annotations

from collections.abc import Callable

import typer

from spoolq.cli import options
from spoolq.cli.context import opened
from spoolq.cli.exits import CONFLICT
from spoolq.cli.ids import find_jobs
from spoolq.cli.output import print_json, say
from spoolq.model import JobInfo


def add_to(app: typer.Typer) -> None:
    """Register these commands."""
    app.command()(retry)
    app.command()(remove)
    app.command("rm", hidden=True)(remove)


def retry(
    context: typer.Context,
    *,
    ids: options.Ids,
    queue: options.NewQueue = None,
    priority: options.Priority = None,
    delay: options.Delay = None,
    expire: options.Expire = None,
    attempts: options.Attempts = None,
    parent: options.Parents = None,
    lax: options.Lax = None,
    as_json: options.AsJson = False,
) -> None:
    """Run jobs again, whatever their state; what is not given stays as it was."""
    given = options.enqueue_options(
        queue=queue,
        priority=priority,
        delay=delay,
        expire=expire,
        attempts=attempts,
        parents=parent,
        lax=lax,
    )
    spool = opened(context).spool
    _each(
        find_jobs(spool, ids),
        lambda job: spool.backend.retry_job(job.id, job.retries, **given),
        done="retried",
        refused="it was retried or removed by somebody else just now",
        as_json=as_json,
    )


def remove(context: typer.Context, ids: options.Ids, as_json: options.AsJson = False) -> None:
    """Remove jobs that are not active."""
    spool = opened(context).spool
    _each(
        find_jobs(spool, ids),
        lambda job: spool.backend.remove_job(job.id),
        done="removed",
        refused="it is active",
        as_json=as_json,
    )


def _each(
    jobs: list[JobInfo],
    act: Callable[[JobInfo], bool],
    *,
    done: str,
    refused: str,
    as_json: bool,
) -> None:
    """Do it to every job; exit 4 at the end when one of them refused."""
    answers = {job.id: act(job) for job in jobs}
    if as_json:
        print_json([{"id": job_id, done: answer} for job_id, answer in answers.items()])
    for job_id, answer in answers.items():
        if not answer:
            say(f"spoolq: job {job_id} was not {done}: {refused}")
    if not all(answers.values()):
        raise typer.Exit(CONFLICT)
