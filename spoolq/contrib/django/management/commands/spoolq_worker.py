"""`manage.py spoolq_worker`: performs the jobs of Django's tasks, with Django set up."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from spoolq.contrib import working
from spoolq.contrib.django.backend import SpoolBackend
from spoolq.contrib.django.framework import task_backends
from spoolq.errors import SpoolError


class Command(BaseCommand):
    """The worker of one backend."""

    help = "Perform the tasks of a spool until told to end: INT and TERM let what runs end."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Those of a worker, and whose."""
        parser.add_argument(
            "--backend", default="default", metavar="ALIAS", help="Which one of TASKS. [default]"
        )
        working.add_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Perform jobs. Raises CommandError for a backend that is none of spoolq's."""
        del args
        alias = options["backend"]
        if alias not in task_backends.settings:
            known = ", ".join(task_backends.settings)
            raise CommandError(f"there is no backend {alias!r} in TASKS, only {known}")
        backend = task_backends[alias]
        if not isinstance(backend, SpoolBackend):
            raise CommandError(
                f"the backend {alias!r} is a {type(backend).__name__}: TASKS[{alias!r}] needs "
                'BACKEND "spoolq.contrib.django.SpoolBackend"'
            )
        try:
            spool = backend.worker_spool()
            # The system checks have used the database; a connection must not be forked.
            connections.close_all()
            working.work(spool, options, sorted(backend.queues) or ["default"])
        except SpoolError as error:
            raise CommandError(str(error)) from error
