"""A spool over each backend, and one in a directory for what only separate processes can show."""

from __future__ import annotations

from pathlib import Path

import pytest

from spoolq import Spool, Worker
from tests.client.world import Diary
from tests.conftest import MakeBackend


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "diary")


@pytest.fixture
def spool(make_backend: MakeBackend) -> Spool:
    return Spool(make_backend())


@pytest.fixture
def file_spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", durability="none")


@pytest.fixture
def worker(spool: Spool) -> Worker:
    return spool.worker().register()
