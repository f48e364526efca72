"""The README as a new user follows it: its own blocks, line by line, in an empty directory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parents[2]
README: Final = (HERE / "README.md").read_text(encoding="utf-8")


def blocks(heading: str) -> list[tuple[str, str]]:
    """Language and text of the blocks under a heading of the README."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {heading!r}"
    return re.findall(r"^```(\w+)\n(.*?)^```$", found[1], re.MULTILINE | re.DOTALL)


def named(heading: str, name: str) -> str:
    """The block that follows the mention of a file."""
    pattern = rf"^## {heading}\n.*?`{name}`.*?^```python\n(.*?)^```$"
    found = re.search(pattern, README, re.MULTILINE | re.DOTALL)
    assert found, f"no block under {heading!r} is {name!r}"
    return found[1]


def run(script: str, where: Path, env: dict[str, str], timeout: float) -> str:
    """What a shell prints that stops at the first command which fails."""
    ended = subprocess.run(
        ["bash", "-ec", script],
        cwd=where,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def environment(bin_: Path | None) -> dict[str, str]:
    env = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    path = os.environ.get("PATH", os.defpath)
    return {**env, "PATH": f"{bin_}:{path}" if bin_ else path}


def write_program(where: Path) -> str:
    """Write the files of the Python quickstart; the commands that come after them."""
    for name in ("tasks.py", "use.py"):
        (where / name).write_text(named("From Python", name))
    [commands] = [text for language, text in blocks("From Python") if language == "sh"]
    return commands


def check_program(printed: str) -> None:
    lines = printed.splitlines()
    assert lines[0] == "{'to': 2, 'be': 2}"
    said = re.fullmatch(r"job (\d+) waits for a worker of its queue", lines[1])
    assert said
    assert f"Id: {said[1]}" in lines
    assert "State: finished" in lines


def test_the_python_quickstart_works_as_it_stands(tmp_path: Path) -> None:
    commands = write_program(tmp_path)
    env = environment(Path(sys.executable).parent)
    env |= {"SPOOLQ_ROOT": str(tmp_path / "spool")}

    check_program(run(commands, tmp_path, env, 60))


@pytest.mark.slow
def test_the_python_quickstart_is_well_typed(tmp_path: Path) -> None:
    write_program(tmp_path)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "use.py"]
    ended = subprocess.run(mypy, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.slow  # installs from the package index
@pytest.mark.timeout(600)
def test_a_new_user_gets_from_a_clone_to_a_result(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    unwanted = shutil.ignore_patterns(".git", ".venv", "*_cache", "__pycache__", ".hypothesis")
    shutil.copytree(HERE, clone, ignore=unwanted)
    first = blocks("Try it")[0][1]
    commands = write_program(clone)

    printed = run(f"{first}\n{commands}", clone, environment(None), 580)
    checksums, program = printed.split("{'to'", 1)
    assert "State: finished" in checksums
    check_program("{'to'" + program)
