"""`spoolq job`: Minion's command with Minion's flags."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from spoolq import Spool
from spoolq.cli.yaml import document
from tests.cli.conftest import Shell
from tests.support.jobs import claim

APP = """
from spoolq import Spool
spool = Spool()

@spool.task
def add(a, b):
    return a + b

@spool.task
def fails():
    raise ValueError("no good")
"""


@pytest.fixture
def spool(shell: Shell) -> Spool:
    return Spool(shell.root, durability="none")


@pytest.fixture
def mixed(shell: Shell, spool: Spool) -> Shell:
    """1 finished, 2 failed, 3 active, 4 inactive in queue b."""
    backend = spool.backend
    worker = backend.register_worker()
    for state in ("finished", "failed", "active"):
        backend.enqueue(f"{state}-task", notes={"k": 1} if state == "failed" else {})
        job = claim(backend, worker)
        if state == "finished":
            backend.finish_job(job["id"], 0, "done")
        elif state == "failed":
            backend.fail_job(job["id"], 0, "no")
    backend.enqueue("waits", queue="b")
    return shell


def info(spool: Spool, id: int) -> Any:
    job = spool.job(id)
    assert job is not None
    return job.info()


@pytest.mark.minion(408)
def test_enqueueing_prints_the_new_id_and_nothing_else(shell: Shell) -> None:
    ran = shell.run("job", "-e", "test")

    assert (ran.code, ran.out, ran.err) == (0, "1\n", "")


@pytest.mark.minion(409, 410, 411)
def test_minions_options_are_those_of_the_job(shell: Shell, spool: Spool) -> None:
    before = time.time()
    options = ("-A", "3", "-p", "5", "-q", "important", "-n", '{"test":123}')
    later = ("-P", "1", "-P", "2", "-x", "1", "-d", "5", "-E", "100")

    shell.ok("job", "-e", "test", "-a", '[23, "bar"]', *options, *later)

    job = info(spool, 1)
    assert (job.args, job.attempts, job.priority, job.queue) == ([23, "bar"], 3, 5, "important")
    assert (job.notes, job.parents, job.lax) == ({"test": 123}, [1, 2], True)
    assert before + 5 <= job.delayed <= time.time() + 5
    assert before + 100 <= job.expires <= time.time() + 100


@pytest.mark.minion(412, 413)
@pytest.mark.parametrize(
    "words",
    [
        ("-e", "t", "-a", "[1"),
        ("-e", "t", "-a", '{"a": 1}'),
        ("-e", "t", "-n", "[1]"),
        ("-e", "t", "-x", "perhaps"),
        ("-e", "t", "--no-such"),
        ("-e", "t", "17"),
        ("-n", "{}"),
        ("-S", "no-such-state"),
        ("-R",),
        ("--remove", "1", "2"),
        ("--remove-failed", "-q", "mail"),
        ("--retry-failed", "2"),
        ("not-an-id",),
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_an_error_and_nothing_happens(
    mixed: Shell, spool: Spool, words: tuple[str, ...]
) -> None:
    before = spool.stats()

    ran = mixed.run("job", *words)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert {**spool.stats(), "uptime": 0} == {**before, "uptime": 0}


@pytest.mark.minion(414)
def test_an_id_alone_shows_the_job_as_yaml(mixed: Shell) -> None:
    lines = mixed.ok("job", "2").splitlines()

    assert lines[0] == "---"
    keys = [line.partition(":")[0] for line in lines[1:] if not line.startswith((" ", "-"))]
    assert keys == sorted(keys)
    assert {"expires: ~", "id: 2", "result: no", "state: failed"} <= {*lines} | {"result: no"}
    assert 'result: "no"' in lines  # a bare no is false in YAML 1.1
    created = next(line for line in lines if line.startswith("created: "))
    assert re.fullmatch(r"created: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", created)


@pytest.mark.minion(415, 429)
def test_an_unknown_id_does_not_exist(shell: Shell) -> None:
    for words in (("17",), ("-R", "17"), ("--remove", "17"), ("-f", "17")):
        ran = shell.run("job", *words)
        assert (ran.code, ran.out, "Job does not exist." in ran.err) == (3, "", True)


@pytest.mark.minion(416)
def test_without_an_id_jobs_are_listed_newest_first_and_aligned(mixed: Shell) -> None:
    assert mixed.run("job").out.splitlines() == [
        "4  inactive  b        waits",
        "3  active    default  active-task",
        "2  failed    default  failed-task",
        "1  finished  default  finished-task",
    ]


@pytest.mark.minion(416)
def test_of_no_jobs_nothing_is_printed(shell: Shell) -> None:
    assert shell.ok("job") == ""


@pytest.mark.minion(417, 418)
@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("-q", "b"), "4"),
        (("-q", "b", "-q", "default"), "4321"),
        (("-t", "waits", "-t", "failed-task"), "42"),
        (("-S", "failed", "-S", "finished"), "21"),
        (("-l", "1", "-o", "1"), "3"),
        (("-l", "0"), ""),
        (("-n", '["k"]'), "2"),
    ],
)
def test_filters_may_be_repeated(mixed: Shell, words: tuple[str, ...], ids: str) -> None:
    found = mixed.run("job", *words).out.splitlines()

    assert "".join(line.split()[0] for line in found) == ids


@pytest.mark.minion(419)
def test_of_several_queues_the_last_one_is_enqueued_to(shell: Shell, spool: Spool) -> None:
    shell.ok("job", "-e", "t", "-q", "a", "-q", "b")

    assert info(spool, 1).queue == "b"


@pytest.mark.minion(420)
@pytest.mark.parametrize("id", [1, 2, 3])
def test_a_job_of_any_state_is_retried_with_new_options(
    mixed: Shell, spool: Spool, id: int
) -> None:
    assert mixed.ok("job", "-R", str(id), "-p", "7", "-q", "again") == ""

    job = info(spool, id)
    assert (job.state, job.priority, job.queue, job.retries) == ("inactive", 7, "again", 1)


@pytest.mark.minion(421)
def test_a_job_is_removed_unless_it_is_active(mixed: Shell, spool: Spool) -> None:
    assert mixed.ok("job", "--remove", "1") == ""
    refused = mixed.run("job", "--remove", "3")

    assert spool.job(1) is None
    assert (refused.code, "Job is active." in refused.err) == (4, True)


@pytest.mark.minion(422)
def test_all_failed_jobs_are_retried_or_removed(mixed: Shell, spool: Spool) -> None:
    mixed.ok("job", "--retry-failed")
    assert info(spool, 2).state == "inactive"
    job = claim(spool.backend, spool.backend.register_worker())
    spool.backend.fail_job(job["id"], job["retries"])

    mixed.ok("job", "--remove-failed")

    assert spool.job(2) is None
    assert spool.stats()["finished_jobs"] == 1


@pytest.mark.minion(423)
def test_stats_and_history_are_yaml_and_tasks_are_named(mixed: Shell) -> None:
    mixed.add_executable("notify.job", "true")

    stats, history = mixed.ok("job", "-s").splitlines(), mixed.ok("job", "-H").splitlines()

    assert stats[:2] == ["---", "active_jobs: 1"]
    assert history[:2] == ["---", "daily:"]
    assert re.fullmatch(r" +finished_jobs: 1", history[-1])
    tasks = mixed.ok("job", "-T").splitlines()
    assert f"notify      {mixed.root}/jobs/notify.job" in tasks


@pytest.mark.minion(424)
def test_workers_are_listed_and_shown(mixed: Shell) -> None:
    host = os.uname().nodename

    assert mixed.ok("job", "-w") == f"1  {host}:{os.getpid()}"
    assert f"host: {host}" in mixed.ok("job", "-w", "1").splitlines()
    unknown = mixed.run("job", "-w", "7")
    assert (unknown.code, "Worker does not exist." in unknown.err) == (3, True)


@pytest.mark.minion(425)
def test_locks_are_listed_by_name_and_released(shell: Shell, spool: Spool) -> None:
    spool.lock("one", 60)
    spool.lock("two", 60)

    both, one = shell.ok("job", "-L").splitlines(), shell.ok("job", "-L", "one").splitlines()
    shell.ok("job", "-U", "one")
    assert shell.ok("job", "-U", "one") == ""  # not held: not an error in Minion either

    assert [line.split()[:2] for line in both] == [["2", "two"], ["1", "one"]]
    assert [line.split()[1] for line in one] == ["one"]
    assert (spool.is_locked("one"), spool.is_locked("two")) == (False, True)


@pytest.mark.minion(426)
def test_a_command_is_broadcast_to_all_or_to_some(shell: Shell, spool: Spool) -> None:
    assert shell.ok("job", "-b", "jobs", "-a", "[12]") == ""  # nobody is there
    first, second = (spool.backend.register_worker() for _ in range(2))

    shell.ok("job", "-b", "jobs", "-a", "[12]")
    shell.ok("job", "-b", "stop", "-a", "[3]", str(second))

    assert spool.backend.receive(first) == [["jobs", 12]]
    assert spool.backend.receive(second) == [["jobs", 12], ["stop", 3]]


@pytest.mark.minion(427)
def test_a_job_is_run_in_the_foreground(shell: Shell, spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(APP)
    shell.ok("job", "-e", "add", "-a", "[1, 2]")
    shell.ok("job", "-e", "fails")
    shell.ok("job", "-e", "add", "-P", "2")
    app = ("--app", "program:spool")

    assert shell.ok("job", "-f", "1", *app, cwd=tmp_path) == ""
    failed = shell.run("job", "-f", "2", *app, cwd=tmp_path)
    waiting = shell.run("job", "-f", "3", *app, cwd=tmp_path)

    assert info(spool, 1).result == 3
    assert (failed.code, "ValueError: no good" in failed.err) == (1, True)
    assert info(spool, 2).state == "failed"
    assert (waiting.code, "Job is not ready." in waiting.err) == (4, True)


@pytest.mark.minion(427)
def test_a_program_is_run_in_the_foreground(shell: Shell) -> None:
    shell.add_executable("bad", "exit 3")
    shell.ok("job", "-e", "bad")

    ran = shell.run("job", "-f", "1")

    assert (ran.code, "exit status 3" in ran.err) == (1, True)


@pytest.mark.minion(428)
@pytest.mark.parametrize(
    ("words", "does"),
    [
        (("-b", "x", "-e", "t"), "nothing"),
        (("-e", "t", "-s"), "enqueue"),
        (("-s", "-H"), "stats"),
        (("-H", "-T"), "history"),
        (("-L", "-w"), "nothing"),
        (("--remove", "-R", "2"), "remove"),
    ],
)
def test_of_several_actions_the_first_in_minions_order_is_done(
    mixed: Shell, spool: Spool, words: tuple[str, ...], does: str
) -> None:
    out = mixed.run("job", *words).out

    seen = {
        "enqueue": out == "5\n",
        "stats": "active_jobs" in out,
        "history": "daily" in out,
        "remove": spool.job(2) is None,
        "nothing": out == "",
    }
    assert [name for name, so in seen.items() if so] in ([does], [does, "nothing"])


@pytest.mark.minion(429)
@pytest.mark.parametrize("words", [("17",), ("--no-such",), ("-e", ""), ("-a",)])
def test_every_error_ends_with_a_code(shell: Shell, words: tuple[str, ...]) -> None:
    assert shell.run("job", *words).code not in (0, 125)


def test_json_has_the_same_records(mixed: Shell) -> None:
    assert mixed.json("job", "2")["state"] == "failed"
    assert [job["id"] for job in mixed.json("job", "-S", "failed")] == [2]
    assert mixed.json("job", "-s")["failed_jobs"] == 1
    assert mixed.json("job", "-e", "t") == {"id": 5}
    assert json.loads(mixed.ok("job", "--json", "-w"))[0]["id"] == 1


def test_environments_stay_hidden(shell: Shell) -> None:
    shell.env["SECRET"] = "hunter2"
    shell.ok("add", "true")

    assert "hunter2" not in shell.ok("job", "1")


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ({}, ["--- {}"]),
        ([], ["--- []"]),
        ([1, [2, {"a": None}]], ["---", "- 1", "-", "  - 2", "  -", "    a: ~"]),
        ({"b": True, "a": {"c": []}}, ["---", "a:", "  c: []", "b: true"]),
        ({"k": 'say "x" \\'}, ["---", 'k: "say \\"x\\" \\\\"']),
        ({"k": "\x1b[2J\u202e\n"}, ["---", 'k: "\\x1b[2J\\u202e\\n"']),
        ({"k": "1.5", "l": "", "m": "~"}, ["---", 'k: "1.5"', 'l: ""', 'm: "~"']),
        ({"no": "off", "x y": "a: b"}, ["---", '"no": "off"', '"x y": "a: b"']),
    ],
)
def test_a_value_as_yaml(value: Any, lines: list[str]) -> None:
    assert document(value).splitlines() == lines
