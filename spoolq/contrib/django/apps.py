"""The Django app: it knows the tasks of every other one."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class SpoolqConfig(AppConfig):
    """Imports the module `tasks` of every installed app, as the admin does with `admin`."""

    name = "spoolq.contrib.django"
    label = "spoolq"
    verbose_name = "spoolq"

    def ready(self) -> None:
        """A task is known once its module was imported; no name in a job's file ever is a reason
        to import something."""
        autodiscover_modules("tasks")
