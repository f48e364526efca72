"""Which spoolq this is: the package is built with it, and asking the package takes 19 ms."""

from __future__ import annotations

VERSION = "0.1.0"
