"""A place for executables, and one for functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spoolq import Spool
from tests.runners.functions import Stage
from tests.runners.programs import Programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """An empty jobs/; the private directories of attempts are made beside it."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    return Programs(tmp_path / "spool")


# The pool performs as fork does, but for what is kept between jobs: CI tries both.
POOL = pytest.param("pool", marks=pytest.mark.slow)


@pytest.fixture(params=["fork", POOL, "aio"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A spool whose functions are performed by each runner in turn."""
    yield from _stage(tmp_path, request.param)


@pytest.fixture(params=["fork", POOL])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A spool whose functions have a process for themselves while they run."""
    yield from _stage(tmp_path, request.param)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Stage]:
    """A spool whose functions are performed by children that stay."""
    yield from _stage(tmp_path, "pool")


@pytest.fixture
def aio(tmp_path: Path) -> Iterator[Stage]:
    """A spool whose coroutines share a child."""
    yield from _stage(tmp_path, "aio")


def _stage(tmp_path: Path, runner: str) -> Iterator[Stage]:
    stage = Stage(Spool(tmp_path / "spool", durability="none"), runner)
    yield stage
    stage.close()
