"""A disk that counts what it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from spoolq.files.fs import Filesystem

_CHANGES: Final = [name for name in vars(Filesystem) if name.startswith("sys_")]
_LOOKS: Final = ("list", "read", "is_directory", "changed", "modified", "space")


class Costs(Counter[str]):
    """How often each call was made, and under `entries` how many names all listings had."""

    @property
    def calls(self) -> int:
        """All calls together."""
        return self.total() - self["entries"]


class Counting(Filesystem):
    """Counts every system call that changes something, every listing and every file read."""

    costs: Costs = Costs()

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(root, **options)
        for name in (*_CHANGES, *_LOOKS):
            setattr(self, name, self._counted(name, getattr(self, name)))

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            answer = call(*args, **options)
            Counting.costs[name] += 1
            if name == "list":
                Counting.costs["entries"] += len(answer)
            return answer

        return counted


@contextmanager
def counted() -> Iterator[Costs]:
    """The costs of what is done in the block."""
    Counting.costs = Costs()
    yield Counting.costs
