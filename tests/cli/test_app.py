"""The command tree: which module has which verb, and what a command imports."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from spoolq.cli.app import GROUPS, make_app
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
    code = "import sys; from spoolq.cli.app import run; run(['list']); print(*sys.modules)"
    shell.ok("repair")
    env = {**os.environ, **shell.env}

    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)

    loaded = set(ran.stdout.decode().split())
    heavy = {"rich", "pydantic", "asyncio", "importlib.metadata", "tomllib", "filelock", "ctypes"}
    assert heavy & loaded == set()
    others = {f"spoolq.cli.{group}" for group in GROUPS if group != "listing"}
    assert (others | {"spoolq.loop.engine", "spoolq.runners.executable"}) & loaded == set()
