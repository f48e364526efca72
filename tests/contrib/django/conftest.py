"""The shop of docs/examples/django, with an app of probes, its database, and a worker process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import wait_for

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "django"
PROBE = Path(__file__).with_name("probe")


class Project:
    """The project in a directory of its own; this process has set Django up with it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "spool"
        self.told = home / "signals"
        shutil.copytree(EXAMPLE, home, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(PROBE, home / "probe", ignore=shutil.ignore_patterns("__pycache__"))
        settings = 'from shop.settings import *\n\nINSTALLED_APPS += ["probe"]\n'
        settings += 'TASKS["default"]["OPTIONS"] |= {"DURABILITY": "none", "ATTEMPTS": 1}\n'
        (home / "probed.py").write_text(settings)
        self.env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "probed",
            "SHOP_SPOOL": str(self.root),
            "PROBE_SIGNALS": str(self.told),
            "PYTHONWARNINGS": "default",
        }

    def set_up(self) -> None:
        """What manage.py does; other tests of this process keep their environment and time zone."""
        import django
        from django.core.management import call_command

        sys.path.insert(0, str(self.home))
        before = dict(os.environ)
        os.environ |= {"DJANGO_SETTINGS_MODULE": "probed", "SHOP_SPOOL": str(self.root)}
        try:
            django.setup()
            call_command("migrate", verbosity=0)
        finally:
            os.environ.clear()
            os.environ.update(before)
            time.tzset()

    def manage(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run manage.py to its end."""
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=self.home,
            env=self.env | options,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start manage.py."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *words],
            cwd=self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("django") / "project")
    made.set_up()
    return made


@pytest.fixture(autouse=True)
def disconnected() -> Iterator[None]:
    """No connection to a database outlives a test."""
    yield
    from django.db import connections

    connections.close_all()


@pytest.fixture
def backend(project: Project, tmp_path: Path) -> Iterator[Any]:
    """A backend with a spool of the test's own, which no worker serves."""
    from django.conf import settings
    from django.test import override_settings

    from spoolq.contrib.django.framework import task_backends

    tasks = {"default": {**settings.TASKS["default"]}}
    tasks["default"]["OPTIONS"] = {"ROOT": tmp_path / "spool", "DURABILITY": "none"}
    with override_settings(TASKS=tasks):
        yield task_backends["default"]


@pytest.fixture(scope="session")
def worker(project: Project) -> Iterator[Any]:
    """The project's own backend, with a worker process that stays."""
    process = project.start("spoolq_worker", "-j", "2")
    assert process.stderr is not None
    lines: list[str] = []
    while not lines or "started" not in lines[-1]:
        lines.append(process.stderr.readline())
        assert lines[-1], f"it ended: {''.join(lines)}"
    from spoolq.contrib.django.framework import task_backends

    yield task_backends["default"]
    process.terminate()
    _, rest = process.communicate(timeout=20)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest, rest


@pytest.fixture
def finish(worker: Any) -> Callable[[Any], Any]:
    """Wait until a result is finished; the result, refreshed."""

    def finish(result: Any) -> Any:
        def ended() -> bool:
            result.refresh()
            return bool(result.is_finished)

        wait_for(ended, 30)
        return result

    return finish
