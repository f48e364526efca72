"""The environments that command lines were added in: each is kept once, for all of its jobs.

    environments/<crc>-<bytes>               an object of strings, sorted, as compact JSON; 0600
    environments/<crc>-<bytes>.gone.<µs>     one that no job seemed to need any more, since then

A job's `env` is the name of its environment. The name is made of the content: who adds a job looks
whether the one it has is there already, byte by byte, and stores its own inside of the job where
something else has that name. An environment holds secrets, so nobody prints it unasked.
"""

from __future__ import annotations

import json
import os
import stat
from zlib import crc32

TYPE_CHECKING = False  # see `tuples`
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

DIRECTORY: Final = "environments"
GONE: Final = ".gone."
LARGEST: Final = 4 * 1024 * 1024  # bytes; the system takes less than that for a program
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def encode(env: Mapping[str, str]) -> bytes:
    """What is kept of an environment."""
    return json.dumps(env, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def name_of(data: bytes) -> str:
    """The name of what is kept."""
    return f"{crc32(data):08x}-{len(data)}"


def is_name(value: object) -> bool:
    """Whether this is the name of an environment, and no path out of its directory."""
    if not isinstance(value, str) or not value.isascii():
        return False
    crc, _, size = value.partition("-")
    return len(crc) == 8 and crc.isalnum() and size.isdigit() and len(size) < 9


def read(root: str, name: str) -> dict[str, str]:
    """The environment of this name in the spool at `root`.

    Raises FileNotFoundError when there is none, ValueError for what is damaged, and OSError. Root
    reads here what belongs to a user, who could put links in the way: no step follows one.
    """
    if not is_name(name):
        raise ValueError(f"{name!r:.40} is no name of an environment")
    directory = os.open(f"{root}/{DIRECTORY}", _OPEN | os.O_DIRECTORY)
    try:
        data = _read(directory, name)
        if data is None:
            # RACE: a repair has put it aside for a job that it has not seen. It is there for long.
            aside = [file for file in os.listdir(directory) if file.startswith(f"{name}{GONE}")]
            data = _read(directory, aside[0]) if aside else None
    finally:
        os.close(directory)
    if data is None:
        raise FileNotFoundError(f"there is no environment {name} in {root}/{DIRECTORY}")
    if name_of(data) != name:
        raise ValueError(f"the environment {name} is damaged")
    env = json.loads(data)
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise ValueError(f"the environment {name} is no object of strings")
    return env


def _read(directory: int, name: str) -> bytes | None:
    try:
        fd = os.open(name, _OPEN | os.O_NONBLOCK, dir_fd=directory)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            raise ValueError(f"{name} is no file of an environment")
        return file.read()


def resolved(root: str | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The named arguments of a command line with its environment in place of the name, for who
    asked to see it; where that cannot be read, the name."""
    env = kwargs.get("env")
    if root is None or not isinstance(env, str):
        return dict(kwargs)
    try:
        return {**kwargs, "env": read(root, env)}
    except (OSError, ValueError):
        return dict(kwargs)
