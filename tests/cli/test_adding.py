"""What `add` can be asked for beside the command line: stdin, labels, removal, failures."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from spoolq import Spool
from spoolq.cli.exits import NOT_FOUND, TIMED_OUT, USAGE
from tests.cli.conftest import SPOOLQ, Shell, Terminal


def add_with_stdin(shell: Shell, data: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    run = [*SPOOLQ, "add", *words]
    return subprocess.run(run, env=shell.env, input=data, capture_output=True, check=False)


@pytest.mark.parametrize(
    "data", [b"", b"a\nb", "g\u00fc\n".encode(), b"\xff\x00\xfe" * 1000, b"x" * 1024 * 1024]
)
def test_what_stands_on_stdin_is_what_the_job_reads(shell: Shell, data: bytes) -> None:
    add_with_stdin(shell, data, "--stdin", "cat")

    shell.ok("process")

    output = shell.root / "logs" / "0" / "1.0.log"
    assert (output.read_bytes() if output.exists() else b"") == data


def test_a_job_reads_its_stdin_again_in_every_try(shell: Shell) -> None:
    add_with_stdin(shell, b"twice", "--stdin", "-c", "cat; exit 1")
    shell.ok("process")

    shell.ok("retry", "1")
    shell.ok("process")

    assert shell.ok("logs", "1", "--attempt", "2") == "twice"


def test_too_much_on_stdin_is_refused_before_anything_is_stored(shell: Shell) -> None:
    ran = add_with_stdin(shell, b"x" * (1024 * 1024 + 1), "--stdin", "cat")

    assert (ran.returncode, b"<FILE" in ran.stderr) == (2, True)
    assert shell.ok("count") == "0"


def test_stdin_is_for_one_job_or_for_many(shell: Shell) -> None:
    assert add_with_stdin(shell, b"x\n", "--stdin", "--each-line", "cat").returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize("stdin", [7, {"base64": "!"}, {"base64": 1}, None, ["x"]])
def test_a_stdin_written_by_hand_that_is_none_fails_its_job(shell: Shell, stdin: Any) -> None:
    Spool(shell.root, durability="none").enqueue("exec", ["cat"], {"stdin": stdin})

    shell.ok("process")

    assert shell.json("show", "1")["state"] == "failed"


def test_a_job_is_removed_once_it_has_finished(shell: Shell) -> None:
    shell.ok("add", "--rm", "true")
    shell.ok("add", "--rm", "false")
    shell.ok("add", "true")

    shell.ok("process")

    assert [(job["id"], job["state"]) for job in shell.json("list")] == [
        (3, "finished"),
        (2, "failed"),
    ]
    assert not (shell.root / "logs" / "0" / "1.0.log").exists()


@pytest.mark.parametrize("how", ["-f", "-W"])
def test_who_waits_for_such_a_job_learns_how_it_ended(shell: Shell, how: str) -> None:
    shell.env["SPOOLQ_AUTOSTART"] = "yes"

    good = shell.run("add", how, "--rm", "true")
    bad = shell.run("add", how, "--rm", "sh", "-c", "exit 7")

    assert (good.code, bad.code) == (0, 7)
    assert [job["id"] for job in shell.json("list")] == [2]


def test_programs_that_perform_jobs_remove_it_too(shell: Shell) -> None:
    shell.ok("add", "--rm", "true")

    Spool(shell.root, durability="none").perform_jobs()

    assert shell.ok("count") == "0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parents", "runs"),
    [(["true"], False), (["false"], True), (["true", "false"], True), (["true", "true"], False)],
)
def test_after_fail_runs_only_if_one_has_failed(
    shell: Shell, parents: list[str], runs: bool
) -> None:
    ids = [shell.ok("add", parent) for parent in parents]
    told = shell.root.parent / "told"
    shell.ok("add", "--after-fail", ",".join(ids), "touch", str(told))

    shell.ok("process")

    job = shell.json("show", "last")
    assert (told.exists(), job["state"]) == (runs, "finished")
    assert ("skipped" in (job["result"] or {})) is not runs


def test_after_fail_waits_and_does_so_again_when_the_parent_is_retried(shell: Shell) -> None:
    shell.ok("add", "-d", "1h", "false")
    shell.ok("add", "--after-fail", "1", "true")
    shell.ok("process")
    assert shell.json("show", "2")["view"] == "blocked"

    shell.ok("retry", "1")
    Spool(shell.root, durability="none").perform_jobs()

    assert shell.json("show", "2")["result"] is None


def test_a_removed_parent_has_not_failed(shell: Shell) -> None:
    shell.ok("add", "-d", "1h", "false")
    shell.ok("add", "--after-fail", "1", "true")
    shell.ok("remove", "1")

    shell.ok("process")

    assert "skipped" in shell.json("show", "2")["result"]


def test_a_job_waits_in_one_way(shell: Shell) -> None:
    shell.ok("add", "true")

    ran = shell.run("add", "--after", "1", "--after-fail", "1", "true")

    assert (ran.code, "--after or --after-fail" in ran.err) == (2, True)


def test_a_label_is_shown_and_finds_its_jobs(shell: Shell, terminal: Terminal) -> None:
    shell.ok("add", "-L", "train-1", "true")
    shell.ok("enqueue", "-L", "train-2", "-n", "batch=7", "resize")
    shell.ok("add", "true")

    listed = terminal.run("list", columns=120).out

    assert "LABEL" in listed
    assert "train-1" in listed
    assert shell.ok("list", "label:train*", "-o", "ids").split() == ["2", "1"]
    assert shell.ok("count", "-L", "train-2") == "1"
    assert shell.json("show", "2")["notes"] == {"batch": 7, "label": "train-2"}


def test_a_list_without_labels_has_no_column_for_them(shell: Shell, terminal: Terminal) -> None:
    shell.ok("add", "true")

    assert "LABEL" not in terminal.run("list", columns=120).out


def test_a_label_comes_from_the_environment_too(shell: Shell) -> None:
    shell.env["SPOOLQ_LABEL"] = "nightly"

    shell.ok("add", "true")

    assert shell.json("show", "1")["notes"] == {"label": "nightly"}


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["-l", "x", "true"], "notes", {"label": "x"}),
        (["-o", "7", "true"], "priority", 7),
        (["-g", "gpu", "true"], "queue", "gpu"),
        (["-w", "/", "true"], "kwargs", "/"),
        (["--wrap", "a | b"], "args", ["/bin/sh", "-c", "a | b"]),
        (["--parsable", "true"], "args", ["true"]),
        (["--print-task-id", "true"], "args", ["true"]),
    ],
)
def test_the_spellings_of_other_queues_are_understood(
    shell: Shell, words: list[str], field: str, value: object
) -> None:
    shell.ok("add", *words)

    found = shell.json("show", "1")[field]
    assert (found["cwd"] if field == "kwargs" else found) == value


def test_the_very_argv_runs(shell: Shell) -> None:
    argv = ["printf", "%s\\n", "a b", "", "x'y", "n\nl", "*", "$HOME", "-n", "--json", "g\u00fc"]
    shell.ok("add", *argv)
    shell.ok("process")

    assert shell.json("show", "1")["args"] == argv
    assert (shell.root / "logs" / "0" / "1.0.log").read_text() == "".join(
        f"{word}\n" for word in argv[2:]
    )


def test_bash_quotes_reach_the_job(shell: Shell) -> None:
    line = rf"""{sys.executable} -m spoolq add printf '%s\n' 'a b' '' "x'y" $'n\nl'"""
    subprocess.run(["bash", "-c", line], env=shell.env, check=True, stdout=subprocess.DEVNULL)

    shell.ok("process")

    assert shell.ok("logs", "1") == "a b\n\nx'y\nn\nl"


def test_a_dry_run_prints_all_of_it(shell: Shell) -> None:
    said = json.loads(shell.ok("add", "--dry-run", "--rm", "-L", "x", "true"))

    assert (said["notes"], said["kwargs"]["rm"]) == ({"label": "x"}, True)


def test_a_script_that_waits_is_told_that_nobody_will_take_the_job(shell: Shell) -> None:
    ran = shell.run("add", "-W", "--wait-timeout", "0.1", "true")

    assert (ran.code, ran.out) == (TIMED_OUT, "1\n")
    assert "no live worker serves queue default" in ran.err


def test_a_script_that_goes_on_is_told_nothing(shell: Shell) -> None:
    assert shell.run("add", "true").err == ""


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["a && b"], "spoolq add -c 'a && b'"),
        (["echo $HOME"], "spoolq add -c 'echo $HOME'"),
        (["it's a | b"], """spoolq add -c 'it'"'"'s a | b'"""),
        (["a && b", "c d"], """spoolq add -c 'a && b '"'"'c d'"'"''"""),
    ],
)
def test_the_advice_for_a_line_can_be_pasted_into_a_shell(
    shell: Shell, words: list[str], advice: str
) -> None:
    ran = shell.run("add", *words)

    assert (ran.code, ran.out) == (USAGE, "")
    assert ran.err.endswith(f"For a shell line use: {advice}\n")


def test_a_command_without_a_name_is_refused(shell: Shell) -> None:
    assert shell.run("add", "", "x").code == USAGE


@pytest.mark.parametrize("command", ["a && b", "no-such-program"])
def test_nobody_looks_for_a_program_that_is_not_to_be_checked(shell: Shell, command: str) -> None:
    ran = shell.run("add", "--no-check", command)

    assert (ran.code, ran.out, ran.err) == (0, "1\n", "")


def test_a_job_that_never_was_is_not_waited_for(shell: Shell) -> None:
    ran = shell.run("add", "--after", "7", "true")

    assert (ran.code, ran.out) == (NOT_FOUND, "")
    assert "no such job to wait for: 7" in ran.err


def test_a_job_that_is_gone_counts_as_done(shell: Shell) -> None:
    shell.ok("add", "true")
    shell.ok("remove", "1")
    shell.ok("add", "--after", "1", "true")

    assert shell.json("show", "last")["view"] == "ready"
