"""The command tree: which module has which verb, and what a command imports."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain

import pytest

from spoolq.cli.app import GROUPS, make_app
from spoolq.cli.verbs import ELSEWHERE
from tests.cli.conftest import Shell


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_has_the_verbs_that_are_said_of_it(group: str) -> None:
    app = make_app([group])

    named = [
        info.name or info.callback.__name__ for info in app.registered_commands if info.callback
    ]
    named += [str(info.name) for info in app.registered_groups]

    assert sorted(named) == sorted(GROUPS[group])


def test_options_before_the_verb_do_not_hide_it(shell: Shell) -> None:
    words = ("--root", str(shell.root), "--durability", "none", "list")

    assert shell.run(*words).code == 0
    assert shell.run("--root=list", "repair").code == 0


def test_a_short_command_imports_no_more_than_it_needs(shell: Shell) -> None:
    shell.ok("repair")

    loaded = modules_of(shell, "stats")

    heavy = {"rich", "pydantic", "asyncio", "tomllib", "filelock", "ctypes"}
    assert heavy & loaded == set()
    others = {f"spoolq.cli.{group}" for group in GROUPS if group != "counting"}
    assert (others | {"spoolq.loop.engine", "spoolq.runners.executable"}) & loaded == set()


def test_a_listing_is_made_without_typer(shell: Shell) -> None:
    shell.ok("enqueue", "task")

    loaded = modules_of(shell, "list", "state:ready", "-o", "tsv")

    heavy = {"typer", "click", "spoolq.spool", "spoolq.job", "shutil", "secrets"}
    assert heavy & loaded == set()


def modules_of(shell: Shell, *words: str) -> set[str]:
    """Every module that a command loads."""
    code = f"import sys; from spoolq.cli import _spoolq; _spoolq({words!r}); print(*sys.modules)"
    env = {**os.environ, **shell.env}
    run = [sys.executable, "-c", code]
    ran = subprocess.run(run, env=env, capture_output=True, check=True)
    return set(ran.stdout.decode().splitlines()[-1].split())


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("lst", "there is no verb 'lst'; did you mean 'list'?"),
        ("follow", "there is no verb 'follow'; write: spoolq logs -f"),
        ("frobnicate", "there is no verb 'frobnicate'; spoolq --help lists them"),
        ("convert", "there is no verb 'convert'; the task: spoolq enqueue convert …"),
    ],
)
def test_a_verb_that_there_is_not_is_answered_with_one_that_there_is(
    shell: Shell, verb: str, said: str
) -> None:
    shell.ok("repair")
    shell.add_executable("convert.job", "true")

    ran = shell.run(verb, "3")

    assert (ran.code, ran.out, ran.err) == (2, "", f"spoolq: {said}\n")


def test_what_is_called_otherwise_elsewhere_is_no_verb_here() -> None:
    assert not ELSEWHERE.keys() & {*chain(*GROUPS.values())}
    assert {said.split()[0].rstrip(",") for said in ELSEWHERE.values()} <= {
        *chain(*GROUPS.values())
    }


@pytest.mark.parametrize("verb", ["count", "stats"])
def test_a_root_without_a_name_is_not_the_users_own(shell: Shell, verb: str) -> None:
    ran = shell.run("--root", "", verb)

    assert (ran.code, ran.out, ran.err) == (2, "", "spoolq: --root: which directory?\n")
