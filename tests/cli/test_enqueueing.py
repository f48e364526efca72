"""`add`, `enqueue` and `miniq`: what is typed is what the job gets."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from spoolq.files.store import FileBackend
from tests.cli.conftest import Shell

if TYPE_CHECKING:
    from pathlib import Path


def test_miniq_enqueues_a_name_with_its_words_and_prints_the_id(shell: Shell) -> None:
    printed = shell.ok("notify", "Title", "This is a message!", "9", program="miniq")

    assert printed == "1"
    job = shell.json("show", "1")
    assert (job["task"], job["args"]) == ("notify", ["Title", "This is a message!", "9"])


def test_miniq_honours_its_own_variable(shell: Shell, tmp_path: Path) -> None:
    shell.env["MINIQ_ROOT"] = str(tmp_path / "miniq")
    del shell.env["SPOOLQ_ROOT"]

    shell.ok("notify", program="miniq")

    assert (tmp_path / "miniq" / "FORMAT").exists()


@pytest.mark.parametrize("words", [[], ["-x"], ["--", "notify"]])
def test_miniq_without_a_name_is_a_usage_error(shell: Shell, words: list[str]) -> None:
    ran = shell.run(*words, program="miniq")

    assert (ran.code, ran.out, ran.err) == (2, "", "usage: miniq NAME [ARGS…]\n")


def test_words_after_the_task_reach_the_job_unchanged(shell: Shell) -> None:
    words = ["-q", "--json", "--", "--help", "a b", "", "x'y", "n\nl", "-j4", "ü"]

    shell.ok("enqueue", "-q", "mail", "task", *words)

    job = shell.json("show")
    assert (job["queue"], job["args"]) == ("mail", words)


def test_options_of_enqueue_are_those_of_the_job(shell: Shell) -> None:
    shell.ok("enqueue", "parent")

    options = ["-q", "gpu", "-p", "-3", "-d", "1h30m", "-E", "2h", "-A", "5", "-P", "1", "-x"]
    shell.ok("enqueue", *options, "-n", '{"a": [1]}', "-t", "90", "child")

    job = shell.json("show", "2")
    assert (job["queue"], job["priority"], job["attempts"]) == ("gpu", -3, 5)
    assert (job["parents"], job["lax"], job["notes"]) == ([1], True, {"a": [1]})
    assert job["delayed"] == pytest.approx(job["created"] + 5400)
    assert job["expires"] == pytest.approx(job["created"] + 7200)
    assert job["timeout"] == 90


def test_arguments_may_be_json(shell: Shell) -> None:
    shell.ok("enqueue", "--args", '[1, {"a": null}]', "--kwargs", '{"lang": "de"}', "task")

    job = shell.json("show")
    assert (job["args"], job["kwargs"]) == ([1, {"a": None}], {"lang": "de"})


def test_the_queue_comes_from_the_environment_too(shell: Shell) -> None:
    shell.env["SPOOLQ_QUEUE"] = "mail"

    shell.ok("enqueue", "task")

    assert shell.json("show")["queue"] == "mail"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["enqueue"], "enqueue what?"),
        (["enqueue", "--args", "[1]", "task", "2"], "not both"),
        (["enqueue", "--args", "{}", "task"], "--args must be a JSON list"),
        (["enqueue", "--args", "[", "task"], "--args is not JSON"),
        (["enqueue", "--kwargs", "[]", "task"], "--kwargs must be a JSON object"),
        (["enqueue", "-p", "high", "task"], "not a valid int"),
        (["enqueue", "-d", "soon", "task"], "'soon' is no duration"),
        (["enqueue", "-A", "-1", "task"], "attempts"),
        (["enqueue", ""], "task"),
        (["enqueue", "task", b"\xff"], "lone surrogate"),
        (["add"], "what should run?"),
        (["add", "-c", "ls", "ls"], "not both"),
        (["add", "echo a && echo b"], "For a shell line use: spoolq add -c 'echo a && echo b'"),
        (["enqueue", "--after", "1", "--after-any", "2", "task"], "not both"),
        (["enqueue", "--after", "x", "task"], "'x' is no id"),
        (["enqueue", "-n", "batch", "task"], "write KEY=JSON"),
        (["enqueue", "-n", "a=[", "task"], "is not JSON"),
        (["enqueue", "-d", "1h", "--at", "noon", "task"], "not both"),
        (["enqueue", "--at", "soon", "task"], "is no time"),
        (["enqueue", "--wait-timeout", "5", "task"], "how long -f or -W waits"),
        (["add", "-W", "--wait-timeout", "0", "true"], "more than nothing"),
        (["add", "-C", "no-such-place", "true"], "is no directory"),
        (["frobnicate"], "no verb 'frobnicate'"),
        ([], "Usage: spoolq"),
    ],
)
def test_a_wrong_call_exits_2_and_enqueues_nothing(
    shell: Shell, words: list[Any], message: str
) -> None:
    ran = shell.run(*words)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert shell.json("list") == []


def test_a_command_line_keeps_its_surroundings(shell: Shell, tmp_path: Path) -> None:
    shell.env["COLOUR"] = "rot"

    shell.ok("add", "-p", "3", "sh", "-c", 'pwd; echo "$COLOUR $1"', "-", "-j4", cwd=tmp_path)
    del shell.env["COLOUR"]
    shell.ok("process")

    assert shell.ok("logs").split() == [str(tmp_path), "rot", "-j4"]
    job = shell.json("show")
    assert (job["task"], job["priority"], job["kwargs"]["cwd"]) == ("exec", 3, str(tmp_path))


def test_the_environment_of_a_command_line_is_shown_on_request_only(shell: Shell) -> None:
    shell.env["TOKEN"] = "geheim"
    shell.ok("add", "true")

    assert "geheim" not in shell.ok("show") + shell.ok("show", "--json") + shell.ok(
        "list", "--json"
    )
    assert (
        json.loads(shell.ok("show", "--json", "--show-env"))["kwargs"]["env"]["TOKEN"] == "geheim"
    )


def test_a_shell_line_runs_by_a_shell(shell: Shell) -> None:
    shell.ok("add", "-c", "echo a | tr a b")
    shell.ok("process")

    assert shell.ok("logs") == "b"


def test_a_program_that_is_not_here_is_a_warning(shell: Shell) -> None:
    ran = shell.run("add", "no-such-program", "x")

    assert (ran.code, ran.out) == (0, "1\n")
    assert ran.err == "spoolq: warning: no program called 'no-such-program' on this host's PATH\n"


def test_command_lines_are_refused_where_a_group_shares_the_spool(shell: Shell) -> None:
    shell.ok("repair")
    (shell.root / "spoolq.toml").write_text('mode = "group"\n')
    shell.root.chmod(0o2770)

    ran = shell.run("add", "true")

    assert (ran.code, ran.out) == (4, "")
    assert "single-user spool only" in ran.err


def test_an_id_is_printed_as_json_too(shell: Shell) -> None:
    assert shell.json("enqueue", "task") == {"id": 1}
    assert shell.json("add", "true") == {"id": 2}


WORDS = ["%s\\n", "a b", "", "x'y", "n\nl", '"', "$HOME", "-j4", "ü"]


def test_a_command_line_is_run_word_for_word(shell: Shell) -> None:
    shell.ok("add", "-p", "1", "printf", *WORDS)
    shell.ok("process")

    job = shell.json("show")
    assert job["args"] == ["printf", *WORDS]
    assert shell.run("logs").out == "a b\n\nx'y\nn\nl\n\"\n$HOME\n-j4\nü\n"


def test_a_command_line_can_run_elsewhere(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()

    shell.ok("add", "-C", "sub", "pwd")
    shell.ok("process")

    assert shell.ok("logs") == str(tmp_path / "sub")


def test_the_umask_goes_with_a_command_line(shell: Shell, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        shell.popen("add", "touch", "made", cwd=tmp_path).communicate()
    finally:
        os.umask(before)
    shell.ok("process")

    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o644


def test_the_environment_of_a_command_line_lies_where_nobody_else_reads_it(shell: Shell) -> None:
    shell.env["TOKEN"] = "geheim"
    shell.ok("add", "true")
    shell.ok("add", "false")

    jobs = list((shell.root / "inactive" / "default").rglob("*.json"))
    assert len(jobs) == 2
    assert not any("geheim" in job.read_text() for job in jobs)
    [file] = (shell.root / "environments").iterdir()
    assert "geheim" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_command_line_whose_environment_is_gone_fails_and_says_so(shell: Shell) -> None:
    shell.ok("add", "true")
    [file] = (shell.root / "environments").iterdir()
    file.unlink()

    shell.ok("process")

    job = shell.json("show")
    assert job["state"] == "failed"
    assert "there is no environment" in job["result"]["message"]


@pytest.mark.parametrize(
    ("option", "lax"), [("--after", False), ("-P", False), ("-a", False), ("--after-any", True)]
)
def test_a_job_waits_for_those_before_it(shell: Shell, option: str, lax: bool) -> None:
    for _ in range(4):
        shell.ok("enqueue", "parent")

    shell.ok("enqueue", option, "1,2-3", option, "last", "child")

    job = shell.json("show")
    assert (job["parents"], job["lax"]) == ([1, 2, 3, 4], lax)


def test_notes_are_pairs_and_objects(shell: Shell) -> None:
    notes = ["-n", "batch=7", "-n", "who=ann", "-n", "tags=[1]", "-n", '{"batch": 8, "a": null}']

    shell.ok("enqueue", *notes, "task")

    assert shell.json("show")["notes"] == {"batch": 8, "who": "ann", "tags": [1], "a": None}


def test_a_job_may_be_due_at_a_time_of_day(shell: Shell) -> None:
    shell.env["TZ"] = "UTC"
    shell.ok("enqueue", "--at", "tomorrow 9:00", "task")

    due = shell.json("show")["delayed_at"]
    assert due.partition("T")[2][:5] in ("09:00", "08:59")


def test_a_dry_run_shows_the_job_and_stores_nothing(shell: Shell) -> None:
    shell.env["TOKEN"] = "geheim"

    shown = json.loads(shell.ok("add", "--dry-run", "-q", "gpu", "-d", "1h", "make"))

    assert (shown["task"], shown["args"], shown["queue"]) == ("exec", ["make"], "gpu")
    assert shown["kwargs"]["env"] == "hidden, use --show-env"
    assert shown["delayed"] - shown["created"] == 3600
    assert shell.json("list") == []


@pytest.mark.parametrize("way", ["--unique=k", "--unique"])
def test_a_second_unique_job_prints_the_first_ones_id_and_says_so(shell: Shell, way: str) -> None:
    first = shell.ok("enqueue", way, "task", "--unique", "a")

    again = shell.run("enqueue", way, "task", "--unique", "a")

    assert (again.code, again.out) == (0, f"{first}\n")
    assert again.err == f"spoolq: job {first} (task) holds the key: nothing was added\n"
    assert shell.json("show", first)["args"] == ["--unique", "a"]


def test_a_unique_command_line_is_the_same_one_in_another_environment(
    shell: Shell,
) -> None:
    first = shell.ok("add", "--unique", "true")
    shell.env["OTHER"] = "1"

    assert shell.run("add", "--unique", "true").out.strip() == first
    assert shell.ok("add", "--unique", "true", "else") != first
    assert shell.ok("add", "--unique", "-C", "/", "true") != first


def test_the_command_tree_reads_unique_as_the_short_path_does() -> None:
    from spoolq.cli.grammar import ENQUEUE, spell_out

    words = ["-q", "--unique", "--unique", "-p1", "--unique=k", "task", "--unique"]

    spelled = ["-q", "--unique", "--unique=", "-p1", "--unique=k", "task", "--unique"]
    assert spell_out(ENQUEUE.options, words) == spelled


def test_why_names_the_job_that_holds_the_key(shell: Shell) -> None:
    # Put in by a program: the command line has no limits.
    from spoolq import Spool

    spool = Spool(shell.env["SPOOLQ_ROOT"])
    worker = spool.worker().register()
    spool.enqueue("task", concurrency=("tenant:7", 1))
    assert worker.dequeue(tasks=["task"])
    waiting = spool.enqueue("task", concurrency=("tenant:7", 1))

    [reason, *_] = shell.json("why", str(waiting.id))["reasons"]

    assert (reason["code"], reason["text"]) == ("concurrency", "limit: 1 of 1 tenant:7 run")


@pytest.mark.parametrize("task", ["notfy", "notify.jb", "resise"])
def test_a_task_that_is_nearly_one_that_is_known_is_refused(shell: Shell, task: str) -> None:
    shell.add_executable("notify.job", "true")
    backend = FileBackend(str(shell.root), durability="none")
    backend.register_worker(status={"tasks": ["resize"]})

    ran = shell.run("enqueue", task, "x")

    assert (ran.code, ran.out) == (3, "")
    assert "did you mean" in ran.err
    assert "Known here: notify, notify.job, resize" in ran.err
    assert shell.ok("enqueue", "--no-check", task) == "1"


def test_a_task_that_somebody_may_know_is_let_pass(shell: Shell) -> None:
    shell.add_executable("resize", "true")
    backend = FileBackend(str(shell.root), durability="none")

    assert shell.ok("enqueue", "something-else") == "1"  # its worker may come later
    backend.register_worker(status={"tasks": ["resise"]})
    assert shell.ok("enqueue", "resise") == "2"
    backend.register_worker(status={})  # a program's own worker, which does not say
    assert shell.ok("enqueue", "resisze") == "3"
    assert shell.ok("job", "-e", "resized") == "4"  # Minion does not ask


def test_of_many_jobs_the_task_is_looked_at_once(shell: Shell) -> None:
    shell.add_executable("resize", "true")

    ran = shell.run("enqueue", "resise", "--from", "/dev/null")

    assert (ran.code, "did you mean 'resize'?" in ran.err) == (3, True)
