"""What must be true of a spool after any fault: one checker, used by every crash test.

It reads the directory by itself, with the grammar of names and records and nothing else, so a
mistake of the code under test cannot hide itself.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from spoolq import environments
from spoolq.errors import JobCorrupt
from spoolq.files import names, records
from spoolq.files.names import JobName
from spoolq.files.places import Place, job_name
from spoolq.gates import gates_of
from spoolq.model import FOREGROUND_QUEUE
from spoolq.transitions import Record


class Shown(NamedTuple):
    """A job's file, as it lies in the spool."""

    path: str
    place: Place
    bucket: str
    name: JobName
    record: Record


def check_spool(
    root: str,
    *,
    acked: Iterable[int] = (),
    removed: Iterable[int] = (),
    born: Iterable[str] = (),
    set_aside: bool = False,
) -> None:
    """Assert that a repaired spool is whole.

    `acked` ids are there exactly once, `removed` ones not at all; `born` are all the paths at
    which files with content appeared, each of them once; nothing was `set_aside` unless a test
    put a broken file there.
    """
    problems = list(_problems(root, set(acked), set(removed), set_aside=set_aside))
    twice = [path for path, times in Counter(born).items() if times > 1]
    problems += [f"{path} was made twice" for path in twice]
    assert not problems, "\n".join([*problems, *tree(root)])


def repair_twice(first: Callable[[], None], second: Callable[[], None], root: str) -> None:
    """Repair, and again: the second time changes no name and leaves no change half done."""
    first()
    before = tree(root)
    second()
    after = tree(root)
    assert after == before, f"the second repair changed {sorted(set(before) ^ set(after))}"
    old = {path.rpartition("/")[2].removesuffix(".old") for path in tree(root) if "trash/" in path}
    left = [name for name in _list(f"{root}/settling") if name.rpartition(".")[0] in old]
    assert not left, f"repair left {left}"


def let_trash_come_of_age(root: str) -> None:
    """Make the trash older than the time for which repair leaves it alone.

    A storm takes about as long: some of it would come of age between two repairs, and the second
    would find something to do that the first had no business with.
    """
    for shard in os.scandir(f"{root}/trash"):
        os.utime(shard.path, (0, 0))


def check_no_leftovers(root: str) -> None:
    """Assert that a repair hours later has collected what dead processes had begun."""
    private = ("tmp", "settling", "trash")
    left = [f"{base}/{name}" for base in private for name in _list(f"{root}/{base}")]
    for name in _list(f"{root}/schedules"):
        files = sorted(_list(f"{root}/schedules/{name}"))
        tag = files[0].partition(".")[2] if files else ""
        if files != [f"at.{tag}", f"state.{tag}"]:
            left.append(f"schedules/{name}: {files}")
    assert not left, f"nobody collects {left}"


def tree(root: str) -> list[str]:
    """Every path below a directory, directories too."""
    found: list[str] = []
    pending = [""]
    while pending:
        below = pending.pop()
        for entry in os.scandir(f"{root}/{below}"):
            found.append(f"{below}{entry.name}")
            if entry.is_dir(follow_symlinks=False):
                pending.append(f"{below}{entry.name}/")
    return sorted(found)


# -- the invariants ------------------------------------------------------------------------------


def _problems(root: str, acked: set[int], removed: set[int], *, set_aside: bool) -> Iterator[str]:
    shown: list[Shown] = []
    for place, bucket in _buckets(root):
        for name in _list(bucket):
            found = _read(f"{bucket}/{name}", place)
            if isinstance(found, str):
                yield found
            elif found:
                shown.append(found)
    where = Counter(item.record["id"] for item in shown)
    yield from (f"job {id_} is in {n} places" for id_, n in where.items() if n > 1)
    yield from (f"job {id_} was acknowledged and is lost" for id_ in sorted(acked - where.keys()))
    yield from (f"job {id_} was removed and is back" for id_ in sorted(removed & where.keys()))
    for item in shown:
        yield from _misplaced(root, item, set(where))
        yield from _environment(root, item.record)
    yield from _counters(root, max(where, default=0))
    yield from _workers(root, {item.place.key for item in shown if _foreground(item)})
    if not set_aside and _list(f"{root}/corrupt"):
        yield f"set aside: {_list(f'{root}/corrupt')}"
    # Old files are left for a minute; whatever else is in the trash is there by mistake.
    kept = [name for name in _list(f"{root}/trash") if not name.isdigit()]
    if kept:
        yield f"in the trash: {kept}"


