"""`NamedTuple` without `typing`, whose import costs a third of what starting Python costs.

`spoolq add` is started in loops. Whoever it loads takes from `typing` what only annotations need,
below `TYPE_CHECKING`, and named tuples from here; type checkers are shown the original.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OWN = frozenset({"__module__", "__qualname__", "__annotations__", "__classcell__"})


class _Maker(type):
    """Makes a named tuple of what a class body declares: fields, defaults, methods."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, body)
        fields = list(body["__annotations__"])
        defaults = [body[field] for field in fields if field in body]
        made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])  # type: ignore[misc]  # noqa: PYI024
        for key, value in body.items():
            if key not in _OWN and key not in fields:
                setattr(made, key, value)
        return made


class NamedTuple(metaclass=_Maker):
    """See `typing.NamedTuple`."""
