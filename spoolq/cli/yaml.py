"""One value as a YAML document, as `minion job` prints it: keys sorted, null as `~`.

Only ever written, never read; every string is safe on a terminal, because YAML has the escapes
that `output.escape` makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from spoolq.cli.output import TIMES, escape, iso
from spoolq.model import JSON

_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+-]*", re.ASCII)
# Words that a reader of YAML 1.1 or 1.2 would take for something else than a string.
_TAKEN: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def document(value: JSON) -> str:
    """The lines of a document, without the line end of the last one."""
    return "\n".join(_head("---", value, "", key=None))


def _head(start: str, value: JSON, indent: str, *, key: str | None) -> Iterator[str]:
    """What stands behind `---`, `key:` or `-`: on the same line, or on the ones below."""
    if isinstance(value, dict) and value:
        yield start
        for name in sorted(value):
            yield from _head(f"{indent}{_text(name)}:", value[name], f"{indent}  ", key=name)
    elif isinstance(value, list) and value:
        yield start
        for item in value:
            yield from _head(f"{indent}-", item, f"{indent}  ", key=None)
    else:
        yield f"{start} {_scalar(value, key)}"


def _scalar(value: JSON, key: str | None) -> str:
    if value is None:
        return "~"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return iso(value) if key in TIMES and isinstance(value, float) else repr(value)
    if isinstance(value, str):
        return _text(value)
    return "{}" if isinstance(value, dict) else "[]"


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _TAKEN:
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escape(quoted)}"'
