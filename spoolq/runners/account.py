"""As whom jobs run: where root works for a spool of somebody else, as that somebody.

Who may write into a spool decides what its jobs do, and may become its owner by that, never root.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from spoolq.runners import Outcome

_GET_PDEATHSIG: Final = 2


@dataclass(frozen=True)
class Account:
    """The user a job runs as, `owner` the spool's.

    `switch` is (uid, gid) where that is not this process's own.
    """

    uid: int
    owner: int
    name: str
    home: str
    shell: str
    switch: tuple[int, int] | None
    groups: tuple[int, ...]

    @property
    def env(self) -> dict[str, str]:
        """The variables that name the user."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}


def job_account(root: str) -> Account:
    """The user jobs of this spool run as: this process's, or the spool's owner if that is root.

    Raises OSError.
    """
    uid, owner = os.geteuid(), os.stat(root).st_uid
    switch: tuple[int, int] | None = None
    groups: tuple[int, ...] = ()
    if uid == 0 and owner != 0:
        uid = owner
        switch = (uid, os.stat(root).st_gid)
    try:
        user = pwd.getpwuid(uid)
    except KeyError:  # a container's user without a name
        home = os.environ.get("HOME", "/")
        return Account(uid, owner, str(uid), home, "/bin/sh", switch, groups)
    if switch is not None:
        switch = (uid, user.pw_gid)
        groups = tuple(os.getgrouplist(user.pw_name, user.pw_gid))
    shell = user.pw_shell or "/bin/sh"
    return Account(uid, owner, user.pw_name, user.pw_dir, shell, switch, groups)


def become(account: Account) -> None:
    """Turn this child, where root has made it, into a process of the account, for good."""
    if account.switch is None:
        return
    import ctypes  # 5 ms, for who works for others

    from spoolq.runners.child import PDEATHSIG, prctl

    parent, asked = os.getppid(), ctypes.c_int()
    prctl()(_GET_PDEATHSIG, ctypes.byref(asked), 0, 0, 0)
    uid, gid = account.switch
    os.setgroups(account.groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.environ.update(account.env)
    # The system forgets it with the user. It also makes the memory of this process, which was
    # root's, unreadable to others of that user; that stays.
    prctl()(PDEATHSIG, asked.value, 0, 0, 0)
    if asked.value and os.getppid() != parent:
        os._exit(1)  # RACE: it died before this was set


def in_account(account: Account, work: Callable[[], Outcome]) -> Outcome:
    """`work` as this user, in a child that does nothing else."""
    become(account)
    return work()
