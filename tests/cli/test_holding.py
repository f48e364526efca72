"""`hold`, `release` and `--hold`: what a person keeps back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spoolq import Spool
from tests.cli.conftest import Shell
from tests.support import job_in


def held(shell: Shell) -> list[int]:
    return [job["id"] for job in shell.json("list") if job["held"]]


def test_what_is_held_does_not_run_until_it_is_released(shell: Shell) -> None:
    shell.add_executable("hello", "echo hello")
    shell.ok("enqueue", "hello")
    shell.ok("hold", "1")

    shell.ok("process")
    assert (held(shell), shell.json("show", "1")["state"]) == ([1], "inactive")

    shell.ok("release", "1")
    shell.ok("process")
    assert shell.json("show", "1")["state"] == "finished"


@pytest.mark.parametrize("words", [["enqueue", "--hold", "foo"], ["add", "--hold", "true"]])
def test_a_job_may_be_held_from_the_start(shell: Shell, words: list[str]) -> None:
    job_id = int(shell.ok(*words))

    assert held(shell) == [job_id]
    assert [*shell.ok("list", "-o", "tsv", "--no-header").split("\t")][1] == "held"


def test_bulk_jobs_may_be_held(shell: Shell, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text('a\n{"args": ["b"], "hold": true}\n')

    shell.run("enqueue", "foo", "--from", str(lines))

    assert held(shell) == [2]


def test_an_imported_job_is_held_as_it_was(shell: Shell, tmp_path: Path) -> None:
    shell.ok("enqueue", "--hold", "foo")
    (tmp_path / "jobs.jsonl").write_text(shell.ok("list", "-o", "jsonl") + "\n")

    shell.run("import", str(tmp_path / "jobs.jsonl"))

    assert held(shell) == [2, 1]


def test_why_says_that_it_is_held_and_how_to_release_it(shell: Shell) -> None:
    shell.ok("enqueue", "--hold", "foo")

    assert shell.json("why", "1")["reasons"][0]["code"] == "held"
    assert "fix: spoolq release 1" in shell.ok("why", "1")
    assert shell.json("list", "state:held")[0]["reason"]["code"] == "held"
    assert shell.json("stats")["queues"][0]["held"] == 1


def test_a_dry_run_says_that_it_would_be_held(shell: Shell) -> None:
    assert json.loads(shell.ok("enqueue", "--hold", "--dry-run", "foo"))["held"] is True


@pytest.mark.parametrize("state", ["active", "finished", "failed"])
def test_what_is_not_inactive_is_a_conflict(shell: Shell, state: str) -> None:
    backend = Spool(shell.root, durability="none").backend
    job_in(state, backend, backend.register_worker())  # type: ignore[arg-type]

    ran = shell.run("hold", "1")
    assert (ran.code, ran.out) == (4, "")
    assert "job 1 was not held: it is not inactive" in ran.err
    assert shell.run("release", "1").code == 4


@pytest.mark.parametrize("verb", ["hold", "release"])
def test_nothing_named_is_2_and_no_such_job_is_3(shell: Shell, verb: str) -> None:
    shell.ok("enqueue", "foo")

    assert shell.run(verb).code == 2
    assert shell.run(verb, "7").code == 3
    assert shell.run(verb, "queue:defalt").code == 3
