"""Ways to a test's files for another user: pytest makes its directories for one alone."""

from __future__ import annotations

import stat
from pathlib import Path


def open_the_way(path: Path) -> None:
    """Let everybody enter the directories above `path`, and itself, that only one may."""
    for above in (path, *path.parents):
        if stat.S_IMODE(above.stat().st_mode) == 0o700:
            above.chmod(0o711)