def _read(path: str, place: Place) -> Shown | str | None:
    base = os.path.basename(path)
    if not base.endswith(".json"):
        return None if base.startswith("alarm.") else f"foreign: {path}"
    name = names.parse(base)
    if name is None:
        return f"{path} is not in the grammar"
    with open(path, "rb") as file:
        data = file.read()
    try:
        record = records.decode(data)
    except JobCorrupt as error:
        return f"{path} ({len(data)} bytes) is published and {error.reason}"
    if os.lstat(path).st_nlink != 1:
        return f"{path} has two names"
    return Shown(path, place, os.path.dirname(path), name, record)


def _environment(root: str, record: Record) -> Iterator[str]:
    """A command line has the environment that it was added in."""
    name = record["kwargs"].get("env")
    if record["task"] == "exec" and isinstance(name, str):
        try:
            environments.read(root, name)
        except (OSError, ValueError) as error:
            yield f"job {record['id']} has no environment: {error}"


def _misplaced(root: str, item: Shown, ids: set[int]) -> Iterator[str]:
    """The place and the name of a job say the same as its content."""
    path, place, bucket, name, record = item
    block = names.block_of(record["id"])
    if place.kind != "active":
        if os.path.basename(bucket) != str(block):
            yield f"{path} is in the wrong bucket"
        wanted = str(job_name(record, place, name.epoch, name.revision, name.nonce))
        if wanted != os.path.basename(path):
            yield f"{path} should be called {wanted}"
    if place.state == "inactive":
        code = place._replace(batch="").code
        if not {code, place.code} & set(_list(f"{root}/places/{block}")):
            yield f"{path} has no marker in places/: nobody can look it up"
        if place.queue != names.encode(record["queue"]):
            yield f"{path} is in the wrong queue"
        keys = {
            "ready": [str(record["priority"])],
            "delayed": [str(int(record["delayed"] // 3600))],
            "waiting": [
                *map(str, record["parents"]),
                *(str(gate.parent) for gate in gates_of(record)),
            ],
            "held": [str(record["priority"])],
        }[place.kind]
        if place.key not in keys:
            yield f"{path} belongs in one of {keys}"
    for parent in record["parents"]:
        marker = f"{names.family(record['parents'])}.{block}"
        directory = f"{root}/children/{names.block_of(parent)}/{parent}"
        if parent in ids and marker not in _list(directory):
            yield f"{path} is not noted as a child of {parent}"


def _counters(root: str, highest: int) -> Iterator[str]:
    kinds: dict[str, list[int]] = {}
    for name in _list(f"{root}/ids"):
        kind, number, *_ = name.split(".")
        if kind != "boot":  # the boot whose power losses were looked for
            kinds.setdefault(kind, []).append(int(number))
    for kind in ("job", "worker", "lock"):
        if len(kinds.get(kind, [])) != 1:
            yield f"counter {kind}: {kinds.get(kind)}"
    if max(kinds.get("job", [0])) <= highest:
        yield f"the counter would give out {kinds.get('job')} again: job {highest} is there"


def _foreground(item: Shown) -> bool:
    """Repair leaves these to the process that performs them [212]."""
    return item.place.kind == "active" and item.record["queue"] == FOREGROUND_QUEUE


def _workers(root: str, excepted: set[str]) -> Iterator[str]:
    registered = {name.split(".")[0] for name in _list(f"{root}/workers")}
    for directory in ("active", "commands"):
        for worker in _list(f"{root}/{directory}"):
            if worker not in registered | excepted:
                yield f"{directory}/{worker} belongs to no registered worker"


def _buckets(root: str) -> Iterator[tuple[Place, str]]:
    """Every directory that holds jobs, with the place it is part of."""
    for state in ("finished", "failed"):
        for block in _list(f"{root}/{state}"):
            yield Place(state), f"{root}/{state}/{block}"
    for worker in _list(f"{root}/active"):
        yield Place("active", "", worker), f"{root}/active/{worker}"
    for queue in _directories(f"{root}/inactive"):
        base = f"{root}/inactive/{queue}"
        for name in _directories(base):
            if name in ("control", "slots"):
                continue
            if name not in ("delayed", "waiting", "held"):
                yield from _of_place(Place("ready", queue, name), f"{base}/{name}")
                continue
            for key in _list(f"{base}/{name}"):
                yield from _of_place(Place(name, queue, key), f"{base}/{name}/{key}")


def _of_place(place: Place, path: str) -> Iterator[tuple[Place, str]]:
    for name in _list(path):
        if not name.startswith("b"):
            yield place, f"{path}/{name}"
            continue
        for block in _list(f"{path}/{name}"):
            yield place._replace(batch=name), f"{path}/{name}/{block}"


def _directories(path: str) -> list[str]:
    return [name for name in _list(path) if os.path.isdir(f"{path}/{name}")]


def _list(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
