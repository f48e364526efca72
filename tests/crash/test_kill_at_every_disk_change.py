"""kill -9 before and after every change of the disk, in every operation.

A forked child acts and dies; it tells its answers through a pipe, so what it acknowledged is
known. Then somebody else opens the spool, repairs it twice, and everything must be as it was
before the act that died or as it is after it.
"""

from __future__ import annotations

import json
import os
import signal
import traceback
import warnings
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.crash.scenarios import SCENARIOS, Act, Scenario
from tests.crash.trial import Fault, Ground, open_spool, perform, verify
from tests.support.faults import SYNCS, Call, Kill, Plan

When = Literal["before", "after"]
NEVER = 1_000_000


def changes(ground: Ground, durability: str = "none") -> list[Call]:
    """The calls that change the disk while nothing goes wrong."""
    plan, clock, root = Plan(), ground.now(), ground.copy()
    backend = open_spool(root, ground.scenario, clock, plan, durability=durability)
    perform(ground.world(backend, clock, root), ground.scenario.acts, lambda *_: None)
    return [call for call in plan.calls if call.kind not in SYNCS]


def killed(ground: Ground, at: int, when: When, acts: tuple[Act, ...] | None = None) -> Fault:
    """Act in a child that is killed at a change, and say what it answered until then."""
    root = ground.copy()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside a runner's threads
        child = os.fork()
    if child == 0:
        os.close(reader)
        _live(ground, root, Kill(at, when), acts or ground.scenario.acts, writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        told = [json.loads(line) for line in pipe]
    _, status = os.waitpid(child, 0)
    errors = [item["error"] for item in told if "error" in item]
    assert not errors, errors[0]
    assert at == NEVER or os.WTERMSIG(status) == signal.SIGKILL, f"was not killed: {status}"
    answers = [item["answer"] for item in told if "answer" in item]
    return Fault(root, answers, [item["born"] for item in told if "born" in item])


def _live(ground: Ground, root: str, plan: Kill, acts: tuple[Act, ...], writer: int) -> None:
    """The life of the child."""

    def tell(**said: Any) -> None:
        os.write(writer, json.dumps(said).encode() + b"\n")

    plan.note_birth = lambda path: tell(born=path)  # type: ignore[method-assign]
    clock = ground.now()
    try:
        backend = open_spool(root, ground.scenario, clock, plan)
        world = ground.world(backend, clock, root)
        perform(world, acts, lambda _, answer: tell(answer=answer))
    except BaseException:
        tell(error=traceback.format_exc())
    os._exit(0)


def test_kill(tmp_path: Path) -> None:
    total = 0
    for scenario in SCENARIOS:
        (tmp_path/scenario.name).mkdir()
        ground = Ground(scenario, tmp_path/scenario.name)
        n = len(changes(ground))
        bad = []
        for k in range(1, n+1):
            for when in ("before", "after") if k == n else ("before",):
                total += 1
                fault = killed(ground, k, when)
                try:
                    verify(ground, fault)
                except Exception as e:
                    bad.append((k, when, len(fault.answers), e))
        print(scenario.name, n, "BAD" if bad else "ok", flush=True)
        for b in bad[:2]: print("   ", b[:3], type(b[3]).__name__, str(b[3])[:1500])
    print(total)
