"""A spool that cannot be used: one clear line, exit code 5, and nothing lost or left."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Ran, Shell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _foreign(root: Path) -> None:
    root.mkdir()
    (root / "thesis.tex").write_text("precious")


def _newer(root: Path) -> None:
    (root / "FORMAT").write_text("spoolq 2\n")


def _a_file(root: Path) -> None:
    root.write_text("not a directory")


def _below_a_file(root: Path) -> None:
    root.symlink_to(root.parent / "file" / "spool")
    (root.parent / "file").write_text("")


def _writable_by_others(root: Path) -> None:
    root.chmod(0o777)


def _full(root: Path) -> None:
    (root / "spoolq.toml").write_text("low_water = 900000000000000\n")


def _read_only(root: Path) -> None:
    for directory, _, _ in os.walk(root):
        os.chmod(directory, 0o500)


def _no_entry(root: Path) -> None:
    root.chmod(0)


needs_permissions = pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")


@pytest.mark.parametrize(
    ("made_first", "spoil"),
    [
        (False, _foreign),
        (True, _newer),
        (False, _a_file),
        (False, _below_a_file),
        (True, _writable_by_others),
        (True, _full),
        pytest.param(True, _read_only, marks=needs_permissions),
        pytest.param(True, _no_entry, marks=needs_permissions),
    ],
)
@pytest.mark.parametrize("program", ["spoolq", "miniq"])
def test_it_is_one_line_and_exit_code_5(
    shell: Shell, made_first: bool, spoil: Callable[[Path], None], program: str
) -> None:
    if made_first:
        shell.ok("enqueue", "before")
    spoil(shell.root)

    try:
        ran = _enqueue(shell, program)
    finally:
        if made_first:
            _unspoil(shell.root)

    assert (ran.code, ran.out) == (5, "")
    assert ran.err.count("\n") == 1
    assert ran.err.startswith(f"{program}: ")
    assert str(shell.root) in ran.err
    if made_first:
        assert [job["task"] for job in shell.json("list")] == ["before"]


def test_a_foreign_directory_is_left_untouched(shell: Shell) -> None:
    _foreign(shell.root)

    shell.run("list")

    assert os.listdir(shell.root) == ["thesis.tex"]


def test_settings_that_are_wrong_are_one_line(shell: Shell) -> None:
    shell.ok("repair")
    (shell.root / "spoolq.toml").write_text("durability = 7\n")

    ran = shell.run("list")

    assert ran.code in (2, 5)
    assert ran.err.count("\n") == 1


def test_a_wrong_durability_is_a_usage_error(shell: Shell) -> None:
    ran = shell.run("--durability", "some", "list")

    assert ran.code == 2
    assert ran.err.count("\n") == 1


def test_the_option_before_the_verb_names_the_spool(shell: Shell, tmp_path: Path) -> None:
    shell.ok("--root", str(tmp_path / "other"), "enqueue", "task")

    assert (tmp_path / "other" / "FORMAT").exists()
    assert not shell.root.exists()


def test_a_traceback_is_there_for_who_asks(shell: Shell) -> None:
    _foreign(shell.root)

    assert "Traceback" in shell.run("--debug", "list").err


def _enqueue(shell: Shell, program: str) -> Ran:
    words = ["after"] if program == "miniq" else ["enqueue", "after"]
    return shell.run(*words, program=program)


def _unspoil(root: Path) -> None:
    for directory, _, _ in os.walk(root):
        os.chmod(directory, 0o700)
    root.chmod(0o700)
    for directory, _, _ in os.walk(root):
        os.chmod(directory, 0o700)
    (root / "spoolq.toml").unlink(missing_ok=True)
    if (root / "FORMAT").read_text() == "spoolq 2\n":
        (root / "FORMAT").write_text("spoolq 1\n")
