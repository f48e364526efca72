"""The programs in docs/frameworks.md run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.contrib import need

need("fastapi", "flask")

TEXT: Final = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text(encoding="utf-8")
BLOCKS: Final = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=[block.split()[1] for block in BLOCKS])
def test_a_program_of_the_page_can_be_imported(block: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(block)
    made = "shop.create_app()" if "create_app" in block else "shop"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import shop; {made}"],
        cwd=tmp_path,
        env={**os.environ, "SPOOLQ_ROOT": str(tmp_path / "spool")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("path", re.findall(r"\]\(([\w/.-]+)\)", TEXT))
def test_what_the_page_refers_to_is_there(path: str) -> None:
    assert (Path(__file__).parents[2] / "docs" / path).exists()
