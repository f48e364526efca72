"""Room on the disk: below the low-water mark a worker takes no new jobs.

What runs may end, with the ballast if need be; new jobs would fill the disk with their logs and
outcomes. How much is free is looked up once in a while and not for every job: on a file server
that is a call of its own.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from spoolq.errors import SpoolFull, SpoolUnavailable

if TYPE_CHECKING:
    from spoolq.backend import Backend

LOOK: Final = 1.0  # seconds between two looks

log = logging.getLogger("spoolq.worker")


class Space:
    """What a worker knows of it. Times are those of the clock's `elapsed`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.shortage: SpoolFull | None = None
        """Why no new jobs are taken."""
        self.at = 0.0
        """When the next look is due."""

    def look(self, now: float) -> None:
        """Look when it is time; say so once when it has become too little, and once when it is
        enough again. Where nobody can say nothing has changed: beats and claims tell of that."""
        if now < self.at:
            return
        self.at = now + LOOK
        before = self.shortage
        try:
            self._backend.check_space()
        except SpoolFull as error:
            self.shortage = error
            if before is None:
                log.warning("no new jobs are taken, those that run go on: %s", error)
            return
        except SpoolUnavailable:
            return
        self.shortage = None
        if before is not None:
            log.info("there is room on the disk again: new jobs are taken")
