"""A spool's jobs/ with every example in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.runners.programs import Programs

EXAMPLES = Path(__file__).parents[2] / "jobs.example"


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    programs = Programs(tmp_path / "spool")
    for example in EXAMPLES.iterdir():
        shutil.copy(example, programs.root / "jobs" / example.name)
    return programs
