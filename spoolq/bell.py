"""A bell: any thread rings it, one poll loop hears it, and rings that come together are one."""

from __future__ import annotations

import os
from contextlib import suppress


class Bell:
    """An eventfd with two verbs."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """A descriptor that is readable once it has rung."""
        return self._fd

    def ring(self) -> None:
        """Make it readable. Nothing happens once it was closed."""
        with suppress(OSError):
            os.eventfd_write(self._fd, 1)

    def answer(self) -> None:
        """Make it silent until it rings again."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._fd)

    def close(self) -> None:
        """Take it down."""
        fd, self._fd = self._fd, -1  # RACE: whoever rings it now must not ring another's file
        if fd >= 0:
            os.close(fd)
