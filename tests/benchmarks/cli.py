"""What a short command costs from its start to its end, beside a Python that does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from spoolq import Spool
from tests.benchmarks.measure import alternate, ratios, spread
from tests.benchmarks.report import Goal, Row
from tests.benchmarks.setting import Setting

JOBS = 1000
ROUNDS = 15
BOUND = 12  # times `python -c pass`, for every command that goes through Typer
VERBS = (("list",), ("show",), ("why",), ("stats",), ("is", "inactive", "last"))


def cli(setting: Setting) -> list[Row]:
    """Milliseconds a call, on a spool of a thousand jobs, in turns with the bare interpreter."""
    root = os.path.join(setting.root, "spool")
    spool = Spool(root, durability="none")
    spool.enqueue_many([("resize", [f"photo-{number}.jpg"]) for number in range(JOBS)])
    # Every start compiles what it imports where the first one may not keep it.
    env = {**os.environ, "SPOOLQ_ROOT": root, "SPOOLQ_DURABILITY": "none"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    bare = _timed([sys.executable, "-c", "pass"], env)
    rows = []
    for verb in VERBS:
        ours = _timed([sys.executable, "-m", "spoolq", *verb], env)
        ours()
        took = alternate(3 if setting.quick else ROUNDS, {"ours": ours, "bare": bare})
        rows.append(
            Row(
                f"spoolq {' '.join(verb)}, {JOBS:,} jobs",
                spread(took["ours"]).median,
                "ms",
                "python -c pass",
                spread(took["bare"]).median,
                ratios(took["ours"], took["bare"]),
                Goal("ratio", BOUND, at_most=True),
            )
        )
    return rows


def _timed(argv: list[str], env: dict[str, str]) -> Callable[[], float]:
    return partial(_run, argv, env)


def _run(argv: list[str], env: dict[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run(argv, env=env, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begin) * 1000
