"""Death: by SIGKILL in a child, or, cheaper and as dead, by an exception that nobody catches."""

from __future__ import annotations

import gc
import json
import os
import signal
import traceback
import warnings
from typing import Any, NoReturn

from tests.crash.scenarios import Act
from tests.crash.trial import Fault, Ground, open_spool, perform
from tests.support.faults import SYNCS, Call, Death, Die, Kill, Mount, Plan


def changes(ground: Ground, *, mount: Mount = "ext4", durability: str = "none") -> list[Call]:
    """The calls that change the disk while nothing goes wrong."""
    plan, clock, root = Plan(), ground.now(), ground.copy()
    backend = open_spool(root, ground.scenario, clock, plan, mount=mount, durability=durability)
    perform(ground.world(backend, clock, root), ground.scenario.acts, lambda _: None)
    return [call for call in plan.calls if call.kind not in SYNCS]


def killed(ground: Ground, plan: Kill, *, mount: Mount = "ext4") -> Fault:
    """Act in a child that is killed at a change, and say what it answered until then.

    `died` is False when there were not so many changes: then all acts came to an end.
    """
    root = ground.copy()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside a runner's threads
        child = os.fork()
    if child == 0:
        _live(ground, root, plan, mount, writer)
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        told = [json.loads(line) for line in pipe]
    _, status = os.waitpid(child, 0)
    errors = [item["error"] for item in told if "error" in item]
    assert not errors, errors[0]
    died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert died or status == 0
    answers = [item["answer"] for item in told if "answer" in item]
    return Fault(root, answers, [item["born"] for item in told if "born" in item], died=died)


def _live(ground: Ground, root: str, plan: Kill, mount: Mount, writer: int) -> NoReturn:
    """The life of the child."""

    def tell(**said: Any) -> None:
        os.write(writer, json.dumps(said).encode() + b"\n")

    gc.disable()  # it would copy the memory of the parent, page by page
    plan.note_birth = lambda path: tell(born=path)  # type: ignore[method-assign]
    try:
        clock = ground.now()
        backend = open_spool(root, ground.scenario, clock, plan, mount=mount)
        world = ground.world(backend, clock, root)
        perform(world, ground.scenario.acts, lambda answer: tell(answer=answer))
    except BaseException:  # noqa: BLE001  # the parent raises it
        tell(error=traceback.format_exc())
    finally:
        os._exit(0)


def dies(ground: Ground, root: str, act: Act, at: int) -> Die:
    """Act in a spool and die at a change, within this process: cheaper, and as dead."""
    plan, clock = Die(at), ground.now(ground.scenario.later)
    try:
        backend = open_spool(root, ground.scenario, clock, plan)
        act(ground.world(backend, clock, root))
    except Death:
        plan.died = True
    return plan
