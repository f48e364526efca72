"""Colours: on a terminal, when nothing forbids them, and nowhere else."""

from __future__ import annotations

import pytest

from spoolq import Spool
from tests.cli.conftest import Shell, Terminal

RED_FAILED = "\x1b[31mfailed"


@pytest.fixture
def failed(shell: Shell) -> Shell:
    shell.ok("add", "false")
    shell.ok("process")
    shell.ok("add", "true")
    return shell


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "words", "coloured"),
    [
        ({"NO_COLOR": ""}, (), True),
        ({"NO_COLOR": "1"}, (), False),
        ({"NO_COLOR": "", "TERM": "dumb"}, (), False),
        ({"NO_COLOR": "", "TERM": "dumb", "FORCE_COLOR": "1"}, (), True),
        ({"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, (), False),
        ({"NO_COLOR": "1"}, ("--color", "always"), True),
        ({"NO_COLOR": ""}, ("--color", "never"), False),
        ({"NO_COLOR": "", "SPOOLQ_COLOR": "never"}, (), False),
        ({"SPOOLQ_COLOR": "never"}, ("--color=always",), True),
    ],
    ids=str,
)
def test_a_terminal_is_coloured_unless_somebody_objects(
    failed: Shell, terminal: Terminal, env: dict[str, str], words: tuple[str, ...], coloured: bool
) -> None:
    failed.env |= env

    assert (RED_FAILED in terminal.run(*words, "list").out) is coloured
    assert (RED_FAILED in terminal.run(*words, "show", "1").out) is coloured
    assert ("\x1b[31m✗" in terminal.run(*words, "why", "2").out) is coloured


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["list", "show", "why", "stats", "workers", "doctor", "logs"])
def test_a_pipe_is_never_coloured_by_itself(failed: Shell, verb: str) -> None:
    failed.env |= {"NO_COLOR": "", "TERM": "xterm"}

    assert "\x1b" not in failed.run(verb).out


@pytest.mark.parametrize("form", ["tsv", "json", "jsonl", "ids"])
def test_data_is_never_coloured(failed: Shell, terminal: Terminal, form: str) -> None:
    assert "\x1b" not in terminal.run("--color", "always", "list", "-o", form).out


def test_colours_do_not_move_a_column(failed: Shell, terminal: Terminal) -> None:
    bare = terminal.run("list").out
    coloured = terminal.run("--color", "always", "list").out

    assert coloured.replace("\x1b[31m", "").replace("\x1b[0m", "") == bare


def test_a_word_that_is_no_answer_is_refused(failed: Shell, terminal: Terminal) -> None:
    ran = terminal.run("--color", "allways", "list")

    assert (ran.code, "did you mean 'always'?" in ran.out) == (2, True)


def test_workers_show_their_clock_and_their_version(shell: Shell, terminal: Terminal) -> None:
    backend = Spool(shell.root, durability="none").backend
    for runs, ahead in (("0.1.0", 0.02), ("0.0.9", 41.2), ("0.1.0", -3)):
        backend.register_worker(status={"version": runs, "clock": ahead})
    backend.register_worker(status={})

    head, *rows = terminal.run("workers", columns=120).out.splitlines()

    clock, version = head.index("CLOCK"), head.index("VERSION")
    assert [row[clock : clock + 5].strip() for row in rows[:4]] == ["", "-3s", "+41s", "0s"]
    assert [row[version:].strip() for row in rows[:4]] == ["", "0.1.0", "0.0.9 !", "0.1.0"]
    assert rows[4] == "!: another version than the newest one here"


@pytest.mark.parametrize("verb", ["count", "list", "stats"])
def test_a_word_that_says_nothing_of_colours_is_refused_by_every_verb(
    shell: Shell, verb: str
) -> None:
    ran = shell.run("--color", "sometimes", verb)

    assert (ran.code, ran.out) == (2, "")
    assert "--color 'sometimes': when?" in ran.err
