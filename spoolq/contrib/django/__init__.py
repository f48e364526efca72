"""Django's tasks in a spool: a backend for `TASKS`, and `manage.py spoolq_worker`.

    INSTALLED_APPS = [..., "spoolq.contrib.django"]
    TASKS = {
        "default": {
            "BACKEND": "spoolq.contrib.django.SpoolBackend",
            "QUEUES": ["default", "mail"],
            "OPTIONS": {"ROOT": "/srv/shop/spool"},
        }
    }

Django 6 has `django.tasks`; with Django 5 it is the package `django-tasks`, whose `django_tasks` is
in INSTALLED_APPS too. See docs/frameworks.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spoolq.contrib.django.backend import SpoolBackend, SpoolTask

__all__ = ["SpoolBackend", "SpoolTask"]


def __getattr__(name: str) -> Any:
    # Django imports this package to find the app, before its settings can be asked for tasks.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from spoolq.contrib.django import backend

    return getattr(backend, name)
