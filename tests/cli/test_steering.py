"""`retry`, `remove`, `kill`, `note`, `clean`, `is`, `count`, `result`: selectors and exit codes."""

from __future__ import annotations

import json
import os
import pty
from typing import TYPE_CHECKING

import pytest

from spoolq import Spool
from tests.cli.conftest import Shell, Terminal
from tests.support import wait_for
from tests.support.jobs import claim

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import Popen


@pytest.fixture
def spool(shell: Shell) -> Spool:
    return Spool(shell.root, durability="none")


@pytest.fixture
def mixed(shell: Shell, spool: Spool) -> Shell:
    """1 finished, 2 failed, 3 active, 4 ready, 5 failed in queue b."""
    backend = spool.backend
    worker = backend.register_worker()
    for queue in ("default", "default", "default", "default", "b"):
        backend.enqueue("foo", queue=queue)
    claims = {id_: claim(backend, worker, id=id_, queues=["default", "b"]) for id_ in (1, 2, 3, 5)}
    backend.finish_job(1, claims[1]["retries"], {"rows": 3})
    for id_ in (2, 5):
        backend.fail_job(id_, claims[id_]["retries"], "broken")
    return shell


def states(shell: Shell) -> dict[int, str]:
    return {job["id"]: job["state"] for job in shell.json("list")}


def test_retry_takes_a_filter(mixed: Shell) -> None:
    assert mixed.json("retry", "state:failed", "queue:b") == [{"id": 5, "retried": True}]
    assert states(mixed)[2] == "failed"


@pytest.mark.parametrize("verb", ["retry", "remove", "kill"])
def test_nothing_named_is_2_and_nothing_matched_is_3(mixed: Shell, verb: str) -> None:
    assert mixed.run(verb).code == 2
    nothing = mixed.run(verb, "queue:defualt")
    assert nothing.code == 3
    assert "did you mean 'default'?" in nothing.err
    assert mixed.run(verb, "state:faild").code == 2


def test_ids_may_come_from_stdin(mixed: Shell) -> None:
    with mixed.popen("retry", "-", stdin=-1) as retrying:
        retrying.communicate(b"2\n5\n", 60)

    assert retrying.returncode == 0
    assert (states(mixed)[2], states(mixed)[5]) == ("inactive", "inactive")


def test_removing_by_filter_needs_yes_off_a_terminal(mixed: Shell) -> None:
    refused = mixed.run("remove", "state:failed")
    assert refused.code == 2
    assert "remove 2 jobs? Say --yes" in refused.err
    assert 2 in states(mixed)

    mixed.ok("remove", "--yes", "state:failed")

    assert states(mixed).keys() == {1, 3, 4}


@pytest.mark.parametrize(("answer", "code", "left"), [(b"n\n", 1, 5), (b"y\n", 0, 3)])
def test_at_a_terminal_it_asks(mixed: Shell, answer: bytes, code: int, left: int) -> None:
    ours, theirs = pty.openpty()
    removing = mixed.popen("remove", "state:failed", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while b"remove 2 jobs? [y/N] " not in seen:
        seen += os.read(ours, 4096)
    os.write(ours, answer)

    assert removing.wait(60) == code
    os.close(ours)
    assert len(states(mixed)) == left


def test_what_is_active_is_not_removed_and_that_is_4(mixed: Shell) -> None:
    ran = mixed.run("remove", "3", "4")

    assert (ran.code, ran.err) == (4, "spoolq: job 3 was not removed: it is active\n")
    assert 4 not in states(mixed)


def test_clean_removes_what_has_finished_long_enough_ago(mixed: Shell) -> None:
    mixed.ok("clean", "--older", "1h")
    assert 1 in states(mixed)
    assert mixed.ok("clean", "--dry-run") == "1"
    assert 1 in states(mixed)

    mixed.ok("clean")

    assert states(mixed).keys() == {2, 3, 4, 5}
    mixed.ok("clean", "state:failed,ready", "queue:default")
    assert states(mixed).keys() == {3, 4, 5}
    assert mixed.run("clean", "--older", "soon").code == 2
    assert mixed.run("clean", "99").code == 3


def test_notes_are_json_or_text_and_null_takes_one_away(mixed: Shell) -> None:
    mixed.ok("note", "2", "batch=7", "who=ann", 'deep={"a": [1]}')
    assert json.loads(mixed.ok("note", "2")) == {"batch": 7, "who": "ann", "deep": {"a": [1]}}

    mixed.ok("note", "2", "deep=null")

    assert mixed.ok("list", "note:batch=7", "-o", "ids") == "2"
    assert "deep" not in mixed.ok("note", "2")
    assert mixed.run("note", "2", "batch").code == 2
    assert mixed.run("note", "99", "a=1").code == 3
    assert mixed.run("note", "state:failed", "a=1").code == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["finished", "1"], 0),
        (["done", "1", "2"], 0),
        (["failed", "1"], 1),
        (["ready", "4"], 0),
        (["inactive", "4"], 0),
        (["failed", "2", "3"], 1),
        (["failed", "99"], 3),
        (["faild", "1"], 2),
        (["failed"], 2),
    ],
)
def test_is_answers_with_its_exit_code(mixed: Shell, words: list[str], code: int) -> None:
    ran = mixed.run("is", *words)

    assert (ran.code, ran.out) == (code, "")


