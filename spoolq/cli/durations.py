"""Durations as people write them: `90`, `1.5h`, `2h30m`, `7d`."""

from __future__ import annotations

import re
from typing import Final

from spoolq.errors import InvalidValue

_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds. A number without a unit is seconds. Raises InvalidValue."""
    sign = -1 if text.startswith("-") else 1
    rest = text.strip().removeprefix("-").lower()
    total = 0.0
    while rest and (part := _PART.match(rest)) and (part[2] or part.end() == len(rest)):
        total += float(part[1]) * _SECONDS[part[2]]
        rest = rest[part.end() :]
        if not rest:
            return sign * total
    raise InvalidValue(f"{text!r} is no duration: write 90, 10m, 2h30m or 7d")
