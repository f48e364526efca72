"""`queue`: what is said of queues from the command line, and what it does to the other verbs."""

from __future__ import annotations

import getpass
import json
from typing import Any

import pytest

from spoolq import Spool
from tests.cli.conftest import Shell, Terminal
from tests.support import claim


@pytest.fixture
def busy(shell: Shell) -> Shell:
    """A queue with a job that runs and two that wait."""
    backend = Spool(shell.root, durability="none").backend
    for _ in range(3):
        backend.enqueue("foo", queue="gpu")
    claim(backend, backend.register_worker(), queues=["gpu"])
    return shell


def queues(shell: Shell) -> dict[str, Any]:
    found = json.loads(shell.ok("queue", "list", "--json"))
    return {queue["queue"]: queue for queue in found}


def test_a_paused_queue_starts_nothing_until_it_is_resumed(shell: Shell) -> None:
    shell.add_executable("hello", "echo hello")
    shell.ok("enqueue", "hello")
    shell.ok("queue", "pause", "default", "--why", "disk swap")

    shell.ok("process")
    assert shell.json("show", "1")["state"] == "inactive"

    shell.ok("queue", "resume", "default")
    shell.ok("process")
    assert shell.json("show", "1")["state"] == "finished"


def test_who_paused_a_queue_when_and_why_is_shown(busy: Shell) -> None:
    busy.ok("queue", "pause", "gpu", "--why", "disk swap")

    paused = queues(busy)["gpu"]["paused"]
    assert (paused["by"], paused["why"]) == (getpass.getuser(), "disk swap")
    assert paused["at_at"].endswith("Z")
    assert f"paused by {getpass.getuser()}: disk swap" in busy.ok("queue")


def test_why_and_list_say_that_the_queue_is_paused(busy: Shell) -> None:
    busy.ok("queue", "pause", "gpu", "--why", "disk swap")

    assert busy.json("why", "2")["reasons"][0]["code"] == "queue-paused"
    assert "fix: spoolq queue resume gpu" in busy.ok("why", "2")
    assert "disk swap" in busy.json("list", "2")[0]["reason"]["text"]


def test_adding_to_a_paused_queue_is_done_and_said(shell: Shell) -> None:
    shell.ok("queue", "pause", "default", "--why", "disk \x1b[1mswap")

    ran = shell.run("add", "true")

    assert (ran.code, ran.out) == (0, "1\n")
    assert "queue default is paused by" in ran.err
    assert "\x1b" not in ran.err


@pytest.mark.parametrize(
    "words", [["enqueue", "foo"], ["add", "true"], ["enqueue", "--after", "1", "foo"]]
)
def test_a_closed_queue_refuses_new_jobs_with_exit_code_6(shell: Shell, words: list[str]) -> None:
    shell.ok("enqueue", "foo")
    shell.ok("queue", "close", "default", "--why", "moving house")

    ran = shell.run(*words)

    assert (ran.code, ran.out) == (6, "")
    assert f"queue 'default' is closed by {getpass.getuser()}: moving house" in ran.err
    assert ran.err.count("\n") == 1
    assert shell.json("count")["count"] == 1
    shell.ok("queue", "open", "default")
    shell.ok("enqueue", "foo")


def test_many_jobs_for_a_closed_queue_are_refused_with_exit_code_6(shell: Shell) -> None:
    shell.ok("queue", "close", "default")
    with shell.popen("enqueue", "foo", "--from", "-", stdin=-1) as adding:
        _, err = adding.communicate(b"a\nb\n", 60)

    assert adding.returncode == 6
    assert b"nothing is stored" in err


def test_miniq_is_refused_as_well(shell: Shell) -> None:
    shell.ok("queue", "close", "default")

    assert shell.run("foo", program="miniq").code == 6


def test_a_full_queue_refuses_new_jobs_with_exit_code_6(shell: Shell) -> None:
    shell.ok("queue", "set", "default", "--max-waiting", "1")
    shell.ok("enqueue", "foo")

    ran = shell.run("enqueue", "foo")

    assert ran.code == 6
    assert "is full: 1 of at most 1 jobs wait in it" in ran.err
    shell.ok("queue", "set", "default", "--max-waiting", "none")
    shell.ok("enqueue", "foo")


def test_a_limit_is_shown_and_explained(busy: Shell) -> None:
    busy.ok("queue", "set", "gpu", "--limit", "1")

    assert queues(busy)["gpu"]["limit"] == 1
    assert "queue-limit" in [one["code"] for one in busy.json("why", "2")["reasons"]]
    busy.ok("queue", "set", "gpu", "--limit", "none")
    assert queues(busy)["gpu"]["limit"] is None


@pytest.mark.slow
def test_a_worker_with_many_slots_keeps_to_the_limit_and_runs_everything(shell: Shell) -> None:
    shell.add_executable("alone", 'mkdir "$SPOOLQ_ROOT/tmp/x" && rmdir "$SPOOLQ_ROOT/tmp/x"')
    shell.ok("queue", "set", "default", "--limit", "1")
    for _ in range(6):
        shell.ok("enqueue", "alone")

    shell.ok("process", "-j", "4")

    assert [job["state"] for job in shell.json("list")] == ["finished"] * 6


@pytest.mark.parametrize("verb", ["pause", "resume", "close", "open"])
def test_a_queue_that_nobody_knows_is_3_with_what_was_meant(busy: Shell, verb: str) -> None:
    ran = busy.run("queue", verb, "gqu")

    assert (ran.code, ran.out) == (3, "")
    assert "there is no queue 'gqu'; did you mean 'gpu'?" in ran.err


def test_a_new_queue_can_be_set_up_before_its_first_job(shell: Shell) -> None:
    assert shell.run("queue", "set", "gpu", "--limit", "2").code == 3
    shell.ok("queue", "set", "--new", "gpu", "--limit", "2")

    assert queues(shell)["gpu"]["limit"] == 2
    shell.ok("queue", "pause", "gpu")


@pytest.mark.parametrize(("verb", "said"), [("resume", "not paused"), ("open", "not closed")])
def test_what_is_not_so_cannot_be_undone(busy: Shell, verb: str, said: str) -> None:
    ran = busy.run("queue", verb, "gpu")

    assert ran.code == 4
    assert f"queue 'gpu' is {said}" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ["queue", "set", "default"],
        ["queue", "set", "default", "--limit", "many"],
        ["queue", "set", "default", "--limit", "-1"],
        ["queue", "pause"],
        ["queue", "puase", "default"],
    ],
)
def test_a_wrong_call_is_2(shell: Shell, words: list[str]) -> None:
    assert shell.run(*words).code == 2


def test_a_verb_that_was_misspelt_is_guessed(shell: Shell) -> None:
    assert "pause" in shell.run("queue", "puase", "default").err


def test_the_table_for_people_leaves_out_what_says_nothing(busy: Shell, terminal: Terminal) -> None:
    busy.ok("queue", "set", "gpu", "--limit", "2")
    busy.ok("queue", "pause", "gpu", "--why", "disk swap")

    assert terminal.run("queue").out == (
        "QUEUE  READY  ACTIVE  STATE\n"
        f"gpu        2  1 of 2  paused 0s by {getpass.getuser()}: disk swap\n"
    )
