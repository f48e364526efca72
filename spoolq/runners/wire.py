"""Messages between a worker, its zygote and their children: small JSON over local sockets.

A message is a list that begins with a word. One packet is one message, so that two processes may
write to the same end; what is too large for a packet travels as a file in memory.

    worker → zygote    children KIND OPTIONS + sockets · kill PID SIGNAL · sweep MARKS
    zygote → worker    swept MARKS
    zygote → worker    born PID · refused ERRNO · died STATUS    on the socket of that child
    worker → child     run SERIAL JOB · cancel SERIAL · drop SERIAL
    child → worker     settled SERIAL · heard SERIAL · end SERIAL OK RESULT SETTLED WORN

What a child says is not trusted: a task can write to its socket what it likes.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from array import array
from collections.abc import Iterable
from typing import Any, Final

PACKET: Final = 60_000  # bytes; every system takes that much at once
LARGEST: Final = 64 * 1024 * 1024  # bytes of one message
_LARGE: Final = b"@"
MOST: Final = 16  # descriptors that come with one message
_ANCILLARY: Final = socket.CMSG_SPACE(MOST * 4)
_encode: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_decode: Final = json.JSONDecoder().decode

Message = list[Any]


class Garbage(ValueError):
    """What arrived is no message."""


class Wire:
    """One end of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._inode = os.fstat(sock.fileno()).st_ino

    def fileno(self) -> int:
        """The descriptor, to be polled."""
        return self._socket.fileno()

    def send(self, message: Message, fds: Iterable[int] = (), *, wait: bool = True) -> None:
        """Send one message, with descriptors to be had at the other end.

        Raises OSError; BlockingIOError when there is no room for it and it was not to `wait`.
        """
        data = _encode(message).encode()
        if len(data) <= PACKET:
            self._send(data, list(fds), wait)
            return
        file = os.memfd_create("spoolq-message")
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(file, left) :]
            self._send(_LARGE, [file, *fds], wait)
        finally:
            os.close(file)

    def _send(self, data: bytes, fds: list[int], wait: bool) -> None:
        flags = 0 if wait else socket.MSG_DONTWAIT
        if fds:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))
            self._socket.sendmsg([data], [rights], flags)
        else:
            self._socket.send(data, flags)

    def receive(self) -> tuple[Message, list[int]] | None:
        """The next message and what descriptors came with it; None when the other end is closed.

        Raises BlockingIOError when there is none yet, Garbage, and OSError.
        """
        try:
            flags = socket.MSG_CMSG_CLOEXEC
            data, ancillary, _, _ = self._socket.recvmsg(PACKET, _ANCILLARY, flags)
        except ConnectionResetError:
            return None
        fds = [fd for _, _, packed in ancillary for fd in _descriptors(packed)]
        try:
            if data == _LARGE and fds:
                data = _read_all(fds[0])
                os.close(fds.pop(0))
            elif not data and not fds:
                return None
            message = _decode(data.decode())
            if not isinstance(message, list) or not message:
                raise Garbage(f"no message: {data[:40]!r}")
        except (ValueError, RecursionError, OSError) as error:
            for fd in fds:
                os.close(fd)
            raise Garbage(str(error)) from None
        return message, fds

    def has_unread(self) -> bool:
        """Whether a message waits here that nobody has read."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def is_intact(self) -> bool:
        """Whether the descriptor is still ours: a task may have closed it, and opened a file."""
        try:
            return os.fstat(self._socket.fileno()).st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def pair() -> tuple[Wire, socket.socket]:
    """A connection: our end, which does not wait, and the one that is given away."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return Wire(ours), theirs


def _descriptors(packed: bytes) -> array[int]:
    fds = array("i")
    fds.frombytes(packed[: len(packed) - len(packed) % fds.itemsize])
    return fds


def _read_all(file: int) -> bytes:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
        raise Garbage("a message of the wrong kind or size")
    data = bytearray()
    while block := os.pread(file, status.st_size - len(data), len(data)):
        data += block
    return bytes(data)
