"""Which directory is the spool when nobody names one."""

from __future__ import annotations

import os


def default_root() -> str:
    """The directory `Spool()` uses: $SPOOLQ_ROOT, else $MINIQ_ROOT, else the user's own."""
    root = os.environ.get("SPOOLQ_ROOT") or os.environ.get("MINIQ_ROOT")
    if root:
        return root
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # the XDG specification: a relative one counts as unset
        state = os.path.expanduser("~/.local/state")
    return os.path.join(state, "spoolq")
