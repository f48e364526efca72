"""A place for executables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runners.programs import Programs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """An empty jobs/; the private directories of attempts are made beside it."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    return Programs(tmp_path / "spool")
