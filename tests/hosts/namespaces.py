"""Hosts in namespaces of one kernel: with a name, pids, a network and mounts of their own.

A command runs as the first process of such a host, so two hosts have workers with the same name
and the same pid. They share the directory, and nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
UNSHARE: Final = ("unshare", "--user", "--map-root-user", "--net", "--uts", "--mount", "--pid")
NAME: Final = "twin"


def _possible() -> bool:
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run([*UNSHARE, "--fork", "true"], check=False, capture_output=True).returncode
        == 0
    )


needs_namespaces = pytest.mark.skipif(
    "CI" not in os.environ and not _possible(), reason="the system gives no namespaces here"
)


def on_host(command: Sequence[str], *, name: str = NAME, mount: str = "") -> list[str]:
    """The command, to be run on a host of its own; its pid there is 1.

    It dies with `unshare`, which is what the caller kills. `mount` is a shell command that is run
    before it, in the mounts of the new host.
    """
    script = f'hostname {name}; {mount or ":"}; exec "$@"'
    fork = ("--fork", "--kill-child", "--mount-proc")
    return [*UNSHARE, *fork, "sh", "-c", script, "sh", *command]


def python_on_host(
    function: str, *args: Any, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """Start `module:function(*args)` on a host of its own; what it prints can be read."""
    words = [sys.executable, "-m", "tests.hosts.namespaces", function, json.dumps(args)]
    return subprocess.Popen(
        on_host(words, **options),
        cwd=REPOSITORY,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        text=True,
    )


def _call(function: str, args: list[Any]) -> None:
    import importlib

    module, _, name = function.partition(":")
    getattr(importlib.import_module(module), name)(*args)


if __name__ == "__main__":
    _call(sys.argv[1], json.loads(sys.argv[2]))
