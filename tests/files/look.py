"""What a person sees who looks into a spool, and does there by hand."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a directory with its content, links and directories with nothing."""
    return {
        str(path.relative_to(root)): path.read_bytes() if _is_file(path) else b""
        for path in sorted(root.rglob("*"))
    }


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def file_of(root: Path, id: int) -> Path:
    """The only file of a job."""
    found = (path for path in root.rglob(f"{id}.*") if path.name.endswith(".json"))
    [path] = [path for path in found if path.parent.name != "incidents"]
    return path


def state_of(root: Path, id: int) -> str:
    """The top directory that the only file of a job lies in."""
    return file_of(root, id).relative_to(root).parts[0]


def age(path: Path, seconds: float = 10) -> None:
    """Make a file look as if it had last changed some seconds ago."""
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)


def drop(root: Path, name: str, content: Any) -> Path:
    """Put a file into the inbox as a person would, with whatever content, and let it age."""
    path = root / "inactive" / name
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(text)
    age(path)
    return path


def set_aside(root: Path) -> dict[str, str]:
    """What lies in corrupt/: the path a file had, and the reason that stands beside it."""
    corrupt = root / "corrupt"
    notes = [json.loads(path.read_bytes()) for path in sorted(corrupt.glob("*.reason"))]
    kept = [path for path in corrupt.iterdir() if path.suffix != ".reason"]
    assert len(kept) == len(notes), "every file that is set aside has its reason beside it"
    return {note["file"]: note["reason"] for note in notes}
