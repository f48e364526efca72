"""The documented examples run; what is wrong in a call a type checker finds before they do."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spoolq import Spool
from tests.typing.examples import EXAMPLES

HERE = Path(__file__).parent


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
@pytest.mark.parametrize("kind", ["memory", "files"])
def test_an_example_does_what_it_says(
    example: Callable[[Spool], None], kind: str, tmp_path: Path
) -> None:
    example(Spool("memory:" if kind == "memory" else tmp_path / "spool", durability="none"))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pyright") is None, reason="needs pyright")
def test_pyright_accepts_the_examples_and_refuses_every_wrong_call(tmp_path: Path) -> None:
    """mypy does the same whenever it reads the tests: a comment for nothing is an error to it."""
    config = {
        "include": ["examples.py", "wrong.py"],
        "extraPaths": [str(HERE.parent.parent)],
        "enableTypeIgnoreComments": False,
        "reportPrivateUsage": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    for name in ("examples.py", "wrong.py"):
        shutil.copy(HERE / name, tmp_path)

    ran = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "-p", str(tmp_path), "--pythonpath",
         sys.executable],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    found = [
        (Path(item["file"]).name, item["range"]["start"]["line"] + 1, item["message"])
        for item in json.loads(ran.stdout)["generalDiagnostics"]
        if item["severity"] == "error"
    ]
    assert [item for item in found if item[0] == "examples.py"] == []
    lines = enumerate((HERE / "wrong.py").read_text().splitlines(), 1)
    expected = {number for number, line in lines if "# type: ignore" in line}
    assert {line for name, line, _ in found if name == "wrong.py"} == expected
