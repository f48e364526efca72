"""`edit`: jobs are changed by options, or by a person in an editor."""

from __future__ import annotations

import json
import os
import pty
import sys
from pathlib import Path

import pytest

from spoolq import Spool
from tests.cli.conftest import Ran, Shell
from tests.support import job_in


@pytest.fixture
def waiting(shell: Shell) -> Shell:
    shell.ok("enqueue", "-n", '{"a": 1}', "resize", "a.png")
    return shell


def in_editor(shell: Shell, script: str, *words: str) -> Ran:
    """`edit` at a terminal, with a shell script as the editor: $1 is the file."""

    editor = shell.root.parent / "editor"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o755)
    ours, theirs = pty.openpty()
    shell.env["EDITOR"] = str(editor)
    with shell.popen("edit", *words, stdin=theirs, stdout=theirs) as editing:
        os.close(theirs)
        _, err = editing.communicate(timeout=60)
    os.close(ours)
    return Ran(editing.returncode, "", err.decode())


def test_options_change_a_job_and_count_no_retry(waiting: Shell) -> None:
    waiting.ok(
        "edit", "1", "-p", "5", "-q", "gpu", "-A", "3", "-t", "9", "--args", '["b.png", 3]',
        "--kwargs", '{"width": 800}', "-d", "1h", "-n", "b=2",
    )  # fmt: skip

    job = waiting.json("show", "1")
    assert (job["priority"], job["queue"], job["attempts"], job["timeout"]) == (5, "gpu", 3, 9)
    assert (job["args"], job["kwargs"]) == (["b.png", 3], {"width": 800})
    assert (job["notes"], job["retries"], job["view"]) == ({"a": 1, "b": 2}, 0, "delayed")


def test_none_takes_a_timeout_and_an_expiry_away(shell: Shell) -> None:
    shell.ok("enqueue", "-t", "9", "-E", "1h", "foo")
    shell.ok("edit", "1", "--timeout", "none", "--expire", "none")

    job = shell.json("show", "1")
    assert (job["timeout"], job["expires"]) == (None, None)


def test_several_jobs_are_edited_alike(waiting: Shell) -> None:
    waiting.ok("enqueue", "other")

    assert waiting.json("edit", "state:ready", "--priority", "7") == [
        {"id": 1, "edited": True},
        {"id": 2, "edited": True},
    ]


def test_an_active_job_is_a_conflict(shell: Shell) -> None:
    backend = Spool(shell.root, durability="none").backend
    job_in("active", backend, backend.register_worker())

    ran = shell.run("edit", "1", "-p", "3")

    assert (ran.code, ran.out) == (4, "")
    assert "job 1 was not edited: it is active" in ran.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["edit"], 2),
        (["edit", "1"], 2),
        (["edit", "7", "-p", "3"], 3),
        (["edit", "queue:defualt", "-p", "3"], 3),
        (["edit", "1", "--args", "{}"], 2),
        (["edit", "1", "--args", "nonsense"], 2),
        (["edit", "1", "--attempts", "-1"], 2),
        (["edit", "1", "--timeout", "0"], 2),
        (["edit", "1", "-d", "1h", "--at", "17:00"], 2),
    ],
)
def test_a_wrong_call_changes_nothing(waiting: Shell, words: list[str], code: int) -> None:
    before = waiting.json("show", "1")["args"]

    assert waiting.run(*words).code == code
    assert waiting.json("show", "1")["args"] == before


def test_what_is_saved_in_the_editor_is_what_the_job_is(waiting: Shell) -> None:
    ran = in_editor(waiting, 'sed -i "s/a.png/b.png/; s/\\"a\\": 1/\\"c\\": 2/" "$1"', "1")

    assert (ran.code, ran.err) == (0, "")
    job = waiting.json("show", "1")
    assert (job["args"], job["notes"], job["retries"]) == (["b.png"], {"c": 2}, 0)


def test_a_file_that_is_saved_as_it_was_changes_nothing(waiting: Shell) -> None:
    ran = in_editor(waiting, 'touch "$1"', "1")

    assert ran.code == 0
    assert "job 1 is as it was" in ran.err


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('echo "{" >"$1"', "it is not JSON"),
        ('echo "[]" >"$1"', "it is no JSON object"),
        ('echo \'{"task": "evil"}\' >"$1"', "there is no 'task' to edit"),
        ('echo \'{"priority": "high"}\' >"$1"', "priority must be an integer"),
    ],
)
def test_nonsense_from_the_editor_is_refused_and_kept(
    waiting: Shell, script: str, said: str
) -> None:
    ran = in_editor(waiting, script, "1")

    assert ran.code == 2
    assert said in ran.err
    kept = Path(ran.err.rpartition("what you wrote is in ")[2].strip())
    assert kept.stat().st_mode & 0o777 == 0o600
    assert waiting.json("show", "1")["args"] == ["a.png"]


def test_an_editor_that_fails_changes_nothing(waiting: Shell) -> None:
    assert in_editor(waiting, "exit 3", "1").code == 1


def test_an_editor_takes_one_job(waiting: Shell) -> None:
    waiting.ok("enqueue", "foo")

    assert "an editor takes one job" in in_editor(waiting, "true", "all").err


def test_a_job_that_was_retried_meanwhile_is_not_overwritten(waiting: Shell) -> None:
    retry = f'{json.dumps(sys.executable)} -m spoolq retry 1; sed -i s/a.png/b.png/ "$1"'

    assert in_editor(waiting, retry, "1").code == 4
    assert waiting.json("show", "1")["args"] == ["a.png"]


def test_a_label_is_changed_and_taken_away(shell: Shell) -> None:
    shell.ok("add", "-L", "old", "-n", "batch=7", "true")

    shell.ok("edit", "-L", "new", "1")
    assert shell.json("show", "1")["notes"] == {"label": "new", "batch": 7}

    shell.ok("edit", "-L", "none", "1")
    assert shell.json("show", "1")["notes"] == {"batch": 7}
