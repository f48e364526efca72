"""The pytest plugin: the fixture `spool`, loaded by pytest wherever spoolq is installed.

    [tool.pytest.ini_options]
    spoolq_app = "shop.tasks:spool"

names the spool of the program under test: while a test has the fixture, what the program enqueues
lands in the test's own spool. Without it the fixture is a spool without tasks.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from spoolq.testing import SpoolUnderTest

OPTION = "spoolq_app"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`spoolq_app`."""
    parser.addini(OPTION, "the spool of the program under test, as module:spool", default="")


def pytest_configure(config: pytest.Config) -> None:
    """A program opens its spool when it is imported: that must not be the one it works with."""
    if config.getini(OPTION):
        os.environ["SPOOLQ_ROOT"] = tempfile.mkdtemp(prefix="spoolq-test-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it."""
    if config.getini(OPTION):
        import shutil

        shutil.rmtree(os.environ.pop("SPOOLQ_ROOT"), ignore_errors=True)


@pytest.fixture
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SpoolUnderTest]:
    """A spool in a temporary directory with a clock that only the test moves."""
    from spoolq.cli.apps import load_app
    from spoolq.files.store import FileBackend
    from spoolq.testing import FakeClock, under_test

    name = str(request.config.getini(OPTION))
    program = load_app(name) if name else None
    clock = FakeClock()
    backend = FileBackend(str(tmp_path / "spool"), clock=clock, durability="none")
    with under_test(backend, clock, program) as tested:
        yield tested
