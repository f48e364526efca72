"""Colours, for people at a terminal: none in a pipe, none for NO_COLOR or a dumb terminal.

`--color always|never` (SPOOLQ_COLOR) overrides what the environment says: https://no-color.org,
FORCE_COLOR, CLICOLOR_FORCE. Data (tsv, json, ids) is never coloured.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from spoolq.cli.exits import USAGE, Refused
from spoolq.selection import did_you_mean

VARIABLE: Final = "SPOOLQ_COLOR"
WHEN: Final = ("auto", "always", "never")
_CODES: Final = {
    "active": "36", "busy": "36", "finished": "32", "ok": "32", "✓": "32", "failed": "31",
    "silent": "31", "problem": "31", "✗": "31", "delayed": "33", "warning": "33", "!": "33",
    "blocked": "35", "held": "35",
}  # fmt: skip


def enabled() -> bool:
    """Whether stdout is to be coloured. Raises Refused for a word that is none of WHEN."""
    asked = os.environ.get(VARIABLE) or "auto"
    if asked not in WHEN:
        known = did_you_mean(asked, WHEN) or f" (known: {', '.join(WHEN)})"
        raise Refused(USAGE, f"--color {asked!r}: when?{known}")
    if asked != "auto":
        return asked == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if any(os.environ.get(name, "0") != "0" for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, like: str | None = None) -> str:
    """Text in the colour of a state or a sign: of what it says itself, or of `like`."""
    code = _CODES.get((like or text).strip())
    return f"\x1b[{code}m{text}\x1b[0m" if code and enabled() else text
