"""Where crash tests work, and the count of what they went through."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Count = Callable[[str, int], None]


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is one: no test here needs a disk that is slow."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else str(tmp_path)
    with tempfile.TemporaryDirectory(prefix="spoolq-crash-", dir=base) as directory:
        yield Path(directory)


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Count:
    """Add to the numbers that stand at the end of the run."""
    return lambda what, number: record_property(f"crash: {what}", number)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many crashes there were: a loop that never ran would be green, too."""
    total: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, number in getattr(report, "user_properties", ()):
                if name.startswith("crash: ") and report.when == "call":
                    total[name.removeprefix("crash: ")] += number
    if total:
        line = ", ".join(f"{number:,} {what}" for what, number in sorted(total.items()))
        terminalreporter.write_line(f"crash points: {line}")
