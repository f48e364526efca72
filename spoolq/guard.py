"""A named lock that is let go of by itself."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from spoolq.backend import Backend


class Guard:
    """One hold of a named lock: exactly the one that was taken, whoever else holds the name.

    It is released by `release`, by leaving a `with` block, or with the object itself. A forked
    child that inherits the object does not release it.
    """

    def __init__(self, backend: Backend, name: str, hold: int) -> None:
        """Made by `Spool.guard`; `hold` is what `acquire_lock` answered, 0 holds nothing."""
        self._finalizer = weakref.finalize(self, _unlock, backend, name, hold, os.getpid())

    def release(self) -> bool:
        """Let go. False when there was nothing to release: released before, or expired."""
        return bool(self._finalizer())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _unlock(backend: Backend, name: str, hold: int, owner: int) -> bool:
    # A hold of 0 was a probe: nothing was taken [190].
    return hold != 0 and os.getpid() == owner and backend.unlock(name, id=hold)
