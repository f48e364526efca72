"""The short way of `add`, `enqueue` and `miniq`: read as by the command tree, and little loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest
import typer

from spoolq.cli import grammar
from spoolq.cli.app import GROUPS, make_app
from spoolq.cli.context import Opened
from spoolq.cli.grammar import (
    ADD,
    COUNT,
    ENQUEUE,
    IMPORT,
    IS,
    LIST,
    PROCESS,
    WORKER,
    Command,
    Option,
)
from spoolq.cli.typed import add_command
from spoolq.files.store import FileBackend
from spoolq.loop.plan import DEFAULTS
from tests.cli.conftest import Shell
from tests.support.jobs import claim

WORDY: Final = (ADD, ENQUEUE, IMPORT, LIST, COUNT, IS)
COMMANDS: Final = (*WORDY, PROCESS, WORKER)
_VALUES: Final = {"text": "5m", "number": "-3", "list": "1,2"}

# What a process may load to put one job in. Each name here is paid for by every turn of a loop.
ALLOWED: Final = frozenset(
    {
        "__future__", "_collections", "_functools", "_json", "_operator", "_sre",
        "collections", "collections.abc", "contextlib", "copyreg", "enum", "fcntl", "errno",
        "functools", "itertools", "json", "json.decoder", "json.encoder", "json.scanner",
        "keyword", "math", "operator", "re", "re._casefix", "re._compiler",
        "re._constants", "re._parser", "reprlib", "types", "zlib",
        "spoolq", "spoolq.cli", "spoolq.cli.adding", "spoolq.cli.autostart", "spoolq.cli.context",
        "spoolq.cli.exits", "spoolq.cli.given", "spoolq.cli.grammar", "spoolq.cli.hot",
        "spoolq.cli.knowing", "spoolq.executables", "spoolq.environments",
        "spoolq.files.environments",
        "spoolq.clock", "spoolq.errors", "spoolq.files", "spoolq.files.counters",
        "spoolq.files.fresh", "spoolq.files.fs", "spoolq.files.layout",
        "spoolq.files.names", "spoolq.files.places", "spoolq.files.producer",
        "spoolq.files.records", "spoolq.root", "spoolq.settings", "spoolq.states",
        "spoolq.transitions", "spoolq.tuples",
    }
)  # fmt: skip

# And to look at the names of a spool.
LOOKING: Final = frozenset(
    {
        "gc", "spoolq.cli.asking", "spoolq.executables", "spoolq.files.catalog",
        "spoolq.files.census", "spoolq.files.tokens", "spoolq.files.viewer",
    }
)  # fmt: skip

_LOAD: Final = """
import atexit, sys
before = set(sys.modules)
atexit.register(lambda: print(*sorted(set(sys.modules) - before)))
from spoolq.cli import main, miniq
sys.exit({"spoolq": main, "miniq": miniq}[sys.argv[0]]())
"""


def tree(command: Command, words: list[str], env: dict[str, str]) -> Any:
    """What the command tree makes of a command line: options and words, or an exit code."""
    found: list[Any] = []

    def keep(_: Opened, values: dict[str, Any], rest: list[str]) -> int:
        found.append((values, rest))
        return 0

    one = typer.Typer(add_completion=False)
    one.callback()(lambda: None)
    add_command(one, command, keep)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        patch.setattr("spoolq.cli.typed.opened", lambda context: None)
        try:
            typer.main.get_command(one).main(args=[command.name, *words])
        except SystemExit as ended:
            return found[0] if found else ended.code
    return None


def spellings(option: Option) -> Iterator[list[str]]:
    for flag in option.flags:
        if not option.takes_value:
            yield [flag]
            continue
        value = _VALUES[option.kind]
        yield [flag, value]
        yield [f"{flag}={value}"] if flag.startswith("--") else [f"{flag}{value}"]
    if option.kind == "switch":
        yield [f"--no-{option.flags[0].removeprefix('--')}"]


LINES: Final = (
    [
        (command, [*words, "make", "-j4", "--json", "--", "-x"])
        for command in WORDY
        for option in command.options
        for words in spellings(option)
    ]
    + [
        (command, words)
        for command in (PROCESS, WORKER)
        for option in command.options
        for words in spellings(option)
    ]
    + [
        (ADD, words)
        for words in (
            [],
            ["make"],
            ["--", "-x"],
            ["--", "--", "-x"],
            ["-", "x"],
            ["-fWx", "make"],
            ["-fq", "mail", "make"],
            ["-xp5", "make"],
            ["-q", "a", "-q", "b", "make"],
            ["-q", "", "make"],
            ["-n", "a=1", "--notes", "b=2", "-n=c", "make"],
            ["--after", "1", "-P2", "-a", "3", "make"],
            ["-q=gpu", "make"],
        )
    ]
    + [
        (command, words)
        for command in (LIST, COUNT, IS)
        for words in (
            ["failed", "7", "--json"],
            ["7", "--json", "9-12", "--", "--json"],
            ["-", "--json", "-"],
        )
    ]
)


@pytest.mark.parametrize(("command", "words"), LINES, ids=lambda value: str(value)[:40])
def test_both_readers_make_the_same_of_a_command_line(command: Command, words: list[str]) -> None:
    short = grammar.parse(command.options, words, {}, mixed=command.mixed)

    made = tree(command, words, {})
    assert made in (0, 2) if short is None else made == short


def test_both_readers_take_the_queue_from_the_environment() -> None:
    env = {"SPOOLQ_QUEUE": "mail"}

    for words in (["make"], ["-q", "gpu", "make"], ["-g", "gpu", "make"]):
        assert grammar.parse(ADD.options, words, env) == tree(ADD, words, env)
    assert grammar.parse(ADD.options, ["make"], {"SPOOLQ_QUEUE": ""}) == ({}, ["make"])


@pytest.mark.parametrize(
    "words",
    [
        ["--help"], ["--no-such"], ["-Z"], ["-p", "high", "x"], ["-q"], ["--queue"],
        ["--json=1", "x"], ["-5"], ["--no-json", "x"], ["--no-lax=1", "x"], ["-fZ", "x"],
    ],
)  # fmt: skip
def test_what_is_not_plainly_right_is_left_to_the_command_tree(words: list[str]) -> None:
    assert grammar.parse(ADD.options, words, {}) is None
    assert tree(ADD, words, {}) in (0, 2)  # its help, or its words for what is wrong


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_command_tree_has_the_options_of_the_table(command: Command) -> None:
    group: Any = typer.main.get_command(make_app(GROUPS))
    params = group.commands[command.name].params
    known = {tuple(sorted({*p.opts, *p.secondary_opts})) for p in params if p.name != "words"}

    def flags(option: Option) -> set[str]:
        no = f"--no-{option.flags[0].removeprefix('--')}"
        return {*option.flags, *([no] if option.kind == "switch" else [])}

    assert known == {tuple(sorted(flags(option))) for option in command.options}


def test_the_options_before_the_verb_are_those_of_the_command_tree() -> None:
    group: Any = typer.main.get_command(make_app(GROUPS))
    known = {flag: param.envvar for param in group.params for flag in param.opts}

    for option in grammar.BEFORE_THE_VERB:
        for flag in option.flags:
            assert known[flag] == (option.env or None)


def test_no_two_options_of_a_command_share_a_flag() -> None:
    for command in COMMANDS:
        flags = [flag for option in command.options for flag in option.flags]
        assert len(flags) == len(set(flags))


@pytest.mark.parametrize("name", [o.name for o in WORKER.options if o.name in DEFAULTS])
def test_the_help_of_a_worker_tells_the_defaults_that_it_has(name: str) -> None:
    default = DEFAULTS[name]
    [text] = [option.help for option in WORKER.options if option.name == name]

    if isinstance(default, int | float):
        assert text.endswith((f"[{default:g}]", f"[{default:g} s]"))


@pytest.mark.parametrize(
    "words",
    [
        ["miniq", "notify", "Title"],
        ["spoolq", "add", "-q", "gpu", "-A", "3", "-n", '{"a": 1}', "true"],
        ["spoolq", "--root", "ROOT", "enqueue", "--args", "[1]", "task"],
        ["spoolq", "add", "--json", "-c", "echo a | cat"],
    ],
    ids=" ".join,
)
def test_putting_a_job_in_loads_no_more_than_it_takes(shell: Shell, words: list[str]) -> None:
    shell.ok("repair")
    words = [str(shell.root) if word == "ROOT" else word for word in words]
    program = _LOAD.replace("sys.argv[0]", repr(words[0]))

    run = [sys.executable, "-c", program, *words[1:]]
    loaded = subprocess.run(run, env=shell.env, capture_output=True, text=True, check=True)

    job, modules = loaded.stdout.splitlines()
    assert job in ("1", '{"id": 1}')
    assert set(modules.split()) - ALLOWED == set()


@pytest.mark.parametrize(
    "words",
    [
        ["spoolq", "count"],
        ["spoolq", "count", "state:failed", "-S", "ready", "--json"],
        ["spoolq", "count", "-q", "mail", "state:inactive"],
        ["spoolq", "is", "inactive", "1"],
        ["spoolq", "is", "--json", "inactive", "1,2"],
    ],
    ids=" ".join,
)
def test_a_short_question_loads_no_more_than_it_takes(shell: Shell, words: list[str]) -> None:
    shell.ok("enqueue", "-q", "mail", "one")
    shell.ok("enqueue", "two")
    words = [word.replace("ready", "inactive") for word in words]
    run = [sys.executable, "-c", _LOAD.replace("sys.argv[0]", repr(words[0])), *words[1:]]

    loaded = subprocess.run(run, env=shell.env, capture_output=True, text=True, check=True)

    modules = set(loaded.stdout.splitlines()[-1].split())
    assert modules - ALLOWED - LOOKING == set()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["count"], 0, "5"),
        (["count", "state:inactive"], 0, "3"),
        (["count", "state:inactive", "queue:mail"], 0, "1"),
        (["count", "state:failed", "-S", "finished"], 0, "2"),
        (["count", "state:ready"], 0, "2"),
        (["count", "task:two"], 0, "1"),
        (["count", "queue:mai*", "state:inactive"], 0, "1"),
        (["is", "inactive", "1"], 0, ""),
        (["is", "inactive", "1,2"], 0, ""),
        (["is", "done", "4", "5"], 0, ""),
        (["is", "failed", "4", "5"], 1, ""),
        (["is", "delayed", "3"], 0, ""),
        (["is", "finished", "last~1"], 0, ""),
        (["is", "finished", "77"], 3, "no such job: 77"),
        (["is", "fnished", "1"], 2, "did you mean 'finished'?"),
        (["is"], 2, "is what?"),
    ],
    ids=str,
)
def test_a_short_question_is_answered_as_the_whole_library_does(
    shell: Shell, words: list[str], code: int, said: str
) -> None:
    backend = FileBackend(str(shell.root), durability="none")
    worker = backend.register_worker()
    backend.enqueue("one", queue="mail")
    backend.enqueue("two")
    backend.enqueue("later", delay=3600)
    backend.enqueue("ends", priority=5)
    backend.finish_job(4, claim(backend, worker)["retries"])
    backend.enqueue("fails", priority=5)
    backend.fail_job(5, claim(backend, worker)["retries"])

    ran = shell.run(*words)

    assert ran.code == code
    assert said in (ran.err if code > 1 else ran.out)


def test_a_file_dropped_by_hand_counts_at_once(shell: Shell) -> None:
    shell.ok("repair")
    (shell.root / "inactive" / "mine.json").write_text('{"task": "t"}')

    assert shell.ok("count") == "1"
    assert shell.run("is", "inactive", "1").code == 0


def test_a_job_that_the_short_way_cannot_place_is_stored_all_the_same(shell: Shell) -> None:
    shell.ok("enqueue", "parent")

    shell.ok("enqueue", "-P", "1", "child")
    shell.ok("enqueue", "-d", "1h", "-E", "2h", "later")

    jobs = json.loads(shell.ok("list", "--json"))
    assert [job["parents"] for job in jobs] == [[], [1], []]
    assert jobs[0]["expires"] is not None
