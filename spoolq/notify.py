"""What systemd is told: sd_notify(3), in the few lines it takes."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from spoolq.clock import monotonic_micros


def notify(*lines: str) -> bool:
    """Send these assignments to whoever started this service; False where nobody wants to know."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with (
        suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.connect(address)
        sender.send("\n".join(lines).encode())
        return True
    return False


def reloading() -> bool:
    """Say that settings are being read again; `notify("READY=1")` ends it."""
    return notify("RELOADING=1", f"MONOTONIC_USEC={monotonic_micros()}")


def watchdog_interval() -> float | None:
    """Seconds between two `WATCHDOG=1`, half of what systemd allows; None: it does not watch."""
    micros, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not micros.isdigit() or int(micros) <= 0 or (pid and pid != str(os.getpid())):
        return None
    return int(micros) / 2_000_000