def test_count_counts_what_a_selector_matches(mixed: Shell) -> None:
    counts = {
        "": "5", "state:failed": "2", "state:ready": "1", "queue:b": "1", "queue:*": "5",
        "1-3": "3", "note:x": "0", "queue:b state:failed": "1", "task:foo": "5",
    }  # fmt: skip

    assert {words: mixed.ok("count", *words.split()) for words in counts} == counts
    assert mixed.ok("count", "-S", "failed", "-q", "b") == "1"
    assert mixed.run("count", "99").code == 3
    assert mixed.run("count", "x").code == 2


def test_the_result_is_json_and_without_one_the_exit_code_is_1(mixed: Shell) -> None:
    assert mixed.json("result", "1") == {"rows": 3}
    failed, waiting = mixed.run("result", "2"), mixed.run("result", "4")

    assert (failed.code, failed.out, failed.err) == (
        1,
        "",
        'spoolq: job 2 has no result: it is failed: "broken"\n',
    )
    assert (waiting.code, waiting.out) == (1, "")
    assert "it is ready" in waiting.err
    assert mixed.run("result", "99").code == 3
    assert mixed.run("result", "1-2").code == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["show", "1-2"], 0),
        (["why", "1"], 0),
        (["why", "99"], 3),
        (["why", "x"], 2),
        (["list", "99"], 3),
        (["list", "queue:no"], 0),
        (["list", "-o", "yaml"], 2),
        (["list", "--json", "-o", "tsv"], 2),
        (["logs", "-f", "1-2"], 2),
        (["logs", "99"], 3),
        (["workers", "-o", "x"], 2),
    ],
)
def test_looking_has_the_same_codes(mixed: Shell, words: list[str], code: int) -> None:
    assert mixed.run(*words).code == code


def test_a_verb_that_is_not_known_is_2_with_what_was_meant(shell: Shell) -> None:
    ran = shell.run("lsit")

    assert ran.code == 2
    assert "did you mean 'list'" in ran.err


def test_a_bare_spoolq_is_usage_off_a_terminal_and_the_status_on_one(
    mixed: Shell, terminal: Terminal
) -> None:
    off = mixed.run()

    assert (off.code, off.out) == (2, "")
    assert "Usage: spoolq" in off.err
    on = terminal.run()
    assert on.code == 0
    assert on.out.startswith("QUEUE")
    assert "REASON" in on.out


# -- kill ----------------------------------------------------------------------------------------


@pytest.fixture
def working(shell: Shell) -> Iterator[Popen[bytes]]:
    shell.add_executable("mild", "sleep 60")
    shell.add_executable("tough", "trap '' TERM; touch \"$1\"; sleep 60; sleep 60")
    shell.ok("enqueue", "mild")
    with shell.popen("worker", "-C", "0.1") as worker:
        wait_for(lambda: states(shell)[1] == "active")
        yield worker
        worker.terminate()
        worker.terminate()
        worker.communicate(timeout=60)


def test_kill_ends_an_active_job_wherever_it_runs(shell: Shell, working: Popen[bytes]) -> None:
    shell.ok("kill", "1")

    job = shell.json("show", "1")
    assert (job["state"], job["exit"]["signal"]) == ("failed", 15)
    again = shell.run("kill", "1")
    assert again.code == 4
    assert "is not active, it is failed" in again.err
    working.kill()


def test_what_does_not_end_within_the_grace_is_killed(shell: Shell, working: Popen[bytes]) -> None:
    shell.ok("enqueue", "tough", str(shell.root.parent / "up"))
    wait_for((shell.root.parent / "up").exists)

    shell.ok("kill", "--grace", "0.1", "2", "1")

    assert [job["exit"]["signal"] for job in shell.json("show", "1-2")] == [9, 15]
    working.kill()


def test_a_signal_of_ones_own_is_sent_and_no_more(shell: Shell, working: Popen[bytes]) -> None:
    shell.ok("kill", "-s", "int", "1")

    wait_for(lambda: states(shell)[1] == "failed")
    assert shell.run("kill", "-s", "HUP", "1").code == 2
    working.kill()


def test_a_worker_that_is_gone_gives_no_answer_and_that_is_1(mixed: Shell, spool: Spool) -> None:
    [worker] = spool.workers()
    spool.backend.unregister_worker(worker.id)

    ran = mixed.run("kill", "--grace", "0", "-s", "KILL", "3")

    assert ran.code == 1
    assert "no answer from worker 1" in ran.err
