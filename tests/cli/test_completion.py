"""Completion: what is offered, asked of real shells."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spoolq.files.store import FileBackend
from tests.cli.conftest import Shell
from tests.support.jobs import claim

BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")

# What bash itself would set before it calls the function.
_BASH = """
source "$1"
COMP_LINE=$2 COMP_POINT=${#2}
read -ra COMP_WORDS <<<"$2"
[[ $2 == *[[:space:]] ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_spoolq 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def place(shell: Shell, tmp_path: Path) -> Shell:
    """A spool with a job in each state, and a `spoolq` on the PATH."""
    backend = FileBackend(str(shell.root), durability="none")
    worker = backend.register_worker(status={"tasks": ["render"], "queues": ["default"]})
    for state in ("finished", "failed", "active"):
        backend.enqueue(f"{state}-task", priority=1)
        job = claim(backend, worker)
        if state == "finished":
            backend.finish_job(job["id"], 0)
        elif state == "failed":
            backend.fail_job(job["id"], 0)
    backend.enqueue("resize", queue="images")
    backend.enqueue("exec", ["make", "-j4"], queue="a b")
    shell.add_executable("notify.job", "true")
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "spoolq"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m spoolq "$@"\n')
    program.chmod(0o755)
    shell.env["PATH"] = f"{programs}:{shell.env['PATH']}"
    return shell


def offered(place: Shell, line: str) -> list[str]:
    """What `__complete` answers for a line, its directive first."""
    words = line.split(" ")[1:]
    return place.run("__complete", *words).out.splitlines()


def values(place: Shell, line: str) -> list[str]:
    found = offered(place, line)
    assert found[0] == "values"
    return [value.partition("\t")[0] for value in found[1:]]


def test_verbs_are_offered_with_what_they_do(place: Shell) -> None:
    assert {"remove", "repair", "result", "retry"} <= {*values(place, "spoolq re")}
    assert offered(place, "spoolq remov")[1] == "remove\tRemove jobs that are not active."


def test_verbs_of_a_group_are_offered_behind_its_name(place: Shell) -> None:
    assert values(place, "spoolq install ") == ["cron", "systemd"]


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("spoolq retry ", ["2"]),
        ("spoolq kill ", ["3"]),
        ("spoolq result ", ["1"]),
        ("spoolq remove ", ["5", "4", "2", "1"]),
        ("spoolq show ", ["5", "4", "3", "2", "1"]),
        ("spoolq is failed ", ["5", "4", "3", "2", "1"]),
        ("spoolq add --after ", ["5", "4", "3", "2", "1"]),
        ("spoolq add --after=", [f"--after={id_}" for id_ in "54321"]),
        ("spoolq show 1 3", ["3"]),
    ],
)
def test_only_ids_are_offered_that_the_verb_can_act_on(
    place: Shell, line: str, ids: list[str]
) -> None:
    found = [value for value in values(place, line) if value[-1].isdigit()]

    assert found == ids


def test_an_id_is_shown_with_what_the_job_does(place: Shell) -> None:
    assert "3\tactive — active-task" in offered(place, "spoolq kill ")
    assert "5\tready — make -j4" in offered(place, "spoolq show ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("spoolq list -q ", ["a b", "default", "images"]),
        ("spoolq list queue:im", ["queue:images"]),
        ("spoolq list state:f", ["state:finished", "state:failed"]),
        ("spoolq list --state del", ["delayed"]),
        ("spoolq is f", ["finished", "failed"]),
        ("spoolq enqueue ", ["exec", "notify", "notify.job", "render"]),
        ("spoolq enqueue -q images n", ["notify", "notify.job"]),
        ("spoolq queue pa", ["pause"]),
        ("spoolq queue pause im", ["images"]),
        ("spoolq list -o js", ["json", "jsonl"]),
        ("spoolq list --no", ["--no-header"]),
        ("spoolq completions ", ["bash", "zsh", "fish"]),
        ("spoolq add -p ", []),
        ("spoolq nonsense ", []),
        ("spoolq list -- --no", []),
    ],
)
def test_values_are_offered_by_what_stands_before(
    place: Shell, line: str, expected: list[str]
) -> None:
    assert values(place, line) == expected


@pytest.mark.parametrize(
    ("line", "directive"),
    [
        ("spoolq import ", "files"),
        ("spoolq --root ", "directories"),
        ("spoolq add -C ", "directories"),
        ("spoolq add ", "command 2"),
        ("spoolq add -q images ", "command 4"),
        ("spoolq add -q images tar x", "command 4"),
        ("spoolq enqueue notify ", "files"),
        ("spoolq lock nightly -- tar ", "command 4"),
    ],
)
def test_what_a_shell_knows_better_is_left_to_it(place: Shell, line: str, directive: str) -> None:
    assert offered(place, line) == [directive]


def test_another_spool_is_looked_into_when_the_line_names_it(place: Shell, tmp_path: Path) -> None:
    FileBackend(str(tmp_path / "other"), durability="none").enqueue("t", queue="elsewhere")

    assert values(place, f"spoolq --root {tmp_path}/other list -q ") == ["elsewhere"]


