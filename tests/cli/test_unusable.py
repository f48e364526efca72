"""A spool that cannot be used: one clear line, exit code 5, and nothing lost or left."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import typer

from spoolq.cli.app import GROUPS, make_app
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


# One call of each verb, as it would be right.
CALLS: dict[str, list[str]] = {
    "add": ["add", "true"],
    "enqueue": ["enqueue", "foo"],
    "import": ["import", "jobs.jsonl"],
    "process": ["process"],
    "repair": ["repair"],
    "worker": ["worker", "--burst"],
    "list": ["list"],
    "ls": ["ls"],
    "count": ["count"],
    "is": ["is", "failed", "1"],
    "show": ["show", "1"],
    "info": ["info", "1"],
    "why": ["why", "1"],
    "logs": ["logs", "1"],
    "result": ["result", "1"],
    "wait": ["wait", "1"],
    "stats": ["stats"],
    "workers": ["workers"],
    "ps": ["ps"],
    "retry": ["retry", "1"],
    "hold": ["hold", "1"],
    "release": ["release", "1"],
    "remove": ["remove", "1"],
    "rm": ["rm", "1"],
    "kill": ["kill", "1"],
    "note": ["note", "1", "a=1"],
    "clean": ["clean"],
    "edit": ["edit", "1", "-p", "3"],
    "pause": ["pause", "1"],
    "resume": ["resume", "1"],
    "queue": ["queue"],
    "queue list": ["queue", "list"],
    "queue ls": ["queue", "ls"],
    "queue pause": ["queue", "pause", "default"],
    "queue resume": ["queue", "resume", "default"],
    "queue close": ["queue", "close", "default"],
    "queue open": ["queue", "open", "default"],
    "queue set": ["queue", "set", "default", "--limit", "1"],
    "lock": ["lock", "nightly", "--ttl", "9"],
    "unlock": ["unlock", "nightly"],
    "locks": ["locks"],
    "doctor": ["doctor"],
    "job": ["job"],
    "schedule": ["schedule"],
    "events": ["events"],
    "progress": ["progress", "1", "5"],
}
# They write what is to be used elsewhere and open no spool.
OPEN_NOTHING = {"install", "install systemd", "install cron", "completions", "compat"}


def _verbs() -> set[str]:
    """Every verb there is, with those below it."""
    tree = typer.main.get_command(make_app(GROUPS))
    found: set[str] = set()
    for name, command in getattr(tree, "commands", {}).items():
        found |= {name, *(f"{name} {below}" for below in getattr(command, "commands", {}))}
    return found


def test_every_verb_has_a_case_below() -> None:
    assert _verbs() == CALLS.keys() | OPEN_NOTHING


@pytest.mark.parametrize("verb", CALLS)
def test_no_verb_can_use_a_spool_that_is_none(shell: Shell, verb: str) -> None:
    _foreign(shell.root)
    (shell.root.parent / "jobs.jsonl").write_text('{"task": "foo"}\n')

    ran = shell.run(*CALLS[verb])

    assert (ran.code, ran.out) == (5, "")
    assert str(shell.root) in ran.err
    assert "Traceback" not in ran.err
    assert os.listdir(shell.root) == ["thesis.tex"]
