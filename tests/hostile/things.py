"""What somebody may have left in place of a job's file, or beside it."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

CONTENTS: Final[dict[str, bytes]] = {
    "nothing": b"",
    "a torn job": b'{"id":1,"task":"foo","args":[',
    "garbage": b"}{",
    "binary": bytes(range(256)) * 20,
    "zeroes": b"\0" * 4096,
    "deep nesting": b'{"task":' + b"[" * 100_000,
    "NaN": b'{"task": "foo", "args": [NaN]}',
    "1e999": b'{"task": "foo", "args": [1e999]}',
    "5,000 digits": b'{"task": "foo", "args": [' + b"9" * 5000 + b"]}",
    "duplicate keys": b'{"task": "foo", "task": "bar"}',
    "no UTF-8": b'{"task": "f\xff"}',
    "lone surrogate": b'{"task": "\\ud800"}',
    "NUL in a task": b'{"task": "f\\u0000"}',
    "byte order mark": b'\xef\xbb\xbf{"task": "foo"}',
    "wrong types": b'{"task": 7, "args": "text"}',
    "a list": b"[1, 2]",
    "no task": b'{"args": []}',
    "only quotes": b'{"' * 60 + b'"' * 500_000,
}


def _socket(path: Path) -> None:
    above = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            # Through /proc: a socket's path must be shorter than 108 characters.
            listening.bind(f"/proc/self/fd/{above}/{path.name[:60]}")
        os.rename(path.parent / path.name[:60], path)
    finally:
        os.close(above)


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        for size in (1 << 40, 1 << 30):
            try:
                os.truncate(file.fileno(), size)
            except OSError:
                continue  # this file system has no files that large
            return


def _foreign_hard_link(path: Path) -> None:
    mine = path.parents[len(path.parts) - 2 - _depth_of_spool(path)] / "mine.txt"
    mine.write_text('{"task": "foo"}')
    os.link(mine, path)


def _depth_of_spool(path: Path) -> int:
    return path.parts.index("spool") - 1


THINGS: Final[dict[str, Callable[[Path], object]]] = {
    "a link to /etc/passwd": lambda path: path.symlink_to("/etc/passwd"),
    "a link to nothing": lambda path: path.symlink_to("/nowhere/at/all"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a directory": lambda path: path.symlink_to("/etc"),
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "a directory": Path.mkdir,
    "a directory with something in it": lambda path: (path / "deep/er").mkdir(parents=True),
    "a file of 1 TB": _sparse,
    "a hard link to a file of mine": _foreign_hard_link,
}
if os.geteuid() == 0:
    THINGS["a device"] = lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))

NAMES: Final[dict[str, bytes]] = {
    name: name.encode()
    for name in (
        ".nfs000000000012d68700000001", ".DS_Store", "lost+found", "17.json~", ".#17.json",
        "#17.json#", ".17.json.swp", ".17.json.Xy3kQ9", "-rf", "--help.json", "*", "~", "%",
        "x" * 250,
        "x" * 250 + ".json", "new\nline", "new\nline.json", "\x1b[2J.json", "..json", "...", " ",
        "junk.json", "17.json", "foo.bar.json", "1.2.3.4.5.6.7.8.foo.json",
        "017.0.0.a.d1.day.json",
        "1.0.0.a.d1.d a y.json", "999999999999999999999.0.0.a.d1.day.json", "alarm.1.x",
        "alarm.x.1",
        "generation.x.y", "generation.", "generation.9", "b1-2", "b1-2-3", "b--", "job.x.y.z",
        "job.1.2", "job.9.0.x.y", "worker.x.0.n", "lock.\u00b2.0.n", "\u00b2", "\u0663", "v\u00b2",
        "v", "v1x", "v00", "-0", "00", "1e9", "0x10", "99999999999999999999", "-", "+", "1+2",
        "ready+day+x", "ready+..+0", "waiting+day+x", "waiting+day+1", "finished+x", "x.status.y",
        f"1-{'0' * 32}.\u00b2.0", f"\u00b2-{'0' * 32}.0.0", f"7-{'0' * 32}", f"7-{'0' * 32}.0.0",
        f"7-{'0' * 32}.status.x", "7-x.0.0", "1.0.0.a@ready+day+0.old", "1.0.0.a@x.old",
        "9.0.0.a@ready+day+0.new", "1.0.0.a@.old", "@", "x.old", "x.new", "delayed", "waiting",
    )
}  # fmt: skip
NAMES["no UTF-8"] = b"\xff\xfe.json"
NAMES["no UTF-8 either"] = b"1.0.0.a.d1.\xe9.json"
