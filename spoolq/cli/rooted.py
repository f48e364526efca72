"""What root imports: only what nobody else could have written. The rule of sshd.

Functions run as the owner of the spool; the program they are in is imported by the worker itself.
What it imports in turn is found in the places Python looks in, which root has chosen.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import stat

from spoolq.cli.exits import USAGE, Refused


def may_look_in(here: str, name: str) -> bool:
    """Whether the working directory may be a place for modules: not where others put theirs.

    Raises Refused where the module that is wanted lies in such a directory.
    """
    problem = _problem(here, among_others=False)
    if problem is None:
        return True
    top = f"{here}/{name.partition('.')[0]}"
    if os.path.lexists(f"{top}.py") or os.path.isdir(top):
        raise _refused(name, problem)
    return False


def check_module(name: str) -> None:
    """Raises Refused for a module that others could have written.

    Also ModuleNotFoundError, and whatever a package above it raises when it is imported.
    """
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        # Finding a module imports the package above it, which was looked at the turn before.
        spec = importlib.util.find_spec(".".join(parts[:depth]))
        places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
        for place in places:
            if place is not None and (problem := _problem(place, among_others=True)):
                raise _refused(name, problem)


def _problem(path: str, *, among_others: bool) -> str | None:
    """Who but root could change this file or directory, in words; None: nobody.

    A sticky directory such as /tmp will do for what lies `among_others` in it and for the way
    there: nobody replaces it. Anybody puts a module of any name beside it, though.
    """
    path = os.path.realpath(path)
    while os.path.lexists(path):
        status = os.stat(path)
        if status.st_uid != 0:
            return f"{path} belongs to {_user(status.st_uid)}"
        sticky = among_others and stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if status.st_mode & 0o022 and not sticky:
            return f"{path} can be written by others (mode {stat.S_IMODE(status.st_mode):04o})"
        if path == "/":
            break
        path, among_others = os.path.dirname(path), True
    return None


def _refused(name: str, problem: str) -> Refused:
    return Refused(
        USAGE,
        f"--app {name}: root does not import what others can change, and {problem}; run the "
        "worker as the user whose program it is, or give it and the directories above it to root",
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