def test_completion_makes_no_spool(shell: Shell) -> None:
    assert values(shell, "spoolq show ")[:2] == []

    assert not shell.root.exists()


def test_hostile_names_stay_off_the_terminal(place: Shell) -> None:
    place.ok("enqueue", "-q", "x\x1b[2J\ny", "bad\x1b[2J")

    found = offered(place, "spoolq show ")

    assert found[1] == "6\tready — bad?[2J"
    assert not any("\x1b" in line for line in offered(place, "spoolq list -q "))


def test_completion_loads_no_more_than_a_short_question(place: Shell) -> None:
    code = "import sys; from spoolq.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    run = [sys.executable, "-c", code, "__complete", "retry", ""]

    loaded = subprocess.run(run, env=place.env, capture_output=True, text=True, check=True)

    heavy = {"typer", "typing", "dataclasses", "inspect", "spoolq.spool", "spoolq.files.store"}
    assert heavy & set(loaded.stdout.splitlines()[-1].split()) == set()


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script_is_printed_and_unknown_shells_are_refused(place: Shell, name: str) -> None:
    assert "__complete" in place.ok("completions", name)
    assert place.json("completions", name)["shell"] == name

    refused = place.run("completions", f"{name}x")
    assert (refused.code, f"did you mean '{name}'?" in refused.err) == (2, True)


# -- bash ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("spoolq retr", ["retry"]),
        ("spoolq retry 2", ["2"]),
        ("spoolq list state:fa", ["failed"]),  # bash takes what stands behind the colon
        ("spoolq list --queue=im", ["images"]),
        ("spoolq list -q a", ["a\\ b"]),
        ("spoolq add tru", ["true", "truncate"]),
    ],
)
def test_bash_offers_it(place: Shell, tmp_path: Path, line: str, expected: list[str]) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(place.ok("completions", "bash"))

    run = ["bash", "--norc", "-c", _BASH, "bash", str(script), line]
    ran = subprocess.run(run, env=place.env, capture_output=True, text=True, check=True)

    assert (set(expected) <= set(ran.stdout.splitlines()), ran.stderr) == (True, "")
    if "add" not in line:
        assert ran.stdout.splitlines() == expected


def test_a_key_pressed_in_bash_completes_the_line(place: Shell, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(place.ok("completions", "bash") + "\n")
    terminal = Typed(["bash", "--norc", "-i"], place, tmp_path)

    terminal.say(f"source {tmp_path}/script; echo re''ady\r", until="ready")
    terminal.say("echo spoolq; spoolq list -q ima\t", until="images")
    terminal.say("-S fini\t--js\t\r", until="[]")
    terminal.close()


# -- zsh and fish --------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_a_key_pressed_in_zsh_completes_the_line(place: Shell, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(place.ok("completions", "zsh") + "\n")
    terminal = Typed(["zsh", "-f", "-i"], place, tmp_path)
    start = f"autoload -Uz compinit; compinit -D -u; source {tmp_path}/script; echo re''ady\r"

    terminal.say(start, until="ready")
    terminal.say("spoolq list -q ima\t", until="images")
    terminal.say(" state:fini\t--js\t\r", until="[]")
    terminal.say("spoolq show \t", until="make -j4")
    terminal.close()


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("spoolq remov", ["remove\tRemove jobs that are not active."]),
        ("spoolq kill ", ["3\tactive — active-task"]),
        ("spoolq list state:fa", ["state:failed"]),
        ("spoolq list --queue=im", ["--queue=images"]),
    ],
)
def test_fish_offers_it(place: Shell, tmp_path: Path, line: str, expected: list[str]) -> None:
    script = tmp_path / "completion.fish"
    script.write_text(place.ok("completions", "fish") + "\n")
    env = {**place.env, "HOME": str(tmp_path), "LANG": "C.UTF-8"}

    run = ["fish", "--no-config", "-c", f'source {script}; complete -C "{line}"']
    ran = subprocess.run(run, env=env, capture_output=True, text=True, check=True)

    found = [value for value in ran.stdout.splitlines() if not value.startswith(("last", "all"))]
    assert [value for value in found if not value.split("\t")[0].endswith(":")] == expected


class Typed:
    """A shell at a terminal, into which keys are pressed."""

    def __init__(self, argv: list[str], place: Shell, home: Path) -> None:
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            env = {**place.env, "HOME": str(home), "TERM": "xterm", "PS1": "$ ", "LANG": "C.UTF-8"}
            env |= {"HISTFILE": "", "COLUMNS": "100"}
            os.chdir(home)
            os.execvpe(argv[0], argv, env)

    def say(self, keys: str, *, until: str) -> None:
        """Press keys; wait until the screen has shown this, which is not among the keys."""
        os.write(self._fd, keys.encode())
        seen = ""
        deadline = time.monotonic() + 20
        while until not in seen:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{until!r} was not shown: {seen!r}"
            seen += os.read(self._fd, 65536).decode("utf-8", "replace")

    def close(self) -> None:
        os.close(self._fd)
        os.waitpid(self._pid, 0)
