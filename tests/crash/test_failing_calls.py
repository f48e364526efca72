"""A disk that refuses one call, or every call from one on, and a server that loses a reply.

An operation that meets with a refusal either raises SpoolUnavailable or answers; the job is as
it was before or as it is after, repair finds nothing it cannot handle, and no file stays open.
A reply that was lost is not even noticed: the operation answers what is true.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from spoolq.errors import SpoolUnavailable
from tests.crash.conftest import Count
from tests.crash.scenarios import FEW, SCENARIOS, TYPICAL, Scenario
from tests.crash.trial import Fault, Ground, descriptors, open_spool, perform, verify
from tests.support.faults import LoseReply, Mount, Plan, Refuse

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: item.name)


def _marks(scenario: Scenario) -> Any:
    if scenario.name in FEW:
        return ()
    return pytest.mark.slow if scenario.name in TYPICAL else pytest.mark.exhaustive


typical_first = pytest.mark.parametrize(
    "scenario",
    [pytest.param(item, marks=_marks(item)) for item in SCENARIOS],
    ids=lambda item: item.name,
)
ENDING = [item for item in SCENARIOS if item.name.startswith(("finish", "fail"))]
GROWING = ("open", "write", "rename", "mkdir")  # what may need a block that is not there
DISKS = [
    pytest.param(error, lasting, mount, id=f"{errno.errorcode[error]}-{when}-{mount}")
    for error, lasting, when, mount in (
        (errno.EIO, False, "once", "ext4"),
        (errno.EIO, False, "once", "nfs"),
        (errno.EIO, True, "from-then-on", "ext4"),
        (errno.ENOSPC, False, "once", "overlay"),
        (errno.ENOSPC, True, "from-then-on", "ext4"),
        (errno.EACCES, True, "from-then-on", "nfs"),
        (errno.ESTALE, False, "once", "nfs"),
        (errno.ESTALE, True, "from-then-on", "nfs"),
    )
]


@typical_first
def test_a_call_that_fails_once_leaves_the_job_before_or_after(
    scenario: Scenario, scratch: Path, count: Count
) -> None:
    count("refused calls", refuse_each(Ground(scenario, scratch), errno.EIO, lasting=False))


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize(("error", "lasting", "mount"), DISKS)
@every_scenario
def test_a_disk_that_refuses_leaves_the_job_before_or_after(
    scenario: Scenario, error: int, lasting: bool, mount: Mount, scratch: Path, count: Count
) -> None:
    ground = Ground(scenario, scratch)

    count("refused calls", refuse_each(ground, error, lasting=lasting, mount=mount))


@pytest.mark.parametrize("scenario", ENDING, ids=lambda item: item.name)
def test_on_a_full_disk_a_job_that_runs_can_end(
    scenario: Scenario, scratch: Path, count: Count
) -> None:
    ground, at = Ground(scenario, scratch), 0

    while True:
        plan = Refuse(at + 1, errno.ENOSPC, kinds=GROWING)
        root, answers, refused = acted(ground, plan, mount="ext4", ballast=True)
        if plan.hit is None:
            break
        at += 1
        assert refused is None, f"{plan.hit}: {refused!r}"
        assert not os.path.exists(f"{root}/reserve/ballast")
        verify(ground, Fault(root, answers, []))  # a private file is made twice

    count("refused calls", at)


@typical_first
def test_a_lost_reply_changes_no_answer(scenario: Scenario, scratch: Path, count: Count) -> None:
    # Servers lose replies, local file systems do not.
    ground, at = Ground(scenario, scratch), 0

    while True:
        plan = LoseReply(at + 1)
        root, answers, refused = acted(ground, plan, mount="nfs")
        if plan.hit is None:
            break
        at += 1
        assert refused is None, f"{plan.hit} was executed: {refused!r}"
        verify(ground, Fault(root, answers, plan.born))

    count("lost replies", at)


@pytest.mark.slow
@every_scenario
def test_an_error_for_what_was_executed_leaves_the_job_before_or_after(
    scenario: Scenario, scratch: Path, count: Count
) -> None:
    ground, at = Ground(scenario, scratch), 0

    while True:
        plan = LoseReply(at + 1, errno.EIO)
        root, answers, _ = acted(ground, plan, mount="nfs")
        if plan.hit is None:
            break
        at += 1
        verify(ground, Fault(root, answers, plan.born))

    count("lost replies", at)


def refuse_each(ground: Ground, error: int, *, lasting: bool, mount: Mount = "ext4") -> int:
    """Let every call fail in turn, and assert that nothing is lost; how many there were."""
    at = 0
    while True:
        open_before = descriptors()
        plan = Refuse(at + 1, error, lasting=lasting)
        root, answers, refused = acted(ground, plan, mount=mount)
        if plan.hit is None:
            return at
        at += 1
        assert descriptors() == open_before, f"{plan.hit} leaves a file open"
        if plan.hit.kind == "fsync":
            assert refused, f"{plan.hit} failed, and {answers} was answered"
        if os.path.isdir(root):
            verify(ground, Fault(root, answers, plan.born))


def acted(
    ground: Ground, plan: Plan, *, mount: Mount, ballast: bool = False
) -> tuple[str, list[Any], SpoolUnavailable | None]:
    """Act on a copy until something is refused; the root, the answers, and the refusal."""
    root, clock, answers = ground.copy(), ground.now(), list[Any]()
    if ballast:
        with open(f"{root}/reserve/ballast", "xb") as file:
            file.write(bytes(4096))
    try:
        backend = open_spool(root, ground.scenario, clock, plan, durability="full", mount=mount)
        perform(ground.world(backend, clock, root), ground.scenario.acts, answers.append)
    except SpoolUnavailable as refusal:
        return root, answers, refusal
    return root, answers, None
